"""Known people on disk: a folder a name. Enrols them from pictures, keeps good crops of them, writes those where asked.

people/Anna/1.jpg, people/Anna/2.jpg, people/Bert/1.png, ...
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import cv2
import numpy as np

from utils.deploy.reid_net import crop_people
from utils.errors import InputError
from utils.live.camera import PICTURES
from utils.live.identities import clean_name

SEEN = "seen-{}.jpg"  # what save_people writes, so that it never touches a user's own pictures
PORTRAITS = 4  # crops kept of someone with a name, of others one
PORTRAIT_SECONDS = 2  # between two of them: sooner they look the same
TALLEST = 192  # pixels of a crop's height; what is taller is made smaller
UPRIGHT, SMALL = 1.5, 600  # height by width, and pixels of height: such a picture is a crop of one person


# ---- enrolment -------------------------------------------------------------------------------------------------------


def find_people(folder) -> dict:
    """{name: [paths]} of a gallery, in the order of names; InputError if it is none."""
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"--gallery {folder} is no folder: name one that holds a folder of pictures for each person")
    people = {}
    for place in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
        try:
            name = clean_name(place.name)
        except ValueError as error:
            raise InputError(f"{place} is not called as a person may be: {error}") from None
        people[name] = sorted(path for path in place.iterdir() if path.suffix.lower() in PICTURES)
        if not people[name]:
            raise InputError(f"{place} holds no picture ({', '.join(PICTURES)}): add some, or remove the folder")
    if not people:
        raise InputError(f"--gallery {folder} holds no folders: make one for each person, such as {folder / 'Anna'}")
    return people


def person_box(picture: np.ndarray, detector):
    """The person in a picture (H, W, 3) uint8 BGR as a box (4,), or None if the detector finds nobody.

    A small upright picture is taken for a crop of one person as a whole; of others the largest person counts.
    """
    height, width = picture.shape[:2]
    if height >= UPRIGHT * width and height <= SMALL:
        return np.array([0, 0, 1, 1], np.float32)
    boxes, _ = detector.detect(picture)
    return boxes[np.argmax(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1))] if len(boxes) else None


def enrol(folder, detector, embedder, identities) -> list:
    """Makes people with names of a gallery; returns what to tell the user, a line each.

    A picture that cannot be read or shows nobody is left out and said; InputError if nothing is left of a name.
    """
    lines = []
    for name, paths in find_people(folder).items():
        crops, left_out = [], []
        for path in paths:
            picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
            box = None if picture is None else person_box(picture, detector)
            if box is None:
                left_out.append(f"{path.name} ({'unreadable' if picture is None else 'nobody found in it'})")
                continue
            crops.append((picture, box))
        words = f"{len(left_out)} left out: " + ", ".join(left_out)
        if not crops:
            raise InputError(f"no picture of {paths[0].parent} can be used, {words}; add others, or remove it")
        images = np.concatenate([crop_people(picture, box[np.newaxis], embedder.image_size) for picture, box in crops])
        person = identities.add(embedder.embed(images), name)
        for picture, box in crops[:PORTRAITS]:
            crop = cut(picture, box)
            person.portraits.append((clarity(crop), crop))
        line = f"enrolled {name} from {len(crops)} picture{'s' * (len(crops) > 1)} as number {person.number}"
        lines.append(f"{line}; {words}" if left_out else line)
    return lines


# ---- good crops ------------------------------------------------------------------------------------------------------


def cut(frame: np.ndarray, box: np.ndarray) -> np.ndarray:
    """The box's part of a frame (H, W, 3) uint8 BGR as RGB, at most TALLEST pixels high."""
    height, width = (box[2] - box[0]) * frame.shape[0], (box[3] - box[1]) * frame.shape[1]
    scale = min(1.0, TALLEST / max(height, 1))
    size = max(round(height * scale), 1), max(min(round(width * scale), TALLEST), 1)
    return crop_people(frame, box[np.newaxis], size)[0]


def clarity(crop: np.ndarray) -> float:
    """How much detail a crop (h, w, 3) shows: the variance of its Laplacian at one size, low if small or blurred."""
    grey = cv2.cvtColor(cv2.resize(crop, (64, 128), interpolation=cv2.INTER_LINEAR), cv2.COLOR_RGB2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_32F).var())


def portray(person, frame: np.ndarray, box: np.ndarray) -> None:
    """Keeps the crop if it is among the person's clearest; some seconds lie between two of them."""
    now, most = time.monotonic(), PORTRAITS if person.name else 1
    if person.portraits and now - person.portrayed < PORTRAIT_SECONDS:
        return
    person.portrayed = now
    crop = cut(frame, box)
    person.portraits = sorted(person.portraits + [(clarity(crop), crop)], key=lambda some: -some[0])[:most]


def best_crop(person):
    """(h, w, 3) uint8 RGB, or None."""
    return person.portraits[0][1] if person.portraits else None


# ---- saving ----------------------------------------------------------------------------------------------------------


def check_place(folder) -> None:
    """InputError if nobody could be saved there: said at the start, not when there is somebody to lose."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        probe = Path(folder) / f".half-written-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(f"--save_gallery {folder} cannot be written ({error.strerror}): name another") from None


def save_people(folder, people) -> int:
    """Writes the crops of those who have a name to <folder>/<name>/seen-*.jpg; returns how many people those are."""
    named = [person for person in people if person.name and person.seen is not None and person.portraits]
    for person in named:
        place = Path(folder) / person.name
        try:
            place.mkdir(parents=True, exist_ok=True)
            for index in range(PORTRAITS):
                path = place / SEEN.format(index)
                if index < len(person.portraits):
                    half = place / f".half-written-{os.getpid()}.jpg"
                    if not cv2.imwrite(str(half), person.portraits[index][1][..., ::-1]):
                        raise OSError(None, "OpenCV could not write a picture")
                    os.replace(half, path)
                elif path.exists():
                    path.unlink()
        except OSError as error:
            raise InputError(f"--save_gallery {folder} cannot be written ({error.strerror}): name another") from None
    return len(named)


def delete_saved(folder, name: str) -> int:
    """Removes what save_people wrote of someone, and the folder if nothing else is in it; returns how many pictures."""
    place = Path(folder) / name
    paths = [place / SEEN.format(index) for index in range(PORTRAITS)]
    paths = [path for path in paths if path.exists()]
    for path in paths:
        path.unlink()
    if place.is_dir() and not any(place.iterdir()):
        place.rmdir()
    return len(paths)
