"""Freezes the detector and the re-id net for this machine, with TensorRT where it is available.

    python3 pipeline.py                                     both, with the newest checkpoint in models/reid
    python3 pipeline.py obj                                 only the detector
    python3 pipeline.py models/reid/m0/reid_model-200.ckpt  only the re-id net
    python3 pipeline.py obj reid_model-200.ckpt             both

For a Jetson without TF-TRT (JetPack 6.1 and later), run the first line on the desktop and the second on the Jetson:

    python3 pipeline.py --onnx obj reid_model-200.ckpt      also writes both as ONNX to models/frozen/onnx
    python3 pipeline.py models/frozen/onnx                  builds TensorRT engines, or uses onnxruntime

To use published networks in ONNX instead of your own (needs onnxruntime):

    python3 pipeline.py --reid_onnx osnet.onnx --detector_onnx yolox_tiny.onnx

Writes models/frozen/obj and models/frozen/reid, each a model with a manifest.json that describes it and its agreement
with the original. demo.py reads them from there. It takes a minute on a desktop, and several minutes on a Jetson with
TensorRT.
"""

from __future__ import annotations

import os
from pathlib import Path

from utils.deploy.pixels import FORMS, REID_PIXELS, as_pixels
from utils.deploy.trt import PRECISIONS, WORKSPACE
from utils.device import describe_machine, leave_gpu_to_others
from utils.errors import InputError, explained_imports, run_main
from utils.folders import data_dirs
from utils.options import add_old_name, as_image_size, as_seed, fraction, make_parser, non_negative_int, positive_int

DETECTOR = "models/downloads/detector/saved_model"
FOOTAGE = "models/downloads/vtest.avi"
ENGINE_NAMES = {
    "tf-trt": "TF-TRT",
    "tensorflow": "a frozen TensorFlow graph",
    "tensorrt": "a TensorRT engine",
    "onnxruntime": "a model in onnxruntime",
}


