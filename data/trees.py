"""Tells how a folder of the user's own images is arranged: by person, by camera, or into parts that are no people."""

from __future__ import annotations

import re
from pathlib import Path

from utils import folders
from utils.dataset_checks import count_noun
from utils.errors import InputError
from utils.metrics import DISTRACTOR

# Folders that are parts of a data set: train, val, gallery, multi-query, image_test, bbox_train, train_all, ...
PART = re.compile(
    r"(?:(?:images?|imgs?|bbox|bounding_box|crops?|mask)[-_ ]?)?"
    r"(?:train(?:ing|val)?|val(?:id(?:ation)?)?|test(?:ing)?"
    r"|(?:multi[-_ ]?)?quer(?:y|ies)|probes?|gallery|distractors?)"
    r"(?:[-_ ]?(?:all|set|data|images?|imgs?|new|v?\d+|probe|gallery))?",
    re.IGNORECASE,
)
CAMERA = re.compile(  # c1, cam12, camera_a, cam-front; not Camila
    r"(?:c|view|channel|ch|device)[-_ ]?\d+|(?:cam|camera|kamera)(?:[-_ ]?\d+|[-_ ]?[a-z]|[-_ ]\w+)", re.IGNORECASE
)
MARS = re.compile(r"(\d{4}|00-1)C\d+T\d+F\d+\.jpg", re.IGNORECASE)
OTHER_IMAGES = (".webp", ".bmp", ".gif", ".tif", ".tiff", ".heic", ".avif", ".jfif")
LAYOUT = (
    "bounding_box_train, bounding_box_test (the gallery) and bounding_box_query with names like "
    "0002_c1s1_000451_03.jpg (data/README.md)"
)


def read_tree(source: Path) -> tuple:
    """(the folder that holds the people, its images as Paths, sentences about what was left out, count of other files).

    The folder is `source`, or one below it if that is all there is. InputError if there are no images, or if the
    folders are parts of a data set.
    """
    found, skipped = folders.walk(source)
    files = [folder / name for folder, _, names in found for name in names]
    images = [path for path in files if folders.is_image(path.name)]
    if not images:
        raise InputError(f"{no_images(source, files)}{''.join(f'; {note}' for note in skipped.notes())}")
    for path in images[:1]:
        if MARS.fullmatch(path.name):
            raise InputError(
                f"{source} is MARS, tracklets of a video with names such as {path.name}, which are not read: choose "
                f"images from each, and make {LAYOUT}"
            )
    root = innermost(source, images)
    tops = top_folders(root, images)
    if is_divided(tops):
        raise InputError(
            f"{root} is divided into {', '.join(tops[:5])} and not into people: rename or arrange it as {LAYOUT}, "
            "or name a folder that holds a folder for each person"
        )
    return root, images, skipped.notes(), len(files) - len(images)


def innermost(source: Path, images: list) -> Path:
    """The folder below `source` that holds all images in two folders or more; `source` if there is none."""
    root = source
    tops = top_folders(root, images)
    while len(tops) == 1 and tops != [""]:
        root = root / tops[0]
        tops = top_folders(root, images)
    return source if tops == [""] else root


def top_folders(root: Path, images: list) -> list:
    """The names of the folders directly in `root` that hold images, and "" if some lie there loose."""
    inside = (path.relative_to(root).parts for path in images)
    return sorted({parts[0] if len(parts) > 1 else "" for parts in inside})


def is_divided(names: list) -> bool:
    """Whether names of folders are those of the parts of a data set rather than of people."""
    parts = [name for name in names if PART.fullmatch(name)]
    return len(parts) >= min(2, len(names)) > 0 and 2 * len(parts) >= len(names)


def no_images(source: Path, files: list) -> str:
    """Why a folder without .jpg and .png is none of people."""
    matlab = [path for path in files if path.suffix.lower() == ".mat"]
    others = [path for path in files if path.suffix.lower() in OTHER_IMAGES]
    if matlab:
        return describe_matlab(matlab[0])
    if others:
        kinds = ", ".join(sorted({path.suffix.lower() for path in others}))
        return f"{source} holds {kinds} and no .jpg or .png, which alone are read: convert them, such as {others[0]}"
    return f"no .jpg or .png image in {source}: name the folder that holds a folder for each person"


def describe_matlab(path: Path) -> str:
    """What to do with CUHK03 as it is published first, images inside a file of MATLAB."""
    return (
        f"{path} is a file of MATLAB, which is not read: get CUHK03-NP, the same images as .png in "
        "bounding_box_train, bounding_box_test and query, or export its images"
    )


def order_of_folders(levels: list, first_folder: str) -> bool:
    """Whether the camera's folder comes before the person's, in FIRST/SECOND/IMAGE.

    levels: (first, second or None) of each image. first_folder: 'person', 'camera', or 'auto', which looks at the names
    and numbers of folders. InputError if the folders are no people, or if it cannot be told.
    """
    firsts = sorted({first for first, _ in levels})
    seconds = sorted({second for _, second in levels if second is not None})
    if is_divided(seconds):
        raise InputError(
            f"the folders {', '.join(seconds[:5])} in those of the people are no cameras but parts of a data set: "
            f"put the images of each person into one folder, or arrange them as {LAYOUT}"
        )
    whole = len(seconds) > 0 and all(second is not None for _, second in levels)
    if first_folder == "camera" and not whole:
        raise InputError("--first_folder camera needs CAMERA/PERSON/IMAGE, and some images have one folder only")
    if first_folder != "auto":
        return first_folder == "camera"
    cameras_first = all(map(CAMERA.fullmatch, firsts))
    cameras_second = whole and all(map(CAMERA.fullmatch, seconds))
    if cameras_first and not seconds:
        raise InputError(
            f"the folders {', '.join(firsts[:5])} have names of cameras, not of people: give PERSON/CAMERA/IMAGE or "
            "CAMERA/PERSON/IMAGE, or --first_folder person if they are people"
        )
    if whole and cameras_first != cameras_second:
        return cameras_first
    if whole and len(seconds) > len(firsts):
        raise InputError(
            f"{count_noun(len(firsts), 'folder holds', 'folders hold')} {len(seconds)} different ones, such as "
            f"{firsts[0]}/{seconds[0]}: give --first_folder person or --first_folder camera to say which are the people"
        )
    return False


def person_of(name: str, from_zero: bool):
    """The person of a folder's name: the name itself, or JUNK or DISTRACTOR if it stands for nobody.

    from_zero: people are counted from 0, so zeros are a person.
    """
    number = folders.nobody(name)
    return name if number is None or (number == DISTRACTOR and from_zero) else number
