"""Videos and images on disk as sources: which images a name means, and why a file gives no frame."""

from __future__ import annotations

import glob
import re
import struct
from pathlib import Path

from utils.errors import InputError
from utils.files import IMAGE_SUFFIXES
from utils.folders import list_images

OTHER_SUFFIXES = (".webp", ".bmp", ".gif", ".tif", ".tiff", ".heic", ".avif")  # of images that are not read


def find_images(source: str):
    """The images of a folder or pattern, or a single one, 2.jpg before 10.jpg; None for a video file.

    A pattern is "walk/*.jpg", or walk/%04d.jpg as FFmpeg writes it. InputError if there is no image.
    """
    place = Path(source)
    suffixes = ", ".join(IMAGE_SUFFIXES)
    if place.is_file():
        return [place] if place.suffix.lower() in IMAGE_SUFFIXES else None
    if place.is_dir():
        found = map(Path, list_images(place))
        others = sorted({path.suffix.lower() for path in place.iterdir()} & set(OTHER_SUFFIXES))
        problem = f"{place} holds no images ({suffixes}): name another folder or a video"
        if others:
            problem = f"{place} holds {', '.join(others)}, and only {suffixes} are read: convert them"
    else:
        pattern = re.sub(r"%0(\d+)d", lambda digits: "[0-9]" * int(digits[1]), source).replace("%d", "[0-9]*")
        if not glob.has_magic(pattern):
            raise InputError(f"there is no source {source}: name a camera (0, csi://0), a URL, a video or a folder")
        found = map(Path, glob.glob(pattern, recursive=True))
        problem = f'no image ({suffixes}) matches {source}: put a pattern in quotes, "walk/*.jpg"'
    images = [path for path in found if path.suffix.lower() in IMAGE_SUFFIXES]
    if not images:
        raise InputError(problem)
    return sorted(images, key=_natural_order)


def _natural_order(path: Path) -> list:
    parts = re.split(r"(\d+)", str(path))  # text and numbers in turn
    return [int(part) if place % 2 else part.lower() for place, part in enumerate(parts)] + [str(path)]


def and_others(paths) -> str:
    """The end of a sentence about the first of some images."""
    return f" (nor can the {len(paths) - 1} others)" if len(paths) > 1 else ""


def explain_no_video(source: str) -> str:
    """Why a file gives no frame."""
    if _is_unfinished(source):
        return f"{source} is a recording that was never ended, so its index is missing: record it again, or repair it"
    return f"{source} cannot be decoded as a video: convert it to mp4, or copy it again"


def _is_unfinished(source: str) -> bool:
    """Whether a file is an mp4 without its index (moov), which is written when a recording ends."""
    try:
        with open(source, "rb") as file:
            size = file.seek(0, 2)
            place = 0
            kinds = set()
            while place + 8 <= size and len(kinds) < 100:
                file.seek(place)
                length, kind = struct.unpack(">I4s", file.read(8))
                if length == 1:
                    (length,) = struct.unpack(">Q", file.read(8))
                kinds.add(kind)
                place += length if length >= 8 else size
    except (OSError, struct.error):
        return False
    return b"ftyp" in kinds and b"moov" not in kinds
