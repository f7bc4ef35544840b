"""Rank-k and mean average precision by the Market-1501 protocol, in numpy and without sorting the gallery.

The protocol (Zheng et al. 2015, "Scalable Person Re-identification: A Benchmark") is the class Protocol below. Each
query searches alone. A query without a match is counted as unmatched and left out of every figure. A negative that is
exactly as similar as a positive ranks before it, so a net that gives every image the same embedding scores nothing.

A query has few positives among thousands of images. The rank of a positive is the number of negatives that are at
least as similar, which is counted instead of sorted. Similarities exist for one block of queries at a time.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from utils.progress import Progress

JUNK = -1  # Market-1501: a bad box on a person of the test set; it is neither right nor wrong
DISTRACTOR = 0  # Market-1501: a box on the background or on an unlabelled person; it is wrong for every query
RANKS = (1, 5, 10, 20)
BLOCK = 256  # queries compared with the gallery at a time: 256 x 15,913 similarities of float32 are 16 MB
COUNT_UP_TO = 64  # positives; counting the gallery once for each of them is then faster than sorting
NO_INDICES = np.array([], np.int64)


class LabelledSet(NamedTuple):
    """N images: paths (None where they are not needed), embeddings (N, E) float32 of norm 1, identities and cameras.

    identities and cameras are (N,) int.
    """

    paths: list
    embeddings: np.ndarray
    identities: np.ndarray
    cameras: np.ndarray

    def take(self, chosen) -> LabelledSet:
        """The images at the indices (M,) or where the mask (N,) is True, in the order of the indices."""
        paths = None if self.paths is None else np.asarray(self.paths)[chosen]
        return LabelledSet(paths, self.embeddings[chosen], self.identities[chosen], self.cameras[chosen])


class QueryScores(NamedTuple):
    """One value per query, nan for a query without a match; percentages except first_rank.

    first_rank (Q,): the rank of the first positive, from 0. average_precision (Q,): Market-1501's own trapezoid.
    average_precision_step (Q,): the plain mean of precisions that most code bases print. inverse_penalty (Q,): the
    share of positives among all images up to the last positive (Ye et al. 2021, arXiv 2001.04193).
    camera_pairs: as CameraPairs.figures returns them.
    """

    first_rank: np.ndarray
    average_precision: np.ndarray
    average_precision_step: np.ndarray
    inverse_penalty: np.ndarray
    camera_pairs: list


class Protocol:
    """The Market-1501 protocol for one gallery: which images are positives, negatives or ignored for a query.

    Positives show the query's identity in another camera. Ignored are junk and the images of the query's identity in
    the query's own camera. All others are negatives, including distractors. Whether two distractors show one person is
    unknown, so they are ignored for each other.
    """

    def __init__(self, identities, cameras):
        """identities, cameras: (G,) int each, of the gallery."""
        self.cameras = cameras
        self.of_identity = group_indices(identities)
        self.junk = self.of_identity.get(JUNK, NO_INDICES)

    def judge(self, identity: int, camera: int) -> tuple:
        """The gallery indices of a query's positives (P,) and of its ignored images (I,); the rest are negatives."""
        same = self.of_identity.get(identity, NO_INDICES)
        if identity == JUNK:
            return NO_INDICES, self.junk
        if identity == DISTRACTOR:
            return NO_INDICES, np.concatenate([same, self.junk])
        own_camera = self.cameras[same] == camera
        return same[~own_camera], np.concatenate([same[own_camera], self.junk])

    def masks(self, identities, cameras) -> tuple:
        """identities and cameras of B queries, (B,) int each -> positive (B, G) bool, negative (B, G) bool."""
        positive = np.zeros((len(identities), len(self.cameras)), bool)
        negative = np.ones_like(positive)
        for row, (identity, camera) in enumerate(zip(identities.tolist(), cameras.tolist())):
            positives, ignored = self.judge(identity, camera)
            positive[row, positives] = True
            negative[row, positives] = False
            negative[row, ignored] = False
        return positive, negative


def row_blocks(count: int):
    """Yields slices of at most BLOCK rows that cover 0 ... count - 1."""
    for start in range(0, count, BLOCK):
        yield slice(start, min(start + BLOCK, count))


def similarity_blocks(query_embeddings, gallery_embeddings):
    """(Q, E) and (G, E) of norm 1 -> yields the similarities of BLOCK queries at a time with the gallery, (B, G)."""
    for rows in row_blocks(len(query_embeddings)):
        yield query_embeddings[rows] @ gallery_embeddings.T


def evaluate(queries: LabelledSet, gallery: LabelledSet, blocks=similarity_blocks, desc=None) -> dict:
    """The figures of a gallery search as a dict.

    rank1, rank5, rank10, rank20, mAP (trapezoid), mAP_step and mINP are percentages (see QueryScores); queries,
    gallery, junk, distractors, unmatched are counts; camera_pairs is a list as CameraPairs.figures returns it.
    blocks and desc: as in score_queries. ValueError if no query has a match, or if an embedding is not a number.
    """
    junk = gallery.identities == JUNK
    scores = score_queries(queries, gallery, blocks, desc)
    matched = ~np.isnan(scores.first_rank)
    if not matched.any():
        raise ValueError("no query has an image of its identity from another camera in the gallery")
    first_rank = scores.first_rank[matched]
    return {
        **{f"rank{k}": 100 * float(np.mean(first_rank < k)) for k in RANKS},
        "mAP": float(np.mean(scores.average_precision[matched])),
        "mAP_step": float(np.mean(scores.average_precision_step[matched])),
        "mINP": float(np.mean(scores.inverse_penalty[matched])),
        "queries": len(queries.embeddings),
        "unmatched": int(np.sum(~matched)),
        "gallery": int(np.sum(~junk)),
        "junk": int(np.sum(junk)),
        "distractors": int(np.sum(gallery.identities == DISTRACTOR)),
        "camera_pairs": scores.camera_pairs,
    }


