"""The detector on frames with people in known places; models that are not detectors are refused in a sentence."""

import cv2
import numpy as np
import pytest
import tensorflow as tf

from tests.fakes import picture, write_model, write_tf1_detector, write_tf2_detector
from tests.helpers import ROOT
from utils.deploy.detector import Detector
from utils.errors import InputError

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
def test_detect_finds_people_where_they_are(detectors, kind):
    detector = Detector(detectors / kind, 0.5, frozen=False)
    boxes, scores = detector.detect(picture([(30, 45, 90, 55), (10, 102, 100, 118)]))  # red in BGR: RGB must go in
    assert boxes.dtype == np.float32 and scores.dtype == np.float32
    wanted = [[30 / 120, 45 / 240, 90 / 120, 55 / 240], [10 / 120, 102 / 240, 100 / 120, 118 / 240]]
    np.testing.assert_allclose(boxes, wanted, atol=1e-6)  # without the car over everything
    np.testing.assert_allclose(scores, [0.9, 0.9])


def test_detect_drops_scores_below_the_threshold(detectors):
    boxes, scores = Detector(detectors / "tf2", 0.5, frozen=False).detect(picture([]))
    assert boxes.shape == (0, 4) and scores.shape == (0,)
    boxes, _ = Detector(detectors / "tf2", 0.95, frozen=False).detect(picture([(30, 45, 90, 55)]))
    assert len(boxes) == 0


def test_detect_drops_boxes_that_are_much_wider_than_high(detectors):
    detector = Detector(detectors / "tf2", 0.5, frozen=False)
    for high, found in ((9, 1), (7, 0)):  # pixels, of a frame that is not square
        boxes, _ = detector.detect(picture([(30, 101, 30 + high, 117)]))
        assert len(boxes) == found, high


def test_detect_refuses_a_broken_frame(detectors):
    detector = Detector(detectors / "tf2", frozen=False)
    for frame in (np.zeros((0, 10, 3), np.uint8), np.zeros((10, 10), np.uint8), np.zeros((10, 10, 3), np.float32)):
        with pytest.raises(ValueError, match="a frame is"):
            detector.detect(frame)


def test_detector_refuses_other_models(tmp_path):
    with pytest.raises(InputError, match="contains no saved_model.pb"):
        Detector(tmp_path, frozen=False)
    write_model(tmp_path / "other", lambda input_tensor: {"logits": tf.zeros([1, 10])}, UINT8)
    with pytest.raises(InputError, match="does not return detection_boxes, detection_scores, detection_classes"):
        Detector(tmp_path / "other", frozen=False)
    names = ("detection_boxes", "detection_scores", "detection_classes")
    wrong = tf.TensorSpec([1, 300, 300, 3], tf.float32, name="input_tensor")
    write_model(tmp_path / "float", lambda input_tensor: {name: tf.zeros([1, 1]) for name in names}, wrong)
    with pytest.raises(InputError, match="takes float32 .* not uint8 images"):
        Detector(tmp_path / "float", frozen=False)
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "saved_model.pb").write_bytes(b"not a protocol buffer")
    with pytest.raises(InputError, match="cannot be loaded by TensorFlow"):
        Detector(tmp_path / "damaged", frozen=False)


@pytest.mark.skipif(not (ZOO / "saved_model.pb").is_file(), reason="no detector: bash setup.sh detector")
@pytest.mark.skipif(not FOOTAGE.is_file(), reason="no footage: bash setup.sh footage")
def test_detect_with_the_real_detector_on_the_footage():
    video = cv2.VideoCapture(str(FOOTAGE))
    frame = video.read()[1]
    video.release()
    boxes, scores = Detector(ZOO, 0.5, frozen=False).detect(frame)
    assert 2 <= len(boxes) <= 12 and (np.diff(scores) <= 0).all()
    heights = (boxes[:, 2] - boxes[:, 0]) * frame.shape[0]
    widths = (boxes[:, 3] - boxes[:, 1]) * frame.shape[1]
    assert (heights > 30).all() and (heights < 250).all()
    assert (heights > widths).all()  # upright people, seen from above
