"""TensorRT through TensorFlow (TF-TRT): looks for it and converts models, each in a process of its own.

A TensorFlow that was built for TensorRT aborts the process when it is asked about a missing library, and the system may
kill a process that builds engines for lack of memory. Neither may end pipeline.py.

    python3 -m utils.deploy.trt probe
    python3 -m utils.deploy.trt convert SAVED_MODEL TARGET --precision FP16 --inputs inputs.npz

The arguments of the converter differ between TensorFlow 2.7 and 2.17, the last version that has one, and between
TensorRT 7 and 10: see converter_arguments.
"""

from __future__ import annotations

import functools
import inspect
from pathlib import Path

from utils.deploy.child import answer, run_child
from utils.errors import InputError, run_main
from utils.options import make_parser, positive_int

PRECISIONS = ("FP32", "FP16", "INT8")
WORKSPACE = 256  # MB; the GPU of a Jetson shares the system's memory, and TensorRT's default is over a gigabyte
INT8_CAPABILITY = (6, 1)  # lowest compute capability with INT8
WITHOUT_INT8 = ((6, 2),)  # TX2
EXPLICIT_BATCH_ONLY = 10  # the major version of TensorRT that dropped the implicit batch
CACHED_ENGINES = 16  # shapes of the input; a frozen net has one, a detector that could not be cut takes any frame
PROBE_SECONDS = 300  # importing TensorFlow takes minutes on a busy small board
CONVERT_SECONDS = 3600  # engines take minutes on small boards
MODULE = "utils.deploy.trt"
# Operations that cost nothing, and are not reported as left to TensorFlow.
NOT_COUNTED = ("TRTEngineOp", "Const", "Identity", "NoOp", "Placeholder")
# The re-id net can become one engine. In a detector only the convolutions are worth one: small segments cost copies
# between TensorFlow and TensorRT, and its non-maximum suppression has given wrong results in TensorRT.
SEGMENTS = {"reid": 3, "obj": 50}  # fewest operations per engine
DENIED = {"reid": "", "obj": "CombinedNonMaxSuppression"}  # operations left to TensorFlow, separated by commas


def parse_args(argv=None):
    parser = make_parser(__doc__)
    # fmt: off
    add = parser.add_argument
    add("what", choices=("probe", "convert"), help="look for TensorRT, or convert a model")
    add("source", nargs="?", help="SavedModel to convert")
    add("target", nargs="?", help="folder that the converted one is written to")
    add("--precision", choices=PRECISIONS, default="FP16", help="precision of the engines")
    add("--inputs", help="npz with `example_<n>`, an input per shape, and for INT8 `calibration`, inputs of a shape")
    add("--workspace", type=positive_int, default=WORKSPACE, help="MB that TensorRT may use while it builds and runs")
    add("--minimum_segment", type=positive_int, default=SEGMENTS["reid"], help="fewest operations for an engine")
    # fmt: on
    args = parser.parse_args(argv)
    if args.what == "convert" and not (args.source and args.target and args.inputs):
        parser.error("convert needs SAVED_MODEL, TARGET and --inputs")
    return args


class NotConverted(InputError):
    """TensorRT is available but could not convert the model; the plain graph still works."""


@functools.lru_cache(maxsize=None)  # the answer costs seconds and does not change
def probe() -> dict:
    """Looks for TensorRT; never raises and never aborts this process.

    {"version": "8.5.2" or None, "reason": a description of what was found, "capability": [8, 7] of the GPU or None}
    """
    found = run_child(MODULE, ["probe"], PROBE_SECONDS)
    if "version" not in found:
        found = {"version": None, "reason": f"asking TensorFlow for TensorRT failed ({found['error']})"}
    return {"capability": None, **found}


def choose_precision(kind: str, wanted: str, capability) -> tuple:
    """(precision, reason if it is not the wanted one or "").

    kind: 'obj' or 'reid'; capability: compute capability of the GPU, None if unknown.
    """
    if wanted != "INT8":
        return wanted, ""
    if kind == "obj":
        return "FP16", "INT8 is for the re-id net: a detector would need thousands of frames to calibrate on"
    capability = tuple(capability or ())
    if capability and (capability < INT8_CAPABILITY or capability in WITHOUT_INT8):
        return "FP16", f"this GPU, of compute capability {'.'.join(map(str, capability))}, has no INT8"
    return wanted, ""


def convert(source: Path, target: Path, kind: str, precision: str, inputs: Path, workspace: int = WORKSPACE) -> dict:
    """Writes the SavedModel `source` with TensorRT engines to `target`, with a progress line every few seconds.

    inputs: npz as for the option --inputs. Returns {"engines": how many, "tensorflow_ops": {operation: how many are
    left to TensorFlow}}. NotConverted with the reason if it fails.
    """
    # The child runs in the project's folder, wherever the user is.
    places = [str(Path(path).resolve()) for path in (source, target, inputs)]
    command = ["convert", *places[:2], "--precision", precision, "--inputs", places[2]]
    command += ["--workspace", str(workspace), "--minimum_segment", str(SEGMENTS[kind])]
    desc = f"{kind}: building engines for TensorRT, {precision}"
    environment = {"TF_TRT_OP_DENYLIST": DENIED[kind]} if DENIED[kind] else {}
    done = run_child(MODULE, command, CONVERT_SECONDS, desc, environment)
    if "error" in done:
        raise NotConverted(f"TensorRT could not convert it ({done['error']})")
    if not done["engines"]:
        raise NotConverted("TensorRT supports none of its operations")
    return done


