"""Rank-k and mean average precision after the Market-1501 protocol, in numpy alone and without sorting the gallery.

Protocol (Zheng et al. 2015): single query; gallery images of the query's own identity and camera are left out; junk
(identity -1) is left out; distractors (identity 0) stay. A query that has no image of its identity left is counted as
unmatched and left out of every figure. An image of another person that is exactly as similar as the right one ranks
before it, so a network that gives every image the same embedding scores nothing.

Only the few positives of a query are sorted; each other image then falls between two of them, which is counted, not
sorted.
"""

from __future__ import annotations

import numpy as np

JUNK = -1  # Market-1501: a bad box on a person of the test set; neither right nor wrong, so it never counts
DISTRACTOR = 0  # Market-1501: a box on nobody; stays in the gallery and is wrong for every query
RANKS = (1, 5, 10, 20)
BLOCK = 256  # queries compared with the gallery at a time: 256 x 15,913 similarities of float32 are 16 MB


def evaluate(
    query_embeddings, query_identities, query_cameras, gallery_embeddings, gallery_identities, gallery_cameras
) -> dict:
    """Embeddings (Q, E) and (G, E) float of norm 1, the others (Q,) and (G,) int -> a flat dict of figures.

    rank1, rank5, rank10, rank20, mAP (Market-1501's own trapezoid), mAP_step (the plain mean of precisions that most
    code bases print) and mINP are percentages; queries, gallery, junk, distractors, unmatched are counts. ValueError if
    no query has a match.
    """
    junk = gallery_identities == JUNK
    gallery_embeddings, gallery_identities = gallery_embeddings[~junk], gallery_identities[~junk]
    gallery_cameras = gallery_cameras[~junk]
    scores = []
    for start in range(0, len(query_embeddings), BLOCK):
        block = slice(start, start + BLOCK)
        similarity = query_embeddings[block] @ gallery_embeddings.T  # (B, G)
        for row, identity, camera in zip(similarity, query_identities[block], query_cameras[block]):
            same = gallery_identities == identity  # (G,)
            positive = same & (gallery_cameras != camera)
            if positive.any():
                scores.append(score_query(positive_ranks(row[positive], row[~same])))
    if not scores:
        raise ValueError("no query has an image of its identity from another camera in the gallery")
    first, trapezoid, step, inverse = np.array(scores).T  # (matched queries,) each
    figures = {f"rank{k}": 100 * float(np.mean(first < k)) for k in RANKS}
    figures.update(
        mAP=100 * float(trapezoid.mean()),
        mAP_step=100 * float(step.mean()),
        mINP=100 * float(inverse.mean()),
        queries=len(query_embeddings),
        unmatched=len(query_embeddings) - len(scores),
        gallery=len(gallery_embeddings),
        junk=int(junk.sum()),
        distractors=int((gallery_identities == DISTRACTOR).sum()),
    )
    return figures


def strict_threshold(embeddings, identities, cameras, false_accepts: float = 0.01) -> float:
    """The similarity that only this share of pairs of different people, seen by different cameras, exceeds.

    (N, E) of norm 1, (N,), (N,); pairs within one camera count where there is no other. From a few hundred pictures:
    N x N in memory.
    """
    different = identities[:, None] != identities[None, :]
    across = cameras[:, None] != cameras[None, :]
    pairs = different & across if (different & across).any() else different
    return float(np.quantile((embeddings @ embeddings.T)[pairs], 1 - false_accepts))


def positive_ranks(positive_similarity, negative_similarity) -> np.ndarray:
    """The places, from 0 and ascending, of P positives among all P + M images.

    A negative that ties with a positive ranks before it.
    """
    ascending = np.sort(positive_similarity)
    # How many positives lie at or below each negative: it ranks before these.
    at_or_below = np.searchsorted(ascending, negative_similarity, side="right")  # (M,)
    beaten = np.bincount(at_or_below, minlength=len(ascending) + 1)  # (P + 1,)
    before = np.cumsum(beaten[::-1])[:-1]  # (P,) negatives before each positive, the most similar positive first
    return before + np.arange(len(ascending))


def score_query(ranks) -> tuple:
    """One query's figures, from the places of its positives.

    (place of the first positive, average precision by trapezoid, average precision by steps, inverse negative penalty)
    """
    found = np.arange(1, len(ranks) + 1)  # positives found up to and with each of them
    precision = found / (ranks + 1)
    # Precision just before each positive; Market-1501's evaluation takes 1 before the very first image.
    before = np.where(ranks > 0, (found - 1) / np.maximum(ranks, 1), 1.0)
    return ranks[0], np.mean((before + precision) / 2), np.mean(precision), len(ranks) / (ranks[-1] + 1)
