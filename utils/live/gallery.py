"""Known people on disk: enrolment from a folder of images per person, and saving and deleting crops.

people/Anna/1.jpg, people/Anna/2.jpg, people/Bert/1.png, ...
"""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np

from utils.deploy.reid_net import crop_person
from utils.errors import InputError
from utils.files import IMAGE_SUFFIXES, write_whole
from utils.folders import list_images, list_people
from utils.image_files import read_bgr
from utils.live.identities import clean_name
from utils.live.person import MAX_CROPS

SAVED_NAME = "seen-{}.jpg"  # files of save_people, so that it never touches a user's own images
MAX_CROP_HEIGHT = 192  # pixels; taller crops are scaled down
CROP_ASPECT = 1.5  # height / width from which a small image counts as a crop of one person
CROP_HEIGHT = 600  # pixels of height up to which an image counts as small


# ---- enrolment -------------------------------------------------------------------------------------------------------


def find_people(folder) -> tuple:
    """({name: [paths of images]} of a gallery folder, sorted by name; sentences about what was left out in it).

    InputError if it is not a gallery.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder: name one that holds a folder of images for each person")
    people = {}
    places, notes = list_people(folder)
    for place in places:
        try:
            name = clean_name(place.name)
        except ValueError as error:
            raise InputError(f"{place} does not have a valid name: {error} Rename the folder.") from None
        images = [Path(path) for path in list_images(place)]
        if not images:
            raise InputError(f"{place} holds no images ({', '.join(IMAGE_SUFFIXES)}): add some, or remove the folder")
        people[name] = people.get(name, []) + images  # two spellings of one name in Unicode are one person
    if not people:
        left_out = "".join(f"; {note}" for note in notes)
        raise InputError(f"{folder} holds no folders: make one for each person, such as {folder / 'Anna'}{left_out}")
    return people, notes


def find_person(image: np.ndarray, detector):
    """The box (4,) of the person in an image (H, W, 3) uint8 BGR, None if the detector finds no person.

    A small upright image counts as a crop of one person. In other images the largest person counts.
    """
    height, width = image.shape[:2]
    if height >= CROP_ASPECT * width and height <= CROP_HEIGHT:
        return np.array([0, 0, 1, 1], np.float32)
    boxes, _ = detector.detect(image)  # (N, 4)
    if not len(boxes):
        return None
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    return boxes[np.argmax(areas)]


def enrol(folder, detector, embedder, identities) -> list:
    """Adds the people of a gallery folder to `identities`; returns lines that say what was done, one per person.

    Images that cannot be read or show no person are skipped and listed. InputError if a person has no usable image.
    """
    people, notes = find_people(folder)
    lines = [f"note: {note}" for note in notes]
    for name, paths in people.items():
        usable = []  # (image, box)
        skipped = []
        for path in paths:
            image = read_bgr(path)
            if image is None:
                skipped.append(f"{path.name} (unreadable)")
                continue
            box = find_person(image, detector)
            if box is None:
                skipped.append(f"{path.name} (no person found)")
                continue
            usable.append((image, box))
        note = f"{len(skipped)} skipped: " + ", ".join(skipped)
        if not usable:
            raise InputError(f"{paths[0].parent} has no usable image, {note}; add others, or remove the folder")
        crops = [crop_person(image, box, embedder.image_size) for image, box in usable]
        person = identities.enrol(embedder.embed(np.stack(crops)), name)
        for image, box in usable:
            person.keep_best_crop(cut(image, box))
        images = "image" if len(usable) == 1 else "images"
        line = f"enrolled {name} from {len(usable)} {images} as number {person.person_id}"
        lines.append(f"{line}; {note}" if skipped else line)
    return lines


def cut(frame: np.ndarray, box: np.ndarray) -> np.ndarray:
    """The part of a frame (H, W, 3) uint8 BGR inside a box (4,) in 0..1 -> (h, w, 3) uint8 RGB.

    Keeps the aspect ratio; h and w are at most MAX_CROP_HEIGHT.
    """
    height = (box[2] - box[0]) * frame.shape[0]
    width = (box[3] - box[1]) * frame.shape[1]
    scale = min(1.0, MAX_CROP_HEIGHT / max(height, 1))
    size = max(round(height * scale), 1), max(min(round(width * scale), MAX_CROP_HEIGHT), 1)
    return crop_person(frame, box, size)


# ---- saving ----------------------------------------------------------------------------------------------------------


def check_writable(folder) -> None:
    """Creates the folder if necessary; InputError if no file can be written there."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error.strerror}): name another folder") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"{folder} cannot be written (no permission): name another folder")


def save_people(folder, people) -> int:
    """Writes the crops of people with a name who were seen, to <folder>/<name>/seen-*.jpg; returns their number.

    Each file is written whole or not at all; InputError if that fails.
    """
    saved = 0
    for person in people:
        if not person.name or person.last_seen is None or not person.crops:
            continue
        place = Path(folder) / person.name
        for index, (_, crop) in enumerate(person.crops):
            encoded = cv2.imencode(".jpg", np.ascontiguousarray(crop[..., ::-1]))[1]
            write_whole(place / SAVED_NAME.format(index), encoded.tobytes())
        _remove([place / SAVED_NAME.format(index) for index in range(len(person.crops), MAX_CROPS)])
        saved += 1
    return saved


def delete_saved(folder, name: str) -> int:
    """Removes what save_people wrote for a name, and the folder if it is then empty; returns the number of images."""
    place = Path(folder) / name
    removed = _remove([place / SAVED_NAME.format(index) for index in range(MAX_CROPS)])
    if place.is_dir() and not any(place.iterdir()):
        place.rmdir()
    return removed


def _remove(paths) -> int:
    """Removes those of the files that exist; returns their number."""
    found = [path for path in paths if path.exists()]
    for path in found:
        try:
            path.unlink()
        except OSError as error:
            raise InputError(f"{path} cannot be removed ({error.strerror}): remove it by hand") from None
    return len(found)
