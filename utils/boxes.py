"""Boxes [ymin, xmin, ymax, xmax], and pairs of what belongs together. Pure numpy."""

from __future__ import annotations

import numpy as np


def iou(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(N, 4), (M, 4) -> (N, M) intersection over union, 0 where either is empty."""
    start = np.maximum(boxes[:, np.newaxis, :2], others[np.newaxis, :, :2])
    end = np.minimum(boxes[:, np.newaxis, 2:], others[np.newaxis, :, 2:])
    common = np.prod(np.clip(end - start, 0, None), axis=2)
    area, other_area = (np.prod(np.clip(some[:, 2:] - some[:, :2], 0, None), axis=1) for some in (boxes, others))
    union = area[:, np.newaxis] + other_area[np.newaxis] - common
    return np.divide(common, union, out=np.zeros_like(common), where=union > 0)


def overlaps_of(boxes: np.ndarray) -> np.ndarray:
    """(N, 4) -> (N, N) IoU of each box with the others, 0 with itself."""
    overlaps = iou(boxes, boxes)
    np.fill_diagonal(overlaps, 0)
    return overlaps


def match(evidence: np.ndarray, threshold: float) -> np.ndarray:
    """(N, P) -> (N,) the column of each row, -1 for none; no column twice, strongest pair first.

    Pairs below the threshold are none, and -inf forbids a pair.
    """
    columns = np.full(len(evidence), -1)
    left = evidence.astype(np.float64, copy=True)
    while left.size and left.max() >= threshold:
        row, column = np.unravel_index(np.argmax(left), left.shape)
        columns[row] = column
        left[row], left[:, column] = -np.inf, -np.inf
    return columns
