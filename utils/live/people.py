"""Where the people are kept that the demo knows: the interface of all stores, and the store that is memory alone.

The people themselves are in Identities (utils/live/identities.py), which tells its store of all that changes and is
told by it what changed elsewhere. A store holds numbers, names, embeddings, and when and where somebody was last seen;
never an image. There are three: MemoryPeople, FilePeople (people_file.py) and RedisPeople (people_redis.py).
"""

from __future__ import annotations

import math
import time
from typing import NamedTuple

import numpy as np

from utils.deploy.manifest import fingerprint

EXPIRY_SECONDS = 10.0  # between two searches for people who have expired


class Known(NamedTuple):
    """What a store holds of one person.

    mean: (E,) float32 mean of `looks` embeddings; None if the person was forgotten or merged. name, camera: None or
    text. seen: seconds since 1970 of the last sighting, None before the first. until: when the person is forgotten,
    in the same seconds. merged_into: the number of the person that this one turned out to be, else 0.
    """

    person_id: int
    mean: np.ndarray | None = None
    looks: int = 0
    name: str | None = None
    camera: str | None = None
    seen: float | None = None
    until: float = math.inf
    merged_into: int = 0


class Later(Exception):
    """Nobody new can have a number yet: somebody who is not known here has just got one elsewhere.

    Decide again in the next frame, when that person is known: it may be the same one.
    """


class MemoryPeople:
    """Keeps nothing: the people are lost at the end. Other stores replace what they need."""

    def start(self, identities) -> None:
        """Fills `identities` with the people that the store holds. Called once, before the first frame."""
        self.identities = identities

    def new_number(self, next_number: int, mean: np.ndarray, looks: int, name) -> int:
        """The number of somebody new, with the mean (E,) of so many embeddings; Later if there is none yet.

        next_number: one more than the last number that was given here.
        """
        return next_number

    def learned(self, person, embedding: np.ndarray, looks: int) -> None:
        """The mean of a person has taken in an embedding (E,), itself the mean of so many looks."""

    def seen(self, person) -> None:
        """A camera sees the person now."""

    def named(self, person) -> None:
        """The person has another name."""

    def merged(self, person, into) -> None:
        """The person turned out to be `into`, and is gone."""

    def forgotten(self, person) -> None:
        """The person was deleted and must be deleted everywhere."""

    def enrolled(self, person) -> None:
        """The person is in the gallery of this demo, and so does not expire while it runs."""

    def sync(self) -> list:
        """To be called before each frame: takes in what changed elsewhere, without waiting for it.

        Returns the Persons whom another demo was told to forget.
        """
        return []

    def close(self) -> None:
        """Saves what is not saved. Called once, after the last frame."""

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback) -> None:
        self.close()


class LastingPeople(MemoryPeople):
    """What the stores that outlast the demo have in common: people expire, and are described as Known."""

    def __init__(self, seconds: float):
        """seconds: how long after the last sighting a person is forgotten."""
        self.seconds = seconds
        self._until = {}  # person_id -> when the person expires
        self._in_gallery = set()  # ids of people who do not
        self._next_expiry = 0.0  # time.monotonic()

    def now(self) -> float:
        """Seconds since 1970 by the clock of the store."""
        return time.time()

    def enrolled(self, person) -> None:
        self._in_gallery.add(person.person_id)

    def seen(self, person) -> None:
        self._until[person.person_id] = self.now() + self.seconds

    def take_in(self, known: Known):
        """Adds or updates a person as the store has it; returns the Person, None if only names count here."""
        if known.name is None and self.identities.unnamed == "unknown":
            return None
        last_seen = None if known.seen is None else time.monotonic() - max(self.now() - known.seen, 0.0)
        self._until[known.person_id] = known.until
        return self.identities.restore(known, last_seen)

    def drop(self, person_id: int):
        """Removes a person here, as one who is gone from the store; returns the Person, None if it was not known."""
        self._until.pop(person_id, None)
        self._in_gallery.discard(person_id)
        return self.identities.drop(person_id)

    def describe(self, person) -> Known:
        """The person as Known."""
        seen = None if person.last_seen is None else self.now() - (time.monotonic() - person.last_seen)
        until = self._until.setdefault(person.person_id, self.now() + self.seconds)
        if person.person_id in self._in_gallery:
            until = max(until, self.now() + self.seconds)
        return Known(person.person_id, person.mean, person.looks, person.name, person.camera, seen, until)

    def expire(self) -> list:
        """Drops the people who have expired; returns their ids, [] if it is too early to look again."""
        if time.monotonic() < self._next_expiry:
            return []
        self._next_expiry = time.monotonic() + min(EXPIRY_SECONDS, self.seconds)
        now = self.now()
        over = [key for key, until in self._until.items() if until <= now and key not in self._in_gallery]
        for person_id in over:
            self.drop(person_id)
        return over


def open_people(place, folder, manifest: dict, hours: float) -> MemoryPeople:
    """The store of --people: None for memory, the address of a Redis server, or the path of a .npz file.

    folder, manifest: of the frozen re-id net; hours: how long after the last sighting a person is forgotten.
    InputError if the store cannot be used.
    """
    if place is None:
        return MemoryPeople()
    net = fingerprint(folder, manifest)
    if "://" in place:
        from utils.live.people_redis import RedisPeople

        return RedisPeople(place, net, 3600 * hours)
    from utils.live.people_file import FilePeople

    return FilePeople(place, net, 3600 * hours)
