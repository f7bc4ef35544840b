"""Frozen models return what the unfrozen ones do, say so in their manifest, replace the old ones only when whole."""

import inspect
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from tests.standins import picture, write_checkpoint, write_tf1_detector, write_tf2_detector
from utils import freeze, frozen, trt
from utils.detector import Detector
from utils.freeze import freeze_detector, freeze_reid
from utils.options import InputError
from utils.reid_net import Embedder

SIZE = (64, 32)
FRAMES = [picture([(30, 45, 90, 55)]), picture([(10, 102, 100, 118), (30, 45, 90, 55)]), picture([])]
NO_TENSORRT = {"version": None, "reason": "none in this test"}


def people(size):
    return np.random.default_rng(1).integers(0, 256, (5, *size, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("m0"), SIZE)


@pytest.fixture(autouse=True)
def no_tensorrt(monkeypatch):
    monkeypatch.setattr(trt, "probe", lambda: NO_TENSORRT)


@pytest.fixture(scope="module")
def reid(checkpoint, tmp_path_factory):
    """A frozen re-id net of batch 4 and the manifest that freezing returned."""
    folder = tmp_path_factory.mktemp("frozen") / "reid"
    return folder, freeze_reid(checkpoint[0], folder, people, batch=4, engine="tensorflow")


def test_frozen_reid_net_embeds_like_the_trained_one(checkpoint, reid):
    images = np.random.default_rng(2).integers(0, 256, (11, *SIZE, 3), dtype=np.uint8)  # two full batches and a part
    embedder = Embedder(reid[0])
    embeddings = embedder.embed(images)
    np.testing.assert_allclose(embeddings, checkpoint[1](images, training=False).numpy(), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)
    assert embedder.embed(images[:0]).shape == (0, 32)
    with pytest.raises(AssertionError):
        embedder.embed(images.astype(np.float32))


def test_the_manifest_says_what_was_built(checkpoint, reid):
    folder, manifest = reid
    assert manifest == json.loads((folder / "manifest.json").read_text())
    assert manifest["inputs"] == {"images": {"shape": [4, *SIZE, 3], "dtype": "uint8"}}
    assert manifest["outputs"] == {"embeddings": {"shape": [4, 32], "dtype": "float32"}}
    assert (manifest["batch"], manifest["image_size"], manifest["colour_order"]) == (4, list(SIZE), "RGB")
    assert (manifest["engine"], manifest["precision"], manifest["reason"]) == ("tensorflow", "FP32", "asked for")
    assert manifest["built_for"] == {"tensorflow": tf.__version__, "tensorrt": None, "gpu": frozen.gpu_name()}
    assert manifest["source"]["checkpoint"] == checkpoint[0]
    assert 0.99999 < manifest["parity"]["min"] <= manifest["parity"]["mean"] < 1.00001


def test_frozen_graph_holds_neither_variables_nor_batchnorm(reid):
    model = SavedModel.FromString((reid[0] / "saved_model.pb").read_bytes())
    functions = model.meta_graphs[0].graph_def.library.function
    operations = [node.op for function in functions for node in function.node_def]
    assert "Conv2D" in operations
    assert not [name for name in operations if "BatchNorm" in name or "ReadVariable" in name]


def test_too_little_parity_replaces_nothing(checkpoint, reid):
    folder, manifest = reid
    with pytest.raises(InputError, match="smallest cosine .* is 1.0000, below 1.1; nothing was replaced"):
        freeze_reid(checkpoint[0], folder, people, batch=2, min_parity=1.1)
    assert json.loads((folder / "manifest.json").read_text()) == manifest
    assert [path.name for path in folder.parent.iterdir()] == ["reid"]  # no temporary folder stays


@pytest.mark.parametrize("write, name", [(write_tf1_detector, "inputs"), (write_tf2_detector, "input_tensor")])
def test_detectors_of_both_zoos(write, name, tmp_path):
    write(tmp_path / "zoo" / "saved_model")
    (tmp_path / "zoo" / "source.json").write_text('{"name": "a stand-in"}')
    manifest = freeze_detector(tmp_path / "zoo" / "saved_model", tmp_path / "obj", FRAMES)
    assert list(manifest["inputs"]) == [name] and manifest["kind"] == "obj"
    assert manifest["source"]["note"] == {"name": "a stand-in"}
    assert manifest["parity"]["min"] == 1.0 and manifest["parity"]["boxes"] == 3
    shutil.rmtree(tmp_path / "zoo")
    detector = Detector(tmp_path / "obj")
    boxes, _ = detector.detect(picture([(20, 62, 70, 78)], size=(100, 240)))
    np.testing.assert_allclose(boxes, [[0.2, 62 / 240, 0.7, 78 / 240]], atol=1e-6)


def test_detections_compared():
    def detections(*rows):  # (box, score, class)
        boxes, scores, classes = zip(*rows)
        return np.array(boxes, np.float32), np.array(scores, np.float32), np.array(classes, np.float32)

    left, moved, right = [0, 0, 1, 0.5], [0, 0.1, 1, 0.6], [0, 0.6, 1, 1]
    wanted = [detections((left, 0.9, 1), (right, 0.8, 3), (right, 0.1, 1))]  # a person, a car, and hardly a person
    found = [detections((right, 0.8, 1), (moved, 0.7, 1), (left, 0.9, 3))]
    parity = freeze._compare_detections(wanted, found)
    assert (parity["boxes"], parity["pictures"]) == (1, 1)
    assert parity["min"] == parity["mean"] == pytest.approx(0.4 / 0.6)
    assert parity["score_difference"] == pytest.approx(0.6)  # the lowest of three: 0.1 and 0.7
    nobody = freeze._compare_detections([detections((left, 0.2, 1))], found)
    assert nobody["min"] is None and nobody["boxes"] == 0


def test_place_that_cannot_be_written(checkpoint, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        freeze_reid(checkpoint[0], tmp_path / "file" / "reid", people)


# TensorRT is on no test machine: the decisions are tested with a stand-in, the call against the real signature


@pytest.fixture
def tensorrt(monkeypatch):
    """As if TensorRT 8.5.2 were here; returns what a test sets as the conversion."""
    conversion = {"run": lambda source, target: shutil.copytree(source, target)}
    monkeypatch.setattr(trt, "probe", lambda: {"version": "8.5.2", "reason": "TensorRT 8.5.2"})
    monkeypatch.setattr(trt, "convert", lambda source, target, precision, pictures: conversion["run"](source, target))
    monkeypatch.setattr(frozen, "_check_device", lambda folder, manifest: None)
    return conversion


def test_tensorrt_is_used_where_it_is(checkpoint, tmp_path, tensorrt):
    manifest = freeze_reid(checkpoint[0], tmp_path / "reid", people, batch=2, precision="FP16")
    assert (manifest["engine"], manifest["precision"]) == ("tf-trt", "FP16")
    assert manifest["built_for"]["tensorrt"] == "8.5.2"
    plain = frozen.read_manifest(tmp_path / "reid" / "plain", "reid")
    assert (plain["engine"], plain["precision"]) == ("tensorflow", "FP32")
    assert Embedder(tmp_path / "reid" / "plain").batch == 2
    manifest = freeze_reid(checkpoint[0], tmp_path / "reid", people, batch=2, engine="tensorflow")
    assert (manifest["engine"], manifest["reason"]) == ("tensorflow", "asked for")


def test_a_failed_conversion_leaves_the_plain_graph(checkpoint, tmp_path, tensorrt):
    def fails(source, target):
        raise InputError("TensorRT could not convert it (ended by signal 9: it said nothing)")

    tensorrt["run"] = fails
    manifest = freeze_reid(checkpoint[0], tmp_path / "reid", people, batch=2)
    assert manifest["engine"] == "tensorflow"
    assert manifest["reason"].startswith(
        "TensorRT 8.5.2 is there, but TensorRT could not convert it (ended by signal 9"
    )
    assert manifest == json.loads((tmp_path / "reid" / "manifest.json").read_text())


def test_an_inaccurate_conversion_leaves_the_plain_graph(checkpoint, tmp_path, tensorrt):
    other, _ = write_checkpoint(tmp_path / "other", SIZE, seed=9)

    def converts_wrongly(source, target):
        probe, trt.probe = trt.probe, lambda: NO_TENSORRT
        freeze_reid(other, target, people, batch=2)
        trt.probe = probe

    tensorrt["run"] = converts_wrongly
    manifest = freeze_reid(checkpoint[0], tmp_path / "reid", people, batch=2, min_parity=0.999)
    assert manifest["engine"] == "tensorflow" and "differs from the original" in manifest["reason"]
    assert Embedder(tmp_path / "reid").batch == 2 and not (tmp_path / "reid" / "plain").exists()


@pytest.mark.parametrize("major", [8, 10])
def test_the_real_converter_takes_our_arguments(major):
    from tensorflow.python.compiler.tensorrt import trt_convert

    arguments = trt.converter_arguments(trt_convert, "saved_model", "FP16", major)
    bound = inspect.signature(trt_convert.TrtGraphConverterV2.__init__).bind(None, **arguments).arguments
    assert bound["conversion_params"].precision_mode in trt_convert.TrtPrecisionMode.supported_precision_modes()
    assert bound.get("use_dynamic_shape") == (True if major == 10 else None)


def test_asking_for_tensorrt_never_ends_the_process(monkeypatch):
    monkeypatch.undo()  # the real question, in a process of its own
    answer = trt.probe()
    assert set(answer) == {"version", "reason"} and answer["reason"]
    if not tf.sysconfig.get_build_info()["is_tensorrt_build"]:
        assert answer == {"version": None, "reason": f"TensorFlow {tf.__version__} is built without TensorRT"}


def test_a_child_that_dies_is_an_answer(monkeypatch):
    monkeypatch.setattr(trt.sys, "executable", "/bin/false")
    assert trt._child(["probe"], 10) == {"error": "exit code 1: it said nothing"}
    monkeypatch.setattr(trt.sys, "executable", "/nonexistent/python")
    assert "No such file" in trt._child(["probe"], 10)["error"]
    with pytest.raises(InputError, match="TensorRT could not convert it"):
        freeze.trt.convert("a", "b", "FP16", "c")
