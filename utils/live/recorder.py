"""What demo.py leaves behind: a video and a file of tracks, each under a temporary name until it is whole."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np

from utils.errors import InputError

CODECS = {".mp4": "mp4v", ".avi": "MJPG"}


class HalfWritten:
    """A file that has its own name only when it is finished: `path` to write to, then finish() or discard()."""

    def __init__(self, target):
        self.target = Path(target)
        self.path = self.target.with_name(f"half-written-{os.getpid()}-{self.target.name}")
        if self.target.is_dir():
            raise InputError(f"{target} is a folder: name a file")
        try:
            self.target.parent.mkdir(parents=True, exist_ok=True)
            self.path.touch()
        except OSError as error:
            raise InputError(f"{target} cannot be written ({error.strerror}): name another place") from None

    def finish(self) -> None:
        os.replace(self.path, self.target)

    def discard(self) -> None:
        if self.path.exists():
            self.path.unlink()


class VideoFile:
    """An mp4 or avi video. A live source is recorded true to time: frames are repeated or left out by the clock."""

    def __init__(self, target, size: tuple, rate: float, live: bool):
        """size: (width, height) in pixels; rate: frames a second."""
        suffix = Path(target).suffix.lower()
        if suffix not in CODECS:
            raise InputError(f"--output {target}: name a video that ends in {' or '.join(CODECS)}")
        self._file, self._rate, self._live, self.frames = HalfWritten(target), rate, live, 0
        self._writer = cv2.VideoWriter(str(self._file.path), cv2.VideoWriter_fourcc(*CODECS[suffix]), rate, size)
        if not self._writer.isOpened():
            self._file.discard()
            raise InputError(f"--output {target}: this OpenCV cannot write {suffix} videos; try {' or '.join(CODECS)}")

    def write(self, frame: np.ndarray, seconds: float) -> None:
        """frame (H, W, 3) uint8 BGR; seconds since the first one."""
        copies = max(int(seconds * self._rate) + 1 - self.frames, 0) if self._live else 1
        for _ in range(copies):
            self._writer.write(frame)
        self.frames += copies

    def finish(self) -> None:
        self._writer.release()
        self._file.finish()

    def discard(self) -> None:
        self._writer.release()
        self._file.discard()


class TracksFile:
    """Tracks as MOTChallenge has them: frame, identity, left, top, width, height, score, -1, -1, -1.

    Frames, identities and pixels count from 1 there, so a box in the upper left corner has left = top = 1. People who
    are unknown get no line: the tools that read such files would take any number, -1 too, for one person.
    """

    def __init__(self, target):
        self._file = HalfWritten(target)
        self._lines = self._file.path.open("w")

    def write(self, frame: int, size: tuple, boxes: np.ndarray, identities, scores) -> None:
        """frame: its number from 1; size: (width, height) in pixels; boxes (N, 4) [ymin, xmin, ymax, xmax] in 0..1."""
        width, height = size
        for (top, left, bottom, right), identity, score in zip(boxes, identities, scores):
            if not identity:
                continue
            box = left * width + 1, top * height + 1, (right - left) * width, (bottom - top) * height
            numbers = ",".join(f"{number:.2f}" for number in box)
            self._lines.write(f"{frame},{identity},{numbers},{score:.4f},-1,-1,-1\n")

    def finish(self) -> None:
        self._lines.close()
        self._file.finish()

    def discard(self) -> None:
        self._lines.close()
        self._file.discard()
