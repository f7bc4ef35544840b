"""Frozen models on disk: a SavedModel with a manifest.json that describes it and is checked before the model runs."""

from __future__ import annotations

import json
from pathlib import Path

import tensorflow as tf

from utils.device import device_name, gpu_name
from utils.errors import InputError, first_line
from utils.files import write_json

MANIFEST = "manifest.json"
FORMAT = 1
SERVING = "serving_default"  # the signature of every frozen model
SMALL_BATCH = "small_batch"  # a second signature of re-id nets, and the key of its batch size in the manifest
KINDS = {"obj": "detector", "reid": "re-id net"}
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
PREPARE = "run python3 pipeline.py here"


def read_manifest(folder, kind: str) -> dict:
    """The manifest of the frozen model in `folder`; InputError if there is none, or if it does not fit this machine."""
    folder = Path(folder)
    path = folder / MANIFEST
    if not path.is_file() or not (folder / "saved_model.pb").is_file():
        raise InputError(f"{folder} does not hold a frozen {KINDS[kind]}: {PREPARE}")
    try:
        manifest = json.loads(path.read_text())
        wrong = [name for name, kind_of in FIELDS.items() if not isinstance(manifest[name], kind_of)]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is not a manifest of this version ({error}): {PREPARE}") from None
    if wrong or manifest.get("format") != FORMAT:
        raise InputError(f"{path} is not a manifest of this version: {PREPARE}")
    if manifest["kind"] != kind:
        raise InputError(
            f"{folder} is a frozen {KINDS.get(manifest['kind'], manifest['kind'])}, not a {KINDS[kind]}: {PREPARE}"
        )
    if manifest["colour_order"] != "RGB":
        raise InputError(f"{folder} takes {manifest['colour_order']} images, but this version passes RGB: {PREPARE}")
    _check_device(folder, manifest)
    return manifest


def _check_device(folder: Path, manifest: dict) -> None:
    """InputError for TensorRT engines that were built for another kind of GPU or another TensorRT."""
    if manifest["engine"] != "tf-trt":
        return
    if not tf.sysconfig.get_build_info().get("is_tensorrt_build"):
        raise InputError(f"{folder} was built with TensorRT, which this TensorFlow does not have: {PREPARE}")
    built_for = manifest["built_for"]
    for built, here in ((built_for.get("gpu"), gpu_name()), (built_for.get("device"), device_name())):
        if built not in (here, None):
            raise InputError(f"{folder} was built for another device ({built}; here: {here or 'no GPU'}): {PREPARE}")
    built = built_for.get("tensorrt")
    here = _tensorrt_version()
    if built != here:
        raise InputError(f"{folder} was built for TensorRT {built}, but this machine has {here or 'none'}: {PREPARE}")


def _tensorrt_version():
    """'8.5.2', or None if the library is missing: asking it for its version would then abort the process."""
    from tensorflow.compiler.tf2tensorrt import _pywrap_py_utils as tensorrt

    if not tensorrt.is_tensorrt_enabled():
        return None
    return ".".join(str(number) for number in tensorrt.get_loaded_tensorrt_version())


def load_frozen(folder, kind: str):
    """(manifest, signature, loaded), checked against each other; keep `loaded` as long as the signature is used."""
    manifest = read_manifest(folder, kind)
    loaded, signature = load_saved_model(folder)
    expected = {name: (tensor["shape"], tensor["dtype"]) for name, tensor in manifest["inputs"].items()}
    found = {
        name: (tensor["shape"], tensor["dtype"]) for name, tensor in describe_signature(signature)["inputs"].items()
    }
    missing = set(manifest["outputs"]) - set(signature.structured_outputs)
    if expected != found or missing:
        raise InputError(f"{folder} does not hold the model that its {MANIFEST} describes: {PREPARE}")
    return manifest, signature, loaded


def load_saved_model(folder):
    """(loaded, signature) of any SavedModel; InputError if it cannot be loaded or has no signature to call."""
    if not (Path(folder) / "saved_model.pb").is_file():
        raise InputError(f"{folder} is not a SavedModel: it contains no saved_model.pb")
    try:
        loaded = tf.saved_model.load(str(folder))
    except Exception as error:  # TensorFlow raises a dozen kinds for a damaged, foreign or newer model
        raise InputError(f"{folder} cannot be loaded by TensorFlow {tf.__version__} ({first_line(error)})") from None
    signatures = dict(loaded.signatures)
    signature = signatures.get(SERVING) or (next(iter(signatures.values())) if len(signatures) == 1 else None)
    if signature is None:
        raise InputError(f"{folder} has no signature '{SERVING}'")
    return loaded, signature


def describe_signature(signature) -> dict:
    """{"inputs": {name: {"shape", "dtype"}}, "outputs": the same}; -1 stands for a size that is not fixed."""

    def tensors(specs):
        return {
            name: {"shape": [-1 if size is None else size for size in spec.shape.as_list()], "dtype": spec.dtype.name}
            for name, spec in specs.items()
        }

    return {
        "inputs": tensors(signature.structured_input_signature[1]),
        "outputs": tensors(signature.structured_outputs),
    }


def write_manifest(folder: Path, manifest: dict) -> None:
    """Writes manifest.json into the folder of a frozen model."""
    write_json(Path(folder) / MANIFEST, manifest)
