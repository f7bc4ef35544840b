"""A folder of a user's own pictures of people, split by rule into train, test and query.

People are split, not pictures: nobody who is tested on is trained on. Of those in the test, each person and camera
gives one picture as a query, as in Market-1501, and the rest is the gallery. People of the test whom one camera alone
saw can't be asked for; they stay in the gallery under their own numbers, where they are wrong answers like
DukeMTMC-reID's one-camera identities.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data.layouts import Plan
from utils import dataset
from utils.dataset_checks import Listing, count_noun
from utils.errors import InputError
from utils.metrics import DISTRACTOR

SINGLE_CAMERA = (
    "There is one camera: of each person, the first half of the pictures, in the order of their names, is called "
    "camera 1 and the second half camera 2. rank-1 and mAP then tell how often somebody is known again LATER BY THE "
    "SAME CAMERA, with the same light and background. They do not tell how it would be with a second camera, where "
    "figures are far lower. Pictures taken moments apart look alike and flatter them as well: take pictures from "
    "different passes or days."
)


class Crop(NamedTuple):
    """One picture: its person as the user calls it, or as a number of the name; its camera, None if nothing tells."""

    path: Path
    person: str | int
    camera: str | None


def plan_own(source: Path, camera_pattern: str | None, test_share: float, single_camera: bool, seed: int) -> Plan:
    """Reads and splits `source`; the same for the same files and seed.

    Two forms: <person>/<picture> or <person>/<camera>/<picture>, with any names of folders; or pictures side by side
    whose names tell identity and camera, as in utils/dataset.py. camera_pattern: a regular expression whose one group
    finds the camera in a file's name.
    """
    crops, left_out = read_crops(source, camera_pattern)
    crops.sort(key=lambda crop: natural(str(crop.path.relative_to(source))))
    if single_camera:
        crops = halve(crops)
    else:
        require_cameras(crops)
    labels = sorted({crop.camera for crop in crops}, key=natural)
    plain = all(label.isdigit() and int(label) for label in labels)
    cameras = {label: int(label) if plain else number for number, label in enumerate(labels, 1)}
    people = sorted({crop.person for crop in crops if is_person(crop)}, key=lambda person: natural(str(person)))
    identities = {person: number for number, person in enumerate(people, 1)}
    tested, queries = choose(crops, people, test_share, single_camera, np.random.default_rng(seed))
    pictures, sources = [], {}
    numbers = defaultdict(int)
    for crop in crops:
        identity = identities[crop.person] if is_person(crop) else crop.person
        numbers[identity] += 1
        shown = f"{identity:04d}" if identity >= 0 else str(identity)
        name = f"{shown}_c{cameras[crop.camera]}s1_{numbers[identity]:06d}_00{crop.path.suffix.lower()}"
        in_test = crop.person in tested or not is_person(crop)
        pictures.append(("query" if crop in queries else "test" if in_test else "train", crop.path, name))
        sources[name] = str(crop.path.relative_to(source))
    names = {
        "identities": {str(number): str(person) for person, number in identities.items()},
        "cameras": {str(number): label for label, number in cameras.items()},
        "pictures": sources,
    }
    if single_camera:
        names["meaning"] = SINGLE_CAMERA
    return Plan("own", source, pictures, [], left_out, names)


# ---- reading ----


def read_crops(source: Path, camera_pattern: str | None) -> tuple:
    """All crops, and how many files are no pictures. InputError for a mix of the two forms."""
    files = sorted(path for path in source.rglob("*") if path.is_file() and not path.name.startswith("."))
    paths = [path for path in files if path.suffix.lower() in dataset.SUFFIXES]
    loose = [path for path in paths if path.parent == source]
    if not paths:
        raise InputError(f"no .jpg or .png picture in {source}: name the folder that holds a folder for each person")
    if loose and len(loose) < len(paths):
        raise InputError(
            f"{source} holds pictures both loose, such as {loose[0].name}, and in folders: "
            "put each into the folder of its person"
        )
    finder = find_camera(camera_pattern)
    if loose:
        return read_flat(source, finder if camera_pattern else None), len(files) - len(paths)
    crops = []
    for path in paths:
        person, *between, _ = path.relative_to(source).parts
        if len(between) > 1:
            raise InputError(f"{path} lies too deep: give PERSON/PICTURE or PERSON/CAMERA/PICTURE")
        crops.append(Crop(path, person, between[0] if between else finder(path)))
    return crops, len(files) - len(paths)


def find_camera(pattern: str | None):
    """A function from a path to the camera in its name, None if there is none."""
    try:
        compiled = re.compile(pattern or r"(?:^|_)c(?:am)?(\d+)")
    except re.error as error:
        raise InputError(f"--camera_pattern {pattern!r} is no regular expression ({error})") from None
    if compiled.groups != 1:
        raise InputError(f"--camera_pattern {pattern!r} needs one group that is the camera, such as '^([a-z]+)_'")

    def find(path):
        match = compiled.search(path.name)
        return match.group(1) if match else None

    return find


def read_flat(source: Path, finder) -> list:
    """Crops whose names tell the identity, and the camera unless a finder is given for it."""
    data = Listing(source)
    if data.unnamed:
        raise InputError(
            f"{data.unnamed[0]}: its name tells no person: put the pictures of each person into a folder of its own, "
            "or rename them like 0002_c1s1_000451_03.jpg"
        )
    cameras = [None if camera == dataset.UNKNOWN_CAMERA else str(camera) for camera in data.cameras.tolist()]
    paths = [Path(path) for path in data.paths]
    if finder:
        cameras = [finder(path) for path in paths]
    return [Crop(*row) for row in zip(paths, data.identities.tolist(), cameras)]


def is_person(crop: Crop) -> bool:
    """Neither junk nor distractor, which names alone can tell."""
    return isinstance(crop.person, str) or crop.person > DISTRACTOR


def natural(text: str) -> list:
    """A sorting key that puts 9 before 10, as a user's numbering means it."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", text) if part]


