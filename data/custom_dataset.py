"""Splits a folder of the user's own images of people into train, test and query.

People are split, not images: no person is both in training and in test. Each test identity gives one image per camera
as a query, as in Market-1501, and the rest is the gallery. Test identities that a single camera saw cannot be queries.
They stay in the gallery as wrong answers, as in DukeMTMC-reID.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data.layouts import Plan
from data.trees import order_of_folders, person_of, read_tree
from utils import dataset
from utils.dataset_checks import LenientDataset, count_noun
from utils.errors import InputError
from utils.metrics import DISTRACTOR

SINGLE_CAMERA = (
    "This set has a single camera: the first half of the images of each person, sorted by name, is called camera 1 and "
    "the second half camera 2. rank-1 and mAP then measure how often a person is recognised LATER BY THE SAME CAMERA, "
    "with the same light and background. They say nothing about a second camera, where figures are far lower. Images "
    "taken moments apart look alike and raise the figures further: use images from different passes or days."
)


class Crop(NamedTuple):
    """One image of a person. person: the name of a folder, or a number: of a file name, of junk or of a distractor.

    camera: None if unknown.
    """

    path: Path
    person: str | int
    camera: str | None


class Reading(NamedTuple):
    """How names are read.

    camera_pattern: a regular expression whose one group finds the camera in a file name, None for the usual one.
    first_folder: as in trees.order_of_folders. from_zero: people are counted from 0, which means nobody otherwise.
    """

    camera_pattern: str | None = None
    first_folder: str = "auto"
    from_zero: bool = False


def plan_custom(source: Path, reading: Reading, test_share: float, single_camera: bool, seed: int) -> Plan:
    """Reads and splits `source`; the result is the same for the same files and seed.

    The images are <person>/<image>, <person>/<camera>/<image> or <camera>/<person>/<image> with any folder names, or
    lie side by side and have the identity and the camera in their names, as in utils/dataset.py. test_share: of the
    people. InputError if they cannot be read or split.
    """
    crops, left_out, notes = read_crops(source, reading)
    crops.sort(key=lambda crop: natural_key(str(crop.path.relative_to(source))))
    if single_camera:
        crops = split_by_time(crops)
    else:
        require_cameras(crops)
    labels = sorted({crop.camera for crop in crops}, key=natural_key)
    numeric = all(label.isdecimal() and 0 < int(label) < 10**9 for label in labels)
    cameras = {label: int(label) if numeric else number for number, label in enumerate(labels, 1)}
    people = sorted({crop.person for crop in crops if is_person(crop)}, key=lambda person: natural_key(str(person)))
    identities = {person: number for number, person in enumerate(people, 1)}
    tested, queries = choose_test(crops, people, test_share, single_camera, np.random.default_rng(seed))
    images = []
    originals = {}
    counts = defaultdict(int)
    for crop in crops:
        identity = identities.get(crop.person, crop.person)  # junk and distractors keep their numbers
        counts[identity] += 1
        label = f"{identity:04d}" if identity >= 0 else str(identity)
        name = f"{label}_c{cameras[crop.camera]}s1_{counts[identity]:06d}_00{crop.path.suffix.lower()}"
        if crop in queries:
            split = "query"
        elif crop.person in tested or not is_person(crop):
            split = "test"
        else:
            split = "train"
        images.append((split, crop.path, name))
        originals[name] = str(crop.path.relative_to(source))
    names = {
        "identities": {str(number): str(person) for person, number in identities.items()},
        "cameras": {str(number): label for label, number in cameras.items()},
        "images": originals,
    }
    if single_camera:
        names["meaning"] = SINGLE_CAMERA
    return Plan("own", source, images, [], left_out, names, notes + nobody_notes(crops))


# ---- reading ----


def read_crops(source: Path, reading: Reading) -> tuple:
    """(all crops, number of files that are not images, sentences about what was left out).

    InputError if both forms are mixed.
    """
    source, paths, notes, left_out = read_tree(source)
    loose = [path for path in paths if path.parent == source]
    if loose and len(loose) < len(paths):
        raise InputError(
            f"{source} holds images both loose, such as {loose[0].name}, and in folders: "
            "put each into the folder of its person"
        )
    find_camera = camera_finder(reading.camera_pattern)
    if loose:
        crops = read_flat(source, find_camera if reading.camera_pattern else None)
        if reading.from_zero:
            crops = [crop._replace(person=crop.person + 1) if crop.person >= 0 else crop for crop in crops]
        return crops, left_out, notes
    levels = []  # (first folder, second folder or None) of each image
    for path in paths:
        first, *between, _ = path.relative_to(source).parts
        if len(between) > 1:
            raise InputError(f"{path} lies too deep: give PERSON/IMAGE or PERSON/CAMERA/IMAGE")
        levels.append((first, between[0] if between else None))
    camera_first = order_of_folders(levels, reading.first_folder)
    crops = []
    for path, (first, second) in zip(paths, levels):
        person, camera = (second, first) if camera_first else (first, second or find_camera(path))
        crops.append(Crop(path, person_of(person, reading.from_zero), camera))
    if camera_first:
        notes = [*notes, f"read as CAMERA/PERSON/IMAGE, such as {paths[0]}; --first_folder person reads it otherwise"]
    return crops, left_out, notes


def camera_finder(pattern: str | None):
    """A function from a path to the camera in its name, or None. InputError for a wrong pattern."""
    try:
        compiled = re.compile(pattern or r"(?:^|_)c(?:am)?(\d+)")
    except re.error as error:
        raise InputError(f"--camera_pattern {pattern!r} is not a regular expression ({error})") from None
    if compiled.groups != 1:
        raise InputError(f"--camera_pattern {pattern!r} needs one group that is the camera, such as '^([a-z]+)_'")

    def find(path):
        match = compiled.search(path.name)
        return match.group(1) if match else None

    return find


def read_flat(source: Path, find_camera) -> list:
    """The crops of a folder whose file names give the identity, and the camera too if find_camera is None."""
    data = LenientDataset(source)
    if data.unnamed:
        raise InputError(
            f"{data.unnamed[0]}: its name gives no identity: put the images of each person into a folder of their own, "
            "or rename them like 0002_c1s1_000451_03.jpg"
        )
    paths = [Path(path) for path in data.paths]
    if find_camera:
        cameras = [find_camera(path) for path in paths]
    else:
        cameras = [None if camera == dataset.UNKNOWN_CAMERA else str(camera) for camera in data.cameras.tolist()]
    return [Crop(*row) for row in zip(paths, data.identities.tolist(), cameras)]


def is_person(crop: Crop) -> bool:
    """Whether a crop is neither junk nor a distractor."""
    return isinstance(crop.person, str) or crop.person > DISTRACTOR


def nobody_notes(crops: list) -> list:
    """A sentence about the images called 0, which means nobody; people may have been counted from 0."""
    zeros = [crop.path for crop in crops if crop.person == DISTRACTOR]
    if not zeros:
        return []
    images = count_noun(len(zeros), "image is", "images are")
    return [
        f"{images} called 0, such as {zeros[0]}: 0 means nobody here (a distractor); if it is a person, count from 1, "
        "or give --count_from_zero"
    ]


def natural_key(text: str) -> list:
    """A sorting key that puts 9 before 10."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", text) if part]


