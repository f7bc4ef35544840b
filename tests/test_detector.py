"""The detector against pictures whose people are known; what does not fit is refused in a sentence."""

import json

import cv2
import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import ROOT
from tests.fakes import picture, write_model, write_tf1_detector, write_tf2_detector
from utils.deploy import saved_model
from utils.deploy.detector import Detector
from utils.deploy.reid_net import Embedder, crop_people
from utils.deploy.saved_model import load_saved_model, read_manifest
from utils.errors import InputError
from utils.setup import tfjs

ZOO = ROOT / "models/downloads/detector/saved_model"
FOOTAGE = ROOT / "models/downloads/vtest.avi"
UINT8 = tf.TensorSpec([1, None, None, 3], tf.uint8, name="input_tensor")


@pytest.fixture(scope="module")
def detectors(tmp_path_factory):
    folder = tmp_path_factory.mktemp("detectors")
    write_tf1_detector(folder / "tf1")
    write_tf2_detector(folder / "tf2")
    return folder


@pytest.mark.parametrize("kind", ["tf1", "tf2"])
def test_people_are_found_where_they_are(detectors, kind):
    detector = Detector(detectors / kind, 0.5, frozen=False)
    boxes, scores = detector.detect(picture([(30, 45, 90, 55), (10, 102, 100, 118)]))  # red in BGR: RGB must go in
    assert boxes.dtype == np.float32 and scores.dtype == np.float32
    wanted = [[30 / 120, 45 / 240, 90 / 120, 55 / 240], [10 / 120, 102 / 240, 100 / 120, 118 / 240]]
    np.testing.assert_allclose(boxes, wanted, atol=1e-6)  # the car over everything is no person
    np.testing.assert_allclose(scores, [0.9, 0.9])


def test_nobody_and_threshold(detectors):
    boxes, scores = Detector(detectors / "tf2", 0.5, frozen=False).detect(picture([]))
    assert boxes.shape == (0, 4) and scores.shape == (0,)
    boxes, _ = Detector(detectors / "tf2", 0.95, frozen=False).detect(picture([(30, 45, 90, 55)]))
    assert len(boxes) == 0


def test_boxes_much_wider_than_high_are_no_person(detectors):
    detector = Detector(detectors / "tf2", 0.5, frozen=False)
    for high, found in ((9, 1), (7, 0)):  # pixels, of a frame that is not square
        boxes, _ = detector.detect(picture([(30, 101, 30 + high, 117)]))
        assert len(boxes) == found, high


def test_a_broken_frame_is_refused(detectors):
    detector = Detector(detectors / "tf2", frozen=False)
    for frame in (np.zeros((0, 10, 3), np.uint8), np.zeros((10, 10), np.uint8), np.zeros((10, 10, 3), np.float32)):
        with pytest.raises(ValueError, match="a frame is"):
            detector.detect(frame)


def test_models_that_are_no_detectors(tmp_path):
    with pytest.raises(InputError, match="contains no saved_model.pb"):
        Detector(tmp_path, frozen=False)
    write_model(tmp_path / "other", lambda input_tensor: {"logits": tf.zeros([1, 10])}, UINT8)
    with pytest.raises(InputError, match="does not return detection_boxes, detection_scores, detection_classes"):
        Detector(tmp_path / "other", frozen=False)
    names = ("detection_boxes", "detection_scores", "detection_classes")
    wrong = tf.TensorSpec([1, 300, 300, 3], tf.float32, name="input_tensor")
    write_model(tmp_path / "float", lambda input_tensor: {name: tf.zeros([1, 1]) for name in names}, wrong)
    with pytest.raises(InputError, match="takes float32 .* not uint8 pictures"):
        Detector(tmp_path / "float", frozen=False)
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "saved_model.pb").write_bytes(b"not a protocol buffer")
    with pytest.raises(InputError, match="cannot be loaded by TensorFlow"):
        Detector(tmp_path / "damaged", frozen=False)


def write_manifest(folder, **changes):
    """The manifest that fits the TF2 stand-in, but for the changes."""
    about = saved_model.describe_signature(load_saved_model(folder)[1])
    content = {
        "format": saved_model.FORMAT,
        "kind": "obj",
        "colour_order": "RGB",
        "engine": "tensorflow",
        "precision": "FP32",
        "built_for": {},
    }
    saved_model.write_manifest(folder, {**content, **about, **changes})


def test_manifests_that_do_not_fit(tmp_path, monkeypatch):
    folder = tmp_path / "obj"
    with pytest.raises(InputError, match="does not hold a frozen detector: run python3 pipeline.py here"):
        Detector(folder)
    write_tf2_detector(folder)
    write_manifest(folder)
    assert len(Detector(folder).detect(picture([(30, 45, 90, 55)]))[0]) == 1
    with pytest.raises(InputError, match="is a frozen detector, not a re-id net"):
        Embedder(folder)
    write_manifest(folder, colour_order="BGR")
    with pytest.raises(InputError, match="wants BGR pictures"):
        Detector(folder)
    write_manifest(folder, inputs={"input_tensor": {"shape": [1, 300, 300, 3], "dtype": "uint8"}})
    with pytest.raises(InputError, match="does not hold the model that its manifest.json describes"):
        Detector(folder)
    write_manifest(folder, engine="tf-trt", built_for={"gpu": "Orin"})
    monkeypatch.setattr(tf.sysconfig, "get_build_info", lambda: {"is_tensorrt_build": False})
    with pytest.raises(InputError, match="built with TensorRT, which the TensorFlow here lacks"):
        read_manifest(folder, "obj")
    monkeypatch.setattr(tf.sysconfig, "get_build_info", lambda: {"is_tensorrt_build": True})
    monkeypatch.setattr(saved_model, "gpu_name", lambda: "Xavier")
    with pytest.raises(InputError, match=r"built for another device \(Orin; here: Xavier\): run python3 pipeline.py"):
        read_manifest(folder, "obj")
    for words in ("{", "[]", '{"format": 1}', json.dumps({"format": 99})):
        (folder / "manifest.json").write_text(words)
        with pytest.raises(InputError, match="is not a manifest of this version"):
            read_manifest(folder, "obj")


