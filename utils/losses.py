"""The two losses: cross-entropy over identities, and triplet loss on similarities."""

from __future__ import annotations

import tensorflow as tf


def id_loss(labels, logits, label_smoothing=0.1):
    """Mean softmax cross-entropy. labels (B,) int, logits (B, C) float32 -> scalar.

    label_smoothing: the share of each target spread over all classes (Szegedy et al. 2015, arXiv 1512.00567).
    """
    classes = logits.shape[-1]
    targets = tf.one_hot(labels, classes) * (1 - label_smoothing) + label_smoothing / classes  # (B, C)
    return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(targets, logits))


def triplet_loss(anchors, positives, negatives, margin):
    """max(0, margin + s(a, n) - s(a, p)) per triplet, s the dot product of embeddings of norm 1.

    Three (B, E) float32 -> the loss, s(a, p) and s(a, n), each (B,). Nothing is lost once the positive is `margin` more
    similar than the negative (Schroff et al. 2015, arXiv 1503.03832, written for similarities).
    """
    positive_similarity = tf.reduce_sum(anchors * positives, axis=-1)  # (B,)
    negative_similarity = tf.reduce_sum(anchors * negatives, axis=-1)  # (B,)
    return tf.nn.relu(margin + negative_similarity - positive_similarity), positive_similarity, negative_similarity


def weight_decay(kernels):
    """Half the sum of all squared kernel entries.

    Added to a loss with a factor, its gradient is that factor times the weight.
    """
    return tf.add_n([tf.nn.l2_loss(kernel) for kernel in kernels])
