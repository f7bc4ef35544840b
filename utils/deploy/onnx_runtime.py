"""Runs frozen models in ONNX with onnxruntime: on the CPU, or on the GPU where this build of onnxruntime can."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime

from utils.deploy.manifest import MODEL_FILES, batch_sizes
from utils.deploy.runtime import Net, as_tensor
from utils.errors import InputError, first_line

PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")  # the first that runs is taken


def load_net(folder, manifest: dict) -> Net:
    """The model.onnx in `folder`; InputError if it cannot be loaded, or has other tensors than the manifest says."""
    path = Path(folder) / MODEL_FILES["onnxruntime"]
    [(name, spec)] = manifest["inputs"].items()
    preprocessing = manifest.get("preprocessing", {})
    batches = batch_sizes(manifest)
    outputs = list(manifest["outputs"])
    session = open_session(path, {name: _example(spec, batches[0])}, outputs)

    def run(images):
        found = session.run(outputs, {name: as_tensor(images, spec, preprocessing)})
        return dict(zip(outputs, found))

    return Net(manifest, batches, run)


def open_session(path, feeds: dict, outputs):
    """A session on the first of PROVIDERS that runs the model; a provider may be listed and still not work.

    feeds: {name: example of the input}; outputs: the names to ask for. InputError if not even the CPU runs it.
    """
    failure = None
    for provider in PROVIDERS:
        if provider not in onnxruntime.get_available_providers():
            continue
        try:
            options = onnxruntime.SessionOptions()
            options.log_severity_level = 3  # errors; a GPU that cannot be used is tried and reported here
            session = onnxruntime.InferenceSession(str(path), options, providers=[provider])
            session.run(outputs, feeds)
            return session
        except Exception as error:  # onnxruntime raises a dozen kinds
            failure = error
    raise InputError(f"{path} cannot be run by onnxruntime {onnxruntime.__version__} ({first_line(failure)})")


def describe(path) -> dict:
    """{"inputs": {name: {"shape", "dtype"}}, "outputs": the same} of an ONNX file; -1 for a size that is not fixed."""
    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:
        raise InputError(f"{path} is not an ONNX model that onnxruntime can read ({first_line(error)})") from None
    kinds = {"tensor(float)": "float32", "tensor(uint8)": "uint8", "tensor(float16)": "float16"}

    def tensors(found):
        return {
            tensor.name: {
                "shape": [size if isinstance(size, int) else -1 for size in tensor.shape],
                "dtype": kinds.get(tensor.type, tensor.type),
            }
            for tensor in found
        }

    return {"inputs": tensors(session.get_inputs()), "outputs": tensors(session.get_outputs())}


def _example(spec: dict, batch: int) -> np.ndarray:
    """An input of zeros with the given batch size."""
    return np.zeros([batch, *spec["shape"][1:]], spec["dtype"])