def test_crops_are_the_pixels_of_the_box():
    frame = np.random.default_rng(0).integers(0, 256, (100, 200, 3), dtype=np.uint8)
    crops = crop_people(frame, np.array([[0.2, 0.1, 0.6, 0.3]]), (40, 40))
    assert crops.dtype == np.uint8
    np.testing.assert_array_equal(crops[0], frame[20:60, 20:60, ::-1])  # no resizing needed: RGB of the very pixels
    resized = crop_people(frame, np.array([[0.2, 0.1, 0.6, 0.3]]), (64, 32))[0]
    np.testing.assert_array_equal(resized, cv2.resize(frame[20:60, 20:60], (32, 64))[..., ::-1])


def test_crops_at_and_beyond_the_edge():
    frame = np.random.default_rng(0).integers(0, 256, (100, 200, 3), dtype=np.uint8)
    boxes = np.array([[-0.5, -0.5, 0.5, 0.5], [0.9, 0.9, 1.5, 1.5], [1.0, 1.0, 1.0, 1.0], [0.5, 0.5, 0.5, 0.5]])
    crops = crop_people(frame, boxes, (50, 100))
    np.testing.assert_array_equal(crops[0], frame[:50, :100, ::-1])
    assert (crops[2] == frame[99, 199, ::-1]).all()  # no pixel inside: the nearest
    assert crops.shape == (4, 50, 100, 3)
    assert crop_people(frame, np.zeros((0, 4)), (50, 100)).shape == (0, 50, 100, 3)


def test_tensorflow_js_graph_computes_what_the_graph_did(tmp_path):
    """A graph written as JSON by protobuf's own writer, weights taken out as TensorFlow.js does, computes the same."""
    from google.protobuf.json_format import MessageToDict

    rng = np.random.default_rng(0)
    graph = tf.Graph()
    with graph.as_default():
        images = tf.compat.v1.placeholder(tf.float32, [None, 8, 8, 3], name="images")
        kernel = tf.constant(rng.normal(size=(3, 3, 3, 4)).astype(np.float32), name="kernel")
        convolved = tf.nn.conv2d(images, kernel, strides=[1, 2, 2, 1], padding="SAME")
        tf.reshape(convolved, tf.constant([-1, 64], name="shape"), name="result")
    nodes = MessageToDict(graph.as_graph_def())["node"]
    types = {"DT_FLOAT": 1, "DT_INT32": 3}
    for node in nodes:
        node["attr"] = {key: value for key, value in node["attr"].items() if not key.startswith("_")}
        for value in node["attr"].values():
            if "type" in value:
                value["type"] = types[value["type"]]
    constants = {"kernel": kernel, "shape": np.array([-1, 64], np.int32)}
    with tf.compat.v1.Session(graph=graph) as session:
        pictures = rng.normal(size=(2, 8, 8, 3)).astype(np.float32)
        wanted = session.run("result:0", {"images:0": pictures})
        constants["kernel"] = session.run(kernel)
    data = b"".join(value.tobytes() for value in constants.values())
    (tmp_path / "shard1").write_bytes(data[:100])
    (tmp_path / "shard2").write_bytes(data[100:])
    entries = [{"name": n, "shape": list(v.shape), "dtype": v.dtype.name} for n, v in constants.items()]
    weights = tfjs._read_weights(tmp_path, [{"paths": ["shard1", "shard2"], "weights": entries}])
    rebuilt = tfjs._graph_def(tf, nodes, weights)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.graph_util.import_graph_def(rebuilt, name="")
        np.testing.assert_allclose(session.run("result:0", {"images:0": pictures}), wanted, rtol=1e-6)


def test_a_foreign_tensorflow_js_model_is_refused(tmp_path):
    with pytest.raises(InputError, match="not the TensorFlow.js graph of an SSD"):
        tfjs.rebuild(tmp_path, tmp_path / "saved_model")
    (tmp_path / "model.json").write_text('{"modelTopology": {"node": []}, "weightsManifest": []}')
    with pytest.raises(InputError, match="not the TensorFlow.js graph of an SSD"):
        tfjs.rebuild(tmp_path, tmp_path / "saved_model")


@pytest.mark.skipif(not (ZOO / "saved_model.pb").is_file(), reason="no detector: bash setup.sh detector")
@pytest.mark.skipif(not FOOTAGE.is_file(), reason="no footage: bash setup.sh footage")
def test_the_real_detector_finds_people_in_the_footage():
    video = cv2.VideoCapture(str(FOOTAGE))
    frame = video.read()[1]
    video.release()
    boxes, scores = Detector(ZOO, 0.5, frozen=False).detect(frame)
    assert 2 <= len(boxes) <= 12 and (np.diff(scores) <= 0).all()
    heights, widths = (boxes[:, 2] - boxes[:, 0]) * frame.shape[0], (boxes[:, 3] - boxes[:, 1]) * frame.shape[1]
    assert (
        (heights > 30).all() and (heights < 250).all() and (heights > widths).all()
    )  # upright people, seen from above
