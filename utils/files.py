"""Files and folders that are written whole or not at all: Ctrl-C or a full disk leaves the old one as it was."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import resource
import shutil
from pathlib import Path

from utils.errors import InputError, first_line

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")  # of the images that are read, in lower case


def real_path(path) -> Path:
    """The path without links. Path.resolve raises RuntimeError for a link that leads to itself, before Python 3.13."""
    return Path(os.path.realpath(path))


class WriteError(InputError):
    """Something could not be written: the disk is full, or the place is read-only. What was there before is safe."""


@contextlib.contextmanager
def writing(target, safe: str = ""):
    """An OSError of the block becomes a WriteError that names `target`, the remedy and what is `safe`.

    So does an error of TensorFlow that quotes one of the system's reasons why something cannot be written.
    """
    try:
        yield
    except Exception as error:
        reason = error.strerror or first_line(error) if isinstance(error, OSError) else _quoted_reason(error)
        if reason is None:
            raise
        raise WriteError(f"{target} cannot be written ({reason}): make room, or name another place{safe}") from None


def _quoted_reason(error) -> str | None:
    """The system's reason in an error of TensorFlow, None if it is about something else."""
    codes = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EIO)
    if isinstance(error, InputError):
        return None
    return next((reason for reason in map(os.strerror, codes) if reason in str(error)), None)


class AtomicFile:
    """A file that takes its name only when it is complete: write to `path`, then call commit() or discard().

    As a context manager it gives `path`, commits at the end of the block and discards after an exception. An OSError
    of the block becomes a WriteError that names the file.
    """

    def __init__(self, target):
        """InputError if target is a folder, or its folder cannot be made or written."""
        self.target = Path(target)
        self.path = _temporary(self.target)
        if self.target.is_dir():
            raise InputError(f"{target} is a folder: name a file")
        with writing(target):
            self.target.parent.mkdir(parents=True, exist_ok=True)
            self.path.touch()

    def commit(self, target=None) -> None:
        """target: another name for the file."""
        try:
            with writing(self.target):
                os.replace(self.path, target or self.target)
        except WriteError:
            self.discard()
            raise

    def discard(self) -> None:
        with contextlib.suppress(OSError):
            self.path.unlink()

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, kind, error, traceback) -> None:
        if kind is None:
            self.commit()
            return
        self.discard()
        if isinstance(error, OSError):
            with writing(self.target):
                raise error


@contextlib.contextmanager
def atomic_folder(target):
    """Gives a new empty folder beside `target`, which replaces `target` at the end of the block.

    After an exception the new folder is removed and `target` stays as it was. A link to a folder stays a link. An
    OSError becomes a WriteError that names the folder.
    """
    target = Path(target)
    if real_path(target) == Path.cwd():
        raise InputError(f"{target} is the current folder, which cannot be replaced: name another one")
    with temporary_folder(target) as folder:
        yield folder
        replace_folder(folder, target)


@contextlib.contextmanager
def temporary_folder(target):
    """Gives a new empty folder beside `target`, on the same disk; it is removed at the end of the block.

    An OSError of the block becomes a WriteError that names `target`. What a killed process left of such a folder is
    removed first.
    """
    target = Path(target)
    folder = _temporary(real_path(target))
    try:
        with writing(target):
            _clear_after_kills(real_path(target))
            folder.mkdir(parents=True)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _clear_after_kills(target: Path) -> None:
    """Removes the temporary folders of `target` whose processes were killed, and ends a replacement that was begun."""
    for path in target.parent.glob(".*-*-*"):
        match = re.fullmatch(rf"\.(half-written|old)-(\d+)-{re.escape(target.name)}", path.name)
        process = int(match.group(2)) if match else 0
        # A container gives the same number to each of its runs, so what has the own number is left over as well.
        if match and path.is_dir() and (process == os.getpid() or not _is_running(process)):
            if match.group(1) == "old" and not target.exists():
                os.replace(path, target)  # the process was killed just before the new one took its place
            else:
                shutil.rmtree(path, ignore_errors=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # of another user
        return True
    return True


def remove_half_written(folder) -> None:
    """Removes what a killed process left half-written in a folder, which this process has locked."""
    for path in list(Path(folder).rglob("*half-written-*")):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def replace_folder(folder, target) -> None:
    """Moves the complete `folder` to `target`. At no moment is there an incomplete `target`; OSError leaves the old."""
    target = real_path(target)
    old = target.with_name(f".old-{os.getpid()}-{target.name}")
    if target.exists():
        os.replace(target, old)
    try:
        os.replace(folder, target)
    except OSError:
        if old.exists():
            os.replace(old, target)
        raise
    shutil.rmtree(old, ignore_errors=True)


_locks = {}  # {folder: its open descriptor}: a lock lasts as long as the descriptor is open


def lock_folder(folder) -> None:
    """Makes this process the only one that may write into a folder, until it ends; InputError if another one may."""
    path = real_path(folder)
    if path in _locks:
        return
    with writing(folder):
        opened = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(opened)
        raise InputError(
            f"{folder} is being written by another process: wait for its end, or stop it, or name another folder"
        ) from None
    except OSError:  # a network disk without locks
        pass
    _locks[path] = opened


def room_for(path) -> int:
    """Bytes that can be added to the file `path` now: those of the disk, or fewer if files may not become longer."""
    path = Path(path)
    free = shutil.disk_usage(path.parent).free
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    return free if limit == resource.RLIM_INFINITY else min(free, limit - path.stat().st_size)


def digest(path) -> str:
    """The SHA-256 of a file, 64 hexadecimal digits."""
    found = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(2**20), b""):
            found.update(block)
    return found.hexdigest()


def write_json(path, content) -> None:
    """Writes a small JSON file whole or not at all."""
    write_whole(path, (json.dumps(content, indent=2, default=_plain) + "\n").encode())


def write_whole(path, content: bytes) -> None:
    """Writes a file whole or not at all: a reader gets the old content or the new one, never a part."""
    path = Path(path)
    if path.exists() and not path.is_file() and not path.is_dir():  # /dev/stdout, a pipe: it is not to be replaced
        with writing(path):
            path.write_bytes(content)
        return
    with AtomicFile(path) as temporary:
        temporary.write_bytes(content)


def _temporary(target: Path) -> Path:
    """Where something is written until it is complete. The suffix stays: OpenCV takes the format of a file from it."""
    return target.with_name(f".half-written-{os.getpid()}-{target.name}")


def _plain(value):
    """NumPy numbers and paths in a form that JSON has."""
    return value.tolist() if hasattr(value, "tolist") else str(value)
