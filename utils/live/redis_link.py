"""The keys of the people in a Redis server, and the transactions on them. Every call waits for the server.

All keys begin with reid:<fingerprint of the re-id net>: so that embeddings of two nets never mix.

    :state          hash: born, when the store was made; last, the last number; added, how many people were ever
                    added; spare, the next number for somebody who is met while the server is away
    :person:<id>    hash: mean (float32), looks, name, camera, seen, until; or only merged_into. It expires
    :changes        stream of {by: who changed them, ids: the people who changed}

New people, and numbers with them, are added by compare-and-set: only if nobody was added since the caller last looked
(`added` is as the caller knows it), so that the caller can compare the new ones first. Redis 5 or later.
"""

from __future__ import annotations

import secrets
import time
import uuid
from typing import NamedTuple

from utils.errors import InputError, first_line
from utils.live.people import Known
from utils.live.redis_person import FIELDS, combine, decode, encode

TIMEOUT = 2.0  # seconds for the answer to one call
TRIES = 5  # of a transaction that others interrupt
CHUNK = 256  # people of one round trip
CHANGES = 10000  # entries of the stream that are kept; who was away for longer reads all people anew
SPARE_FROM = 100_000_000  # numbers of people who are met while the server is away
SPARE_COUNT = 1000  # such numbers that a demo has at hand
GAP = 100  # numbers left out when a store is filled anew: others may have given them meanwhile


class Pulled(NamedTuple):
    """What changed: people as Known, without a mean those who are gone.

    added: how many people were ever added; is_full: whether `people` are all there are; is_new: whether the server has
    lost what it had.
    """

    people: list
    added: int
    is_full: bool
    is_new: bool


class Outgoing(NamedTuple):
    """What one exchange sends: ids to forget, (id, id of the person it turned out to be), Changes, new Knowns.

    added: as of RedisLink.add. needs_spare: whether spare numbers run out.
    """

    removed: list
    merged: list
    changes: list
    new: list
    added: int
    needs_spare: bool


class Exchanged(NamedTuple):
    """What came back: what was pulled, and what is true of the people sent.

    updated: Knowns, None if it is to be sent again; added: whether the new people are in the store now; spare: numbers.
    """

    pulled: Pulled
    updated: list | None
    added: bool
    spare: list


