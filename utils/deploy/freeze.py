"""Freezes the re-id net and the detector for the device, and measures the frozen models against their originals.

Weights become constants of the graph and BatchNorm is folded into the convolutions. Where TensorRT is available, its
engines replace what they can, and the plain TensorFlow graph is kept in `plain/`. A model is built and measured in a
temporary folder, and replaces the old one when it is complete.
"""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from utils import resnet
from utils.checkpoint import DATA_SUFFIX, load_embedding_net, stored_threshold, strip_suffix
from utils.deploy import check, trt
from utils.deploy.cut import NotCut, cut_detector
from utils.deploy.detections import PERSON
from utils.deploy.detector import Detector
from utils.deploy.manifest import FORMAT, usual_batches, write_manifest
from utils.deploy.parity import (
    CERTAIN,
    OVERLAP_BOUND,
    Inaccurate,
    check_parity,
    compare_detections,
    compare_embeddings,
)
from utils.deploy.reid_net import Embedder
from utils.deploy.saved_model import SERVING, describe_signature, detector_input, load_saved_model
from utils.device import device_name, gpu_name
from utils.errors import InputError
from utils.files import digest, replace_folder, temporary_folder
from utils.json_files import read_json

PLAIN = "plain"


class FreezeOptions(NamedTuple):
    """How a model is frozen.

    precision: of TensorRT engines. engine: 'auto', 'tensorflow' to leave out TensorRT, 'tf-trt' to insist on it.
    min_parity: the lowest accepted cosine to an embedding of the original. workspace: MB for TensorRT. images_from: a
    description of the images that are compared. person_class: the number of a person among the classes of a detector.
    """

    precision: str = "FP16"
    engine: str = "auto"
    min_parity: float = 0.99
    workspace: int = trt.WORKSPACE
    images_from: str = "unknown"
    person_class: int = PERSON


DEFAULTS = FreezeOptions()


