"""Runs frozen models that are plans of TensorRT, with the Python module that JetPack brings: 8.5 to 11."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorrt

from utils.deploy.cuda import Cuda
from utils.deploy.manifest import MANIFEST, MODEL_FILES, PREPARE, batch_sizes
from utils.deploy.runtime import Net, as_tensor
from utils.device import device_name
from utils.errors import InputError

# By the names of tensorrt.DataType; tensorrt.nptype of version 8.5 fails with numpy 1.24 and later.
DTYPES = {"FLOAT": "float32", "HALF": "float16", "INT32": "int32", "INT64": "int64", "UINT8": "uint8", "BOOL": "bool"}


def load_net(folder, manifest: dict) -> Net:
    """The model.plan in `folder`; InputError if it was built for another machine or is not what the manifest says."""
    check_device(folder, manifest)
    path = Path(folder) / MODEL_FILES["tensorrt"]
    plan = Plan(path.read_bytes(), batch_sizes(manifest))
    if plan.input not in manifest["inputs"] or set(manifest["outputs"]) - set(plan.outputs):
        raise InputError(f"{folder} does not hold the model that its {MANIFEST} describes: {PREPARE}")
    preprocessing = manifest.get("preprocessing", {})
    spec = {"dtype": plan.input_dtype}

    def run(images):
        return plan.run(as_tensor(images, spec, preprocessing))

    return Net(manifest, plan.batches, run)


def check_device(folder, manifest: dict) -> None:
    """InputError for a plan of another TensorRT or another board: it would not load, or run wrongly."""
    built_for = manifest["built_for"]
    if built_for.get("tensorrt") != tensorrt.__version__:
        raise InputError(
            f"{folder} was built for TensorRT {built_for.get('tensorrt')}, but this machine has"
            f" {tensorrt.__version__}: {PREPARE}"
        )
    if built_for.get("device") != device_name():
        raise InputError(
            f"{folder} was built for another device ({built_for.get('device')}; here: {device_name()}): {PREPARE}"
        )


class Plan:
    """A plan with one input, ready to run.

    batches: the batch sizes that it takes. input, input_dtype: the name of its input and what it takes. outputs: the
    names of its outputs.
    """

    def __init__(self, content: bytes, batches: list):
        """batches: the batch size of each optimisation profile, ascending. InputError if TensorRT refuses the plan."""
        self._cuda = Cuda()
        self._logger = tensorrt.Logger(tensorrt.Logger.ERROR)
        self._runtime = tensorrt.Runtime(self._logger)
        self._engine = self._runtime.deserialize_cuda_engine(content)
        if self._engine is None:
            raise InputError(f"TensorRT {tensorrt.__version__} cannot load this plan: {PREPARE}")
        if self._engine.num_optimization_profiles != len(batches):
            raise InputError(f"this plan takes other batches than its {MANIFEST} describes: {PREPARE}")
        names = [self._engine.get_tensor_name(number) for number in range(self._engine.num_io_tensors)]
        inputs = [name for name in names if self._engine.get_tensor_mode(name) == tensorrt.TensorIOMode.INPUT]
        if len(inputs) != 1:
            raise InputError(f"this plan has {len(inputs)} inputs instead of one: {PREPARE}")
        self.input = inputs[0]
        self.outputs = [name for name in names if name != self.input]
        self.input_dtype = self._dtype(self.input)
        self.batches = batches
        shape = list(self._engine.get_tensor_shape(self.input))
        self._addresses = {}
        self._contexts = {}
        # The largest batch comes first: the buffers that it needs serve the others too.
        for profile, batch in sorted(enumerate(batches), key=lambda pair: -pair[1]):
            self._contexts[batch] = self._context(profile, [batch, *shape[1:]])

    def run(self, tensor: np.ndarray) -> dict:
        """The input (B, ...) with B one of batches, contiguous -> {name: output}."""
        context, outputs = self._contexts[len(tensor)]
        self._cuda.upload(self._addresses[self.input], tensor)
        if not context.execute_async_v3(self._cuda.stream):
            raise InputError(f"TensorRT {tensorrt.__version__} failed while it ran the model: {PREPARE}")
        found = {name: np.empty(shape, self._dtype(name)) for name, shape in outputs.items()}
        for name, array in found.items():
            self._cuda.download(array, self._addresses[name])
        self._cuda.wait()
        return found

    def _context(self, profile: int, shape: list):
        """(a context for this shape of the input, {output: its shape})."""
        context = self._engine.create_execution_context()
        chosen = True
        if self._engine.num_optimization_profiles > 1:
            chosen = context.set_optimization_profile_async(profile, self._cuda.stream)
            self._cuda.wait()
        if not chosen or not context.set_input_shape(self.input, tuple(shape)):
            raise InputError(f"this plan does not take an input of {shape}: {PREPARE}")
        outputs = {name: list(context.get_tensor_shape(name)) for name in self.outputs}
        for name, size in {self.input: shape, **outputs}.items():
            if name not in self._addresses:
                count = int(np.prod(size)) * np.dtype(self._dtype(name)).itemsize
                self._addresses[name] = self._cuda.allocate(count)
            context.set_tensor_address(name, self._addresses[name])
        return context, outputs

    def _dtype(self, name: str) -> str:
        return DTYPES[self._engine.get_tensor_dtype(name).name]
