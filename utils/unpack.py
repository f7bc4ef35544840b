"""Unpacks .zip and .tar archives: nothing outside the target folder, no links, and only if the disk has room."""

from __future__ import annotations

import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from functools import partial
from pathlib import Path, PureWindowsPath
from typing import Callable, NamedTuple

from utils.errors import InputError, first_line
from utils.progress import Progress

SPARE = 500 * 2**20  # bytes of the disk that stay free
MEGABYTE = 2**20
DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError)


class Member(NamedTuple):
    """A file in an archive. size: in bytes. regular: neither a link nor a device. open: gives its content as a file."""

    name: str
    size: int
    regular: bool
    open: Callable


def unpack(archive: Path, folder: Path, wanted=None) -> int:
    """Unpacks a .zip or a .tar (plain, or in gzip, bzip2 or xz) into the new folder `folder`.

    wanted: a function from a member's relative path to whether it is unpacked; None unpacks all. Returns the
    number of files left out. InputError names the archive if it is damaged, does not fit on the disk, or has a member
    that is a link or would be written outside the folder. The checks come before the first file is written.
    """
    folder.mkdir()
    try:
        # The first bytes decide: zipfile.is_zipfile also accepts a .tar whose last member is a .zip.
        with open(archive, "rb") as head:
            is_zip = head.read(4) == b"PK\x03\x04"
        with zipfile.ZipFile(archive) if is_zip else tarfile.open(archive) as file:
            members = _zip_members(file) if is_zip else _tar_members(file)
            paths = [safe_path(archive, member) for member in members]
            chosen = [(path, member) for path, member in zip(paths, members) if not wanted or wanted(path)]
            total = sum(member.size for _, member in chosen)
            require_space(folder, total, archive)
            progress = Progress("unpacked", total / MEGABYTE, "MB")
            for path, member in chosen:
                target = folder.joinpath(*path.parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                with member.open() as content, open(target, "wb") as copy:
                    shutil.copyfileobj(content, copy)
                progress.add(member.size / MEGABYTE)
            return len(members) - len(chosen)
    except RuntimeError as error:  # a password, or a compression that Python does not know
        raise InputError(f"{archive} cannot be unpacked ({error}): unpack it by hand and name the folder") from None
    except (*DAMAGED, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # gzip and bz2 raise OSError without a number
            raise InputError(f"{archive} cannot be unpacked into {folder.parent} ({error.strerror})") from None
        reason = first_line(error)
        raise InputError(f"{archive} is damaged, cut short or not a .zip or .tar ({reason}): get it again") from None


def _zip_members(file: zipfile.ZipFile) -> list:
    """The Members of a .zip, without folders."""
    members = []
    for entry in file.infolist():
        kind = stat.S_IFMT(entry.external_attr >> 16)  # 0 if the archive was made without Unix permissions
        if not entry.is_dir():
            regular = kind in (0, stat.S_IFREG)
            members.append(Member(entry.filename, entry.file_size, regular, partial(file.open, entry)))
    return members


def _tar_members(file: tarfile.TarFile) -> list:
    """The Members of a .tar, without folders. ReadError if the archive has no end."""
    entries = [entry for entry in file.getmembers() if not entry.isdir()]
    # tarfile takes a damaged header for the end of the archive, but behind a real end there are only zeros.
    rest = file.fileobj.read(MEGABYTE)
    if rest.strip(b"\0") or file.fileobj.tell() < file.offset + tarfile.BLOCKSIZE:
        raise tarfile.ReadError("it has no end")
    return [Member(entry.name, entry.size, entry.isreg(), partial(file.extractfile, entry)) for entry in entries]


def safe_path(archive: Path, member: Member) -> PureWindowsPath:
    """The relative path of a member; InputError for a link, a device, an absolute path or one with "..".

    A Windows path understands both separators and drive letters.
    """
    path = PureWindowsPath(member.name)
    if path.drive or path.root or ".." in path.parts:
        raise InputError(f"{archive}: its member {member.name!r} would be written outside the folder: do not trust it")
    if not member.regular:
        raise InputError(f"{archive}: its member {member.name!r} is a link or a device: do not trust it")
    return path


def require_space(folder: Path, size: int, source) -> None:
    """InputError if the disk of `folder` has no room for `size` bytes from `source`, and SPARE bytes more."""
    free = shutil.disk_usage(folder).free
    if size + SPARE > free:
        raise InputError(
            f"{source} needs {size / 2**30:,.1f} GB and there are {free / 2**30:,.1f} GB free at {folder.parent}: "
            f"make room ({SPARE // MEGABYTE} MB are kept free), or use another disk"
        )