def score_queries(queries: LabelledSet, gallery: LabelledSet, blocks=similarity_blocks, desc=None) -> QueryScores:
    """Ranks the gallery for each query.

    blocks: what compares; called as similarity_blocks is, without the junk of the gallery, and its blocks are written
    into. desc: the name on the progress line, None for silence. ValueError if an embedding is not a number.
    """
    if not np.isfinite(queries.embeddings.sum() + gallery.embeddings.sum()):
        raise ValueError("an embedding is not a number")
    junk = gallery.identities == JUNK
    if junk.any():  # this copies the embeddings
        gallery = gallery.take(~junk)
    protocol = Protocol(gallery.identities, gallery.cameras)
    pairs = CameraPairs(gallery.cameras)
    scores = np.full((len(queries.embeddings), 4), np.nan)
    labels = zip(queries.identities.tolist(), queries.cameras.tolist())
    rows = (row for block in blocks(queries.embeddings, gallery.embeddings) for row in block)  # (G,) each
    progress = None
    for index, (row, (identity, camera)) in enumerate(zip(rows, labels)):
        # The rate must not include the work that `blocks` does before its first block.
        progress = progress or Progress(desc and f"{desc}: ranked", len(scores), "queries")
        positives, ignored = protocol.judge(identity, camera)
        if len(positives):
            found = row[positives]  # (P,)
            row[positives] = -np.inf  # only negatives are left to rank before a positive
            row[ignored] = -np.inf
            scores[index] = score_query(positive_ranks(found, row))
            pairs.add(camera, found, gallery.cameras[positives], row)
        progress.add()
    return QueryScores(scores[:, 0], *(100 * scores[:, 1:]).T, pairs.figures())


def positive_ranks(positive_similarity, negative_similarity) -> np.ndarray:
    """The ranks, from 0 and ascending, of P positives among all P + M images.

    (P,) and (M,); -inf among the negatives stands for an image that is ignored. A negative that ties with a positive
    ranks before it.
    """
    descending = np.sort(positive_similarity)[::-1]
    if len(descending) <= COUNT_UP_TO:
        before = np.array([np.count_nonzero(negative_similarity >= positive) for positive in descending])
    else:
        rivals = np.sort(negative_similarity[negative_similarity >= descending[-1]])
        before = len(rivals) - np.searchsorted(rivals, descending, side="left")
    return before + np.arange(len(descending))  # (P,)


def score_query(ranks) -> tuple:
    """The figures of one query from the ranks (P,) of its positives, as shares from 0 to 1 except the first.

    (rank of the first positive, average precision by trapezoid, average precision by steps, inverse negative penalty)
    """
    found = np.arange(1, len(ranks) + 1)  # positives up to and including each of them
    precision = found / (ranks + 1)
    # Precision just before each positive; Market-1501's evaluation takes 1 before the very first image.
    before = np.where(ranks > 0, (found - 1) / np.maximum(ranks, 1), 1.0)
    return ranks[0], np.mean((before + precision) / 2), np.mean(precision), len(ranks) / (ranks[-1] + 1)


def group_indices(labels) -> dict:
    """(N,) int -> {label: its indices, ascending}."""
    order = np.argsort(labels, kind="stable")
    found, starts = np.unique(labels[order], return_index=True)
    return dict(zip(found.tolist(), np.split(order, starts[1:])))


class CameraPairs:
    """Rank-1 from each camera to each other one.

    For a pair (query camera, gallery camera) the gallery consists of the images of that one camera: positives, other
    people and distractors. The queries are those of the query camera whose identity the gallery camera has seen, so
    each pair has its own queries, and the mean over pairs is not rank1. A tie counts against the positive.
    """

    def __init__(self, gallery_cameras):
        self.of_camera = group_indices(gallery_cameras)
        self.hits = {}  # (query camera, gallery camera): for each query, whether a positive came first

    def add(self, camera: int, found, found_cameras, negatives) -> None:
        """One query: similarities and cameras of its positives, (P,) each; similarities (G,), -inf if no negative."""
        for other in set(found_cameras.tolist()):
            best = found[found_cameras == other].max()
            first = best > negatives[self.of_camera[other]].max()
            self.hits.setdefault((camera, other), []).append(first)

    def figures(self) -> list:
        """[{"query_camera", "gallery_camera", "rank1": percentage, "queries": count}], ordered by the cameras."""
        return [
            {"query_camera": camera, "gallery_camera": other, "rank1": 100 * float(np.mean(hits)), "queries": len(hits)}
            for (camera, other), hits in sorted(self.hits.items())
        ]
