"""Validation during training: held-out identities, searched among training images or among themselves."""

import numpy as np
import pytest

from tests.helpers import draw_set
from utils.training.images import TrainingImages
from utils.training.split import split_identities
from utils.training.validation import Validation

SIZE = (16, 8)


def mean_colour(images):
    """(B, H, W, 3) uint8 -> (B, 3) float32 of norm 1: a fixed network that anybody can compute."""
    colours = np.asarray(images, np.float32).mean(axis=(1, 2))
    return colours / np.linalg.norm(colours, axis=1, keepdims=True)


@pytest.mark.parametrize("count, used", [(0, 0), (5, 5), (1000, 36)])
def test_the_gallery_of_a_validation_has_that_many_distractors(count, used, tmp_path):
    """Rank-1 by a loop over all queries, each against the held-out images and the distractors."""
    draw_set(tmp_path, identities=8, per_camera=3)
    split = split_identities(tmp_path, 2, 0)
    training = TrainingImages(split.train.paths, SIZE, 1e9)
    validation = Validation(split.held_out, training, count, seed=3)
    images = validation.embed(mean_colour)
    figures = validation.evaluate(mean_colour, images)

    assert f"{used} training images as distractors" in validation.describe()
    others = training.embed(mean_colour, np.random.default_rng(3).permutation(36)[:used]) if used else np.empty((0, 3))
    right = []
    for identity, camera in sorted(set(zip(images.identities, images.cameras))):
        query = np.flatnonzero((images.identities == identity) & (images.cameras == camera))[0]
        allowed = ~((images.identities == identity) & (images.cameras == camera))
        similarity = np.where(allowed, images.embeddings @ images.embeddings[query], -2)
        best = int(np.argmax(similarity))
        beaten = used and np.max(others @ images.embeddings[query]) > similarity[best]
        right.append(images.identities[best] == identity and not beaten)
    assert figures["rank1"] == pytest.approx(100 * np.mean(right))
