"""Measures how far a frozen model differs from its original. Pure numpy."""

from __future__ import annotations

import numpy as np

from utils.boxes import iou
from utils.errors import InputError

CERTAIN = 0.3  # score of the original's people whom the frozen detector must find
# Of the overlap (IoU) between the boxes of the original and of the frozen detector. Boxes of 30 pixels that are rounded
# to FP16 overlap by 0.98; this much is harmless for tracks and crops.
OVERLAP_BOUND = {"min": 0.8, "mean": 0.95}


def compare_embeddings(wanted: np.ndarray, found: np.ndarray) -> dict:
    """(N, E) of norm 1 each -> the smallest and the mean cosine between the two embeddings of an image."""
    cosines = np.sum(wanted * found, axis=1)
    return {
        "measure": "cosine to the unfrozen embedding",
        "min": float(cosines.min()),
        "mean": float(cosines.mean()),
        "images": len(cosines),
    }


def compare_detections(wanted: list, found: list) -> dict:
    """Measures how well the frozen detector finds each person that the original is certain of.

    wanted, found: people as (boxes (N, 4), scores (N,)) per frame, of the original with a score of at least CERTAIN and
    of the frozen detector with a score of at least CERTAIN / 2.
    """
    overlaps = []
    differences = []
    for (boxes, scores), (boxes_now, scores_now) in zip(wanted, found):
        for box, score in zip(boxes, scores):
            ious = iou(box[np.newaxis], boxes_now)[0]  # (N,)
            overlaps.append(float(ious.max(initial=0)))
            differences.append(abs(float(score - scores_now[ious.argmax()])) if len(ious) else float(score))
    return {
        "measure": "overlap (IoU) with the original's box",
        "min": min(overlaps, default=None),
        "mean": sum(overlaps) / len(overlaps) if overlaps else None,
        "boxes": len(overlaps),
        "score_difference": max(differences, default=None),
        "images": len(wanted),
    }


class Inaccurate(InputError):
    """The frozen model differs too much from its original."""


def check_parity(parity: dict, bound: dict, consequence: str = "") -> None:
    """Raises Inaccurate if the smallest or the mean agreement is below its bound or not a number.

    bound: the lowest accepted value of "min", and of "mean" if that has one. consequence: the end of the message.
    """
    for key, name in (("min", "smallest"), ("mean", "mean")):
        if parity["min"] is not None and key in bound and not parity[key] >= bound[key]:
            raise Inaccurate(
                f"the frozen model differs from the original: the {name} {parity['measure']} is {parity[key]:.4f},"
                f" below {bound[key]:g}{consequence}"
            )
