"""Takes published networks in ONNX: a re-id net or a detector in one file, with what has to be known to run it.

The folder is as --onnx writes our own: model.onnx, a manifest, and check.npz with what the model returns in float32 in
onnxruntime, which this needs. Input size and layout are read from the file.
"""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import numpy as np

from utils.deploy import check
from utils.deploy.detections import STRIDES, boxes_and_logits
from utils.deploy.detector import Detector
from utils.deploy.manifest import FORMAT, MODEL_FILES, usual_batches, write_manifest
from utils.deploy.parity import CERTAIN
from utils.deploy.pixels import REID_PIXELS, as_pixels
from utils.deploy.reid_net import Embedder
from utils.deploy.runtime import load
from utils.errors import InputError
from utils.files import atomic_folder, digest

PERSON_OF = {1: 0, 80: 0, 91: 1}  # the class of a person by the number of classes: of people alone, COCO's two forms
DETECTOR_PIXELS = {"yolo": "bgr", "yolox": "bgr", "detr": "imagenet"}  # YOLOX, RF-DETR


def take_reid(path, target, pixels, images, images_from, batch=8) -> dict:
    """Writes the re-id net in the ONNX file `path` to the folder `target`; returns its manifest.

    pixels: as pixels.as_pixels returns, None for ImageNet's. images, images_from, batch: as in export_reid. InputError
    if the file is no such net; `target` then stays as it was.
    """
    about, found = describe_file(path)
    size, layout = image_size(path, about["inputs"])
    vectors = [
        name
        for name, spec in about["outputs"].items()
        if len(spec["shape"]) in (2, 4) and spec["shape"][1] > 0 and set(spec["shape"][2:]) <= {1}
    ]
    if len(vectors) != 1:
        raise InputError(f"{path} does not return one vector per image: its outputs are {found}")
    [spec] = about["inputs"].values()
    fixed = spec["shape"][0]
    manifest = {
        **about,
        "kind": "reid",
        "image_size": size,
        "batches": [fixed] if fixed > 0 else usual_batches(batch),
        "embedding_output": vectors[0],
        "preprocessing": {"layout": layout, **(pixels or as_pixels(REID_PIXELS))},
    }
    manifest["outputs"] = {vectors[0]: about["outputs"][vectors[0]]}
    compared = images(tuple(size))  # (N, H, W, 3) uint8
    with atomic_folder(target) as folder:
        shutil.copyfile(path, folder / MODEL_FILES["onnxruntime"])
        write_manifest(folder, manifest)
        embedder = Embedder(folder)
        embeddings = embedder.embed_by(embedder.batches[0], compared)
        if not np.isfinite(embeddings).all() or not np.any(embeddings, axis=1).all():
            raise InputError(f"{path} returns vectors that are zero or not numbers: name its pixels with --reid_pixels")
        check.write_embeddings(folder, compared, embeddings)
        parity = check.measure(folder, "reid", folder / check.CHECK)
        manifest["parity"] = {**parity, "images_from": images_from}
        write_manifest(folder, manifest)
    return manifest


def take_detector(path, target, pixels, person_class, frames, images_from) -> dict:
    """Writes the detector in the ONNX file `path` to the folder `target`; returns its manifest.

    pixels: as in take_reid, None for what its form usually takes. person_class: from 0, None if it is to be told from
    the number of classes. frames: list of (H, W, 3) uint8 BGR to try it on. InputError as in take_reid.
    """
    about, found = describe_file(path)
    size, layout = image_size(path, about["inputs"])
    [spec] = about["inputs"].values()
    if spec["shape"][0] not in (1, -1):
        raise InputError(f"{path} takes {spec['shape'][0]} frames at once: export it for one")
    spec["shape"][0] = 1
    manifest = {**about, "kind": "obj", "image_size": size, "batches": [1], "preprocessing": {"layout": layout}}
    with atomic_folder(target) as folder:
        shutil.copyfile(path, folder / MODEL_FILES["onnxruntime"])
        write_manifest(folder, manifest)
        outputs = load(folder, "obj").run(np.full((1, *size, 3), 128, np.uint8))
        manifest["form"], classes = detector_form(path, outputs, size, found)
        manifest["person_class"] = find_person_class(path, classes, person_class)
        manifest["preprocessing"].update(pixels or as_pixels(DETECTOR_PIXELS[manifest["form"]]))
        write_manifest(folder, manifest)
        detector = Detector(folder)
        resized = [detector.as_input(frame) for frame in frames]
        people = [detector.find(image[0, ..., ::-1], CERTAIN) for image in resized]
        check.write_people(folder, np.concatenate(resized), people)
        parity = check.measure(folder, "obj", folder / check.CHECK)
        manifest["parity"] = {**parity, "images_from": images_from}
        write_manifest(folder, manifest)
    return manifest