def parse_args(argv=None):
    parser = make_parser(__doc__)
    # fmt: off
    add = parser.add_argument
    add("what", nargs="*", metavar="[obj] [REID_CHECKPOINT] | ONNX_FOLDER",
        help="what to freeze, both if nothing is named; or a folder that --onnx wrote, which needs no TensorFlow")
    add("--detector", default=DETECTOR, help="SavedModel of the detector, a TF1 or TF2 export of the detection zoo")
    add("--output", default="models/frozen", help="folder for obj/ and reid/, which are replaced")
    add("--batch", type=positive_int, default=8,
        help="largest number of people that the re-id net takes at once; it also takes one and two")
    add("--person_class", type=non_negative_int, default=None,
        help="number of a person among the detector's classes; default: 1 in the detection zoo, else that of COCO")
    add("--image_size", type=as_image_size, default=None, metavar="HxW",
        help="pixels; only for a checkpoint that was copied without its .json")
    add("--onnx", action="store_true",
        help="also write the models as ONNX to onnx/, for boards without TensorFlow; a step for the desktop, which "
             "needs pip install tf2onnx onnxruntime")
    add = parser.add_argument_group("published networks").add_argument
    add("--reid_onnx", default=None, metavar="FILE",
        help="re-id net in ONNX with a fixed height and width, from OpenCV Zoo, Torchreid, BoxMOT or fast-reid")
    add("--reid_pixels", type=as_pixels, default=None, metavar="PIXELS",
        help=f"its input format: {FORMS}; default: {REID_PIXELS}; use rgb for fast-reid")
    add("--detector_onnx", default=None, metavar="FILE",
        help="detector in ONNX that returns boxes as YOLOX, or as RF-DETR and D-FINE")
    add("--detector_pixels", type=as_pixels, default=None, metavar="PIXELS",
        help="its input format, as in --reid_pixels; default: bgr for YOLOX, imagenet for RF-DETR; use unit for D-FINE")
    add = parser.add_argument_group("images").add_argument
    add("--images", default=None, metavar="FOLDER",
        help="images of people to compare the original and the frozen re-id net on, and to calibrate INT8 with: a data "
             "set, whose queries and gallery are used, or any folder of images; by default the data set that the "
             "checkpoint was trained on if it is there, else drawn people")
    add("--calibration_images", type=positive_int, default=500,
        help="largest number of images to calibrate INT8 with; more take longer and rarely help")
    add("--seed", type=as_seed, default=0, help="seed of the random choice of images")
    add("--min_parity", type=fraction, default=0.99,
        help="lowest accepted cosine between the embeddings of the original and of the frozen re-id net; below it the "
             "model is refused with exit code 2")
    add = parser.add_argument_group("TensorRT").add_argument
    add("--engine", choices=("auto", "tensorflow", "tf-trt", "tensorrt", "onnxruntime"), default="auto",
        help="auto: TensorRT where it is available; tensorflow, tf-trt: for a checkpoint or SavedModel; tensorrt, "
             "onnxruntime: for an ONNX folder; an engine that is not available is an error")
    add("--precision", choices=PRECISIONS,
        help="of TensorRT engines, FP16 by default; plain TensorFlow graphs are FP32; with INT8 the detector gets FP16")
    add("--workspace", type=positive_int, default=WORKSPACE,
        help="MB that TensorRT may use, out of the memory that the GPU of a Jetson shares; lower it if the conversion "
             "is killed")
    # fmt: on
    add_old_name(parser, "--pictures", "--images")
    add_old_name(parser, "--calibration_pictures", "--calibration_images")
    args = parser.parse_args(argv)
    args.onnx_folder = args.what[0] if len(args.what) == 1 and holds_onnx(args.what[0]) else None
    args.checkpoints = [word for word in args.what if word != "obj"]
    if len(args.checkpoints) > 1 or len(args.what) > len(args.checkpoints) + 1:
        parser.error("name 'obj', one re-id checkpoint, or both")
    args.published = {kind: path for kind, path in (("obj", args.detector_onnx), ("reid", args.reid_onnx)) if path}
    if args.published and (args.what or args.onnx):
        parser.error("--reid_onnx and --detector_onnx need a command of their own, without other models")
    args.from_onnx = bool(args.onnx_folder or args.published)  # needs no TensorFlow
    if args.engine in (("tensorflow", "tf-trt") if args.from_onnx else ("tensorrt", "onnxruntime")):
        parser.error(f"--engine {args.engine} is not for {' '.join(args.what) or 'these models'}: see --help")
    if args.from_onnx and args.precision == "INT8":
        parser.error("--precision INT8 needs TF-TRT and a checkpoint: a model in ONNX gets FP16 or FP32")
    return args


def holds_onnx(folder) -> bool:
    """Whether a folder was written by --onnx, or is one of the two models in it."""
    return any((Path(folder) / part / "model.onnx").is_file() for part in ("", "obj", "reid"))


ARGS = parse_args() if __name__ == "__main__" else None  # before TensorFlow is imported: --help answers at once

import functools
import time
from typing import NamedTuple

with explained_imports():
    from utils.deploy import board, foreign
    from utils.deploy.compared_images import PersonImages, footage_frames
    from utils.deploy.detections import PERSON

    if ARGS is None or not ARGS.from_onnx:  # a board may have no TensorFlow
        from utils.checkpoint import read_args, read_shape, require_reid, stored_threshold
        from utils.checkpoint_paths import find_checkpoint, newest_checkpoint, suggest_checkpoints
        from utils.deploy import onnx_export
        from utils.deploy.freeze import FreezeOptions, freeze_detector, freeze_reid, require_calibration

    try:
        from data.drawn import draw_people
    except ImportError:  # data/ was not copied to the device
        draw_people = None


class ReidSource(NamedTuple):
    """What the re-id net is frozen from: the prefix of a checkpoint, and images of people to compare on."""

    checkpoint: str
    people: PersonImages


