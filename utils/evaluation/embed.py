"""Embeddings of many pictures with one network, and the protocol that turns them into rank-k and mAP."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from utils import metrics
from utils.dataset import image_batches
from utils.progress import Progress

BATCH = 64


def embedder(net):
    """A network as a compiled function in inference mode: (B, H, W, 3) uint8 RGB -> (B, E) float32."""
    shape = (None, *net.input_shape[1:])
    return tf.function(lambda images: net(images, training=False), input_signature=[tf.TensorSpec(shape, tf.uint8)])


def embed_paths(embed, paths, image_size, desc=None) -> np.ndarray:
    """(N, E) float32, the embeddings of N files in their order.

    desc: what to call them on the progress line, None for silence.
    """
    embeddings, progress = [], Progress(desc and f"{desc}: embedded", len(paths))
    for images in image_batches(paths, image_size, BATCH):  # (B, H, W, 3) uint8
        embeddings.append(embed(images).numpy())  # (B, E)
        progress.add(len(images))
    return np.concatenate(embeddings)


def ask_within(identities, cameras) -> tuple:
    """Which pictures of a labelled set without a query folder ask: one of each identity and camera.

    (N,), (N,) int -> (their indices, the cameras to evaluate with); where nobody was seen by two cameras, every picture
    counts as its own camera.
    """
    people = np.unique(np.stack([identities, cameras]), axis=1)[0]
    if len(people) == len(np.unique(people)):  # nobody was seen by two cameras
        cameras = np.arange(len(cameras))
    return np.unique(np.stack([identities, cameras]), axis=1, return_index=True)[1], cameras


def evaluate_within(embeddings, identities, cameras) -> dict:
    """Figures of one labelled set without a query folder, as metrics.evaluate: ask_within asks, all answer.

    (N, E), (N,), (N,).
    """
    queries, cameras = ask_within(identities, cameras)
    return metrics.evaluate(embeddings[queries], identities[queries], cameras[queries], embeddings, identities, cameras)
