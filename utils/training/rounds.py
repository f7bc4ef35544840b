"""The rounds of train_reid.py: mine triplets, train on them for k steps, mine again with what was learned."""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np

from utils.dataset import LabelledImages, ordered_batches
from utils.errors import InputError
from utils.image_grid import triplet_grid
from utils.mining import draw_pool, mine_triplets

SHOWN_TRIPLETS = 8  # the hardest of a round, in TensorBoard


class Mining(NamedTuple):
    """How triplets are mined.

    num_images: size of the pool; sample_num: number of hardest images from which the positive, and the negative, is
    drawn; batch_size: triplets per step; k: steps per round.
    """

    num_images: int
    sample_num: int
    batch_size: int
    k: int
    seed: int


class MinedRound(NamedTuple):
    """The result of one mining: what the steps first_step ... last_step are trained on.

    triplets: three (batch_size * k,) int arrays of indices into the training set: anchors, positives, negatives.
    positive_similarity, negative_similarity: their similarities when they were mined, (batch_size * k,) float32.
    spread: 1 minus the mean similarity of any two images of the pool; 0 if all embeddings are equal.
    augmentation_seed: seed of the random changes of the images. seconds: duration of the mining.
    """

    first_step: int
    last_step: int
    triplets: tuple
    positive_similarity: np.ndarray
    negative_similarity: np.ndarray
    spread: float
    augmentation_seed: int
    seconds: float

    def figures(self) -> dict:
        """{TensorBoard tag: number}"""
        return {
            "mining/positive_similarity": self.positive_similarity.mean(),
            "mining/negative_similarity": self.negative_similarity.mean(),
            "mining/embedding_spread": self.spread,
            "time/mining_s": self.seconds,
        }

    def hardest_image(self, paths) -> np.ndarray:
        """The hardest triplets as one image, (H, W, 3) uint8 RGB; paths: of the training set."""
        hardest = np.argsort(self.positive_similarity - self.negative_similarity)[:SHOWN_TRIPLETS]
        files = [paths[index[hardest]] for index in self.triplets]
        return triplet_grid(files, self.positive_similarity[hardest], self.negative_similarity[hardest])


def mine_round(embed, train: LabelledImages, mining: Mining, step: int) -> MinedRound:
    """Mines the triplets for the k steps from `step` on. The result depends only on the network, the seed and the step.

    embed: N paths -> (N, E) float32 of norm 1, with the current network. InputError if the pool allows no triplet.
    """
    begun = time.monotonic()
    rng = np.random.default_rng([mining.seed, step])
    pool = draw_pool(len(train.paths), mining.num_images, rng)  # (N,) indices into the training set
    embeddings = embed(train.paths[pool])  # (N, E)
    num_triplets = mining.batch_size * mining.k
    try:
        mined = mine_triplets(embeddings, train.identities[pool], num_triplets, mining.sample_num, rng)
    except ValueError as error:
        raise InputError(f"no triplet among {len(pool)} images ({error}): increase num_images") from None
    anchors, positives, negatives = (embeddings[index] for index in mined)  # (T, E) each
    return MinedRound(
        first_step=step,
        last_step=step + mining.k - 1,
        triplets=tuple(pool[index] for index in mined),
        positive_similarity=np.sum(anchors * positives, axis=1),
        negative_similarity=np.sum(anchors * negatives, axis=1),
        spread=1 - float(np.sum(embeddings.mean(axis=0) ** 2)),
        augmentation_seed=int(rng.integers(2**31)),
        seconds=time.monotonic() - begun,
    )


def round_batches(mined: MinedRound, paths, batch_size: int, image_size, augmentation: dict):
    """The k batches of a round: (3 * T, H, W, 3) uint8 RGB, T = batch_size: anchors, then positives, then negatives."""
    triplets = np.stack(mined.triplets).reshape(3, -1, batch_size)  # (3, k, T)
    by_batch = triplets.transpose(1, 0, 2).ravel()  # (k * 3 * T,)
    return ordered_batches(paths[by_batch], image_size, 3 * batch_size, mined.augmentation_seed, augmentation)


def mined_batches(embed, train: LabelledImages, mining: Mining, step: int, image_size, augmentation: dict):
    """Mines, yields the k batches of the round, mines again, and so on without end, from `step` on.

    Yields (MinedRound, images as in round_batches). A round is mined when its first batch is requested, with
    the current network. embed: as in mine_round; augmentation: keyword arguments of utils.dataset.augment.
    """
    while True:
        mined = mine_round(embed, train, mining, step)
        for images in round_batches(mined, train.paths, mining.batch_size, image_size, augmentation):
            yield mined, images
        step = mined.last_step + 1
