"""Prepares detector and re-id net for the machine it runs on: TF-TRT where TensorRT is, else a frozen TensorFlow graph.

    python3 pipeline.py                                     both, with the newest checkpoint under models/reid
    python3 pipeline.py obj                                 the detector alone
    python3 pipeline.py models/reid/m0/reid_model-200.ckpt  the re-id net alone
    python3 pipeline.py obj reid_model-200.ckpt             both
    python3 pipeline.py --onnx reid_model-200.ckpt          the re-id net, and as ONNX for TensorRT without TensorFlow

Writes models/frozen/obj and models/frozen/reid, each a SavedModel with a manifest.json that says what it is and how far
it differs from the original; demo.py takes them from there. A minute on a desktop, minutes on a Jetson with TensorRT.
"""

from __future__ import annotations

from utils.deploy.trt import PRECISIONS, WORKSPACE
from utils.device import describe_machine, enable_memory_growth
from utils.errors import InputError, explained_imports, run_main
from utils.options import as_image_size, as_seed, fraction, make_parser, positive_int

DETECTOR = "models/downloads/detector/saved_model"
FOOTAGE = "models/downloads/vtest.avi"


def parse_args():
    parser = make_parser(__doc__)
    # fmt: off
    add = parser.add_argument
    add("what", nargs="*", metavar="[obj] [REID_CHECKPOINT]", help="what to prepare; nothing named: both")
    add("--detector", default=DETECTOR, help="SavedModel of the detector, a TF1 or TF2 export of the detection zoo")
    add("--output", default="models/frozen", help="folder that obj/ and reid/ are written to, replacing what is there")
    add("--batch", type=positive_int, default=8,
        help="people that the re-id net takes at once, fixed; take what a frame has")
    add("--image_size", type=as_image_size, default=None, help="HEIGHTxWIDTH, if the checkpoint came without its .json")
    add("--onnx", action="store_true",
        help="also write the re-id net to onnx/ and print how trtexec builds an engine of it: for boards whose "
             "TensorFlow has no TensorRT; needs pip install tf2onnx onnxruntime, and works on a desktop as well")
    add = parser.add_argument_group("pictures").add_argument
    add("--pictures", default=None, metavar="FOLDER",
        help="people to compare original and frozen re-id net on, and to calibrate INT8 with: a data set, of which "
             "queries and gallery are taken, or any folder of pictures; if not given the data set that the checkpoint "
             "was trained on, where it is here, else drawn people")
    add("--calibration_pictures", type=positive_int, default=500,
        help="pictures at most that INT8 takes its ranges from; more are slower and hardly better")
    add("--seed", type=as_seed, default=0, help="of the choice among the pictures")
    add("--min_parity", type=fraction, default=0.99,
        help="smallest agreement (cosine of embeddings, overlap of boxes) below which a model is refused, exit code 2")
    add = parser.add_argument_group("TensorRT").add_argument
    add("--engine", choices=("auto", "tensorflow"), default="auto",
        help="tensorflow: leave TensorRT out even if it is here")
    add("--precision", choices=PRECISIONS,
        help="of TensorRT's engines, FP16 if not given; plain TensorFlow is FP32; INT8 is for the re-id net, the "
             "detector then has FP16")
    add("--workspace", type=positive_int, default=WORKSPACE,
        help="MB that TensorRT may use for its trials, of the memory that a Jetson's GPU shares; lower it if killed")
    # fmt: on
    args = parser.parse_args()
    # What was asked for is remembered: without TensorRT it can't be had, and only then is that worth a line.
    args.precision_asked, args.precision = args.precision, args.precision or "FP16"
    args.checkpoints = [word for word in args.what if word != "obj"]
    if len(args.checkpoints) > 1 or len(args.what) > len(args.checkpoints) + 1:
        parser.error("name 'obj', one re-id checkpoint, or both")
    if args.onnx and args.what == ["obj"]:
        parser.error("--onnx is for the re-id net: name its checkpoint too, or leave 'obj' out")
    return args


ARGS = parse_args() if __name__ == "__main__" else None  # before TensorFlow is imported: --help answers at once

import time
from pathlib import Path

with explained_imports():
    from utils.checkpoint import read_args, read_shape, require_reid, stored_threshold
    from utils.checkpoint_paths import find_checkpoint, newest_checkpoint, suggest_checkpoints
    from utils.deploy import onnx_export
    from utils.deploy.freeze import Wishes, freeze_detector, freeze_reid, require_calibration
    from utils.deploy.parity import People, footage_frames


def check_detector(args) -> None:
    if not (Path(args.detector) / "saved_model.pb").is_file():
        raise InputError(f"no detector in {args.detector}: run bash setup.sh detector, or name one with --detector")


def check_reid(args) -> None:
    """InputError for whatever of the re-id net's arguments can be told to be wrong in seconds."""
    checkpoint, people = find_reid(args)
    shape = read_shape(checkpoint, args.image_size)
    require_reid(checkpoint, shape)
    stored_threshold(checkpoint, shape)
    require_calibration(Wishes(**wishes(args, people.source)), people.real)
    if people.real:
        people.compared(shape["image_size"])  # one that can't be decoded is named


