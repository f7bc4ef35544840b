"""Exports the re-id net to ONNX, for trtexec on boards whose TensorFlow has no TensorRT (JetPack 6.1 and later).

Needs the extra packages tf2onnx and onnxruntime. The input is float32 RGB of 0..255, because TensorRT accepts uint8
only from version 8.5 on.
"""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path

import numpy as np
import tensorflow as tf

from utils.checkpoint import load_embedding_net, stored_threshold, strip_suffix
from utils.deploy.freeze import in_batches, rgb_net
from utils.deploy.parity import check_parity, compare_embeddings
from utils.errors import InputError, first_line
from utils.files import atomic_folder, write_json

EXTRAS = ("tf2onnx", "onnxruntime")
OPSET = 13  # TensorRT 8.0 reads it
MIN_PARITY = 0.9999  # lowest cosine; ONNX computes in FP32 as TensorFlow does
MODEL = "reid.onnx"
ABOUT = "reid.json"
TRTEXEC = "/usr/src/tensorrt/bin/trtexec"  # of JetPack


def check_extras() -> None:
    """InputError if one of EXTRAS is missing."""
    missing = [name for name in EXTRAS if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f"--onnx needs {' and '.join(missing)}: pip install {' '.join(EXTRAS)}")


def write_onnx(prefix, target, images, images_from, batch=8, image_size=None) -> dict:
    """Writes the checkpoint `prefix` to `target`/reid.onnx: `images` float32 (batch, H, W, 3) -> `embeddings`.

    images: as in freeze_reid; images_from: a description of them. Returns the content of `target`/reid.json.
    InputError if the extra packages are missing or fail, or if onnxruntime does not agree with TensorFlow: `target`
    then stays as it was.
    """
    check_extras()
    net, args = load_embedding_net(prefix, image_size)
    size = [int(side) for side in args["image_size"]]
    compared = images(tuple(size))  # (N, H, W, 3) uint8
    wanted = in_batches(lambda some: net(some, training=False).numpy(), compared, batch)  # (N, E)
    embed = rgb_net(net)

    @tf.function(input_signature=[tf.TensorSpec([batch, *size, 3], tf.float32, name="images")])
    def serve(images):
        return {"embeddings": embed(images)}

    with atomic_folder(target) as folder:
        _convert(serve, folder / MODEL)
        parity = compare_embeddings(wanted, _run(folder / MODEL, compared, batch))
        check_parity(parity, MIN_PARITY, "; nothing was replaced")
        about = {
            "kind": "reid",
            "source": {"checkpoint": strip_suffix(prefix)},
            "inputs": {"images": {"shape": [batch, *size, 3], "dtype": "float32"}},
            "outputs": {"embeddings": {"shape": [batch, int(wanted.shape[1])], "dtype": "float32"}},
            "values": "0 to 255, not scaled: normalisation is in the net",
            "colour_order": "RGB",
            "opset": OPSET,
            **stored_threshold(strip_suffix(prefix), args),
            "parity": {**parity, "bound": MIN_PARITY, "images_from": images_from},
        }
        write_json(folder / ABOUT, about)
    return about


def trtexec_line(target, precision: str) -> str:
    """The command that builds an engine on the board, in FP32 or FP16; INT8 would need a calibration table."""
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
    except Exception as error:  # tf2onnx raises anything, depending on the versions of TensorFlow, numpy and protobuf
        raise InputError(
            f"tf2onnx cannot convert the net with TensorFlow {tf.__version__} and numpy {np.__version__}"
            f" ({type(error).__name__}: {first_line(error)}): pip install -U {' '.join(EXTRAS)}, or try another machine"
        ) from None


def _run(path: Path, images: np.ndarray, batch: int) -> np.ndarray:
    """(N, H, W, 3) uint8 -> (N, E), by onnxruntime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    wrapped = np.resize(images, (-(-len(images) // batch) * batch, *images.shape[1:])).astype(np.float32)
    found = in_batches(lambda some: session.run(["embeddings"], {"images": some})[0], wrapped, batch)
    return found[: len(images)]
