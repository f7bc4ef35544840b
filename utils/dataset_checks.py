"""Finds mistakes in a data set before they cost a training.

The quick checks look at file names alone; the training and test scripts run them before they start. The full check
reads every image. Both give a list of findings: an error spoils training or its figures, a note is worth knowing.
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

COUNTED_FROM_ZERO = (
    "0 means nobody here: if people are counted from 0, add 1 to each number, as data/prepare.py --count_from_zero does"
)
EXAMPLES = 5  # named with each finding
MIN_HEIGHT = 32  # pixels; a smaller image shows little more than the colours of the clothes
UNNAMED = np.iinfo(np.int64).min  # the identity of a file whose name gives none
EMPTY = "empty"
UNREADABLE = "unreadable (cut short, or not JPEG or PNG)"
DANGLING = "a link that leads nowhere (is the disk or folder that it leads to there?)"


class Finding(NamedTuple):
    """One kind of damage: what was found and how often, what to do, and up to EXAMPLES places as text."""

    error: bool
    what: str
    remedy: str
    examples: list


def count_noun(count: int, one: str, more: str) -> str:
    """'1 image is' or '2,000 images are'."""
    return f"{count:,} {one if count == 1 else more}"


class LenientDataset(dataset.ImageDataset):
    """An ImageDataset that lists the files whose names give no identity instead of raising an InputError.

    `unnamed` are their paths; `paths`, `identities` and `cameras` hold the other images only.
    """

    def __init__(self, folder):
        self.unnamed = []
        super().__init__(folder)
        named = self.identities != UNNAMED
        self.paths = [path for path, is_named in zip(self.paths, named) if is_named]
        self.identities = self.identities[named]  # (N,)
        self.cameras = self.cameras[named]  # (N,)

    def get_class_from_path(self, path):
        try:
            return super().get_class_from_path(path)
        except InputError:
            self.unnamed.append(path)
            return UNNAMED


# ---- the quick checks: names alone ----


def check_quickly(train=None, query=None, gallery=None) -> None:
    """Prints the notes on opened ImageDatasets; opens no image.

    InputError for the first error.
    """
    findings = training_findings(train) if train else []
    if query and gallery:
        findings += testing_findings(query, gallery)
    print_findings([finding for finding in findings if not finding.error])
    for finding in findings:
        if finding.error:
            raise InputError(f"{finding.what}, such as {finding.examples[0]}: {finding.remedy}")


def training_findings(data) -> list:
    """Findings on the identities of bounding_box_train: only one of them, single images, single cameras."""
    known = data.people()
    if not len(known):
        what = f"no image in {data.folder} shows a known identity"
        return [Finding(True, what, "add identities", data.paths[:EXAMPLES])]
    cameras = data.cameras[known]  # (P,)
    identities, first, inverse, counts = np.unique(
        data.identities[known], return_index=True, return_inverse=True, return_counts=True
    )
    examples = [data.paths[index] for index in known[first]]
    if len(identities) == 1 or counts.max() == 1:
        what = f"no identity in {data.folder} has two images"
        if len(identities) == 1:
            what = f"{data.folder} shows only one identity"
        remedy = "check that the names give the right identities, or add images"
        return [Finding(True, what, remedy, examples[:EXAMPLES])]
    findings = []
    zeros = data.identities == DISTRACTOR  # (N,)
    if zeros.any():
        what = count_noun(zeros.sum(), f"image in {data.folder} is", f"images in {data.folder} are")
        what += " called 0 and left out of training"
        findings.append(Finding(False, what, COUNTED_FROM_ZERO, _pick(data.paths, zeros)))
    single_image = counts == 1
    if single_image.any():
        have = "has" if single_image.sum() == 1 else "have"
        what = f"{single_image.sum():,} of {len(identities):,} identities in {data.folder} {have} only one image"
        remedy = "they serve as negatives only; add images to learn from them"
        findings.append(Finding(False, what, remedy, _pick(examples, single_image)))
    if (cameras == dataset.UNKNOWN_CAMERA).all():
        return findings
    pairs = set(zip(inverse.tolist(), cameras.tolist()))
    cameras_each = np.bincount([index for index, _ in pairs], minlength=len(identities))
    single_camera = (cameras_each == 1) & ~single_image
    if single_camera.any():
        were = "was" if single_camera.sum() == 1 else "were"
        what = (
            f"{single_camera.sum():,} of {len(identities):,} identities in {data.folder} {were} seen by one camera only"
        )
        if (single_camera | single_image).all():
            what += ", and no identity by two"
        remedy = "they do not teach recognition across cameras; add images by another camera"
        findings.append(Finding(False, what, remedy, _pick(examples, single_camera)))
    return findings


def testing_findings(query, gallery) -> list:
    """Findings on the matches of the queries in the gallery."""
    findings = []
    junk_or_distractor = query.identities <= DISTRACTOR  # (Q,)
    if junk_or_distractor.any():
        zeros = (query.identities == DISTRACTOR).any()
        queries = count_noun(junk_or_distractor.sum(), f"query in {query.folder} is", f"queries in {query.folder} are")
        what = f"{queries} junk (-1) or distractors (0000)"
        remedy = f"{COUNTED_FROM_ZERO}, else move them to the gallery" if zeros else "move them to the gallery"
        findings.append(Finding(True, what, remedy, _pick(query.paths, junk_or_distractor)))
    if junk_or_distractor.all():
        return findings
    protocol = Protocol(gallery.identities, gallery.cameras)
    pairs = zip(query.identities.tolist(), query.cameras.tolist())
    unmatched = np.array([not len(protocol.judge(identity, camera)[0]) for identity, camera in pairs])  # (Q,)
    absent = unmatched & ~np.isin(query.identities, gallery.identities)
    own_camera_only = unmatched & ~absent
    if unmatched[~junk_or_distractor].all():
        what = f"no query has an image of its identity from another camera: {query.folder} against {gallery.folder}"
        remedy = (
            "check that both show the same identities, each by two or more cameras, and that the names give the right "
            "identities and cameras"
        )
        return [*findings, Finding(True, what, remedy, _pick(query.paths, unmatched))]
    remedy = "left out of all figures; add images of these identities to the gallery, or remove the queries"
    for chosen, where in ((absent, ""), (own_camera_only, " by another camera than the query's")):
        chosen = chosen & ~junk_or_distractor
        if chosen.any():
            identities = count_noun(len(np.unique(query.identities[chosen])), "identity", "identities")
            queries = count_noun(chosen.sum(), f"query of {identities} is", f"queries of {identities} are")
            what = f"{queries} not in {gallery.folder}{where}"
            findings.append(Finding(False, what, remedy, _pick(query.paths, chosen)))
    return findings


def _pick(examples, chosen) -> list:
    """The first EXAMPLES of those where the mask is True."""
    return [examples[index] for index in np.flatnonzero(chosen)[:EXAMPLES]]


# ---- the full check: every image is read ----


def open_folders(data_dir) -> tuple:
    """({split: LenientDataset}, {split: why it cannot be opened}).

    InputError if none of the three folders can be opened.
    """
    if not Path(data_dir).is_dir():
        raise InputError(f"there is no folder {data_dir}: name the one that holds bounding_box_train")
    found = {}
    missing = {}
    for split in dataset.FOLDERS:
        try:
            found[split] = dataset.open_split(data_dir, split, LenientDataset)
        except InputError as error:
            missing[split] = str(error)
    if not found:
        raise InputError(
            f"{data_dir} holds neither bounding_box_train nor bounding_box_test nor bounding_box_query with images: "
            "name the folder that does, or make the layout with data/prepare.py (data/README.md)"
        )
    return found, missing


def check_folders(found: dict, missing: dict, read=True) -> list:
    """All findings on the result of open_folders; read: also read every image."""
    # A set may be for training or for testing only, but queries and gallery need each other.
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
    if read:
        findings += image_findings(found)
    return findings


def naming_findings(split: str, data: LenientDataset) -> list:
    """Findings on the names in one folder: no identity, no camera, junk in training, files that are not images."""
    findings = []
    if data.unnamed:
        names = count_noun(len(data.unnamed), f"name in {data.folder} gives", f"names in {data.folder} give")
        remedy = "rename like 0002_c1s1_000451_03.jpg, remove, or override get_class_from_path"
        findings.append(Finding(True, f"{names} no identity", remedy, data.unnamed[:EXAMPLES]))
    unknown = data.cameras == dataset.UNKNOWN_CAMERA
    if unknown.any():
        names = count_noun(unknown.sum(), f"name in {data.folder} gives", f"names in {data.folder} give")
        remedy = "testing needs it: rename like 0002_c1s1_000451_03.jpg, or override get_camera_from_path"
        findings.append(Finding(split != "train", f"{names} no camera", remedy, _pick(data.paths, unknown)))
    junk = data.identities == JUNK
    if split == "train" and junk.any():
        images = count_noun(junk.sum(), f"image in {data.folder} is", f"images in {data.folder} are")
        findings.append(Finding(False, f"{images} junk (-1)", "left out of training", _pick(data.paths, junk)))
    used = {*data.paths, *data.unnamed}
    others = sorted(str(path) for path in data.folder.iterdir() if str(path) not in used)
    if others:
        entries = count_noun(len(others), f"entry of {data.folder} is", f"entries of {data.folder} are")
        remedy = "ignored; if a folder holds images, move them one level up"
        findings.append(Finding(False, f"{entries} not .jpg or .png, or hidden", remedy, others[:EXAMPLES]))
    return findings


def overlap_findings(found: dict) -> list:
    """Findings on identity numbers that are both in training and in test."""
    if "train" not in found or "test" not in found:
        return []
    train = found["train"]
    test = found["test"]
    if test.paths and dataset.MSMT17.match(Path(test.paths[0]).name):
        return []  # it numbers both parts from 0, but their people differ
    both = np.intersect1d(train.identities[train.people()], test.identities[test.people()])
    if not len(both):
        return []
    what = count_noun(len(both), "identity has", "identities have")
    what += f" the same number in {train.folder} and in {test.folder}"
    remedy = "if these are the same people, the test overestimates accuracy: keep them out of training"
    return [Finding(False, what, remedy, [f"identity {number}" for number in both[:EXAMPLES]])]


class ImageFile(NamedTuple):
    """The result of reading one image. fault: None, EMPTY, UNREADABLE or DANGLING; digest: sha256 of the file."""

    split: str
    path: str
    identity: int
    camera: int
    fault: str | None
    digest: bytes
    height: int
    width: int


def read_image(split: str, path: str, identity: int, camera: int) -> ImageFile:
    """Reads and decodes one image exactly as training does."""
    content = None
    shape = (0, 0)
    fault = None
    try:
        content = Path(path).read_bytes()
        dataset.check_images([path])
        shape = dataset.decode(content).shape[:2]
    except (OSError, InputError, tf.errors.OpError):
        fault = EMPTY if content == b"" else UNREADABLE
        if content is None and os.path.islink(path):
            fault = DANGLING
    return ImageFile(split, path, identity, camera, fault, hashlib.sha256(content or b"").digest(), *shape)


def image_findings(found: dict) -> list:
    """Findings that need the content of every image: empty, unreadable, duplicate, of several sizes."""
    rows = [
        (split, *row)
        for split, data in found.items()
        for row in zip(data.paths, data.identities.tolist(), data.cameras.tolist())
    ]
    progress = Progress("read", len(rows))
    images = []
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for image in pool.map(lambda row: read_image(*row), rows):
            images.append(image)
            progress.add()
    findings = []
    for fault in (EMPTY, UNREADABLE, DANGLING):
        paths = [image.path for image in images if image.fault == fault]
        if paths:
            what = f"{count_noun(len(paths), 'image is', 'images are')} {fault}"
            findings.append(Finding(True, what, "copy again or remove", paths[:EXAMPLES]))
    sound = [image for image in images if not image.fault]
    return findings + duplicate_findings(sound) + size_findings(sound)


def duplicate_findings(images: list) -> list:
    """Findings on files with the same content, by what their names say differently."""
    by_digest = defaultdict(list)
    for image in images:
        by_digest[image.digest].append(image)
    examples = defaultdict(list)
    for group in by_digest.values():
        if len(group) > 1:
            examples[_duplicate_kind(group)].append(" = ".join(image.path for image in group[:3]))
    kinds = (
        ("leak", True, "both in training and in test", "remove one: figures would overestimate accuracy"),
        ("identities", True, "there under two identities", "find out which is right and remove the other"),
        ("cameras", True, "there under two cameras", "find out which is right and remove the other"),
        ("copies", False, "there more than once", "one copy is enough"),
    )
    findings = []
    for kind, error, where, remedy in kinds:
        if examples[kind]:
            what = f"{count_noun(len(examples[kind]), 'image is', 'images are')} {where}"
            findings.append(Finding(error, what, remedy, examples[kind][:EXAMPLES]))
    return findings


def _duplicate_kind(group: list) -> str:
    """What differs between the names of equal files; junk has no identity that could differ."""
    splits = {image.split for image in group}
    cameras = {image.camera for image in group}
    identities = {image.identity for image in group} - {JUNK}
    if "train" in splits and len(splits) > 1:
        return "leak"
    if len(identities) > 1:
        return "identities"
    if max(identities, default=JUNK) > DISTRACTOR and len(cameras) > 1:
        return "cameras"
    return "copies"


def size_findings(images: list) -> list:
    """Findings on mixed and on very small sizes."""
    findings = []
    sizes = {(image.height, image.width) for image in images}
    if len(sizes) > 1:
        heights = [height for height, _ in sizes]
        widths = [width for _, width in sizes]
        what = (
            f"images have {len(sizes):,} sizes, {min(heights)} to {max(heights)} pixels high and "
            f"{min(widths)} to {max(widths)} wide"
        )
        findings.append(Finding(False, what, "all are scaled to one size, so their proportions change", []))
    small = [image.path for image in images if image.height < MIN_HEIGHT]
    if small:
        what = f"{count_noun(len(small), 'image is', 'images are')} less than {MIN_HEIGHT} pixels high"
        findings.append(Finding(False, what, "they show little more than colours: leave them out", small[:EXAMPLES]))
    return findings


def print_findings(findings: list, format_example=str) -> None:
    """Prints findings, errors first; format_example: a function from an example to the text to print."""
    for finding in sorted(findings, key=lambda finding: not finding.error):
        print(f"{'error' if finding.error else 'note'}: {finding.what} ({finding.remedy})")
        for example in finding.examples:
            print(f"    {format_example(example)}")