def describe_file(path):
    """(the beginning of the manifest of an ONNX file, its outputs in words)."""
    if not Path(path).is_file():
        raise InputError(f"there is no file {path}: name a network in ONNX")
    if importlib.util.find_spec("onnxruntime") is None:
        raise InputError(
            f"{path} is read with onnxruntime, which is missing: pip install onnxruntime, or run this on a desktop and"
            " copy models/frozen/onnx here"
        )
    from utils.deploy.onnx_runtime import describe

    tensors = describe(path)
    about = {
        "format": FORMAT,
        "source": {"onnx": str(path), "sha256": digest(path)},
        **tensors,
        "colour_order": "RGB",
        "engine": "onnxruntime",
        "precision": "FP32",
        "built_for": {},
    }
    return about, ", ".join(f"{name} {spec['shape']}" for name, spec in tensors["outputs"].items())


def image_size(path, inputs: dict):
    """([H, W], layout "NCHW" or "NHWC") of the only input; InputError if it does not take images of one size."""
    described = ", ".join(f"{name} {spec['dtype']} {spec['shape']}" for name, spec in inputs.items())
    if len(inputs) == 1:
        [spec] = inputs.values()
        shape = spec["shape"]
        if len(shape) == 4 and spec["dtype"] in ("float32", "uint8"):
            for layout, channels, size in (("NCHW", shape[1], shape[2:]), ("NHWC", shape[3], shape[1:3])):
                if channels == 3 and min(size) > 0:
                    return size, layout
    raise InputError(f"{path} does not take images of one size ({described}): export it with height and width fixed")


def detector_form(path, outputs: dict, size, found: str):
    """(form, number of classes) from the outputs for one frame; see detections.py."""
    shapes = [array.shape for array in outputs.values()]
    if len(shapes) == 1 and len(shapes[0]) == 3 and shapes[0][2] > 5:
        [array] = outputs.values()
        # The centre of the last anchor is in the lower right corner, or within its own cell.
        if np.abs(array[0, :, :2]).max() > max(size) / 2:
            return "yolo", array.shape[2] - 5
        if array.shape[1] == sum((size[0] // stride) * (size[1] // stride) for stride in STRIDES):
            return "yolox", array.shape[2] - 5
    if len(shapes) == 2 and all(len(shape) == 3 for shape in shapes):
        boxes, logits = boxes_and_logits(outputs)
        if boxes.shape[2] == 4 and boxes.shape[1] == logits.shape[1]:
            return "detr", logits.shape[2]
    raise InputError(
        f"{path} is no detector of a known form: it returns {found}, not (1, boxes, 5 + classes) as YOLOX or"
        " (1, boxes, 4) and (1, boxes, classes) as RF-DETR and D-FINE"
    )


def find_person_class(path, classes: int, wanted) -> int:
    """The column of a person among the classes, from 0."""
    if wanted is None:
        wanted = PERSON_OF.get(classes)
    if wanted is None or wanted >= classes:
        raise InputError(f"{path} has {classes} classes: name that of a person with --person_class, from 0")
    return wanted