def main(args) -> None:
    if args.onnx:
        onnx_export.check_extras()
    print("\n".join(describe_machine()), flush=True)
    if args.from_onnx:
        prepare_from_onnx(args)
        return
    leave_gpu_to_others()
    with_detector = "obj" in args.what or not args.what
    with_reid = bool(args.checkpoints) or not args.what

    # All arguments are checked before anything is replaced.
    reid = None
    failures = []
    if with_detector:
        attempt(failures, check_detector, args)
    if with_reid:
        reid = attempt(failures, find_reid, args)
    raise_failures(failures)

    # A part that fails does not stop the others.
    if with_detector:
        attempt(failures, prepare_detector, args)
    if with_reid:
        attempt(failures, prepare_reid, args, reid)
    if args.onnx:
        if with_detector:
            attempt(failures, export_detector, args)
        if with_reid:
            attempt(failures, export_reid, args, reid)
        print(f"onnx: copy {Path(args.output) / 'onnx'} to the board and run there: python3 pipeline.py THAT_FOLDER")
    raise_failures(failures)


def attempt(failures: list, function, *arguments):
    """Calls the function and returns its result; the message of an InputError is added to failures instead."""
    try:
        return function(*arguments)
    except InputError as error:
        if str(error) not in failures:
            failures.append(str(error))
        return None


def raise_failures(failures: list) -> None:
    if failures:
        raise InputError("; and ".join(failures))


# ---- checks ----


def check_detector(args) -> None:
    if not (Path(args.detector) / "saved_model.pb").is_file():
        raise InputError(f"there is no detector in {args.detector}: run bash setup.sh detector, or use --detector")


def find_reid(args) -> ReidSource:
    """The checkpoint and the images for it; InputError for every mistake that can be found within seconds."""
    checkpoint = find_named(args.checkpoints[0]) if args.checkpoints else newest_checkpoint()
    people = find_people(args, checkpoint)
    shape = read_shape(checkpoint, args.image_size)
    require_reid(checkpoint, shape)
    stored_threshold(checkpoint, shape)  # a damaged file beside the checkpoint
    require_calibration(freeze_options(args, people.source), people.real)
    if people.real:
        people.compared(shape["image_size"])  # an image that cannot be decoded
    return ReidSource(checkpoint, people)


def find_named(name: str) -> str:
    """As find_checkpoint; a name that is not a path, such as objj, may have been meant for obj."""
    if name.isalnum() and not Path(name).exists() and not Path(f"{name}.index").exists():
        raise InputError(f"{name} is neither obj nor a checkpoint: {suggest_checkpoints(name)}")
    return find_checkpoint(name)


def find_people(args, checkpoint) -> PersonImages:
    """The images of --images, else of the data set that the checkpoint was trained on, else drawn people."""
    trained_on = [] if args.images is not None else data_dirs(read_args(checkpoint).get("data_dir"))
    for folder in filter(os.path.isdir, trained_on):
        try:
            return PersonImages(folder, args.seed)
        except InputError:  # an empty folder, which the user did not name
            pass
    return PersonImages(args.images, args.seed, draw_people)


def freeze_options(args, images_from: str) -> FreezeOptions:
    return FreezeOptions(
        args.precision or "FP16", args.engine, args.min_parity, args.workspace, images_from, person_class(args)
    )


def person_class(args) -> int:
    return PERSON if args.person_class is None else args.person_class


# ---- the parts ----


def prepare_detector(args) -> None:
    target = Path(args.output) / "obj"
    begun = time.monotonic()
    print(f"obj: freezing {args.detector} ...", flush=True)
    frames, source = footage_frames(FOOTAGE)
    manifest = freeze_detector(args.detector, target, frames, freeze_options(args, source))
    report("obj", target, manifest, args.precision, time.monotonic() - begun)


def prepare_reid(args, reid: ReidSource) -> None:
    target = Path(args.output) / "reid"
    begun = time.monotonic()
    print(f"reid: freezing {reid.checkpoint} ...", flush=True)
    calibration = None  # drawn people would give INT8 the wrong ranges
    if reid.people.real:
        calibration = functools.partial(reid.people.calibration, count=args.calibration_images)
    options = freeze_options(args, reid.people.source)
    manifest = freeze_reid(
        reid.checkpoint, target, reid.people.compared, options, args.batch, args.image_size, calibration
    )
    report("reid", target, manifest, args.precision, time.monotonic() - begun)


