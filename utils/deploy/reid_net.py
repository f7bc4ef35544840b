"""Embeds people with the frozen re-id net: any number of images, through a net with a fixed batch size."""

from __future__ import annotations

import time

import cv2
import numpy as np
import tensorflow as tf

from utils.deploy.saved_model import PREPARE, SERVING, SMALL_BATCH, describe_signature, load_frozen
from utils.errors import InputError


class Embedder:
    """The frozen re-id net.

    image_size: its (height, width) in pixels. batches: the batch size of each signature; a plain TensorFlow graph has a
    second, small one.
    """

    def __init__(self, folder="models/frozen/reid"):
        self.manifest, signature, self._loaded = load_frozen(folder, "reid")
        inputs = self.manifest["inputs"]
        outputs = self.manifest["outputs"]
        if list(inputs) != ["images"] or inputs["images"]["dtype"] != "uint8" or len(inputs["images"]["shape"]) != 4:
            raise InputError(f"{folder} does not take uint8 images named 'images': {PREPARE}")
        if "embeddings" not in outputs or len(outputs["embeddings"]["shape"]) != 2:
            raise InputError(f"{folder} does not return 'embeddings': {PREPARE}")
        batch, *size, channels = inputs["images"]["shape"]
        if min(batch, *size) < 1 or channels != 3 or self.manifest.get("image_size") != size:
            raise InputError(f"{folder} does not have the fixed input that its manifest.json describes: {PREPARE}")
        self.image_size = tuple(size)
        self.embedding_size = outputs["embeddings"]["shape"][1]
        self.batches = {SERVING: batch}
        self._signatures = {SERVING: signature}
        self._small_runs = 1  # runs of the small batch that take no longer than one of the large batch
        if SMALL_BATCH in self.manifest:
            self._add_small_batch(folder)

    def _add_small_batch(self, folder) -> None:
        batch = self.manifest[SMALL_BATCH]
        signature = self._loaded.signatures.get(SMALL_BATCH)
        shape = signature and describe_signature(signature)["inputs"]["images"]["shape"]
        if shape != [batch, *self.image_size, 3]:
            raise InputError(f"{folder} has no signature '{SMALL_BATCH}' as its manifest.json describes: {PREPARE}")
        self.batches[SMALL_BATCH] = batch
        self._signatures[SMALL_BATCH] = signature

    def embed(self, images: np.ndarray) -> np.ndarray:
        """images (N, H, W, 3) uint8 RGB of image_size, N >= 0 -> (N, E) float32 with norm 1."""
        assert images.dtype == np.uint8 and images.shape[1:] == (*self.image_size, 3), (images.dtype, images.shape)
        rest = len(images) % self.batches[SERVING]
        if not 0 < rest <= self._small_runs * self.batches.get(SMALL_BATCH, 0):
            return self.embed_by(SERVING, images)
        full = len(images) - rest
        return np.concatenate([self.embed_by(SERVING, images[:full]), self.embed_by(SMALL_BATCH, images[full:])])

    def embed_by(self, name: str, images: np.ndarray) -> np.ndarray:
        """As embed, by the signature `name` alone; its last batch is filled up with black images."""
        batch = self.batches[name]
        embeddings = np.empty((len(images), self.embedding_size), np.float32)
        for start in range(0, len(images), batch):
            some = images[start : start + batch]
            full = np.zeros((batch, *self.image_size, 3), np.uint8)
            full[: len(some)] = some
            found = self._signatures[name](images=tf.constant(full))["embeddings"].numpy()  # (batch, E)
            embeddings[start : start + len(some)] = found[: len(some)]
        return embeddings

    def warm_up(self) -> None:
        """Runs each signature twice: the first run takes seconds, the second one is timed.

        A CPU needs about as long for a full batch as for its images one by one; a GPU is several times faster. embed
        then uses the small batch where that is faster, and before it for a single run only.
        """
        seconds = {}
        for name, batch in self.batches.items():
            images = np.zeros((batch, *self.image_size, 3), np.uint8)
            self.embed_by(name, images)
            begun = time.perf_counter()
            self.embed_by(name, images)
            seconds[name] = time.perf_counter() - begun
        if SMALL_BATCH in seconds:
            self._small_runs = max(1, int(seconds[SERVING] / seconds[SMALL_BATCH]))


def crop_people(frame: np.ndarray, boxes: np.ndarray, image_size) -> np.ndarray:
    """frame (H, W, 3) uint8 BGR, boxes (N, 4) [ymin, xmin, ymax, xmax] in 0..1 -> the people (N, h, w, 3) uint8 RGB.

    image_size is (h, w); the rest as in crop_person.
    """
    crops = np.empty((len(boxes), *image_size, 3), np.uint8)
    for index, box in enumerate(boxes):
        crops[index] = crop_person(frame, box, image_size)
    return crops


def crop_person(frame: np.ndarray, box: np.ndarray, image_size=None) -> np.ndarray:
    """frame (H, W, 3) uint8 BGR, box (4,) [ymin, xmin, ymax, xmax] in 0..1 -> the person (h, w, 3) uint8 RGB.

    image_size: (h, w) to resize to; None keeps the pixels of the frame. A box is clipped to the frame; one without a
    pixel inside the frame takes the nearest pixel.
    """
    top, left, bottom, right = box
    person = frame[_pixels(top, bottom, frame.shape[0]), _pixels(left, right, frame.shape[1])]
    if image_size is not None:
        person = cv2.resize(person, (image_size[1], image_size[0]), interpolation=cv2.INTER_LINEAR)
    return cv2.cvtColor(person, cv2.COLOR_BGR2RGB)


def _pixels(start: float, end: float, size: int) -> slice:
    """An interval in 0..1 of `size` pixels -> all pixels that it touches, at least one."""
    first = min(max(int(np.floor(start * size)), 0), size - 1)
    return slice(first, min(max(int(np.ceil(end * size)), first + 1), size))
