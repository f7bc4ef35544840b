"""The images that a training script draws its batches from, decoded once where memory allows.

TrainingImages holds them; BatchFeed turns rows of image numbers into augmented batches, by one tf.data pipeline for the
whole run.
"""

from __future__ import annotations

import queue

import numpy as np
import tensorflow as tf

from utils.dataset import as_tensor, augmented, image_batches, load_image
from utils.embed import BATCH, embed_batches, embed_paths
from utils.progress import Progress

DECODED_AT_ONCE = 256  # images
NO_MORE = None  # in the queue of a feed: the end


class TrainingImages:
    """N image files of the training set, to be read by number.

    They are decoded when the object is made, if they need at most cache_bytes of memory as uint8, else whenever one is
    read. The two give equal images.
    """

    def __init__(self, paths, image_size, cache_bytes: int):
        """paths: N files; image_size: [H, W]."""
        self.paths = np.asarray(paths)
        self.image_size = tuple(image_size)
        self._files = as_tensor(self.paths)
        height, width = self.image_size
        self.is_cached = len(self.paths) * height * width * 3 <= cache_bytes
        self._decoded = self._decode() if self.is_cached else None  # (N, H, W, 3) uint8

    def _decode(self) -> tf.Tensor:
        decoded = np.empty((len(self.paths), *self.image_size, 3), np.uint8)
        progress = Progress("decoded", len(self.paths))
        for images in image_batches(self.paths, self.image_size, DECODED_AT_ONCE):
            decoded[progress.done : progress.done + len(images)] = images
            progress.add(len(images))
        with tf.device("CPU:0"):  # a GPU has better uses for its memory
            return tf.constant(decoded)

    def read(self, number):
        """A scalar int64 tensor -> the image, (H, W, 3) uint8 RGB. To be used in a tf.data pipeline."""
        if self._decoded is None:
            return load_image(self._files[number], self.image_size)
        return self._decoded[number]

    def embed(self, embed, numbers) -> np.ndarray:
        """(M, E) float32, the embeddings of M images by number, without augmentation; embed: of compile_embed."""
        if self._decoded is None:
            return embed_paths(embed, self.paths[numbers], self.image_size)
        blocks = (numbers[start : start + BATCH] for start in range(0, len(numbers), BATCH))
        return embed_batches(embed, (tf.gather(self._decoded, block) for block in blocks), len(numbers))


class BatchFeed:
    """Batches of augmented images, of the image numbers that are added to it:

        with BatchFeed(images, 72, augmentation) as feed:
            feed.add(numbers, seed)        # (72 * n,): n batches
            batch = feed.next()            # (72, H, W, 3) uint8

    There is one pipeline for the whole run, so mining again costs no new one. It works ahead of `next` as far as
    numbers were added.
    """

    def __init__(self, images: TrainingImages, batch_size: int, augmentation: dict):
        """augmentation: keyword arguments of utils.dataset.augment."""
        self._queue = queue.SimpleQueue()

        def load(row):
            return augmented(images.read(row[0]), row[1:], augmentation)

        rows = tf.data.Dataset.from_generator(self._rows, output_signature=tf.TensorSpec((None, 3), tf.int64))
        loaded = rows.unbatch().map(load, tf.data.AUTOTUNE).batch(batch_size, drop_remainder=True)
        self._batches = iter(loaded.prefetch(tf.data.AUTOTUNE))

    def _rows(self):
        while True:
            rows = self._queue.get()
            if rows is NO_MORE:
                return
            yield rows

    def add(self, numbers, seed: int, place: int = 0) -> None:
        """Adds images to the end. Each is changed at random by the seed and by its place, which counts from `place`."""
        places = np.arange(place, place + len(numbers))
        self._queue.put(np.stack([numbers, np.full(len(numbers), seed), places], axis=1))

    def next(self) -> tf.Tensor:
        """The next batch: (batch_size, H, W, 3) uint8 RGB. Blocks for ever if too few images were added."""
        return next(self._batches)

    def close(self) -> None:
        """Ends the pipeline, whose thread would otherwise wait for more."""
        self._queue.put(NO_MORE)

    def __enter__(self) -> BatchFeed:
        return self

    def __exit__(self, *error) -> None:
        self.close()
