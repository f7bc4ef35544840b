"""TensorRT through TensorFlow (TF-TRT): is it really here, and the conversion. Both run in a process of their own.

Asking a TensorFlow that was built for TensorRT about a library that is missing aborts the process, and building engines
can be ended for lack of memory: neither must take pipeline.py with it.

    python3 -m utils.deploy.trt probe
    python3 -m utils.deploy.trt convert SAVED_MODEL TARGET --precision FP16 --pictures pictures.npz

What the converter takes changed from TensorFlow 2.7 to 2.17, the last that has one, and from TensorRT 7 to 10:
converter_arguments says how that is met.
"""

from __future__ import annotations

import functools
import inspect
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from utils.errors import InputError, first_line, run_main
from utils.options import make_parser, positive_int

PRECISIONS = ("FP32", "FP16", "INT8")
WORKSPACE = 256  # MB; a Jetson's GPU shares the memory of the system: TensorRT's own default takes a gigabyte and more
INT8_CAPABILITY = (6, 1)  # compute capability from which a GPU multiplies bytes
WITHOUT_INT8 = ((6, 2),)  # but for the TX2's
EXPLICIT_BATCH_ONLY = 10  # the major version of TensorRT that gave up the implicit batch
PROBE_SECONDS, CONVERT_SECONDS = 120, 3600  # engines take minutes on the smaller boards
TICK_SECONDS = 5  # between two lines of progress
ANSWER = "answer: "  # marks the one line of a child's output that counts; TensorFlow prints around it
# of what stays TensorFlow's, these cost nothing
NOT_COUNTED = ("TRTEngineOp", "Const", "Identity", "NoOp", "Placeholder")
# The re-id net can become one engine. Of a detector only the convolutions are worth one: its loops and small pieces
# before and after would be copied to and fro, and its suppression of boxes has a history of wrong results in TensorRT.
SEGMENTS = {"reid": 3, "obj": 50}  # fewest operations that become an engine
DENIED = {"reid": "", "obj": "CombinedNonMaxSuppression"}  # operations left to TensorFlow, with commas between


def parse_args():
    parser = make_parser(__doc__)
    # fmt: off
    add = parser.add_argument
    add("what", choices=("probe", "convert"), help="what to do")
    add("source", nargs="?", help="SavedModel to convert")
    add("target", nargs="?", help="folder that the converted one is written to")
    add("--precision", choices=PRECISIONS, default="FP16", help="of the engines")
    add("--pictures", help="npz with `example`, one input, and for INT8 `calibration`, many inputs, all of one shape")
    add("--workspace", type=positive_int, default=WORKSPACE, help="MB that TensorRT may use while it builds and runs")
    add("--minimum_segment", type=positive_int, default=SEGMENTS["reid"], help="fewest operations for an engine")
    # fmt: on
    return parser.parse_args()


class NotConverted(InputError):
    """TensorRT is here and yet gives no model; the plain one is as good as before."""


@functools.lru_cache(maxsize=None)  # the answer costs seconds and does not change
def probe() -> dict:
    """What of TensorRT is here; never raises, never aborts this process.

    {"version": "8.5.2" or None, "reason": what was found in words, "capability": [8, 7] of the GPU or None}
    """
    answer = _child(["probe"], PROBE_SECONDS)
    if "version" not in answer:
        answer = {"version": None, "reason": f"asking TensorFlow for TensorRT failed ({answer['error']})"}
    return {"capability": None, **answer}


def choose_precision(kind: str, wanted: str, capability) -> tuple:
    """(precision, why not the wanted one or ""). kind: 'obj' or 'reid'; capability: of the GPU, None if unknown."""
    if wanted != "INT8":
        return wanted, ""
    if kind == "obj":
        return "FP16", "INT8 is for the re-id net: a detector would need thousands of frames to calibrate on"
    capability = tuple(capability or ())
    if capability and (capability < INT8_CAPABILITY or capability in WITHOUT_INT8):
        return "FP16", f"this GPU, of compute capability {'.'.join(map(str, capability))}, has no INT8"
    return wanted, ""


def convert(source: Path, target: Path, kind: str, precision: str, pictures: Path, workspace: int = WORKSPACE) -> dict:
    """Writes the SavedModel `source` with TensorRT engines to `target`, with a line of progress every few seconds.

    pictures: npz as --pictures says. Returns {"engines", "native"}: how many engines, and how many operations of which
    kind stayed TensorFlow's. NotConverted with the reason where it fails.
    """
    command = ["convert", str(source), str(target), "--precision", precision, "--pictures", str(pictures)]
    command += ["--workspace", str(workspace), "--minimum_segment", str(SEGMENTS[kind])]
    said = f"{kind}: building engines for TensorRT, {precision}"
    answer = _child(command, CONVERT_SECONDS, said, {"TF_TRT_OP_DENYLIST": DENIED[kind]} if DENIED[kind] else {})
    if "error" in answer:
        raise NotConverted(f"TensorRT could not convert it ({answer['error']})")
    if not answer["engines"]:
        raise NotConverted("TensorRT took none of its operations")
    return answer


