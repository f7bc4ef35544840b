"""Re-ranking with k-reciprocal neighbours (Zhong et al. 2017, arXiv 1701.08398), in numpy and without N x N matrices.

Images of one person tend to have the same neighbours. Each image is therefore encoded by its neighbours, and a query is
compared with a gallery image by the Jaccard distance of their codes, mixed with the original distance. As published,
neighbours are searched among queries and gallery together, N = Q + G images. The result of a query thus depends on the
other queries, which a live camera does not have.

Where the paper and the released code of its authors differ, this follows the code, whose figures the literature quotes:
distances are squared Euclidean and divided by the largest distance of their row; the neighbours of a neighbour are
added if *more* than two thirds of them are there already; each code sums to 1. An image is its own nearest neighbour;
of equally distant images the first one is nearer.

For Market-1501 the N x N distances would take 1.5 GB, and their order twice that. Here only the nearest neighbours of
each image and a code of a few hundred numbers are kept.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from utils.metrics import row_blocks
from utils.progress import Progress

NONE = -1  # fills the end of shorter rows in index arrays


class Sparse(NamedTuple):
    """A sparse matrix by rows: row r has weights[starts[r] : starts[r + 1]] in these columns, and 0 elsewhere."""

    starts: np.ndarray  # (rows + 1,) int
    columns: np.ndarray  # (entries,) int
    weights: np.ndarray  # (entries,) float64

    def row(self, number: int) -> tuple:
        """One row: columns (M,), weights (M,)."""
        part = slice(self.starts[number], self.starts[number + 1])
        return self.columns[part], self.weights[part]

    def gather(self, rows) -> tuple:
        """The entries of the rows (R,), one after the other: index into `rows`, column, weight, (M,) each."""
        counts = self.starts[rows + 1] - self.starts[rows]
        owners = np.repeat(np.arange(len(rows)), counts)
        first = np.cumsum(counts) - counts  # the first entry of each row
        entries = np.arange(len(owners)) - np.repeat(first - self.starts[rows], counts)
        return owners, self.columns[entries], self.weights[entries]


def from_entries(rows, columns, weights, count: int) -> Sparse:
    """A Sparse of `count` rows from entries in any order, (M,) each."""
    order = np.argsort(rows, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=count))])
    return Sparse(starts, columns[order], weights[order])


def rerank_blocks(query_embeddings, gallery_embeddings, k1=20, k2=6, weight=0.3, desc=None):
    """(Q, E) and (G, E) of norm 1 -> yields the negative re-ranked distances of a block of queries, (B, G) float64.

    This is a `blocks` for metrics.evaluate. k1: two images are neighbours if each is among the k1 nearest of the other.
    k2: number of nearest images, itself included, over which the code of an image is averaged. weight: of the original
    distance, 0 to 1. desc: the name on the progress lines, None for silence.
    """
    queries = len(query_embeddings)
    embeddings = np.concatenate([query_embeddings, gallery_embeddings])  # (N, E)
    nearest, farthest = find_nearest(embeddings, max(k1 + 1, k2), desc)
    codes = average(encode(embeddings, nearest, farthest, k1, desc), nearest[:, :k2])
    owners, neighbours, weights = codes.gather(np.arange(queries, len(embeddings)))
    by_neighbour = from_entries(neighbours, owners, weights, len(embeddings))  # row: neighbour, column: gallery image
    for rows in row_blocks(queries):
        distance = squared_distances(embeddings[rows], gallery_embeddings) / farthest[rows, None]  # (B, G)
        shared = [overlap(*codes.row(query), by_neighbour, distance.shape[1]) for query in range(rows.start, rows.stop)]
        shared = np.stack(shared)  # (B, G)
        jaccard = 1 - shared / (2 - shared)  # both codes sum to 1, so their union is 2 minus what they share
        yield -((1 - weight) * jaccard + weight * distance)


def squared_distances(some, embeddings) -> np.ndarray:
    """The squared Euclidean distances of (B, E) and (N, E), both of norm 1: (B, N)."""
    return np.maximum(2 - 2 * (some @ embeddings.T), 0)


def find_nearest(embeddings, count: int, desc=None) -> tuple:
    """The nearest images of each image, itself first, and its largest squared distance.

    (N, E) -> nearest (N, K) int32 with K = min(count, N), farthest (N,) float64.
    """
    total = len(embeddings)
    count = min(count, total)
    nearest = np.empty((total, count), np.int32)
    farthest = np.empty(total)
    progress = Progress(desc and f"{desc}: compared", total)
    for block in row_blocks(total):
        distances = squared_distances(embeddings[block], embeddings)  # (B, N)
        farthest[block] = distances.max(axis=1)
        rows = np.arange(len(distances))
        distances[rows, block.start + rows] = -1  # so that an image comes before its equals
        limits = np.partition(distances, count - 1, axis=1)[:, count - 1]
        for row, (distance, limit) in enumerate(zip(distances, limits), block.start):
            within = np.flatnonzero(distance <= limit)  # more than `count` if some are equally distant
            nearest[row] = within[np.argsort(distance[within], kind="stable")[:count]]
        progress.add(len(distances))
    return nearest, np.where(farthest > 0, farthest, 1)  # 0 if all images are equal


def reciprocal(nearest) -> np.ndarray:
    """(N, K) nearest -> the same, with NONE in place of an image that does not have this one among its K nearest."""
    found = np.empty_like(nearest)
    for block in row_blocks(len(nearest)):
        theirs = nearest[nearest[block]]  # (B, K, K)
        images = np.arange(block.start, block.stop)[:, None, None]
        found[block] = np.where((theirs == images).any(axis=2), nearest[block], NONE)
    return found


def encode(embeddings, nearest, farthest, k1: int, desc=None) -> Sparse:
    """The code of each image: a weight exp(-distance / farthest) for each of its neighbours; a row sums to 1.

    Neighbours are the k1-reciprocal ones. The k1/2-reciprocal neighbours of a neighbour are added if more than two
    thirds of them are among the former.
    """
    half = int(np.around(k1 / 2))  # rounds halves to even, as the released code does
    wide = reciprocal(nearest[:, : k1 + 1])  # (N, K)
    narrow = reciprocal(nearest[:, : half + 1])  # (N, H)
    counts = []
    columns = []
    weights = []
    progress = Progress(desc and f"{desc}: encoded", len(embeddings))
    for image, embedding in enumerate(embeddings):
        own = wide[image][wide[image] != NONE]  # (M,)
        theirs = narrow[own]  # (M, H)
        valid = theirs != NONE
        known = np.isin(theirs, own)
        added = 3 * known.sum(axis=1) > 2 * valid.sum(axis=1)  # (M,)
        members = np.union1d(own, theirs[added[:, None] & valid])
        weight = np.exp(-squared_distances(embedding, embeddings[members]) / farthest[image])
        counts.append(len(members))
        columns.append(members)
        weights.append(weight / weight.sum())
        progress.add()
    return Sparse(np.concatenate([[0], np.cumsum(counts)]), np.concatenate(columns), np.concatenate(weights))


def average(codes: Sparse, nearest) -> Sparse:
    """The mean of the codes of each image's nearest images, (N, k2) int."""
    total, k2 = nearest.shape
    counts = []
    columns = []
    weights = []
    for block in row_blocks(total):
        images = nearest[block]  # (B, k2)
        places, neighbours, found = codes.gather(images.ravel())
        # One key per row and column, so that equal columns of a row are added up.
        keys, entries = np.unique(places // k2 * total + neighbours, return_inverse=True)
        counts.append(np.bincount(keys // total, minlength=len(images)))
        columns.append(keys % total)
        weights.append(np.bincount(entries, found) / k2)
    starts = np.concatenate([[0], np.cumsum(np.concatenate(counts))])
    return Sparse(starts, np.concatenate(columns), np.concatenate(weights))


def overlap(neighbours, weights, by_neighbour: Sparse, gallery: int) -> np.ndarray:
    """What the code of a query, (M,) each, shares with each gallery image: (G,) sums of the smaller weights.

    by_neighbour: the codes of the gallery, one row per neighbour; gallery: the number of its images.
    """
    places, images, theirs = by_neighbour.gather(neighbours)
    return np.bincount(images, np.minimum(weights[places], theirs), minlength=gallery)
