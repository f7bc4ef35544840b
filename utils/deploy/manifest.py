"""The manifest.json of a frozen model: describes it, and is checked before the model runs. Needs no TensorFlow."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from utils.errors import InputError
from utils.files import digest, write_json
from utils.json_files import each, mapping, number, one_of, optional, read_json, several, text, whole

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
TENSORS = each(mapping({"shape": several(whole(-1)), "dtype": text}, needed=("shape", "dtype")))
NEEDED = ("format", "kind", "inputs", "outputs", "colour_order", "engine", "precision", "built_for")
# What a manifest may hold, as far as it is read; see utils/json_files.py.
FIELDS = {
    "format": one_of(FORMAT),
    "kind": text,
    "inputs": TENSORS,
    "outputs": TENSORS,
    "colour_order": text,
    "engine": one_of(*MODEL_FILES),
    "precision": text,
    "built_for": each(optional(text)),
    "image_size": optional(several(whole(1, 2**16), lengths=(2,))),
    "batches": several(whole(1, 2**16), lengths=range(1, 100)),
    "batch": optional(whole(1, 2**16)),
    "small_batch": optional(whole(1, 2**16)),
    "person_class": whole(0),
    "form": text,
    "threshold": optional(number(-1, 1)),
    "threshold_from": text,
    "source": mapping({"checkpoint": text, "saved_model": text, "sha256": text}),
    "preprocessing": mapping(
        {
            "layout": one_of("NHWC", "NCHW"),
            "channels": one_of("RGB", "BGR"),
            "mean": several(number(-1e6, 1e6), lengths=(3,)),
            "scale": several(number(-1e6, 1e6), lengths=(3,)),
        }
    ),
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
    manifest = read_json(path, FIELDS, PREPARE, NEEDED, "is not a manifest of this version")
    if len(manifest["inputs"]) != 1 or not manifest["outputs"]:
        raise InputError(
            f"{path} is not a manifest of this version (a model has one input and some outputs): {PREPARE}"
        )
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


def fingerprint(folder, manifest: dict) -> str:
    """What frozen re-id nets have in common if their embeddings can be compared: 16 hexadecimal digits.

    It depends on the weights, the image size and the preprocessing, but not on the engine or its precision. A manifest
    of an earlier version does not tell the weights: the file of the model counts then.
    """
    weights = manifest.get("source", {}).get("sha256") or digest(Path(folder) / MODEL_FILES[manifest["engine"]])
    about = [weights, manifest.get("image_size"), manifest.get("preprocessing")]
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]


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
