"""The published re-id data sets: names of their folders and files, image counts, and where each image goes.

The counts are from the papers and pages of the sets, and from the lists in common code bases. MSMT17's training part is
list_train and list_val together. Market-1501's page says 2,793 distractors, but 2,798 files are named 0000; with 13,115
images of people and 3,819 of junk these are the 19,732 of bounding_box_test.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from utils import dataset, folders
from utils.dataset_checks import LenientDataset, count_noun
from utils.errors import InputError
from utils.metrics import DISTRACTOR, JUNK


class Counts(NamedTuple):
    """The content of one folder of a set. identities: without junk and distractors; cameras: of all images."""

    images: int
    identities: int
    cameras: int
    junk: int
    distractors: int


NO_COUNTS = Counts(0, 0, 0, 0, 0)  # of a missing folder

PUBLISHED = {
    # Zheng et al. 2015
    "market1501": {
        "train": Counts(12936, 751, 6, 0, 0),
        "test": Counts(19732, 750, 6, 3819, 2798),
        "query": Counts(3368, 750, 6, 0, 0),
    },
    # Zheng et al. 2017; the 1,110 of the gallery are 702 identities and 408 distractors with numbers of their own
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
SET_FOLDERS = {*dataset.FOLDERS["train"], *dataset.FOLDERS["test"]}  # either makes a folder a set
DEPTH = 3  # folders between the one that the user names and the set
BOXES = ("detected", "labeled")


class Plan(NamedTuple):
    """Where each image of a set goes.

    kind: a key of PUBLISHED, or 'own'. root: the folder of the set. images: [(split, path, new name)]. problems:
    sentences about what is missing or wrong. left_out: number of files that are not images. names: the content of
    names.json, None for a published set. notes: sentences about what was left out on purpose.
    """

    kind: str
    root: Path
    images: list
    problems: list
    left_out: int
    names: dict | None = None
    notes: list = []


def count_images(data) -> Counts:
    """The counts of an opened folder."""
    people = np.unique(data.identities[data.people()])
    cameras = np.unique(data.cameras[data.cameras != dataset.UNKNOWN_CAMERA])
    junk = int((data.identities == JUNK).sum())
    distractors = int((data.identities == DISTRACTOR).sum())
    return Counts(len(data), len(people), len(cameras), junk, distractors)


# ---- recognising a set ----


def find_roots(source: Path) -> list:
    """The folders at or below `source` that contain bounding_box_train, bounding_box_test or MSMT17's lists."""
    roots = []
    for folder, below, files in folders.walk(source, DEPTH)[0]:
        if not SET_FOLDERS.isdisjoint(below) or "list_train.txt" in files:
            if not any(root in folder.parents for root in roots):
                roots.append(folder)
    return roots


def choose_root(source: Path, boxes: str | None) -> Path | None:
    """The folder of the only set at or below `source`, None if there is none.

    boxes: which half of CUHK03-NP, if both are there. InputError if there are several sets.
    """
    roots = find_roots(source)
    halves = {half: root for root in roots for half in BOXES if root.name.lower().startswith(half[:5])}
    if len(roots) == len(halves) == 2:
        return halves[boxes or BOXES[0]]
    if len(roots) > 1:
        raise InputError(f"{source} holds several data sets ({', '.join(map(str, roots))}): name one of them")
    return roots[0] if roots else None


def recognise(root: Path) -> str:
    """The kind of published set in `root`, recognised by its file names; InputError if it is none."""
    if (root / "list_train.txt").is_file():
        return "msmt17"
    candidates = [root / name for name in dataset.FOLDERS["train"] + dataset.FOLDERS["test"]]
    folder = next(folder for folder in candidates if folder.is_dir())
    names = [Path(path).name for path in folders.list_images(folder)]
    for kind, pattern in NAMES.items():
        if names and sum(bool(pattern.match(name)) for name in names) > len(names) / 2:
            return kind
    example = f", such as {names[0]}," if names else ""
    raise InputError(
        f"the file names in {folder}{example} match no published set: give --kind, or check with "
        "python3 data/prepare.py --check FOLDER whether the folder can be used as it is"
    )


def which_boxes(root: Path, boxes: str | None) -> str:
    """'cuhk03-detected' or 'cuhk03-labeled', from `boxes` or the names of the folder and its parent."""
    named = [half for half in BOXES for part in root.parts[-2:] if half[:5] in part.lower()]
    return f"cuhk03-{boxes or (named or BOXES)[0]}"


# ---- planning the layout ----


