"""TensorRT without TensorRT: decisions with a fake converter, calls against the signature of the real class."""

import functools
import inspect
import json
import re
import shlex
import shutil
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from tests.fakes import noise, picture, write_tf2_detector
from tests.helpers import draw_set
from utils.deploy import check, child, saved_model, trt
from utils.deploy.child import run_child
from utils.deploy.compared_images import PersonImages
from utils.deploy.detector import Detector
from utils.deploy.freeze import FreezeOptions, freeze_detector, freeze_reid
from utils.deploy.manifest import read_manifest
from utils.deploy.reid_net import Embedder
from utils.errors import InputError

SIZE = (64, 32)
FRAMES = [picture([(30, 45, 90, 55)])]


@pytest.fixture
def tensorrt(monkeypatch):
    """Pretends that TensorRT 8.5.2 is installed; returns the fake conversion, and what it was asked for."""
    here = {"run": shutil.copytree, "capability": [8, 7], "asked": []}

    def convert(source, target, kind, precision, inputs, workspace):
        with np.load(inputs) as arrays:
            here["asked"].append((kind, precision, workspace, {name: arrays[name] for name in arrays}))
        here["run"](source, target)
        return {"engines": 1, "tensorflow_ops": {"Cast": 1}}

    found = {"version": "8.5.2", "reason": "TensorRT 8.5.2"}
    monkeypatch.setattr(trt, "probe", lambda: {**found, "capability": here["capability"]})
    monkeypatch.setattr(trt, "convert", convert)
    monkeypatch.setattr(check, "measure_in_child", check.measure)
    monkeypatch.setattr(saved_model, "check_device", lambda folder, manifest: None)
    return here


def test_freeze_reid_with_tensorrt_in_int8(checkpoint, tmp_path, tensorrt):
    images = PersonImages(draw_set(tmp_path / "set", 2, 4))
    options = FreezeOptions(precision="INT8", workspace=64, images_from=images.source)
    calibration = functools.partial(images.calibration, count=7)
    manifest = freeze_reid(checkpoint[0], tmp_path / "reid", images.compared, options, batch=4, calibration=calibration)
    assert (manifest["engine"], manifest["precision"], manifest["engines"]) == ("tf-trt", "INT8", 1)
    assert manifest["built_for"]["tensorrt"] == "8.5.2" and manifest["tensorflow_ops"] == {"Cast": 1}
    assert manifest["calibration"] == {"images": 7, "images_from": images.source}
    [(kind, precision, workspace, arrays)] = tensorrt["asked"]
    assert (kind, precision, workspace) == ("reid", "INT8", 64)
    np.testing.assert_array_equal(arrays["example_4"], images.compared(SIZE)[:4])
    wanted = images.calibration(SIZE, 7)
    assert arrays["calibration"].shape == (2, 4, *SIZE, 3)  # batches of one size, so the first image fills the last
    np.testing.assert_array_equal(arrays["calibration"].reshape(8, *SIZE, 3), np.concatenate([wanted, wanted[:1]]))
    # It is calibrated on one shape; the plain graph stays beside, complete.
    assert Embedder(tmp_path / "reid").batches == [4]
    plain = read_manifest(tmp_path / "reid" / "plain", "reid")
    assert (plain["engine"], plain["precision"]) == ("tensorflow", "FP32")
    assert Embedder(tmp_path / "reid" / "plain").batches == [1, 2, 4]


def test_freeze_reid_with_tensorrt_has_an_engine_for_each_batch(checkpoint, tmp_path, tensorrt):
    manifest = freeze_reid(checkpoint[0], tmp_path / "reid", noise, batch=4)
    assert (manifest["engine"], manifest["precision"], manifest["batches"]) == ("tf-trt", "FP16", [1, 2, 4])
    assert manifest["inputs"] == {"images": {"shape": [-1, *SIZE, 3], "dtype": "uint8"}}
    [(_, _, _, arrays)] = tensorrt["asked"]
    assert {name: array.shape for name, array in arrays.items()} == {f"example_{n}": (n, *SIZE, 3) for n in (1, 2, 4)}
    images = noise(SIZE)
    embedder = Embedder(tmp_path / "reid")
    wanted = checkpoint[1](images, training=False)
    for batch in (1, 2, 4):
        np.testing.assert_allclose(embedder.embed_by(batch, images), wanted, atol=1e-5)
    assert read_manifest(tmp_path / "reid" / "plain", "reid")["inputs"]["images"]["shape"][0] == 4


