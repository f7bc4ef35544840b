"""Compares single images, such as two photographs of which somebody wants to know whether they show one person."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np

from utils.checkpoint import read_args, stored_threshold
from utils.dataset import decode_errors_named
from utils.deploy.manifest import read_manifest
from utils.deploy.reid_net import crop_person
from utils.errors import InputError
from utils.evaluation.models import is_frozen
from utils.folders import is_image, walk
from utils.image_files import read_bgr


def threshold_of(path):
    """The similarity from which two images show the same person, as it came with a model; None if it has none.

    path: of a checkpoint or of a frozen model, as find_models returns it.
    """
    if is_frozen(path):
        return read_manifest(path, "reid").get("threshold")
    return stored_threshold(path, read_args(path))["threshold"]


def list_images(names) -> list:
    """The image files that the names stand for, in their order; a folder stands for the images in it, sorted.

    InputError for a name that does not exist, and for a folder without images.
    """
    found = []
    for name in names:
        path = Path(name)
        if not path.exists():
            raise InputError(f"there is no image {name}: check the path")
        images = [path]
        if path.is_dir():
            images = sorted(folder / file for folder, _, files in walk(path)[0] for file in files if is_image(file))
            if not images:
                raise InputError(f"{name} holds no .jpg or .png image: name image files, or a folder with some")
        found.extend(str(image) for image in images)
    return found


def embed_files(model, paths, detector=None) -> np.ndarray:
    """(N, E) float32, the embeddings of N image files; with a Detector, of the most certain person in each.

    model: a Model of utils.evaluation.models. InputError for a file that cannot be read, or shows nobody.
    """
    if detector is None:
        with decode_errors_named(paths):
            return model.embed_paths(paths, "images" if len(paths) > 100 else None)
    people = [_most_certain_person(detector, path, model.about["image_size"]) for path in paths]
    return np.concatenate([model.embed(person[np.newaxis]) for person in people])


def _most_certain_person(detector, path, image_size) -> np.ndarray:
    """(H, W, 3) uint8 RGB of image_size."""
    frame = read_bgr(path)
    if frame is None:
        raise InputError(f"{path} cannot be decoded: copy it again, or convert it to .jpg or .png")
    boxes, _ = detector.detect(frame)
    if not len(boxes):
        raise InputError(f"the detector finds nobody in {path}: crop the person yourself and leave --detect out")
    return crop_person(frame, boxes[0], image_size)


def describe_pairs(paths, embeddings, threshold) -> list:
    """One line for each pair of images: both paths, their similarity, and whether it reaches the threshold.

    embeddings: (N, E) of norm 1. threshold: a similarity, None if there is none.
    """
    width = max(len(path) for path in paths)
    lines = []
    for first, second in itertools.combinations(range(len(paths)), 2):
        similarity = float(embeddings[first] @ embeddings[second])
        line = f"{paths[first]:<{width}}  {paths[second]:<{width}}  {similarity:6.3f}"
        if threshold is not None:
            line += "  same person" if similarity >= threshold else "  different people"
        lines.append(line)
    return lines
