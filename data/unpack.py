"""Unpacks an archive that nobody has looked into yet: pictures and lists alone, and nothing outside its folder.

A member with an absolute path or one through '..', a link or a device is refused by name before it is written. Disk
space is asked for first, so that neither a mistake nor a small archive of enormous files fills the disk.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from utils.errors import InputError
from utils.progress import Progress

WANTED = (".jpg", ".jpeg", ".png", ".txt")
SPARE = 500 * 2**20  # bytes of the disk that stay free
MEGABYTE = 2**20
COMPRESSED = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}


def unpack(archive: Path, folder: Path) -> int:
    """Unpacks a .zip or a .tar, as it is or in gzip, bzip2 or xz; how many files were left out as no pictures.

    folder: made new. InputError names the archive and the member at fault; what was unpacked until then is the
    caller's to delete.
    """
    folder.mkdir()
    try:
        with open(archive, "rb") as file:
            head = file.read(6)
            file.seek(0)
            if head.startswith(b"PK\x03\x04"):
                return _unpack_zip(archive, folder)
            opener = next((opener for magic, opener in COMPRESSED.items() if head.startswith(magic)), None)
            return _unpack_tar(archive, file, opener(file) if opener else file, folder)
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError) as error:
        raise InputError(f"{archive} is damaged, cut short or no .zip or .tar ({error}): get it again") from None
    except NotImplementedError as error:
        raise InputError(f"{archive} is packed in a way that Python can't read ({error}): unpack it by hand") from None
    except OSError as error:
        if error.errno is None:  # so gzip and bz2 say that they can't go on
            raise InputError(f"{archive} is damaged or cut short ({error}): get it again") from None
        raise InputError(f"{archive} can't be unpacked into {folder.parent} ({error.strerror})") from None


def _unpack_zip(archive, folder):
    with zipfile.ZipFile(archive) as members:
        chosen, left_out = [], 0
        for member in members.infolist():
            kind = stat.S_IFMT(member.external_attr >> 16)  # 0 where it was packed without Unix permissions
            target = check_member(archive, member.filename, folder, kind in (0, stat.S_IFREG, stat.S_IFDIR))
            if member.flag_bits & 1:
                raise InputError(f"{archive} is locked with a password: unpack it by hand and name the folder")
            if target and not member.is_dir():
                chosen.append((member, target))
            left_out += target is None and not member.is_dir()
        total = sum(member.file_size for member, _ in chosen)
        require_space(folder, total, archive)
        progress = Progress("unpacked", total / MEGABYTE, "MB")
        for member, target in chosen:
            with members.open(member) as content:
                _write(content, target)
            progress.add(member.file_size / MEGABYTE)
    return left_out


def _unpack_tar(archive, file, stream, folder):
    # As a stream: a compressed tar can't be listed without unpacking it, so each member is checked when it comes.
    progress, left_out = Progress("read", archive.stat().st_size / MEGABYTE, "MB of the archive"), 0
    unasked = SPARE  # bytes written since the disk was asked for room; how much comes is known at the end only
    stream = _Watched(stream)
    with tarfile.open(fileobj=stream, mode="r|") as members:
        for member in members:
            target = check_member(archive, member.name, folder, member.isreg() or member.isdir())
            left_out += target is None and not member.isdir()
            if target and member.isreg():
                unasked += member.size
                if unasked > SPARE // 2:
                    require_space(folder, member.size, archive)
                    unasked = 0
                _write(members.extractfile(member), target)
            progress.add(file.tell() / MEGABYTE - progress.done)
        while stream.read(MEGABYTE):  # to the end, where a compressed file carries its checksum
            pass
        # tarfile takes a cut or overwritten header for the end; behind a real end there is nothing but zeros.
        if stream.zeros_from > members.offset or stream.at < members.offset + tarfile.BLOCKSIZE:
            raise tarfile.ReadError(f"no end after {members.offset:,} bytes")
    return left_out


class _Watched:
    """A stream that knows how much was read (`at`) and from where on all of it was zeros (`zeros_from`)."""

    def __init__(self, stream):
        self.stream, self.at, self.zeros_from = stream, 0, 0

    def read(self, size):
        data = self.stream.read(size)
        content = data.rstrip(b"\0")
        if content:
            self.zeros_from = self.at + len(content)
        self.at += len(data)
        return data


def check_member(archive, name: str, folder: Path, plain: bool):
    """Where a member goes, None if it is nothing that a data set needs. plain: it is a file or a folder.

    InputError if it must not be unpacked at all.
    """
    path = PurePosixPath(name.replace("\\", "/"))  # some programs for Windows write their own separator
    if path.is_absolute() or ".." in path.parts or ":" in (path.parts or ("",))[0]:
        raise InputError(
            f"{archive}: its member {name!r} would be written outside the folder that is unpacked to: "
            "don't trust this archive, get another copy"
        )
    if not plain:
        raise InputError(
            f"{archive}: its member {name!r} is a link or a device, which no data set needs: "
            "don't trust this archive, get another copy"
        )
    # A Mac adds a "._" file to each of its own, with the same ending.
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts if part != ".")
    return None if hidden or path.suffix.lower() not in WANTED else folder / path


def _write(content, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(target, "wb") as file:
        shutil.copyfileobj(content, file)


def require_space(folder: Path, size: int, what) -> None:
    """InputError if the disk of `folder` has no room for `size` bytes and some to spare."""
    free = shutil.disk_usage(folder).free
    if size + SPARE > free:
        raise InputError(
            f"{what} needs {size / 2**30:,.1f} GB and there are {free / 2**30:,.1f} GB free at {folder.parent}: "
            f"make room ({SPARE // 2**20} MB are kept free), or name an --output on another disk"
        )
