"""What is wrong with a data set, found before it costs a training.

The quick part looks at names alone, and the training and test scripts run it before they start; the full check reads
every picture. Either gives a list of findings: an error makes training or its figures wrong, a note is worth knowing.
"""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from utils import dataset
from utils.errors import InputError
from utils.metrics import DISTRACTOR, JUNK, Protocol
from utils.progress import Progress

EXAMPLES = 5  # named with each finding
SMALL = 32  # pixels of height below which hardly more than the colour of the clothes is left
UNNAMED = np.iinfo(np.int64).min  # an identity that no name can tell


class Finding(NamedTuple):
    """One kind of damage: what was found and how often, what to do, and up to five places, as text."""

    error: bool
    what: str
    remedy: str
    examples: list


def count_noun(count: int, one: str, more: str) -> str:
    """'1 picture is' or '2,000 pictures are'."""
    return f"{count:,} {one if count == 1 else more}"


class Listing(dataset.ImageDataset):
    """The pictures of a folder that may be damaged: what would be refused is listed instead.

    `unnamed` are the paths whose names tell no identity; `paths`, `identities` and `cameras` leave these out.
    """

    def __init__(self, folder):
        self.unnamed = []
        super().__init__(folder)
        named = self.identities != UNNAMED
        self.paths = [path for path, is_named in zip(self.paths, named) if is_named]
        self.identities, self.cameras = self.identities[named], self.cameras[named]  # (N,) each

    def get_class_from_path(self, path):
        try:
            return super().get_class_from_path(path)
        except InputError:
            self.unnamed.append(path)
            return UNNAMED


# ---- the quick part: names alone ----


def check_quickly(train=None, query=None, gallery=None) -> None:
    """Prints what is worth knowing of opened ImageDatasets, and nothing of sound ones.

    InputError for an error, since training or its figures would be wrong. No file is opened.
    """
    findings = training_findings(train) if train else []
    findings += testing_findings(query, gallery) if query and gallery else []
    tell([finding for finding in findings if not finding.error])
    for finding in findings:
        if finding.error:
            raise InputError(f"{finding.what}, such as {finding.examples[0]}: {finding.remedy}")


def training_findings(data) -> list:
    """Findings on the people of bounding_box_train: one to learn from, one picture, one camera."""
    shown = data.people()
    if not len(shown):
        return [
            Finding(True, f"no picture in {data.folder} shows a known identity", "add people", data.paths[:EXAMPLES])
        ]
    identities, cameras = data.identities[shown], data.cameras[shown]  # (P,), (P,)
    kinds, first, inverse, counts = np.unique(identities, return_index=True, return_inverse=True, return_counts=True)
    examples = [data.paths[index] for index in shown[first]]
    if len(kinds) == 1 or counts.max() == 1:
        found = "one identity alone" if len(kinds) == 1 else "no identity twice"
        remedy = "check that the identity is read rightly from the names, or add pictures"
        return [Finding(True, f"{data.folder} shows {found}", remedy, examples[:EXAMPLES])]
    findings = []
    alone = counts == 1
    if alone.any():
        have = "has" if alone.sum() == 1 else "have"
        what = f"{alone.sum():,} of {len(kinds):,} identities in {data.folder} {have} one picture only"
        remedy = "good for negatives alone; add pictures to learn from them"
        findings.append(Finding(False, what, remedy, _pick(examples, alone)))
    if (cameras == dataset.UNKNOWN_CAMERA).all():
        return findings
    pairs = set(zip(inverse.tolist(), cameras.tolist()))
    one_camera = (np.bincount([kind for kind, _ in pairs], minlength=len(kinds)) == 1) & ~alone
    if one_camera.any():
        nobody = " - nobody was seen by two" if (one_camera | alone).all() else ""
        were = "was" if one_camera.sum() == 1 else "were"
        what = f"{one_camera.sum():,} of {len(kinds):,} identities in {data.folder} {were} seen by one camera only"
        what += nobody
        remedy = "knowing people again across cameras is not learnt from them; add pictures by another camera"
        findings.append(Finding(False, what, remedy, _pick(examples, one_camera)))
    return findings


