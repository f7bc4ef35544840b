"""People kept in a Redis server, so that several demos know the same people by the same numbers.

Each demo searches its own copy in memory and so needs no answer of the server to recognise anybody. A thread sends what
is new and fetches what others changed, once in SYNC_SECONDS. Only a number for somebody new is waited for: the server
gives one if this demo knows everybody who was added so far. Otherwise the track is decided again in the next frame,
when it does; so two demos that see a new person at the same moment end with one number.

While the server is away, new people get spare numbers that no other demo has. When it is back they are compared with
the people whom others added meanwhile; those who are the same are merged, the rest keep their numbers.
"""

from __future__ import annotations

import concurrent.futures
import time

import numpy as np

from utils.errors import InputError, first_line
from utils.live.identities import normalised
from utils.live.people import Known, LastingPeople, Later
from utils.live.redis_link import SPARE_COUNT, SPARE_FROM, Outgoing, Pulled, RedisLink, without_password
from utils.live.redis_person import Change

SYNC_SECONDS = 1.0  # between two exchanges with the server
WAIT_SECONDS = 0.25  # that a frame waits for a new number
CLOSE_SECONDS = 3.0  # to send the last changes at the end


class RedisPeople(LastingPeople):
    """The store in a Redis server. All its methods are for the thread of the camera loop."""

    def __init__(self, url: str, fingerprint: str, seconds: float):
        """url: redis://, rediss:// for TLS or unix://, with user and password; the rest as of LastingPeople.

        InputError if the package is missing or the address is none.
        """
        super().__init__(seconds)
        self.name = without_password(url)
        self._link = RedisLink(url, fingerprint, seconds)
        self._failures = (self._link.errors.RedisError, OSError, ValueError, TypeError, KeyError)  # or damaged data
        self._worker = concurrent.futures.ThreadPoolExecutor(1)  # all calls of the server, one after the other
        self._exchange = None  # the Future of the exchange under way, and what it sends
        self._outgoing = None
        self._claim = None  # the Future of a new number that took too long
        self._is_open = False
        self._is_away = False
        self._stored_until = {}  # person_id -> when the person expires in the server
        self._added = 0  # people ever added, as far as they are known here
        self._pull = None  # the Future of what others changed, which is taken in before the next frame
        self._spare = []
        self._next_exchange = 0.0
        # Not sent yet, by number: sums of embeddings and how many, people who changed or have another name, ...
        self._totals = {}
        self._changed = set()
        self._renamed = set()
        self._removed = []
        self._merged = []
        self._new = set()  # people here who are not in the store

    def now(self) -> float:
        return self._link.now()

    # ---- what Identities tells ----

    def start(self, identities) -> None:
        super().start(identities)
        try:
            pulled = self._link.pull()
            self._spare = self._link.take_spare()
        except self._link.errors.AuthenticationError as error:
            raise InputError(
                f"--people {self.name} refuses the password ({first_line(error)}): redis://USER:PASSWORD@host:6379/0"
            ) from None
        except self._failures as error:
            raise InputError(
                f"--people {self.name} cannot be used ({first_line(error)}): start redis-server there, version 5 or "
                "later, or correct the address"
            ) from None
        self._take(pulled)
        self._is_open = True
        self._next_exchange = time.monotonic() + SYNC_SECONDS

    def new_number(self, next_number: int, mean: np.ndarray, looks: int, name) -> int:
        if self._is_away:
            return self._spare_number()
        if self._pull is not None or self._claim is not None and not self._claim.done():
            raise Later
        seen = None if name else self.now()  # who has a name at once is of the gallery
        known = Known(0, mean, looks, name, None, seen, self.now() + self.seconds)
        self._claim = self._worker.submit(self._link.add, [known], self._added)
        try:
            numbers = self._claim.result(WAIT_SECONDS)
        except concurrent.futures.TimeoutError:  # if the call still succeeds, the person comes with the next pull
            raise Later from None
        except self._failures as error:
            self._say_away(error)
            return self._spare_number()
        if numbers is None:
            self._pull = self._worker.submit(self._link.pull)
            concurrent.futures.wait([self._pull], WAIT_SECONDS)
            raise Later
        self._added += 1
        self._until[numbers[0]] = known.until
        self._stored_until[numbers[0]] = known.until
        return numbers[0]

    def _spare_number(self) -> int:
        if not self._spare:
            raise Later
        self._new.add(self._spare[0])
        return self._spare.pop(0)

    def learned(self, person, embedding: np.ndarray, looks: int) -> None:
        total, count = self._totals.get(person.person_id, (0.0, 0))
        self._totals[person.person_id] = total + looks * np.asarray(embedding, np.float64), count + looks
        self._changed.add(person.person_id)

    def seen(self, person) -> None:
        super().seen(person)
        self._changed.add(person.person_id)

    def named(self, person) -> None:
        self._changed.add(person.person_id)
        self._renamed.add(person.person_id)
        self._next_exchange = 0.0

    def merged(self, person, into) -> None:
        if not self._leave(person.person_id):
            self._merged.append((person.person_id, into.person_id))
        self._next_exchange = 0.0

    def forgotten(self, person) -> None:
        self._leave(person.person_id)
        self._removed.append(person.person_id)  # also of new people: they may be on the way to the store
        self._next_exchange = 0.0

    def _leave(self, person_id: int) -> bool:
        """Nothing more is sent about a person; returns whether the person was new."""
        self._until.pop(person_id, None)
        self._stored_until.pop(person_id, None)
        self._in_gallery.discard(person_id)
        self._totals.pop(person_id, None)
        self._changed.discard(person_id)
        self._renamed.discard(person_id)
        is_new = person_id in self._new
        self._new.discard(person_id)
        return is_new

    # ---- between two frames ----

    def sync(self) -> list:
        has_pulled = self._pull is not None and self._pull.done()
        forgotten = self._finish()  # before the pull, which was asked for later
        if has_pulled:
            pull = self._pull
            self._pull = None
            try:
                forgotten += self._take(pull.result())
            except self._failures as error:
                self._say_away(error)
        for person_id in self.expire():
            self._leave(person_id)
        if self._exchange is None and self._pull is None and time.monotonic() >= self._next_exchange:
            self._next_exchange = time.monotonic() + SYNC_SECONDS
            self._outgoing = self._collect()
            self._exchange = self._worker.submit(self._link.exchange, self._outgoing)
        return forgotten

    def _collect(self) -> Outgoing:
        """What is to be sent now; it counts as sent."""
        for person_id in self._in_gallery:
            if self._until.get(person_id, 0.0) < self.now() + self.seconds / 2:
                self._until[person_id] = self.now() + self.seconds
                self._changed.add(person_id)
        changes = []
        new = []
        for person_id in sorted(self._changed | self._new):
            person = self.identities.find(person_id)
            total, looks = self._totals.pop(person_id, (0.0, 0))
            if person is None:
                continue
            if person_id in self._new:  # with all that was learned so far
                new.append(self.describe(person))
            else:
                changes.append(Change(self.describe(person), total, looks, person_id in self._renamed))
        outgoing = Outgoing(
            self._removed, self._merged, changes, new, self._added, self._is_away and len(self._spare) < SPARE_COUNT / 2
        )
        self._removed = []
        self._merged = []
        self._changed = set()
        self._renamed = set()
        return outgoing

    def _finish(self) -> list:
        """Takes in what the exchange brought, if it is done; returns as sync."""
        if self._exchange is None or not self._exchange.done():
            return []
        future = self._exchange
        outgoing = self._outgoing
        self._exchange = None
        try:
            exchanged = future.result()
        except self._failures as error:
            self._send_again(outgoing)
            self._removed = outgoing.removed + self._removed
            self._merged = outgoing.merged + self._merged
            self._say_away(error)
            return []
        if self._is_away:
            self._is_away = False
            print(f"note: {self.name} answers again", flush=True)
        self._spare += exchanged.spare
        if exchanged.added:
            self._added += len(outgoing.new)
            self._new -= {known.person_id for known in outgoing.new}
        forgotten = []
        if exchanged.updated is None:
            self._send_again(outgoing)
        else:
            forgotten += self._take_people(exchanged.updated)
        return forgotten + self._take(exchanged.pulled)

    def _send_again(self, outgoing: Outgoing) -> None:
        for known, total, looks, is_named in outgoing.changes:
            person_id = known.person_id
            if self.identities.find(person_id) is None:
                continue
            since, count = self._totals.get(person_id, (0.0, 0))
            if looks + count:
                self._totals[person_id] = since + total, looks + count
            self._changed.add(person_id)
            if is_named:
                self._renamed.add(person_id)

    def _say_away(self, error) -> None:
        """The server does not answer: said once."""
        if not self._is_away:
            print(
                f"note: {self.name} does not answer ({first_line(error)}): the people known so far stay known, new "
                f"ones get numbers from {SPARE_FROM:,} on; the demo keeps trying to reach it",
                flush=True,
            )
        self._is_away = True

    # ---- what others changed ----

    def _take(self, pulled: Pulled) -> list:
        """Takes in what was pulled; returns the Persons whom another demo was told to forget."""
        people = list(pulled.people)
        if pulled.is_full:
            there = {known.person_id for known in people}
            missing = [person.person_id for person in self.identities.people if person.person_id not in there]
            if pulled.is_new:  # it holds nobody, a part of those who were in it, or others with their numbers
                for known in people:
                    person = self.identities.find(known.person_id)
                    if person is not None and not self._looks_like(person, known):
                        self._leave(known.person_id)
                        self.drop(known.person_id)
                self._new.update(missing)
                self._added = 0
            else:
                people += [Known(person_id) for person_id in missing]
        strangers = [known.person_id for known in people if self.identities.find(known.person_id) is None]
        forgotten = self._take_people(people)
        self._added = max(self._added, pulled.added)
        self._find_again(strangers)
        return forgotten

    def _looks_like(self, person, known: Known) -> bool:
        if known.mean is None:
            return True
        pair = np.stack([normalised(mean) for mean in (person.mean, known.mean)]).astype(np.float32)
        return bool(self.identities.compare(pair)[0, 1] >= self.identities.threshold)

    def _take_people(self, people: list) -> list:
        forgotten = []
        leaving = {*self._removed, *(person_id for person_id, _ in self._merged)}
        for known in people:
            person = self.identities.find(known.person_id)
            if known.merged_into:
                self._join(person, known.merged_into)
            elif known.mean is not None:
                if known.person_id not in leaving:
                    self._take_person(known)
            elif person is not None and known.person_id not in self._new:
                forgotten += self._lose_person(person)
        return forgotten

    def _lose_person(self, person) -> list:
        """Drops a person who is gone from the server; returns the person in a list if that is by request."""
        is_over = self._stored_until.get(person.person_id, 0.0) <= self.now()
        if is_over and person.person_id in self._in_gallery:  # after a long time without the server
            self._new.add(person.person_id)
            return []
        self._leave(person.person_id)
        self.drop(person.person_id)
        return [] if is_over else [person]

    def _take_person(self, known: Known) -> None:
        """Adds or updates a person, and adds what was learned here and not sent yet. One name is one person."""
        total, looks = self._totals.get(known.person_id, (0.0, 0))
        mean = ((known.mean * known.looks + total) / (known.looks + looks)).astype(np.float32)
        known = known._replace(mean=mean, looks=known.looks + looks)
        self._stored_until[known.person_id] = known.until
        self._new.discard(known.person_id)
        before = self.identities.find(known.person_id)
        if before is not None and known.person_id in self._renamed:
            known = known._replace(name=before.name)
        person = self.take_in(known)
        if person is None or person.name is None:
            return
        others = [other for other in self.identities.people if other.name == person.name and other is not person]
        for other in others:
            first, last = sorted((person, other), key=lambda one: one.person_id)
            self.identities.merge(last, first)
            person = first

    def _join(self, person, into_id: int) -> None:
        into = self.identities.find(into_id)
        if person is None:
            return
        self._leave(person.person_id)
        if into is None:
            self.drop(person.person_id)
        else:
            self.identities.join(person, into)

    def _find_again(self, strangers: list) -> None:
        """Merges people who are not in the store yet with those of the strangers who look like them."""
        for person_id in sorted(self._new):
            person = self.identities.find(person_id)
            others = [other for other in map(self.identities.find, strangers) if other not in (None, person)]
            if person is None or not others:
                continue
            mean = normalised(person.mean).astype(np.float32)
            similarity = self.identities.similarity(mean[np.newaxis])[0]  # (P,)
            best = max(others, key=lambda other: similarity[other.row])
            if similarity[best.row] >= self.identities.threshold and best.name in (None, person.name):
                self.identities.merge(person, best)

    # ---- the end ----

    def close(self) -> None:
        deadline = time.monotonic() + CLOSE_SECONDS
        for _ in range(2):  # the exchange under way, and one with the last changes
            if not self._is_open:
                break
            self._next_exchange = 0.0
            self.sync()
            under_way = [future for future in (self._pull, self._exchange) if future is not None]
            concurrent.futures.wait(under_way, max(deadline - time.monotonic(), 0.0))
            self._finish()
        self._worker.shutdown(wait=False)
        lost = len(self._new)
        if lost:
            print(f"note: people who are not stored, since {self.name} was away when they were met: {lost}", flush=True)
