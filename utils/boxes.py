"""Boxes [ymin, xmin, ymax, xmax]: their overlaps, and the optimal assignment. Pure numpy."""

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


def assign(scores: np.ndarray) -> np.ndarray:
    """Optimal assignment: (N, P) scores -> (N,) the column of each row, -1 for none, no column twice.

    As many pairs as possible are assigned, and among those choices the one with the highest sum; -inf forbids a pair.
    The Hungarian algorithm with shortest augmenting paths (Jonker and Volgenant 1987).
    """
    rows, columns = scores.shape
    found = np.full(rows, -1)
    allowed = np.isfinite(scores)
    if not allowed.any():
        return found
    span = scores[allowed].max() - scores[allowed].min() + 1
    # A row can always stay alone, in a column of its own, which costs more than any exchange among the others.
    alone = np.full((rows, rows), np.inf)
    np.fill_diagonal(alone, span * (rows + columns))
    cost = np.hstack([np.where(allowed, scores[allowed].max() - scores, np.inf), alone])
    row_of = _shortest_paths(cost)
    for column in range(columns):
        if row_of[column] >= 0:
            found[row_of[column]] = column
    return found


def _shortest_paths(cost: np.ndarray) -> np.ndarray:
    """(N, M) costs, N <= M, inf forbids -> (M,) the row of each column at least cost for all rows, or -1."""
    rows, columns = cost.shape
    row_price = np.zeros(rows)
    column_price = np.zeros(columns)
    row_of = np.full(columns, -1)
    for start in range(rows):
        distance = np.full(columns, np.inf)
        before = np.full(columns, -1)  # the column from which the path reaches a column
        done = np.zeros(columns, bool)
        row = start
        column = -1
        reached = 0.0
        while True:
            through = reached + cost[row] - row_price[row] - column_price
            shorter = ~done & (through < distance)
            distance[shorter] = through[shorter]
            before[shorter] = column
            column = int(np.argmin(np.where(done, np.inf, distance)))
            reached = distance[column]
            done[column] = True
            if row_of[column] < 0:
                break
            row = row_of[column]
        row_price[start] += reached
        for other in np.flatnonzero(done):
            if row_of[other] >= 0:
                row_price[row_of[other]] += reached - distance[other]
            column_price[other] -= reached - distance[other]
        while column >= 0:
            previous = before[column]
            row_of[column] = start if previous < 0 else row_of[previous]
            column = previous
    return row_of
