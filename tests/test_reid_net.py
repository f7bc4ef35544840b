"""Crops of people against slices of the frame; the frozen re-id net is tested in test_freeze.py."""

import cv2
import numpy as np

from utils.deploy.reid_net import crop_people, crop_person


def random_frame():
    return np.random.default_rng(0).integers(0, 256, (100, 200, 3), dtype=np.uint8)


def test_crop_person_takes_the_pixels_of_the_box():
    frame = random_frame()
    box = np.array([0.2, 0.1, 0.6, 0.3])
    person = crop_person(frame, box)
    assert person.dtype == np.uint8 and person.flags["C_CONTIGUOUS"]
    np.testing.assert_array_equal(person, frame[20:60, 20:60, ::-1])
    resized = crop_person(frame, box, (64, 32))
    np.testing.assert_array_equal(resized, cv2.resize(frame[20:60, 20:60], (32, 64))[..., ::-1])


def test_crop_people_at_and_beyond_the_edge():
    frame = random_frame()
    boxes = np.array([[-0.5, -0.5, 0.5, 0.5], [0.9, 0.9, 1.5, 1.5], [1.0, 1.0, 1.0, 1.0], [0.5, 0.5, 0.5, 0.5]])
    crops = crop_people(frame, boxes, (50, 100))
    assert crops.shape == (4, 50, 100, 3) and crops.dtype == np.uint8
    np.testing.assert_array_equal(crops[0], frame[:50, :100, ::-1])
    assert (crops[2] == frame[99, 199, ::-1]).all()  # no pixel inside: the nearest one
    assert crop_people(frame, np.zeros((0, 4)), (50, 100)).shape == (0, 50, 100, 3)
