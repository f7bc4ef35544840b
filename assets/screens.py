"""Photographs what the quick run made, for the README: the demo, its page, TensorBoard, ranked results, the threshold.

    bash quick_run.sh                             # makes what is shown
    python3 -m assets.screens                     # all of them
    python3 -m assets.screens TensorBoard.PNG     # one

TensorBoard.PNG and Page.jpg need Chromium (Debian: apt-get install chromium).
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

from utils.errors import InputError, run_main
from utils.options import make_parser

NAMES = ("Demo.jpg", "Page.jpg", "TensorBoard.PNG", "Ranked.jpg", "Threshold.PNG")


def parse_args():
    parser = make_parser(__doc__)
    add = parser.add_argument
    # fmt: off
    add("names", nargs="*", metavar="NAME", help=f"images to take: {', '.join(NAMES)}; all if none is named")
    add("--models", default="models/quick_run", help="folder of the quick run")
    add("--data_dir", default="data/quick_run", help="the people that the quick run drew")
    add("--video", default="models/downloads/vtest.avi", help="the sample footage")
    # fmt: on
    args = parser.parse_args()
    unknown = sorted(set(args.names) - set(NAMES))
    if unknown:
        parser.error(f"there is no image {unknown[0]}: name one of {', '.join(NAMES)}")
    return args


ARGS = parse_args() if __name__ == "__main__" else None

import socket
import subprocess
import tempfile
import time
import urllib.request

import cv2

from assets.canvas import FOLDER, LARGEST, save
from tests.browser import Browser, find

FRAME = 400  # of the demo's video: several people in view, all of them known for a while
TAGS = "^(loss|rank1|mAP|mining/embedding_spread|mining/active_triplets|accuracy)$"
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def free_port() -> int:
    with socket.socket() as some:
        some.bind(("127.0.0.1", 0))
        return some.getsockname()[1]


def wait_for(url: str, seconds=120) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise InputError(f"{url} did not answer within {seconds} s") from None
            time.sleep(1)


def write_jpeg(name: str, image) -> None:
    """assets/<name> from (H, W, 3) uint8 BGR, as good as LARGEST bytes allow."""
    for quality in range(92, 40, -6):
        _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
        if len(data) <= LARGEST:
            break
    (FOLDER / name).write_bytes(data.tobytes())
    print(f"{FOLDER / name}: quality {quality}, {len(data) / 1000:.0f} KB")


def demo(args) -> None:
    video = cv2.VideoCapture(str(Path(args.models) / "demo.mp4"))
    video.set(cv2.CAP_PROP_POS_FRAMES, FRAME)
    read, frame = video.read()
    if not read:
        raise InputError(f"{args.models}/demo.mp4 cannot be read: run bash quick_run.sh")
    write_jpeg("Demo.jpg", frame)


def page(args) -> None:
    """demo.py with --serve, looked at by a browser that gives two people names."""
    port = free_port()
    networks = [f"--detector={args.models}/frozen/obj", f"--reid={args.models}/frozen/reid"]
    command = [
        sys.executable,
        "demo.py",
        f"--source={args.video}",
        "--loop",
        "--headless",
        f"--serve={port}",
        *networks,
    ]
    process = subprocess.Popen(command, cwd=ROOT, **QUIET)
    try:
        wait_for(f"http://127.0.0.1:{port}/")
        with tempfile.TemporaryDirectory() as folder, Browser(folder, (1200, 760)) as browser:
            browser.open(f"http://127.0.0.1:{port}/")
            browser.wait("document.querySelectorAll('.card').length >= 5", 120)
            numbers = browser.run(
                "[...document.querySelectorAll('.card')].slice(0, 2).map(card => card.dataset.personId)"
            )
            for number, name in zip(numbers, ("Anna", "Bo")):
                browser.click(f"[data-person-id='{number}'] input")
                browser.type(name)
                browser.press("Enter", 13)
            browser.run("document.activeElement.blur()")
            time.sleep(4)
            browser.screenshot(Path(folder) / "page.png")
            write_jpeg("Page.jpg", cv2.imread(str(Path(folder) / "page.png")))
    finally:
        process.terminate()
        process.wait()


def tensorboard(args) -> None:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "tensorboard.main", f"--logdir={args.models}", f"--port={port}"], cwd=ROOT, **QUIET
    )
    try:
        wait_for(f"http://127.0.0.1:{port}/")
        with tempfile.TemporaryDirectory() as folder, Browser(folder, (1500, 980)) as browser:
            browser.open(f"http://127.0.0.1:{port}/?runFilter=&tagFilter={TAGS}&smoothing=0#timeseries")
            browser.wait("document.querySelectorAll('card-view').length >= 5", 60)
            close = "[...document.querySelectorAll('button')].find(one => one.innerText.includes('Settings')).click()"
            browser.run(close)  # the pane of settings, for the room
            time.sleep(8)  # for the curves to be drawn
            browser.screenshot(Path(folder) / "board.png")
            save(
                FOLDER / "TensorBoard.PNG", cv2.cvtColor(cv2.imread(str(Path(folder) / "board.png")), cv2.COLOR_BGR2RGB)
            )
    finally:
        process.terminate()
        process.wait()


def test_results(args, names) -> None:
    """What test_reid.py draws: Ranked.jpg and Threshold.PNG."""
    from utils.checkpoint_paths import find_checkpoint

    prefix = find_checkpoint(f"{args.models}/reid/m0")
    with tempfile.TemporaryDirectory() as folder:
        ranked = Path(folder) / "ranked.png"
        command = [sys.executable, "test_reid.py", f"--model={prefix}", f"--data_dir={args.data_dir}", "--threshold"]
        command += [f"--ranked={ranked}", "--ranked_queries=random", "--ranked_count=5"]
        subprocess.run(command, cwd=ROOT, check=True, **QUIET)
        if "Ranked.jpg" in names:
            write_jpeg("Ranked.jpg", cv2.imread(str(ranked)))
        if "Threshold.PNG" in names:
            save(FOLDER / "Threshold.PNG", cv2.cvtColor(cv2.imread(f"{prefix}.threshold.png"), cv2.COLOR_BGR2RGB))


def main(args) -> None:
    names = set(args.names or NAMES)
    if names & {"Page.jpg", "TensorBoard.PNG"} and not find():
        raise InputError("Page.jpg and TensorBoard.PNG need Chromium: install it, or name the other images")
    for name, take in (("Demo.jpg", demo), ("Page.jpg", page), ("TensorBoard.PNG", tensorboard)):
        if name in names:
            take(args)
    if names & {"Ranked.jpg", "Threshold.PNG"}:
        test_results(args, names)


if __name__ == "__main__":
    run_main(main, ARGS)