def probe_here() -> dict:
    """Looks for TensorRT in the only safe order; asking for the loaded version aborts the process on some builds."""
    import tensorflow as tf

    name = f"TensorFlow {tf.__version__}"
    if not tf.sysconfig.get_build_info().get("is_tensorrt_build"):
        return {"version": None, "reason": f"{name} is built without TensorRT"}
    from tensorflow.compiler.tf2tensorrt import _pywrap_py_utils as tensorrt

    linked = tensorrt.get_linked_tensorrt_version()
    if not tensorrt.is_tensorrt_enabled():
        return {"version": None, "reason": f"{name} needs TensorRT {_dotted(linked)}, which is not installed"}
    loaded = tensorrt.get_loaded_tensorrt_version()
    found = f"TensorRT {_dotted(loaded)}"
    if loaded[0] != linked[0] or tuple(loaded) < tuple(linked):
        return {"version": None, "reason": f"{found} is installed, but {name} was linked with {_dotted(linked)}"}
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return {"version": None, "reason": f"{found} is installed, but TensorFlow sees no GPU"}
    capability = tf.config.experimental.get_device_details(gpus[0]).get("compute_capability")
    return {"version": _dotted(loaded), "reason": found, "capability": capability and list(capability)}


def _dotted(version) -> str:
    return ".".join(str(number) for number in version)


def converter_arguments(converter, params, source, precision, workspace, minimum_segment, major, shapes=1) -> dict:
    """The arguments of the class `converter`; params: its TrtConversionParams; major: the major version of TensorRT.
    shapes: how many shapes of the input there will be.

    precision, workspace, minimum_segment: as the options of this module. TensorFlow 2.7 to 2.17 all accept
    `conversion_params`; a build without it has the same names as separate arguments. TensorRT 10 has no implicit batch.
    """
    settings = {
        "max_workspace_size_bytes": workspace << 20,
        "precision_mode": precision,
        "minimum_segment_size": minimum_segment,
        # An input of another shape runs without an engine, but takes a place in the cache: with a single place it would
        # throw out the engine. INT8 allows one only; its net has a fixed input.
        "maximum_cached_engines": 1 if precision == "INT8" else CACHED_ENGINES,
        "use_calibration": precision == "INT8",
        "allow_build_at_runtime": False,
    }
    arguments = {"input_saved_model_dir": source}
    if "conversion_params" in inspect.signature(converter).parameters:
        arguments["conversion_params"] = params(**settings)
    else:
        arguments.update(settings)
    if major >= EXPLICIT_BATCH_ONLY or shapes > 1:  # "Optimal": a profile for each shape, in one engine
        arguments.update(use_dynamic_shape=True, dynamic_shape_profile_strategy="Optimal")
    return arguments


def run_converter(converter, examples: list, calibration, target: str) -> dict:
    """Converts, builds and saves. examples: an input per shape; calibration: a list of inputs, None unless INT8.

    Inputs are yielded as tuples, which build() accepts in every version. The converter calibrates INT8 in convert(), or
    with explicit batch in build().
    """
    feeds = {} if calibration is None else {"calibration_input_fn": lambda: iter([(some,) for some in calibration])}
    converted = converter.convert(**feeds)
    # Without it the first frame would wait for minutes.
    converter.build(input_fn=lambda: iter([(some,) for some in examples]))
    converter.save(target)
    operations = [node.op for node in converted.graph.as_graph_def().node]
    left = {name: operations.count(name) for name in sorted(set(operations)) if name not in NOT_COUNTED}
    built = [path for path in Path(target, "assets").glob("trt-serialized-engine.*") if path.stat().st_size]
    return {"engines": len(built), "tensorflow_ops": left}


def convert_here(source: str, target: str, precision: str, inputs: str, workspace: int, minimum_segment: int) -> dict:
    """Converts in this process, which TensorRT may abort; returns what run_converter returns.

    The parameters are the options of this module.
    """
    import numpy as np
    from tensorflow.compiler.tf2tensorrt import _pywrap_py_utils as tensorrt
    from tensorflow.python.compiler.tensorrt import trt_convert

    from utils.device import enable_memory_growth

    enable_memory_growth()
    major = tensorrt.get_loaded_tensorrt_version()[0]
    kind = trt_convert.TrtGraphConverterV2
    params = trt_convert.TrtConversionParams
    with np.load(inputs) as arrays:
        calibration = list(arrays["calibration"]) if precision == "INT8" else None
        examples = sorted((arrays[name] for name in arrays if name.startswith("example")), key=len)
    arguments = converter_arguments(kind, params, source, precision, workspace, minimum_segment, major, len(examples))
    return run_converter(kind(**arguments), examples, calibration, target)


def main(args) -> None:
    if args.what == "probe":
        answer(probe_here())
        return
    answer(convert_here(args.source, args.target, args.precision, args.inputs, args.workspace, args.minimum_segment))


if __name__ == "__main__":
    run_main(main, parse_args())
