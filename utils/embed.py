"""Embeddings of many images, and the figures of one labelled set without a query folder."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from utils import metrics
from utils.dataset import UNKNOWN_CAMERA, image_batches
from utils.metrics import LabelledSet
from utils.progress import Progress

BATCH = 64  # images embedded at a time


def compile_embed(net):
    """Compiles a net in inference mode to a function: (B, H, W, 3) uint8 RGB -> (B, E) float32 numpy array."""
    shape = (None, *net.input_shape[1:])
    graph = tf.function(lambda images: net(images, training=False), input_signature=[tf.TensorSpec(shape, tf.uint8)])

    def embed(images):
        return graph(images).numpy()

    return embed


def embed_paths(embed, paths, image_size, desc=None) -> np.ndarray:
    """(N, E) float32, the embeddings of N image files in their order.

    embed: as compile_embed returns it; image_size: [H, W]; desc: as in embed_batches.
    """
    return embed_batches(embed, image_batches(paths, image_size, BATCH), len(paths), desc)


def embed_batches(embed, batches, count: int, desc=None) -> np.ndarray:
    """(N, E) float32, the embeddings of N = count images in their order.

    embed: (B, H, W, 3) uint8 RGB -> (B, E) float32; batches: yields its arguments. desc: the name on the progress line,
    None for silence.
    """
    embeddings = []
    progress = Progress(desc and f"{desc}: embedded", count)
    for images in batches:
        embeddings.append(embed(images))  # (B, E)
        progress.add(len(images))
    return np.concatenate(embeddings)


def pick_queries(images: LabelledSet) -> tuple:
    """Splits a labelled set without a query folder: (queries, gallery), two LabelledSets.

    The queries are one image of each identity and camera, the gallery is the whole set. Where no identity was seen by
    two cameras, each image counts as its own camera.
    """
    seen = np.unique(np.stack([images.identities, images.cameras]), axis=1)[0]  # each identity once per camera
    if len(seen) == len(np.unique(seen)):
        images = images._replace(cameras=np.arange(len(images.cameras)))
    labels = np.stack([images.identities, images.cameras])  # (2, N)
    first = np.unique(labels, axis=1, return_index=True)[1]
    return images.take(first), images


def evaluate_single_set(images: LabelledSet, distractors=None) -> dict:
    """The figures of metrics.evaluate for one labelled set, with the queries of pick_queries.

    distractors: (D, E) embeddings of other people, which are added to the gallery. ValueError if no identity has two
    images.
    """
    queries, gallery = pick_queries(images)
    if distractors is not None:
        gallery = add_distractors(gallery, distractors)
    return metrics.evaluate(queries, gallery)


def add_distractors(gallery: LabelledSet, embeddings) -> LabelledSet:
    """The gallery with images of people whom no query shows, from their embeddings (D, E); their paths are None."""
    count = len(embeddings)
    return LabelledSet(
        None,
        np.concatenate([gallery.embeddings, embeddings]),
        np.concatenate([gallery.identities, np.full(count, metrics.DISTRACTOR)]),
        np.concatenate([gallery.cameras, np.full(count, UNKNOWN_CAMERA)]),
    )
