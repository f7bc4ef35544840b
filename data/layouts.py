"""The published re-id sets: how their folders and files are named, how many pictures they hold, and where each picture
of a copy belongs.

Counts are those of the sets' papers and pages and of the lists that common code bases ship. MSMT17's training part is
list_train and list_val together. Market-1501's own page says 2,793 distractors; its files named 0000 are 2,798, which
with 13,115 pictures of people and 3,819 junk makes the 19,732 of bounding_box_test.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from utils import dataset
from utils.dataset_checks import Listing, count_noun
from utils.errors import InputError
from utils.metrics import DISTRACTOR, JUNK


class Counts(NamedTuple):
    """What one folder of a set holds. identities: people, neither junk nor distractor; cameras: of all pictures."""

    images: int
    identities: int
    cameras: int
    junk: int
    distractors: int


NOTHING = Counts(0, 0, 0, 0, 0)  # of a folder that is missing

PUBLISHED = {
    # Zheng et al. 2015
    "market1501": {
        "train": Counts(12936, 751, 6, 0, 0),
        "test": Counts(19732, 750, 6, 3819, 2798),
        "query": Counts(3368, 750, 6, 0, 0),
    },
    # Zheng et al. 2017; the gallery's 1,110 are 702 people and 408 distractors with numbers of their own
    "dukemtmc": {
        "train": Counts(16522, 702, 8, 0, 0),
        "test": Counts(17661, 1110, 8, 0, 0),
        "query": Counts(2228, 702, 8, 0, 0),
    },
    # Wei et al. 2018
    "msmt17": {
        "train": Counts(32621, 1041, 15, 0, 0),
        "test": Counts(82161, 3060, 15, 0, 0),
        "query": Counts(11659, 3060, 15, 0, 0),
    },
    # Zhong et al. 2017, the new protocol
    "cuhk03-detected": {
        "train": Counts(7365, 767, 2, 0, 0),
        "test": Counts(5332, 700, 2, 0, 0),
        "query": Counts(1400, 700, 2, 0, 0),
    },
    "cuhk03-labeled": {
        "train": Counts(7368, 767, 2, 0, 0),
        "test": Counts(5328, 700, 2, 0, 0),
        "query": Counts(1400, 700, 2, 0, 0),
    },
}
TITLES = {
    "market1501": "Market-1501",
    "dukemtmc": "DukeMTMC-reID",
    "msmt17": "MSMT17",
    "cuhk03-detected": "CUHK03-NP, detected boxes",
    "cuhk03-labeled": "CUHK03-NP, labeled boxes",
}
NAMES = {
    "market1501": re.compile(r"-?\d+_c\d+s\d+_\d+_\d+\.jpg$"),
    "dukemtmc": re.compile(r"\d+_c\d+_f\d+\.jpg$"),
    "msmt17": dataset.MSMT17,
    "cuhk03": re.compile(r"\d+_c[12]_\d+\.png$"),
}
MSMT17_LISTS = {
    "train": ("list_train.txt", "list_val.txt"),
    "test": ("list_gallery.txt",),
    "query": ("list_query.txt",),
}
MSMT17_FOLDERS = {
    "train": ("train", "mask_train_v2"),
    "test": ("test", "mask_test_v2"),
    "query": ("test", "mask_test_v2"),
}
DEPTH = 3  # folders between what the user names and the set inside it
BOXES = ("detected", "labeled")


class Plan(NamedTuple):
    """Where each picture goes.

    kind: a key of PUBLISHED, or 'own'; root: the folder that the set was found in; pictures: (split, path, new name);
    problems: sentences on what is missing or wrong; left_out: entries that are no pictures; names: what else is worth
    keeping beside the layout, None for a published set.
    """

    kind: str
    root: Path
    pictures: list
    problems: list
    left_out: int
    names: dict | None = None


def count(data) -> Counts:
    """The counts of an opened folder."""
    people = np.unique(data.identities[data.people()])
    cameras = np.unique(data.cameras[data.cameras != dataset.UNKNOWN_CAMERA])
    junk, distractors = (int((data.identities == identity).sum()) for identity in (JUNK, DISTRACTOR))
    return Counts(len(data), len(people), len(cameras), junk, distractors)


# ---- which set, and where in the user's folder ----


def find_roots(source: Path) -> list:
    """The folders at or below `source` that hold a set: bounding_box_train and its like, or MSMT17's lists."""
    roots = []
    for folder, below, files in os.walk(source):
        depth = len(Path(folder).relative_to(source).parts)
        below[:] = sorted(name for name in below if not name.startswith(".")) if depth < DEPTH else []
        if any(name.startswith("bounding_box_t") for name in below) or "list_train.txt" in files:
            roots.append(Path(folder))
            below[:] = []
    return roots


def choose_root(source: Path, boxes: str | None) -> Path | None:
    """The one set at or below `source`, None if there is none.

    boxes: which half of CUHK03-NP, where both are there. InputError if there are several sets.
    """
    roots = find_roots(source)
    halves = {half: root for root in roots for half in BOXES if root.name.lower().startswith(half[:5])}
    if len(roots) == len(halves) == 2:
        return halves[boxes or BOXES[0]]
    if len(roots) > 1:
        raise InputError(f"{source} holds several data sets ({', '.join(map(str, roots))}): name one of them")
    return roots[0] if roots else None


