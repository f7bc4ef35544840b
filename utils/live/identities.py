"""The people that all cameras know: their ids, names, embeddings and crops, and the similarity threshold.

A person has an id from 1 up that is never reused. Which box shows which person is decided in utils/live/tracks.py.
"""

from __future__ import annotations

import time
import unicodedata
from collections import deque
from typing import NamedTuple

import cv2
import numpy as np

GALLERY_SIZE = 16  # embeddings kept per person: a few views, such as front, back and shade
NEAREST = 3  # nearest embeddings whose mean similarity counts, so that one outlier decides nothing
MAX_PEOPLE = 200  # unnamed people kept; beyond that, the person who was not seen for longest is forgotten
APART_KEPT = 2000  # newest similarities of different people that the threshold is learned from
MIN_PAIRS = 30  # such similarities before the threshold is learned at all
PERCENTILE = 97  # of those similarities that becomes the threshold
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
    """One person: id, name, gallery of embeddings, best crops, and where the person was last seen.

    Attributes:
        person_id: number from 1 up.
        name: str, None if the person has no name.
        gallery: (K, E) float32 embeddings of norm 1, K up to GALLERY_SIZE.
        crops: [(clarity, image (h, w, 3) uint8 RGB)], clearest first.
        camera: name of the camera that saw the person last, None before that.
        last_seen: time.monotonic() of that, None for a person who was only enrolled.
        merged_into: the Person that this one turned out to be, else None.
        forgotten: whether the person was deleted at the user's request or for lack of room.
    """

    def __init__(self, person_id: int, embeddings: np.ndarray, name=None):
        """embeddings: (K, E) of norm 1."""
        self.person_id = person_id
        self.name = name
        self.gallery = np.empty((0, embeddings.shape[1]), np.float32)
        self.crops = []
        self.camera = None
        self.last_seen = None
        self.merged_into = None
        self.forgotten = False
        self._last_crop = -np.inf  # time.monotonic() of the last crop that was considered
        for embedding in embeddings:
            self.learn(embedding)

    @property
    def label(self) -> str:
        """The name, or the id as text."""
        return self.name or str(self.person_id)

    def learn(self, embedding: np.ndarray) -> None:
        """Adds an embedding (E,). In a full gallery the two most similar embeddings are replaced by their mean."""
        gallery = np.vstack([self.gallery, embedding.astype(np.float32)])
        if len(gallery) > GALLERY_SIZE:
            similarity = gallery @ gallery.T
            np.fill_diagonal(similarity, -np.inf)
            first, second = np.unravel_index(np.argmax(similarity), similarity.shape)
            gallery[first] = normalised(gallery[first] + gallery[second])
            gallery = np.delete(gallery, second, axis=0)
        self.gallery = gallery

    def merge(self, other: Person) -> None:
        """Takes over the embeddings, crops and last sighting of `other`, who turned out to be this person."""
        for embedding in other.gallery:
            self.learn(embedding)
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

    How similar different people look depends on the net and on the scene, so the threshold can be learned: two people
    in one frame are different people for certain. The learned threshold is the PERCENTILE of their similarities.
    """

    def __init__(self, threshold: float = DEFAULT_THRESHOLD, learn: bool = False, unnamed: str = "number"):
        """Starts without people.

        threshold: cosine similarity, -1 to 1.
        learn: whether `threshold` is only the first one and is then learned from the scene.
        unnamed: "number" gives each new person an id; "unknown" recognises only people who were added with a name.
        """
        self.threshold = threshold
        self.unnamed = unnamed
        self.people = []
        self.last_id = 0
        self._apart = deque(maxlen=APART_KEPT) if learn else None

    def similarity(self, embeddings: np.ndarray) -> np.ndarray:
        """Embeddings (N, E) of norm 1 -> (N, P), the similarity of each to each known person (gallery_similarity)."""
        if not self.people or not len(embeddings):
            return np.zeros((len(embeddings), len(self.people)), np.float32)
        ends = np.cumsum([len(person.gallery) for person in self.people])
        cosines = embeddings @ np.concatenate([person.gallery for person in self.people]).T  # (N, all embeddings)
        columns = np.split(cosines, ends[:-1], axis=1)  # P of (N, K)
        return np.stack([gallery_similarity(column) for column in columns], axis=1)

    def add(self, embeddings: np.ndarray, name=None) -> Person:
        """Adds a new person with embeddings (K, E) of norm 1, K from 1 up."""
        self.last_id += 1
        person = Person(self.last_id, embeddings, name)
        self.people.append(person)
        return person

    def add_unnamed(self, embeddings: np.ndarray):
        """Adds a new person without a name, as `add`; returns None if unnamed people stay unknown."""
        return self.add(embeddings) if self.unnamed == "number" else None

    def learn_threshold(self, similarities) -> None:
        """Learns from similarities of embeddings to people who are certainly someone else."""
        if self._apart is None:
            return
        self._apart.extend(similarities)
        if len(self._apart) >= MIN_PAIRS:
            self.threshold = float(np.percentile(self._apart, PERCENTILE))

    def count_seen(self) -> int:
        """The number of people that a camera has seen, including those merged or forgotten later."""
        return self.last_id - sum(person.last_seen is None for person in self.people)

    def find(self, person_id: int):
        """The person with this id, None if there is none."""
        return next((person for person in self.people if person.person_id == person_id), None)

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
        others[0].merge(person)
        self.people.remove(person)
        return others[0]

    def forget(self, person_id: int):
        """Deletes all data of a person; returns the person, None if there is no such person."""
        person = self.find(person_id)
        if person is not None:
            person.forgotten = True
            person.gallery = person.gallery[:0]
            person.crops = []
            self.people.remove(person)
        return person

    def mark_seen(self, person: Person, camera: str) -> None:
        """Notes that a camera sees the person now."""
        person.last_seen = time.monotonic()
        person.camera = camera

    def forget_oldest(self) -> None:
        """Bounds the memory: keeps the MAX_PEOPLE unnamed people who were seen last."""
        unnamed = [person for person in self.people if person.name is None]
        excess = len(unnamed) - MAX_PEOPLE
        if excess > 0:
            for person in sorted(unnamed, key=lambda person: person.last_seen)[:excess]:
                self.forget(person.person_id)


def gallery_similarity(cosines: np.ndarray) -> np.ndarray:
    """Cosine similarities (N, K) to the K embeddings of one gallery -> (N,) similarity to the person.

    The mean of the NEAREST highest ones. A gallery of up to NEAREST embeddings, such as one front and one back view,
    gives the highest one.
    """
    count = cosines.shape[1]
    if count <= NEAREST:
        return cosines.max(axis=1)
    return np.partition(cosines, count - NEAREST, axis=1)[:, -NEAREST:].mean(axis=1)


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
    if not name.isprintable() or set(name) & set('/\\:*?"<>|') or name.startswith(".") or name.isdigit():
        raise ValueError('A name cannot be a number, start with a dot or contain a slash or one of : * ? " < > |.')
    return name
