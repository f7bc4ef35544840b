"""Rank-k and mean average precision after the Market-1501 protocol, in numpy alone and without sorting the gallery.

Protocol (Zheng et al. 2015, "Scalable Person Re-identification: A Benchmark"): single query; gallery images of the
query's own identity and camera are left out; junk (identity -1) is left out; distractors (identity 0) stay. A query
that has no image of its identity left is counted as unmatched and left out of every figure. An image of another person
that is exactly as similar as the right one ranks before it, so a network that gives every image the same embedding
scores nothing.

A query has few positives among thousands of images. The place of each positive is the number of negatives at least as
similar, which is counted, not sorted; and the similarities exist for one block of queries at a time.
"""

from __future__ import annotations

import numpy as np

from utils.progress import Progress

JUNK = -1  # Market-1501: a bad box on a person of the test set; neither right nor wrong, so it never counts
DISTRACTOR = 0  # Market-1501: a box on nobody; stays in the gallery and is wrong for every query
RANKS = (1, 5, 10, 20)
BLOCK = 256  # queries compared with the gallery at a time: 256 x 15,913 similarities of float32 are 16 MB
FEW = 64  # up to so many positives, one count of the gallery for each is quicker than sorting what ranks before them


def similarity_blocks(query_embeddings, gallery_embeddings):
    """(Q, E) and (G, E) of norm 1 -> yields the cosines of BLOCK queries at a time with the whole gallery, (B, G)."""
    for start in range(0, len(query_embeddings), BLOCK):
        yield query_embeddings[start : start + BLOCK] @ gallery_embeddings.T


def evaluate(
    query_embeddings,
    query_identities,
    query_cameras,
    gallery_embeddings,
    gallery_identities,
    gallery_cameras,
    blocks=similarity_blocks,
    desc=None,
) -> dict:
    """Embeddings (Q, E) and (G, E) float of norm 1, the others (Q,) and (G,) int -> a dict of figures.

    rank1, rank5, rank10, rank20, mAP (Market-1501's own trapezoid), mAP_step (the plain mean of precisions that most
    code bases print) and mINP (Ye et al. 2021, arXiv 2001.04193) are percentages; queries, gallery, junk, distractors,
    unmatched are counts; camera_pairs is a list as CameraPairs makes it.
    blocks: what compares; called as similarity_blocks is, with the junk left out of the gallery, and the blocks are
    written into. desc: the name on the progress line, None for silence.
    ValueError if no query has a match, or if an embedding is not a number.
    """
    if not np.isfinite(query_embeddings.sum() + gallery_embeddings.sum()):
        raise ValueError("an embedding is not a number")  # and nothing would rank before it
    junk = gallery_identities == JUNK
    if junk.any():  # this copies the embeddings
        gallery_embeddings, gallery_identities = gallery_embeddings[~junk], gallery_identities[~junk]
        gallery_cameras = gallery_cameras[~junk]
    of_identity, nobody = indices_by(gallery_identities), np.array([], int)
    distractors = len(of_identity.pop(DISTRACTOR, nobody))  # a query of nobody has no match
    pairs, scores = CameraPairs(gallery_cameras), []
    progress = None
    rows = (row for similarity in blocks(query_embeddings, gallery_embeddings) for row in similarity)  # (G,) each
    for row, identity, camera in zip(rows, query_identities.tolist(), query_cameras.tolist()):
        # Only now, or the rate would count what `blocks` did before its first one.
        progress = progress or Progress(desc and f"{desc}: ranked", len(query_identities), "queries")
        own = of_identity.get(identity, nobody)
        positive = own[gallery_cameras[own] != camera]
        if len(positive):
            found = row[positive]  # (P,)
            row[own] = -np.inf  # only the query's negatives are left to rank before a positive
            scores.append(score_query(positive_ranks(found, row)))
            pairs.add(camera, found, gallery_cameras[positive], row)
        progress.add()
    if not scores:
        raise ValueError("no query has an image of its identity from another camera in the gallery")
    return {
        **mean_scores(scores),
        "queries": len(query_embeddings),
        "unmatched": len(query_embeddings) - len(scores),
        "gallery": len(gallery_embeddings),
        "junk": int(junk.sum()),
        "distractors": distractors,
        "camera_pairs": pairs.figures(),
    }


