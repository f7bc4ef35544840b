"""Embeds people with the frozen re-id net: any number of images, through a net with fixed batch sizes."""

from __future__ import annotations

import time

import cv2
import numpy as np

from utils.deploy.manifest import MANIFEST, PREPARE
from utils.deploy.runtime import load
from utils.errors import InputError
from utils.image_files import read_bgr

WHOLE = (0.0, 0.0, 1.0, 1.0)  # a box around the whole image


class Embedder:
    """The frozen re-id net.

    image_size: its (height, width) in pixels. batches: the numbers of images that it takes at once, ascending.
    """

    def __init__(self, folder="models/frozen/reid"):
        self._net = load(folder, "reid")
        self.manifest = self._net.manifest
        self.batches = self._net.batches
        outputs = self.manifest["outputs"]
        size = self.manifest.get("image_size")
        self._output = self.manifest.get("embedding_output", "embeddings")  # a published net has a name of its own
        if self._output not in outputs or len(outputs[self._output]["shape"]) < 2:
            raise InputError(f"{folder} does not return '{self._output}': {PREPARE}")
        [spec] = self.manifest["inputs"].values()
        channels_first = self.manifest.get("preprocessing", {}).get("layout") == "NCHW"
        if size is None or spec["shape"][1:] != ([3, *size] if channels_first else [*size, 3]):
            raise InputError(f"{folder} does not have the fixed input that its {MANIFEST} describes: {PREPARE}")
        self.image_size = tuple(size)
        self.embedding_size = outputs[self._output]["shape"][1]  # (B, E) or (B, E, 1, 1)
        # Seconds of a run by batch size. Until warm_up has measured them: the fewest runs, then the smallest batches.
        self._seconds = {batch: 1 + batch / 1000 for batch in self.batches}

    def embed(self, images: np.ndarray) -> np.ndarray:
        """images (N, H, W, 3) uint8 RGB of image_size, N >= 0 -> (N, E) float32 with norm 1."""
        assert images.dtype == np.uint8 and images.shape[1:] == (*self.image_size, 3), (images.dtype, images.shape)
        embeddings = np.empty((len(images), self.embedding_size), np.float32)
        start = 0
        for batch in cheapest_batches(len(images), self._seconds):
            some = images[start : start + batch]
            embeddings[start : start + batch] = self._run(some, batch)
            start += batch
        return embeddings

    def embed_by(self, batch: int, images: np.ndarray) -> np.ndarray:
        """As embed, in batches of one size alone."""
        starts = range(0, len(images), batch)
        found = [self._run(images[start : start + batch], batch) for start in starts]
        return np.concatenate([np.empty((0, self.embedding_size), np.float32), *found])

    def _run(self, images: np.ndarray, batch: int) -> np.ndarray:
        """Up to `batch` images (n, H, W, 3) -> (n, E); the batch is filled up with black images.

        The norm is divided out here and in float32: in FP16 the sum of squares overflows inside an engine.
        """
        full = images
        if len(images) < batch:
            full = np.zeros((batch, *self.image_size, 3), np.uint8)
            full[: len(images)] = images
        found = self._net.run(full)[self._output].reshape(batch, self.embedding_size)[: len(images)].astype(np.float32)
        return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), np.finfo(np.float32).tiny)

    def warm_up(self) -> None:
        """Runs each batch size twice: the first run takes seconds, the second one is timed.

        A CPU needs about as long for a full batch as for its images one by one; a GPU is several times faster. embed
        then takes the batches that are fastest together.
        """
        for batch in self.batches:
            images = np.zeros((batch, *self.image_size, 3), np.uint8)
            self._run(images, batch)
            begun = time.perf_counter()
            self._run(images, batch)
            self._seconds[batch] = time.perf_counter() - begun


def cheapest_batches(count: int, seconds: dict) -> list:
    """The sizes of the batches, largest first, that hold `count` images in the shortest time; [] for 0 images.

    seconds: {batch size: seconds of a run}.
    """
    totals = [0.0]  # the shortest time for 0, 1, ... images
    choices = [0]  # and the batch that it takes first
    for images in range(1, count + 1):
        times = {batch: cost + totals[max(images - batch, 0)] for batch, cost in seconds.items()}
        choices.append(min(times, key=times.get))
        totals.append(times[choices[-1]])
    batches = []
    while count > 0:
        batches.append(choices[count])
        count -= batches[-1]
    return sorted(batches, reverse=True)


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


def read_person(path, image_size) -> np.ndarray:
    """The whole image of a file, resized as a box of the demo is: (h, w, 3) uint8 RGB. InputError if it is damaged."""
    frame = read_bgr(path)
    if frame is None:
        raise InputError(f"{path} cannot be decoded: copy it again or remove it")
    return crop_person(frame, WHOLE, image_size)


def _pixels(start: float, end: float, size: int) -> slice:
    """An interval in 0..1 of `size` pixels -> all pixels that it touches, at least one."""
    first = min(max(int(np.floor(start * size)), 0), size - 1)
    return slice(first, min(max(int(np.ceil(end * size)), first + 1), size))
