"""Runs SavedModels with TensorFlow: frozen models, with engines of TensorRT or without, and detectors of the zoo."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

from utils.deploy.detections import ZOO_OUTPUTS
from utils.deploy.manifest import MANIFEST, PREPARE, batch_sizes
from utils.deploy.runtime import Net
from utils.device import device_name, enable_memory_growth, gpu_name
from utils.errors import InputError, first_line

SERVING = "serving_default"  # the signature of every frozen model


def load_net(folder, manifest: dict) -> Net:
    """The SavedModel in `folder`; InputError if it was built for another machine or is not what the manifest says."""
    enable_memory_growth()
    check_device(folder, manifest)
    loaded, signature = load_saved_model(folder)
    missing = set(manifest["outputs"]) - set(signature.structured_outputs)
    if manifest["inputs"] != describe_signature(signature)["inputs"] or missing:
        raise InputError(f"{folder} does not hold the model that its {MANIFEST} describes: {PREPARE}")
    [(name, spec)] = manifest["inputs"].items()
    batches = batch_sizes(manifest)
    by_size = {}
    for some in dict(loaded.signatures).values():
        shape = describe_signature(some)["inputs"].get(name, spec)["shape"]
        if shape[1:] == spec["shape"][1:]:
            by_size.update({size: some for size in batches if shape[0] in (size, -1) and size not in by_size})
    if sorted(by_size) != batches:
        raise InputError(f"{folder} does not take the batches that its {MANIFEST} describes: {PREPARE}")

    def run(images):
        found = by_size[len(images)](**{name: tf.constant(images)})
        return {key: found[key].numpy() for key in manifest["outputs"]}

    run.loaded = loaded  # signatures work as long as the object that they were loaded with is kept
    return Net(manifest, batches, run)


def load_zoo_detector(folder) -> Net:
    """A SavedModel with the signature of TensorFlow's detection zoo, without a manifest. InputError for any other.

    run.signature is the function of TensorFlow that it calls.
    """
    loaded, signature = load_saved_model(folder)
    name = detector_input(folder, signature)
    described = describe_signature(signature)
    about = {"inputs": {name: described["inputs"][name]}, "outputs": described["outputs"]}

    def run(images):
        found = signature(**{name: tf.constant(images)})
        return {key: value.numpy() for key, value in found.items()}

    run.loaded = loaded
    run.signature = signature
    return Net(about, [1], run)


def detector_input(folder, signature) -> str:
    """The name of the image input: `inputs` in TF1 exports, `input_tensor` in TF2 exports.

    Names are used because the order differs between exporters. InputError if the model is not a detector.
    """
    missing = [name for name in ZOO_OUTPUTS if name not in signature.structured_outputs]
    if missing:
        raise InputError(f"{folder} is not a detector like those of the zoo: it does not return {', '.join(missing)}")
    inputs = signature.structured_input_signature[1]
    name = next((known for known in ("input_tensor", "inputs") if known in inputs), None)
    if name is None and len(inputs) == 1:
        name = next(iter(inputs))
    if name is None or len(inputs) != 1:
        raise InputError(
            f"{folder} is not a detector like those of the zoo: its inputs are {', '.join(sorted(inputs)) or 'none'}"
        )
    spec = inputs[name]
    if spec.dtype != tf.uint8 or spec.shape.rank != 4 or spec.shape[3] not in (3, None):
        raise InputError(f"{folder} takes {spec.dtype.name} {spec.shape}, not uint8 images (1, height, width, 3)")
    if spec.shape[0] not in (1, None):
        raise InputError(f"{folder} takes {spec.shape[0]} images at once instead of one")
    return name


def check_device(folder, manifest: dict) -> None:
    """InputError for TF-TRT engines that were built for another kind of GPU or another TensorRT."""
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
