"""The people that all cameras know: their ids, names, embeddings and crops, and the similarity threshold.

A person has an id from 1 up that is never reused. Which box shows which person is decided in utils/live/tracks.py.
"""

from __future__ import annotations

import heapq
import time
import unicodedata
from collections import deque
from statistics import NormalDist
from typing import NamedTuple

import cv2
import numpy as np

# Chosen on simulated scenes of odd seeds and on frames 1 to 400 of vtest.avi, as those of utils/live/tracks.py.
FALSE_ACCEPTS = 0.2  # share of decisions about a new person that give the number of one of the n people known
MIN_PAIRS = 30  # similarities of people seen together before the threshold is learned from them
PAIRS_KEPT = 2000  # newest such similarities
CENTERING = 2  # people known from which half of what all have in common is subtracted
MAX_MEMORY = 2**30  # bytes for the embeddings of people; beyond that, the person who was not seen for longest goes
COARSE_FROM = 5000  # people from which a search compares COARSE_SIZE numbers first
COARSE_SIZE = 256  # numbers of the coarse search
COARSE_BEST = 64  # people of a coarse search who are compared exactly
MAX_NAME_LENGTH = 40  # characters
DEFAULT_THRESHOLD = 0.6  # cosine similarity; a guess for models without a measured threshold
MAX_CROPS = 4  # crops kept of a person with a name; one is kept of all others
CROP_INTERVAL = 2.0  # seconds between two crops of a person; sooner they look the same


class Request(NamedTuple):
    """What the user asked for in the window or on the page: "name", "forget" or "quit"."""

    action: str
    person_id: int = 0  # for "name" and "forget"
    name: str = ""  # for "name"; a result of clean_name


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


