"""The training images of a data set, split by identity into those to train on and those held out for validation."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from utils import dataset, dataset_checks
from utils.dataset import LabelledImages


class IdentitySplit(NamedTuple):
    """bounding_box_train in two parts. left_out: the number of junk images and distractors in neither part."""

    folder: str
    train: LabelledImages
    held_out: LabelledImages
    left_out: int


def split_identities(data_dir, val_identities: int, seed: int) -> IdentitySplit:
    """Reads <data_dir>/bounding_box_train, checks its files, and holds out `val_identities` identities.

    Equal data sets and seeds give equal splits, so that both trainings hold out the same identities. InputError
    if the data set has an error.
    """
    data = dataset.open_split(data_dir, "train")
    dataset.check_images(data.paths)
    dataset_checks.check_quickly(train=data)
    people = data.people()
    images = LabelledImages(np.array(data.paths), data.identities, data.cameras).take(people)
    held_out = dataset.hold_out_identities(images.identities, val_identities, seed)  # (N,) bool
    return IdentitySplit(str(data.folder), images.take(~held_out), images.take(held_out), len(data) - len(people))
