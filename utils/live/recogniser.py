"""From frames to people: detect, associate, crop, embed all people who are due at once, identify.

Serves one camera or several. demo.py and the benchmarks run the same code, so what is measured is what is shown.
"""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np

from utils.deploy.reid_net import crop_people
from utils.live.counting import Zone, outside_of
from utils.live.gallery import cut
from utils.live.timing import Timer
from utils.live.tracks import LOW_SCORE, Tracker


class FrameResult(NamedTuple):
    """The people in one camera's frame."""

    boxes: np.ndarray  # (N, 4) [ymin, xmin, ymax, xmax] in 0..1
    scores: np.ndarray  # (N,) of the detector
    person_ids: np.ndarray  # (N,) int, 0 for unknown
    similarities: np.ndarray  # (N,) to the person, nan for a new one
    num_embedded: int  # how many of them the re-id net embedded
    tracks: tuple = ()  # N Tracks, whose `person` is final once they are decided


class Recogniser:
    """Detector, re-id net and one set of people behind one tracker per camera."""

    def __init__(self, detector, embedder, identities, cameras, reembed_every: int, now=time.monotonic, ignore=()):
        """cameras: their names; reembed_every: as of Tracker; now: returns seconds.

        ignore: Place each (utils/live/places.py), regions of a camera that never hold people.
        """
        self.detector = detector
        self.embedder = embedder
        self.identities = identities
        self.trackers = [Tracker(identities, reembed_every, name, detector.threshold) for name in cameras]
        self.timer = Timer()
        self._now = now
        self._ignored = [
            [Zone(place, 1.0) for place in ignore if place.source == index] for index in range(len(cameras))
        ]

    def recognise(self, frames, seconds=None) -> list:
        """One frame (H, W, 3) uint8 BGR per camera, None if there is none -> a FrameResult per camera, or None.

        seconds: when each frame was taken; the time of the call if None.
        """
        seconds = [self._now()] * len(frames) if seconds is None else seconds
        low_score = min(LOW_SCORE, self.detector.threshold)
        fresh = [index for index, frame in enumerate(frames) if frame is not None]
        detections = [self.detector.detect(frames[index], low_score) for index in fresh]  # boxes (N, 4), scores (N,)
        for number, (index, (boxes, scores)) in enumerate(zip(fresh, detections)):
            if self._ignored[index]:
                kept = outside_of(self._ignored[index], boxes)
                detections[number] = boxes[kept], scores[kept]
        self.timer.lap("detect")
        associations = []
        for index, (boxes, scores) in zip(fresh, detections):
            associations.append(self.trackers[index].associate(boxes, scores, seconds[index]))
        self.timer.lap("match")
        size = self.embedder.image_size
        crops = []  # (D, h, w, 3) uint8 RGB per camera
        for index, association in zip(fresh, associations):
            crops.append(crop_people(frames[index], association.boxes[association.due], size))
        self.timer.lap("crop")
        embeddings = self._embed(crops)  # (D, E) per camera
        self.timer.lap("embed")
        results = [None] * len(frames)
        for index, association, vectors in zip(fresh, associations, embeddings):
            person_ids, similarities = self.trackers[index].update(association, vectors)
            for box, person in association.clear_views():
                if person.wants_crop:
                    person.keep_best_crop(cut(frames[index], box))
            results[index] = FrameResult(
                association.boxes, association.scores, person_ids, similarities, len(vectors), tuple(association.tracks)
            )
        self.identities.forget_oldest()
        self.timer.lap("match")
        return results

    def _embed(self, crops) -> list:
        """Embeds the crops of all cameras together; returns the embeddings (D, E) of each."""
        counts = [len(images) for images in crops]
        if not sum(counts):
            return [np.zeros((0, 1), np.float32) for _ in crops]
        return np.split(self.embedder.embed(np.concatenate(crops)), np.cumsum(counts)[:-1])

    def seen_together(self, person_id: int, other_id: int) -> bool:
        """Whether one camera shows both people now, so that they are certainly two."""
        return any({person_id, other_id} <= tracker.person_ids() for tracker in self.trackers)
