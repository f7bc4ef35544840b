"""People kept in a .npz file, so that the demo knows them after a restart. For one demo at a time."""

from __future__ import annotations

import fcntl
import io
import math
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from utils.errors import InputError, first_line
from utils.files import AtomicFile, WriteError, writing
from utils.live.identities import clean_name
from utils.live.people import Known, LastingPeople

FORMAT = 1
SAVE_SECONDS = 60.0  # after which the file is written anew if anything changed; names and forgetting are saved at once
# The arrays of the file: kind of the dtype, dimensions. All but the first three have P rows.
ARRAYS = {
    "format": ("iu", 0),
    "fingerprint": ("U", 0),
    "last_number": ("iu", 0),
    "numbers": ("iu", 1),
    "means": ("f", 2),
    "looks": ("iu", 1),
    "names": ("U", 1),
    "cameras": ("U", 1),
    "seen": ("f", 1),
    "until": ("f", 1),
}


class FilePeople(LastingPeople):
    """The store in one file, which is read at the start and written by a thread."""

    def __init__(self, path, fingerprint: str, seconds: float):
        """path: of the file, which may not exist yet; the rest as in open_people. InputError if it cannot be used."""
        super().__init__(seconds)
        self.path = Path(path)
        self._fingerprint = fingerprint
        self._lock = None  # the file opened: nobody else may write it
        self._changed = False
        self._urgent = False
        self._next_save = time.monotonic() + SAVE_SECONDS
        self._job = None
        self._worker = ThreadPoolExecutor(1)
        self._failed = False
        self._is_read = False
        self._others = []  # people without a name, where only names count: they stay in the file

    def start(self, identities) -> None:
        super().start(identities)
        if self.path.exists():
            self._lock = lock(self.path)
            last_number, people = read_people(self.path, self._fingerprint)
            identities.last_id = last_number
            for known in people:
                if known.until > self.now() and self.take_in(known) is None:
                    self._others.append(known)
        self._is_read = True
        self._write(self._content())  # whether that is possible is said now, not at the end

    def new_number(self, next_number: int, mean: np.ndarray, looks: int, name) -> int:
        self._changed = True
        self._until[next_number] = self.now() + self.seconds
        return next_number

    def learned(self, person, embedding: np.ndarray, looks: int) -> None:
        self._changed = True

    def seen(self, person) -> None:
        super().seen(person)
        self._changed = True

    def named(self, person) -> None:
        self._urgent = True

    def merged(self, person, into) -> None:
        self._until.pop(person.person_id, None)
        self._urgent = True

    def forgotten(self, person) -> None:
        self._until.pop(person.person_id, None)
        self._in_gallery.discard(person.person_id)
        self._urgent = True

    def sync(self) -> list:
        if self.expire():
            self._urgent = True
        if self._job is not None and self._job.done():
            self._note_failure(self._job.exception())
            self._job = None
        due = self._urgent or self._changed and time.monotonic() >= self._next_save
        if self._job is None and due:
            self._next_save = time.monotonic() + SAVE_SECONDS
            self._job = self._worker.submit(self._write, self._content())
            self._changed = False
            self._urgent = False
        return []

    def _note_failure(self, error) -> None:
        """A full disk is said once; the demo goes on and tries again."""
        if error is None:
            self._failed = False
        elif not isinstance(error, WriteError):
            raise error
        else:
            if not self._failed:
                print(f"note: {error}; it is tried again", flush=True)
            self._failed = True
            self._changed = True

    def close(self) -> None:
        self._worker.shutdown()
        try:
            if self._is_read:  # else the file stays as it is
                self._write(self._content())
        finally:
            if self._lock is not None:
                self._lock.close()

    def _content(self) -> dict:
        """The arrays of the file."""
        people = [self.describe(person) for person in self.identities.people]
        people += [known for known in self._others if known.until > self.now()]
        means = [known.mean for known in people]
        return {
            "format": FORMAT,
            "fingerprint": self._fingerprint,
            "last_number": self.identities.last_id,
            "numbers": np.array([known.person_id for known in people], np.int64),
            "means": np.stack(means).astype(np.float32) if means else np.zeros((0, 0), np.float32),
            "looks": np.array([known.looks for known in people], np.int64),
            "names": np.array([known.name or "" for known in people], str),
            "cameras": np.array([known.camera or "" for known in people], str),
            "seen": np.array([math.nan if known.seen is None else known.seen for known in people], float),
            "until": np.array([known.until for known in people], float),
        }

    def _write(self, content: dict) -> None:
        """Replaces the file by a new one, which is locked before it has the name."""
        buffer = io.BytesIO()
        np.savez(buffer, **content)
        with AtomicFile(self.path) as temporary:
            temporary.write_bytes(buffer.getvalue())
            fresh = lock(temporary)
        if self._lock is not None:
            self._lock.close()
        self._lock = fresh


def lock(path):
    """Opens and locks a file until it is closed; InputError if another process has locked it."""
    with writing(path):
        opened = open(path, "rb")
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        opened.close()
        raise InputError(
            f"--people {path} is in use by another demo: to share people between demos, use --people redis://host:6379/0"
        ) from None
    except OSError:  # a network disk without locks
        pass
    return opened


def read_people(path, fingerprint: str) -> tuple:
    """(the last number that was given, [Known]) of a file; InputError if it is damaged or of another re-id net."""
    remedy = "name another file, or remove it to start with nobody"
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in ARRAYS}
    except OSError as error:
        raise InputError(f"--people {path} cannot be read ({error.strerror or first_line(error)}): {remedy}") from None
    except Exception as error:  # a damaged archive raises many kinds
        raise InputError(f"--people {path} is damaged or holds no people ({first_line(error)}): {remedy}") from None
    problem = problem_of(arrays)
    if problem:
        raise InputError(f"--people {path} is damaged ({problem}): {remedy}")
    if str(arrays["fingerprint"]) != fingerprint:
        raise InputError(
            f"--people {path} was made with another re-id net, whose embeddings cannot be compared: use that net, or "
            "name another file"
        )
    people = [
        Known(
            int(arrays["numbers"][row]),
            arrays["means"][row].astype(np.float32),
            int(arrays["looks"][row]),
            str(arrays["names"][row]) or None,
            str(arrays["cameras"][row]) or None,
            None if math.isnan(arrays["seen"][row]) else float(arrays["seen"][row]),
            float(arrays["until"][row]),
        )
        for row in range(len(arrays["numbers"]))
    ]
    return int(arrays["last_number"]), people


def problem_of(arrays: dict) -> str:
    """What is wrong with the arrays of a file, "" if nothing is."""
    for name, (kinds, dimensions) in ARRAYS.items():
        if arrays[name].dtype.kind not in kinds or arrays[name].ndim != dimensions:
            return f"{name} has another form"
    if int(arrays["format"]) != FORMAT:
        return f"its format is {int(arrays['format'])}, not {FORMAT}"
    count = len(arrays["numbers"])
    if any(len(arrays[name]) != count for name in list(ARRAYS)[4:]):
        return "its arrays differ in length"
    numbers = arrays["numbers"]
    if len(np.unique(numbers)) < count or (count and not 0 < numbers.min() <= numbers.max() <= arrays["last_number"]):
        return "its numbers are not those of people"
    if (arrays["looks"] < 1).any() or not np.isfinite(arrays["means"]).all():
        return "its embeddings are not numbers"
    for name in map(str, arrays["names"]):
        try:
            if name and clean_name(name) != name:
                return f"{name!r} is no name"
        except ValueError:
            return f"{name!r} is no name"
    return ""
