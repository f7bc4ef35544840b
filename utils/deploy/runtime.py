"""Loads a frozen model with the engine that its manifest names; only that engine's package is imported.

tf-trt, tensorflow   a SavedModel in TensorFlow, with or without engines of TensorRT
tensorrt             a plan in TensorRT's own Python module
onnxruntime          an ONNX file in onnxruntime
"""

from __future__ import annotations

import importlib
from typing import Callable, NamedTuple

import numpy as np

from utils.deploy.manifest import read_manifest
from utils.errors import InputError

# The module with `load_net` for each engine, and what provides the package that it needs.
BACK_ENDS = {
    "tf-trt": "utils.deploy.saved_model",
    "tensorflow": "utils.deploy.saved_model",
    "tensorrt": "utils.deploy.tensorrt_plan",
    "onnxruntime": "utils.deploy.onnx_runtime",
}
PACKAGES = {
    "tensorflow": "install TensorFlow (bash setup.sh; on a Jetson NVIDIA's wheel)",
    "tensorrt": "install JetPack's python3-libnvinfer",
    "onnxruntime": "pip install onnxruntime",
}


class Net(NamedTuple):
    """A model that is ready to run.

    manifest: its description. batches: the numbers of images that run takes, ascending. run: (B, H, W, 3) uint8 RGB ->
    {name of the output: array}.
    """

    manifest: dict
    batches: list
    run: Callable


def load(folder, kind: str) -> Net:
    """The frozen model in `folder`; kind is 'obj' or 'reid'. InputError if it does not fit this machine."""
    manifest = read_manifest(folder, kind)
    engine = manifest["engine"]
    try:
        back_end = importlib.import_module(BACK_ENDS[engine])
        return back_end.load_net(folder, manifest)
    except ModuleNotFoundError as error:
        if error.name not in PACKAGES:
            raise
        raise InputError(
            f"{folder} runs in {engine}, but {error.name} cannot be imported here: {PACKAGES[error.name]}, or freeze"
            " the model for this machine with python3 pipeline.py"
        ) from None


def as_tensor(images: np.ndarray, spec: dict, preprocessing: dict) -> np.ndarray:
    """(B, H, W, 3) uint8 RGB -> the input tensor of a net, contiguous.

    spec: {"shape", "dtype"} of the input. preprocessing: {} for RGB of 0..255 as they are, (B, H, W, 3); else
    {"layout": "NHWC" or "NCHW", "channels": "RGB" or "BGR", "mean": 3 numbers, "scale": 3 numbers}: the tensor is
    (pixels - mean) * scale, with mean and scale in the order of the channels of the net.
    """
    if preprocessing.get("channels") == "BGR":
        images = images[..., ::-1]
    tensor = images.astype(spec["dtype"])
    if "mean" in preprocessing:
        tensor -= np.asarray(preprocessing["mean"], tensor.dtype)
        tensor *= np.asarray(preprocessing["scale"], tensor.dtype)
    if preprocessing.get("layout") == "NCHW":
        tensor = tensor.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(tensor)