class RedisLink:
    """The connection of one demo."""

    def __init__(self, url: str, fingerprint: str, seconds: float):
        """seconds: as of LastingPeople. Connects at the first call; InputError if that cannot be."""
        self.redis, self.errors = connect(url)
        self.offset = 0.0  # seconds by which the server's clock is ahead of ours
        self._prefix = f"reid:{fingerprint}:"
        self._state = f"{self._prefix}state"
        self._changes = f"{self._prefix}changes"
        self._seconds = seconds
        self._me = uuid.uuid4().hex
        self._born = None  # as of the last pull
        self._position = b"0-0"  # in the stream

    def now(self) -> float:
        return time.time() + self.offset

    def exchange(self, outgoing: Outgoing) -> Exchanged:
        """Sends and fetches what is new."""
        self.remove(outgoing.removed)
        self.merge(outgoing.merged)
        updated = self.update(outgoing.changes)
        added = bool(outgoing.new) and self.add(outgoing.new, outgoing.added) is not None
        pulled = self.pull()  # makes the state that take_spare needs
        spare = self.take_spare() if outgoing.needs_spare else []
        return Exchanged(pulled, updated, added, spare)

    # ---- reading ----

    def pull(self) -> Pulled:
        """What changed since the last call; all people at the first one."""
        fields, newest, oldest, entries, (seconds, microseconds) = self._look()
        self.offset = seconds + microseconds / 1e6 - time.time()
        if fields[0] is None:
            self._create()
            fields, newest, oldest, entries, _ = self._look()
        is_new = self._born is not None and fields[0] != self._born
        is_full = fields[0] != self._born or not oldest or _order(oldest[0][0]) > _order(self._position)
        self._born = fields[0]
        if is_full:
            found = self._read(self._all_ids())
            people = [known for known in found if known.mean is not None]
            self._position = newest[0][0] if newest else b"0-0"
        else:
            entries = entries[0][1] if entries else []
            ids = {number for _, entry in entries if entry[b"by"] != self._me.encode() for number in _ids(entry)}
            people = self._read(sorted(ids))
            self._position = entries[-1][0] if entries else self._position
        return Pulled(people, int(fields[1]), is_full, is_new)

    def _look(self) -> list:
        with self.redis.pipeline() as pipe:
            pipe.hmget(self._state, "born", "added")
            pipe.xrevrange(self._changes, count=1)
            pipe.xrange(self._changes, count=1)
            pipe.xread({self._changes: self._position})
            pipe.time()
            return pipe.execute()

    def _create(self) -> None:
        """Makes the state unless it is there."""
        with self.redis.pipeline() as pipe:
            spare = SPARE_FROM + SPARE_COUNT * secrets.randbelow(10**6)  # boards keep numbers of a store that was lost
            state = {"born": uuid.uuid4().hex, "last": 0, "added": 0, "spare": spare}
            for field, value in state.items():
                pipe.hsetnx(self._state, field, value)
            pipe.xadd(self._changes, {"by": "", "ids": ""})
            pipe.execute()

    def _all_ids(self) -> list:
        start = len(self._key(""))
        return sorted(int(key[start:]) for key in self.redis.scan_iter(self._key("*"), count=1000))

    def _key(self, person_id) -> str:
        return f"{self._prefix}person:{person_id}"

    def _read(self, person_ids: list) -> list:
        """[Known] of these people in their order."""
        people = []
        for start in range(0, len(person_ids), CHUNK):
            some = person_ids[start : start + CHUNK]
            with self.redis.pipeline(transaction=False) as pipe:
                for person_id in some:
                    pipe.hmget(self._key(person_id), *FIELDS)
                people += [decode(person_id, values) for person_id, values in zip(some, pipe.execute())]
        return people

    # ---- writing ----

    def take_spare(self) -> list:
        """Numbers that nobody else gets."""
        end = self.redis.hincrby(self._state, "spare", SPARE_COUNT)
        return list(range(end - SPARE_COUNT, end))

    def add(self, people: list, added: int):
        """Adds new people, [Known], those with person_id 0 with the next number; returns their numbers.

        added: as of the last Pulled whose people the caller has compared; None is returned, and nobody added, if
        others have been added since.
        """

        def work(pipe):
            born, now_added, last = pipe.hmget(self._state, "born", "added", "last")
            if born != self._born or int(now_added) != added:
                return None
            numbers = []
            given = [known.person_id for known in people if 0 < known.person_id < SPARE_FROM]
            last = max(int(last), max(given, default=-GAP) + GAP)
            pipe.multi()
            for known in people:
                if not known.person_id:
                    last += 1
                numbers.append(known.person_id or last)
                self._write(pipe, known._replace(person_id=numbers[-1]))
            pipe.hset(self._state, mapping={"last": last, "added": added + len(people)})
            self._announce(pipe, numbers, "")  # to ourselves too, in case that the answer gets lost
            return numbers

        return self._transaction([self._state], work)

    def update(self, changes: list):
        """Brings in what is new about people; returns them as [Known] with what others have learned, or None.

        People who are gone from the store stay gone: they have no mean then. None: others interrupted it.
        """
        people = []
        for start in range(0, len(changes), CHUNK):
            some = changes[start : start + CHUNK]
            found = self._transaction([self._key(change.known.person_id) for change in some], self._updating(some))
            if found is None:
                return None
            people += found
        return people

    def _updating(self, changes: list):
        def work(pipe):
            stored = self._read([change.known.person_id for change in changes])
            if self.redis.hget(self._state, "born") != self._born:
                return None  # they are not gone: the server has lost everything
            pipe.multi()
            people = [combine(known, change) for known, change in zip(stored, changes)]
            for known in people:
                if known.mean is not None:
                    self._write(pipe, known)
            self._announce(pipe, [known.person_id for known in people if known.mean is not None])
            return people

        return work

    def remove(self, person_ids: list) -> None:
        """Forgets people everywhere."""
        if person_ids:
            with self.redis.pipeline() as pipe:
                pipe.delete(*map(self._key, person_ids))
                self._announce(pipe, person_ids)
                pipe.execute()

    def merge(self, pairs: list) -> None:
        """[(number, number of the person that this one turned out to be)]"""
        if not pairs:
            return
        with self.redis.pipeline() as pipe:
            for person_id, into in pairs:
                pipe.delete(self._key(person_id))
                pipe.hset(self._key(person_id), "merged_into", into)
                pipe.pexpireat(self._key(person_id), _milliseconds(self.now() + self._seconds))
            self._announce(pipe, [person_id for person_id, _ in pairs])
            pipe.execute()

    def _write(self, pipe, known: Known) -> None:
        pipe.hset(self._key(known.person_id), mapping=encode(known))
        pipe.pexpireat(self._key(known.person_id), _milliseconds(known.until))

    def _announce(self, pipe, person_ids: list, by=None) -> None:
        if person_ids:
            entry = {"by": self._me if by is None else by, "ids": ",".join(map(str, person_ids))}
            pipe.xadd(self._changes, entry, maxlen=CHANGES, approximate=True)

    def _transaction(self, keys: list, work):
        """WATCH keys, work(pipe), MULTI, EXEC; returns what work does, None if others interrupted it too often.

        work reads first, and calls pipe.multi() before it writes, or writes nothing and returns None.
        """
        for _ in range(TRIES):
            with self.redis.pipeline() as pipe:
                pipe.watch(*keys)
                result = work(pipe)
                if result is None:
                    return None
                try:
                    pipe.execute()
                except self.errors.WatchError:
                    continue
                return result
        return None


def connect(url: str) -> tuple:
    """(the client, the module of its errors) for an address; nothing is sent yet. InputError if it cannot be."""
    try:
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry
    except ImportError:
        raise InputError(f"--people {without_password(url)} needs the package redis: pip install redis") from None
    options = {"socket_timeout": TIMEOUT, "socket_connect_timeout": TIMEOUT, "retry": Retry(NoBackoff(), 0)}
    try:
        return redis.Redis.from_url(url, **options), redis.exceptions
    except (ValueError, TypeError, OSError) as error:
        raise InputError(
            f"--people {without_password(url)} is not the address of a Redis server ({first_line(error)}): give one "
            "such as redis://host:6379/0"
        ) from None


def without_password(url: str) -> str:
    """The address as it may be shown."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2].partition('?')[0]}"


def _milliseconds(seconds: float) -> int:
    return round(1000 * seconds)


def _ids(entry: dict) -> list:
    return [int(word) for word in entry[b"ids"].split(b",") if word]


def _order(position: bytes) -> tuple:
    """The order of an entry's id in the stream, such as 1526919030474-55."""
    return tuple(int(part) for part in position.split(b"-"))
