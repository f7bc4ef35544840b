"""Overlaps of boxes against counted pixels, and greedy matching."""

import numpy as np
import pytest

from utils.boxes import iou, match, overlaps_of


def test_match_takes_the_strongest_pair_first():
    evidence = np.array([[0.9, 0.8, 0.1], [0.95, 0.2, 0.1], [0.3, 0.3, 0.3]])
    assert match(evidence, 0.5).tolist() == [1, 0, -1]
    assert match(np.where(evidence == 0.95, -np.inf, evidence), 0.5).tolist() == [0, -1, -1]
    assert match(np.full((2, 2), -np.inf), -1).tolist() == [-1, -1]
    assert match(np.zeros((2, 0)), 0.5).tolist() == [-1, -1] and match(np.zeros((0, 2)), 0.5).tolist() == []


def test_iou_against_counted_pixels():
    rng = np.random.default_rng(0)
    boxes = np.sort(rng.integers(0, 20, (30, 2, 2)), axis=1).reshape(30, 4)
    masks = np.zeros((30, 20, 20), bool)
    for mask, (top, left, bottom, right) in zip(masks, boxes):
        mask[top:bottom, left:right] = True
    found = iou(boxes[:15].astype(np.float32), boxes[15:].astype(np.float32))
    for row in range(15):
        for column in range(15):
            either = (masks[row] | masks[15 + column]).sum()
            wanted = (masks[row] & masks[15 + column]).sum() / either if either else 0
            assert found[row, column] == pytest.approx(wanted, abs=1e-6)
    own = overlaps_of(boxes[:15].astype(np.float32))
    assert (np.diag(own) == 0).all() and (own == own.T).all() and own.shape == (15, 15)
    assert overlaps_of(np.zeros((0, 4), np.float32)).shape == (0, 0)