def prepare_detector(args) -> None:
    target = Path(args.output) / "obj"
    begun = time.monotonic()
    print(f"obj: freezing {args.detector} ...", flush=True)
    frames, source = footage_frames(FOOTAGE)
    manifest = freeze_detector(args.detector, target, frames, **wishes(args, source))
    report("obj", target, manifest, begun, args.precision_asked)


def prepare_reid(args) -> None:
    checkpoint, people = find_reid(args)
    target = Path(args.output) / "reid"
    begun = time.monotonic()
    print(f"reid: freezing {checkpoint} ...", flush=True)
    settings = {"batch": args.batch, "image_size": args.image_size, **wishes(args, people.source)}
    if people.real:
        settings["calibration"] = lambda size: people.calibration(size, args.calibration_pictures)
    manifest = freeze_reid(checkpoint, target, people.compared, **settings)
    report("reid", target, manifest, begun, args.precision_asked)


def prepare_onnx(args) -> None:
    checkpoint, people = find_reid(args)
    target = Path(args.output) / "onnx"
    print(f"onnx: converting {checkpoint} ...", flush=True)
    settings = {"batch": args.batch, "image_size": args.image_size, "pictures_from": people.source}
    about = onnx_export.write_onnx(checkpoint, target, people.compared, **settings)
    print(f"onnx: input {tensors(about['inputs'])}, RGB of {about['values']}; {agreement(about['parity'])}")
    print(
        f"onnx: {target / onnx_export.MODEL} is ready; on the board: {onnx_export.trtexec_line(target, args.precision)}"
    )


def find_reid(args):
    """(the checkpoint's prefix, the pictures of people for it)."""
    checkpoint = find_named(args.checkpoints[0]) if args.checkpoints else newest_checkpoint()
    trained_on = read_args(checkpoint).get("data_dir")
    if args.pictures is None and trained_on and Path(trained_on).is_dir():
        try:
            return checkpoint, People(trained_on, args.seed)
        except InputError:  # an empty folder: not the user's affair, who did not name it
            pass
    return checkpoint, People(args.pictures, args.seed)


def find_named(word: str) -> str:
    """As find_checkpoint; a word that is not even a path, such as objj, may have been meant for obj."""
    if word.isalnum() and not Path(word).exists() and not Path(f"{word}.index").exists():
        raise InputError(f"{word} is neither obj nor a checkpoint: {suggest_checkpoints(word)}")
    return find_checkpoint(word)


def wishes(args, pictures_from: str) -> dict:
    """The arguments that freezing a detector and a re-id net share."""
    names = ("precision", "engine", "min_parity", "workspace")
    return {"pictures_from": pictures_from, **{name: getattr(args, name) for name in names}}


def report(name: str, target: Path, manifest: dict, begun: float, precision_asked=None) -> None:
    engine = "TF-TRT" if manifest["engine"] == "tf-trt" else "a frozen TensorFlow graph"
    print(f"{name}: {engine}, {manifest['precision']} ({manifest['reason']}); input {tensors(manifest['inputs'])}")
    if manifest["engine"] != "tf-trt" and precision_asked not in (None, manifest["precision"]):
        print(f"{name}: --precision={precision_asked} needs TensorRT and was not applied: this is FP32")
    if "native" in manifest:
        native = ", ".join(f"{count} {kind}" for kind, count in manifest["native"].items())
        print(f"{name}: engines: {manifest['engines']}; left to TensorFlow: {native or 'nothing'}")
    print(f"{name}: {agreement(manifest['parity'])}")
    if "seconds" in manifest:
        batches = {"serving_default": manifest["batch"], "few": manifest.get("few", {}).get("batch")}
        runs = [f"{batches[key]} at once {1000 * seconds:.1f} ms" for key, seconds in manifest["seconds"].items()]
        print(f"{name}: a run of {', '.join(runs)}")
    print(f"{name}: {target} is ready, {time.monotonic() - begun:.0f} s", flush=True)


def tensors(described: dict) -> str:
    return ", ".join(f"{key} {tensor['dtype']} {tensor['shape']}" for key, tensor in described.items())


def agreement(parity: dict) -> str:
    pictures = f"{parity['pictures']} pictures ({parity['pictures_from']})"
    if parity["min"] is None:
        return f"no people to compare on in {pictures}; scores differ by up to {parity['score_difference']:.6f}"
    return f"{parity['of']}: min {parity['min']:.6f}, mean {parity['mean']:.6f}, {pictures}"


def main(args) -> None:
    if args.onnx:
        onnx_export.check_extras()
    print("\n".join(describe_machine()), flush=True)
    enable_memory_growth()
    detector, reid = ("obj" in args.what or not args.what), (args.checkpoints or not args.what)
    # All arguments first: a command that is refused for one of them replaces nothing.
    run_all([check_detector] * bool(detector) + [check_reid] * bool(reid), args)
    jobs = [prepare_detector] * bool(detector) + [prepare_reid] * bool(reid) + [prepare_onnx] * args.onnx
    run_all(jobs, args)


def run_all(jobs, args) -> None:
    """Runs each job, as one that fails does not cost the others; InputError with what the failed ones said."""
    failures = []
    for job in jobs:
        try:
            job(args)
        except InputError as error:
            if str(error) not in failures:
                failures.append(str(error))
    if failures:
        raise InputError("; and ".join(failures))


if __name__ == "__main__":
    run_main(main, ARGS)
