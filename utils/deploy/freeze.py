"""Freezes the re-id net and the detector for the device, and measures what the frozen one returns against the original.

Weights become constants of the graph, BatchNorm goes into the convolutions, and where TensorRT is really there its
engines take over what they can; the plain TensorFlow graph is then kept beside, in `plain/`. A model is built in a
temporary folder, tested there, and put in its place when it is whole.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import shutil
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from utils import resnet
from utils.checkpoint import load_embedding_net, stored_threshold, strip_suffix
from utils.deploy import trt
from utils.deploy.detector import Detector, detector_input
from utils.deploy.parity import CERTAIN, Inaccurate, check_parity, compare_detections, compare_embeddings
from utils.deploy.reid_net import Embedder
from utils.deploy.saved_model import FEW, FORMAT, SERVING, describe, load_saved_model, swap_in, write_manifest
from utils.device import device_name, gpu_name
from utils.errors import InputError

PLAIN = "plain"
FEW_PEOPLE = 1  # what the second signature of the re-id net takes: most frames of most cameras show one person or two


class Wishes(NamedTuple):
    """What a user wants of a frozen model.

    precision: of TensorRT's engines; engine: 'auto', or 'tensorflow' to leave TensorRT out; min_parity: the bound of
    the smallest agreement; workspace: MB for TensorRT; pictures_from: in words, where the pictures compared come from.
    """

    precision: str = "FP16"
    engine: str = "auto"
    min_parity: float = 0.99
    workspace: int = trt.WORKSPACE
    pictures_from: str = "unknown"


def freeze_reid(prefix, target, pictures, batch=8, image_size=None, calibration=None, **wishes):
    """Freezes the checkpoint `prefix` to `target` as uint8 RGB (batch, H, W, 3) `images` -> (batch, E) `embeddings`.

    pictures: (H, W) -> (N, H, W, 3) uint8 RGB of people to compare on; calibration: the same for INT8, None where
    there are no real pictures; wishes: as in Wishes. Returns the manifest. InputError if the checkpoint does not fit,
    or the smallest cosine to the unfrozen net is below min_parity: then `target` stays, unless only TensorRT's engines
    are that inaccurate.
    """
    wishes = Wishes(**wishes)
    require_calibration(wishes, calibration is not None)
    net, args = load_embedding_net(prefix, image_size)
    size = [int(side) for side in args["image_size"]]
    images = pictures(tuple(size))
    wanted = in_batches(lambda some: net(some, training=False).numpy(), images, batch)
    batches = {SERVING: batch, **({FEW: FEW_PEOPLE} if batch > FEW_PEOPLE else {})}

    about = {
        "kind": "reid",
        "source": {
            "checkpoint": strip_suffix(prefix),
            "width": args["width"],
            "embedding_size": args["embedding_size"],
        },
        "image_size": size,
        "batch": batch,
        **({FEW: {"batch": FEW_PEOPLE}} if FEW in batches else {}),
        **stored_threshold(strip_suffix(prefix), args),  # a similarity; None where no .json came along
    }

    def save(folder):
        embed = rgb_net(net)
        any_number = tf.function(lambda images: {"embeddings": embed(images)})
        function = any_number.get_concrete_function(tf.TensorSpec([None, *size, 3], tf.uint8, name="images"))
        specs = {name: tf.TensorSpec([some, *size, 3], tf.uint8, name="images") for name, some in batches.items()}
        _save(_constants(function), specs, folder)

    def calibrate():
        found = calibration(tuple(size))
        wrapped = np.arange(-(-len(found) // batch) * batch) % len(found)  # the last batch is filled from the first
        return found[wrapped].reshape(-1, batch, *size, 3), len(found)

    def compare(folder):
        embedder = Embedder(folder)
        found = [embedder.embed_by(name, images) for name in embedder.batches]  # each signature on all of them
        parity = compare_embeddings(np.concatenate([wanted] * len(found)), np.concatenate(found))
        return {"parity": {**parity, "pictures": len(images)}, "seconds": embedder.seconds()}

    example = np.resize(images, (batch, *size, 3))
    return _freeze(save, Path(target), about, example, calibrate, compare, wishes)


def require_calibration(wishes: Wishes, has_pictures: bool) -> None:
    """InputError if the re-id net would get INT8 and there are no pictures of people to calibrate on."""
    found = _tensorrt(wishes)
    int8 = found["version"] and trt.choose_precision("reid", wishes.precision, found["capability"])[0] == "INT8"
    if int8 and not has_pictures:
        raise InputError("--precision=INT8 needs pictures of people to calibrate on: name a folder with --pictures")


def rgb_net(net: tf.keras.Model):
    """The same function as an embedding network: (B, H, W, 3) RGB of 0..255, any type -> (B, E), for inference only.

    BatchNorm goes into the convolutions, and the turn from RGB to BGR into the kernel of the first one: ONNX
    reverses an axis only by detours, which TensorRT need not know.
    """
    folded = resnet.fold_batchnorm(net)
    first = folded.get_layer("conv1_conv")
    kernel, bias = first.get_weights()  # (7, 7, 3, filters)
    first.set_weights([kernel[:, :, ::-1], bias])
    body = tf.keras.Model(folded.get_layer("normalise").output, folded.output)
    mean = resnet.IMAGENET_MEAN_BGR[::-1]
    return lambda images: body(tf.cast(images, tf.float32) - mean, training=False)


def freeze_detector(source, target, frames, **wishes):
    """Freezes the zoo's SavedModel `source` to `target` under the names that it came with.

    frames: list of (H, W, 3) uint8 BGR to compare on. Returns the manifest; InputError as in freeze_reid, where the
    measure is the overlap (IoU) of each person that the original finds with the box of the frozen one.
    """
    original = Detector(source, CERTAIN, frozen=False)
    _, signature = load_saved_model(source)
    name = detector_input(source, signature)
    wanted = [original.raw(frame) for frame in frames]
    spec = signature.structured_input_signature[1][name]
    shape = spec.shape.as_list()
    about = {
        "kind": "obj",
        "source": {"saved_model": str(source), **_source_note(source)},
        "image_size": shape[1:3] if None not in shape[1:3] else None,
        "batch": 1,
    }

    def save(folder):
        _save(_constants(signature), {SERVING: tf.TensorSpec(spec.shape, spec.dtype, name=name)}, folder)

    def compare(folder):
        detector = Detector(folder, CERTAIN)
        return {"parity": compare_detections(wanted, [detector.raw(frame) for frame in frames])}

    height, width = about["image_size"] or frames[0].shape[:2]
    example = cv2.resize(frames[0], (width, height))[np.newaxis]  # (1, H, W, 3)
    return _freeze(save, Path(target), about, example, None, compare, Wishes(**wishes))


def _freeze(save, target, about, example, calibrate, compare, wishes) -> dict:
    """Writes, tests and puts in place.

    save: folder -> None; example: one input; calibrate: as in _add_tensorrt; compare: folder -> what the manifest says
    of agreement and speed.
    """
    with scratch_beside(target) as scratch:
        plain, failure = scratch / PLAIN, None
        save(plain)
        gc.collect()  # the graph with all constants is there several times over: let it go before it is loaded again
        about = {"format": FORMAT, **about, **describe(load_saved_model(plain)[1]), "colour_order": "RGB"}
        manifest = _write(plain, {**about, "engine": "tensorflow", "precision": "FP32"}, compare, wishes)
        check_parity(manifest["parity"], wishes.min_parity, "; nothing was replaced")
        found = _tensorrt(wishes)
        manifest["reason"] = found["reason"]
        if found["version"] is not None:
            try:
                return _add_tensorrt(scratch, target, about, found, example, calibrate, compare, wishes)
            except (trt.NotConverted, Inaccurate) as error:
                manifest["reason"], failure = f"{found['reason']} is there, but {error}", error
        write_manifest(plain, manifest)
        swap_in(plain, target)
        if isinstance(failure, Inaccurate):  # asked for, possible, and refused: not to be passed over in silence
            raise InputError(f"{manifest['reason']}; {target} is the plain TensorFlow graph now")
        return manifest


def _tensorrt(wishes) -> dict:
    """As trt.probe, which is not asked where the user wants none."""
    if wishes.engine == "tensorflow":
        return {"version": None, "reason": "asked for", "capability": None}
    return trt.probe()


def _add_tensorrt(scratch, target, about, found, example, calibrate, compare, wishes) -> dict:
    """Converts scratch/plain and puts both in place; NotConverted if that fails, Inaccurate if it costs too much.

    calibrate: () -> ((N, batch, H, W, 3) inputs for INT8, how many pictures they hold).
    """
    plain, whole, pictures = scratch / PLAIN, scratch / "tf-trt", scratch / "pictures.npz"
    precision, why_not = trt.choose_precision(about["kind"], wishes.precision, found["capability"])
    arrays, calibrated = {"example": example}, {}
    if precision == "INT8":
        arrays["calibration"], count = calibrate()
        calibrated = {"calibration": {"pictures": count, "pictures_from": wishes.pictures_from}}
    np.savez(pictures, **arrays)
    done = trt.convert(plain, whole, about["kind"], precision, pictures, wishes.workspace)
    reason = "; ".join(words for words in (found["reason"], why_not) if words)
    about = {key: value for key, value in about.items() if key != "few"}  # the converter keeps the main signature alone
    about = {**about, "engine": "tf-trt", "precision": precision, "reason": reason, **calibrated, **done}
    manifest = _write(whole, about, compare, wishes, found["version"])
    check_parity(manifest["parity"], wishes.min_parity)
    os.replace(plain, whole / PLAIN)
    swap_in(whole, target)
    return manifest


def _constants(function):
    """A concrete function -> (the same with its variables as constants, the names of its outputs in their order)."""
    frozen = convert_variables_to_constants_v2(function, lower_control_flow=False)
    return frozen, sorted(function.structured_outputs)  # the order in which TensorFlow flattens a dict


def _save(constants, specs: dict, folder: Path) -> None:
    """A SavedModel of what _constants returned, with a signature for each {name: tf.TensorSpec of the one input}."""
    frozen, outputs = constants
    module = tf.Module()

    def serve(picture):
        return dict(zip(outputs, tf.nest.flatten(frozen(picture))))

    module.served = {name: tf.function(serve, input_signature=[spec]) for name, spec in specs.items()}
    tf.saved_model.save(module, str(folder), signatures=module.served)


def _write(folder: Path, about: dict, compare, wishes, tensorrt=None) -> dict:
    """Writes the manifest that loading asks for, measures by the very path that demo.py takes, notes the result."""
    built_for = {"tensorflow": tf.__version__, "tensorrt": tensorrt, "gpu": gpu_name(), "device": device_name()}
    manifest = {**about, "built_for": built_for, "parity": None}
    write_manifest(folder, manifest)
    manifest.update(compare(folder))
    manifest["parity"].update(bound=wishes.min_parity, pictures_from=wishes.pictures_from)
    write_manifest(folder, manifest)
    return manifest


def in_batches(function, images, batch) -> np.ndarray:
    return np.concatenate([function(images[start : start + batch]) for start in range(0, len(images), batch)])


def _source_note(source) -> dict:
    """What utils/setup/fetch_parts.py noted beside a detector that it fetched."""
    try:
        return {"note": json.loads((Path(source).parent / "source.json").read_text())}
    except (OSError, ValueError):
        return {}


@contextlib.contextmanager
def scratch_beside(target: Path):
    """A temporary folder beside `target`; InputError if that cannot be written, and nothing of it stays."""
    scratch = target.with_name(f".half-frozen-{os.getpid()}-{target.name}")
    try:
        scratch.mkdir(parents=True)
        yield scratch
    except OSError as error:
        raise InputError(f"{target.parent} cannot be written ({error})") from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