def test_freeze_reid_refuses_int8_without_images(checkpoint, tmp_path, tensorrt):
    with pytest.raises(InputError, match="--precision=INT8 needs images .*--images"):
        freeze_reid(checkpoint[0], tmp_path / "reid", noise, FreezeOptions(precision="INT8"))
    assert not (tmp_path / "reid").exists()


@pytest.mark.parametrize(
    "kind, capability, precision, words",
    [
        ("reid", [8, 7], "INT8", ""),  # Orin
        ("reid", [7, 2], "INT8", ""),  # Xavier
        ("reid", [6, 2], "FP16", "of compute capability 6.2, has no INT8"),  # TX2
        ("reid", [5, 3], "FP16", "of compute capability 5.3, has no INT8"),  # Nano
        ("reid", None, "INT8", ""),
        ("obj", [8, 7], "FP16", "INT8 is for the re-id net"),
    ],
)
def test_choose_precision(kind, capability, precision, words):
    chosen, why = trt.choose_precision(kind, "INT8", capability)
    assert chosen == precision and words in why and bool(words) == bool(why)
    assert trt.choose_precision(kind, "FP32", capability) == ("FP32", "")


def test_freeze_detector_in_int8_gets_fp16(tmp_path, tensorrt):
    write_tf2_detector(tmp_path / "zoo")
    manifest = freeze_detector(tmp_path / "zoo", tmp_path / "obj", FRAMES, options=FreezeOptions(precision="INT8"))
    assert (manifest["engine"], manifest["precision"]) == ("tf-trt", "FP16")
    assert manifest["reason"].startswith("TensorRT 8.5.2; INT8 is for the re-id net")
    [(kind, precision, _, arrays)] = tensorrt["asked"]
    assert (kind, precision, list(arrays)) == ("obj", "FP16", ["example_1"])
    assert arrays["example_1"].shape == (1, 120, 240, 3)


def test_freeze_detector_keeps_the_plain_graph_if_the_conversion_fails(tmp_path, tensorrt):
    def fails(source, target):
        raise trt.NotConverted("TensorRT could not convert it (ended by signal 9: no message)")

    tensorrt["run"] = fails
    write_tf2_detector(tmp_path / "zoo")
    manifest = freeze_detector(tmp_path / "zoo", tmp_path / "obj", FRAMES)
    assert manifest["engine"] == "tensorflow"
    wanted = "TensorRT 8.5.2 is available, but TensorRT could not convert it (ended by signal 9"
    assert manifest["reason"].startswith(wanted)
    assert manifest == json.loads((tmp_path / "obj" / "manifest.json").read_text())


def test_a_converted_model_that_does_not_run_is_not_taken(tmp_path, tensorrt, monkeypatch):
    monkeypatch.setattr(check, "measure_in_child", lambda *_: {"error": "ended by signal 9: no message"})
    write_tf2_detector(tmp_path / "zoo")
    manifest = freeze_detector(tmp_path / "zoo", tmp_path / "obj", FRAMES)
    assert manifest["engine"] == "tensorflow"
    assert manifest["reason"].endswith("but what it made does not run (ended by signal 9: no message)")


def test_freeze_detector_refuses_an_inaccurate_conversion_and_keeps_the_plain_graph(tmp_path, tensorrt):
    tensorrt["run"] = lambda source, target: write_tf2_detector(target, scale=0.1)  # no longer finds anybody
    write_tf2_detector(tmp_path / "zoo")
    wanted = r"TensorRT 8.5.2 is available, but the frozen model differs .* is 0.0000, .*/obj now holds the plain"
    with pytest.raises(InputError, match=wanted):
        freeze_detector(tmp_path / "zoo", tmp_path / "obj", FRAMES, options=FreezeOptions(min_parity=0.9))
    manifest = read_manifest(tmp_path / "obj", "obj")
    assert manifest["engine"] == "tensorflow" and "differs from the original" in manifest["reason"]
    assert len(Detector(tmp_path / "obj").detect(FRAMES[0])[0]) == 1 and not (tmp_path / "obj" / "plain").exists()


