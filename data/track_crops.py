"""Chooses a few good crops of each track: sharp, unoccluded, whole, and spaced in time. Keeps only those in memory."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from utils.boxes import areas
from utils.live.person import clarity

COVERED = 0.1  # share of a box that another one may cover
EDGE = 0.002  # of the frame: a box that is nearer to its edge may show a part of a person only


class Crop(NamedTuple):
    """One view of a person."""

    seconds: float
    frame: int  # its number, from 1
    sharpness: float  # variance of the Laplacian
    image: np.ndarray  # (h, w, 3) uint8 RGB


def covered(boxes: np.ndarray) -> np.ndarray:
    """Boxes (N, 4) -> (N,) the largest share of each that another one covers."""
    start = np.maximum(boxes[:, np.newaxis, :2], boxes[np.newaxis, :, :2])
    end = np.minimum(boxes[:, np.newaxis, 2:], boxes[np.newaxis, :, 2:])
    common = np.prod(np.clip(end - start, 0, None), axis=2)  # (N, N)
    np.fill_diagonal(common, 0)
    return np.max(common, axis=1, initial=0) / np.maximum(areas(boxes), 1e-12)


def are_whole(boxes: np.ndarray, height: int, min_height: float) -> np.ndarray:
    """Boxes (N, 4) in 0..1 -> (N,) bool: uncovered, inside the frame, and at least min_height pixels high.

    height: of the frame in pixels.
    """
    inside = (boxes[:, :2] > EDGE).all(axis=1) & (boxes[:, 2:] < 1 - EDGE).all(axis=1)
    return inside & ((boxes[:, 2] - boxes[:, 0]) * height >= min_height) & (covered(boxes) <= COVERED)


class TrackCrops:
    """The sharpest crop of each interval of a track. The interval doubles whenever there are too many."""

    def __init__(self, track, begun: float, interval: float, most: int):
        """track: of utils/live/track.py; begun: its first second; interval: seconds; most: crops that are kept."""
        self.track = track
        self.begun = begun
        self.last = begun
        self._interval = interval
        self._most = most
        self._crops = {}  # number of the interval -> Crop

    def add(self, seconds: float, frame: int, image: np.ndarray) -> None:
        """Considers a view (h, w, 3) uint8 RGB; frame: its number."""
        self._keep(Crop(seconds, frame, clarity(image), image))
        if len(self._crops) > 2 * self._most:
            self._thin_out()

    def _keep(self, crop: Crop) -> None:
        place = int((crop.seconds - self.begun) / self._interval + 1e-6)
        kept = self._crops.get(place)
        if kept is None or crop.sharpness > kept.sharpness:
            self._crops[place] = crop

    def _thin_out(self) -> None:
        crops = list(self._crops.values())
        self._crops = {}
        self._interval *= 2
        for crop in crops:
            self._keep(crop)

    def best(self) -> list:
        """The crops in the order of time, at most as many as asked for."""
        while len(self._crops) > self._most:
            self._thin_out()
        return [self._crops[place] for place in sorted(self._crops)]
