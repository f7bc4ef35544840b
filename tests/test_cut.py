"""A detector that is cut before its suppression finds the same people as the whole one; the rest is kept whole."""

import cv2
import numpy as np
import pytest
import tensorflow as tf

from tests.fakes import picture, write_tf1_ssd, write_tf2_detector, write_tf2_ssd
from tests.helpers import ROOT
from utils.deploy.compared_images import footage_frames, smooth_noise
from utils.deploy.cut import cut_detector
from utils.deploy.detections import find_people, suppress
from utils.deploy.detector import Detector, resize_as_zoo
from utils.deploy.fold import fold_affine
from utils.deploy.freeze import FreezeOptions, freeze_detector
from utils.deploy.one_class import keep_class
from utils.deploy.parity import CERTAIN

ZOO = ROOT / "models/downloads/detector/saved_model"
FOOTAGE = ROOT / "models/downloads/vtest.avi"
PLAIN = FreezeOptions(engine="tensorflow")


def same_people(folder, tried, frames, person_class=1) -> int:
    """Asserts that the detector in `folder`, cut, finds the same boxes and scores in frames of its own size.

    tried: the frames to cut it with. Returns how many boxes there are.
    """
    whole = Detector(folder, frozen=False, person_class=person_class)
    wanted = [whole.find(frame, CERTAIN) for frame in tried]
    cut = cut_detector(whole.net.run.signature, [whole.as_input(frame) for frame in tried], wanted, person_class)
    count = 0
    for frame in frames:
        assert list(frame.shape[:2]) == cut.size
        outputs = {name: value.numpy() for name, value in cut.function(tf.constant(whole.as_input(frame))).items()}
        boxes, scores = find_people(outputs, "anchors", 0.1)
        wanted_boxes, wanted_scores = whole.find(frame, 0.1)
        np.testing.assert_allclose(np.clip(boxes, 0, 1), wanted_boxes, atol=1e-5)
        np.testing.assert_allclose(scores, wanted_scores, atol=1e-5)
        count += len(boxes)
    return count


