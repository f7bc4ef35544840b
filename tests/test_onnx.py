"""The re-id net as ONNX computes what TensorFlow does; without the tools it is refused in a sentence."""

import importlib.util
import json
import sys

import numpy as np
import pytest

from tests.conftest import refusal, run
from tests.fakes import noise, write_checkpoint
from utils.deploy import onnx_export
from utils.errors import InputError

SIZE = (64, 32)
HERE = all(importlib.util.find_spec(name) for name in onnx_export.EXTRAS)


@pytest.mark.skipif(not HERE, reason="pip install tf2onnx onnxruntime")
def test_onnx_computes_what_tensorflow_does(tmp_path):
    checkpoint, net = write_checkpoint(tmp_path / "m0", SIZE)
    done = run("pipeline.py", checkpoint, "--onnx", "--batch=3", "--output", tmp_path / "frozen")
    assert done.returncode == 0, done.stderr
    path = tmp_path / "frozen/onnx/reid.onnx"
    assert f"trtexec --onnx={path} --saveEngine={tmp_path}/frozen/onnx/reid.engine --fp16" in done.stdout
    about = json.loads((tmp_path / "frozen/onnx/reid.json").read_text())
    assert about["inputs"] == {"images": {"shape": [3, *SIZE, 3], "dtype": "float32"}}
    assert about["parity"]["min"] > 0.9999 and about["parity"]["images"] == 48

    import onnx
    import onnxruntime

    model = onnx.load(str(path))
    onnx.checker.check_model(model)
    assert [opset.version for opset in model.opset_import if not opset.domain] == [13]
    operations = {node.op_type for node in model.graph.node}
    assert "Conv" in operations and not operations & {"ReverseSequence", "BatchNormalization", "Loop", "Cast"}
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    [images], [embeddings] = session.get_inputs(), session.get_outputs()
    assert (images.name, images.type, images.shape) == ("images", "tensor(float)", [3, *SIZE, 3])
    assert (embeddings.name, embeddings.shape) == ("embeddings", [3, 32])
    pictures = np.random.default_rng(5).integers(0, 256, (3, *SIZE, 3), dtype=np.uint8)
    found = session.run(None, {"images": pictures.astype(np.float32)})[0]
    np.testing.assert_allclose(found, net(pictures, training=False).numpy(), atol=1e-4)


@pytest.mark.skipif(not HERE, reason="pip install tf2onnx onnxruntime")
def test_onnx_that_computes_something_else_is_not_kept(tmp_path, monkeypatch):
    checkpoint, _ = write_checkpoint(tmp_path / "m0", SIZE)
    other, _ = write_checkpoint(tmp_path / "other", SIZE, seed=9)
    wrong = onnx_export.rgb_net(onnx_export.load_embedding_net(other)[0])
    monkeypatch.setattr(onnx_export, "rgb_net", lambda net: wrong)
    with pytest.raises(InputError, match="smallest cosine .*, below 0.9999; nothing was replaced"):
        onnx_export.write_onnx(checkpoint, tmp_path / "onnx", noise, "noise", batch=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m0", "other"]


def test_without_the_tools(monkeypatch):
    monkeypatch.setattr(onnx_export.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="^--onnx needs tf2onnx and onnxruntime: pip install tf2onnx onnxruntime$"):
        onnx_export.check_extras()


def test_a_converter_that_fails_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tf2onnx", None)  # as if it could not be imported
    with pytest.raises(
        InputError, match="tf2onnx cannot convert it with TensorFlow .* and numpy .*ModuleNotFoundError"
    ):
        onnx_export._convert(None, tmp_path / "reid.onnx")


def test_onnx_is_for_the_reid_net():
    assert "--onnx is for the re-id net" in refusal(run("pipeline.py", "obj", "--onnx"))


def test_the_line_for_the_board():
    assert onnx_export.trtexec_line("a", "FP32") == (
        "/usr/src/tensorrt/bin/trtexec --onnx=a/reid.onnx --saveEngine=a/reid.engine"
    )
