"""The similarity from which two images show the same person, measured on pairs of images from different cameras.

Similarities are counted in narrow bins, block by block, so that the 53 million pairs of Market-1501 need no memory. A
threshold is the lower edge of a bin, and its rates are exact there.
"""

from __future__ import annotations

import numpy as np

from utils.checkpoint import describe_rate
from utils.embed import pick_queries
from utils.errors import InputError
from utils.metrics import JUNK, LabelledSet, Protocol, row_blocks

BINS = 200_000  # of similarities from -1 to 1, so a threshold is exact to 0.00001
FARS = {"far1": 0.01, "far0.1": 0.001}  # false-accept rates: the share of pairs of different people that pass
MIN_ERRORS = 10  # a rate is reported only if it allows at least this many false accepts
MIN_PAIRS = 10  # of the same person, and of different people


def pair_histograms(queries: LabelledSet, gallery: LabelledSet) -> tuple:
    """Histograms of similarity for pairs of one person and for pairs of different people, two (BINS,) int64.

    A pair is a query and a gallery image from different cameras. Junk is left out on both sides.
    """
    queries = queries.take(queries.identities != JUNK)
    protocol = Protocol(gallery.identities, gallery.cameras)
    same = np.zeros(BINS, np.int64)
    different = np.zeros(BINS, np.int64)
    for rows in row_blocks(len(queries.embeddings)):
        similarity = queries.embeddings[rows] @ gallery.embeddings.T  # (B, G)
        bins = np.clip((similarity + 1) * (BINS / 2), 0, BINS - 1).astype(np.int32)  # (B, G)
        positive, negative = protocol.masks(queries.identities[rows], queries.cameras[rows])  # (B, G) each
        across = queries.cameras[rows, None] != gallery.cameras[None, :]  # (B, G)
        same += np.bincount(bins[positive], minlength=BINS)
        different += np.bincount(bins[negative & across], minlength=BINS)
    return same, different


def lowest_threshold(different, far: float) -> float:
    """The lowest similarity that at most the share `far` of the pairs of different people reaches.

    different: their histogram, (BINS,), with at least one pair.
    """
    return _edge(np.argmax(_share_above(different) <= far))


def training_threshold(images: LabelledSet) -> float:
    """The threshold at 1 % false accepts over all pairs in one labelled set, even if there are only a few pairs.

    The set needs two identities. As in pick_queries, pairs within one camera count if no identity was seen by two
    cameras.
    """
    _, images = pick_queries(images)
    _, different = pair_histograms(images, images)
    return lowest_threshold(different, FARS["far1"])


def operating_points(same, different, suggest_at: str = "far1") -> dict:
    """The thresholds to choose from, and the suggested one, from the two histograms (BINS,) of pair_histograms.

    threshold is the one of suggest_at, 'eer' or a name of FARS. eer (percent) is the equal error rate: at
    eer_threshold the share of pairs of one person that are refused equals the share of pairs of different people that
    pass. operating_points is a list of {"name", "far", "threshold", "tar"} for FARS: false-accept and true-accept rate
    in percent; threshold and tar are None where there are too few pairs. same_pairs and different_pairs are counts.
    InputError if there are too few pairs for the suggested threshold.
    """
    pairs = {"same_pairs": int(same.sum()), "different_pairs": int(different.sum())}
    if min(pairs.values()) < MIN_PAIRS:
        raise InputError(
            f"too few pairs across cameras for a threshold: {pairs['same_pairs']} of one person and "
            f"{pairs['different_pairs']} of two people: measure on more images"
        )
    true_accepts = _share_above(same)  # (BINS + 1,) at each edge
    false_accepts = _share_above(different)  # (BINS + 1,)
    gap = np.abs(1 - true_accepts - false_accepts)
    smallest = np.flatnonzero(gap == gap.min())
    middle = smallest[len(smallest) // 2]  # all edges between two people's similarities are equally good
    error = (1 - true_accepts[middle] + false_accepts[middle]) / 2
    points = []
    for name, far in FARS.items():
        point = {"name": name, "far": 100 * far, "threshold": None, "tar": None}
        if far * pairs["different_pairs"] >= MIN_ERRORS:
            point["threshold"] = lowest_threshold(different, far)
            point["tar"] = 100 * float(true_accepts[np.argmax(false_accepts <= far)])
        points.append(point)
    thresholds = {"eer": _edge(middle), **{point["name"]: point["threshold"] for point in points}}
    if thresholds[suggest_at] is None:
        remedy = "far1" if thresholds["far1"] is not None else "eer"
        raise InputError(
            f"{pairs['different_pairs']} pairs of different people are too few for a false-accept rate of "
            f"{100 * FARS[suggest_at]:g} % (it takes {MIN_ERRORS / FARS[suggest_at]:.0f}): measure on more "
            f"images, or choose {remedy}"
        )
    return {
        "threshold": thresholds[suggest_at],
        "suggested_at": suggest_at,
        "eer": 100 * float(error),
        "eer_threshold": thresholds["eer"],
        "operating_points": points,
        **pairs,
    }


def _share_above(histogram) -> np.ndarray:
    """(BINS + 1,) the share of the pairs at or above the lower edge of each bin, and 0 at the end."""
    passing = np.append(np.cumsum(histogram[::-1])[::-1], 0)
    return passing / passing[0]


def _edge(index) -> float:
    """The similarity at the lower edge of a bin."""
    return round(float(2 * index / BINS - 1), 6)


def format_points(figures: dict) -> list:
    """The figures of operating_points as (label, value) strings, for the terminal and for the image."""
    rows = [
        ("suggested threshold", f"{figures['threshold']:.3f}"),
        ("measured at", describe_rate(figures["suggested_at"])),
        ("equal error rate", f"{figures['eer']:.2f} % (at {figures['eer_threshold']:.3f})"),
    ]
    for point in figures["operating_points"]:
        value = "too few pairs"
        if point["tar"] is not None:
            value = f"{point['tar']:.2f} % (at {point['threshold']:.3f})"
        rows.append((f"true accepts at {point['far']:g} % false", value))
    rows.append(("pairs of one person", f"{figures['same_pairs']:,}"))
    rows.append(("pairs of two people", f"{figures['different_pairs']:,}"))
    return rows
