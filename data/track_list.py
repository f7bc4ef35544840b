"""The list of harvested tracks that the user edits, and what it says is done: tracks are named, merged and dropped."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NamedTuple

from utils.errors import InputError
from utils.files import atomic_folder
from utils.folders import is_foreign, list_images, nobody
from utils.live.identities import clean_name

LIST = "tracks.txt"
SHEETS = "thumbnails"  # data/prepare.py leaves out folders of this name
DROPPED = "-"
HEAD = """\
# Each line: the folder of a track, the person, and what the track shows. thumbnails/ has an image of each track.
# Give the tracks of one person one name. A track with the name - is deleted. The names here are proposals: tracks
# that look like one person have one name. Then run: python3 data/harvest.py --apply {folder}
"""


class Row(NamedTuple):
    """A track in the list."""

    folder: str
    name: str
    about: str = ""


def format_list(rows, folder) -> str:
    """Rows -> the text of tracks.txt; folder: where it lies."""
    width = max((len(row.name) for row in rows), default=0)
    return HEAD.format(folder=folder) + "".join(f"{row.folder}  {row.name:<{width}}  # {row.about}\n" for row in rows)


def read_list(folder: Path) -> list:
    """The Rows of folder/tracks.txt. InputError, with the line, for what cannot be carried out."""
    path = folder / LIST
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else error.strerror
        raise InputError(
            f"{path} cannot be read ({reason}): name a folder that this script made and that was not applied yet"
        ) from None
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split(maxsplit=1)
        if not words:
            continue
        if len(words) == 1:
            raise InputError(f"{path}, line {number}: {words[0]} has no name: write one behind it, or - to delete it")
        track, name = words[0], words[1].strip()
        if Path(track).name != track or not (folder / track).is_dir() or track == SHEETS:
            raise InputError(f"{path}, line {number}: there is no folder {folder / track}: correct or remove the line")
        if track in [row.folder for row in rows]:
            raise InputError(f"{path}, line {number}: {track} has a line already: remove one of them")
        rows.append(Row(track, _checked(name, f"{path}, line {number}")))
    return rows


def _checked(name: str, place: str) -> str:
    """The name of a person, or DROPPED; InputError if it cannot be a person's folder."""
    if name == DROPPED:
        return name
    try:
        name = clean_name(name)
    except ValueError as error:
        raise InputError(f"{place}: {error}") from None
    if is_foreign(name) or nobody(name) is not None or name == LIST:
        raise InputError(f"{place}: {name} stands for no person: choose another name")
    return name


def apply_list(folder: Path) -> tuple:
    """Gives each person of folder/tracks.txt a folder with the images of all of his or her tracks.

    The folder is replaced as a whole; images of dropped tracks, contact sheets and the list are gone. Returns ({name:
    number of images}, number of tracks that were dropped). InputError, and nothing is changed, if the list is wrong.
    """
    rows = read_list(folder)
    listed = [row.folder for row in rows]
    for entry in sorted(folder.iterdir()):
        if entry.name in (LIST, SHEETS, *listed):
            continue
        if entry.is_dir():
            raise InputError(f"{folder / LIST} has no line for {entry.name}: give it a name, or - to delete it")
        raise InputError(f"{entry} is not of this script and would be lost: move it to another place")
    counts = {}
    with atomic_folder(folder) as new:
        for row in rows:
            if row.name == DROPPED:
                continue
            (new / row.name).mkdir(exist_ok=True)
            for path in map(Path, list_images(folder / row.folder)):
                _link_or_copy(path, new / row.name / path.name)
                counts[row.name] = counts.get(row.name, 0) + 1
        if not counts:
            raise InputError(f"{folder / LIST} drops every track: remove {folder} instead")
    return counts, sum(row.name == DROPPED for row in rows)


def _link_or_copy(path: Path, target: Path) -> None:
    if target.exists():
        raise InputError(f"{path} has the name of another image of {target.parent.name}: rename it")
    try:
        os.link(path, target)
    except OSError:  # a disk without hard links
        shutil.copyfile(path, target)
