"""Models in ONNX compute what TensorFlow does, and the whole demo runs on them where TensorFlow cannot be imported."""

import hashlib
import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.fakes import noise, picture, write_tf2_ssd
from tests.helpers import run, write_video
from utils.deploy import board, onnx_export
from utils.deploy.compared_images import smooth_noise
from utils.deploy.reid_net import Embedder
from utils.errors import InputError

SIZE = (64, 32)
needs_extras = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in onnx_export.EXTRAS), reason="pip install tf2onnx onnxruntime"
)
WITHOUT_TENSORFLOW = """
import runpy, sys
sys.modules["tensorflow"] = None
sys.path.insert(0, ".")
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def exported(checkpoint, tmp_path_factory):
    """A folder as --onnx writes it."""
    folder = tmp_path_factory.mktemp("exported") / "onnx"
    write_tf2_ssd(folder.parent / "zoo")
    frames = [smooth_noise((36, 36), seed) for seed in range(3)]
    onnx_export.export_detector(folder.parent / "zoo", folder / "obj", frames, "noise", 1)
    onnx_export.export_reid(checkpoint[0], folder / "reid", noise, "noise", batch=4)
    return folder


@needs_extras
def test_export_reid_computes_what_tensorflow_does(checkpoint, exported):
    manifest = json.loads((exported / "reid" / "manifest.json").read_text())
    assert manifest["inputs"] == {"images": {"shape": [-1, *SIZE, 3], "dtype": "float32"}}
    assert manifest["parity"]["min"] > 0.9999 and manifest["batches"] == [1, 2, 4]
    weights = hashlib.sha256(Path(f"{checkpoint[0]}.data-00000-of-00001").read_bytes()).hexdigest()
    assert manifest["source"]["sha256"] == weights  # as freezing notes it, so that people can be shared
    people = np.random.default_rng(5).integers(0, 256, (7, *SIZE, 3), dtype=np.uint8)
    wanted = checkpoint[1](people, training=False).numpy()
    np.testing.assert_allclose(Embedder(exported / "reid").embed(people), wanted, atol=1e-4)


@needs_extras
def test_the_chain_runs_without_tensorflow(exported, tmp_path):
    script = ["-c", WITHOUT_TENSORFLOW]
    made = run(
        sys.executable, *script, "pipeline.py", exported, "--output", tmp_path / "frozen", "--engine=onnxruntime"
    )
    assert made.returncode == 0, made.stderr
    assert board.find_models(tmp_path / "frozen").keys() == {"obj", "reid"}
    write_video(tmp_path / "walk.avi", [picture([(20, 10, 100, 30)])] * 3)
    words = ["--source", tmp_path / "walk.avi", "--headless", "--detector", tmp_path / "frozen/obj"]
    words += ["--reid", tmp_path / "frozen/reid", "--summary", tmp_path / "summary.json"]
    played = run(sys.executable, *script, "demo.py", *words)
    assert played.returncode == 0, played.stderr
    assert json.loads((tmp_path / "summary.json").read_text())["detector"] == "onnxruntime FP32"


def test_check_extras_names_what_is_missing(monkeypatch):
    monkeypatch.setattr(onnx_export.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="^--onnx needs tf2onnx and onnxruntime: pip install tf2onnx onnxruntime$"):
        onnx_export.check_extras()
    monkeypatch.setattr(onnx_export, "is_jetson", lambda: True)
    with pytest.raises(InputError, match="--onnx is a step for the desktop"):
        onnx_export.check_extras()


def test_convert_names_a_converter_that_fails(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tf2onnx", None)  # as if it could not be imported
    with pytest.raises(
        InputError, match="tf2onnx cannot convert the net with TensorFlow .* and numpy .*ModuleNotFoundError"
    ):
        onnx_export._convert(None, tmp_path / "model.onnx")
