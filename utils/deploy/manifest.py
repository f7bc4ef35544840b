"""The manifest.json of a frozen model: describes it, and is checked before the model runs. Needs no TensorFlow."""

from __future__ import annotations

import json
from pathlib import Path

from utils.errors import InputError
from utils.files import write_json

MANIFEST = "manifest.json"
FORMAT = 1
KINDS = {"obj": "detector", "reid": "re-id net"}
# The file of the model in its folder, by the engine that runs it.
MODEL_FILES = {
    "tf-trt": "saved_model.pb",
    "tensorflow": "saved_model.pb",
    "tensorrt": "model.plan",
    "onnxruntime": "model.onnx",
}
# The keys that a manifest must have, and their types.
FIELDS = {
    "kind": str,
    "inputs": dict,
    "outputs": dict,
    "colour_order": str,
    "engine": str,
    "precision": str,
    "built_for": dict,
}
SMALL_BATCHES = (1, 2)  # most frames of most cameras show one or two people
PREPARE = "run python3 pipeline.py here"
PUBLISHED = "models/downloads/reid/person_reid_youtu_2021nov.onnx"
# What else helps if there is no model at all.
WITHOUT_OWN = {
    "obj": "",
    "reid": f", or without a model of your own: bash setup.sh reid, then python3 pipeline.py --reid_onnx {PUBLISHED}",
}


def read_manifest(folder, kind: str) -> dict:
    """The manifest of the frozen model in `folder`; InputError if there is none or it describes something else.

    kind: 'obj' or 'reid'.
    """
    folder = Path(folder)
    path = folder / MANIFEST
    if not path.is_file():
        raise InputError(f"{folder} does not hold a frozen {KINDS[kind]}: {PREPARE}{WITHOUT_OWN[kind]}")
    try:
        manifest = json.loads(path.read_text())
        wrong = [name for name, kind_of in FIELDS.items() if not isinstance(manifest[name], kind_of)]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is not a manifest of this version ({error}): {PREPARE}") from None
    if wrong or manifest.get("format") != FORMAT or manifest["engine"] not in MODEL_FILES:
        raise InputError(f"{path} is not a manifest of this version: {PREPARE}")
    if manifest["kind"] != kind:
        raise InputError(
            f"{folder} is a frozen {KINDS.get(manifest['kind'], manifest['kind'])}, not a {KINDS[kind]}: {PREPARE}"
        )
    if manifest["colour_order"] != "RGB":
        raise InputError(f"{folder} takes {manifest['colour_order']} images, but this version passes RGB: {PREPARE}")
    model = folder / MODEL_FILES[manifest["engine"]]
    if not model.is_file():
        raise InputError(f"{folder} does not hold a frozen {KINDS[kind]}: {model.name} is missing; {PREPARE}")
    return manifest


def batch_sizes(manifest: dict) -> list:
    """The numbers of images that the model takes at once, ascending. Older manifests name one or two of them."""
    sizes = manifest.get("batches") or [manifest.get("batch", 1), manifest.get("small_batch")]
    return sorted({int(size) for size in sizes if size})


def usual_batches(largest: int) -> list:
    """The batch sizes of a re-id net, ascending: one and two people, and the largest."""
    return sorted({largest, *(size for size in SMALL_BATCHES if size < largest)})


def write_manifest(folder, manifest: dict) -> None:
    """Writes manifest.json into the folder of a frozen model."""
    write_json(Path(folder) / MANIFEST, manifest)