def plan_folders(kind: str, root: Path, from_zero: bool = False) -> Plan:
    """The plan for a set in Market-1501's layout. InputError if one of its folders is missing.

    from_zero: identities are counted from 0, so 1 is added to each; otherwise the names stay.
    """
    images = []
    problems = []
    left_out = 0
    for names in dataset.FOLDERS.values():
        if not any((root / name).is_dir() for name in names):
            raise InputError(f"{root} holds no {' or '.join(names)}: get the whole set, or unpack it again")
    for split in dataset.FOLDERS:
        data = dataset.open_split(root, split, LenientDataset)
        named = [(path, one_more(Path(path).name) if from_zero else Path(path).name) for path in data.paths]
        images += [(split, Path(path), name) for path, name in named]
        left_out += sum(1 for _ in data.folder.iterdir()) - len(data.paths) - len(data.unnamed)
        if data.unnamed:
            names = count_noun(len(data.unnamed), f"name in {data.folder} gives", f"names in {data.folder} give")
            problems.append(f"left out: {names} no identity, such as {data.unnamed[0]}")
    return Plan(kind, root, images, problems, left_out)


def one_more(name: str) -> str:
    """The name of an image with its identity, counted from 0, counted from 1: 0000_c1 -> 0001_c1; junk stays junk."""
    return re.sub(r"^\d+", lambda number: str(int(number[0]) + 1).zfill(len(number[0])), name)


def plan_lists(root: Path) -> Plan:
    """The plan for MSMT17 as published, where lists give the split; names stay. InputError if a part is missing."""
    images = []
    problems = []
    listed_in = {}  # path -> name of the list
    for split, lists in MSMT17_LISTS.items():
        folder = next((root / name for name in MSMT17_FOLDERS[split] if (root / name).is_dir()), None)
        if folder is None:
            raise InputError(f"{root} holds no folder {' or '.join(MSMT17_FOLDERS[split])}: unpack the whole of MSMT17")
        for name in lists:
            if not (root / name).is_file():
                raise InputError(f"{root / name} is missing, and only the lists give MSMT17's split: unpack it again")
            listed, wrong = read_list(root / name, folder)
            problems += wrong
            twice = []
            for path in listed:
                if path in listed_in:
                    twice.append(path)
                else:
                    listed_in[path] = name
                    images.append((split, path, path.name))
            if twice:
                again = count_noun(len(twice), "image is", "images are")
                problems.append(f"{name}: {again} already listed in {listed_in[twice[0]]}, such as {twice[0]}")
    for folder in sorted({path.parent.parent for path in listed_in}):
        files = (path for path in folder.glob("*/*") if path.suffix.lower() in dataset.SUFFIXES)
        extra = sorted(path for path in files if path not in listed_in)
        if extra:
            left_out = count_noun(len(extra), "image is", "images are")
            problems.append(f"{folder}: {left_out} on no list and left out, such as {extra[0]}")
    return Plan("msmt17", root, images, problems, 0)


def read_list(path: Path, folder: Path) -> tuple:
    """(the images of one of MSMT17's lists, sentences about its wrong lines).

    A line is `0000/0000_000_01_0303morning_0008_0.jpg 0`: a path below `folder`, and the identity.
    """
    images = []
    odd = []
    absent = []
    mismatched = []
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        words = line.split()
        if not words:
            continue
        match = dataset.MSMT17.match(Path(words[0]).name)
        if len(words) != 2 or not words[1].isdecimal() or not match or ".." in Path(words[0]).parts:
            odd.append(f"line {number}")
        elif int(match.group(1)) != int(words[1]):
            mismatched.append(f"{words[0]} with {words[1]}")
        elif not (folder / words[0]).is_file():
            absent.append(words[0])
        else:
            images.append(folder / words[0])
    problems = [
        f"{path.name}: {count_noun(len(lines), one, more)} {what}, such as {lines[0]}"
        for lines, one, more, what in (
            (odd, "line is", "lines are", "left out, without a path and an identity"),
            (mismatched, "line is", "lines are", "left out, with another identity than in the name"),
            (absent, "image is", "images are", f"not in {folder}"),
        )
        if lines
    ]
    return images, problems


def compare_counts(kind: str, found: dict) -> tuple:
    """Compares {split: Counts} with the published ones: (rows of a table, sentences about the differences)."""
    rows = [f"  {'':<8}" + "".join(f"{field:<24}" for field in Counts._fields)]
    differences = []
    for split, published in PUBLISHED[kind].items():
        cells = []
        for field, ours, theirs in zip(Counts._fields, found.get(split, NO_COUNTS), published):
            cells.append(f"{ours:,} ok" if ours == theirs else f"{ours:,} (not {theirs:,})")
            if ours != theirs:
                differences.append(f"{dataset.FOLDERS[split][0]}: found {ours:,} {field}, published {theirs:,}")
        rows.append(f"  {split:<8}" + "".join(f"{cell:<24}" for cell in cells))
    return [row.rstrip() for row in rows], differences
