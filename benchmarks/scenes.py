"""Tracks simulated people with the demo's tracker, and scores it against their known identities.

    python3 -m benchmarks.scenes                      twenty scenes at 1, 5, 10 and 30 frames a second
    python3 -m benchmarks.scenes --peers              beside DeepSORT and ByteTrack, on the same boxes and embeddings
    python3 -m benchmarks.scenes --cameras 3          one set of people before three cameras
    python3 -m benchmarks.scenes --embeddings FILE    with real embeddings instead of Gaussian ones

benchmarks/simulation.py draws 5 to 60 people per scene who walk, stand, cross, hide, leave and come back after seconds
or a minute, as COCO's SSD and the quick run's net would see them. The tracker gets boxes and embeddings through the
calls that demo.py makes, and its recording is scored by TrackEval (benchmarks/tracking.py), five times a second.

Each figure is the mean of all scenes; in brackets is the standard deviation. Scenes of odd seeds are for choosing
constants (--tune), those of even seeds for reporting.
"""

import sys

from utils.errors import InputError, run_main
from utils.options import file_to_write, make_parser, non_negative_int, positive_float, positive_int

FIGURES = ("IDF1", "merges", "splits", "numbers_per_person", "embedded")


def parse_args(argv=None):
    parser = make_parser(__doc__)
    add = parser.add_argument
    # fmt: off
    add("--scenes", type=positive_int, default=20, help="number of scenes")
    add("--tune", action="store_true", help="use the scenes of odd seeds; default: those of even seeds")
    add("--fps", type=positive_float, nargs="+", default=[1.0, 5.0, 10.0, 30.0],
        help="frame rates, in frames per second")
    add("--seconds", type=positive_float, default=120.0,
        help="length of a scene in seconds; it is shorter if it had more than --max_frames frames")
    add("--max_frames", type=positive_int, default=1200, help="frames of a scene at most; fewer take less time")
    add("--people", type=non_negative_int, default=0, help="people of each scene; 0: 5 to 60, from the seed")
    add("--cameras", type=positive_int, default=1, help="cameras, which share one set of people")
    add("--reembed_every", type=positive_int, default=16, help="as in demo.py")
    add("--embeddings", default=None, metavar="FILE",
        help="what test_reid.py --embeddings wrote for images of a data set, to take people from; default: Gaussian "
             "embeddings like those of the quick run's net")
    add("--peers", action="store_true", help="also run DeepSORT and ByteTrack, and ours with every box embedded")
    add("--workers", type=positive_int, default=2, help="processes")
    add("--json", type=file_to_write, default=None, metavar="FILE", help="also write the figures to this file")
    # fmt: on
    return parser.parse_args(argv)


ARGS = parse_args() if __name__ == "__main__" else None

import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # each process works on small arrays

import numpy as np

from benchmarks import peers, simulation
from benchmarks.tracking import judge
from utils.device import origin
from utils.files import write_json
from utils.progress import Progress

JUDGED_FPS = 5.0  # frames per second that are scored
ACCEPTED = 2.326  # standard deviations above the mean that 1 % of the pairs of different people exceed


class Setting(NamedTuple):
    """What is the same for all scenes. Embeddings: as of simulation.Looks, and their threshold."""

    methods: tuple
    people: int
    cameras: int
    every: int
    seconds: float
    max_frames: int
    embeddings: dict
    threshold: float


def read_embeddings(path):
    """{identity: (M, E)} of norm 1, and the similarity that 1 % of the pairs of different people exceed."""
    if path is None:
        return None, simulation.DIFFERENT + ACCEPTED * simulation.DIFFERENT_DEVIATION
    try:
        with np.load(path) as file:
            vectors = file["embeddings"].astype(np.float32)
            identities = np.array([int(Path(name).name.split("_")[0]) for name in file["paths"]])
    except (OSError, ValueError, KeyError):
        raise InputError(
            f"--embeddings {path} is not what test_reid.py --embeddings writes for images of a data set: name another"
        ) from None
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    people = {int(name): vectors[identities == name] for name in np.unique(identities)}
    sample = np.concatenate([own[:2] for own in people.values()])[:2000]
    owner = np.concatenate([[name] * len(own[:2]) for name, own in people.items()])[:2000]
    similarity = (sample @ sample.T)[owner[:, None] != owner]
    return people, float(np.quantile(similarity, 0.99))


