"""People known to all cameras: their numbers and names, what they look like, and how alike two strangers may be.

Pure numpy. A person is a number from 1 up, never given twice, with a bounded gallery of embeddings. Which box of which
frame is whom is decided in utils/live/tracks.py.
"""

from __future__ import annotations

import time
import unicodedata
from collections import deque

import numpy as np

GALLERY_SIZE = 16  # embeddings kept of a person: a few views, from the front, from behind, in the shade
NEAREST = 3  # embeddings of a larger gallery whose mean similarity counts: a single look that is off decides nothing
MOST_PEOPLE = 200  # of whom galleries are kept; beyond that the unnamed one unseen for longest is forgotten
STRANGERS = 2000  # similarities of different people kept to learn from; FEWEST are enough to begin
FEWEST = 30
PERCENTILE = 97  # of them that the threshold lies above
LONGEST_NAME = 40
FIRST_THRESHOLD = 0.6  # a guess, where nothing was measured


class Person:
    """One identity: its number, name (None if it has none), gallery (K, E) of norm 1, and where it was seen last."""

    def __init__(self, number: int, embeddings: np.ndarray, name=None):
        self.number, self.name = number, name
        self.gallery = np.empty((0, embeddings.shape[1]), np.float32)
        self.portraits, self.portrayed = (
            [],
            0.0,
        )  # utils/live/gallery.py keeps (clarity, crop) there, best first, and when
        self.camera, self.seen = None, None  # seen: seconds of time.monotonic(), None for one who was only enrolled
        self.became, self.forgotten = None, False  # the person that this one turned out to be, if so
        for embedding in embeddings:
            self.learn(embedding)

    @property
    def label(self) -> str:
        return self.name or str(self.number)

    def learn(self, embedding: np.ndarray) -> None:
        """Adds an embedding (E,); once the gallery is full, the two that are most alike become their mean."""
        gallery = np.vstack([self.gallery, embedding.astype(np.float32)])
        if len(gallery) > GALLERY_SIZE:
            alike = gallery @ gallery.T
            np.fill_diagonal(alike, -np.inf)
            first, second = np.unravel_index(np.argmax(alike), alike.shape)
            gallery[first] = normalised(gallery[first] + gallery[second])
            gallery = np.delete(gallery, second, axis=0)
        self.gallery = gallery


class Identities:
    """Everybody known, and the similarity that it takes to be known again.

    How alike two strangers look differs from net to net and from scene to scene, so the threshold can be learnt: two
    people in one frame are strangers for certain, and to be known again takes more than nearly all of those reach.
    """

    def __init__(self, threshold: float = FIRST_THRESHOLD, learn: bool = False, strangers: str = "number"):
        """threshold: a cosine from -1 to 1; learn: take it as a first one and learn that of the scene.

        strangers: "number" gives each new person a number, "unknown" knows nobody but whom it was told of.
        """
        self.threshold, self.strangers = threshold, strangers
        self._apart = deque(maxlen=STRANGERS) if learn else None
        self.people = []
        self.count = 0  # numbers given so far

    def similarity(self, embeddings: np.ndarray) -> np.ndarray:
        """(N, E) of norm 1 -> (N, P): how alike each is to each known person, as resemblance says."""
        if not self.people or not len(embeddings):
            return np.zeros((len(embeddings), len(self.people)), np.float32)
        ends = np.cumsum([len(person.gallery) for person in self.people])
        cosines = embeddings @ np.concatenate([person.gallery for person in self.people]).T  # (N, all embeddings)
        return np.stack([resemblance(some) for some in np.split(cosines, ends[:-1], axis=1)], axis=1)

    def add(self, embeddings: np.ndarray, name=None) -> Person:
        """A new person from embeddings (K, E) of norm 1, K from 1 up."""
        self.count += 1
        person = Person(self.count, embeddings, name)
        self.people.append(person)
        return person

    def stranger(self, embeddings: np.ndarray):
        """A new person who came by, or None where strangers get no number."""
        return self.add(embeddings) if self.strangers == "number" else None

    def learn_threshold(self, similarities) -> None:
        """similarities of people to others who were surely someone else."""
        if self._apart is None:
            return
        self._apart.extend(similarities)
        if len(self._apart) >= FEWEST:
            self.threshold = float(np.percentile(self._apart, PERCENTILE))

    def count_seen(self) -> int:
        """Of the numbers given, how many a camera saw: who was only enrolled does not count."""
        return self.count - sum(person.seen is None for person in self.people)

    def called(self, name: str):
        """The person of that name, or None."""
        return next((person for person in self.people if person.name == name), None)

    def find(self, number: int):
        """The person of that number, or None."""
        return next((person for person in self.people if person.number == number), None)

    def name(self, number: int, name: str):
        """Names a person; who has the name already and this one are the same from then on. Returns who has it now."""
        person = self.find(number)
        if person is None:
            return None
        known = next((other for other in self.people if other.name == name and other is not person), None)
        if known is None:
            person.name = name
            return person
        for embedding in person.gallery:
            known.learn(embedding)
        known.portraits = sorted(known.portraits + person.portraits, key=lambda some: -some[0])[
            : len(known.portraits) or 1
        ]
        if (known.seen or 0) < (person.seen or 0):
            known.seen, known.camera = person.seen, person.camera
        person.became = known
        self.people.remove(person)
        return known

    def forget(self, number: int):
        """Drops all that is known of a person; returns whom, or None if there was nobody."""
        person = self.find(number)
        if person is not None:
            person.forgotten, person.gallery, person.portraits = True, person.gallery[:0], []
            self.people.remove(person)
        return person

    def was_seen(self, person: Person, camera: str) -> None:
        person.seen, person.camera = time.monotonic(), camera

    def forget_oldest(self) -> None:
        """Keeps memory bounded; who has a name stays."""
        nameless = [person for person in self.people if person.name is None]
        if len(nameless) > MOST_PEOPLE:
            nameless.sort(key=lambda person: person.seen)
            for person in nameless[: len(nameless) - MOST_PEOPLE]:
                self.forget(person.number)


def resemblance(cosines: np.ndarray) -> np.ndarray:
    """Cosines (N, K) to the K embeddings of a gallery -> (N,).

    The mean of the NEAREST ones. Of no more than that, such as one picture from the front and one from behind, the
    nearest alone.
    """
    count = cosines.shape[1]
    if count <= NEAREST:
        return cosines.max(axis=1)
    return np.partition(cosines, count - NEAREST, axis=1)[:, -NEAREST:].mean(axis=1)


def normalised(vector: np.ndarray) -> np.ndarray:
    """(E,) -> (E,) of norm 1."""
    return vector / max(np.linalg.norm(vector), 1e-12)


def clean_name(text) -> str:
    """A name as it may become a folder's: trimmed, 1 to 40 printable characters; ValueError with a sentence if not."""
    name = unicodedata.normalize("NFC", text).strip() if isinstance(text, str) else ""
    if not 0 < len(name) <= LONGEST_NAME:
        raise ValueError(f"A name has 1 to {LONGEST_NAME} characters.")
    if not name.isprintable() or set(name) & set('/\\:*?"<>|') or name.startswith(".") or name.isdigit():
        raise ValueError("A name has letters, digits, spaces and signs, but no slash and no dot in front.")
    return name
