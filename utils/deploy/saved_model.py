"""Frozen models on disk: a SavedModel with a manifest.json that says what it is, checked before anything runs on it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import tensorflow as tf

from utils.device import device_name, gpu_name
from utils.errors import InputError, first_line

MANIFEST = "manifest.json"
FORMAT = 1
SERVING, FEW = "serving_default", "few"  # signatures; the second one, for few people, only a re-id net may have
KINDS = {"obj": "detector", "reid": "re-id net"}
# what a manifest must say, and as which type
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
    """The manifest of the frozen model in `folder`; InputError in one sentence if there is none that fits here."""
    folder = Path(folder)
    path = folder / MANIFEST
    if not path.is_file() or not (folder / "saved_model.pb").is_file():
        raise InputError(f"{folder} holds no frozen {KINDS[kind]}: {PREPARE}")
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
        raise InputError(f"{folder} wants {manifest['colour_order']} pictures where RGB ones are fed: {PREPARE}")
    _check_device(folder, manifest)
    return manifest


def _check_device(folder: Path, manifest: dict) -> None:
    """TensorRT's engines run only on the kind of GPU they were built on, in a TensorFlow that knows TensorRT."""
    if manifest["engine"] != "tf-trt":
        return
    if not tf.sysconfig.get_build_info().get("is_tensorrt_build"):
        raise InputError(f"{folder} was built with TensorRT, which the TensorFlow here lacks: {PREPARE}")
    built, here = manifest["built_for"].get("gpu"), gpu_name()
    if built == here:
        built, here = manifest["built_for"].get("device"), device_name()
    if built not in (here, None):
        raise InputError(f"{folder} was built for another device ({built}; here: {here or 'no GPU'}): {PREPARE}")
    built, here = manifest["built_for"].get("tensorrt"), _tensorrt_version()
    if built != here:
        raise InputError(f"{folder} was built for TensorRT {built}, here is {here or 'none'}: {PREPARE}")


def _tensorrt_version():
    """'8.5.2', None where the library is missing: asking for its version then would abort the process."""
    from tensorflow.compiler.tf2tensorrt import _pywrap_py_utils as tensorrt

    if not tensorrt.is_tensorrt_enabled():
        return None
    return ".".join(str(number) for number in tensorrt.get_loaded_tensorrt_version())


def load_frozen(folder, kind: str):
    """(manifest, signature, keep), checked against each other; `keep` must live as long as the signature is used."""
    manifest = read_manifest(folder, kind)
    loaded, signature = load_saved_model(folder)
    expected = {name: (tensor["shape"], tensor["dtype"]) for name, tensor in manifest["inputs"].items()}
    found = {name: (tensor["shape"], tensor["dtype"]) for name, tensor in describe(signature)["inputs"].items()}
    missing = set(manifest["outputs"]) - set(signature.structured_outputs)
    if expected != found or missing:
        raise InputError(f"{folder} does not hold the model that its {MANIFEST} describes: {PREPARE}")
    return manifest, signature, loaded


def load_saved_model(folder):
    """(loaded, signature) of any SavedModel; InputError if it cannot be loaded or offers nothing to call."""
    if not (Path(folder) / "saved_model.pb").is_file():
        raise InputError(f"{folder} is not a SavedModel: there is no saved_model.pb in it")
    try:
        loaded = tf.saved_model.load(str(folder))
    except Exception as error:  # TensorFlow raises a dozen kinds for a damaged, foreign or newer model
        raise InputError(f"{folder} cannot be loaded by TensorFlow {tf.__version__} ({first_line(error)})") from None
    signatures = dict(loaded.signatures)
    signature = signatures.get(SERVING) or (next(iter(signatures.values())) if len(signatures) == 1 else None)
    if signature is None:
        raise InputError(f"{folder} has no signature '{SERVING}'")
    return loaded, signature


def describe(signature) -> dict:
    """{"inputs": {name: {"shape", "dtype"}}, "outputs": the same}; -1 is a size that is free."""

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
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")


def swap_in(whole: Path, target: Path) -> None:
    """Puts the finished folder `whole` in the place of `target`; at no moment is a half-written one there."""
    old = target.with_name(f".old-{os.getpid()}-{target.name}")
    if target.exists():
        os.replace(target, old)
    try:
        os.replace(whole, target)
    except OSError:
        if old.exists():
            os.replace(old, target)  # the good one goes back
        raise
    shutil.rmtree(old, ignore_errors=True)
