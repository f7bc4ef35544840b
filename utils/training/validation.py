"""Validation on held-out identities: how well a network finds people that it was not trained on."""

from __future__ import annotations

import numpy as np

from utils.dataset import LabelledImages
from utils.embed import embed_paths, evaluate_single_set
from utils.metrics import LabelledSet
from utils.training.images import TrainingImages


class Validation:
    """The images of the held-out identities, and training images as distractors.

    A few held-out identities alone are easy to find among each other: on Market-1501, rank-1 among 50 identities reads
    20 points above the test set. With images of other people in the gallery, the figures are close to those of a test.
    """

    def __init__(self, held_out: LabelledImages, images: TrainingImages, num_distractors: int, seed: int):
        """num_distractors: how many training images are added to the gallery; all, if there are fewer."""
        self.held_out = held_out
        self._images = images
        available = len(images.paths)
        chosen = np.random.default_rng(seed).permutation(available)[:num_distractors]
        self._distractors = np.sort(chosen)  # (D,) numbers of training images

    @property
    def is_possible(self) -> bool:
        """Whether any held-out identity has two images."""
        return len(np.unique(self.held_out.identities)) < len(self.held_out.identities)

    def describe(self) -> str:
        """What the figures are measured on, in words."""
        identities = len(np.unique(self.held_out.identities))
        return (
            f"{len(self.held_out.paths)} images of {identities} held-out identities "
            f"and {len(self._distractors)} training images as distractors"
        )

    def embed(self, embed) -> LabelledSet:
        """The held-out images with their embeddings, (M, E) float32; embed: as compile_embed returns it."""
        embeddings = embed_paths(embed, self.held_out.paths, self._images.image_size)
        return LabelledSet(self.held_out.paths, embeddings, self.held_out.identities, self.held_out.cameras)

    def evaluate(self, embed, images: LabelledSet) -> dict:
        """{'rank1', 'mAP'} in percent, of one query per held-out identity and camera; images: as `embed` returned."""
        distractors = self._images.embed(embed, self._distractors) if len(self._distractors) else None  # (D, E)
        figures = evaluate_single_set(images, distractors)
        return {"rank1": figures["rank1"], "mAP": figures["mAP"]}