# ---- the call ----


def arguments_for(precision, major, converter, params, shapes=1):
    return trt.converter_arguments(converter, params, "saved_model", precision, 64, 3, major, shapes)


@pytest.mark.parametrize("precision", trt.PRECISIONS)
@pytest.mark.parametrize("major, shapes", [(8, 1), (8, 3), (10, 1)])
def test_converter_arguments_fit_the_real_converter(major, shapes, precision):
    """TensorFlow still ships the class in 2.21, long after it was built with TensorRT: the signature can be bound."""
    from tensorflow.python.compiler.tensorrt import trt_convert

    converter = trt_convert.TrtGraphConverterV2
    arguments = arguments_for(precision, major, converter, trt_convert.TrtConversionParams, shapes)
    bound = inspect.signature(converter).bind(**arguments).arguments
    params = bound["conversion_params"]
    trt_convert._check_conversion_params(params, is_v2=True)  # what the constructor itself checks
    assert (params.precision_mode, params.use_calibration) == (precision, precision == "INT8")
    assert params.max_workspace_size_bytes == 64 * 1024 * 1024 and params.allow_build_at_runtime is False
    if major == 10 or shapes > 1:
        assert bound["use_dynamic_shape"] is True
        converter._verify_profile_strategy(None, bound["dynamic_shape_profile_strategy"])
    else:
        assert "use_dynamic_shape" not in bound


def test_converter_arguments_without_conversion_params():
    def converter(input_saved_model_dir=None, use_dynamic_shape=None, dynamic_shape_profile_strategy=None, **settings):
        return settings

    params = namedtuple("Params", "max_workspace_size_bytes precision_mode minimum_segment_size")
    settings = converter(**arguments_for("FP16", 10, converter, params))
    assert (settings["precision_mode"], settings["max_workspace_size_bytes"]) == ("FP16", 64 << 20)


@pytest.mark.parametrize("int8", [False, True])
def test_run_converter_takes_the_steps_in_order(tmp_path, int8):
    """Each step is bound to the real method; inputs are fed as tuples, which all versions take."""
    from tensorflow.python.compiler.tensorrt import trt_convert

    steps = []
    graph = tf.Graph()
    with graph.as_default():
        images = tf.compat.v1.placeholder(tf.uint8, [2])
        tf.square(tf.cast(images, tf.float32) + 1.0)

    class Converter:
        def __getattr__(self, name):
            real = getattr(trt_convert.TrtGraphConverterV2, name)

            def step(*args, **kwargs):
                inspect.signature(real).bind(self, *args, **kwargs)
                feed = next((kwargs[key] for key in ("input_fn", "calibration_input_fn") if key in kwargs), None)
                steps.append((name, feed and list(feed())))
                if name == "save":
                    (tmp_path / "assets").mkdir()
                    (tmp_path / "assets/trt-serialized-engine.TRTEngineOp_000_000").write_bytes(b"an engine")
                    (tmp_path / "assets/trt-serialized-engine.TRTEngineOp_000_001").touch()  # that was never built
                return SimpleNamespace(graph=graph)

            return step

    examples = [np.zeros(2, np.uint8), np.zeros(3, np.uint8)][: 1 if int8 else 2]
    calibration = [np.ones(2, np.uint8), np.full(2, 2, np.uint8)]
    answer = trt.run_converter(Converter(), examples, calibration if int8 else None, str(tmp_path))
    assert [name for name, _ in steps] == ["convert", "build", "save"]
    assert steps[0][1] == ([(calibration[0],), (calibration[1],)] if int8 else None)
    assert [len(fed) for fed in steps[1][1]] == [1] * len(examples)
    assert all(fed[0] is example for fed, example in zip(steps[1][1], examples))
    assert answer == {"engines": 1, "tensorflow_ops": {"AddV2": 1, "Cast": 1, "Square": 1}}