class Identities:
    """All people known, and the similarity from which a new embedding is recognised as one of them.

    A person is the mean of his or her embeddings. Embeddings of one scene have light, background and camera in common,
    so the mean of all people is subtracted before they are compared (as in camera-based batch normalization, Zhuang et
    al. 2020), the more the more people are known. The result is scaled so that it stays comparable with the plain
    cosine and with the threshold that comes with a model.

    How similar different people are depends on the scene too, so the threshold can be learned: two people in one frame
    are different for certain. Their similarities are taken as normally distributed; the threshold is the one that a
    new person exceeds with a chance of FALSE_ACCEPTS when compared with everybody known.
    """

    def __init__(self, threshold: float = DEFAULT_THRESHOLD, learn: bool = False, unnamed: str = "number"):
        """Starts without people.

        threshold: cosine similarity, -1 to 1.
        learn: whether `threshold` is only the first one and is then learned from the scene.
        unnamed: "number" gives each new person an id; "unknown" recognises only people who were added with a name.
        """
        self.unnamed = unnamed
        self.people = []
        self.last_id = 0
        self._by_id = {}
        self._learn = learn
        self._first_threshold = threshold
        self._apart = deque(maxlen=PAIRS_KEPT)
        self._moments = None  # mean and standard deviation of _apart, if there are enough
        self._rows = np.zeros((0, 0), np.float32)  # (capacity, E) of norm 1, of the people in their order
        self._coarse = None  # (capacity, COARSE_SIZE) of the same, if there are many
        self._projection = None  # (E, COARSE_SIZE)
        self._sum = 0.0  # (E,) of the rows

    # ---- similarity ----

    def similarity(self, embeddings: np.ndarray) -> np.ndarray:
        """Embeddings (N, E) of norm 1 -> (N, P) float32, the similarity of each to each known person, up to 1.

        With more than COARSE_FROM people, only the most similar ones of each embedding are exact.
        """
        count = len(self.people)
        if not count or not len(embeddings):
            return np.zeros((len(embeddings), count), np.float32)
        center, common = self._common()
        looks = centered(embeddings, center)
        products = self._products(np.vstack([looks, center]).astype(np.float32))  # (N + 1, P)
        norms = np.sqrt(np.maximum(1 - 2 * products[-1] + center @ center, 1e-6))  # of the centered people
        cosines = (products[:-1] - (looks @ center)[:, np.newaxis]) / norms
        return common + (1 - common) * cosines

    def compare(self, embeddings: np.ndarray) -> np.ndarray:
        """Embeddings (N, E) of norm 1 -> (N, N), the similarity to each other, comparable with `similarity`."""
        if not self.people:
            return embeddings @ embeddings.T
        center, common = self._common()
        looks = centered(embeddings, center)
        return common + (1 - common) * (looks @ looks.T)

    def _common(self) -> tuple:
        """What all people have in common: the vector (E,) that is subtracted, and its share of the cosine."""
        count = len(self.people)
        center = (self._sum / (count + CENTERING)).astype(np.float32)
        return center, (1 + 2 * CENTERING / count) * float(center @ center)

    def _products(self, vectors: np.ndarray) -> np.ndarray:
        """(N, E) -> (N, P) dot products with all people."""
        count = len(self.people)
        if count < COARSE_FROM:
            return vectors @ self._rows[:count].T
        if self._coarse is None:
            size = self._rows.shape[1]
            random = np.random.default_rng(0).normal(size=(size, min(COARSE_SIZE, size)))
            self._projection = (np.linalg.qr(random)[0] * np.sqrt(size / min(COARSE_SIZE, size))).astype(np.float32)
            self._coarse = self._rows @ self._projection
        products = (vectors @ self._projection) @ self._coarse[:count].T
        best = np.unique(np.argpartition(products, -COARSE_BEST, axis=1)[:-1, -COARSE_BEST:])
        products[:, best] = vectors @ self._rows[best].T
        return products

    # ---- people ----

    def add(self, embeddings: np.ndarray, name=None) -> Person:
        """Adds a new person with embeddings (K, E) of norm 1, K from 1 up."""
        self.last_id += 1
        mean = np.mean(embeddings, axis=0)
        person = Person(self.last_id, len(self.people), mean, len(embeddings), name)
        self.people.append(person)
        self._by_id[person.person_id] = person
        if person.row >= len(self._rows):
            self._grow(len(mean))
        self._write(person)
        return person

    def add_unnamed(self, embeddings: np.ndarray):
        """Adds a new person without a name, as `add`; returns None if unnamed people stay unknown."""
        return self.add(embeddings) if self.unnamed == "number" else None

    def learn(self, person: Person, embedding: np.ndarray, looks: int = 1) -> None:
        """The mean of the person takes in an embedding (E,), which is itself the mean of so many looks."""
        person.looks += looks
        person.mean = person.mean + (embedding - person.mean) * (looks / person.looks)
        self._write(person)

    def _grow(self, size: int) -> None:
        capacity = max(64, 3 * len(self._rows) // 2)
        rows = np.zeros((capacity, size), np.float32)
        if len(self._rows):
            rows[: len(self._rows)] = self._rows
        self._rows = rows
        if self._coarse is not None:
            self._coarse = np.vstack([self._coarse, np.zeros((capacity - len(self._coarse), COARSE_SIZE), np.float32)])

    def _write(self, person: Person) -> None:
        self._set_row(person.row, normalised(person.mean))

    def _set_row(self, row: int, vector) -> None:
        self._sum = self._sum + vector - self._rows[row].astype(np.float64)
        self._rows[row] = vector
        if self._coarse is not None:
            self._coarse[row] = self._rows[row] @ self._projection

    def _remove(self, person: Person) -> None:
        """The last person takes the row of the one who goes."""
        last = self.people.pop()
        vector = self._rows[last.row].copy()
        self._set_row(last.row, 0.0)
        if last is not person:
            self._set_row(person.row, vector)
            self.people[person.row] = last
            last.row = person.row
        del self._by_id[person.person_id]

    # ---- threshold ----

    @property
    def threshold(self) -> float:
        """The similarity from which an embedding is recognised."""
        if not self._learn or self._moments is None:
            return self._first_threshold
        mean, deviation = self._moments
        rate = FALSE_ACCEPTS / max(len(self.people), 1)
        return min(mean + NormalDist().inv_cdf(1 - rate) * deviation, 0.99)

    @property
    def deviation(self) -> float:
        """The standard deviation of the similarity of different people; a guess before it is learned."""
        return (1 - self._first_threshold) / 4 if self._moments is None else self._moments[1]

    def learn_threshold(self, similarities) -> None:
        """Learns from similarities of embeddings to people who are certainly someone else."""
        self._apart.extend(similarities)
        if len(similarities) and len(self._apart) >= MIN_PAIRS:
            self._moments = float(np.mean(self._apart)), max(float(np.std(self._apart)), 1e-3)

    def count_seen(self) -> int:
        """The number of people that a camera has seen, including those merged or forgotten later."""
        return self.last_id - sum(person.last_seen is None for person in self.people)

    def find(self, person_id: int):
        """The person with this id, None if there is none."""
        return self._by_id.get(person_id)

    def find_name(self, name: str):
        """The person with this name, None if there is none."""
        return next((person for person in self.people if person.name == name), None)

    def name(self, person_id: int, name: str):
        """Names a person and returns it. If another person has the name, the two are merged into that one.

        Returns None if there is no such person.
        """
        person = self.find(person_id)
        if person is None:
            return None
        others = [other for other in self.people if other.name == name and other is not person]
        if not others:
            person.name = name
            return person
        self.learn(others[0], person.mean, person.looks)
        others[0].merge(person)
        self._remove(person)
        return others[0]

    def forget(self, person_id: int):
        """Deletes all data of a person; returns the person, None if there is no such person."""
        person = self.find(person_id)
        if person is not None:
            person.forgotten = True
            self._remove(person)
            person.mean = None
            person.crops = []
        return person

    def mark_seen(self, person: Person, camera: str) -> None:
        """Notes that a camera sees the person now."""
        person.last_seen = time.monotonic()
        person.camera = camera

    def forget_oldest(self) -> None:
        """Bounds the memory: beyond MAX_MEMORY, forgets the unnamed people who were not seen for longest."""
        excess = len(self.people) - MAX_MEMORY // max(4 * self._rows.shape[1], 1)
        if excess > 0 and self.people:
            unnamed = [person for person in self.people if person.name is None]
            for person in heapq.nsmallest(excess, unnamed, key=lambda person: person.last_seen or 0):
                self.forget(person.person_id)


def centered(vectors: np.ndarray, center: np.ndarray) -> np.ndarray:
    """(N, E) minus (E,) -> (N, E) of norm 1."""
    moved = vectors - center
    return moved / np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-6)