def recognise(root: Path) -> str:
    """The published set that the names in `root` are of, without asking what the folder is called."""
    if (root / "list_train.txt").is_file():
        return "msmt17"
    folder = next(
        (root / name for name in dataset.FOLDERS["train"] + dataset.FOLDERS["test"] if (root / name).is_dir())
    )
    names = sorted(path.name for path in folder.iterdir() if path.suffix.lower() in dataset.SUFFIXES)
    for kind, pattern in NAMES.items():
        if names and sum(bool(pattern.match(name)) for name in names) > len(names) / 2:
            return kind
    raise InputError(
        f"the names in {folder}{', such as ' + names[0] + ',' if names else ''} are of no published set: give --kind, "
        "or use the folder as it is if it has our layout (python3 data/prepare.py --check FOLDER tells)"
    )


def which_boxes(root: Path, boxes: str | None) -> str:
    """'cuhk03-detected' or 'cuhk03-labeled', by the option or by what the folders above are called."""
    named = [half for half in BOXES for part in root.parts[-2:] if half[:5] in part.lower()]
    return f"cuhk03-{boxes or (named or BOXES)[0]}"


# ---- where each picture goes ----


def plan_folders(kind: str, root: Path) -> Plan:
    """A set in Market-1501's own layout: every name stays. InputError if one of its folders is missing."""
    pictures, problems, left_out = [], [], 0
    for names in dataset.FOLDERS.values():
        if not any((root / name).is_dir() for name in names):
            raise InputError(f"{root} holds no {' or '.join(names)}: get the whole set, or unpack it again")
    for split in dataset.FOLDERS:
        data = dataset.open_split(root, split, Listing)
        pictures += [(split, Path(path), Path(path).name) for path in data.paths]
        left_out += sum(1 for _ in data.folder.iterdir()) - len(data.paths) - len(data.unnamed)
        hidden = [path for path in data.unnamed if Path(path).name.startswith(".")]  # a Mac's "._" files
        left_out += len(hidden)
        unnamed = len(data.unnamed) - len(hidden)
        if unnamed:
            example = next(path for path in data.unnamed if path not in hidden)
            names = count_noun(unnamed, f"name in {data.folder} tells", f"names in {data.folder} tell")
            problems.append(f"left out: {names} no identity, such as {example}")
    return Plan(kind, root, pictures, problems, left_out)


def plan_lists(root: Path) -> Plan:
    """MSMT17 as it is published: the lists say which picture belongs where.

    Names stay; ImageDataset knows that they count people from 0.
    """
    pictures, problems, taken = [], [], {}
    for split, lists in MSMT17_LISTS.items():
        folder = next((root / name for name in MSMT17_FOLDERS[split] if (root / name).is_dir()), None)
        if folder is None:
            raise InputError(f"{root} holds no folder {' or '.join(MSMT17_FOLDERS[split])}: unpack the whole of MSMT17")
        for name in lists:
            if not (root / name).is_file():
                raise InputError(f"{root / name} is missing, and only the lists tell MSMT17's split: unpack it again")
            listed, wrong = read_list(root / name, folder)
            problems += wrong
            twice = []
            for path in listed:
                if path in taken:
                    twice.append(path)
                else:
                    taken[path] = name
                    pictures.append((split, path, path.name))
            if twice:
                also = taken[twice[0]]
                again = count_noun(len(twice), "picture is", "pictures are")
                problems.append(f"{name}: {again} listed in {also} already, such as {twice[0]}")
    for folder in sorted({path.parent.parent for path in taken}):
        extra = sorted(
            path for path in folder.glob("*/*") if path.suffix.lower() in dataset.SUFFIXES and path not in taken
        )
        if extra:
            left_out = count_noun(len(extra), "picture is", "pictures are")
            problems.append(f"{folder}: {left_out} on no list and left out, such as {extra[0]}")
    return Plan("msmt17", root, pictures, problems, 0)


def read_list(path: Path, folder: Path) -> tuple:
    """The pictures of one of MSMT17's lists that are there, and sentences on its other lines.

    A line is `0000/0000_000_01_0303morning_0008_0.jpg 0`: a path below `folder` and the identity again.
    """
    pictures, odd, absent, mismatched = [], [], [], []
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        words = line.split()
        if not words:
            continue
        match = dataset.MSMT17.match(Path(words[0]).name)
        if len(words) != 2 or not words[1].isdigit() or not match or ".." in Path(words[0]).parts:
            odd.append(f"line {number}")
        elif int(match.group(1)) != int(words[1]):
            mismatched.append(f"{words[0]} with {words[1]}")
        elif not (folder / words[0]).is_file():
            absent.append(words[0])
        else:
            pictures.append(folder / words[0])
    problems = [
        f"{path.name}: {count_noun(len(lines), one, more)} {what}, such as {lines[0]}"
        for lines, one, more, what in (
            (odd, "line is", "lines are", "no path and identity, and left out"),
            (mismatched, "line is", "lines are", "left out, giving another identity than the name"),
            (absent, "picture is", "pictures are", f"not in {folder}"),
        )
        if lines
    ]
    return pictures, problems


def compare(kind: str, found: dict) -> tuple:
    """Counts by split against the published ones: (rows of a table as text, sentences on the differences)."""
    rows = [f"  {'':<8}" + "".join(f"{field:<24}" for field in Counts._fields)]
    differences = []
    for split, published in PUBLISHED[kind].items():
        cells = []
        for field, ours, theirs in zip(Counts._fields, found.get(split, NOTHING), published):
            cells.append(f"{ours:,} ok" if ours == theirs else f"{ours:,} (not {theirs:,})")
            if ours != theirs:
                differences.append(f"{dataset.FOLDERS[split][0]}: found {ours:,} {field}, published {theirs:,}")
        rows.append(f"  {split:<8}" + "".join(f"{cell:<24}" for cell in cells))
    return [row.rstrip() for row in rows], differences
