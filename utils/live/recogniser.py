"""The chain from frames to people: detect, crop who is due, embed them all in one go, match. For one camera or several.

demo.py and the benchmarks run the same one, so that what is measured is what is shown.
"""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np

from utils.deploy.reid_net import crop_people
from utils.live.gallery import portray
from utils.live.timing import Timer
from utils.live.tracks import Tracker

PAUSE = 1.0  # seconds without a frame after which a camera's people are looked at again


class Seen(NamedTuple):
    """One camera's people: boxes (N, 4) in 0..1, scores (N,), numbers (N,) with 0 for unknown, similarities (N,)."""

    boxes: np.ndarray
    scores: np.ndarray
    numbers: np.ndarray
    similarities: np.ndarray
    embedded: int  # how many of them the network looked at


class Chain:
    """Detector, re-id net and identities behind the cameras named in `cameras`."""

    def __init__(self, detector, embedder, identities, cameras, reembed_every: int, timer: Timer = None):
        self.detector, self.embedder, self.identities = detector, embedder, identities
        self.trackers = [Tracker(identities, reembed_every, name) for name in cameras]
        self.timer = timer or Timer()
        self._silent_since = [None] * len(self.trackers)

    def look(self, frames) -> list:
        """A frame (H, W, 3) uint8 BGR for each camera, None for one that gave none -> a Seen for each, or None."""
        fresh = [index for index, frame in enumerate(frames) if frame is not None]
        self._notice_pauses(frames)
        found = [self.detector.detect(frames[index]) for index in fresh]  # boxes (N, 4), scores (N,)
        self.timer.lap("detect")
        due = [self.trackers[index].link(boxes) for index, (boxes, _) in zip(fresh, found)]  # (N,) bool
        self.timer.lap("match")
        size = self.embedder.image_size
        crops = [
            crop_people(frames[index], boxes[asked], size) for index, (boxes, _), asked in zip(fresh, found, due)
        ]  # (D, h, w, 3) uint8 RGB
        self.timer.lap("crop")
        counts = [len(some) for some in crops]
        embeddings = self.embedder.embed(np.concatenate(crops)) if sum(counts) else np.zeros((0, 1), np.float32)
        self.timer.lap("embed")
        seen = [None] * len(frames)
        for index, (boxes, scores), some in zip(fresh, found, np.split(embeddings, np.cumsum(counts)[:-1])):
            tracker = self.trackers[index]
            numbers, similarities = tracker.settle(some)
            for box, person in tracker.clear_looks():
                portray(person, frames[index], box)
            seen[index] = Seen(boxes, scores, numbers, similarities, len(some))
        self.identities.forget_oldest()
        self.timer.lap("match")
        return seen

    def _notice_pauses(self, frames) -> None:
        for index, frame in enumerate(frames):
            since, now = self._silent_since[index], time.monotonic()
            if frame is not None and since is not None and now - since > PAUSE:
                self.trackers[index].paused()
            self._silent_since[index] = None if frame is not None else since or now

    def together(self, number: int, other: int) -> bool:
        """Whether two people are in one camera's picture, and so surely two."""
        return any({number, other} <= tracker.numbers() for tracker in self.trackers)
