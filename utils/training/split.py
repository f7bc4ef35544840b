"""The training images of a data set, split by identity into those to train on and those held out for validation."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from utils import dataset, dataset_checks
from utils.dataset import LabelledImages
from utils.errors import InputError


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


def split_for_triplets(data_dir, val_identities, seed) -> tuple:
    """The images of bounding_box_train as two dataset.LabelledImages: to train on, and of held-out identities.

    InputError if either part is too small for triplets.
    """
    identities = split_identities(data_dir, val_identities, seed)
    train = identities.train
    held_out = identities.held_out
    num_train = len(np.unique(train.identities))
    num_held_out = len(np.unique(held_out.identities))
    if val_identities < 2:
        raise InputError(
            f"val_identities={val_identities} is too few, because validation compares identities with each other: "
            + dataset.fitting_val_identities(num_train + num_held_out)
        )
    if num_train == len(train.identities):
        raise InputError(f"no identity in {identities.folder} has two images, so there are no triplets: add images")
    print(
        f"{identities.folder}: {len(train.paths)} images of {num_train} identities to train on, "
        f"{len(held_out.paths)} images of {num_held_out} other identities for validation"
    )
    if num_held_out == len(held_out.identities):
        raise InputError("no identity held out for validation has two images: increase val_identities, or add images")
    return train, held_out