# ---- the child process ----


def test_a_child_measures_a_model(tmp_path):
    """With a model that is not there: the answer is a sentence, and the arguments arrive."""
    answer = check.measure_in_child(tmp_path / "gone", "reid", tmp_path / "check.npz")
    assert answer["error"].startswith(f"exit code 2: error: {tmp_path / 'check.npz'} cannot be read")


def test_probe_never_ends_the_process():
    answer = trt.probe()  # the real one, in a process of its own
    assert set(answer) == {"version", "reason", "capability"} and answer["reason"]
    if not tf.sysconfig.get_build_info()["is_tensorrt_build"]:
        assert answer["reason"] == f"TensorFlow {tf.__version__} is built without TensorRT"


def program(tmp_path, text):
    path = tmp_path / "python"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_child_that_dies_is_an_answer(tmp_path, monkeypatch):
    monkeypatch.setattr(child.sys, "executable", "/bin/false")
    assert run_child("utils.deploy.trt", ["probe"], 10) == {"error": "exit code 1: no message"}
    monkeypatch.setattr(child.sys, "executable", program(tmp_path, "echo out of words >&2; kill -ABRT $$"))
    assert run_child("utils.deploy.trt", ["probe"], 10) == {"error": "ended by signal 6: out of words"}
    monkeypatch.setattr(child.sys, "executable", program(tmp_path, "kill -KILL $$"))
    assert "lack of memory: add swap, or lower --workspace" in run_child("utils.deploy.trt", ["probe"], 10)["error"]
    monkeypatch.setattr(child.sys, "executable", "/nonexistent/python")
    assert "No such file" in run_child("utils.deploy.trt", ["probe"], 10)["error"]
    with pytest.raises(trt.NotConverted, match="TensorRT could not convert it"):
        trt.convert("a", "b", "reid", "FP16", "c")


def test_child_prints_progress_and_has_a_time_limit(tmp_path, monkeypatch, capsys):
    text = """sleep 0.5; echo "noise of TensorFlow"; echo 'answer: {"engines": 0, "tensorflow_ops": {}}'"""
    monkeypatch.setattr(child.sys, "executable", program(tmp_path, text))
    monkeypatch.setattr(child, "TICK_SECONDS", 0.1)
    with pytest.raises(trt.NotConverted, match="supports none of its operations"):
        trt.convert("a", "b", "obj", "FP16", "c")
    ticks = capsys.readouterr().out.splitlines()
    assert len(ticks) >= 3
    line = r"obj: building engines for TensorRT, FP16: \d+ s \.\.\. \(minutes on small boards\)"
    assert all(re.fullmatch(line, tick) for tick in ticks)
    monkeypatch.setattr(child.sys, "executable", program(tmp_path, "exec sleep 20"))
    assert run_child("utils.deploy.trt", ["probe"], 0.3) == {"error": "it did not end within 0.3 s"}


def test_convert_gives_each_kind_its_own_settings(tmp_path, monkeypatch):
    calls = tmp_path / "calls"
    text = f"""echo "$TF_TRT_OP_DENYLIST $*" >> {calls}; echo 'answer: {{"engines": 1, "tensorflow_ops": {{}}}}'"""
    monkeypatch.setattr(child.sys, "executable", program(tmp_path, text))
    monkeypatch.delenv("TF_TRT_OP_DENYLIST", raising=False)
    for kind in ("obj", "reid"):
        trt.convert("a", "b", kind, "FP16", "c", workspace=64)
    obj, reid = (line.split(" -m utils.deploy.trt ") for line in calls.read_text().splitlines())
    assert [obj[0], reid[0]] == ["CombinedNonMaxSuppression", ""]  # operations left to TensorFlow
    args = trt.parse_args(shlex.split(obj[1]))
    assert (args.what, args.source, args.target, args.inputs) == (
        "convert",
        *(str(Path(name).resolve()) for name in "abc"),
    )
    assert (args.precision, args.workspace, args.minimum_segment) == ("FP16", 64, 50)
    assert trt.parse_args(shlex.split(reid[1])).minimum_segment == 3
