"""Runs the demo's tracker, DeepSORT and ByteTrack on one video, with the same boxes and embeddings, and scores all.

    python3 -m benchmarks.side_by_side --truth truth.csv --max_frames 400
    python3 -m benchmarks.side_by_side --truth truth.csv --step 10     every tenth frame, so a tenth of the frame rate

The detector and the re-id net run once for all boxes from a score of 0.1 on. `everybody` is the demo's tracker with an
embedding of each box, as DeepSORT has it; ByteTrack needs none. The truth and the figures are those of
benchmarks/tracking.py, the trackers those of benchmarks/peers.py.
"""

import sys

from utils.errors import run_main
from utils.options import file_to_write, make_parser, non_negative_int, positive_int


def parse_args(argv=None):
    parser = make_parser(__doc__)
    add = parser.add_argument
    # fmt: off
    add("--video", default="models/downloads/vtest.avi", help="footage of people walking")
    add("--detector", default="models/quick_run/frozen/obj", help="folder of the frozen detector")
    add("--reid", default="models/quick_run/frozen/reid", help="folder of the frozen re-id net")
    add("--truth", required=True, help="CSV file of the true boxes, as of benchmarks.tracking")
    add("--same", action="append", default=[], metavar="A=B", help="two identities of the truth that are one person")
    add("--max_frames", type=non_negative_int, default=0, help="stop after this many frames; 0: at the end")
    add("--step", type=positive_int, default=1, help="use every so many frames, for a lower frame rate")
    add("--json", type=file_to_write, default=None, metavar="FILE", help="also write the figures to this file")
    # fmt: on
    return parser.parse_args(argv)


ARGS = parse_args() if __name__ == "__main__" else None  # before TensorFlow is imported: --help answers at once

import numpy as np

from benchmarks import footage, peers
from benchmarks.tracking import judge, read_truth
from utils.deploy.detector import Detector
from utils.deploy.reid_net import Embedder, crop_people
from utils.device import origin
from utils.files import write_json
from utils.live.identities import DEFAULT_THRESHOLD
from utils.live.tracks import LOW_SCORE
from utils.progress import Progress

METHODS = ("ours", "everybody", "deepsort", "bytetrack")
SHOWN = ("IDF1", "IDP", "IDR", "MOTA", "HOTA", "switches", "people", "numbers", "merges", "splits", "embedded")


def look(args, embedder) -> tuple:
    """[(frame number from 1, boxes (N, 4), scores (N,), embeddings (N, E))], and the size (width, height) of frames."""
    detector = Detector(args.detector, peers.HIGH_SCORE)
    progress = Progress("embedded", args.max_frames or footage.frame_count(args.video) or 0, "frames")
    seen = []
    size = None
    for index, frame in enumerate(footage.frames(args.video)):
        if args.max_frames and index >= args.max_frames:
            break
        progress.add()
        size = frame.shape[1::-1]
        if index % args.step == 0:
            boxes, scores = detector.detect(frame, LOW_SCORE)
            vectors = np.zeros((0, 1), np.float32)
            if len(boxes):
                vectors = embedder.embed(crop_people(frame, boxes, embedder.image_size))
            seen.append((index + 1, boxes, scores, vectors))
    return seen, size


def run(name: str, seen: list, size: tuple, fps: float, step: int, threshold: float, truth: dict) -> dict:
    """The figures of one tracker; seen, size: as of look; fps: of the video; truth: as of read_truth."""
    recording = peers.Recording(peers.make(name, 1, fps / step, threshold, every=16), size)
    for number, boxes, scores, vectors in seen:
        recording.write(0, number, (number - 1) / fps, boxes, scores, vectors)
    figures = judge(truth, recording.read())
    figures["embedded"] = recording.share_embedded()
    return figures


def main(args) -> None:
    truth = read_truth(args.truth, args.same)
    footage.check(args.video, args.detector)
    embedder = Embedder(args.reid)
    seen, size = look(args, embedder)
    numbers = {number for number, _, _, _ in seen}
    truth = {frame: rows for frame, rows in truth.items() if frame in numbers}
    fps = footage.frame_rate(args.video)
    threshold = embedder.manifest.get("threshold") or DEFAULT_THRESHOLD
    results = {}
    print(f"{'tracker':<12}" + "".join(f"{name:>10}" for name in SHOWN))
    for name in METHODS:
        results[name] = run(name, seen, size, fps, args.step, threshold, truth)
        cells = [results[name][key] for key in SHOWN]
        text = "".join(f"{cell:>10.3f}" if isinstance(cell, float) else f"{cell:>10}" for cell in cells)
        print(f"{name:<12}{text}", flush=True)
    if args.json:
        command = f"python3 -m benchmarks.side_by_side {' '.join(sys.argv[1:])}"
        write_json(args.json, {**origin(command), "frames": len(seen), **results})


if __name__ == "__main__":
    run_main(main, ARGS)