def run(seed: int, fps: float, setting: Setting) -> dict:
    """{method: figures} of one scene."""
    length = min(setting.seconds, setting.max_frames / fps)
    results = {}
    for name in setting.methods:
        scene = simulation.Scene(seed, setting.people or None, setting.cameras, length, setting.embeddings)
        trackers = peers.make(name, setting.cameras, fps, setting.threshold, setting.every)
        recording = peers.Recording(trackers, simulation.SIZE)
        truth = {}
        for number, (seconds, sights) in enumerate(scene.watch(fps), start=1):
            for camera, sight in enumerate(sights):
                recording.write(camera, number, seconds, sight.boxes, sight.scores, sight.embeddings)
                if (number - 1) % max(round(fps / JUDGED_FPS), 1) == 0:
                    truth[number + camera * peers.CAMERA_STEP] = true_rows(sight)
        figures = judge(truth, recording.read())
        figures["numbers_per_person"] = figures["numbers"] / max(figures["people"], 1)
        figures["embedded"] = recording.share_embedded()
        results[name] = figures
    return results


def true_rows(sight) -> list:
    """[(person, (left, top, width, height))] in pixels of what benchmarks.tracking takes for the truth."""
    width, height = simulation.SIZE
    rows = []
    for person, (top, left, bottom, right) in zip(sight.people, sight.truth):
        rows.append((int(person), (left * width, top * height, (right - left) * width, (bottom - top) * height)))
    return rows


def run_all(seeds, rates, setting: Setting, workers: int) -> dict:
    """{fps: {method: [figures of each scene]}}, in the order of seeds."""
    found = {}
    frames = {fps: min(setting.seconds * fps, setting.max_frames) for fps in rates}
    progress = Progress("tracked", len(seeds) * sum(frames.values()), "frames")
    jobs = [(seed, fps) for fps in rates for seed in seeds]
    if workers == 1:
        for seed, fps in jobs:
            found[seed, fps] = run(seed, fps, setting)
            progress.add(frames[fps])
    else:
        with ProcessPoolExecutor(workers) as pool:
            waiting = {pool.submit(run, *job, setting): job for job in jobs}
            for done in as_completed(waiting):
                seed, fps = waiting[done]
                found[seed, fps] = done.result()
                progress.add(frames[fps])
    return {fps: {name: [found[seed, fps][name] for seed in seeds] for name in setting.methods} for fps in rates}


def summary(figures: list) -> dict:
    """Mean and standard deviation over scenes of each figure."""
    result = {}
    for name in (*FIGURES, "IDP", "IDR", "MOTA", "HOTA", "switches"):
        values = [own[name] for own in figures]
        result[name] = float(np.mean(values))
        result[f"{name}_spread"] = float(np.std(values))
    return result


def main(args) -> None:
    people, threshold = read_embeddings(args.embeddings)
    methods = ("ours", "everybody", "deepsort", "bytetrack") if args.peers else ("ours",)
    setting = Setting(
        methods, args.people, args.cameras, args.reembed_every, args.seconds, args.max_frames, people, threshold
    )
    seeds = range(int(args.tune), 2 * args.scenes, 2)
    results = {}
    print(f"{'frames/s':<10}{'tracker':<12}" + "".join(f"{name.replace('_', ' '):>20}" for name in FIGURES))
    for fps, found in run_all(seeds, args.fps, setting, args.workers).items():
        results[f"fps{fps:g}"] = {name: summary(figures) for name, figures in found.items()}
        for name, figures in results[f"fps{fps:g}"].items():
            cells = "".join(f"{figures[key]:>13.3f} ({figures[key + '_spread']:.2f})" for key in FIGURES)
            print(f"{fps:<10g}{name:<12}{cells}")
    if args.json:
        command = f"python3 -m benchmarks.scenes {' '.join(sys.argv[1:])}"
        write_json(args.json, {**origin(command), "scenes": args.scenes, **results})


if __name__ == "__main__":
    run_main(main, ARGS)
