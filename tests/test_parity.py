"""Parity of frozen models: the measures against values computed by hand, and the images that are compared."""

import cv2
import numpy as np
import pytest

from data.drawn import draw_people
from utils.deploy import parity
from utils.deploy.compared_images import PersonImages, footage_frames
from utils.deploy.parity import compare_detections
from utils.errors import InputError

SIZE = (64, 32)


def test_compare_detections_by_hand():
    def people(*rows):  # (box, score)
        boxes, scores = zip(*rows)
        return np.array(boxes, np.float32), np.array(scores, np.float32)

    left = [0, 0, 1, 0.5]
    moved = [0, 0.1, 1, 0.6]
    right = [0, 0.6, 1, 1]
    nobody = np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
    result = compare_detections([people((left, 0.9), (right, 0.8))], [people((right, 0.75), (moved, 0.7))])
    assert (result["boxes"], result["images"]) == (2, 1)
    assert result["min"] == pytest.approx(0.4 / 0.6) and result["mean"] == pytest.approx((1 + 0.4 / 0.6) / 2)
    assert result["score_difference"] == pytest.approx(0.2)
    missed = compare_detections([people((left, 0.9))], [nobody])
    assert missed["min"] == 0 and missed["score_difference"] == pytest.approx(0.9)
    empty = compare_detections([nobody], [people((left, 0.9))])
    assert empty["min"] is None and empty["boxes"] == 0


def test_rounding_to_fp16_does_not_refuse_a_detector():
    """600 boxes of 30x78 pixels in 768x576, of which each corner is rounded to FP16, as by an engine of FP16."""
    rng = np.random.default_rng(0)
    size = np.array([78, 30]) / (576, 768) * rng.uniform(0.8, 1.25, (600, 2))
    start = rng.uniform(0, 1 - size)
    boxes = np.concatenate([start, start + size], axis=1).astype(np.float32)
    rounded = boxes.astype(np.float16).astype(np.float32)
    scores = np.ones(len(boxes), np.float32)
    result = compare_detections(*([(some, scores)] for some in (boxes, rounded)))
    assert result["min"] < 0.99  # the bound of embeddings would refuse it
    parity.check_parity(result, parity.OVERLAP_BOUND)
    for shift, word in ((0.03, "mean"), (0.2, "smallest")):  # of the height: IoU 0.94, or 0.67 for one of them
        moved = boxes.copy()
        moved[: None if word == "mean" else 1] += shift * size[0, 0] * np.array([1, 0, 1, 0], np.float32)
        result = compare_detections(*([(some, scores)] for some in (boxes, moved)))
        with pytest.raises(parity.Inaccurate, match=f"the {word} overlap"):
            parity.check_parity(result, parity.OVERLAP_BOUND)


def test_compare_embeddings_and_check_parity():
    wanted = np.array([[1.0, 0.0], [0.0, 1.0]])
    result = parity.compare_embeddings(wanted, np.array([[1.0, 0.0], [0.8, 0.6]]))
    assert (result["min"], result["mean"]) == (pytest.approx(0.6), pytest.approx(0.8))
    parity.check_parity(result, {"min": 0.5})
    with pytest.raises(parity.Inaccurate, match="smallest cosine .* is 0.6000, below 0.7; nothing was replaced"):
        parity.check_parity(result, {"min": 0.7}, "; nothing was replaced")
    with pytest.raises(parity.Inaccurate, match="is nan"):
        parity.check_parity({**result, "min": float("nan")}, {"min": 0.7})
    parity.check_parity({**result, "min": None}, {"min": 0.7})  # there was nothing to compare


def test_footage_frames_without_a_video(tmp_path):
    frames, source = footage_frames(tmp_path / "none.avi")
    assert source == "smooth noise" and len(frames) == 6
    assert {frame.shape for frame in frames} == {(576, 768, 3)} and (frames[0] != frames[1]).any()


def test_person_images_of_a_data_set(tiny_set, tmp_path):
    """Queries and gallery of a data set, all of another folder, in the order of the seed."""
    people = PersonImages(tiny_set, seed=3)
    compared = people.compared(SIZE)
    calibration = people.calibration(SIZE, 500)
    assert people.real and compared.shape == (39, *SIZE, 3)  # 36 images of identities, 3 junk or distractors
    assert people.source == f"{tiny_set}/bounding_box_query and {tiny_set}/bounding_box_test, seed 3"
    np.testing.assert_array_equal(compared, calibration)  # the folder has no others
    np.testing.assert_array_equal(compared, PersonImages(tiny_set, seed=3).compared(SIZE))
    assert (compared != PersonImages(tiny_set, seed=4).compared(SIZE)).any()
    train = PersonImages(f"{tiny_set}/bounding_box_train", seed=0)
    assert train.compared(SIZE).shape == (48, *SIZE, 3)
    read = cv2.imread(f"{tiny_set}/bounding_box_query/0009_c1s1_000000_01.jpg")[..., ::-1]
    assert np.abs(compared.astype(int) - read).reshape(39, -1).max(axis=1).min() <= 2
    with pytest.raises(InputError, match="no folder .*gone"):
        PersonImages(tmp_path / "gone")
    with pytest.raises(InputError, match="no .jpg or .png image in"):
        PersonImages(tmp_path)


def test_person_images_without_a_folder():
    drawn = PersonImages(draw_people=draw_people)
    assert drawn.source == "drawn people" and not drawn.real
    wanted = [image for _, _, image in draw_people(24, 2, image_size=SIZE)]
    np.testing.assert_array_equal(drawn.compared(SIZE), wanted)
    noise = PersonImages()
    assert noise.source == "smooth noise" and noise.compared(SIZE).shape == (48, *SIZE, 3)


def test_person_images_for_calibration_are_others_than_those_compared(tmp_path):
    for number in range(60):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((8, 8, 3), number, np.uint8))
    people = PersonImages(tmp_path)
    compared = {int(image[0, 0, 0]) for image in people.compared((8, 8))}
    calibration = {int(image[0, 0, 0]) for image in people.calibration((8, 8), 500)}
    assert len(compared) == 48 and len(calibration) == 12 and not compared & calibration
    assert len(people.calibration((8, 8), 5)) == 5
