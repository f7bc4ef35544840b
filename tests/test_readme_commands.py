"""The commands of README and docs, run as they stand there, each in a short variant, in a folder with small data.

What a command needs lies where the README says: a data set, an archive, a folder of people, a video, trained and frozen
models. The scripts run in this process with the words that a user or a launcher gives them. Left out is what needs a
camera, a Jetson, the network, or minutes.
"""

from __future__ import annotations

import importlib
import shlex
import shutil
import subprocess
import sys

import cv2
import pytest

from benchmarks.redis_server import RedisServer
from tests.helpers import ROOT, draw_set
from tests.redis_server import needs_redis
from tests.test_readme import DOCS, commands

SET = "data/Market-1501-v15.09.15"
FOOTAGE = ROOT / "models/downloads/vtest.avi"
TRAINING = "--num_steps=2 --save_every=2 --log_every=1 --warmup_steps=1"
# What makes a command of a script short.
SHORTER = {
    "train_id.sh": f"{TRAINING} --image_size=64x32 --width=0.125 --pretrained=none --batch_size=8 --val_identities=2",
    "train_reid.sh": f"{TRAINING} --batch_size=4 --k=2 --num_images=24 --embedding_size=32 --decay_start=1",
    "pipeline.py": "--calibration_images=8 --detector=zoo",  # a small SSD with random weights
    "demo.py": "--max_frames=3 --headless",
}
CAMERAS = ("csi://0", "csi://1", "rtsp://camera/stream", "0")  # the video takes their place
NOT_RUN = (  # what has its own tests, or needs what is not here
    "bash setup.sh",
    "bash quick_run.sh",
    "bash run_tests.sh",
    "bash tests/versions.sh",
    "python3 pipeline.py --reid_onnx",
    "python3 -m benchmarks.",
    "python3 -m assets.",
    "python3 data/harvest.py",
)
# These end with 1: a small set differs from the published counts, and that is what prepare.py has to say.
DIFFERS = ("Market-1501-v15.09.15.zip", "--check data/Market")
RUN = [
    pytest.param(command, marks=needs_redis) if "redis://" in command else command
    for command in dict.fromkeys(command for page in ("README.md", *DOCS) for command in commands(page))
    if command.startswith(("bash ", "python3 ")) and not command.startswith(NOT_RUN)
]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder that looks like the project after a quick run and a training, with small data and small models."""
    folder = tmp_path_factory.mktemp("project")
    for path in ROOT.iterdir():
        if path.suffix == ".sh":
            shutil.copy(path, folder)  # a launcher that is called through a link would run in its own folder
    python = folder / ".venv/bin/python"  # a launcher starts this one: it prints its words, one a line
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    python.chmod(0o755)
    (folder / "models").mkdir()
    (folder / "models/downloads").symlink_to(ROOT / "models/downloads")
    (folder / "data").mkdir()
    draw_set(folder / "source/Market", identities=8, test_identities=16, per_camera=4)
    shutil.make_archive(str(folder / "Market-1501-v15.09.15"), "zip", folder / "source")
    (folder / "data/quick_run").symlink_to(folder / SET)
    for path in (folder / "source/Market/bounding_box_train").iterdir():
        person = folder / "people" / f"person {path.name[:4]}"
        person.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, person / f"{path.name[8:]}_{path.name[5:7]}.jpg")
    for name, frame in zip(("a.jpg", "b.jpg"), write_clip(folder / "walk.mp4")):
        cv2.imwrite(str(folder / name), frame)
    make_models(folder)
    return folder


def make_models(folder) -> None:
    """The data set; a detector in zoo; models/id/m0, models/reid/m0 and m1, models/frozen.

    models/quick_run holds the same models.
    """
    from tests.fakes import write_tf2_ssd  # imports TensorFlow

    write_tf2_ssd(folder / "zoo")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        prepare = ["python3", "data/prepare.py", "Market-1501-v15.09.15.zip", "--output", SET]
        assert run_here(prepare, patch) == 1  # it is smaller than Market-1501
        for launcher in ("train_id.sh", "train_reid.sh"):
            assert run_here(["python3", launcher.replace(".sh", ".py"), *shlex.split(SHORTER[launcher])], patch) == 0
        assert run_here(["python3", "pipeline.py", "obj", "models/reid/m0"], patch) == 0
    models = folder / "models"
    for path in (models / "reid/m0").glob("reid_model-2.ckpt*"):  # as scp would, under the README's example name
        shutil.copy(path, folder / path.name.replace("reid_model-2.", "reid_model-200."))
    shutil.copytree(models / "reid/m0", models / "reid/m1")
    for name in ("id", "reid", "frozen"):
        shutil.copytree(models / name, models / "quick_run" / name)


def write_clip(path) -> list:
    """Writes four frames of the footage as a video, and returns them."""
    video = cv2.VideoCapture(str(FOOTAGE))
    frames = [video.read()[1] for _ in range(4)]
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 10, (width, height))
    for frame in frames:
        writer.write(frame)
    writer.release()
    return frames


def shortened(command: str) -> list:
    """The command's words with those that make it short; the video takes the place of cameras. No pipe is run."""
    words = ["walk.mp4" if word in CAMERAS else word for word in shlex.split(command.split(" | ")[0])]
    script = words[1]
    words += shlex.split(SHORTER.get(script, ""))
    if script == "demo.py":
        if "--source" not in words:
            words += ["--source", "walk.mp4"]
        for option, value in (("--serve", "0"), ("--benchmark", "2")):  # 0: any free port
            if option in words:
                words[words.index(option) + 1] = value
    return words


def run_here(words: list, monkeypatch) -> int:
    """Runs `python3 script.py ...` in this process; returns the exit code."""
    script = words[1]
    module = importlib.import_module(script[: -len(".py")].replace("/", "."))
    monkeypatch.setattr(sys, "argv", words[1:])
    errors = importlib.import_module("utils.errors")
    try:
        code = errors.run_main(module.main, module.parse_args())
    except SystemExit as stopped:
        code = stopped.code
    return code or 0


def words_of_launcher(words: list, place) -> list:
    """What `bash launcher.sh ...` runs: python3, a script and its options."""
    finished = subprocess.run(words, cwd=place, capture_output=True, text=True, timeout=60, check=True)
    return ["python3", *finished.stdout.splitlines()]


@pytest.fixture
def redis_url(request, tmp_path):
    """The address that takes the place of those in the commands; the server runs only if a command has one."""
    if "redis://" not in request.getfixturevalue("command"):
        yield ""
        return
    with RedisServer(tmp_path) as server:
        yield server.url


@pytest.mark.parametrize("command", RUN)
def test_a_command_of_the_readme_runs(command, place, redis_url, monkeypatch, capfd):
    monkeypatch.chdir(place)
    words = [word.replace("~", str(place)) for word in shortened(command)]
    words = [redis_url if word.startswith("redis://") else word for word in words]
    if words[0] == "bash":
        words = words_of_launcher(words, place)
    code = run_here(words, monkeypatch)
    printed = "".join(capfd.readouterr())
    assert "Traceback" not in printed, printed
    assert code == (1 if any(part in command for part in DIFFERS) else 0), printed


def test_each_script_is_among_them():
    assert len(RUN) >= 20
    assert {command.split()[1] for command in RUN if isinstance(command, str)} >= {
        *SHORTER,
        "test_reid.sh",
        "data/prepare.py",
    }
