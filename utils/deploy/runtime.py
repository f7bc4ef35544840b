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
from utils.errors import InputError, first_line

# For each engine: the module with `load_net`, the package that it imports, and where that one comes from.
TENSORFLOW = ("utils.deploy.saved_model", "tensorflow", "bash setup.sh, on a Jetson install NVIDIA's wheel")
BACK_ENDS = {
    "tf-trt": TENSORFLOW,
    "tensorflow": TENSORFLOW,
    "tensorrt": ("utils.deploy.tensorrt_plan", "tensorrt", "install JetPack's python3-libnvinfer"),
    "onnxruntime": ("utils.deploy.onnx_runtime", "onnxruntime", "pip install onnxruntime"),
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
    module, package, remedy = BACK_ENDS[engine]
    try:
        return importlib.import_module(module).load_net(folder, manifest)
    except ImportError as error:
        if (error.name or package).split(".")[0] == "utils":
            raise
        raise InputError(
            f"{folder} runs in {engine}, but {package} cannot be imported here ({first_line(error)}): {remedy}, or"
            " freeze the model for this machine with python3 pipeline.py"
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