def testing_findings(query, gallery) -> list:
    """Findings on what the queries can meet in the gallery."""
    findings = []
    strangers = query.identities <= DISTRACTOR
    if strangers.any():
        asking = count_noun(strangers.sum(), f"query in {query.folder} is", f"queries in {query.folder} are")
        what = f"{asking} junk (-1) or distractors (0000)"
        remedy = "nobody can be asked for that way; move what is no person to the gallery"
        findings.append(Finding(True, what, remedy, _pick(query.paths, strangers)))
    if strangers.all():
        return findings
    protocol = Protocol(gallery.identities, gallery.cameras)
    absent, one_camera = np.zeros(len(query), bool), np.zeros(len(query), bool)
    for index, (identity, camera) in enumerate(zip(query.identities.tolist(), query.cameras.tolist())):
        positives, _ = protocol.judge(identity, camera)
        absent[index] = identity not in protocol.of_identity
        one_camera[index] = not absent[index] and not len(positives)
    if (absent | one_camera)[~strangers].all():
        what = f"no query has an image of its identity from another camera: {query.folder} against {gallery.folder}"
        remedy = (
            "check that both show the same people, each by two cameras or more, and that identity and camera are "
            "read rightly from the names"
        )
        return [*findings, Finding(True, what, remedy, _pick(query.paths, absent | one_camera))]
    left_out = "left out of all figures; add pictures of these people to the gallery, or remove the queries"
    for missing, how in ((absent, ""), (one_camera, " in another camera than the query's")):
        missing &= ~strangers
        if missing.any():
            people = count_noun(len(np.unique(query.identities[missing])), "identity", "identities")
            asking = count_noun(missing.sum(), f"query of {people} is", f"queries of {people} are")
            what = f"{asking} not in {gallery.folder}{how}"
            findings.append(Finding(False, what, left_out, _pick(query.paths, missing)))
    return findings


def _pick(examples, chosen) -> list:
    return [examples[index] for index in np.flatnonzero(chosen)[:EXAMPLES]]


# ---- the full check: every picture is read ----


def open_folders(data_dir) -> tuple:
    """({split: Listing}, {split: why it can't be opened}). InputError if none of the three folders is there."""
    found, missing = {}, {}
    if not Path(data_dir).is_dir():
        raise InputError(f"there is no folder {data_dir}: name the one that holds bounding_box_train and its like")
    for split in dataset.FOLDERS:
        try:
            found[split] = dataset.open_split(data_dir, split, Listing)
        except InputError as error:
            missing[split] = str(error)
    if not found:
        raise InputError(
            f"{data_dir} holds neither bounding_box_train nor bounding_box_test nor bounding_box_query with pictures: "
            "name the folder that does, or make the layout with data/prepare.py (data/README.md)"
        )
    return found, missing


def check_folders(found: dict, missing: dict, read=True) -> list:
    """All findings on what open_folders gave: folders, names, people and, with `read`, every picture."""
    # A set may be there to train alone or to test alone, but queries and gallery need each other.
    half = ("test" in found) != ("query" in found)
    findings = [
        Finding(half and split != "train", f"{dataset.FOLDERS[split][0]} is missing or empty", why, [])
        for split, why in missing.items()
    ]
    for split, data in found.items():
        findings += naming_findings(split, data)
    if len(found.get("train", ())):
        findings += training_findings(found["train"])
    if len(found.get("query", ())) and len(found.get("test", ())):
        findings += testing_findings(found["query"], found["test"])
    findings += overlap_findings(found)
    return findings + (picture_findings(found) if read else [])


def naming_findings(split: str, data: Listing) -> list:
    """Findings on the names in one folder: no identity, no camera, junk to train on, files that are no pictures."""
    findings = []
    if data.unnamed:
        names = count_noun(len(data.unnamed), f"name in {data.folder} tells", f"names in {data.folder} tell")
        what = f"{names} no identity"
        remedy = "rename like 0002_c1s1_000451_03.jpg, remove, or override get_class_from_path"
        findings.append(Finding(True, what, remedy, data.unnamed[:EXAMPLES]))
    unknown = data.cameras == dataset.UNKNOWN_CAMERA
    if unknown.any():
        names = count_noun(unknown.sum(), f"name in {data.folder} tells", f"names in {data.folder} tell")
        what = f"{names} no camera"
        remedy = "testing needs it: rename like 0002_c1s1_000451_03.jpg, or override get_camera_from_path"
        findings.append(Finding(split != "train", what, remedy, _pick(data.paths, unknown)))
    strangers = data.identities <= DISTRACTOR
    if split == "train" and strangers.any():
        shown = count_noun(strangers.sum(), f"picture in {data.folder} is", f"pictures in {data.folder} are")
        what = f"{shown} junk (-1) or distractors (0000)"
        findings.append(Finding(False, what, "left out of training", _pick(data.paths, strangers)))
    others = sorted(path for path in data.folder.iterdir() if path.suffix.lower() not in dataset.SUFFIXES)
    if others:
        entries = count_noun(len(others), f"entry of {data.folder} is", f"entries of {data.folder} are")
        what = f"{entries} no .jpg or .png"
        remedy = "not looked at; where a folder holds pictures, move these one level up"
        findings.append(Finding(False, what, remedy, [str(path) for path in others[:EXAMPLES]]))
    return findings


