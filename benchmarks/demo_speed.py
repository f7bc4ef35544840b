"""Measures the gain of embedding only when needed: runs the demo's recogniser with and without it on the same frames.

    python3 -m benchmarks.demo_speed                 about eight minutes on two CPU cores
    python3 -m benchmarks.demo_speed --frames 100    a first idea

  everyone   --reembed_every 1: every person of every frame, one by one
  as needed  the demo's default: people who are new, doubtful or due, all of a frame at once

Both run in turn in one process, and both decode, detect, crop, embed and match every frame; decoding is done once and
counted for both. This repository contains no trained network of the deployed size. So a full ResNet-50 with random
weights runs for every person who is embedded, which takes the time of a trained one. The embedding comes from the
trained small network, whose time is not counted, so that identities and the work they cause are real. The identities
are judged by

  by eye  people told apart manually (benchmarks/footage.py; only for vtest.avi)
  walks   boxes that certainly are one person by continuity alone, for any footage

An ID switch is a change of a person's number since the last sighting. Small differences decide which people are mixed
up, so the footage is replayed without networks from --starts different first frames, spread over the first third.
The tables give the mean and standard deviation of these replays, which share most of their frames: they show the effect
of small differences, not of other footage.
"""

import sys
import tempfile
import time
from pathlib import Path

from utils.errors import run_main
from utils.options import (
    add_old_name,
    as_image_size,
    as_width,
    file_to_write,
    fraction,
    make_parser,
    non_negative_int,
    positive_int,
)


def parse_args(argv=None):
    parser = make_parser(__doc__)
    add = parser.add_argument
    # fmt: off
    add("--video", default="models/downloads/vtest.avi", help="footage of people walking")
    add("--detector", default="models/quick_run/frozen/obj", help="folder of the frozen detector")
    add("--reid", default="models/quick_run/frozen/reid",
        help="folder of the trained frozen re-id net, which identifies people")
    add("--image_size", type=as_image_size, default=[256, 128], metavar="HxW",
        help="pixels of the network that is timed, height first")
    add("--width", type=as_width, default=1.0,
        help="factor on the number of ResNet-50's filters in the network that is timed")
    add("--frames", type=non_negative_int, default=0, help="stop after this many frames; 0: at the end of the footage")
    add("--reembed_every", type=positive_int, default=16,
        help="frames after which a person is embedded again in the row 'as needed', as in demo.py")
    add("--starts", type=positive_int, default=12, help="number of first frames from which ID switches are counted")
    add("--detection_threshold", type=fraction, default=0.5, help="minimum score of a person, 0 to 1, as in demo.py")
    add("--json", type=file_to_write, default=None, metavar="FILE", help="also write the figures to this file")
    # fmt: on
    add_old_name(parser, "--obj", "--detector")
    return parser.parse_args(argv)


ARGS = parse_args() if __name__ == "__main__" else None  # before TensorFlow is imported: --help answers at once

import cv2
import numpy as np
import tensorflow as tf

from benchmarks import footage
from benchmarks.footage import frames
from utils import checkpoint
from utils.deploy.detector import Detector
from utils.deploy.freeze import freeze_reid
from utils.deploy.reid_net import Embedder
from utils.device import origin
from utils.files import write_json
from utils.live.identities import DEFAULT_THRESHOLD, Identities
from utils.live.recogniser import Recogniser
from utils.live.timing import RunStats
from utils.progress import Progress
from utils.resnet import build_embedding_net

STAGES = ("detect", "crop", "embed", "match")
JUDGES = {"by_eye": "people told apart by eye", "walks": "walks of certain continuity"}


