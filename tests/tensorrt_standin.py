"""A stand-in for JetPack's tensorrt module and for the CUDA driver, with which plans are built and run without a GPU.

Classes, methods and their parameters are those that the real bindings have (tensorrt_signatures.json); anything else is
an AttributeError or TypeError, as there. Instead of ONNX the parser reads JSON:

{"input": [name, shape], "outputs": {name: shape}, "half": whether it is stored in FP16}

and the model computes what compute() does. Everything that is put into a stream happens at cuStreamSynchronize, so
that a result that is read too early is not there.
"""

from __future__ import annotations

import ctypes
import enum
import functools
import json
import types
from pathlib import Path

import numpy as np

RECORDED = json.loads(Path(__file__).with_name("tensorrt_signatures.json").read_text())
STREAM = 0x5EED
SUCCESS = 0
PROTOTYPES = {  # of the driver, as in cuda.h: a CUdevice is an int, contexts and streams are pointers
    "cuInit": (ctypes.c_uint,),
    "cuDeviceGet": (ctypes.POINTER(ctypes.c_int), ctypes.c_int),
    "cuDevicePrimaryCtxRetain": (ctypes.POINTER(ctypes.c_void_p), ctypes.c_int),
    "cuCtxSetCurrent": (ctypes.c_void_p,),
    "cuStreamCreate": (ctypes.POINTER(ctypes.c_void_p), ctypes.c_uint),
    "cuMemAlloc_v2": (ctypes.POINTER(ctypes.c_uint64), ctypes.c_size_t),
    "cuMemcpyHtoDAsync_v2": (ctypes.c_uint64, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p),
    "cuMemcpyDtoHAsync_v2": (ctypes.c_void_p, ctypes.c_uint64, ctypes.c_size_t, ctypes.c_void_p),
    "cuStreamSynchronize": (ctypes.c_void_p,),
}


def compute(name: str, images: np.ndarray, shape) -> np.ndarray:
    """What the model returns for images (B, H, W, 3): fixed sums of their pixels in the shape (B, *shape[1:]), float32.

    "boxes" are [ymin, xmin, ymax, xmax] in 0..1.
    """
    size = int(np.prod(shape[1:]))
    flat = images.reshape(len(images), -1).astype(np.float32) / 255
    weights = np.random.default_rng(len(name)).uniform(-1, 1, (flat.shape[1], size)).astype(np.float32)
    found = (flat @ weights).reshape(len(images), *shape[1:])
    if name != "boxes":
        return found
    corners = 1 / (1 + np.exp(-found.reshape(*found.shape[:-1], 2, 2)))
    return np.sort(corners, axis=-2).reshape(found.shape)  # top and left before bottom and right


# ---- the driver ----


class Driver:
    """Takes the place of ctypes.CDLL("libcuda.so.1").

    memory: {address: bytearray}. runs: the shapes of the inputs that were computed. codes: {function: the code that it
    returns}, for those that are to fail.
    """

    def __init__(self):
        self.memory = {}
        self.runs = []
        self.codes = {}
        self._waiting = []
        self._kept = []

    def __getattr__(self, name):
        function = ctypes.CFUNCTYPE(ctypes.c_int, *PROTOTYPES[name])(functools.partial(self._answer, name))
        self._kept.append(function)

        def call(*arguments):
            # Without prototypes, as a library is called here, a bare int would be cut to 32 bits.
            assert not any(isinstance(argument, int) for argument in arguments), f"{name}{arguments}"
            return function(*arguments)

        return call

    def _answer(self, name, *arguments):
        if name in self.codes:
            return self.codes[name]
        getattr(self, f"_{name}")(*arguments)
        return SUCCESS

    def _cuInit(self, flags):
        assert flags == 0

    def _cuDeviceGet(self, device, ordinal):
        device[0] = ordinal

    def _cuDevicePrimaryCtxRetain(self, context, device):
        context[0] = 0xC0DE

    def _cuCtxSetCurrent(self, context):
        assert context == 0xC0DE

    def _cuStreamCreate(self, stream, flags):
        stream[0] = STREAM

    def _cuMemAlloc_v2(self, address, size):
        address[0] = (0x7F << 40) + (len(self.memory) << 32)
        self.memory[address[0]] = bytearray(size)

    def _cuMemcpyHtoDAsync_v2(self, target, source, size, stream):
        self.later(stream, lambda: self.write(target, ctypes.string_at(source, size)))

    def _cuMemcpyDtoHAsync_v2(self, target, source, size, stream):
        self.later(stream, lambda: ctypes.memmove(target, bytes(self.memory[source][:size]), size))

    def _cuStreamSynchronize(self, stream):
        assert stream == STREAM
        for action in self._waiting:
            action()
        self._waiting.clear()

    def later(self, stream, action):
        assert stream == STREAM
        self._waiting.append(action)

    def write(self, address, content: bytes):
        assert len(content) <= len(self.memory[address]), "written behind the end of the memory"
        self.memory[address][: len(content)] = content


