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

import numpy as np

from utils.errors import InputError
from utils.live.people import Later, MemoryPeople
from utils.live.person import Person

# Chosen on simulated scenes of odd seeds and on frames 1 to 400 of vtest.avi, as those of utils/live/tracks.py.
FALSE_ACCEPTS = 0.2  # share of decisions about a new person that give the number of one of the n people known
MIN_PAIRS = 30  # similarities of people seen together before the threshold is learned from them
PAIRS_KEPT = 2000  # newest such similarities
CENTERING = 2  # people known from which half of what all have in common is subtracted
MAX_MEMORY = 2**30  # bytes for the embeddings of people; beyond that, the person who was not seen for longest goes
COARSE_FROM = 5000  # people from which a search compares COARSE_SIZE numbers first
COARSE_SIZE = 256  # numbers of the coarse search
COARSE_BEST = 64  # people of a coarse search who are compared exactly
ENROL_SECONDS = 10.0  # to wait for the number of a person of the gallery
MAX_NAME_LENGTH = 40  # characters
DEFAULT_THRESHOLD = 0.6  # cosine similarity; a guess for models without a measured threshold


class Request(NamedTuple):
    """What the user asked for in the window or on the page: "name", "forget" or "quit"."""

    action: str
    person_id: int = 0  # for "name" and "forget"
    name: str = ""  # for "name"; a result of clean_name


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

    def __init__(self, threshold: float = DEFAULT_THRESHOLD, learn: bool = False, unnamed: str = "number", store=None):
        """Starts with the people of the store.

        threshold: cosine similarity, -1 to 1.
        learn: whether `threshold` is only the first one and is then learned from the scene.
        unnamed: "number" gives each new person an id; "unknown" recognises only people who were added with a name.
        store: as in utils/live/people.py, which is told of all changes; None keeps the people in memory only.
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
        self._seen = set()  # ids of all people whom a camera saw
        self.store = store or MemoryPeople()
        self.store.start(self)

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
        """Adds a new person with embeddings (K, E) of norm 1, K from 1 up; Later if the store has no number yet."""
        mean = np.mean(embeddings, axis=0)
        self.last_id = self.store.new_number(self.last_id + 1, mean, len(embeddings), name)
        return self._insert(self.last_id, mean, len(embeddings), name)

    def _insert(self, person_id: int, mean: np.ndarray, looks: int, name) -> Person:
        person = Person(person_id, len(self.people), mean, looks, name)
        self.people.append(person)
        self._by_id[person_id] = person
        if person.row >= len(self._rows):
            self._grow(len(mean))
        self._write(person)
        return person

    def enrol(self, embeddings: np.ndarray, name: str) -> Person:
        """Adds a person with a name, as `add`; one whom the store has under this name learns the embeddings."""
        deadline = time.monotonic() + ENROL_SECONDS
        while True:
            person = self.find_name(name)
            if person is not None:
                self.learn(person, np.mean(embeddings, axis=0), len(embeddings))
                break
            try:
                person = self.add(embeddings, name)
                break
            except Later:
                if time.monotonic() > deadline:
                    raise InputError(
                        f"{name} got no number within {ENROL_SECONDS:.0f} s: check that the server of --people can be "
                        "reached"
                    ) from None
                time.sleep(0.01)
                self.store.sync()
        self.store.enrolled(person)
        return person

    def add_unnamed(self, embeddings: np.ndarray):
        """Adds a new person without a name, as `add`; returns None if unnamed people stay unknown."""
        return self.add(embeddings) if self.unnamed == "number" else None

    def learn(self, person: Person, embedding: np.ndarray, looks: int = 1) -> None:
        """The mean of the person takes in an embedding (E,), which is itself the mean of so many looks."""
        person.looks += looks
        person.mean = person.mean + (embedding - person.mean) * (looks / person.looks)
        self._write(person)
        self.store.learned(person, embedding, looks)

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
        return len(self._seen)

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
            self.store.named(person)
            return person
        self.merge(person, others[0])
        return others[0]

    def merge(self, person: Person, into: Person) -> None:
        """Two people turned out to be one: `into` stays, and learns what was known of `person`."""
        self.learn(into, person.mean, person.looks)
        self.join(person, into)
        self.store.merged(person, into)

    def forget(self, person_id: int):
        """Deletes all data of a person, here and in the store; returns the person, None if there is no such person."""
        person = self.drop(person_id)
        if person is not None:
            self.store.forgotten(person)
        return person

    # ---- for the store, which is not told of these changes ----

    def restore(self, known, last_seen) -> Person:
        """Adds or updates a person from a Known with a mean; last_seen: time.monotonic() of it, None before that."""
        person = self.find(known.person_id)
        if person is None:
            person = self._insert(known.person_id, known.mean, known.looks, known.name)
        else:
            person.mean = known.mean
            person.looks = known.looks
            person.name = known.name
            self._write(person)
        if last_seen is not None and (person.last_seen is None or last_seen > person.last_seen):
            person.last_seen = last_seen
            person.camera = known.camera
        return person

    def join(self, person: Person, into: Person) -> None:
        """Removes a person who turned out to be `into`."""
        into.merge(person)
        self._remove(person)

    def drop(self, person_id: int):
        """Deletes all data of a person here; returns the person, None if there is no such person."""
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
        self._seen.add(person.person_id)
        self.store.seen(person)

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
