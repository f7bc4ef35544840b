"""Manifests of frozen models: those that do not fit the model or the machine are refused in a sentence."""

import json

import pytest
import tensorflow as tf

from tests.fakes import picture, write_tf2_detector
from utils.deploy import manifest as manifests
from utils.deploy import saved_model
from utils.deploy.detector import Detector
from utils.deploy.manifest import read_manifest
from utils.deploy.reid_net import Embedder
from utils.deploy.saved_model import check_device, load_saved_model
from utils.errors import InputError


def write_manifest(folder, **changes):
    """Writes the manifest of the TF2 detector in `folder`, with changes."""
    about = saved_model.describe_signature(load_saved_model(folder)[1])
    content = {
        "format": manifests.FORMAT,
        "kind": "obj",
        "colour_order": "RGB",
        "engine": "tensorflow",
        "precision": "FP32",
        "built_for": {},
    }
    manifests.write_manifest(folder, {**content, **about, **changes})


def test_read_manifest_refuses_what_does_not_fit(tmp_path):
    folder = tmp_path / "obj"
    with pytest.raises(InputError, match="does not hold a frozen detector: run python3 pipeline.py here"):
        Detector(folder)
    write_tf2_detector(folder)
    write_manifest(folder)
    assert len(Detector(folder).detect(picture([(30, 45, 90, 55)]))[0]) == 1
    with pytest.raises(InputError, match="is a frozen detector, not a re-id net"):
        Embedder(folder)
    write_manifest(folder, colour_order="BGR")
    with pytest.raises(InputError, match="takes BGR images"):
        Detector(folder)
    write_manifest(folder, inputs={"input_tensor": {"shape": [1, 300, 300, 3], "dtype": "uint8"}})
    with pytest.raises(InputError, match="does not hold the model that its manifest.json describes"):
        Detector(folder)
    for content in ("{", "[]", '{"format": 1}', json.dumps({"format": 99})):
        (folder / "manifest.json").write_text(content)
        with pytest.raises(InputError, match="is not a manifest of this version"):
            read_manifest(folder, "obj")


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"gpu": "Xavier"}, r"another device \(Xavier; here: Orin\)"),
        ({"device": "Orin NX"}, r"another device \(Orin NX; here: Orin Nano\)"),
        ({"tensorrt": "8.5.2"}, "for TensorRT 8.5.2, but this machine has 8.6.1"),
    ],
)
def test_read_manifest_refuses_engines_of_another_machine(tmp_path, monkeypatch, change, sentence):
    monkeypatch.setattr(tf.sysconfig, "get_build_info", lambda: {"is_tensorrt_build": True})
    monkeypatch.setattr(saved_model, "gpu_name", lambda: "Orin")
    monkeypatch.setattr(saved_model, "device_name", lambda: "Orin Nano")
    monkeypatch.setattr(saved_model, "_tensorrt_version", lambda: "8.6.1")
    here = {"gpu": "Orin", "device": "Orin Nano", "tensorrt": "8.6.1"}
    write_tf2_detector(tmp_path)
    write_manifest(tmp_path, engine="tf-trt", built_for=here)
    check_device(tmp_path, read_manifest(tmp_path, "obj"))
    write_manifest(tmp_path, engine="tf-trt", built_for={**here, **change})
    with pytest.raises(InputError, match=f"{sentence}: run python3 pipeline.py here"):
        Detector(tmp_path)


def test_read_manifest_refuses_engines_without_tensorrt(tmp_path, monkeypatch):
    monkeypatch.setattr(tf.sysconfig, "get_build_info", lambda: {"is_tensorrt_build": False})
    write_tf2_detector(tmp_path)
    write_manifest(tmp_path, engine="tf-trt", built_for={"gpu": "Orin"})
    with pytest.raises(InputError, match="built with TensorRT, which this TensorFlow does not have"):
        Detector(tmp_path)