class TimedEmbedder:
    """An Embedder that takes as long as the net `timed` and returns the embeddings of the net `trained`.

    Attributes:
        timer: the Timer of its Recogniser; uncounted: seconds that only the benchmark needed.
        last: the embeddings (D, E) of the last call.
    """

    def __init__(self, timed, trained, one_by_one: bool):
        """one_by_one: whether to embed one person at a time."""
        self.image_size = trained.image_size
        self.timer = None
        self.uncounted = 0.0
        self.last = None
        self._timed = timed
        self._trained = trained
        self._one_by_one = one_by_one

    def embed(self, images: np.ndarray) -> np.ndarray:
        """As Embedder.embed."""
        height, width = self._timed.image_size
        step = 1 if self._one_by_one else len(images)
        for start in range(0, len(images), step):
            resized = [cv2.resize(image, (width, height)) for image in images[start : start + step]]
            self._timed.embed(np.stack(resized))
        self.timer.lap("embed")
        begun = time.perf_counter()
        self.last = self._trained.embed(images)
        self.uncounted += time.perf_counter() - begun
        self.timer.lap("draw")  # a stage that a Recogniser does not have
        return self.last


class Run:
    """One of the two recognisers and its results.

    Attributes:
        seconds: for all frames; stats: a RunStats; embeddings: [(D, E)], one per frame, of the people who were due.
        seen: {frame: (boxes (N, 4), person_ids (N,))}; scores: [(N,)], one per frame.
    """

    def __init__(self, recogniser: Recogniser):
        self.recogniser = recogniser
        recogniser.embedder.timer = recogniser.timer
        self.seconds = 0.0
        self.stats = RunStats()
        self.embeddings = []
        self.seen = {}
        self.scores = []

    def process(self, index: int, frame: np.ndarray, seconds: float, decoding: float) -> None:
        """index: number of the frame from 0, at a time in seconds; frame: (H, W, 3) uint8 BGR.

        decoding: seconds that it took to read.
        """
        timer = self.recogniser.timer
        embedder = self.recogniser.embedder
        begun = time.perf_counter()
        timer.lap("draw")  # the time since its previous frame belongs to the other recogniser
        (result,) = self.recogniser.recognise([frame], [seconds])
        timer.next_frame()
        self.seconds += decoding + time.perf_counter() - begun - embedder.uncounted
        embedder.uncounted = 0.0
        self.stats.count([result])
        self.seen[index] = result.boxes, result.person_ids
        self.scores.append(result.scores)
        self.embeddings.append(embedder.last if len(result.boxes) else np.zeros((0, 1), np.float32))


def freeze_random(args, folder: Path) -> Embedder:
    """Freezes a network of the deployed size with random weights, as pipeline.py does it."""
    tf.keras.utils.set_random_seed(0)
    net = build_embedding_net(tuple(args.image_size), args.width)
    checkpoint.save_weights(net, folder / "reid_model-0.ckpt")
    about = {"image_size": args.image_size, "width": args.width, "embedding_size": net.output_shape[1]}
    write_json(folder / "args.json", about)
    noise = np.random.default_rng(0).integers(0, 256, (4, *args.image_size, 3), dtype=np.uint8)
    freeze_reid(str(folder / "reid_model-0.ckpt"), folder / "reid", lambda size: noise)
    return Embedder(folder / "reid")


def intervals(args) -> dict:
    """The value of reembed_every for each row of the tables."""
    return {"everyone": 1, "as_needed": args.reembed_every}


def make_runs(args, timed: Embedder) -> dict:
    """A Run for each row of the tables: {row: Run}."""
    detector = Detector(args.detector, args.detection_threshold)
    trained = Embedder(args.reid)
    timed.warm_up()
    trained.warm_up()
    runs = {}
    for name, every in intervals(args).items():
        identities = Identities(trained.manifest.get("threshold") or DEFAULT_THRESHOLD, learn=True)
        embedder = TimedEmbedder(timed, trained, one_by_one=every == 1)
        runs[name] = Run(Recogniser(detector, embedder, identities, [Path(args.video).name], every))
    return runs


def process_footage(runs: dict, video, limit: int) -> None:
    """Both recognisers process the frames in turn, up to `limit` frames if that is not 0."""
    progress = Progress("processed", limit or footage.frame_count(video) or 0, "frames")
    fps = footage.frame_rate(video)
    begun = time.perf_counter()
    for index, frame in enumerate(frames(video)):
        decoding = time.perf_counter() - begun
        order = list(runs.values())
        if index % 2 == 0:  # neither row has the warmer cache throughout
            order.reverse()
        for run in order:
            run.process(index, frame, index / fps, decoding)
        progress.add()
        if index + 1 == limit:
            break
        begun = time.perf_counter()