def indices_by(labels) -> dict:
    """(N,) int -> {label: the indices that carry it, ascending}."""
    order = np.argsort(labels, kind="stable")
    found, starts = np.unique(labels[order], return_index=True)
    return dict(zip(found.tolist(), np.split(order, starts[1:])))


def positive_ranks(positive_similarity, negative_similarity) -> np.ndarray:
    """The places, from 0 and ascending, of P positives among all P + M images.

    (P,) and (M,); -inf among the negatives stands for an image that does not count. A negative that ties with a
    positive ranks before it.
    """
    descending = np.sort(positive_similarity)[::-1]
    if len(descending) <= FEW:
        before = np.array([np.count_nonzero(negative_similarity >= positive) for positive in descending])
    else:
        rivals = np.sort(negative_similarity[negative_similarity >= descending[-1]])
        before = len(rivals) - np.searchsorted(rivals, descending, side="left")
    return before + np.arange(len(descending))  # (P,)


def score_query(ranks) -> tuple:
    """One query's figures, from the places of its positives.

    (place of the first positive, average precision by trapezoid, average precision by steps, inverse negative penalty)
    """
    found = np.arange(1, len(ranks) + 1)  # positives found up to and with each of them
    precision = found / (ranks + 1)
    # Precision just before each positive; Market-1501's evaluation takes 1 before the very first image.
    before = np.where(ranks > 0, (found - 1) / np.maximum(ranks, 1), 1.0)
    return ranks[0], np.mean((before + precision) / 2), np.mean(precision), len(ranks) / (ranks[-1] + 1)


def mean_scores(scores) -> dict:
    """What score_query returned for each query with a match -> their means as percentages, by name."""
    first, trapezoid, step, inverse = np.array(scores).T  # (matched queries,) each
    figures = {f"rank{k}": 100 * float(np.mean(first < k)) for k in RANKS}
    means = {"mAP": trapezoid, "mAP_step": step, "mINP": inverse}
    return {**figures, **{name: 100 * float(np.mean(values)) for name, values in means.items()}}


class CameraPairs:
    """Rank-1 from each camera to each other one.

    For a pair (query camera, gallery camera) the gallery is what that one camera took: positives, other people and
    distractors. Asked is every query of the query camera whose person that gallery camera has seen, so each pair has
    its own set of queries; the mean over pairs is not rank1. Ties as everywhere: the negative ranks before.
    """

    def __init__(self, gallery_cameras):
        self.of_camera = indices_by(gallery_cameras)
        self.asked = {}  # (query camera, gallery camera): for each query, whether a positive came first

    def add(self, camera: int, found, found_cameras, negatives) -> None:
        """One query: similarities and cameras of its positives, (P,) each, and of all negatives, (G,), else -inf."""
        for other in set(found_cameras.tolist()):
            best = found[found_cameras == other].max()
            first = best > negatives[self.of_camera[other]].max()
            self.asked.setdefault((camera, other), []).append(first)

    def figures(self) -> list:
        """[{"query_camera", "gallery_camera", "rank1": percentage, "queries": count}], ordered by the cameras."""
        return [
            {"query_camera": asking, "gallery_camera": other, "rank1": 100 * float(np.mean(won)), "queries": len(won)}
            for (asking, other), won in sorted(self.asked.items())
        ]


def strict_threshold(embeddings, identities, cameras, false_accepts: float = 0.01) -> float:
    """The similarity that only this share of pairs of different people, seen by different cameras, exceeds.

    (N, E) of norm 1, (N,), (N,); pairs within one camera count where there is no other. From a few hundred pictures:
    N x N in memory.
    """
    different = identities[:, None] != identities[None, :]
    across = cameras[:, None] != cameras[None, :]
    pairs = different & across if (different & across).any() else different
    return float(np.quantile((embeddings @ embeddings.T)[pairs], 1 - false_accepts))