# ---- cameras ----


def require_cameras(crops: list) -> None:
    """InputError if the camera of an image is unknown, or if no person was seen by two cameras."""
    unknown = [crop.path for crop in crops if crop.camera is None]
    if unknown:
        raise InputError(
            f"the camera of {count_noun(len(unknown), 'image', 'images')} is unknown, such as {unknown[0]}: "
            "use PERSON/CAMERA/IMAGE, names like x_c2.jpg, --camera_pattern, or --single_camera if there is only one"
        )
    if not any(len(cameras) > 1 for cameras in cameras_of_people(crops).values()):
        raise InputError(
            "no person was seen by two cameras, so recognition across cameras cannot be tested: "
            "give --single_camera (it prints what the figures then mean)"
        )


def cameras_of_people(crops: list) -> dict:
    """{person: set of cameras}."""
    cameras = defaultdict(set)
    for crop in crops:
        if is_person(crop):
            cameras[crop.person].add(crop.camera)
    return cameras


def split_by_time(crops: list) -> list:
    """The crops with camera 1 for the first half of each person and camera 2 for the second.

    crops: sorted. InputError if the names give several cameras.
    """
    named = sorted({crop.camera for crop in crops if crop.camera is not None}, key=natural_key)
    if len(named) > 1:
        raise InputError(
            f"--single_camera, but the names give {len(named)} cameras ({', '.join(named[:5])}): leave it out"
        )
    totals = defaultdict(int)
    for crop in crops:
        totals[crop.person] += 1
    seen = defaultdict(int)
    result = []
    for crop in crops:
        in_second_half = seen[crop.person] >= (totals[crop.person] + 1) // 2
        seen[crop.person] += 1
        result.append(crop._replace(camera="2" if in_second_half else "1"))
    return result


# ---- splitting ----


def choose_test(crops: list, people: list, test_share: float, single_camera: bool, rng) -> tuple:
    """(set of test people, set of crops that are queries).

    The share is taken separately of people seen by several cameras and of the others, so that a small test has queries.
    InputError if there are too few people.
    """
    cameras = cameras_of_people(crops)
    several = [person for person in people if len(cameras[person]) > 1]
    others = [person for person in people if len(cameras[person]) == 1]
    if not several:
        raise InputError("no person has two images, so recognition cannot be tested: add images")
    count = min(max(1, round(test_share * len(several))), max(1, len(several) - 1))
    tested = {several[index] for index in rng.permutation(len(several))[:count]}
    tested |= {others[index] for index in rng.permutation(len(others))[: round(test_share * len(others))]}
    if len(tested) < 2 or len(people) - len(tested) < 2:
        raise InputError(
            f"{len(people)} people, {len(several)} of them seen by two cameras, are too few to train on two and to "
            f"test on two others with --test_share {test_share}: add people, or change the share"
        )
    by_camera = defaultdict(lambda: defaultdict(list))
    for crop in crops:
        if crop.person in tested:
            by_camera[crop.person][crop.camera].append(crop)
    queries = set()
    for person in several:
        if person in tested:
            queries |= choose_queries(by_camera[person], single_camera, rng)
    return tested, queries


def choose_queries(by_camera: dict, single_camera: bool, rng) -> set:
    """One random crop of each camera that has another one for the gallery; at least one in all.

    by_camera: {camera: crops} of one person. With a single camera these are the first and the last crop, which are
    farthest from the other half.
    """
    cameras = [camera for camera in by_camera if len(by_camera[camera]) > 1] or list(by_camera)[:1]
    queries = set()
    for camera in cameras:
        crops = by_camera[camera]
        index = int(rng.integers(len(crops)))
        if single_camera:
            index = 0 if camera == "1" else -1
        queries.add(crops[index])
    return queries