@pytest.fixture(scope="module")
def tf2_ssd(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tf2") / "zoo"
    write_tf2_ssd(folder)
    return folder


@pytest.mark.parametrize("person_class", [1, 7])
def test_a_cut_ssd_finds_the_same_people(tf2_ssd, person_class):
    tried = [smooth_noise((36, 36), seed) for seed in range(3)]
    assert same_people(tf2_ssd, tried, [smooth_noise((36, 36), seed) for seed in range(5, 8)], person_class) > 10


def test_a_cut_ssd_of_tensorflow_1_finds_the_same_people(tmp_path):
    write_tf1_ssd(tmp_path / "zoo")
    tried = [smooth_noise((36, 36), seed) for seed in range(3)]
    assert same_people(tmp_path / "zoo", tried, [smooth_noise((36, 36), seed) for seed in range(5, 8)]) > 10


@pytest.mark.skipif(not (ZOO / "saved_model.pb").is_file(), reason="no detector: bash setup.sh detector")
@pytest.mark.skipif(not FOOTAGE.is_file(), reason="no footage: bash setup.sh footage")
def test_the_real_detector_cut_finds_the_same_people():
    frames = footage_frames(FOOTAGE)[0][:3]
    assert same_people(ZOO, frames[:1], [resize_as_zoo(frame, (300, 300)) for frame in frames]) > 30


def test_freeze_detector_writes_the_cut_one(tf2_ssd, tmp_path):
    frames = [smooth_noise((40, 60), seed) for seed in range(3)]
    manifest = freeze_detector(tf2_ssd, tmp_path / "obj", frames, PLAIN)
    assert manifest["form"] == "anchors" and manifest["image_size"] == [36, 36]
    assert manifest["inputs"] == {"images": {"shape": [1, 36, 36, 3], "dtype": "uint8"}}
    assert manifest["parity"]["min"] > 0.9  # resized by OpenCV, whose pixels are whole numbers
    assert len(Detector(tmp_path / "obj").find(frames[0], 0.3)[0]) == len(
        Detector(tf2_ssd, frozen=False).find(frames[0], 0.3)[0]
    )


def test_resize_as_zoo_against_tensorflow():
    for size in ((576, 768), (200, 200), (1080, 1920)):
        frame = smooth_noise(size, 1)
        wanted = tf.raw_ops.ResizeBilinear(images=frame[np.newaxis].astype(np.float32), size=[300, 300])[0]
        resized = resize_as_zoo(frame, [300, 300]).astype(np.float32)
        assert resized.shape == (300, 300, 3) and np.abs(resized - wanted).max() < 4
        assert np.abs(resized - wanted).mean() < 0.5
        other = cv2.resize(frame, (300, 300)).astype(np.float32)
        if size != (200, 200):
            assert np.abs(other - wanted).mean() > 2 * np.abs(resized - wanted).mean()


@pytest.mark.parametrize("limit", [3, 100])
def test_suppress_against_tensorflow(limit):
    rng = np.random.default_rng(0)
    for _ in range(20):
        start = rng.uniform(0, 0.7, (60, 2))
        boxes = np.concatenate([start, start + rng.uniform(0, 0.3, (60, 2))], axis=1).astype(np.float32)
        scores = np.sort(rng.uniform(0, 1, 60).astype(np.float32))[::-1]
        wanted = tf.image.non_max_suppression(boxes, scores, limit, iou_threshold=0.4).numpy()
        np.testing.assert_array_equal(suppress(boxes, 0.4, limit), wanted)
    assert suppress(np.zeros((0, 4), np.float32), 0.5).shape == (0,)


def test_find_people_drops_boxes_that_are_not_numbers():
    boxes = np.array([[[0, 0, 1, 1], [0, 0, np.nan, 1], [0, 0, 0.2, 0.2]]], np.float32)
    found, scores = find_people({"boxes": boxes, "scores": np.array([[0.6, 0.9, 0.7]], np.float32)}, "anchors", 0.5)
    np.testing.assert_array_equal(found, boxes[0, [2, 0]])
    np.testing.assert_allclose(scores, [0.7, 0.6])


def test_fold_affine_computes_the_same():
    rng = np.random.default_rng(1)

    def vector(*shape):
        return tf.constant(rng.uniform(0.5, 2, shape), tf.float32)

    @tf.function(input_signature=[tf.TensorSpec([1, 8, 8, 3], tf.float32)])
    def net(x):
        x = tf.nn.relu(tf.nn.conv2d(x, vector(3, 3, 3, 4), 1, "SAME") * vector(4) + vector(4))
        x = tf.nn.depthwise_conv2d(x, vector(3, 3, 4, 2), [1, 1, 1, 1], "SAME")
        x = tf.compat.v1.nn.fused_batch_norm(x, *(vector(8) for _ in range(4)), is_training=False)[0]
        y = tf.nn.conv2d(tf.nn.relu(x), vector(1, 1, 8, 5), 1, "SAME")  # read twice: not to be folded
        return y * vector(5) + y

    graph = net.get_concrete_function().graph
    folded = fold_affine(graph.as_graph_def())
    kinds = [node.op for node in folded.node]
    assert kinds.count("BiasAdd") == 2
    images = rng.normal(0, 1, (1, 8, 8, 3)).astype(np.float32)
    names = [graph.inputs[0].name, graph.outputs[0].name]

    @tf.function
    def again(x):
        return tf.graph_util.import_graph_def(folded, {names[0]: x}, [names[1]], name="")[0]

    np.testing.assert_allclose(again(tf.constant(images)), net(images), rtol=1e-4)


def kernels(function) -> set:
    """The shapes of the kernels of 1 x 1 in a concrete function and in those that it calls."""
    graph = function.graph.as_graph_def()
    nodes = [*graph.node, *(node for inner in graph.library.function for node in inner.node_def)]
    shapes = [node.attr["value"].tensor.tensor_shape.dim for node in nodes if node.op == "Const"]
    return {tuple(dim.size for dim in shape) for shape in shapes if len(shape) == 4 and shape[0].size == 1}


def test_only_the_persons_scores_are_computed(tf2_ssd):
    frame = smooth_noise((36, 36), 0)
    whole = Detector(tf2_ssd, frozen=False)
    cut = cut_detector(whole.net.run.signature, [whole.as_input(frame)], [whole.find(frame, CERTAIN)], 1)
    assert kernels(cut.function) == {(1, 1, 8, 1), (1, 1, 8, 2), (1, 1, 8, 4), (1, 1, 8, 8)}


@pytest.mark.parametrize("joined", ["softmax", "unbiased", "sum"])
def test_scores_of_another_structure_keep_all_classes(joined):
    kernel = tf.constant(np.random.default_rng(0).normal(0, 1, (1, 1, 2, 3)), tf.float32)

    @tf.function(input_signature=[tf.TensorSpec([1, 4, 4, 2], tf.float32)])
    def net(x):
        x = tf.nn.conv2d(x, kernel, 1, "SAME")
        if joined != "unbiased":
            x = tf.nn.bias_add(x, [1.0, 2.0, 3.0])
        x = tf.reshape(x, [1, 16, 3])
        if joined == "sum":
            return tf.nn.sigmoid(x + x)
        x = tf.concat([x, x], axis=1)
        return tf.nn.softmax(x) if joined == "softmax" else tf.nn.sigmoid(x)

    graph = net.get_concrete_function().graph
    name = graph.outputs[0].name
    assert keep_class(graph.as_graph_def(), name, -2)[1:] == (name, -2)


def test_a_detector_without_raw_outputs_is_kept_whole(tmp_path):
    write_tf2_detector(tmp_path / "zoo")
    manifest = freeze_detector(tmp_path / "zoo", tmp_path / "obj", [picture([(10, 10, 50, 18)])], PLAIN)
    assert manifest["form"] == "zoo" and "raw" not in manifest["not_cut"]
    assert len(Detector(tmp_path / "obj").detect(picture([(10, 10, 50, 18)]))[0]) == 1
