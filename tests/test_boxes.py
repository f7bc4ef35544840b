"""Overlaps of boxes against counted pixels, and the optimal assignment."""

import itertools

import numpy as np
import pytest

from utils.boxes import assign, iou, overlaps_of


def test_assign_against_all_permutations():
    rng = np.random.default_rng(0)
    for _ in range(200):
        rows, columns = rng.integers(0, 5, 2).tolist()
        scores = np.round(rng.normal(size=(rows, columns)), 1)  # with ties
        scores[rng.uniform(size=scores.shape) < 0.3] = -np.inf
        found = assign(scores)
        pairs = [(row, column) for row, column in enumerate(found) if column >= 0]
        assert len({column for _, column in pairs}) == len(pairs)
        best = max(
            (len(choice), sum(scores[pair] for pair in choice))
            for order in itertools.permutations(range(max(rows, columns)), rows)
            for choice in [[pair for pair in enumerate(order) if pair[1] < columns and np.isfinite(scores[pair])]]
        )
        assert (len(pairs), sum(scores[pair] for pair in pairs)) == (best[0], pytest.approx(best[1]))


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
