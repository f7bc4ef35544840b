"""Draws a person re-identification data set: people in the clothes of a street, seen by several cameras. Needs no
download and no TensorFlow.

    python3 data/sample.py --output data/drawn                        half a minute on two CPU cores
    python3 data/sample.py --output data/large --identities 750 --image_size 256x128

Writes Market-1501's layout: bounding_box_train, bounding_box_test and bounding_box_query with names such as
0007_c3s1_000412_01.jpg. Identities of the test folders are not in bounding_box_train; each query is met again by the
other cameras that its person passes; 0000 are distractors (people nobody asks for), -1 is junk (boxes that miss most of
a test identity). sample.json keeps the options: drawn again with the same, the set is left as it is.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import shutil
import sys
import time
from pathlib import Path

# So that `python3 data/sample.py` finds the packages data and utils.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from utils.errors import InputError, explained_imports, run_main
from utils.options import as_image_size, as_seed, fraction, make_parser, non_negative_int, positive_int


def parse_args(argv=None) -> argparse.Namespace:
    parser = make_parser(__doc__)
    add = parser.add_argument
    add(
        "--output",
        required=True,
        metavar="FOLDER",
        help="where the set goes; a folder that this script did not make is never written to",
    )
    # fmt: off
    add("--identities", type=positive_int, default=300, help="people in bounding_box_train")
    add("--test_identities", type=positive_int, default=60,
        help="other people, in bounding_box_test and bounding_box_query")
    add("--cameras", type=positive_int, default=12, help="cameras; 2 or more")
    add("--passes", type=positive_int, default=3,
        help="cameras that each person passes, drawn anew for each; 2 up to the number of cameras")
    add("--images_per_pass", type=positive_int, default=4,
        help="pictures of an identity by each camera it passes; test identities have one more, the query")
    add("--one_camera", type=fraction, default=0.5,
        help="share of the training identities that pass one camera alone")
    add("--images_one_camera", type=positive_int, default=6, help="pictures of each of those")
    add("--distractors", type=non_negative_int, default=60,
        help="pictures of people without an identity (0000) in bounding_box_test")
    add("--junk", type=non_negative_int, default=40,
        help="badly cut pictures of test identities (-1) in bounding_box_test")
    add("--image_size", type=as_image_size, default=[128, 64], metavar="HxW",
        help="pixels of each picture, height first")
    add("--seed", type=as_seed, default=0,
        help="another seed draws other people; the same seed draws the same pictures, on any number of processes")
    add("--processes", type=non_negative_int, default=0, help="drawing processes; 0 means one for each CPU core")
    # fmt: on
    return parser.parse_args(argv)


ARGS = parse_args() if __name__ == "__main__" else None  # before NumPy and OpenCV are imported: --help answers at once

with explained_imports():
    import cv2
    import numpy as np

    from data.drawn.scenes import random_camera, random_pass, take_picture
    from data.drawn.wardrobe import random_identity

FOLDERS = ("bounding_box_train", "bounding_box_test", "bounding_box_query")
# Each kind of random numbers has its own stream, so one never shifts another.
CAMERA, IDENTITY, PICTURE, STRANGER, PASS, ROUTE = range(6)


def generator(seed: int, *key) -> np.random.Generator:
    return np.random.default_rng([seed, *key])


def make_cameras(count: int, seed: int) -> list:
    return [random_camera(generator(seed, CAMERA, camera)) for camera in range(count)]


def draw_people(identities: int, images_per_identity: int, image_size=(128, 64), cameras: int = 4, seed: int = 0):
    """Yields (identity from 0, camera from 0, (H, W, 3) uint8 RGB); an identity goes round the cameras."""
    views = make_cameras(cameras, seed)
    for identity in range(identities):
        person = random_identity(generator(seed, IDENTITY, identity))
        for number in range(images_per_identity):
            camera = number % cameras
            walk = random_pass(views[camera], generator(seed, PASS, identity, camera))
            yield (
                identity,
                camera,
                take_picture(person, views[camera], walk, image_size, generator(seed, PICTURE, identity, number)),
            )


# ---- the set: one task is one identity, or one distractor ------------------------------------------------------------


def plan(args) -> list:
    """All tasks: (identity number, name in the file, [(folder, camera, badly cut)]) with 0 in the name for
    a distractor.
    """
    tasks, last = [], args.identities + args.test_identities
    for identity in range(1, last + 1):
        # Each person passes some of the cameras only, as in real sets: many cameras in all make the network look past
        # any one of them, several pictures from one pass let it learn what stays the same while somebody walks by.
        rng, training = generator(args.seed, ROUTE, identity), identity <= args.identities
        passed, images = rng.choice(args.cameras, args.passes, replace=False), args.images_per_pass
        # Most people of a street are seen once. They teach to keep what stays the same in a walk (shades, view, light),
        # which those of several cameras teach to look past.
        if training and rng.random() < args.one_camera:
            passed, images = passed[:1], args.images_one_camera
        folder = FOLDERS[0] if training else FOLDERS[1]
        pictures = [(folder, int(camera), False) for camera in passed for _ in range(images)]
        if not training:
            pictures += [(FOLDERS[2], int(camera), False) for camera in passed]
        tasks.append((identity, identity, pictures))
    for number in range(args.junk):
        pictures = tasks[args.identities + number % args.test_identities][2]
        pictures.append((FOLDERS[1], pictures[number % args.passes * args.images_per_pass][1], True))
    for number in range(args.distractors):
        tasks.append((last + 1 + number, 0, [(FOLDERS[1], number % args.cameras, False)]))
    return tasks


def draw_task(task) -> int:
    """Draws and writes the pictures of one task; how many."""
    (identity, name, pictures), folder, cameras, size, seed = task
    cv2.setNumThreads(1)  # the processes are the threads
    views = make_cameras(cameras, seed)
    person = random_identity(generator(seed, IDENTITY, identity) if name else generator(seed, STRANGER, identity))
    for number, (split, camera, badly_cut) in enumerate(pictures):
        walk = random_pass(views[camera], generator(seed, PASS, identity, camera))
        image = take_picture(person, views[camera], walk, size, generator(seed, PICTURE, identity, number), badly_cut)
        shown = "-1" if badly_cut else f"{name:04d}"
        path = Path(folder) / split / f"{shown}_c{camera + 1}s1_{identity:06d}_{number:02d}.jpg"
        written, data = cv2.imencode(".jpg", np.ascontiguousarray(image[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 92])
        assert written
        path.write_bytes(data.tobytes())
    return len(pictures)


def draw_set(args, folder: Path) -> None:
    """Fills `folder`, telling how far it is every few seconds."""
    for split in FOLDERS:
        (folder / split).mkdir(parents=True)
    tasks = [(task, str(folder), args.cameras, args.image_size, args.seed) for task in plan(args)]
    total, done, started, told = sum(len(task[0][2]) for task in tasks), 0, time.time(), time.time()
    processes = args.processes or os.cpu_count() or 1
    # "spawn": a fork of a process that has TensorFlow's threads running (a test, a notebook) may hang
    with multiprocessing.get_context("spawn").Pool(processes) if processes > 1 else _InThisProcess() as pool:
        for count in pool.imap_unordered(draw_task, tasks):
            done += count
            if time.time() - told > 3 or done == total:
                told = time.time()
                print(f"  drawn {done} of {total} pictures in {told - started:.0f} s", flush=True)


class _InThisProcess:
    imap_unordered = staticmethod(map)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


# ---- where it goes ---------------------------------------------------------------------------------------------------


def description(args) -> dict:
    """What decides about every pixel of the set: the options and the drawing itself."""
    drawing = hashlib.sha256(
        b"".join(
            (Path(__file__).parent / name).read_bytes()
            for name in ("drawn/wardrobe.py", "drawn/heads.py", "drawn/figure.py", "drawn/scenes.py", "sample.py")
        )
    )
    options = {name: value for name, value in sorted(vars(args).items()) if name not in ("output", "processes")}
    return {**options, "drawing": drawing.hexdigest()[:16]}


def is_there(output: Path, wanted: dict) -> bool:
    """True if `output` holds the wanted set, False if it may be (re)made; InputError if it holds something of the
    user's.
    """
    if not output.exists():
        return False
    if not output.is_dir():
        raise InputError(f"--output {output} is a file: name a folder")
    try:
        return json.loads((output / "sample.json").read_text()) == wanted
    except (OSError, ValueError):
        if any(output.iterdir()):
            raise InputError(
                f"--output {output} holds files that this script did not draw: name an empty or new folder"
            ) from None
        return False


def main(args) -> None:
    if args.cameras < 2 or args.cameras > 99:
        raise InputError(
            f"--cameras {args.cameras}: a match needs a second camera, and names have room for 99: give 2 to 99"
        )
    if not 2 <= args.passes <= args.cameras:
        raise InputError(
            f"--passes {args.passes}: a match needs a second camera, and there are {args.cameras} cameras: "
            f"give 2 to {args.cameras}"
        )
    if args.identities + args.test_identities > 9999:
        raise InputError(
            "--identities and --test_identities together exceed 9999, the most that Market's names have room for: "
            "lower them"
        )
    output, wanted = Path(args.output), description(args)
    if is_there(output, wanted):
        print(f"{output}: there already, drawn with the same options")
        return
    part = output.parent / f".{output.name}.{os.getpid()}.part"  # beside the goal: the rename stays on one disk
    try:
        draw_set(args, part)
        (part / "sample.json").write_text(json.dumps(wanted, indent=2) + "\n")
        if output.exists():
            shutil.rmtree(output)
        part.rename(output)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    counts = ", ".join(f"{len(list((output / split).iterdir()))} in {split}" for split in FOLDERS)
    print(f"{output}: {args.identities} + {args.test_identities} identities, {args.cameras} cameras: {counts}")


if __name__ == "__main__":
    run_main(main, ARGS)
