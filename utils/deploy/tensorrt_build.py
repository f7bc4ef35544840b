"""Builds plans of TensorRT from ONNX with JetPack's Python module, each in a process of its own: it may be killed.

python3 -m utils.deploy.tensorrt_build probe
python3 -m utils.deploy.tensorrt_build build MODEL.onnx MODEL.plan --precision FP16 --batches 1 2 8
"""

from __future__ import annotations

from pathlib import Path

from utils.deploy.child import answer, run_child
from utils.errors import InputError, run_main
from utils.options import make_parser, positive_int

MODULE = "utils.deploy.tensorrt_build"
PRECISIONS = ("FP32", "FP16")
OLDEST = (8, 5)  # the first with tensors by name: get_tensor_name, set_tensor_address, execute_async_v3
EXPLICIT_BATCH = 1  # the flag of create_network in TensorRT 8 and 9; later versions know nothing else
WORKSPACE = 256  # MB
PROBE_SECONDS = 120
BUILD_SECONDS = 3600  # minutes on small boards


def parse_args(argv=None):
    parser = make_parser(__doc__)
    # fmt: off
    add = parser.add_argument
    add("what", choices=("probe", "build"), help="look for TensorRT, or build a plan")
    add("source", nargs="?", help="ONNX file")
    add("target", nargs="?", help="file to write the plan to")
    add("--precision", choices=PRECISIONS, default="FP16", help="precision of the layers")
    add("--batches", type=positive_int, nargs="+", default=[1], help="batch sizes, where the ONNX file has none")
    add("--workspace", type=positive_int, default=WORKSPACE, help="MB that TensorRT may use while it builds")
    # fmt: on
    args = parser.parse_args(argv)
    if args.what == "build" and not (args.source and args.target):
        parser.error("build needs MODEL.onnx and MODEL.plan")
    return args


def probe() -> dict:
    """{"version": "10.3.0" or None, "reason": a description}; asked in a process of its own."""
    found = run_child(MODULE, ["probe"], PROBE_SECONDS)
    if "version" in found:
        return found
    return {"version": None, "reason": f"the tensorrt module cannot be used ({found['error']})"}


def build(source, target, precision: str, batches: list, workspace: int, desc=None) -> dict:
    """Builds `target` in a process of its own; returns as build_here. InputError with the reason if it fails.

    desc: the name on the progress line.
    """
    words = ["build", str(Path(source).resolve()), str(Path(target).resolve()), "--precision", precision]
    words += ["--workspace", str(workspace), "--batches", *(str(size) for size in batches)]
    found = run_child(MODULE, words, BUILD_SECONDS, desc)
    if "error" in found:
        raise InputError(f"TensorRT cannot build {source} ({found['error']})")
    return found


def probe_here() -> dict:
    """Looks for the module, and for a version that this project can use."""
    try:
        import tensorrt
    except ImportError as error:
        return {
            "version": None,
            "reason": f"there is no tensorrt module ({error}); JetPack has it as python3-libnvinfer",
        }
    version = tensorrt.__version__
    if tuple(int(number) for number in version.split(".")[:2]) < OLDEST:
        return {"version": None, "reason": f"TensorRT {version} is too old, this needs 8.5: update to JetPack 5.1"}
    return {"version": version, "reason": f"TensorRT {version}"}


def build_here(trt, source: str, target: str, precision: str, batches: list, workspace: int) -> dict:
    """Builds the plan in this process. trt: the tensorrt module. Returns {"version"}.

    A model with a batch of any size gets one optimisation profile per batch size. InputError with TensorRT's message.
    """
    major = int(trt.__version__.split(".")[0])
    logger = trt.Logger(trt.Logger.WARNING)
    builder = trt.Builder(logger)
    network = builder.create_network(EXPLICIT_BATCH if major < 10 else 0)
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(Path(source).read_bytes()):
        errors = [parser.get_error(number).desc() for number in range(parser.num_errors)]
        raise InputError(f"it cannot read the model: {'; '.join(errors) or 'no message'}")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace << 20)
    if precision == "FP16" and hasattr(trt.BuilderFlag, "FP16"):  # TensorRT 11 takes the precision of the file
        config.set_flag(trt.BuilderFlag.FP16)
    tensor = network.get_input(0)
    if tensor.shape[0] == -1:
        for batch in batches:
            shape = (batch, *tuple(tensor.shape)[1:])
            profile = builder.create_optimization_profile()
            profile.set_shape(tensor.name, shape, shape, shape)
            config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise InputError("it built nothing; its messages are above")
    Path(target).write_bytes(plan)
    return {"version": trt.__version__}


def main(args) -> None:
    if args.what == "probe":
        answer(probe_here())
        return
    import tensorrt

    answer(build_here(tensorrt, args.source, args.target, args.precision, args.batches, args.workspace))


if __name__ == "__main__":
    run_main(main, parse_args())
