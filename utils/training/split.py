"""The training images of one data set or several, split by identity into those to train on and those held out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from utils import dataset, dataset_checks
from utils.dataset import LabelledImages
from utils.errors import InputError
from utils.files import real_path
from utils.folders import data_dirs


class IdentitySplit(NamedTuple):
    """bounding_box_train in two parts, for training and for validation.

    folder: its path, or the paths of several in words. left_out: the number of junk images and distractors in neither.
    """

    folder: str
    train: LabelledImages
    held_out: LabelledImages
    left_out: int


def read_people(data_dir) -> tuple:
    """(images of known identities, folders in words, number of other images) of bounding_box_train in data_dir.

    data_dir: a path, or a list of several. Then the identities and cameras of each data set get numbers of their own,
    which do not depend on the order of the list. Prints notes; InputError if a data set has an error.
    """
    opened = []
    for folder in sorted(data_dirs(data_dir), key=lambda folder: (real_path(folder).name, str(real_path(folder)))):
        data = dataset.open_split(folder, "train")
        dataset.check_images(data.paths)
        dataset_checks.check_quickly(train=data)
        opened.append(data)
    parts = []
    for data in opened:
        part = LabelledImages(np.array(data.paths), data.identities, data.cameras).take(data.people())
        parts.append(_after(parts[-1], part) if parts else part)
    images = LabelledImages(*(np.concatenate(columns) for columns in zip(*parts)))
    return images, " and ".join(str(data.folder) for data in opened), sum(map(len, opened)) - len(images.paths)


def _after(before: LabelledImages, images: LabelledImages) -> LabelledImages:
    """The images with identities and cameras above all those of `before`; no camera is then the number of a camera."""
    _, identities = np.unique(images.identities, return_inverse=True)  # counted, so that no number can become too large
    return images._replace(
        identities=before.identities.max() + 1 + identities, cameras=before.cameras.max() + 1 + images.cameras
    )


def split_identities(data_dir, val_identities: int, seed: int) -> IdentitySplit:
    """Reads bounding_box_train with read_people, and holds out `val_identities` identities.

    Equal data sets and seeds give equal splits, so that both trainings hold out the same identities. InputError
    if a data set has an error.
    """
    images, folder, left_out = read_people(data_dir)
    held_out = dataset.hold_out_identities(images.identities, val_identities, seed)  # (N,) bool
    return IdentitySplit(folder, images.take(~held_out), images.take(held_out), left_out)


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