# ---- the module ----


def recorded(kind):
    """Gives the methods of a class the parameters of the real ones; a method or property that is not there fails."""

    def checked(name, method):
        parameters = RECORDED["calls"][kind.__name__][name]
        assert parameters != "property", name

        @functools.wraps(method)
        def call(self, *arguments):
            required = [parameter for parameter in parameters if not parameter.endswith("=")]
            if not len(required) <= len(arguments) <= len(parameters):
                raise TypeError(f"{kind.__name__}.{name}({', '.join(parameters)}), not {arguments}")
            return method(self, *arguments)

        return call

    calls = RECORDED["calls"][kind.__name__]
    for name, value in list(vars(kind).items()):
        if isinstance(value, types.FunctionType) and (name in calls or not name.startswith("_")):
            setattr(kind, name, checked(name, value))
        elif isinstance(value, property):
            assert calls[name] == "property", name
    return kind


def make(version: str, driver=None):
    """The module of a version, with the members of the recorded one of the same major version."""
    major = int(version.split(".")[0])
    [members] = [found for known, found in RECORDED["members"].items() if int(known.split(".")[0]) == major]
    enums = {name: enum.Enum(name, values) for name, values in members.items()}
    modes = enums["TensorIOMode"]
    kinds = enums["DataType"]

    @recorded
    class Logger:
        ERROR = "error"
        WARNING = "warning"

        def __init__(self, min_severity="warning"):
            assert min_severity in (self.ERROR, self.WARNING)

    @recorded
    class Builder:
        def __init__(self, logger):
            assert isinstance(logger, Logger)

        def create_network(self, flags=0):
            if major > 10 and flags:
                raise TypeError("there are no flags of this number")
            return INetworkDefinition(explicit=major >= 10 or flags == 1)

        def create_builder_config(self):
            return IBuilderConfig()

        def create_optimization_profile(self):
            return IOptimizationProfile()

        def build_serialized_network(self, network, config):
            shape = network.model["input"][1]
            if (shape[0] == -1) != bool(config.profiles):
                return None
            half = network.model["half"] if major > 10 else enums["BuilderFlag"].FP16 in config.flags
            plan = {"version": version, "model": network.model, "profiles": config.profiles or [shape], "half": half}
            return json.dumps({**plan, "workspace": config.workspace}).encode()

    @recorded
    class INetworkDefinition:
        def __init__(self, explicit):
            self.explicit = explicit
            self.model = None

        def get_input(self, index):
            name, shape = self.model["input"]
            assert index == 0
            return types.SimpleNamespace(name=name, shape=tuple(shape))

    @recorded
    class OnnxParser:
        def __init__(self, network, logger):
            self._network = network
            self._errors = []

        def parse(self, model, path=None):
            if not self._network.explicit:
                self._errors.append("this version needs a network with an explicit batch")
                return False
            try:
                self._network.model = json.loads(model)
            except ValueError as error:
                self._errors.append(str(error))
                return False
            return True

        @property
        def num_errors(self):
            return len(self._errors)

        def get_error(self, index):
            return types.SimpleNamespace(desc=lambda: self._errors[index])

    @recorded
    class IBuilderConfig:
        def __init__(self):
            self.flags = []
            self.profiles = []

        def set_memory_pool_limit(self, pool, pool_size):
            assert pool == enums["MemoryPoolType"].WORKSPACE
            self.workspace = pool_size

        def set_flag(self, flag):
            self.flags.append(enums["BuilderFlag"](flag))

        def add_optimization_profile(self, profile):
            self.profiles.append(profile.shape)
            return len(self.profiles) - 1

    @recorded
    class IOptimizationProfile:
        def set_shape(self, input, min, opt, max):  # noqa: A002, the names of the real ones
            assert tuple(min) == tuple(opt) == tuple(max)
            self.shape = list(opt)

    @recorded
    class Runtime:
        def __init__(self, logger):
            assert isinstance(logger, Logger)

        def deserialize_cuda_engine(self, serialized_engine):
            try:
                plan = json.loads(bytes(serialized_engine))
            except ValueError:
                return None
            return ICudaEngine(plan) if plan["version"] == version else None

    @recorded
    class ICudaEngine:
        def __init__(self, plan):
            self.plan = plan
            self.taken = []  # the profiles of its contexts
            model = plan["model"]
            self.input = model["input"][0]
            self.shapes = {**model["outputs"], self.input: model["input"][1]}  # the input is not the first

        @property
        def num_io_tensors(self):
            return len(self.shapes)

        @property
        def num_optimization_profiles(self):
            return len(self.plan["profiles"])

        def get_tensor_name(self, index):
            return list(self.shapes)[index]

        def get_tensor_mode(self, name):
            return modes.INPUT if name == self.input else modes.OUTPUT

        def get_tensor_shape(self, name):
            return tuple(self.shapes[name])

        def get_tensor_dtype(self, name):
            return kinds.FLOAT

        def create_execution_context(self):
            return IExecutionContext(self)

    @recorded
    class IExecutionContext:
        def __init__(self, engine):
            self._engine = engine
            self._profile = None
            self._shape = None
            self._addresses = {}
            if not engine.taken:  # the first one gets the first profile by itself
                self._take(0)

        def _take(self, index):
            if index in self._engine.taken:
                return False
            if self._profile is not None:
                self._engine.taken.remove(self._profile)
            self._engine.taken.append(index)
            self._profile = index
            return True

        def set_optimization_profile_async(self, profile_index, stream_handle):
            assert stream_handle == STREAM
            return self._take(profile_index)

        def set_input_shape(self, name, shape):
            if self._profile is None or list(shape) != self._engine.plan["profiles"][self._profile]:
                return False
            self._shape = list(shape)
            return True

        def get_tensor_shape(self, name):
            shape = self._engine.shapes[name]
            return tuple(self._shape[:1] + shape[1:] if shape[0] == -1 else shape)

        def set_tensor_address(self, name, memory):
            self._addresses[name] = memory
            return True

        def execute_async_v3(self, stream_handle):
            if self._shape is None or set(self._addresses) != set(self._engine.shapes):
                return False
            driver.later(stream_handle, self._run)
            return True

        def _run(self):
            count = int(np.prod(self._shape))
            stored = driver.memory[self._addresses[self._engine.input]]
            images = np.frombuffer(bytes(stored[: 4 * count]), np.float32).reshape(self._shape)
            driver.runs.append(tuple(self._shape))
            for name, shape in self._engine.plan["model"]["outputs"].items():
                found = compute(name, images, shape)
                if self._engine.plan["half"]:
                    found = found.astype(np.float16).astype(np.float32)
                driver.write(self._addresses[name], found.tobytes())

    module = types.ModuleType("tensorrt")
    module.__version__ = version
    for part in (Logger, Builder, OnnxParser, Runtime):
        setattr(module, part.__name__, part)
    for name, found in enums.items():
        setattr(module, name, found)
    return module
