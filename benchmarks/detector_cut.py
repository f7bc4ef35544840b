"""Measures what cutting the detector before its suppression gains: both run in turn on the same frames, in one run.

    python3 -m benchmarks.detector_cut                about two minutes on two CPU cores
    python3 -m benchmarks.detector_cut --frames 10    a first idea

  whole  the detector as it was frozen before: it takes the frame in its own size, resizes it in a loop, and suppresses
         the boxes of all classes in TensorFlow
  cut    what pipeline.py freezes: fixed input, resized by OpenCV, people alone suppressed in numpy
  onnx   the same in onnxruntime, where tf2onnx and onnxruntime are installed

The footage is also scaled to the sizes of usual cameras. A time is the median of a call of Detector.detect.
"""

import importlib.util
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

from utils.errors import run_main
from utils.options import file_to_write, make_parser, positive_int


def parse_args(argv=None):
    parser = make_parser(__doc__)
    add = parser.add_argument
    # fmt: off
    add("--video", default="models/downloads/vtest.avi", help="footage of people walking")
    add("--detector", default="models/downloads/detector/saved_model", help="SavedModel of the detector, an SSD")
    add("--frames", type=positive_int, default=100, help="frames per size, spread over the footage")
    add("--json", type=file_to_write, default=None, metavar="FILE", help="also write the figures to this file")
    # fmt: on
    return parser.parse_args(argv)


ARGS = parse_args() if __name__ == "__main__" else None  # before TensorFlow is imported: --help answers at once

import cv2
import numpy as np

from benchmarks.footage import frames
from utils.deploy import freeze, onnx_export
from utils.deploy.cut import NotCut
from utils.deploy.detector import Detector
from utils.device import origin
from utils.files import write_json

SIZES = ((768, 576), (1280, 720), (1920, 1080))  # width and height in pixels
WARM_UP = 5  # calls that are not counted


def open_detectors(args, folder: Path, tried: list) -> dict:
    """{name: Detector} of the detectors that are compared, frozen into `folder`."""
    options = freeze.FreezeOptions(engine="tensorflow")
    with mock.patch.object(freeze, "cut_detector", side_effect=NotCut("for comparison")):
        freeze.freeze_detector(args.detector, folder / "whole", tried, options)
    freeze.freeze_detector(args.detector, folder / "cut", tried, options)
    names = ["whole", "cut"]
    if all(importlib.util.find_spec(name) for name in onnx_export.EXTRAS):
        onnx_export.export_detector(args.detector, folder / "onnx", tried, args.video, options.person_class)
        names.append("onnx")
    return {name: Detector(folder / name) for name in names}


def measure(detectors: dict, images: list) -> dict:
    """{name: {"milliseconds", "people"}} for images (H, W, 3) uint8 BGR; the detectors take turns with each of them."""
    seconds = {name: [] for name in detectors}
    people = dict.fromkeys(detectors, 0)
    for number, image in enumerate([images[0]] * WARM_UP + images):
        for name, detector in detectors.items():
            begun = time.perf_counter()
            boxes, _ = detector.detect(image)
            if number >= WARM_UP:
                seconds[name].append(time.perf_counter() - begun)
                people[name] += len(boxes)
    return {
        name: {"milliseconds": round(1000 * float(np.median(seconds[name])), 2), "people": people[name]}
        for name in detectors
    }


def main(args) -> None:
    found = list(frames(args.video))
    chosen = [found[index] for index in np.linspace(0, len(found) - 1, args.frames).astype(int)]
    content = {**origin("python3 -m benchmarks.detector_cut " + " ".join(sys.argv[1:])), "frames": args.frames}
    with tempfile.TemporaryDirectory() as folder:
        detectors = open_detectors(args, Path(folder), chosen[:: max(len(chosen) // 6, 1)][:6])
        print(f"{'frame':>10} " + " ".join(f"{name:>9}" for name in detectors) + "   whole/cut   people found")
        content["sizes"] = {}
        for width, height in SIZES:
            result = measure(detectors, [cv2.resize(image, (width, height)) for image in chosen])
            gain = result["whole"]["milliseconds"] / result["cut"]["milliseconds"]
            content["sizes"][f"{width}x{height}"] = {**result, "gain": round(gain, 3)}
            times = " ".join(f"{result[name]['milliseconds']:>6.1f} ms" for name in detectors)
            people = ", ".join(str(result[name]["people"]) for name in detectors)
            print(f"{f'{width}x{height}':>10} {times}   {gain:>9.2f}   {people}", flush=True)
    if args.json:
        write_json(args.json, content)


if __name__ == "__main__":
    run_main(main, ARGS)
