"""The losses: cross-entropy over identities, and triplet loss on similarities."""

from __future__ import annotations

import tensorflow as tf


def id_loss(labels, logits, label_smoothing=0.1):
    """Mean softmax cross-entropy: labels (B,) int, logits (B, C) float32 -> scalar.

    label_smoothing: the share of each target that is spread over all classes, 0 to 1 (Szegedy et al. 2015, arXiv
    1512.00567).
    """
    cross_entropy = tf.keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=label_smoothing)
    return cross_entropy(tf.one_hot(labels, logits.shape[-1]), logits)


def triplet_loss(positive_similarity, negative_similarity, margin):
    """max(0, margin + s(a, n) - s(a, p)) of each triplet, where s is the dot product of embeddings of norm 1.

    s(a, p) and s(a, n), both (T,) float32 -> (T,). The loss is zero once the positive is more similar than the negative
    by `margin` (Schroff et al. 2015, arXiv 1503.03832, written for similarities).
    """
    return tf.nn.relu(margin + negative_similarity - positive_similarity)


def mined_similarities(embeddings):
    """(3 * T, E) float32: T anchors, T positives, T negatives -> s(a, p) and s(a, n) of each triplet, both (T,)."""
    anchors, positives, negatives = tf.split(embeddings, 3)
    positive_similarity = tf.reduce_sum(anchors * positives, axis=-1)  # (T,)
    negative_similarity = tf.reduce_sum(anchors * negatives, axis=-1)  # (T,)
    return positive_similarity, negative_similarity


def batch_hard_similarities(embeddings, labels):
    """Online batch-hard mining (Hermans et al. 2017, arXiv 1703.07737): each image of a batch is an anchor.

    embeddings (B, E) float32 of norm 1, labels (B,) int -> the similarity of each image to its least similar positive
    and to its most similar negative in the batch, both (B,). The batch needs two images of each identity and two
    identities.
    """
    similarity = tf.matmul(embeddings, embeddings, transpose_b=True)  # (B, B)
    same = labels[:, None] == labels[None, :]  # (B, B); with the diagonal, where an image is most similar
    positive_similarity = tf.reduce_min(tf.where(same, similarity, 2.0), axis=1)
    negative_similarity = tf.reduce_max(tf.where(same, -2.0, similarity), axis=1)
    return positive_similarity, negative_similarity


def weight_decay(kernels):
    """Half the sum of all squared kernel entries, a scalar.

    Its gradient is the kernel itself, so a factor on it is the decay rate.
    """
    return tf.add_n([tf.nn.l2_loss(kernel) for kernel in kernels])
