"""What in a folder is an image, a person, or nobody's: one rule for training, test, gallery and data/prepare.py."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

from utils.errors import InputError
from utils.files import IMAGE_SUFFIXES, real_path

# Folders that other programs leave among images, in lower case: thumbnails, recycle bins, archives of a Mac.
FOREIGN = {
    "__macosx",
    "@eadir",
    "@recycle",
    "@tmp",
    "#recycle",
    "#snapshot",
    "$recycle.bin",
    "lost+found",
    "system volume information",
    "thumbs",
    "thumbnails",
    "_thumbs",
    "_thumbnails",
}


def is_foreign(name: str) -> bool:
    """Whether a file or folder is hidden, or is known to be of another program."""
    return name.startswith(".") or name.lower() in FOREIGN


def is_image(name: str) -> bool:
    """Whether a file name is that of an image that is read."""
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def nobody(name: str) -> int | None:
    """The identity of a name that stands for no person: -1 is junk, 0000 a distractor; None for the name of a person.

    These are JUNK and DISTRACTOR of utils/metrics.py. Any number of zeros and any negative number count.
    """
    if not re.fullmatch(r"0+|-[0-9]+", name):
        return None
    return -1 if name.startswith("-") else 0


def data_dirs(given) -> list:
    """The folders of an option data_dir as args.json has it: one path, a list of several, or None."""
    if given is None:
        return []
    return list(given) if isinstance(given, (list, tuple)) else [given]


def same_folders(one, other) -> bool:
    """Whether two options data_dir name the same folders, in any order and by any path."""
    places = [{real_path(folder) for folder in data_dirs(given)} for given in (one, other)]
    return places[0] == places[1]


EXAMPLES = 5  # named with each kind of what was left out


class Skipped(NamedTuple):
    """Paths that walk left out: foreign ones, links that lead nowhere, and links to folders that are read anyway."""

    foreign: list
    dangling: list
    again: list

    def notes(self) -> list:
        """One sentence for each kind."""
        kinds = (
            (self.foreign, "hidden or of another program", "left out"),
            (self.dangling, "links that lead nowhere", "left out: is the disk that they lead to there?"),
            (self.again, "links to folders that are read already", "left out"),
        )
        return [
            f"{len(paths):,} of the files and folders are {what} ({remedy}), such as {', '.join(paths[:EXAMPLES])}"
            for paths, what, remedy in kinds
            if paths
        ]


def walk(source, depth: int = 99) -> tuple:
    """Everything below a folder: ([(Path of a folder, names of its folders, names of its files)], Skipped).

    Sorted. A link to a folder elsewhere is followed once. depth: of the lowest folders that are read, 0 is `source`.
    InputError for a folder that cannot be read.
    """
    source = Path(source)
    root = os.path.realpath(source)
    seen = {root}
    skipped = Skipped([], [], [])
    found = []
    waiting = [(source, 0)]
    while waiting:
        folder, level = waiting.pop()
        folders = []
        files = []
        for entry in _entries(folder):
            if is_foreign(entry.name):
                skipped.foreign.append(entry.path)
            elif entry.is_dir():
                real = os.path.realpath(entry.path)
                if real in seen or (entry.is_symlink() and _is_read_anyway(real, root)):
                    skipped.again.append(entry.path)
                else:
                    seen.add(real)
                    folders.append(entry.name)
            elif entry.is_symlink() and not os.path.exists(entry.path):
                skipped.dangling.append(entry.path)
            else:
                files.append(entry.name)
        found.append((folder, folders, files))
        if level < depth:
            waiting += [(folder / name, level + 1) for name in reversed(folders)]
    return found, skipped


def _entries(folder) -> list:
    try:
        return sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(f"{folder} cannot be read ({error.strerror}): change its permissions, or copy it") from None


def _is_read_anyway(real: str, root: str) -> bool:
    """Whether a link's target is reached without the link, or holds the root itself."""
    if os.path.commonpath([real, root]) == real:
        return True
    inside = os.path.relpath(real, root).split(os.sep)
    return inside[0] != os.pardir and not any(map(is_foreign, inside))


def list_images(folder) -> list:
    """The images that lie directly in a folder, as sorted str paths; a link that leads nowhere is one of them."""
    found = (entry for entry in _entries(folder) if is_image(entry.name) and not is_foreign(entry.name))
    return [str(Path(folder) / entry.name) for entry in found if not entry.is_dir()]


def list_people(folder) -> tuple:
    """([Path of each folder of a person], sentences about what was left out) directly in a folder."""
    people = []
    skipped = Skipped([], [], [])
    empty = []
    for entry in _entries(folder):
        if entry.is_symlink() and not os.path.exists(entry.path):
            skipped.dangling.append(entry.path)
        elif not entry.is_dir():
            continue
        elif is_foreign(entry.name):
            skipped.foreign.append(entry.path)
        elif nobody(entry.name) is not None:
            empty.append(f"{entry.path} is nobody (-1 is junk, 0000 a distractor) and left out")
        else:
            people.append(Path(entry.path))
    return people, skipped.notes() + empty
