"""The exported ONNX model computes what TensorFlow does; without the extra packages the export is refused."""

import importlib.util
import json
import shutil
import sys

import numpy as np
import pytest

import pipeline
from tests.fakes import noise, write_checkpoint
from utils.deploy import onnx_export
from utils.errors import InputError

SIZE = (64, 32)
needs_extras = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in onnx_export.EXTRAS), reason="pip install tf2onnx onnxruntime"
)


@pytest.fixture(scope="module")
def exported(checkpoint, tmp_path_factory):
    """The folder of an exported model of batch 3 and what write_onnx returned; the conversion takes long."""
    folder = tmp_path_factory.mktemp("exported") / "onnx"
    return folder, onnx_export.write_onnx(checkpoint[0], folder, noise, "noise", batch=3)


@pytest.fixture
def converted(exported, monkeypatch):
    """Replaces the conversion by a copy of the model that is exported already."""
    monkeypatch.setattr(onnx_export, "_convert", lambda function, path: shutil.copy(exported[0] / "reid.onnx", path))


@needs_extras
def test_write_onnx_computes_what_tensorflow_does(checkpoint, exported):
    import onnx
    import onnxruntime

    folder, about = exported
    assert about == json.loads((folder / "reid.json").read_text())
    assert about["inputs"] == {"images": {"shape": [3, *SIZE, 3], "dtype": "float32"}}
    assert about["parity"]["min"] > 0.9999 and about["parity"]["images"] == 5
    model = onnx.load(str(folder / "reid.onnx"))
    onnx.checker.check_model(model)
    assert [opset.version for opset in model.opset_import if not opset.domain] == [13]
    operations = {node.op_type for node in model.graph.node}
    assert "Conv" in operations and not operations & {"ReverseSequence", "BatchNormalization", "Loop", "Cast"}
    session = onnxruntime.InferenceSession(str(folder / "reid.onnx"), providers=["CPUExecutionProvider"])
    [images], [embeddings] = session.get_inputs(), session.get_outputs()
    assert (images.name, images.type, images.shape) == ("images", "tensor(float)", [3, *SIZE, 3])
    assert (embeddings.name, embeddings.shape) == ("embeddings", [3, 32])
    people = np.random.default_rng(5).integers(0, 256, (3, *SIZE, 3), dtype=np.uint8)
    found = session.run(None, {"images": people.astype(np.float32)})[0]
    np.testing.assert_allclose(found, checkpoint[1](people, training=False).numpy(), atol=1e-4)


@needs_extras
def test_write_onnx_refuses_a_model_that_computes_something_else(converted, tmp_path):
    other, _ = write_checkpoint(tmp_path / "other", SIZE, seed=9)
    with pytest.raises(InputError, match="smallest cosine .*, below 0.9999; nothing was replaced"):
        onnx_export.write_onnx(other, tmp_path / "onnx", noise, "noise", batch=3)
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


@needs_extras
def test_pipeline_prints_the_command_for_the_board(checkpoint, converted, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(pipeline, "prepare_reid", lambda args, reid: None)
    pipeline.main(
        pipeline.parse_args([checkpoint[0], "--onnx", "--batch=3", "--output", str(tmp_path), "--engine=tensorflow"])
    )
    printed = capsys.readouterr().out
    assert f"trtexec --onnx={tmp_path}/onnx/reid.onnx --saveEngine={tmp_path}/onnx/reid.engine --fp16" in printed
    assert json.loads((tmp_path / "onnx/reid.json").read_text())["parity"]["images"] == 48  # drawn people


def test_check_extras_names_what_is_missing(monkeypatch):
    monkeypatch.setattr(onnx_export.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="^--onnx needs tf2onnx and onnxruntime: pip install tf2onnx onnxruntime$"):
        onnx_export.check_extras()


def test_convert_names_a_converter_that_fails(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tf2onnx", None)  # as if it could not be imported
    with pytest.raises(
        InputError, match="tf2onnx cannot convert the net with TensorFlow .* and numpy .*ModuleNotFoundError"
    ):
        onnx_export._convert(None, tmp_path / "reid.onnx")


def test_trtexec_line():
    assert onnx_export.trtexec_line("a", "FP32") == (
        "/usr/src/tensorrt/bin/trtexec --onnx=a/reid.onnx --saveEngine=a/reid.engine"
    )