def overlap_findings(found: dict) -> list:
    """Identities that are trained on and tested on, by number."""
    if "train" not in found or "test" not in found:
        return []
    train, test = found["train"], found["test"]
    if test.paths and dataset.MSMT17.match(Path(test.paths[0]).name):
        return []  # numbers both parts from 0; its people differ
    both = np.intersect1d(train.identities[train.people()], test.identities[test.people()])
    if not len(both):
        return []
    what = count_noun(len(both), "identity has", "identities have")
    what += f" the same number in {train.folder} and in {test.folder}"
    remedy = "if these are the same people, the test flatters: keep tested people out of training"
    return [Finding(False, what, remedy, [f"identity {number}" for number in both[:EXAMPLES]])]


class Picture(NamedTuple):
    """What reading one file told. fault: None, 'empty' or 'unreadable'; digest: of the file's bytes."""

    split: str
    path: str
    identity: int
    camera: int
    fault: str | None
    digest: bytes
    height: int
    width: int


def read_picture(split, path, identity, camera) -> Picture:
    """Reads and decodes one file exactly as training will."""
    digest, shape, fault = b"", (0, 0), None
    try:
        content = Path(path).read_bytes()
        digest = hashlib.sha256(content).digest()
        dataset.check_images([path])
        shape = tf.io.decode_jpeg(content, channels=3).shape[:2]
    except (OSError, InputError, tf.errors.OpError):
        fault = "empty" if digest == hashlib.sha256(b"").digest() else "unreadable"
    return Picture(split, path, identity, camera, fault, digest, *shape)


def picture_findings(found: dict) -> list:
    """Findings that need every picture: empty, unreadable, twice there, sizes."""
    rows = [
        (split, *row)
        for split, data in found.items()
        for row in zip(data.paths, data.identities.tolist(), data.cameras.tolist())
    ]
    progress, pictures = Progress("read", len(rows)), []
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for picture in pool.map(lambda row: read_picture(*row), rows):
            pictures.append(picture)
            progress.add()
    findings = []
    unreadable = "can't be read: cut short, or no JPEG or PNG at all"
    for fault, one, more in (
        ("empty", "picture is empty", "pictures are empty"),
        ("unreadable", f"picture {unreadable}", f"pictures {unreadable}"),
    ):
        paths = [picture.path for picture in pictures if picture.fault == fault]
        if paths:
            what = count_noun(len(paths), one, more)
            findings.append(Finding(True, what, "copy again or remove", paths[:EXAMPLES]))
    sound = [picture for picture in pictures if not picture.fault]
    return findings + duplicate_findings(sound) + size_findings(sound)


def duplicate_findings(pictures) -> list:
    """Files with the same content: across training and test, under two names of people or cameras, or merely twice."""
    same = defaultdict(list)
    for picture in pictures:
        same[picture.digest].append(picture)
    kinds = {"leak": [], "people": [], "cameras": [], "twice": []}
    for group in same.values():
        if len(group) < 2:
            continue
        splits, cameras = {picture.split for picture in group}, {picture.camera for picture in group}
        people = {picture.identity for picture in group} - {JUNK}  # junk counts neither way
        if "train" in splits and len(splits) > 1:
            kind = "leak"
        elif len(people) > 1:
            kind = "people"
        else:
            kind = "cameras" if max(people, default=JUNK) > DISTRACTOR and len(cameras) > 1 else "twice"
        kinds[kind].append(" = ".join(picture.path for picture in group[:3]))
    about = (
        ("leak", True, "both in training and in test", "remove from one of them, or the test flatters"),
        ("people", True, "there under two identities", "find out who it is and remove the other"),
        ("cameras", True, "there under two cameras", "find out which it was and remove the other"),
        ("twice", False, "there more than once", "one of each would do"),
    )
    return [
        Finding(
            error,
            f"{count_noun(len(kinds[kind]), 'picture is', 'pictures are')} {what}",
            remedy,
            kinds[kind][:EXAMPLES],
        )
        for kind, error, what, remedy in about
        if kinds[kind]
    ]


def size_findings(pictures) -> list:
    """Mixed and very small sizes."""
    findings = []
    sizes = sorted({(picture.height, picture.width) for picture in pictures})
    if len(sizes) > 1:
        (low, narrow), (high, wide) = np.min(sizes, axis=0), np.max(sizes, axis=0)
        what = f"pictures are of {len(sizes):,} sizes, {low} to {high} pixels high and {narrow} to {wide} wide"
        findings.append(Finding(False, what, "all are scaled to one size, so their shapes change", []))
    small = [picture.path for picture in pictures if picture.height < SMALL]
    if small:
        what = f"{count_noun(len(small), 'picture is', 'pictures are')} less than {SMALL} pixels high"
        findings.append(Finding(False, what, "hardly more than colours can be seen: leave out", small[:EXAMPLES]))
    return findings


def tell(findings, shown=str) -> None:
    """Prints findings, errors first, each with its examples as `shown` puts them."""
    for finding in sorted(findings, key=lambda finding: not finding.error):
        print(f"{'error' if finding.error else 'note'}: {finding.what} ({finding.remedy})")
        for example in finding.examples:
            print(f"    {shown(example)}")
