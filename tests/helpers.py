"""Drawn data sets, scripts run as a user runs them, and other helpers of the tests; none imports TensorFlow."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np

from utils.metrics import LabelledSet

ROOT = Path(__file__).resolve().parent.parent
# How often tests try random input that is damaged: TRIES=1000 .venv/bin/python -m pytest -s tests/test_json_files.py
TRIES = int(os.environ.get("TRIES", 150))


def as_sets(case) -> tuple:
    """(embeddings, identities, cameras) of queries and of the gallery in a row -> two LabelledSets."""
    return LabelledSet(None, *case[:3]), LabelledSet(None, *case[3:])


def draw_set(data_dir, identities=8, test_identities=6, per_camera=3, size=(64, 32), seed=0):
    """A data set in Market-1501's layout, learnt in seconds.

    An identity is a shirt and trousers of its own colour, a camera a brightness.
    """
    rng = np.random.default_rng(seed)
    height, width = size
    folders = {name: Path(data_dir) / f"bounding_box_{name}" for name in ("train", "test", "query")}
    for folder in folders.values():
        folder.mkdir(parents=True)

    def draw(colours, camera):
        image = rng.integers(60, 120, (height, width, 3)).astype(np.float32)
        left = int(rng.integers(2, width // 4))
        across = slice(left, left + width // 2)
        image[height // 8 : height // 2, across] = colours[0]
        image[height // 2 : -height // 8, across] = colours[1]
        return np.clip(image * (0.7 + 0.3 * camera) + rng.normal(0, 10, image.shape), 0, 255).astype(np.uint8)

    for identity in range(1, identities + test_identities + 1):
        colours = rng.integers(0, 256, (2, 3))
        for camera in (1, 2):
            for number in range(per_camera):
                name = f"{identity:04d}_c{camera}s1_{number:06d}_01.jpg"
                split = "train"
                if identity > identities:
                    split = "query" if number == 0 else "test"
                cv2.imwrite(str(folders[split] / name), draw(colours, camera))
    for name in ("-1_c1s1_000001_01.jpg", "0000_c1s1_000001_01.jpg", "0000_c2s1_000002_01.jpg"):
        cv2.imwrite(str(folders["test"] / name), draw(rng.integers(0, 256, (2, 3)), 1))
    return str(data_dir)


def run(*command, timeout=300, **environment):
    """Runs a command in the project's folder; the finished process with its output as text."""
    command = [str(word) for word in command]
    if command[0].endswith(".py") or command[0] == "-m":
        command.insert(0, sys.executable)
    environment = {**os.environ, **environment}
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=timeout, env=environment, check=False
    )


def refusal(finished) -> str:
    """The one sentence with which a script refused, after checking that it did so properly."""
    assert finished.returncode not in (0, 1), finished.stdout + finished.stderr
    assert "Traceback" not in finished.stderr, finished.stderr
    return finished.stderr.strip().splitlines()[-1]


def wait_until(happens, seconds=20):
    """Asks until the answer is true, and returns it."""
    deadline = time.monotonic() + seconds
    while True:
        found = happens()
        if found:
            return found
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def write_video(path, frames, codec="MJPG", rate=10):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), rate, frames[0].shape[1::-1])
    for frame in frames:
        writer.write(frame)
    writer.release()


def unit(vectors):
    """(N, D), each row of length 1."""
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
