"""Photographs the results of the quick run for the README: demo, page, TensorBoard, ranked results and threshold.

    bash quick_run.sh                             # makes the results
    python3 -m assets.screens                     # Demo.jpg, Page.jpg, TensorBoard.PNG, Ranked.jpg and Threshold.PNG
    python3 -m assets.screens TensorBoard.PNG     # one of them

Page.jpg and TensorBoard.PNG need Chromium (Debian: apt-get install chromium).
"""

from __future__ import annotations

from pathlib import Path

from utils.errors import InputError, run_main
from utils.options import make_parser

NAMES = ("Demo.jpg", "Page.jpg", "TensorBoard.PNG", "Ranked.jpg", "Threshold.PNG")


def parse_args(argv=None):
    parser = make_parser(__doc__)
    add = parser.add_argument
    # fmt: off
    add("names", nargs="*", metavar="NAME", help=f"images to take: {', '.join(NAMES)}; all of them without a name")
    add("--models", default="models/quick_run", help="folder of the quick run")
    add("--data_dir", default="data/quick_run", help="data set of the quick run")
    add("--video", default="models/downloads/vtest.avi", help="the sample footage")
    # fmt: on
    args = parser.parse_args(argv)
    unknown = sorted(set(args.names) - set(NAMES))
    if unknown:
        parser.error(f"there is no image {unknown[0]}: choose from {', '.join(NAMES)}")
    return args


ARGS = parse_args() if __name__ == "__main__" else None  # before TensorFlow is imported: --help answers at once

import contextlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

import cv2

from assets.canvas import FOLDER, MAX_BYTES, write_png
from tests.browser import Browser, find
from utils.checkpoint import THRESHOLD_IMAGE_SUFFIX
from utils.checkpoint_paths import find_checkpoint
from utils.image_grid import read_rgb

ROOT = Path(__file__).resolve().parent.parent
FRAME = 613  # of the demo's video: seven people, none in front of another
TAGS = "^(loss|rank1|mAP|mining/embedding_spread|mining/active_triplets|accuracy)$"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def served(*command):
    """Runs a Python program that serves http://127.0.0.1:<port>/, and gives that address when it answers.

    command: its arguments, with {port} where the port goes. InputError if it does not answer.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    arguments = [argument.replace("{port}", str(port)) for argument in command]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([sys.executable, *arguments], cwd=ROOT, **quiet)
    try:
        wait_for(url)
        yield url
    finally:
        process.terminate()
        process.wait()


def wait_for(url: str, seconds=120) -> None:
    """Waits until an address answers; InputError after `seconds`."""
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
    """Writes (H, W, 3) uint8 BGR to assets/<name>, at the best quality that fits into MAX_BYTES."""
    for quality in range(92, 40, -6):
        data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        if len(data) <= MAX_BYTES:
            break
    (FOLDER / name).write_bytes(data.tobytes())
    print(f"{FOLDER / name}: quality {quality}, {len(data) / 1000:.0f} KB")


def take_demo(args) -> None:
    """Demo.jpg: a frame of the video that the quick run recorded."""
    video = cv2.VideoCapture(str(Path(args.models) / "demo.mp4"))
    video.set(cv2.CAP_PROP_POS_FRAMES, FRAME)
    there, frame = video.read()
    if not there:
        raise InputError(f"{args.models}/demo.mp4 cannot be read: run bash quick_run.sh")
    write_jpeg("Demo.jpg", frame)


def take_page(args) -> None:
    """Page.jpg: the page of demo.py in a browser, after two people got names."""
    demo = ["demo.py", f"--source={args.video}", "--loop", "--headless", "--serve={port}"]
    demo += [f"--detector={args.models}/frozen/obj", f"--reid={args.models}/frozen/reid"]
    with served(*demo) as url, tempfile.TemporaryDirectory() as folder, Browser(folder, (1200, 760)) as browser:
        browser.open(url)
        browser.wait("document.querySelectorAll('.card').length >= 5", 120)
        people = browser.run("[...document.querySelectorAll('.card')].slice(0, 2).map(card => card.dataset.personId)")
        for person_id, name in zip(people, ("Anna", "Bo")):
            browser.click(f"[data-person-id='{person_id}'] input")
            browser.type(name)
            browser.press("Enter", 13)
        browser.run("document.activeElement.blur()")
        time.sleep(4)
        browser.screenshot(Path(folder) / "page.png")
        write_jpeg("Page.jpg", cv2.imread(str(Path(folder) / "page.png")))


def take_tensorboard(args) -> None:
    """TensorBoard.PNG: the training curves in a browser."""
    board = ["-m", "tensorboard.main", f"--logdir={args.models}", "--port={port}"]
    with served(*board) as url, tempfile.TemporaryDirectory() as folder, Browser(folder, (1500, 980)) as browser:
        browser.open(f"{url}?runFilter=&tagFilter={TAGS}&smoothing=0#timeseries")
        browser.wait("document.querySelectorAll('card-view').length >= 5", 60)
        # Closes the settings pane, which leaves more room.
        browser.run(
            "[...document.querySelectorAll('button')].find(button => button.innerText.includes('Settings')).click()"
        )
        time.sleep(8)  # until the curves are drawn
        browser.screenshot(Path(folder) / "board.png")
        write_png(FOLDER / "TensorBoard.PNG", read_rgb(Path(folder) / "board.png"))


def take_test_results(args, names) -> None:
    """Ranked.jpg and Threshold.PNG: the images that test_reid.py draws."""
    prefix = find_checkpoint(f"{args.models}/reid/m0")
    with tempfile.TemporaryDirectory() as folder:
        ranked = Path(folder) / "ranked.png"
        command = [sys.executable, "test_reid.py", f"--model={prefix}", f"--data_dir={args.data_dir}", "--threshold"]
        command += [f"--ranked={ranked}", "--ranked_queries=random", "--ranked_count=5"]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        if "Ranked.jpg" in names:
            write_jpeg("Ranked.jpg", cv2.imread(str(ranked)))
        if "Threshold.PNG" in names:
            write_png(FOLDER / "Threshold.PNG", read_rgb(f"{prefix}{THRESHOLD_IMAGE_SUFFIX}"))


def main(args) -> None:
    names = set(args.names or NAMES)
    if names & {"Page.jpg", "TensorBoard.PNG"} and not find():
        raise InputError("Page.jpg and TensorBoard.PNG need Chromium: install it, or name the other images")
    for name, take in (("Demo.jpg", take_demo), ("Page.jpg", take_page), ("TensorBoard.PNG", take_tensorboard)):
        if name in names:
            take(args)
    if names & {"Ranked.jpg", "Threshold.PNG"}:
        take_test_results(args, names)


if __name__ == "__main__":
    run_main(main, ARGS)
