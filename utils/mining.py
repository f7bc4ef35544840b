"""Offline batch-hard mining of triplets in numpy: arrays in, index arrays out.

The steps are those of the README: a pool of images (draw_pool), which the caller embeds with the current network; then
queries, and for each query a positive and a negative drawn from the sample_num hardest of the pool (mine_triplets).
"""

from __future__ import annotations

import numpy as np

from utils.metrics import row_blocks


def draw_pool(num_available: int, num_images: int, rng: np.random.Generator) -> np.ndarray:
    """Step 1: min(num_images, num_available) different indices into the training set, (N,) int, ascending."""
    return np.sort(rng.choice(num_available, min(num_images, num_available), replace=False))


def mine_triplets(embeddings, identities, num_queries: int, sample_num: int, rng: np.random.Generator):
    """Steps 2 to 5: three (num_queries,) int arrays of indices into the pool: anchors, positives and negatives.

    embeddings: (N, E) float of norm 1; identities: (N,) int. An image whose identity has no second image in the pool is
    never a query. Queries repeat only after all of them have been drawn. ValueError if the pool allows no triplet.
    """
    embeddings = np.asarray(embeddings)
    identities = np.asarray(identities)
    _, identity_of, counts = np.unique(identities, return_inverse=True, return_counts=True)
    eligible = np.flatnonzero(counts[identity_of] > 1)
    if len(eligible) == 0 or len(counts) < 2:
        raise ValueError("a pool needs an identity with two images and a second identity")
    rounds = -(-num_queries // len(eligible))
    anchors = np.concatenate([rng.permutation(eligible) for _ in range(rounds)])[:num_queries]
    positives = np.empty_like(anchors)
    negatives = np.empty_like(anchors)
    for block in row_blocks(num_queries):
        rows = anchors[block]
        similarity = embeddings[rows] @ embeddings.T  # (rows, N)
        same = identities[rows][:, None] == identities[None, :]  # (rows, N)
        for row, anchor in enumerate(rows):
            candidates = np.flatnonzero(same[row])
            candidates = candidates[candidates != anchor]
            positives[block.start + row] = _draw_hardest(candidates, similarity[row, candidates], sample_num, rng)
            candidates = np.flatnonzero(~same[row])
            negatives[block.start + row] = _draw_hardest(candidates, -similarity[row, candidates], sample_num, rng)
    return anchors, positives, negatives


def _draw_hardest(candidates, easiness, sample_num, rng):
    """One of the sample_num candidates with the least easiness, each with equal probability."""
    if len(candidates) > sample_num:
        candidates = candidates[np.argpartition(easiness, sample_num - 1)[:sample_num]]
    return candidates[rng.integers(len(candidates))]