def _child(arguments: list, seconds: float, said=None, environment=None) -> dict:
    """Runs this module in a process of its own. said: what a ticking line of progress says, None for silence."""
    command = [sys.executable, "-m", "utils.deploy.trt", *arguments]
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    root = Path(__file__).resolve().parents[2]
    try:
        child = subprocess.Popen(command, cwd=root, env={**os.environ, **(environment or {})}, **streams)
    except OSError as error:
        return {"error": first_line(error)}
    begun = time.monotonic()
    with child:
        try:
            while True:
                try:
                    out, errors = child.communicate(timeout=min(TICK_SECONDS, seconds))
                    break
                except subprocess.TimeoutExpired:
                    passed = time.monotonic() - begun
                    if passed >= seconds:
                        child.kill()
                        return {"error": f"it did not end within {seconds:g} s"}
                    if said:
                        print(f"{said}: {passed:.0f} s ... (minutes on small boards)", flush=True)
        except BaseException:  # Ctrl-C above all: no process may stay behind
            child.kill()
            raise
    for line in out.splitlines():
        if line.startswith(ANSWER):
            return json.loads(line[len(ANSWER) :])
    return {"error": _last_words(child.returncode, errors)}


def _last_words(returncode: int, errors: str) -> str:
    words = (errors.strip().splitlines() or ["it said nothing"])[-1][:200]
    if returncode == -9:
        return f"ended by signal 9: {words}; most often for lack of memory: add swap, or lower --workspace"
    return f"{f'ended by signal {-returncode}' if returncode < 0 else f'exit code {returncode}'}: {words}"


def probe_here() -> dict:
    """The questions in the only order that is safe; the last one aborts the process on some builds, hence the child."""
    import tensorflow as tf

    name = f"TensorFlow {tf.__version__}"
    if not tf.sysconfig.get_build_info().get("is_tensorrt_build"):
        return {"version": None, "reason": f"{name} is built without TensorRT"}
    from tensorflow.compiler.tf2tensorrt import _pywrap_py_utils as tensorrt

    linked = tensorrt.get_linked_tensorrt_version()
    if not tensorrt.is_tensorrt_enabled():
        return {"version": None, "reason": f"{name} wants TensorRT {_dotted(linked)}, which is not installed"}
    loaded = tensorrt.get_loaded_tensorrt_version()
    found = f"TensorRT {_dotted(loaded)}"
    if loaded[0] != linked[0] or tuple(loaded) < tuple(linked):
        return {"version": None, "reason": f"{found} is installed, {name} was linked with {_dotted(linked)}"}
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return {"version": None, "reason": f"{found} is installed, but TensorFlow sees no GPU"}
    capability = tf.config.experimental.get_device_details(gpus[0]).get("compute_capability")
    return {"version": _dotted(loaded), "reason": found, "capability": capability and list(capability)}


def _dotted(version) -> str:
    return ".".join(str(number) for number in version)


def converter_arguments(converter, params, source: str, args, major: int) -> dict:
    """How the class `converter` is called; params: its TrtConversionParams, args: as parse_args gives them.

    `conversion_params` is the one spelling that TensorFlow 2.7 to 2.17 all take; where a build has dropped it, the
    same names are arguments of their own. TensorRT 10 has no implicit batch any more: major is its major version.
    """
    settings = {
        "max_workspace_size_bytes": args.workspace << 20,
        "precision_mode": args.precision,
        "minimum_segment_size": args.minimum_segment,
        "maximum_cached_engines": 1,  # the input has one shape; INT8 allows no more either
        "use_calibration": args.precision == "INT8",
        "allow_build_at_runtime": False,  # a frame of an unforeseen shape runs without an engine: no minutes of silence
    }
    arguments = {"input_saved_model_dir": source}
    if "conversion_params" in inspect.signature(converter).parameters:
        arguments["conversion_params"] = params(**settings)
    else:
        arguments.update(settings)
    if major >= EXPLICIT_BATCH_ONLY:
        arguments.update(use_dynamic_shape=True, dynamic_shape_profile_strategy="Optimal")
    return arguments


def run_converter(converter, example, calibration, target: str) -> dict:
    """The four steps in their order. example: one input; calibration: a list of inputs, None unless INT8.

    Inputs are yielded as tuples, which every version's build() takes; INT8 calibrates in convert(), or with explicit
    batch in build(), which is the converter's own affair.
    """
    feeds = {} if calibration is None else {"calibration_input_fn": lambda: iter([(some,) for some in calibration])}
    converted = converter.convert(**feeds)
    converter.build(input_fn=lambda: iter([(example,)]))  # now, or the first frame would wait for minutes
    converter.save(target)
    operations = [node.op for node in converted.graph.as_graph_def().node]
    native = {name: operations.count(name) for name in sorted(set(operations)) if name not in NOT_COUNTED}
    built = [path for path in Path(target, "assets").glob("trt-serialized-engine.*") if path.stat().st_size]
    return {"engines": len(built), "native": native}


def convert_here(args) -> dict:
    """Converts in this process, which TensorRT may abort; the answer is that of run_converter."""
    import numpy as np
    from tensorflow.compiler.tf2tensorrt import _pywrap_py_utils as tensorrt
    from tensorflow.python.compiler.tensorrt import trt_convert

    from utils.device import enable_memory_growth

    enable_memory_growth()
    major = tensorrt.get_loaded_tensorrt_version()[0]
    kinds = trt_convert.TrtGraphConverterV2, trt_convert.TrtConversionParams
    converter = kinds[0](**converter_arguments(*kinds, args.source, args, major))
    with np.load(args.pictures) as pictures:
        calibration = list(pictures["calibration"]) if args.precision == "INT8" else None
        return run_converter(converter, pictures["example"], calibration, args.target)


def main(args) -> None:
    answer = probe_here() if args.what == "probe" else convert_here(args)
    print(ANSWER + json.dumps(answer), flush=True)


if __name__ == "__main__":
    run_main(main, parse_args())
