"""One person whom the demo knows: the number or name, the appearance, and the clearest crops."""

from __future__ import annotations

import time

import cv2
import numpy as np

MAX_CROPS = 4  # crops kept of a person with a name; one is kept of all others
CROP_INTERVAL = 2.0  # seconds between two crops of a person; sooner they look the same


class Person:
    """One person: id, name, appearance, best crops, and where the person was last seen.

    Attributes:
        person_id: number from 1 up.
        name: str, None if the person has no name.
        looks: how many embeddings the mean was taken of.
        crops: [(clarity, image (h, w, 3) uint8 RGB)], clearest first.
        camera: name of the camera that saw the person last, None before that.
        last_seen: time.monotonic() of that, None for a person who was only enrolled.
        merged_into: the Person that this one turned out to be, else None.
        forgotten: whether the person was deleted at the user's request or for lack of room.
        row: place in Identities.people; mean: (E,) mean of the embeddings.
    """

    def __init__(self, person_id: int, row: int, mean: np.ndarray, looks: int, name=None):
        """mean: (E,) of `looks` embeddings."""
        self.person_id = person_id
        self.row = row
        self.name = name
        self.mean = mean
        self.looks = looks
        self.crops = []
        self.camera = None
        self.last_seen = None
        self.merged_into = None
        self.forgotten = False
        self._last_crop = -np.inf  # time.monotonic() of the last crop that was considered

    @property
    def label(self) -> str:
        """The name, or the id as text."""
        return self.name or str(self.person_id)

    def merge(self, other: Person) -> None:
        """Takes over the crops and the last sighting of `other`, who turned out to be this person."""
        kept = len(self.crops) or 1
        self.crops = sorted(self.crops + other.crops, key=lambda crop: -crop[0])[:kept]
        if (self.last_seen or 0) < (other.last_seen or 0):
            self.last_seen = other.last_seen
            self.camera = other.camera
        other.merged_into = self

    @property
    def wants_crop(self) -> bool:
        """Whether CROP_INTERVAL seconds have passed since the last crop."""
        return not self.crops or time.monotonic() - self._last_crop >= CROP_INTERVAL

    def keep_best_crop(self, image: np.ndarray) -> None:
        """Keeps a crop (h, w, 3) uint8 RGB if it is among the clearest ones of the person."""
        self._last_crop = time.monotonic()
        count = MAX_CROPS if self.name else 1
        self.crops = sorted([*self.crops, (clarity(image), image)], key=lambda crop: -crop[0])[:count]

    @property
    def best_crop(self):
        """The clearest crop, (h, w, 3) uint8 RGB, None if there is none."""
        return self.crops[0][1] if self.crops else None


def clarity(crop: np.ndarray) -> float:
    """The sharpness of a crop (h, w, 3) uint8 RGB: the variance of its Laplacian at 64x128, low if small or blurred."""
    gray = cv2.cvtColor(cv2.resize(crop, (64, 128), interpolation=cv2.INTER_LINEAR), cv2.COLOR_RGB2GRAY)
    return float(cv2.Laplacian(gray, cv2.CV_32F).var())
