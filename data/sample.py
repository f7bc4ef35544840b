"""Draws a person re-identification data set: people in street clothes, seen by several cameras.

Needs no download and no TensorFlow.

    python3 data/sample.py --output data/drawn_people                 half a minute on two CPU cores
    python3 data/sample.py --output data/large --identities 750 --image_size 256x128

Writes Market-1501's layout: bounding_box_train, bounding_box_test and bounding_box_query, with names such as
0007_c3s1_000412_01.jpg. Identities of the test folders are not in bounding_box_train. Each query has a match from
another camera in the gallery. 0000 is a distractor, a person without a query; -1 is junk, a box that misses most of a
test identity. sample.json keeps the options: if they are the same again, the set is left as it is.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import sys
from pathlib import Path

# So that `python3 data/sample.py` finds the packages data and utils.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from utils.errors import InputError, explained_imports, run_main
from utils.options import (
    add_old_name,
    as_image_size,
    as_seed,
    fraction,
    make_parser,
    non_negative_int,
    positive_int,
)


def parse_args(argv=None) -> argparse.Namespace:
    parser = make_parser(__doc__)
    # fmt: off
    add = parser.add_argument
    add("--output", required=True, metavar="FOLDER",
        help="where the set goes: a new or empty folder, or a set that this script made")
    add("--identities", type=positive_int, default=300, help="identities in bounding_box_train")
    add("--test_identities", type=positive_int, default=60,
        help="other identities, in bounding_box_test and bounding_box_query")
    add("--cameras", type=positive_int, default=12, help="number of cameras, 2 to 99")
    add("--cameras_per_identity", type=positive_int, default=3,
        help="cameras that see each identity, chosen at random; 2 up to the number of cameras")
    add("--images_per_camera", type=positive_int, default=4,
        help="images of an identity by each of its cameras; a test identity has one more, the query")
    add("--single_camera_share", type=fraction, default=0.5,
        help="share of the training identities that a single camera sees")
    add("--images_single_camera", type=positive_int, default=6, help="images of each of those identities")
    add("--distractors", type=non_negative_int, default=60,
        help="images of people without an identity (0000) in bounding_box_test")
    add("--junk", type=non_negative_int, default=40,
        help="badly cut images of test identities (-1) in bounding_box_test")
    add("--image_size", type=as_image_size, default="128x64", metavar="HxW",
        help="pixels of each image, height first")
    add("--seed", type=as_seed, default=0,
        help="another seed draws other people; the same seed draws the same images, on any number of processes")
    add("--processes", type=non_negative_int, default=0, help="processes that draw; 0 means one per CPU core")
    # fmt: on
    add_old_name(parser, "--passes", "--cameras_per_identity")
    add_old_name(parser, "--images_per_pass", "--images_per_camera")
    add_old_name(parser, "--one_camera", "--single_camera_share")
    add_old_name(parser, "--images_one_camera", "--images_single_camera")
    return parser.parse_args(argv)


ARGS = parse_args() if __name__ == "__main__" else None  # before NumPy and OpenCV are imported: --help answers at once

with explained_imports():
    import cv2
    import numpy as np

    from data.drawn import people as drawing
    from utils.files import atomic_folder, write_json
    from utils.json_files import read_json
    from utils.progress import Progress

TRAIN = "bounding_box_train"
TEST = "bounding_box_test"
QUERY = "bounding_box_query"
FOLDERS = (TRAIN, TEST, QUERY)


# ---- the plan --------------------------------------------------------------------------------------------------------


def plan(args) -> list:
    """All tasks: (number, identity in the file name, [(folder, camera from 0, badly cut)]).

    A task is one person. number: 1 for the first identity; a distractor has a number too, and 0 in the file name.
    """
    tasks = []
    last = args.identities + args.test_identities
    for identity in range(1, last + 1):
        tasks.append((identity, identity, images_of_identity(args, identity)))
    for number in range(args.junk):
        images = tasks[args.identities + number % args.test_identities][2]
        camera = images[number % args.cameras_per_identity * args.images_per_camera][1]
        images.append((TEST, camera, True))
    for number in range(args.distractors):
        tasks.append((last + 1 + number, 0, [(TEST, number % args.cameras, False)]))
    return tasks


def images_of_identity(args, identity: int) -> list:
    """The (folder, camera, False) of each image of an identity.

    Some of the cameras see it, as in real sets: many cameras make the network look past any one of them, and several
    images by one camera show what stays the same while a person walks by. A part of the training identities is seen by
    a single camera, as most people in a street are.
    """
    training = identity <= args.identities
    rng = drawing.generator(args.seed, drawing.ROUTE, identity)
    cameras = rng.choice(args.cameras, args.cameras_per_identity, replace=False)
    images_per_camera = args.images_per_camera
    if training and rng.random() < args.single_camera_share:
        cameras = cameras[:1]
        images_per_camera = args.images_single_camera
    folder = TRAIN if training else TEST
    images = [(folder, int(camera), False) for camera in cameras for _ in range(images_per_camera)]
    if not training:
        images += [(QUERY, int(camera), False) for camera in cameras]
    return images


# ---- drawing ---------------------------------------------------------------------------------------------------------


def draw_task(task) -> int:
    """Draws and writes the images of one task; returns how many.

    task: ((number, identity in the file name, images), folder, number of cameras, image size, seed).
    """
    (number, identity, images), folder, camera_count, image_size, seed = task
    cv2.setNumThreads(1)  # one process per core already
    cameras = drawing.make_cameras(camera_count, seed)
    person = drawing.make_identity(number, seed) if identity else drawing.make_distractor(number, seed)
    for index, (split, camera, badly_cut) in enumerate(images):
        image = drawing.draw_image(person, number, index, camera, cameras, image_size, seed, badly_cut)
        label = "-1" if badly_cut else f"{identity:04d}"
        path = Path(folder) / split / f"{label}_c{camera + 1}s1_{number:06d}_{index:02d}.jpg"
        written, content = cv2.imencode(".jpg", np.ascontiguousarray(image[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 92])
        assert written
        path.write_bytes(content.tobytes())
    return len(images)


def draw_set(args, folder: Path) -> None:
    """Fills an empty folder with the three folders of the set."""
    for split in FOLDERS:
        (folder / split).mkdir()
    tasks = [(task, str(folder), args.cameras, args.image_size, args.seed) for task in plan(args)]
    progress = Progress("drawn", sum(len(task[0][2]) for task in tasks))
    processes = args.processes or os.cpu_count() or 1
    if processes == 1:
        for task in tasks:
            progress.add(draw_task(task))
        return
    # "spawn": a fork of a process in which TensorFlow runs threads (a test, a notebook) may hang
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for count in pool.imap_unordered(draw_task, tasks):
            progress.add(count)


# ---- the folder ------------------------------------------------------------------------------------------------------


def description(args) -> dict:
    """Everything that decides the pixels of the set: the options, and a hash of the code that draws."""
    files = [Path(__file__), *sorted((Path(__file__).parent / "drawn").glob("*.py"))]
    code = hashlib.sha256(b"".join(path.read_bytes() for path in files))
    options = {name: value for name, value in sorted(vars(args).items()) if name not in ("output", "processes")}
    return {**options, "drawing": code.hexdigest()[:16]}


def is_there(output: Path, wanted: dict) -> bool:
    """True if `output` holds the wanted set, False if it may be made or replaced.

    InputError if it holds files of the user.
    """
    if not output.exists():
        return False
    if not output.is_dir():
        raise InputError(f"--output {output} is a file: name a folder")
    try:
        return read_json(output / "sample.json", {}, "") == wanted
    except (OSError, InputError):
        if any(output.iterdir()):
            raise InputError(
                f"--output {output} holds files that this script did not draw: name an empty or new folder"
            ) from None
        return False


def check_options(args) -> None:
    """InputError for options that do not fit each other."""
    if not 2 <= args.cameras <= 99:
        raise InputError(
            f"--cameras {args.cameras}: a match needs a second camera, and names have room for 99: give 2 to 99"
        )
    if not 2 <= args.cameras_per_identity <= args.cameras:
        raise InputError(
            f"--cameras_per_identity {args.cameras_per_identity}: a match needs a second camera, and there are "
            f"{args.cameras} cameras: give 2 to {args.cameras}"
        )
    if args.identities + args.test_identities > 9999:
        raise InputError(
            "--identities and --test_identities together exceed 9999, the most that Market-1501's names have room for: "
            "lower them"
        )


def main(args) -> None:
    check_options(args)
    output = Path(args.output)
    wanted = description(args)
    if is_there(output, wanted):
        print(f"{output}: there already, drawn with the same options")
        return
    with atomic_folder(output) as folder:
        draw_set(args, folder)
        write_json(folder / "sample.json", wanted)
    counts = ", ".join(f"{len(list((output / split).iterdir()))} in {split}" for split in FOLDERS)
    print(f"{output}: {args.identities} + {args.test_identities} identities, {args.cameras} cameras: {counts}")


if __name__ == "__main__":
    run_main(main, ARGS)
