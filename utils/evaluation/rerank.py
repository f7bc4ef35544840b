"""Re-ranking with k-reciprocal neighbours (Zhong et al. 2017, arXiv 1701.08398), in numpy, never a whole N x N matrix.

Two images of one person tend to have the same images round them. So each image is described by its neighbours,
and a query is compared with the gallery by what their descriptions share (Jaccard) beside their own distance. As
published, queries and gallery together, N = Q + G images, are searched for neighbours: what a query finds depends on
the other queries, which no camera that asks one by one can have.

Where the paper and the code that its authors released differ, this follows the code, whose figures the literature
quotes: distances are squared Euclidean, divided in each row by the row's largest; a neighbour's neighbours join if
*more* than two thirds of them are there already; each description sums to 1. An image is its own nearest; of equally
far ones the first is nearer.

At Market-1501's size the N x N distances would take 1.5 GB, and their order twice that. Kept are for each image its
nearest ones and a description of some hundred numbers.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from utils.metrics import row_blocks
from utils.progress import Progress

NONE = -1  # fills the rows of index arrays whose rows differ in length


class Sparse(NamedTuple):
    """A sparse matrix by rows: row r has columns[starts[r] : starts[r + 1]] with these weights, and 0 elsewhere."""

    starts: np.ndarray  # (rows + 1,) int
    columns: np.ndarray  # (entries,) int
    weights: np.ndarray  # (entries,) float64

    def row(self, number: int):
        """(columns, weights) of one row."""
        part = slice(self.starts[number], self.starts[number + 1])
        return self.columns[part], self.weights[part]

    def gather(self, rows):
        """(R,) row numbers -> the entries of these rows in a line: (place in `rows`, column, weight), (M,) each."""
        counts = self.starts[rows + 1] - self.starts[rows]
        owners = np.repeat(np.arange(len(rows)), counts)
        first = np.cumsum(counts) - counts  # where each row begins in the line
        entries = np.arange(len(owners)) - np.repeat(first - self.starts[rows], counts)
        return owners, self.columns[entries], self.weights[entries]


def from_entries(rows, columns, weights, count: int) -> Sparse:
    """(M,) each, in any order -> a Sparse of `count` rows."""
    order = np.argsort(rows, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=count))])
    return Sparse(starts, columns[order], weights[order])


def rerank_blocks(query_embeddings, gallery_embeddings, k1=20, k2=6, weight=0.3, desc=None):
    """(Q, E) and (G, E) of norm 1 -> yields minus the re-ranked distances of BLOCK queries at a time, (B, G) float64.

    metrics.evaluate takes it for `blocks`. k1: two images are neighbours if each is among the other's k1 nearest;
    k2: over how many of an image's nearest, itself first, descriptions are averaged; weight: the share that the
    embeddings' own distance keeps. desc: the name on the progress lines, None for silence.
    """
    queries, embeddings = len(query_embeddings), np.concatenate([query_embeddings, gallery_embeddings])  # (N, E)
    nearest, farthest = find_nearest(embeddings, max(k1 + 1, k2), desc)
    described = describe(embeddings, nearest, farthest, k1, desc)
    described = average(described, nearest[:, :k2])
    holders, neighbours, weights = described.gather(np.arange(queries, len(embeddings)))
    held_by = from_entries(neighbours, holders, weights, len(embeddings))  # a neighbour's row: gallery images, weights
    for rows in row_blocks(queries):
        block = np.arange(rows.start, rows.stop)
        distance = squared_distances(embeddings[block], gallery_embeddings) / farthest[block, None]  # (B, G)
        shared = np.stack([overlap(*described.row(query), held_by, distance.shape[1]) for query in block])
        jaccard = 1 - shared / (2 - shared)  # both sum to 1, so what they have together is 2 less what they share
        yield -((1 - weight) * jaccard + weight * distance)


def squared_distances(some, embeddings) -> np.ndarray:
    """(B, E) and (N, E) of norm 1 -> (B, N), squared Euclidean."""
    return np.maximum(2 - 2 * (some @ embeddings.T), 0)


def find_nearest(embeddings, count: int, desc=None):
    """(N, E) -> nearest (N, count or N if that is less) int32, farthest (N,) float64.

    Each image's nearest ones, itself first, and its largest squared distance.
    """
    total = len(embeddings)
    count = min(count, total)
    nearest, farthest = np.empty((total, count), np.int32), np.empty(total)
    progress = Progress(desc and f"{desc}: compared", total)
    for block in row_blocks(total):
        start = block.start
        distances = squared_distances(embeddings[block], embeddings)  # (B, N)
        farthest[block] = distances.max(axis=1)
        rows = np.arange(len(distances))
        distances[rows, start + rows] = -1  # itself before all that are equal to it
        limits = np.partition(distances, count - 1, axis=1)[:, count - 1]
        for row, (distance, limit) in enumerate(zip(distances, limits), start):
            within = np.flatnonzero(distance <= limit)  # more than `count` where some are equally far
            nearest[row] = within[np.argsort(distance[within], kind="stable")[:count]]
        progress.add(len(distances))
    return nearest, np.where(farthest > 0, farthest, 1)  # 0: all images are the same


def reciprocal(nearest) -> np.ndarray:
    """(N, K) nearest -> the same with NONE in place of each that has not the image among its own K nearest."""
    found = np.empty_like(nearest)
    for block in row_blocks(len(nearest)):
        some = nearest[block]  # (B, K)
        images = np.arange(block.start, block.stop)[:, None, None]
        found[block] = np.where((nearest[some] == images).any(axis=2), some, NONE)
    return found


def describe(embeddings, nearest, farthest, k1: int, desc=None) -> Sparse:
    """The description of each image: a weight, exp(-distance / farthest), for each of its neighbours; rows sum to 1.

    Neighbours are the k1-reciprocal ones, and the k1/2-reciprocal ones of such a neighbour where more than two thirds
    of these are among the former.
    """
    half = int(np.around(k1 / 2))  # as released: halves go to the even number
    wide, narrow = reciprocal(nearest[:, : k1 + 1]), reciprocal(nearest[:, : half + 1])  # (N, K) and (N, H)
    total = len(embeddings)
    counts, columns, weights = [], [], []
    progress = Progress(desc and f"{desc}: described", total)
    for image in range(total):
        own = wide[image][wide[image] != NONE]  # (M,)
        theirs = narrow[own]  # (M, H)
        there, known = theirs != NONE, np.isin(theirs, own)
        joins = 3 * known.sum(axis=1) > 2 * there.sum(axis=1)  # (M,)
        members = np.union1d(own, theirs[joins[:, None] & there])
        likeness = np.exp(-squared_distances(embeddings[image], embeddings[members]) / farthest[image])
        counts.append(len(members))
        columns.append(members)
        weights.append(likeness / likeness.sum())
        progress.add()
    return Sparse(np.concatenate([[0], np.cumsum(counts)]), np.concatenate(columns), np.concatenate(weights))


def average(described: Sparse, nearest) -> Sparse:
    """The mean of the descriptions of each image's nearest, (N, k2) int."""
    total, k2 = nearest.shape
    counts, columns, weights = [], [], []
    for block in row_blocks(total):
        some = nearest[block]
        places, found, likeness = described.gather(some.ravel())
        keys, entries = np.unique(places // k2 * total + found, return_inverse=True)  # a row's equal columns in one
        counts.append(np.bincount(keys // total, minlength=len(some)))
        columns.append(keys % total)
        weights.append(np.bincount(entries, likeness) / k2)
    starts = np.concatenate([[0], np.cumsum(np.concatenate(counts))])
    return Sparse(starts, np.concatenate(columns), np.concatenate(weights))


def overlap(neighbours, weights, held_by: Sparse, gallery: int) -> np.ndarray:
    """How much of a query's description, (M,) each, each gallery image shares: (G,), the sum of the smaller weights."""
    places, images, theirs = held_by.gather(neighbours)
    return np.bincount(images, np.minimum(weights[places], theirs), minlength=gallery)