def export_detector(args) -> None:
    target = Path(args.output) / "onnx" / "obj"
    print(f"onnx: converting {args.detector} ...", flush=True)
    frames, source = footage_frames(FOOTAGE)
    report_onnx(target, onnx_export.export_detector(args.detector, target, frames, source, person_class(args)))


def export_reid(args, reid: ReidSource) -> None:
    target = Path(args.output) / "onnx" / "reid"
    print(f"onnx: converting {reid.checkpoint} ...", flush=True)
    people = reid.people
    report_onnx(
        target,
        onnx_export.export_reid(reid.checkpoint, target, people.compared, people.source, args.batch, args.image_size),
    )


def prepare_from_onnx(args) -> None:
    """Prepares what --onnx wrote, or published networks; a part that fails does not stop the other."""
    models = board.find_models(args.onnx_folder) if args.onnx_folder else args.published
    if not models:
        raise InputError(f"{args.onnx_folder} was not written by pipeline.py --onnx: its manifest.json is missing")
    failures = []
    for kind, source in models.items():
        attempt(failures, prepare_onnx_model if args.onnx_folder else prepare_published, args, source, kind)
    raise_failures(failures)


def prepare_published(args, path, kind: str) -> None:
    """Reads a published network into <output>/onnx/<kind>, and prepares it from there."""
    source = Path(args.output) / "onnx" / kind
    print(f"{kind}: reading {path} ...", flush=True)
    if kind == "reid":
        people = PersonImages(args.images, args.seed, draw_people)
        foreign.take_reid(path, source, args.reid_pixels, people.compared, people.source, args.batch)
    else:
        frames, images_from = footage_frames(FOOTAGE)
        foreign.take_detector(path, source, args.detector_pixels, args.person_class, frames, images_from)
    prepare_onnx_model(args, source, kind)


def prepare_onnx_model(args, source, kind: str) -> None:
    begun = time.monotonic()
    target = Path(args.output) / kind
    options = board.BoardOptions(args.engine, args.precision or "FP16", args.min_parity, args.workspace)
    print(f"{kind}: preparing {source} ...", flush=True)
    manifest = board.prepare(source, kind, target, options)
    report(kind, target, manifest, None, time.monotonic() - begun)
    times = ", ".join(f"{size}: {value:g}" for size, value in manifest["milliseconds"].items())
    print(f"{kind}: milliseconds by batch size: {times}")


# ---- messages ----


def report(name: str, target: Path, manifest: dict, asked_precision, seconds: float) -> None:
    """Prints what was made. asked_precision: the value of --precision, None if it was not given."""
    engine = ENGINE_NAMES[manifest["engine"]]
    print(
        f"{name}: {engine}, {manifest['precision']} ({manifest['reason']}); input {format_tensors(manifest['inputs'])}"
    )
    if manifest["engine"] in ("tensorflow", "onnxruntime") and asked_precision not in (None, manifest["precision"]):
        print(f"{name}: --precision={asked_precision} needs TensorRT and was not applied: this is FP32")
    if manifest.get("not_cut"):
        print(f"{name}: it keeps its own suppression and resizing, which is slower: {manifest['not_cut']}")
    if "tensorflow_ops" in manifest:
        left = ", ".join(f"{count} {kind}" for kind, count in manifest["tensorflow_ops"].items())
        print(f"{name}: engines: {manifest['engines']}; left to TensorFlow: {left or 'nothing'}")
    print(f"{name}: {format_parity(manifest['parity'])}")
    print(f"{name}: {target} is ready, {seconds:.0f} s", flush=True)


def report_onnx(target: Path, manifest: dict) -> None:
    print(f"onnx: input {format_tensors(manifest['inputs'])}; {format_parity(manifest['parity'])}")
    print(f"onnx: {target} is ready", flush=True)


def format_tensors(described: dict) -> str:
    return ", ".join(f"{key} {tensor['dtype']} {tensor['shape']}" for key, tensor in described.items())


def format_parity(parity: dict) -> str:
    images = f"{parity['images']} images ({parity['images_from']})"
    if parity["min"] is None:
        return f"nobody to compare in {images}"
    return f"{parity['measure']}: min {parity['min']:.6f}, mean {parity['mean']:.6f}, {images}"


if __name__ == "__main__":
    run_main(main, ARGS)
