"""Prepares models in ONNX for this machine, without TensorFlow: plans of TensorRT on a Jetson, else onnxruntime."""

from __future__ import annotations

import importlib.util
import shutil
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from utils.deploy import check, tensorrt_build
from utils.deploy.detector import Detector
from utils.deploy.manifest import KINDS, MODEL_FILES, batch_sizes, read_manifest, write_manifest
from utils.deploy.reid_net import Embedder
from utils.device import device_name
from utils.errors import InputError
from utils.files import replace_folder, temporary_folder

ONNX = MODEL_FILES["onnxruntime"]
HALF = "model.fp16.onnx"  # beside it, for TensorRT 11, which takes the precision of the file
STRONGLY_TYPED = 11  # the major version of TensorRT that dropped the choice of a precision
TIMED_RUNS = 10


class BoardOptions(NamedTuple):
    """How to prepare models: engine is auto, tensorrt or onnxruntime; precision is FP32 or FP16, of TensorRT engines.

    min_parity: as in FreezeOptions. workspace: MB.
    """

    engine: str = "auto"
    precision: str = "FP16"
    min_parity: float = 0.99
    workspace: int = tensorrt_build.WORKSPACE


def find_models(folder) -> dict:
    """{kind: folder} of the models in ONNX in a folder with obj/ and reid/, or in one of these itself."""
    folder = Path(folder)
    if (folder / ONNX).is_file():
        kinds = [kind for kind in KINDS if _is_kind(folder, kind)]
        return {kind: folder for kind in kinds}
    return {kind: folder / kind for kind in KINDS if (folder / kind / ONNX).is_file()}


def _is_kind(folder, kind: str) -> bool:
    try:
        read_manifest(folder, kind)
    except InputError:
        return False
    return True


def prepare(source, kind: str, target, options: BoardOptions) -> dict:
    """Prepares the model in ONNX in the folder `source` for this machine and measures it; returns its manifest.

    It replaces `target` when it is complete and agrees with check.npz in `source`; InputError otherwise.
    """
    about = read_manifest(source, kind)
    images_from = (about.get("parity") or {}).get("images_from", check.CHECK)
    engine, version, reason = choose_engine(options.engine)
    with temporary_folder(target) as temporary:
        folder = temporary / "model"
        folder.mkdir()
        about = {**about, "reason": reason, "parity": None}
        if engine == "tensorrt":
            about.update(build_plan(source, kind, folder, about, version, options))
        else:
            shutil.copyfile(Path(source) / ONNX, folder / ONNX)
        write_manifest(folder, about)
        parity = check.measure(folder, kind, Path(source) / check.CHECK)
        remedy = "; try --precision FP32" if about["precision"] == "FP16" else ""
        bound = check.require(parity, kind, options.min_parity, f"; nothing was replaced{remedy}")
        about["parity"] = {**parity, "bound": bound, "images_from": images_from}
        about["milliseconds"] = measure_time(folder, kind)
        write_manifest(folder, about)
        replace_folder(folder, target)
    return about


def choose_engine(wanted: str) -> tuple:
    """(engine, version, why): 'tensorrt' if this machine has it, else 'onnxruntime' without a version.

    InputError if the wanted engine is missing.
    """
    reason = "as requested"
    if wanted != "onnxruntime":
        found = tensorrt_build.probe()
        reason = found["reason"]
        if found["version"]:
            return "tensorrt", found["version"], reason
        if wanted == "tensorrt":
            raise InputError(f"--engine tensorrt: {reason}")
    if importlib.util.find_spec("onnxruntime") is None:
        raise InputError(f"nothing here runs a model in ONNX ({reason}): pip install onnxruntime")
    return "onnxruntime", None, reason


def build_plan(source, kind: str, folder, about: dict, version: str, options: BoardOptions) -> dict:
    """Builds model.plan in `folder` with TensorRT of this version; returns what changes in the manifest `about`."""
    path = Path(source) / ONNX
    precision = options.precision
    if precision == "FP16" and int(version.split(".")[0]) >= STRONGLY_TYPED:
        path = Path(source) / HALF
        if not path.is_file():
            path = Path(source) / ONNX
            precision = "FP32"
    desc = f"{kind}: building a plan for TensorRT {version}, {precision}"
    target = Path(folder) / MODEL_FILES["tensorrt"]
    tensorrt_build.build(path, target, precision, batch_sizes(about), options.workspace, desc)
    built_for = {"tensorrt": version, "device": device_name()}
    return {"engine": "tensorrt", "precision": precision, "built_for": built_for}


def measure_time(folder, kind: str) -> dict:
    """{batch size: milliseconds of a run}: the median, after the first run, with all that is done for each frame."""
    if kind == "reid":
        embedder = Embedder(folder)
        inputs = {size: np.zeros((size, *embedder.image_size, 3), np.uint8) for size in embedder.batches}
        calls = {size: lambda size=size: embedder.embed_by(size, inputs[size]) for size in inputs}
    else:
        detector = Detector(folder)
        frame = np.zeros((720, 1280, 3), np.uint8)
        calls = {1: lambda: detector.detect(frame)}
    return {str(size): round(_median_milliseconds(call), 2) for size, call in calls.items()}


def _median_milliseconds(call) -> float:
    call()
    seconds = []
    for _ in range(TIMED_RUNS):
        begun = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - begun)
    return 1000 * float(np.median(seconds))
