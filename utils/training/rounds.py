"""The batches of train_reid.py.

Offline: mine triplets, train on them for k steps, mine again with what was learned. Online: P identities with K images
each, among which the training step itself finds the hardest.
"""

from __future__ import annotations

import collections
import itertools
import time
from typing import NamedTuple

import numpy as np

from utils.dataset import LabelledImages
from utils.errors import InputError
from utils.image_grid import triplet_grid
from utils.mining import draw_pool, mine_triplets
from utils.training.images import BatchFeed, TrainingImages

SHOWN_TRIPLETS = 8  # the hardest of a round, in TensorBoard
BATCHES_AHEAD = 4  # that the input pipeline may prepare, online


class Mining(NamedTuple):
    """How triplets are mined offline.

    num_images: size of the pool; sample_num: number of hardest pairs, or their share of the pool if below 1, from which
    the positive and the negative are drawn; batch_size: triplets per step; k: steps per round; other_cameras: whether
    positives are of another camera than the anchor where possible.
    """

    num_images: int
    sample_num: float
    batch_size: int
    k: int
    other_cameras: bool
    seed: int


class MinedRound(NamedTuple):
    """The result of one mining: what the steps first_step ... last_step are trained on.

    triplets: (3, batch_size * k) int, indices into the training set: anchors, positives, negatives.
    positive_similarity, negative_similarity: their similarities when they were mined, (batch_size * k,) float32.
    spread: 1 minus the mean similarity of any two images of the pool; 0 if all embeddings are equal.
    augmentation_seed: seed of the random changes of the images. seconds: duration of the mining.
    """

    first_step: int
    last_step: int
    triplets: np.ndarray
    positive_similarity: np.ndarray
    negative_similarity: np.ndarray
    spread: float
    augmentation_seed: int
    seconds: float

    def numbers(self, step: int) -> np.ndarray:
        """The image numbers of the batch of a step: (3 * T,): T anchors, then T positives, then T negatives."""
        size = self.triplets.shape[1] // (self.last_step - self.first_step + 1)
        begin = (step - self.first_step) * size
        return self.triplets[:, begin : begin + size].ravel()

    def arrays(self) -> dict:
        """All of it as {name: array}, for MinedRound.from_arrays."""
        return {f"round/{name}": np.asarray(value) for name, value in self._asdict().items()}

    @classmethod
    def from_arrays(cls, arrays: dict):
        """The round that `arrays` was called on; None if it is not among the arrays."""
        if "round/triplets" not in arrays:
            return None
        values = {name: arrays[f"round/{name}"] for name in cls._fields}
        return cls(**{name: value if value.ndim else value.item() for name, value in values.items()})

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


class Batch(NamedTuple):
    """One step's images: numbers (B,) int, images (B, H, W, 3) uint8 RGB. mined: their round; None online."""

    numbers: np.ndarray
    images: object
    mined: MinedRound


def mine_round(embed, images: TrainingImages, train: LabelledImages, mining: Mining, step: int) -> MinedRound:
    """Mines the triplets for the k steps from `step` on. The result depends only on the network, the seed and the step.

    embed: (B, H, W, 3) uint8 -> (B, E) float32 of norm 1, with the current network. InputError if the pool allows no
    triplet.
    """
    begun = time.monotonic()
    rng = np.random.default_rng([mining.seed, step])
    pool = draw_pool(train.identities, mining.num_images, rng)  # (N,) indices into the training set
    embeddings = images.embed(embed, pool)  # (N, E)
    cameras = train.cameras[pool] if mining.other_cameras else None
    num_triplets = mining.batch_size * mining.k
    try:
        mined = mine_triplets(embeddings, train.identities[pool], num_triplets, mining.sample_num, rng, cameras)
    except ValueError as error:
        raise InputError(f"no triplet among {len(pool)} images ({error}): increase num_images") from None
    anchors, positives, negatives = (embeddings[index] for index in mined)  # (T, E) each
    return MinedRound(
        first_step=step,
        last_step=step + mining.k - 1,
        triplets=np.stack([pool[index] for index in mined]),
        positive_similarity=np.sum(anchors * positives, axis=1),
        negative_similarity=np.sum(anchors * negatives, axis=1),
        spread=1 - float(np.sum(embeddings.mean(axis=0) ** 2)),
        augmentation_seed=int(rng.integers(2**31)),
        seconds=time.monotonic() - begun,
    )


def mined_batches(mine, feed: BatchFeed, step: int, resumed: MinedRound = None):
    """Mines, yields the batches of the round, mines again, and so on without end: Batches from `step` on.

    mine: step -> MinedRound; it is called when the first batch of the round is requested, so with the current network.
    resumed: the round that `step` belongs to, to continue inside it.
    """
    while True:
        mined = resumed if resumed and step <= resumed.last_step else mine(step)
        steps = range(step, mined.last_step + 1)
        batches = [mined.numbers(number) for number in steps]
        place = (step - mined.first_step) * len(batches[0])
        feed.add(np.concatenate(batches), mined.augmentation_seed, place)
        for numbers in batches:
            yield Batch(numbers, feed.next(), mined)
        step = mined.last_step + 1


def identity_batches(identities, num_identities: int, num_images: int, seed: int):
    """Endless (P * K,) int arrays of image numbers: P = num_identities, with K = num_images each.

    identities: (N,) of the training set, in a new order in each pass. An identity with fewer images gives some twice;
    one with a single image is left out, because it has no positive. InputError if there are fewer than P.
    """
    known, counts = np.unique(identities, return_counts=True)
    known = known[counts > 1]
    if len(known) < num_identities:
        raise InputError(f"{len(known)} identities have two images or more: lower identities_per_batch to that")
    images_of = {identity: np.flatnonzero(identities == identity) for identity in known}
    rng = np.random.default_rng(seed)
    while True:
        order = rng.permutation(known)
        for start in range(0, len(order) - num_identities + 1, num_identities):
            chosen = (images_of[identity] for identity in order[start : start + num_identities])
            yield np.concatenate(
                [rng.choice(images, num_images, replace=len(images) < num_images) for images in chosen]
            )


def online_batches(numbers, feed: BatchFeed, step: int, seed: int):
    """Batches from `step` on, without end. numbers: as identity_batches yields them from step 1 on."""
    waiting = collections.deque()
    coming = itertools.islice(enumerate(numbers, start=1), step - 1, None)
    while True:
        while len(waiting) < BATCHES_AHEAD:
            number, batch = next(coming)
            feed.add(batch, seed, number * len(batch))
            waiting.append(batch)
        yield Batch(waiting.popleft(), feed.next(), None)
