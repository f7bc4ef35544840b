"""Offline batch-hard mining of triplets in numpy: arrays in, index arrays out.

The steps are those of the README: a pool of images (draw_pool), which the caller embeds with the current network; then
queries, and for each query a pair of a positive and a negative, drawn from the sample_num hardest pairs of the pool
(mine_triplets).
"""

from __future__ import annotations

import numpy as np

from utils.metrics import row_blocks

MIN_PER_IDENTITY = 8  # images of one identity in a pool, if there are as many: a query needs positives to choose from


def draw_pool(identities, num_images: int, rng: np.random.Generator) -> np.ndarray:
    """Step 1: N = min(num_images, len(identities)) different indices into the training set, (N,) int, ascending.

    identities: of the training set. The pool is drawn by identity: in a random order, each gives up to 8 images, or its
    share of the pool if that is more, until the pool is full. Images drawn one by one would leave most queries of a
    large training set with one positive or none.
    """
    identities = np.asarray(identities)
    total = min(num_images, len(identities))
    shuffled = rng.permutation(len(identities))
    _, identity_of, counts = np.unique(identities[shuffled], return_inverse=True, return_counts=True)
    by_identity = np.argsort(identity_of, kind="stable")
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    turn = np.empty(len(identities), int)  # how many images of the same identity come before each, in the random order
    turn[by_identity] = np.arange(len(identities)) - np.repeat(starts, counts)
    group = turn // max(MIN_PER_IDENTITY, -(-total // len(counts)))  # 0: the images that are drawn first
    order = np.lexsort((rng.permutation(len(counts))[identity_of], group))
    return np.sort(shuffled[order[:total]])


def count_of(sample_num: float, pool_size: int) -> int:
    """sample_num as a number of pairs, 1 or more: a value below 1 is a share of the pool."""
    return max(1, round(sample_num * pool_size)) if sample_num < 1 else int(sample_num)


def mine_triplets(embeddings, identities, num_queries: int, sample_num: float, rng: np.random.Generator, cameras=None):
    """Steps 2 to 5: three (num_queries,) int arrays of indices into the pool: anchors, positives and negatives.

    embeddings: (N, E) float of norm 1; identities: (N,) int. Each pair has a loss of s(a, n) - s(a, p), and is drawn
    from the sample_num pairs with the highest; sample_num is as in count_of. cameras: (N,) int; if given, positives are
    of another camera than the anchor wherever the pool has one.
    An image whose identity has no second image in the pool is never a query. Queries repeat only after all of them have
    been drawn. ValueError if the pool allows no triplet.
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
    count = count_of(sample_num, len(identities))
    for block in row_blocks(num_queries):
        rows = anchors[block]
        similarity = embeddings[rows] @ embeddings.T  # (rows, N)
        same = identities[rows][:, None] == identities[None, :]  # (rows, N)
        for row, anchor in enumerate(rows):
            same[row, anchor] = False
            candidates = np.flatnonzero(same[row])
            if cameras is not None:
                candidates = _of_other_cameras(candidates, cameras, anchor)
            others = np.flatnonzero(identities != identities[anchor])
            pair = _draw_hard_pair(similarity[row], candidates, others, count, rng)
            positives[block.start + row], negatives[block.start + row] = pair
    return anchors, positives, negatives


def _of_other_cameras(candidates, cameras, anchor):
    """The candidates that another camera saw; all of them if there is none."""
    others = candidates[cameras[candidates] != cameras[anchor]]
    return others if len(others) else candidates


def _draw_hard_pair(similarity, positives, negatives, count, rng):
    """One of the `count` hardest pairs, each with equal probability: (positive, negative).

    similarity: (N,) of the anchor; positives, negatives: indices of its candidates. No pair outside the `count` hardest
    of each side can be among the `count` hardest pairs, because `count` pairs with the same partner are harder.
    """
    positives = _largest(positives, -similarity[positives], count)
    negatives = _largest(negatives, similarity[negatives], count)
    hardness = similarity[negatives][None, :] - similarity[positives][:, None]  # (P, N')
    pairs = _largest(np.arange(hardness.size), hardness.ravel(), count)
    positive, negative = np.unravel_index(pairs[rng.integers(len(pairs))], hardness.shape)
    return positives[positive], negatives[negative]


def _largest(indices, values, count):
    """The indices of the `count` largest values, in no particular order; all if there are fewer."""
    if len(indices) <= count:
        return indices
    return indices[np.argpartition(-values, count - 1)[:count]]
