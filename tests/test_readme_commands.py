"""The README's commands, run as they stand there, each in a short variant, in a copy of the project with small data.

What a command needs lies where the README says: a data set, an archive, a folder of people, a video. Left out is what
needs a camera, a Jetson, the network, or minutes.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess

import cv2
import pytest

from tests.conftest import ROOT, draw_set
from tests.test_readme import commands

SET = "data/Market-1501-v15.09.15"
QUICK_RUN = "models/quick_run"
FOOTAGE = ROOT / "models/downloads/vtest.avi"
TRAINING = "--num_steps=2 --save_every=2 --log_every=1 --warmup_steps=1"
# What makes a command of a script short.
SHORTER = {
    "train_id.sh": f"{TRAINING} --image_size=64x32 --width=0.125 --pretrained=none --batch_size=8 --val_identities=2",
    "train_reid.sh": f"{TRAINING} --batch_size=4 --k=2 --num_images=24 --embedding_size=32 --decay_start=1",
    "pipeline.py": "--calibration_pictures=8",
    "demo.py": "--max_frames=3 --headless",
}
LIVE = ("csi://0", "csi://1", "rtsp://camera/stream", "0")  # instead of a camera the video is taken
NOT_RUN = (  # what else has its own tests, or needs what is not here
    "bash setup.sh",
    "bash quick_run.sh",
    "bash run_tests.sh",
    "bash tests/versions.sh",
    "python3 -m benchmarks.",
    "python3 -m assets.",
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder that looks like the project and holds small data; its models are made by the commands themselves."""
    folder = tmp_path_factory.mktemp("project")
    for path in ROOT.iterdir():
        if path.suffix in (".py", ".sh") or path.name in (".venv", "utils", "tests"):
            (folder / path.name).symlink_to(path)
    (folder / "models").mkdir()
    (folder / "models/downloads").symlink_to(ROOT / "models/downloads")
    (folder / "data").mkdir()
    for path in [*(ROOT / "data").glob("*.py"), ROOT / "data/drawn"]:
        (folder / "data" / path.name).symlink_to(path)
    draw_set(folder / "source/Market", identities=8, test_identities=16, per_camera=4)
    shutil.make_archive(str(folder / "Market-1501-v15.09.15"), "zip", folder / "source")
    for path in (folder / "source/Market/bounding_box_train").iterdir():
        person = folder / "people" / f"person {path.name[:4]}"
        person.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, person / f"{path.name[8:]}_{path.name[5:7]}.jpg")
    write_clip(folder / "walk.mp4")
    return folder


def write_clip(path) -> None:
    video, writer = cv2.VideoCapture(str(FOOTAGE)), None
    for _ in range(4):
        _, frame = video.read()
        size = frame.shape[1], frame.shape[0]
        writer = writer or cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 10, size)
        writer.write(frame)
    writer.release()


def shortened(command: str) -> list:
    """The command's words with what makes it short, its cameras replaced by the video."""
    words = ["walk.mp4" if word in LIVE else word for word in shlex.split(command)]
    script = words[1]
    words += shlex.split(SHORTER.get(script, ""))
    if script == "demo.py" and "--source" not in words:
        words += ["--source", "walk.mp4"]
    if script == "demo.py":
        words = ["0" if before == "--serve" else word for before, word in zip(["", *words], words)]  # a free port
        words = ["2" if before == "--benchmark" else word for before, word in zip(["", *words], words)]
    return words


def run(place, words) -> subprocess.CompletedProcess:
    path = f"{ROOT / '.venv/bin'}:{os.environ['PATH']}"
    environment = {**os.environ, "HOME": str(place), "PATH": path, "PYTHONPATH": str(place)}
    words = [os.path.expanduser(word.replace("~", str(place), 1)) for word in words]
    return subprocess.run(words, cwd=place, env=environment, capture_output=True, text=True, timeout=600, check=False)


def test_the_readmes_commands_run(place):
    """In the order of the README, since one needs what those before it made; but what asks for a quick run comes last,
    as its place is taken by what the others made."""
    ran = []
    for command in sorted(dict.fromkeys(commands("README.md")), key=lambda command: QUICK_RUN in command):
        if not command.startswith(("bash ", "python3 ")) or command.startswith(NOT_RUN):
            continue
        needs_checkpoint = "reid_model-200.ckpt" in command
        if needs_checkpoint and not (place / "reid_model-200.ckpt.index").exists():
            copy_checkpoint(place)
        if QUICK_RUN in command and not (place / QUICK_RUN).exists():
            shutil.copytree(place / "models/reid", place / QUICK_RUN / "reid")
            shutil.copytree(place / "models/frozen", place / QUICK_RUN / "frozen")
            (place / "data/quick_run").symlink_to(place / SET)
        if "models/reid/m1" in command and not (place / "models/reid/m1").exists():
            shutil.copytree(place / "models/reid/m0", place / "models/reid/m1")
        if "models/frozen/reid" in command and not (place / "models/frozen/reid").exists():
            copy_checkpoint(place)
            freeze = run(place, ["python3", "pipeline.py", "obj", "reid_model-200.ckpt"])
            assert freeze.returncode == 0, freeze.stderr
        finished = run(place, shortened(command))
        said = finished.stdout + finished.stderr
        assert "Traceback" not in said, f"{command}\n{said}"
        assert finished.returncode == expected(command), f"{command}\n{said}"
        ran.append(command)
    assert len(ran) >= 20 and {words.split()[1] for words in ran} >= {*SHORTER, "test_reid.sh", "data/prepare.py"}


def expected(command) -> int:
    """1 where a small set differs from the published counts, which is what prepare.py is to say."""
    return 1 if "Market-1501-v15.09.15.zip" in command or "--check data/Market" in command else 0


def copy_checkpoint(place) -> None:
    """As scp would, under the name that the README takes for an example."""
    for path in (place / "models/reid/m0").glob("reid_model-2.ckpt*"):
        shutil.copy(path, place / path.name.replace("reid_model-2.", "reid_model-200."))
