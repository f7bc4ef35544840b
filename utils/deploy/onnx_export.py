"""The re-id net as ONNX, which the trtexec of a board reads whose TensorFlow has no TensorRT (JetPack 6.1 and later).

Needs tf2onnx and onnxruntime, which nothing else here does. The input is float32 RGB of 0..255 rather than uint8:
TensorRT takes uint8 only from 8.5 on, and a cast costs the caller nothing.
"""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path

import numpy as np
import tensorflow as tf

from utils.checkpoint import load_embedding_net, strip_suffix
from utils.deploy.freeze import in_batches, rgb_net, scratch_beside
from utils.deploy.parity import check_parity, compare_embeddings
from utils.deploy.saved_model import swap_in
from utils.errors import InputError, first_line
from utils.files import write_json

EXTRAS = ("tf2onnx", "onnxruntime")
OPSET = 13  # enough for this net, and what TensorRT 8.0 reads as well
MIN_PARITY = 0.9999  # ONNX computes in FP32 like TensorFlow: nothing excuses more
MODEL, ABOUT = "reid.onnx", "reid.json"
TRTEXEC = "/usr/src/tensorrt/bin/trtexec"  # where JetPack puts it


def check_extras() -> None:
    """InputError if a package that this needs is missing."""
    missing = [name for name in EXTRAS if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f"--onnx needs {' and '.join(missing)}: pip install {' '.join(EXTRAS)}")


def write_onnx(prefix, target, pictures, batch=8, image_size=None, pictures_from="unknown") -> dict:
    """Writes the checkpoint `prefix` to `target`/reid.onnx: `images` float32 (batch, H, W, 3) -> `embeddings`.

    pictures: as in freeze_reid. Returns what `target`/reid.json says of it. InputError if the tools are
    missing or fail, or if onnxruntime computes something else than TensorFlow: then `target` stays.
    """
    check_extras()
    net, args = load_embedding_net(prefix, image_size)
    size = [int(side) for side in args["image_size"]]
    images = pictures(tuple(size))
    wanted = in_batches(lambda some: net(some, training=False).numpy(), images, batch)
    embed = rgb_net(net)

    @tf.function(input_signature=[tf.TensorSpec([batch, *size, 3], tf.float32, name="images")])
    def serve(images):
        return {"embeddings": embed(images)}

    with scratch_beside(Path(target)) as scratch:
        whole = scratch / "onnx"
        whole.mkdir()
        _convert(serve, whole / MODEL)
        parity = compare_embeddings(wanted, _run(whole / MODEL, images, batch))
        check_parity(parity, MIN_PARITY, "; nothing was replaced")
        about = {
            "kind": "reid",
            "source": {"checkpoint": strip_suffix(prefix)},
            "inputs": {"images": {"shape": [batch, *size, 3], "dtype": "float32"}},
            "outputs": {"embeddings": {"shape": [batch, int(wanted.shape[1])], "dtype": "float32"}},
            "values": "0 to 255, not scaled: normalisation is in the net",
            "colour_order": "RGB",
            "opset": OPSET,
            "threshold": args.get("validation", {}).get("threshold"),
            "parity": {**parity, "bound": MIN_PARITY, "pictures_from": pictures_from},
        }
        write_json(whole / ABOUT, about)
        swap_in(whole, Path(target))
    return about


def trtexec_line(target, precision: str) -> str:
    """The command that builds an engine of it on the board; INT8 would need a table of ranges, so FP16 it is."""
    model = Path(target) / MODEL
    half = "" if precision == "FP32" else " --fp16"
    return f"{TRTEXEC} --onnx={model} --saveEngine={model.with_suffix('.engine')}{half}"


def _convert(function, path: Path) -> None:
    try:
        import tf2onnx

        logging.getLogger("tf2onnx").setLevel(logging.ERROR)
        tf2onnx.convert.from_function(
            function, input_signature=function.input_signature, opset=OPSET, output_path=str(path)
        )
    except Exception as error:  # a converter of another project, with this or that TensorFlow, numpy and protobuf
        raise InputError(
            f"tf2onnx cannot convert it with TensorFlow {tf.__version__} and numpy {np.__version__}"
            f" ({type(error).__name__}: {first_line(error)}): pip install -U {' '.join(EXTRAS)}, or try another machine"
        ) from None


def _run(path: Path, images: np.ndarray, batch: int) -> np.ndarray:
    """(N, H, W, 3) uint8 -> (N, E), by onnxruntime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    wrapped = np.resize(images, (-(-len(images) // batch) * batch, *images.shape[1:])).astype(np.float32)
    found = in_batches(lambda some: session.run(["embeddings"], {"images": some})[0], wrapped, batch)
    return found[: len(images)]
