"""Prepares detector and re-id net for the machine it runs on: TF-TRT where TensorRT is, else a frozen TensorFlow graph.

    python3 pipeline.py                                     both, with the newest checkpoint under models/reid
    python3 pipeline.py obj                                 the detector alone
    python3 pipeline.py models/reid/m0/reid_model-200.ckpt  the re-id net alone
    python3 pipeline.py obj reid_model-200.ckpt             both

Writes models/frozen/obj and models/frozen/reid, each a SavedModel with a manifest.json that says what it is and how far
it differs from the original; demo.py takes them from there. A minute on a desktop, minutes on a Jetson with TensorRT.
"""

from __future__ import annotations

from utils.options import InputError, fraction, image_size, parser, positive_int, run_main

DETECTOR = "models/downloads/detector/saved_model"
FOOTAGE = "models/downloads/vtest.avi"


def parse_args():
    options = parser(__doc__)
    add = options.add_argument
    add("what", nargs="*", metavar="[obj] [REID_CHECKPOINT]", help="what to prepare; nothing named: both")
    add("--detector", default=DETECTOR, help="SavedModel of the detector, a TF1 or TF2 export of the detection zoo")
    add("--output", default="models/frozen", help="folder that obj/ and reid/ are written to, replacing what is there")
    add(
        "--batch",
        type=positive_int,
        default=8,
        help="people that the re-id net takes at once, fixed; take what a frame has",
    )
    add(
        "--image_size",
        type=image_size,
        default=None,
        help="HEIGHTxWIDTH, if the checkpoint came without its .json",
    )
    add(
        "--engine",
        choices=("auto", "tensorflow"),
        default="auto",
        help="tensorflow: leave TensorRT out even if it is here",
    )
    add("--precision", choices=("FP32", "FP16"), default="FP16", help="of TensorRT's engines; plain TensorFlow is FP32")
    add(
        "--min_parity", type=fraction, default=0.99, help="refuse a frozen model whose smallest agreement is below this"
    )
    args = options.parse_args()
    args.checkpoints = [word for word in args.what if word != "obj"]
    if len(args.checkpoints) > 1 or len(args.what) > len(args.checkpoints) + 1:
        options.error("name 'obj', one re-id checkpoint, or both")
    return args


ARGS = parse_args() if __name__ == "__main__" else None  # before TensorFlow is imported: --help answers at once

import time  # noqa: E402
from pathlib import Path  # noqa: E402

import cv2  # noqa: E402
import numpy as np  # noqa: E402

from utils.checkpoint import find_checkpoint, newest_checkpoint  # noqa: E402
from utils.freeze import freeze_detector, freeze_reid  # noqa: E402
from utils.frozen import let_gpu_memory_grow  # noqa: E402

PEOPLE = 24  # pictures that the frozen re-id net is compared on
FRAMES = 6  # and frames for the detector


def people(size) -> np.ndarray:
    """(PEOPLE, H, W, 3) uint8 RGB of the given (H, W): drawn, or smooth noise where data/sample.py is not there."""
    try:
        from data.sample import draw_people
    except ImportError:
        return np.stack([smooth_noise(size, seed) for seed in range(PEOPLE)])
    return np.stack([image for _, _, image in draw_people(PEOPLE // 2, 2, image_size=size)])


def frames() -> list:
    """FRAMES frames (H, W, 3) uint8 BGR, spread over the sample footage; smooth noise where there is none."""
    found = []
    if Path(FOOTAGE).is_file():
        video = cv2.VideoCapture(FOOTAGE)
        length = video.get(cv2.CAP_PROP_FRAME_COUNT)
        for number in range(FRAMES):
            video.set(cv2.CAP_PROP_POS_FRAMES, number * length // FRAMES)
            read, frame = video.read()
            found += [frame] if read else []
        video.release()
    return found or [smooth_noise((576, 768), seed) for seed in range(FRAMES)]


def smooth_noise(size, seed: int) -> np.ndarray:
    """(H, W, 3) uint8: blobs of colour, which excite a network where white noise would leave it cold."""
    blobs = np.random.default_rng(seed).integers(0, 256, (8, 4, 3), dtype=np.uint8)
    return cv2.resize(blobs, (size[1], size[0]), interpolation=cv2.INTER_CUBIC)


def prepare_detector(args) -> None:
    if not (Path(args.detector) / "saved_model.pb").is_file():
        raise InputError(f"no detector in {args.detector}: run bash setup.sh detector, or name one with --detector")
    target = Path(args.output) / "obj"
    begun = time.monotonic()
    print(f"obj: freezing {args.detector} ...", flush=True)
    manifest = freeze_detector(args.detector, target, frames(), args.precision, args.engine, args.min_parity)
    report("obj", target, manifest, begun)


def prepare_reid(args) -> None:
    checkpoint = find_checkpoint(args.checkpoints[0]) if args.checkpoints else newest_checkpoint()
    target = Path(args.output) / "reid"
    begun = time.monotonic()
    print(f"reid: freezing {checkpoint} ...", flush=True)
    settings = {"batch": args.batch, "precision": args.precision, "engine": args.engine}
    settings.update(min_parity=args.min_parity, image_size=args.image_size)
    manifest = freeze_reid(checkpoint, target, people, **settings)
    report("reid", target, manifest, begun)


def report(name: str, target: Path, manifest: dict, begun: float) -> None:
    inputs = ", ".join(f"{key} {tensor['dtype']} {tensor['shape']}" for key, tensor in manifest["inputs"].items())
    engine = "TF-TRT" if manifest["engine"] == "tf-trt" else "a frozen TensorFlow graph"
    parity = manifest["parity"]
    print(f"{name}: {engine}, {manifest['precision']} ({manifest['reason']}); input {inputs}")
    if parity["min"] is None:
        print(
            f"{name}: no people in the {parity['pictures']} pictures to compare on; scores differ by up to"
            f" {parity['score_difference']:.6f}"
        )
    else:
        print(
            f"{name}: {parity['of']}: min {parity['min']:.6f}, mean {parity['mean']:.6f}, {parity['pictures']} pictures"
        )
    print(f"{name}: {target} is ready, {time.monotonic() - begun:.0f} s", flush=True)


def main(args) -> None:
    let_gpu_memory_grow()
    jobs = [prepare_detector] if "obj" in args.what or not args.what else []
    jobs += [prepare_reid] if args.checkpoints or not args.what else []
    failures = []
    for job in jobs:  # one that cannot be had does not cost the other
        try:
            job(args)
        except InputError as error:
            failures.append(str(error))
    if failures:
        raise InputError("; and ".join(failures))


if __name__ == "__main__":
    run_main(main, ARGS)