def normalised(vector: np.ndarray) -> np.ndarray:
    """(E,) -> (E,) of norm 1."""
    return vector / max(np.linalg.norm(vector), 1e-12)


def clarity(crop: np.ndarray) -> float:
    """The sharpness of a crop (h, w, 3) uint8 RGB: the variance of its Laplacian at 64x128, low if small or blurred."""
    gray = cv2.cvtColor(cv2.resize(crop, (64, 128), interpolation=cv2.INTER_LINEAR), cv2.COLOR_RGB2GRAY)
    return float(cv2.Laplacian(gray, cv2.CV_32F).var())


def clean_name(text) -> str:
    """Normalises a name that can also name a folder: trimmed, 1 to MAX_NAME_LENGTH printable characters.

    Raises ValueError with a sentence for the user if the name is not valid.
    """
    name = unicodedata.normalize("NFC", text).strip() if isinstance(text, str) else ""
    if not 0 < len(name) <= MAX_NAME_LENGTH:
        raise ValueError(f"A name has 1 to {MAX_NAME_LENGTH} characters.")
    if name.isdigit():
        raise ValueError("A name cannot be a number, since people without a name have numbers: add a letter.")
    if not name.isprintable() or set(name) & set('/\\:*?"<>|') or name.startswith("."):
        raise ValueError('A name cannot start with a dot or contain a slash or one of : * ? " < > |.')
    return name