# ---- cameras ----


def require_cameras(crops) -> None:
    """InputError if a camera is not told, or nobody was seen by two: nothing could be tested then."""
    unknown = [crop.path for crop in crops if crop.camera is None]
    if unknown:
        raise InputError(
            f"can't tell the camera of {count_noun(len(unknown), 'picture', 'pictures')}, such as {unknown[0]}: "
            "put it into PERSON/CAMERA/PICTURE, name like x_c2.jpg, give --camera_pattern, "
            "or --single_camera if there is one"
        )
    if not any(len(cameras) > 1 for cameras in cameras_of_people(crops).values()):
        raise InputError(
            "nobody was seen by two cameras, so nothing could be tested across cameras: "
            "give --single_camera for what one camera can tell (it says what that means)"
        )


def cameras_of_people(crops) -> dict:
    """{person: set of cameras}."""
    cameras = defaultdict(set)
    for crop in crops:
        if is_person(crop):
            cameras[crop.person].add(crop.camera)
    return cameras


def halve(crops) -> list:
    """The two halves of each person's pictures, in their order, as cameras 1 and 2. InputError if cameras are told."""
    told = sorted({crop.camera for crop in crops if crop.camera is not None}, key=natural)
    if len(told) > 1:
        raise InputError(
            f"--single_camera, but the names tell {len(told)} cameras ({', '.join(told[:5])}): leave it out"
        )
    totals, seen, halved = defaultdict(int), defaultdict(int), []
    for crop in crops:
        totals[crop.person] += 1
    for crop in crops:
        second = seen[crop.person] >= (totals[crop.person] + 1) // 2
        seen[crop.person] += 1
        halved.append(crop._replace(camera="2" if second else "1"))
    return halved


# ---- splitting ----


def choose(crops, people, test_share: float, single_camera: bool, rng) -> tuple:
    """(people of the test, crops that are queries).

    The share is taken of people seen by several cameras and of the others alike, so that a small test has queries.
    """
    cameras = cameras_of_people(crops)
    several = [person for person in people if len(cameras[person]) > 1]
    others = [person for person in people if len(cameras[person]) == 1]
    if not several:
        raise InputError("nobody has two pictures, so nobody can be known again: add pictures")
    asked = min(max(1, round(test_share * len(several))), max(1, len(several) - 1))
    tested = {several[index] for index in rng.permutation(len(several))[:asked]}
    tested |= {others[index] for index in rng.permutation(len(others))[: round(test_share * len(others))]}
    if len(tested) < 2 or len(people) - len(tested) < 2:
        raise InputError(
            f"{len(people)} people of whom {len(several)} were seen by two cameras are too few to train on two and "
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
    """One picture of each camera that keeps another in the gallery; at least one in all.

    With a single camera the first and the last picture ask, which lie farthest from the other half.
    """
    able = [camera for camera in by_camera if len(by_camera[camera]) > 1] or list(by_camera)[:1]
    queries = set()
    for camera in able:
        pictures = by_camera[camera]
        index = int(rng.integers(len(pictures)))
        if single_camera:
            index = 0 if camera == "1" else -1
        queries.add(pictures[index])
    return queries