def judge(args, runs: dict, threshold: float) -> dict:
    """All figures, {row: {"fps", "embedded", "milliseconds", "shared", "walks": ..., "by_eye": ...}}.

    threshold: the similarity threshold at the start.
    """
    boxes = [boxes for boxes, _ in runs["everyone"].seen.values()]
    fps = footage.frame_rate(args.video)
    people = {"walks": footage.walks(boxes, fps)}
    if Path(args.video).name == Path(footage.FOOTAGE).name:
        people["by_eye"] = footage.people_by_eye()
    judged = {}
    for name, run in runs.items():
        times = run.recogniser.timer.milliseconds()
        row = {
            "fps": run.stats.frames / run.seconds,
            "embedded": run.stats.share_embedded,
            "embedded_percent": 100 * run.stats.share_embedded,
            "people": run.stats.people_per_image,
            "milliseconds": {stage: times[stage] for stage in STAGES},
            "shared": footage.shared(run.seen),
        }
        for by, who in people.items():
            row[by] = footage.judge(footage.numbers_of(who, run.seen))
            row[by]["replayed"] = []
        judged[name] = row
    for name, every in intervals(args).items():
        for start in np.linspace(0, len(boxes) // 3, args.starts).astype(int):
            everyone = runs["everyone"]
            seen = footage.replay(boxes, everyone.scores, everyone.embeddings, threshold, every, range(start), fps)
            for by, who in people.items():
                switches = footage.judge(footage.numbers_of(who, seen))["switches"]
                judged[name][by]["replayed"].append(switches)
        for by in people:
            replayed = judged[name][by]["replayed"]
            judged[name][by].update(replayed_mean=float(np.mean(replayed)), replayed_spread=float(np.std(replayed)))
    judged["as_needed"]["times_as_fast"] = judged["as_needed"]["fps"] / judged["everyone"]["fps"]
    return judged


def print_tables(judged: dict) -> None:
    """Prints a table of the speed and one of the ID switches per judge."""
    print(f"\n{'':<12}{'frames/s':>10}{'embedded':>10}" + "".join(f"{stage + ' ms':>11}" for stage in STAGES))
    for name, row in judged.items():
        times = "".join(f"{row['milliseconds'][stage]['median']:>11.1f}" for stage in STAGES)
        print(f"{name.replace('_', ' '):<12}{row['fps']:>10.2f}{100 * row['embedded']:>9.0f}%{times}")
    print(
        f"as needed is {judged['as_needed']['times_as_fast']:.2f} times as fast;"
        f" {judged['everyone']['people']:.1f} people per frame; milliseconds are medians\n"
    )
    for by, who in JUDGES.items():
        if by not in judged["everyone"]:
            continue
        print(f"{judged['everyone'][by]['people']} {who}:")
        print(f"{'':<12}{'switches':>10}{'numbers':>10}{'own number':>12}{'unknown':>10}   switches, other starts")
        for name, row in judged.items():
            column = row[by]
            print(
                f"{name.replace('_', ' '):<12}{column['switches']:>10}{column['numbers']:>10}"
                f"{100 * column['own']:>11.1f}%{100 * column['unknown']:>9.1f}%"
                f"   {column['replayed_mean']:.1f} ({column['replayed_spread']:.1f})"
            )
    shared = " and ".join(str(row["shared"]) for row in judged.values())
    print(f"boxes that share a number with another box of their frame: {shared}")


def main(args) -> None:
    footage.check(args.video, args.detector)
    with tempfile.TemporaryDirectory() as folder:
        height, width = args.image_size
        print(f"freezing a network of {height}x{width}, width {args.width:g}, random weights", flush=True)
        timed = freeze_random(args, Path(folder))
        runs = make_runs(args, timed)
        threshold = runs["everyone"].recogniser.identities.threshold  # before it is learned
        process_footage(runs, args.video, args.frames)
    judged = judge(args, runs, threshold)
    print_tables(judged)
    if args.json:
        write_json(args.json, {**origin(f"python3 {' '.join(sys.argv)}"), **judged})


if __name__ == "__main__":
    run_main(main, ARGS)
