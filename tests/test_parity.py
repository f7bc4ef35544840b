"""Parity of frozen models: the measures against values computed by hand, and the images that are compared."""

import cv2
import numpy as np
import pytest

from data.drawn import draw_people
from utils.deploy import parity
from utils.deploy.parity import PersonImages, compare_detections
from utils.errors import InputError

SIZE = (64, 32)


def test_compare_detections_by_hand():
    def detections(*rows):  # (box, score, class)
        boxes, scores, classes = zip(*rows)
        return np.array(boxes, np.float32), np.array(scores, np.float32), np.array(classes, np.float32)

    left = [0, 0, 1, 0.5]
    moved = [0, 0.1, 1, 0.6]
    right = [0, 0.6, 1, 1]
    wanted = [detections((left, 0.9, 1), (right, 0.8, 3), (right, 0.1, 1))]  # a person, a car, an uncertain person
    found = [detections((right, 0.8, 1), (moved, 0.7, 1), (left, 0.9, 3))]
    result = compare_detections(wanted, found)
    assert (result["boxes"], result["images"]) == (1, 1)
    assert result["min"] == result["mean"] == pytest.approx(0.4 / 0.6)
    assert result["score_difference"] == pytest.approx(0.6)  # the lowest of three: 0.1 and 0.7
    nobody = compare_detections([detections((left, 0.2, 1))], found)
    assert nobody["min"] is None and nobody["boxes"] == 0


def test_compare_embeddings_and_check_parity():
    wanted = np.array([[1.0, 0.0], [0.0, 1.0]])
    result = parity.compare_embeddings(wanted, np.array([[1.0, 0.0], [0.8, 0.6]]))
    assert (result["min"], result["mean"]) == (pytest.approx(0.6), pytest.approx(0.8))
    parity.check_parity(result, 0.5)
    with pytest.raises(parity.Inaccurate, match="smallest cosine .* is 0.6000, below 0.7; nothing was replaced"):
        parity.check_parity(result, 0.7, "; nothing was replaced")
    with pytest.raises(parity.Inaccurate, match="is nan"):
        parity.check_parity({**result, "min": float("nan")}, 0.7)
    parity.check_parity({**result, "min": None}, 0.7)  # there was nothing to compare


def test_footage_frames_without_a_video(tmp_path):
    frames, source = parity.footage_frames(tmp_path / "none.avi")
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
