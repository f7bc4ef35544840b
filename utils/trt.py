"""TensorRT through TensorFlow (TF-TRT): is it really here, and the conversion. Both run in a process of their own.

Asking a TensorFlow that was built for TensorRT about a library that is missing aborts the process, and building engines
can be ended for lack of memory: neither must take pipeline.py with it.

    python3 -m utils.trt probe
    python3 -m utils.trt convert SAVED_MODEL TARGET --precision FP16 --pictures pictures.npz
"""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from pathlib import Path

from utils.options import InputError, parser, run_main

PRECISIONS = ("FP32", "FP16")
WORKSPACE_BYTES = (
    1 << 28
)  # a Jetson's GPU shares the memory of the system: TensorRT's own default takes a gigabyte and more
PROBE_SECONDS, CONVERT_SECONDS = 120, 3600  # engines take minutes on the smaller boards
ANSWER = "answer: "  # marks the one line of a child's output that counts; TensorFlow prints around it


def parse_args():
    options = parser(__doc__)
    options.add_argument("what", choices=("probe", "convert"), help="what to do")
    options.add_argument("source", nargs="?", help="SavedModel to convert")
    options.add_argument("target", nargs="?", help="folder that the converted one is written to")
    options.add_argument("--precision", choices=PRECISIONS, default="FP16", help="of the engines")
    options.add_argument("--pictures", help="npz with the input to build the engines for, under the input's name")
    return options.parse_args()


@functools.lru_cache(maxsize=None)  # the answer costs seconds and does not change
def probe() -> dict:
    """{"version": "8.5.2" or None, "reason": what was found, in words}; never raises, never aborts this process."""
    answer = _child(["probe"], PROBE_SECONDS)
    if "version" not in answer:
        return {"version": None, "reason": f"asking TensorFlow for TensorRT failed ({answer['error']})"}
    return answer


def convert(source: Path, target: Path, precision: str, pictures: Path) -> None:
    """Writes the SavedModel `source` with TensorRT engines to `target`; InputError with the reason where that fails."""
    command = ["convert", str(source), str(target), "--precision", precision, "--pictures", str(pictures)]
    answer = _child(command, CONVERT_SECONDS)
    if "error" in answer:
        raise InputError(f"TensorRT could not convert it ({answer['error']})")


def _child(arguments: list, seconds: float) -> dict:
    command = [sys.executable, "-m", "utils.trt", *arguments]
    root = Path(__file__).resolve().parent.parent
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=seconds, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"error": str(error).splitlines()[0]}
    for line in done.stdout.splitlines():
        if line.startswith(ANSWER):
            return json.loads(line[len(ANSWER) :])
    words = done.stderr.strip().splitlines() or ["it said nothing"]
    ended = f"ended by signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
    return {"error": f"{ended}: {words[-1][:200]}"}


def probe_here() -> dict:
    """The questions in the only order that is safe; the last one aborts the process on some builds, hence the child."""
    import tensorflow as tf

    if not tf.sysconfig.get_build_info().get("is_tensorrt_build"):
        return {"version": None, "reason": f"TensorFlow {tf.__version__} is built without TensorRT"}
    from tensorflow.compiler.tf2tensorrt import _pywrap_py_utils as tensorrt

    linked = tensorrt.get_linked_tensorrt_version()
    if not tensorrt.is_tensorrt_enabled():
        wanted = ".".join(str(number) for number in linked)
        return {
            "version": None,
            "reason": f"TensorFlow {tf.__version__} wants TensorRT {wanted}, which is not installed",
        }
    loaded = tensorrt.get_loaded_tensorrt_version()
    version = ".".join(str(number) for number in loaded)
    if loaded[0] != linked[0] or tuple(loaded) < tuple(linked):
        return {"version": None, "reason": f"TensorRT {version} is installed, TensorFlow was linked with {linked}"}
    if not tf.config.list_physical_devices("GPU"):
        return {"version": None, "reason": f"TensorRT {version} is installed, but TensorFlow sees no GPU"}
    return {"version": version, "reason": f"TensorRT {version}"}


def converter_arguments(trt_convert, source: str, precision: str, major: int) -> dict:
    """How the converter is called: `conversion_params` is the one spelling that TensorFlow 2.7 to 2.17 all take."""
    params = trt_convert.TrtConversionParams(
        max_workspace_size_bytes=WORKSPACE_BYTES,
        precision_mode=precision,
        minimum_segment_size=3,
        maximum_cached_engines=1,
        use_calibration=False,
        allow_build_at_runtime=True,
    )
    arguments = {"input_saved_model_dir": source, "conversion_params": params}
    if major >= 10:  # has no implicit batch any more
        arguments.update(use_dynamic_shape=True, dynamic_shape_profile_strategy="Optimal")
    return arguments


def convert_here(source: str, target: str, precision: str, pictures: str) -> dict:
    import numpy as np
    from tensorflow.compiler.tf2tensorrt import _pywrap_py_utils as tensorrt
    from tensorflow.python.compiler.tensorrt import trt_convert

    from utils.frozen import let_gpu_memory_grow

    let_gpu_memory_grow()
    major = tensorrt.get_loaded_tensorrt_version()[0]
    converter = trt_convert.TrtGraphConverterV2(**converter_arguments(trt_convert, source, precision, major))
    converter.convert()
    (images,) = np.load(pictures).values()
    converter.build(input_fn=lambda: iter([(images,)]))  # now, or the first frame would wait for minutes
    converter.save(target)
    return {"converted": target}


def main(args) -> None:
    if args.what == "probe":
        answer = probe_here()
    else:
        answer = convert_here(args.source, args.target, args.precision, args.pictures)
    print(ANSWER + json.dumps(answer), flush=True)


if __name__ == "__main__":
    run_main(main, parse_args())
