"""Exports the re-id net and the detector to ONNX, for machines without TensorFlow: TensorRT alone, or onnxruntime.

A step for the desktop; it needs the extra packages tf2onnx and onnxruntime. Each folder holds model.onnx, a manifest
with which demo.py can run it in onnxruntime, and check.npz for measuring it elsewhere. The input is float32 RGB of
0..255, because TensorRT accepts uint8 only from version 8.5 on.
"""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path

import numpy as np
import tensorflow as tf

from utils.checkpoint import DATA_SUFFIX, load_embedding_net, stored_threshold, strip_suffix
from utils.deploy import check
from utils.deploy.board import HALF
from utils.deploy.cut import NotCut, cut_detector
from utils.deploy.detector import Detector, resize_as_zoo
from utils.deploy.freeze import in_batches, rgb_net, source_note
from utils.deploy.manifest import FORMAT, MODEL_FILES, usual_batches, write_manifest
from utils.deploy.parity import CERTAIN
from utils.device import is_jetson
from utils.errors import InputError, first_line
from utils.files import atomic_folder, digest

EXTRAS = ("tf2onnx", "onnxruntime")
OPSET = 13  # TensorRT 8.0 reads it
MIN_PARITY = 0.9999  # lowest cosine; ONNX computes in FP32 as TensorFlow does


def check_extras() -> None:
    """InputError on a Jetson, or if one of EXTRAS is missing."""
    if is_jetson():
        raise InputError(
            "--onnx is a step for the desktop: tf2onnx brings newer protobuf and ml_dtypes packages with which"
            " NVIDIA's TensorFlow does not start; run it there, copy models/frozen/onnx here, and run python3"
            " pipeline.py models/frozen/onnx"
        )
    missing = [name for name in EXTRAS if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f"--onnx needs {' and '.join(missing)}: pip install {' '.join(EXTRAS)}")


def export_reid(prefix, target, images, images_from, batch=8, image_size=None) -> dict:
    """Writes the checkpoint `prefix` to `target`: `images` float32 (B, H, W, 3) -> `embeddings` (B, E), any B.

    images, batch, image_size: as in freeze_reid; images_from: a description of the images. Returns the manifest.
    InputError if the extra packages are missing or fail, or if onnxruntime does not agree with TensorFlow: `target`
    then stays as it was.
    """
    check_extras()
    net, args = load_embedding_net(prefix, image_size)
    size = [int(side) for side in args["image_size"]]
    compared = images(tuple(size))  # (N, H, W, 3) uint8
    wanted = in_batches(lambda some: net(some, training=False).numpy(), compared, batch)  # (N, E)
    embed = rgb_net(net)

    @tf.function(input_signature=[tf.TensorSpec([None, *size, 3], tf.float32, name="images")])
    def serve(images):
        return {"embeddings": embed(images)}

    about = {
        "kind": "reid",
        "source": {
            "checkpoint": strip_suffix(prefix),
            "sha256": digest(f"{strip_suffix(prefix)}{DATA_SUFFIX}"),
        },
        "image_size": size,
        "batches": usual_batches(batch),
        "inputs": {"images": {"shape": [-1, *size, 3], "dtype": "float32"}},
        "outputs": {"embeddings": {"shape": [-1, int(wanted.shape[1])], "dtype": "float32"}},
        **stored_threshold(strip_suffix(prefix), args),
    }
    return _write(target, serve, about, images_from, lambda folder: check.write_embeddings(folder, compared, wanted))


def export_detector(source, target, frames, images_from, person_class) -> dict:
    """Writes the SavedModel `source` of the zoo to `target`, cut before its suppression.

    frames, person_class: as in freeze_detector. Returns the manifest; InputError as in export_reid, or if the detector
    cannot be cut.
    """
    check_extras()
    original = Detector(source, CERTAIN, frozen=False, person_class=person_class)
    wanted = [original.find(frame, CERTAIN) for frame in frames]
    try:
        cut = cut_detector(
            original.net.run.signature, [original.as_input(frame) for frame in frames], wanted, person_class
        )
    except NotCut as error:
        raise InputError(f"{source} cannot be exported to ONNX: {error}; an SSD of the zoo can") from None
    inputs = {"images": {"shape": [1, *cut.size, 3], "dtype": "float32"}}
    about = {
        "kind": "obj",
        "source": {"saved_model": str(source), **source_note(source)},
        "form": "anchors",
        "image_size": cut.size,
        "batches": [1],
        "inputs": inputs,
        "outputs": {
            name: {"shape": spec.shape.as_list(), "dtype": "float32"}
            for name, spec in cut.function.structured_outputs.items()
        },
    }
    resized = np.stack([resize_as_zoo(frame, cut.size)[..., ::-1] for frame in frames])

    @tf.function(input_signature=[tf.TensorSpec([1, *cut.size, 3], tf.float32, name="images")])
    def serve(images):
        return cut.detect(images)

    return _write(target, serve, about, images_from, lambda folder: check.write_people(folder, resized, wanted))


def _write(target, function, about: dict, images_from, write_check) -> dict:
    """Writes the model, its manifest and its check to `target`, and measures it in onnxruntime."""
    kind = about["kind"]
    with atomic_folder(target) as folder:
        _convert(function, folder / MODEL_FILES["onnxruntime"])
        _convert_to_half(folder)
        manifest = {
            "format": FORMAT,
            **about,
            "colour_order": "RGB",
            "engine": "onnxruntime",
            "precision": "FP32",
            "opset": OPSET,
            "built_for": {},
        }
        write_manifest(folder, manifest)
        write_check(folder)
        parity = check.measure(folder, kind, folder / check.CHECK)
        bound = check.require(parity, kind, MIN_PARITY, "; nothing was replaced")
        manifest["parity"] = {**parity, "bound": bound, "images_from": images_from}
        write_manifest(folder, manifest)
    return manifest


def _convert(function, path: Path) -> None:
    try:
        import tf2onnx

        logging.getLogger("tf2onnx").setLevel(logging.ERROR)
        tf2onnx.convert.from_function(
            function, input_signature=function.input_signature, opset=OPSET, output_path=str(path)
        )
    except Exception as error:  # tf2onnx raises anything, depending on the versions of TensorFlow, numpy and protobuf
        raise InputError(
            f"tf2onnx cannot convert the net with TensorFlow {tf.__version__} and numpy {np.__version__}"
            f" ({type(error).__name__}: {first_line(error)}): pip install -U {' '.join(EXTRAS)}, or try another machine"
        ) from None


def _convert_to_half(folder: Path) -> None:
    """Writes the model with weights in FP16 and inputs and outputs in FP32 beside it, for TensorRT 11.

    Earlier versions are told the precision while they build; that one takes it from the file.
    """
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    model = onnx.load(str(folder / MODEL_FILES["onnxruntime"]))
    onnx.save(convert_float_to_float16(model, keep_io_types=True), str(folder / HALF))
