"""Boxes [ymin, xmin, ymax, xmax]: their overlaps, and greedy matching. Pure numpy."""

from __future__ import annotations

import numpy as np


def iou(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union: (N, 4) and (M, 4) boxes -> (N, M), 0 if either box is empty."""
    start = np.maximum(boxes[:, np.newaxis, :2], others[np.newaxis, :, :2])
    end = np.minimum(boxes[:, np.newaxis, 2:], others[np.newaxis, :, 2:])
    common = np.prod(np.clip(end - start, 0, None), axis=2)  # (N, M)
    union = areas(boxes)[:, np.newaxis] + areas(others)[np.newaxis] - common  # (N, M)
    return np.divide(common, union, out=np.zeros_like(common), where=union > 0)


def areas(boxes: np.ndarray) -> np.ndarray:
    """(N, 4) -> (N,) areas, 0 for an empty box."""
    return np.prod(np.clip(boxes[:, 2:] - boxes[:, :2], 0, None), axis=1)


def overlaps_of(boxes: np.ndarray) -> np.ndarray:
    """(N, 4) -> (N, N) IoU of each box with each other box, and 0 on the diagonal."""
    overlaps = iou(boxes, boxes)
    np.fill_diagonal(overlaps, 0)
    return overlaps


def match(evidence: np.ndarray, threshold: float) -> np.ndarray:
    """Greedy matching: (N, P) scores of N rows and P columns -> (N,) the column of each row, -1 for none.

    The highest score is taken first, and no column twice. Pairs below the threshold are not matched; -inf forbids a
    pair.
    """
    columns = np.full(len(evidence), -1)
    left = evidence.astype(np.float64, copy=True)  # without the rows and columns that are taken
    while left.size and left.max() >= threshold:
        row, column = np.unravel_index(np.argmax(left), left.shape)
        columns[row] = column
        left[row] = -np.inf
        left[:, column] = -np.inf
    return columns
