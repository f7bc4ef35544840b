"""How similar must two pictures be to show the same person? Measured on pairs of pictures from different cameras.

The pairs are counted into fine bins of similarity, block by block, so that Market-1501's 53 million of them need no
memory. Each rate is exact at the edge of a bin, and a threshold is such an edge. What is found lies beside the
checkpoint, `<prefix>.threshold.json`, where `scp <prefix>*` takes it along and pipeline.py finds it.
"""

from __future__ import annotations

import numpy as np

from utils.checkpoint import describe_rate
from utils.errors import InputError
from utils.metrics import DISTRACTOR, JUNK

BINS = 200_000  # of similarities from -1 to 1: thresholds are exact to 0.00001
RATES = {"far1": 0.01, "far0.1": 0.001}  # false accepts: the share of pairs of different people that pass
EXPECTED_ERRORS = 10  # a rate is read off only where at least so many pairs would pass by mistake
BLOCK = 256  # queries compared with the gallery at a time
FEWEST_PAIRS = 10  # of the same person, and of different people


def count_pairs(
    query_embeddings, query_identities, query_cameras, gallery_embeddings, gallery_identities, gallery_cameras
) -> tuple:
    """Embeddings (Q, E) and (G, E) float of norm 1, the others (Q,) and (G,) int -> two (BINS,) int64.

    The pairs of a query and a gallery picture of one person, and of different people, by similarity; only pairs of two
    cameras. Junk is left out. A distractor is nobody's picture: a different person for everybody, and unknown to
    another distractor.
    """
    asks, answers = query_identities != JUNK, gallery_identities != JUNK
    query = (query_embeddings[asks], query_identities[asks], query_cameras[asks])
    gallery_embeddings, gallery_identities = gallery_embeddings[answers], gallery_identities[answers]
    gallery_cameras = gallery_cameras[answers]
    same, different = np.zeros(BINS, np.int64), np.zeros(BINS, np.int64)
    for start in range(0, len(query[0]), BLOCK):
        embeddings, identities, cameras = (column[start : start + BLOCK] for column in query)
        similarity = embeddings @ gallery_embeddings.T  # (B, G)
        bins = np.clip((similarity + 1) * (BINS / 2), 0, BINS - 1).astype(np.int32)  # (B, G)
        across = cameras[:, None] != gallery_cameras[None, :]  # (B, G)
        equal = identities[:, None] == gallery_identities[None, :]  # (B, G)
        known = (identities != DISTRACTOR)[:, None]
        same += np.bincount(bins[across & equal & known], minlength=BINS)
        different += np.bincount(bins[across & ~equal], minlength=BINS)
    return same, different


def read_off(same, different, suggest_at: str = "far1") -> dict:
    """Counts by similarity, (BINS,) each -> a flat dict of figures; rates are percentages.

    eer and eer_threshold: where as many pairs of one person are refused as pairs of two people pass. For each of RATES
    threshold_at_<name>, the lowest at which no larger share of the different pairs passes, and tar_at_<name>, the share
    of the same pairs that then passes; both None where the pairs are too few to tell. threshold is the one of
    suggest_at, 'eer' or a name of RATES; same_pairs and different_pairs are counts. InputError where pairs are too few.
    """
    pairs = {"same_pairs": int(same.sum()), "different_pairs": int(different.sum())}
    if min(pairs.values()) < FEWEST_PAIRS:
        raise InputError(
            f"too few pairs across cameras for a threshold: {pairs['same_pairs']} of one person and "
            f"{pairs['different_pairs']} of two people: measure on more pictures"
        )
    true_accepts, false_accepts = _share_from(same), _share_from(different)  # (BINS + 1,) at each edge
    gap = np.abs(1 - true_accepts - false_accepts)
    level = np.flatnonzero(gap == gap.min())
    middle = level[len(level) // 2]  # of the free room, where nothing overlaps
    error = (1 - true_accepts[middle] + false_accepts[middle]) / 2
    figures = {"eer": 100 * float(error), "eer_threshold": _edge(middle)}
    for name, rate in RATES.items():
        enough = rate * pairs["different_pairs"] >= EXPECTED_ERRORS
        lowest = np.argmax(false_accepts <= rate)
        figures[f"threshold_at_{name}"] = _edge(lowest) if enough else None
        figures[f"tar_at_{name}"] = 100 * float(true_accepts[lowest]) if enough else None
    threshold = figures["eer_threshold"] if suggest_at == "eer" else figures[f"threshold_at_{suggest_at}"]
    if threshold is None:
        raise InputError(
            f"{pairs['different_pairs']} pairs of different people are too few to tell a rate of "
            f"{100 * RATES[suggest_at]:g} % (it takes {EXPECTED_ERRORS / RATES[suggest_at]:.0f}): measure on more "
            f"pictures, or take --threshold_at={'far1' if figures['threshold_at_far1'] is not None else 'eer'}"
        )
    return {"threshold": threshold, "suggested_at": suggest_at, **figures, **pairs}


def _share_from(counts) -> np.ndarray:
    """(BINS + 1,) the share of the pairs at or above the lower edge of each bin, and 0 at the end."""
    passing = np.append(np.cumsum(counts[::-1])[::-1], 0)
    return passing / passing[0]


def _edge(place) -> float:
    return round(float(2 * place / BINS - 1), 6)


def lines(figures: dict) -> list:
    """The figures as (what, value) in words: for the terminal and for the picture."""
    rows = [
        ("suggested threshold", f"{figures['threshold']:.3f}"),
        ("taken at", describe_rate(figures["suggested_at"])),
        ("equal error rate", f"{figures['eer']:.2f} % (at {figures['eer_threshold']:.3f})"),
    ]
    for name, rate in RATES.items():
        value, threshold = figures[f"tar_at_{name}"], figures[f"threshold_at_{name}"]
        said = "too few pairs to tell" if value is None else f"{value:.2f} % (at {threshold:.3f})"
        rows.append((f"true accepts at {100 * rate:g} % false", said))
    rows.append(("pairs of one person", f"{figures['same_pairs']:,}"))
    rows.append(("pairs of two people", f"{figures['different_pairs']:,}"))
    return rows
