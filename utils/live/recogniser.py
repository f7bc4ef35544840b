"""From frames to people: detect, associate, crop, embed all people who are due at once, identify.

Serves one camera or several. demo.py and the benchmarks run the same code, so what is measured is what is shown.
"""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np

from utils.deploy.reid_net import crop_people
from utils.live.gallery import cut
from utils.live.timing import Timer
from utils.live.tracks import Tracker

PAUSE_SECONDS = 1.0  # without a frame, after which positions no longer tell who a person is


class FrameResult(NamedTuple):
    """The people in one camera's frame."""

    boxes: np.ndarray  # (N, 4) [ymin, xmin, ymax, xmax] in 0..1
    scores: np.ndarray  # (N,) of the detector
    person_ids: np.ndarray  # (N,) int, 0 for unknown
    similarities: np.ndarray  # (N,) to the person, nan for a new one
    num_embedded: int  # how many of them the re-id net embedded


class Recogniser:
    """Detector, re-id net and one set of people behind one tracker per camera."""

    def __init__(self, detector, embedder, identities, cameras, reembed_every: int, now=time.monotonic):
        """cameras: their names; reembed_every: as of Tracker; now: returns seconds."""
        self.detector = detector
        self.embedder = embedder
        self.identities = identities
        self.trackers = [Tracker(identities, reembed_every, name) for name in cameras]
        self.timer = Timer()
        self._now = now
        self._silent_since = [None] * len(self.trackers)

    def recognise(self, frames) -> list:
        """One frame (H, W, 3) uint8 BGR per camera, None if there is none -> a FrameResult per camera, or None."""
        self._notice_pauses(frames)
        fresh = [index for index, frame in enumerate(frames) if frame is not None]
        detections = [self.detector.detect(frames[index]) for index in fresh]  # boxes (N, 4), scores (N,)
        self.timer.lap("detect")
        associations = [self.trackers[index].associate(boxes) for index, (boxes, _) in zip(fresh, detections)]
        self.timer.lap("match")
        size = self.embedder.image_size
        crops = []  # (D, h, w, 3) uint8 RGB per camera
        for index, (boxes, _), association in zip(fresh, detections, associations):
            crops.append(crop_people(frames[index], boxes[association.due], size))
        self.timer.lap("crop")
        embeddings = self._embed(crops)  # (D, E) per camera
        self.timer.lap("embed")
        results = [None] * len(frames)
        for index, (boxes, scores), association, vectors in zip(fresh, detections, associations, embeddings):
            person_ids, similarities = self.trackers[index].update(association, vectors)
            for box, person in association.clear_views():
                if person.wants_crop:
                    person.keep_best_crop(cut(frames[index], box))
            results[index] = FrameResult(boxes, scores, person_ids, similarities, len(vectors))
        self.identities.forget_oldest()
        self.timer.lap("match")
        return results

    def _embed(self, crops) -> list:
        """Embeds the crops of all cameras together; returns the embeddings (D, E) of each."""
        counts = [len(images) for images in crops]
        if not sum(counts):
            return [np.zeros((0, 1), np.float32) for _ in crops]
        return np.split(self.embedder.embed(np.concatenate(crops)), np.cumsum(counts)[:-1])

    def _notice_pauses(self, frames) -> None:
        """Resets the positions of a camera that gives frames again after PAUSE_SECONDS."""
        now = self._now()
        for index, frame in enumerate(frames):
            since = self._silent_since[index]
            if frame is None:
                self._silent_since[index] = now if since is None else since
                continue
            if since is not None and now - since > PAUSE_SECONDS:
                self.trackers[index].reset_positions()
            self._silent_since[index] = None

    def seen_together(self, person_id: int, other_id: int) -> bool:
        """Whether one camera shows both people now, so that they are certainly two."""
        return any({person_id, other_id} <= tracker.person_ids() for tracker in self.trackers)
