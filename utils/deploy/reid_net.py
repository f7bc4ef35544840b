"""Embeds people with the frozen re-id net: any number of them, through a net that takes a fixed number at a time."""

from __future__ import annotations

import time

import cv2
import numpy as np
import tensorflow as tf

from utils.deploy.saved_model import FEW, PREPARE, SERVING, describe, load_frozen
from utils.errors import InputError

TIMED_RUNS = 5


class Embedder:
    """The frozen re-id net.

    image_size: its (height, width) in pixels; batch: how many pictures it takes at a time; batches: the same for each
    signature, of which a plain TensorFlow graph has a second one for few people.
    """

    def __init__(self, folder="models/frozen/reid"):
        self.manifest, signature, self._loaded = load_frozen(folder, "reid")
        inputs = self.manifest["inputs"]
        outputs = self.manifest["outputs"]
        if list(inputs) != ["images"] or inputs["images"]["dtype"] != "uint8" or len(inputs["images"]["shape"]) != 4:
            raise InputError(f"{folder} does not take uint8 pictures named 'images': {PREPARE}")
        if "embeddings" not in outputs or len(outputs["embeddings"]["shape"]) != 2:
            raise InputError(f"{folder} does not return 'embeddings': {PREPARE}")
        batch, *size, channels = inputs["images"]["shape"]
        if min(batch, *size) < 1 or channels != 3 or self.manifest.get("image_size") != size:
            raise InputError(f"{folder} does not have the fixed input that its manifest.json speaks of: {PREPARE}")
        self.image_size = tuple(size)
        self.embedding_size = outputs["embeddings"]["shape"][1]
        self.batch, self.batches, self._signatures = batch, {SERVING: batch}, {SERVING: signature}
        if FEW in self.manifest:
            self._add_few(folder)

    def _add_few(self, folder) -> None:
        self.batches[FEW] = few = self.manifest[FEW]["batch"]
        self._signatures[FEW] = signature = self._loaded.signatures.get(FEW)
        if signature is None or describe(signature)["inputs"]["images"]["shape"] != [few, *self.image_size, 3]:
            raise InputError(f"{folder} has no signature '{FEW}' as its manifest.json speaks of: {PREPARE}")

    def embed(self, images: np.ndarray) -> np.ndarray:
        """images (N, H, W, 3) uint8 RGB of image_size, N from 0 up -> (N, E) float32 with norm 1."""
        assert images.dtype == np.uint8 and images.shape[1:] == (*self.image_size, 3), (images.dtype, images.shape)
        full = self._full_runs(len(images)) * self.batches[SERVING]
        if full >= len(images):
            return self.embed_by(SERVING, images)
        return np.concatenate([self.embed_by(SERVING, images[:full]), self.embed_by(FEW, images[full:])])

    def _full_runs(self, count: int) -> int:
        """Of `count` pictures, how many runs of the large signature are cheapest; the small one takes the rest."""
        batch, few = self.batches[SERVING], self.batches.get(FEW)
        if few is None:
            return -(-count // batch)
        costs = (
            self.manifest.get("seconds") or self.batches
        )  # unmeasured, as on a processor: twice as many, twice as long
        return min(
            range(-(-count // batch), -1, -1),
            key=lambda runs: runs * costs[SERVING] + -(-max(count - runs * batch, 0) // few) * costs[FEW],
        )

    def embed_by(self, name: str, images: np.ndarray) -> np.ndarray:
        """As embed, by one signature alone: its last run is filled up with black."""
        batch = self.batches[name]
        embeddings = np.empty((len(images), self.embedding_size), np.float32)
        for start in range(0, len(images), batch):
            some = images[start : start + batch]
            full = np.zeros((batch, *self.image_size, 3), np.uint8)
            full[: len(some)] = some
            found = self._signatures[name](images=tf.constant(full))["embeddings"].numpy()
            embeddings[start : start + len(some)] = found[: len(some)]
        return embeddings

    def warm_up(self) -> None:
        """Runs each signature once: its first run takes seconds, and is not to be a frame's."""
        for name, batch in self.batches.items():
            self.embed_by(name, np.zeros((batch, *self.image_size, 3), np.uint8))

    def seconds(self) -> dict:
        """{signature: seconds of one run}: the shortest of several, taken in turn, as a busy machine only adds."""
        self.warm_up()
        taken = {name: [] for name in self.batches}
        for _ in range(TIMED_RUNS):
            for name, batch in self.batches.items():
                images = np.zeros((batch, *self.image_size, 3), np.uint8)
                begun = time.perf_counter()
                self.embed_by(name, images)
                taken[name].append(time.perf_counter() - begun)
        return {name: min(values) for name, values in taken.items()}


def crop_people(frame: np.ndarray, boxes: np.ndarray, image_size) -> np.ndarray:
    """frame (H, W, 3) uint8 BGR, boxes (N, 4) [ymin, xmin, ymax, xmax] in 0..1 -> the people (N, h, w, 3) uint8 RGB.

    image_size is (h, w). A box that reaches over the edge is cut there; one without a pixel inside takes the nearest.
    """
    height, width = frame.shape[:2]
    crops = np.empty((len(boxes), *image_size, 3), np.uint8)
    for index, (top, left, bottom, right) in enumerate(boxes):
        rows, columns = pixels(top, bottom, height), pixels(left, right, width)
        person = cv2.resize(frame[rows, columns], (image_size[1], image_size[0]), interpolation=cv2.INTER_LINEAR)
        crops[index] = cv2.cvtColor(person, cv2.COLOR_BGR2RGB)
    return crops


def pixels(start: float, end: float, size: int) -> slice:
    """A stretch in 0..1 of `size` pixels -> all that it touches, at least one."""
    first = min(max(int(np.floor(start * size)), 0), size - 1)
    return slice(first, min(max(int(np.ceil(end * size)), first + 1), size))
