"""The two losses: cross-entropy over identities, and triplet loss on similarities."""

from __future__ import annotations

import tensorflow as tf


def id_loss(labels, logits, label_smoothing=0.1):
    """Mean softmax cross-entropy: labels (B,) int, logits (B, C) float32 -> scalar.

    label_smoothing: the share of each target that is spread over all classes, 0 to 1 (Szegedy et al. 2015, arXiv
    1512.00567).
    """
    cross_entropy = tf.keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=label_smoothing)
    return cross_entropy(tf.one_hot(labels, logits.shape[-1]), logits)


def triplet_loss(anchors, positives, negatives, margin):
    """max(0, margin + s(a, n) - s(a, p)) of each triplet, where s is the dot product of embeddings of norm 1.

    Three (B, E) float32 -> the loss, s(a, p) and s(a, n), each (B,). The loss is zero once the positive is more similar
    than the negative by `margin` (Schroff et al. 2015, arXiv 1503.03832, written for similarities).
    """
    positive_similarity = tf.reduce_sum(anchors * positives, axis=-1)  # (B,)
    negative_similarity = tf.reduce_sum(anchors * negatives, axis=-1)  # (B,)
    return tf.nn.relu(margin + negative_similarity - positive_similarity), positive_similarity, negative_similarity


def weight_decay(kernels):
    """Half the sum of all squared kernel entries, a scalar.

    Its gradient is the kernel itself, so a factor on it is the decay rate.
    """
    return tf.add_n([tf.nn.l2_loss(kernel) for kernel in kernels])
