"""One track of utils/live/tracks.py: the boxes of one person, and who that is."""

from __future__ import annotations

import numpy as np

from utils.live.identities import normalised
from utils.live.motion import Motion, center_of

ASPECT = 0.4  # width to height of a person's box, so that a distance in widths is comparable with one in heights


class Track:
    """The boxes of one person over time, and who that person is.

    Attributes:
        motion: where the person is expected.
        first_box, box: (4,) the first and the newest box; first, last: their seconds.
        count: boxes so far; previous: the Track that this one continues after an ambiguous link, else None.
        person: the Person, None before the decision and for unknown people; guess: the most similar one until then.
        decided: whether the person is final; waits: whether the track is over and shows nobody known, but perhaps a new
            person together with others.
        similarity: of the last embeddings to the person, nan if there are none.
        embeddings: (E,) each, until the decision; clear: whether they show this person only.
        last_embedded: (seconds, frame) of the last embedding, None before the first.
    """

    def __init__(self, box: np.ndarray, seconds: float, motion=None, previous=None):
        self.motion = motion or Motion(box)
        self.box = box
        self.first_box = box
        self.first = seconds
        self.last = seconds
        self.count = 1
        self.previous = previous
        self.person = None
        self.guess = None
        self.decided = False
        self.waits = False
        self.similarity = np.nan
        self.embeddings = []
        self.clear = False
        self.last_embedded = None

    def add_box(self, box: np.ndarray, seconds: float) -> None:
        """Continues the track."""
        self.motion.update(box)
        self.box = box
        self.last = seconds
        self.count += 1

    def add_embedding(self, embedding: np.ndarray, clear: bool) -> None:
        """Takes in an embedding (E,); those of crowded boxes count only as long as there is no other."""
        if clear and not self.clear:
            self.embeddings = []
        self.clear = self.clear or clear
        if clear or not self.clear:
            self.embeddings.append(embedding)

    def mean_embedding(self) -> np.ndarray:
        """(E,) of norm 1."""
        return normalised(np.mean(self.embeddings, axis=0))

    def is_apart(self, other) -> bool:
        """Whether the two tracks are never in one frame, so that they can show one person."""
        return self.last < other.first or other.last < self.first

    def shown_person(self):
        """The person to show now: before the decision the most similar one, or that of the track it continues."""
        if self.decided:
            return self.person
        if self.guess is not None or self.previous is None:
            return self.guess
        return self.previous.shown_person()


def nearness(track: Track, last: Track) -> float:
    """How well the start of a track continues the last one of a person: 1 at the expected place, -1 out of reach.

    Someone can be half a box height off, as boxes jitter, and move by one height a second.
    """
    age = max(track.first - last.last, 0.0)
    size = np.maximum(center_of(last.box)[2:], 1e-6)
    down, across = np.abs(center_of(track.first_box) - center_of(last.box))[:2] / size
    distance = np.hypot(down, ASPECT * across)
    reach = 0.5 + age
    return max(-1.0, 1.0 - distance / reach)