def freeze_reid(prefix, target, images, options=DEFAULTS, batch=8, image_size=None, calibration=None) -> dict:
    """Freezes the checkpoint `prefix` to `target` as uint8 RGB (batch, H, W, 3) `images` -> (batch, E) `embeddings`.

    images: (H, W) -> (N, H, W, 3) uint8 RGB of people to compare on. options: FreezeOptions. calibration: as images,
    for INT8; None if there are no real images. Returns the manifest. InputError if the checkpoint does not fit, or the
    smallest cosine to the unfrozen net is below min_parity: `target` then stays as it was, unless only the TensorRT
    engines are that inaccurate.
    """
    require_calibration(options, calibration is not None)
    net, args = load_embedding_net(prefix, image_size)
    size = [int(side) for side in args["image_size"]]
    compared = images(tuple(size))  # (N, H, W, 3)
    wanted = in_batches(lambda some: net(some, training=False).numpy(), compared, batch)  # (N, E)
    batches = usual_batches(batch)
    about = {
        "kind": "reid",
        "source": {
            "checkpoint": strip_suffix(prefix),
            "sha256": digest(f"{strip_suffix(prefix)}{DATA_SUFFIX}"),
            "width": args["width"],
            "embedding_size": args["embedding_size"],
        },
        "image_size": size,
        "batches": batches,
        **stored_threshold(strip_suffix(prefix), args),  # a similarity; None if the checkpoint came without its .json
    }

    def save(folder, any_number=False):
        embed = rgb_net(net)
        some = tf.function(lambda images: {"embeddings": embed(images)})
        names = {count: SERVING if count == batch else f"batch_{count}" for count in batches}
        specs = {names[count]: tf.TensorSpec([count, *size, 3], tf.uint8, name="images") for count in batches}
        whole = tf.TensorSpec([None, *size, 3], tf.uint8, name="images")
        _save(_constants(some.get_concrete_function(whole)), {SERVING: whole} if any_number else specs, folder)

    def calibrate():
        found = calibration(tuple(size))
        wrapped = np.arange(-(-len(found) // batch) * batch) % len(found)  # the last batch is filled from the first
        return found[wrapped].reshape(-1, batch, *size, 3), len(found)

    def compare(folder):
        embedder = Embedder(folder)
        found = [embedder.embed_by(size, compared) for size in embedder.batches]  # each of them on all images
        parity = compare_embeddings(np.concatenate([wanted] * len(found)), np.concatenate(found))
        return {**parity, "images": len(compared)}

    def write_check(folder):
        check.write_embeddings(folder, compared, wanted)

    example = np.resize(compared, (batch, *size, 3))
    bound = {"min": options.min_parity}
    return _freeze(save, Path(target), about, example, calibrate, compare, write_check, bound, options)


def require_calibration(options: FreezeOptions, has_images: bool) -> None:
    """InputError if the re-id net would get INT8 and there are no images of people to calibrate on."""
    found = _probe(options)
    if not found["version"] or has_images:
        return
    if trt.choose_precision("reid", options.precision, found["capability"])[0] == "INT8":
        raise InputError("--precision=INT8 needs images of people to calibrate on: name a folder with --images")


def rgb_net(net: tf.keras.Model):
    """The function of an embedding net for inference: (B, H, W, 3) RGB of 0..255, any type -> (B, E) float32.

    BatchNorm is folded into the convolutions, and the change from RGB to BGR into the kernel of the first one: ONNX
    has no simple operation that reverses an axis. The result does not have norm 1: Embedder divides the norm out.
    """
    folded = resnet.fold_batchnorm(net)
    first = folded.get_layer("conv1_conv")
    kernel, bias = first.get_weights()  # (7, 7, 3, filters)
    first.set_weights([kernel[:, :, ::-1], bias])
    body = tf.keras.Model(folded.get_layer("normalise").output, folded.get_layer("unit_length").input)
    mean = resnet.IMAGENET_MEAN_BGR[::-1]
    return lambda images: body(tf.cast(images, tf.float32) - mean, training=False)


def freeze_detector(source, target, frames, options=DEFAULTS) -> dict:
    """Freezes the SavedModel `source` of the zoo to `target`, cut before its suppression where that is possible.

    A detector that cannot be cut keeps the names of its own inputs and outputs. frames: list of (H, W, 3) uint8 BGR to
    compare on. options: FreezeOptions. Returns the manifest; InputError as in freeze_reid, where the measure is the
    overlap (IoU) of each person found by the original with a box of the frozen detector.
    """
    original = Detector(source, CERTAIN, frozen=False, person_class=options.person_class)
    wanted = [original.find(frame, CERTAIN) for frame in frames]
    signature = original.net.run.signature
    about = {
        "kind": "obj",
        "source": {"saved_model": str(source), **source_note(source)},
        "person_class": options.person_class,
        "batches": [1],
    }
    try:
        pictures = [original.as_input(frame) for frame in frames]
        cut = cut_detector(signature, pictures, wanted, options.person_class)
        function = cut.function
        spec = tf.TensorSpec([1, *cut.size, 3], tf.uint8, name="images")
        about.update(form="anchors", image_size=cut.size)
    except NotCut as error:
        function = signature
        name = detector_input(source, signature)
        found = signature.structured_input_signature[1][name]
        spec = tf.TensorSpec(found.shape, found.dtype, name=name)
        size = spec.shape.as_list()[1:3]
        about.update(form="zoo", image_size=None if None in size else size, not_cut=str(error))

    def save(folder, any_number=False):
        assert not any_number, "a detector takes one frame"
        _save(_constants(function), {SERVING: spec}, folder)

    def compare(folder):
        detector = Detector(folder, CERTAIN)
        return compare_detections(wanted, [detector.find(frame, CERTAIN / 2) for frame in frames])

    def write_check(folder):
        taken = Detector(folder / PLAIN).as_input
        check.write_people(folder, np.concatenate([taken(frame) for frame in frames]), wanted)

    height, width = about["image_size"] or frames[0].shape[:2]
    example = cv2.resize(frames[0], (width, height))[np.newaxis]  # (1, H, W, 3)
    return _freeze(save, Path(target), about, example, None, compare, write_check, OVERLAP_BOUND, options)


def _freeze(save, target, about, example, calibrate, compare, write_check, bound, options) -> dict:
    """Saves, measures and replaces `target`; returns the manifest.

    save: (folder, any_number=False) -> None, with a signature for each batch of `about`, or with one for any number.
    example: one input, of the largest batch. calibrate, write_check: as in _add_tensorrt. compare: folder -> parity,
    for which check_parity accepts `bound`.
    """
    with temporary_folder(target) as folder:
        plain = folder / PLAIN
        save(plain)
        gc.collect()  # several copies of the constants are in memory: free them before the model is loaded again
        described = describe_signature(load_saved_model(plain)[1])
        about = {"format": FORMAT, **about, **described, "colour_order": "RGB"}
        manifest = _measure(plain, {**about, "engine": "tensorflow", "precision": "FP32"}, compare, bound, options)
        check_parity(manifest["parity"], bound, "; nothing was replaced")
        found = _probe(options)
        if options.engine == "tf-trt" and found["version"] is None:
            raise InputError(f"--engine tf-trt: {found['reason']}; nothing was replaced")
        manifest["reason"] = found["reason"]
        failure = None
        if found["version"] is not None:
            try:
                return _add_tensorrt(
                    folder, target, about, found, save, example, calibrate, write_check, bound, options
                )
            except (trt.NotConverted, Inaccurate) as error:
                manifest["reason"] = f"{found['reason']} is available, but {error}"
                failure = error
        write_manifest(plain, manifest)
        replace_folder(plain, target)
        if isinstance(failure, Inaccurate):  # the user asked for TensorRT, so the fallback must not go unnoticed
            raise InputError(f"{manifest['reason']}; {target} now holds the plain TensorFlow graph")
        return manifest


def _probe(options) -> dict:
    """As trt.probe, which is not called if the user wants no TensorRT."""
    if options.engine == "tensorflow":
        return {"version": None, "reason": "as requested", "capability": None}
    return trt.probe()


def _add_tensorrt(folder, target, about, found, save, example, calibrate, write_check, bound, options) -> dict:
    """Converts the model and replaces `target` with it and folder/plain; NotConverted or Inaccurate if that fails.

    The converter keeps one signature: for several batches it is one for any number, with an engine for each of them.
    INT8 has one batch, since it is calibrated on one shape. calibrate: () -> ((N, batch, H, W, 3) inputs for INT8, the
    number of images in them). write_check: folder -> None, writes check.npz into a folder with the plain model.
    """
    plain = folder / PLAIN
    source = plain
    whole = folder / "tf-trt"
    inputs = folder / "inputs.npz"
    precision, why_not = trt.choose_precision(about["kind"], options.precision, found["capability"])
    batches = [len(example)] if precision == "INT8" else about["batches"]
    about = {**about, "batches": batches}
    if len(batches) > 1:
        source = folder / "any_number"
        save(source, any_number=True)
        about.update({key: _any_number(about[key]) for key in ("inputs", "outputs")})
    arrays = {f"example_{batch}": np.resize(example, (batch, *example.shape[1:])) for batch in batches}
    if precision == "INT8":
        arrays["calibration"], count = calibrate()
        about["calibration"] = {"images": count, "images_from": options.images_from}
    np.savez(inputs, **arrays)
    done = trt.convert(source, whole, about["kind"], precision, inputs, options.workspace)
    reason = "; ".join(part for part in (found["reason"], why_not) if part)
    about.update(engine="tf-trt", precision=precision, reason=reason, **done)
    write_check(folder)

    def compare(whole):  # engines need the GPU, which this process leaves to others
        parity = check.measure_in_child(whole, about["kind"], folder / check.CHECK)
        if "error" in parity:
            raise trt.NotConverted(f"what it made does not run ({parity['error']})")
        return parity

    manifest = _measure(whole, about, compare, bound, options, found["version"])
    check_parity(manifest["parity"], bound)
    os.replace(plain, whole / PLAIN)
    replace_folder(whole, target)
    return manifest


def _any_number(described: dict) -> dict:
    """Described tensors with a first size that is not fixed."""
    return {name: {**spec, "shape": [-1, *spec["shape"][1:]]} for name, spec in described.items()}


def _constants(function):
    """A concrete function -> (the same with constants instead of variables, the names of its outputs in order)."""
    frozen = convert_variables_to_constants_v2(function, lower_control_flow=False)
    return frozen, sorted(function.structured_outputs)  # the order in which TensorFlow flattens a dict


def _save(constants, specs: dict, folder: Path) -> None:
    """Saves the result of _constants with a signature for each {name: tf.TensorSpec of the input}."""
    frozen, outputs = constants
    module = tf.Module()

    def serve(images):
        return dict(zip(outputs, tf.nest.flatten(frozen(images))))

    module.served = {name: tf.function(serve, input_signature=[spec]) for name, spec in specs.items()}
    tf.saved_model.save(module, str(folder), signatures=module.served)


def _measure(folder: Path, about: dict, compare, bound, options, tensorrt=None) -> dict:
    """Writes the manifest, measures the parity with the code that demo.py uses, and adds it to the manifest."""
    built_for = {"tensorflow": tf.__version__, "tensorrt": tensorrt, "gpu": gpu_name(), "device": device_name()}
    manifest = {**about, "built_for": built_for, "parity": None}
    write_manifest(folder, manifest)
    parity = compare(folder)
    manifest["parity"] = {**parity, "bound": bound, "images_from": options.images_from}
    write_manifest(folder, manifest)
    return manifest


def in_batches(function, images, batch) -> np.ndarray:
    """Concatenates the results of function on batches of images, (N, ...) -> (N, ...)."""
    return np.concatenate([function(images[start : start + batch]) for start in range(0, len(images), batch)])


def source_note(source) -> dict:
    """The origin of a detector that setup.sh fetched, {} for others."""
    try:
        return {"note": read_json(Path(source).parent / "source.json", {}, "")}
    except (OSError, InputError):
        return {}
