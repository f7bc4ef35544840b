"""Freezes the re-id net and the detector for the device, and measures what the frozen one returns against the original.

Weights become constants of the graph, BatchNorm goes into the convolutions, and where TensorRT is really there its
engines take over what they can; the plain TensorFlow graph is then kept beside, in `plain/`. A model is built in a
temporary folder, tested there, and put in its place when it is whole.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from utils import trt
from utils.checkpoint import load_embedding_net, strip_suffix
from utils.detector import PERSON, Detector, detector_input
from utils.frozen import FORMAT, describe, gpu_name, load_saved_model, swap_in, write_manifest
from utils.identities import iou
from utils.options import InputError
from utils.reid_net import Embedder
from utils.resnet import fold_batchnorm

PLAIN = "plain"
CERTAIN = 0.3  # boxes of the original below this score are not looked for in the frozen one


def freeze_reid(prefix, target, pictures, batch=8, precision="FP16", engine="auto", min_parity=0.99, image_size=None):
    """Freezes the checkpoint `prefix` to `target` as uint8 RGB (batch, H, W, 3) `images` -> (batch, E) `embeddings`.

    pictures: image_size -> (N, H, W, 3) uint8 RGB of people to compare on. Returns the manifest; InputError if the
    checkpoint does not fit or the smallest cosine to the unfrozen net is below min_parity, and then `target` stays.
    """
    net, args = load_embedding_net(prefix, image_size)
    size = [int(side) for side in args["image_size"]]
    images = pictures(tuple(size))
    wanted = _in_batches(lambda some: net(some, training=False).numpy(), images, batch)
    folded = fold_batchnorm(net)

    @tf.function(input_signature=[tf.TensorSpec([batch, *size, 3], tf.uint8, name="images")])
    def embed(images):
        return {"embeddings": folded(images, training=False)}

    def compare(folder):
        cosines = np.sum(Embedder(folder).embed(images) * wanted, axis=1)
        least, mean = float(cosines.min()), float(cosines.mean())
        return {"of": "cosine to the unfrozen embedding", "min": least, "mean": mean, "pictures": len(images)}

    about = {
        "kind": "reid",
        "source": {
            "checkpoint": strip_suffix(prefix),
            "width": args["width"],
            "embedding_size": args["embedding_size"],
        },
        "image_size": size,
        "batch": batch,
        "threshold": args.get("validation", {}).get("threshold"),  # a similarity; None where no .json came along
    }
    return _freeze(
        embed.get_concrete_function(), Path(target), about, images[:1], compare, precision, engine, min_parity
    )


def freeze_detector(source, target, frames, precision="FP16", engine="auto", min_parity=0.99):
    """Freezes the zoo's SavedModel `source` to `target` under the names that it came with.

    frames: list of (H, W, 3) uint8 BGR to compare on. Returns the manifest; InputError as in freeze_reid, where the
    measure is the overlap (IoU) of each person that the original finds with the box of the frozen one.
    """
    original = Detector(source, CERTAIN, frozen=False)
    _, signature = load_saved_model(source)
    name = detector_input(source, signature)
    wanted = [original.raw(frame) for frame in frames]

    def compare(folder):
        frozen = Detector(folder, CERTAIN)
        return _compare_detections(wanted, [frozen.raw(frame) for frame in frames])

    shape = signature.structured_input_signature[1][name].shape.as_list()
    about = {
        "kind": "obj",
        "source": {"saved_model": str(source), **_source_note(source)},
        "image_size": shape[1:3] if None not in shape[1:3] else None,
        "batch": 1,
    }
    frame = frames[0][np.newaxis]  # (1, H, W, 3)
    return _freeze(signature, Path(target), about, frame, compare, precision, engine, min_parity)


def _freeze(function, target, about, example, compare, precision, engine, min_parity) -> dict:
    """Writes, tests and puts in place. function: a concrete function with one input and a dict of outputs."""
    with _scratch(target) as scratch:
        plain = scratch / PLAIN
        _save_as_constants(function, plain)
        about = {"format": FORMAT, **about, **describe(load_saved_model(plain)[1]), "colour_order": "RGB"}
        manifest = _write(plain, {**about, "engine": "tensorflow", "precision": "FP32"}, compare)
        _check_parity(manifest, min_parity)
        found = {"version": None, "reason": "asked for"} if engine == "tensorflow" else trt.probe()
        manifest["reason"] = found["reason"]
        if found["version"] is not None:
            try:
                return _add_tensorrt(scratch, target, about, found, example, compare, precision, min_parity)
            except InputError as error:
                manifest["reason"] = f"{found['reason']} is there, but {error}"
        write_manifest(plain, manifest)
        swap_in(plain, target)
        return manifest


def _add_tensorrt(scratch, target, about, found, example, compare, precision, min_parity) -> dict:
    """Converts scratch/plain and puts both in place; InputError if that fails or costs too much accuracy."""
    plain, whole, pictures = scratch / PLAIN, scratch / "tf-trt", scratch / "pictures.npz"
    batch = next(iter(about["inputs"].values()))["shape"][0]
    np.savez(pictures, images=np.repeat(example, max(batch, 1), axis=0))
    trt.convert(plain, whole, precision, pictures)
    about = {**about, "engine": "tf-trt", "precision": precision, "reason": found["reason"]}
    manifest = _write(whole, about, compare, found["version"])
    _check_parity(manifest, min_parity)
    os.replace(plain, whole / PLAIN)
    swap_in(whole, target)
    return manifest


def _save_as_constants(function, folder: Path) -> None:
    """A SavedModel of the function with its variables as constants; names of input and outputs stay."""
    positional, named = function.structured_input_signature
    (spec,) = [*positional, *named.values()]
    name = next(iter(named), spec.name)
    frozen = convert_variables_to_constants_v2(function, lower_control_flow=False)
    outputs = sorted(function.structured_outputs)  # the order in which TensorFlow flattens a dict

    @tf.function(input_signature=[tf.TensorSpec(spec.shape, spec.dtype, name=name)])
    def serve(picture):
        return dict(zip(outputs, tf.nest.flatten(frozen(picture))))

    module = tf.Module()
    module.serve = serve
    tf.saved_model.save(module, str(folder), signatures=serve)


def _write(folder: Path, about: dict, compare, tensorrt=None) -> dict:
    """Writes the manifest that loading asks for, measures by the very path that demo.py takes, notes the result."""
    gpu = gpu_name()
    built_for = {"tensorflow": tf.__version__, "tensorrt": tensorrt, "gpu": gpu}
    manifest = {**about, "built_for": built_for, "parity": None}
    write_manifest(folder, manifest)
    manifest["parity"] = compare(folder)
    write_manifest(folder, manifest)
    return manifest


def _check_parity(manifest: dict, min_parity: float) -> None:
    parity = manifest["parity"]
    if parity["min"] is not None and not parity["min"] >= min_parity:  # so that nan is refused too
        raise InputError(
            f"the frozen model differs from the original: the smallest {parity['of']} is {parity['min']:.4f},"
            f" below {min_parity:g}; nothing was replaced"
        )


def _compare_detections(wanted: list, found: list) -> dict:
    """Lists of (boxes (M, 4), scores (M,), classes (M,)) a frame -> how well each certain person is found again."""
    overlaps, difference = [], 0.0
    for (boxes, scores, classes), (boxes_now, scores_now, classes_now) in zip(wanted, found):
        difference = max(difference, _score_difference(scores, scores_now))
        people_now = boxes_now[(classes_now == PERSON) & (scores_now >= CERTAIN / 2)]
        for box in boxes[(classes == PERSON) & (scores >= CERTAIN)]:
            overlaps.append(float(iou(box[np.newaxis], people_now).max(initial=0)))
    return {
        "of": "overlap (IoU) with the original's box",
        "min": min(overlaps) if overlaps else None,
        "mean": sum(overlaps) / len(overlaps) if overlaps else None,
        "boxes": len(overlaps),
        "score_difference": difference,
        "pictures": len(wanted),
    }


def _score_difference(scores, others) -> float:
    length = max(len(scores), len(others), 1)
    padded = [np.sort(np.pad(values, (0, length - len(values)))) for values in (scores, others)]
    return float(np.abs(padded[0] - padded[1]).max())


def _in_batches(function, images, batch) -> np.ndarray:
    return np.concatenate([function(images[start : start + batch]) for start in range(0, len(images), batch)])


def _source_note(source) -> dict:
    """What utils/parts.py noted beside a detector that it fetched."""
    try:
        return {"note": json.loads((Path(source).parent / "source.json").read_text())}
    except (OSError, ValueError):
        return {}


@contextlib.contextmanager
def _scratch(target: Path):
    """A temporary folder beside `target`; InputError if that cannot be written, and nothing of it stays."""
    scratch = target.with_name(f".half-frozen-{os.getpid()}-{target.name}")
    try:
        scratch.mkdir(parents=True)
        yield scratch
    except OSError as error:
        raise InputError(f"{target.parent} cannot be written ({error})") from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
