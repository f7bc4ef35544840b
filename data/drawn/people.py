"""Reproducible drawn people: a seed and a few numbers decide every pixel, in any order and in any process."""

from __future__ import annotations

import numpy as np

from data.drawn.scenes import random_camera, random_pass, take_image
from data.drawn.wardrobe import random_identity

# Each kind of random numbers has its own stream, so that one never shifts another.
CAMERA, IDENTITY, IMAGE, DISTRACTOR, PASS, ROUTE = range(6)


def generator(seed: int, *key: int) -> np.random.Generator:
    """The random numbers of one thing: its stream and its own numbers are the key."""
    return np.random.default_rng([seed, *key])


def make_cameras(count: int, seed: int) -> list:
    """The first `count` cameras of a seed."""
    return [random_camera(generator(seed, CAMERA, camera)) for camera in range(count)]


def make_identity(identity: int, seed: int):
    """The person of an identity."""
    return random_identity(generator(seed, IDENTITY, identity))


def make_distractor(number: int, seed: int):
    """A person who has no identity in the set."""
    return random_identity(generator(seed, DISTRACTOR, number))


def draw_image(person, identity: int, number: int, camera: int, cameras: list, image_size, seed: int, badly_cut=False):
    """Draws one image: (H, W, 3) uint8 RGB.

    person: from make_identity or make_distractor, with its `identity` (or number). number: of the image among those of
    this person. camera: index into `cameras`; the images of one person by one camera share a walk. image_size: (H, W).
    badly_cut: the box misses most of the person, as junk does.
    """
    view = cameras[camera]
    walk = random_pass(view, generator(seed, PASS, identity, camera))
    return take_image(person, view, walk, image_size, generator(seed, IMAGE, identity, number), badly_cut)


def draw_people(identities: int, images_per_identity: int, image_size=(128, 64), cameras: int = 4, seed: int = 0):
    """Yields (identity from 0, camera from 0, (H, W, 3) uint8 RGB).

    The images of an identity go round the cameras. image_size: (H, W).
    """
    views = make_cameras(cameras, seed)
    for identity in range(identities):
        person = make_identity(identity, seed)
        for number in range(images_per_identity):
            camera = number % cameras
            yield identity, camera, draw_image(person, identity, number, camera, views, image_size, seed)
