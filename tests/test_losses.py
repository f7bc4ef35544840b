"""The losses against their formulas in plain numpy."""

import numpy as np
import pytest
import tensorflow as tf

from utils import losses


def test_triplet_loss_by_hand():
    anchors = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    positives = np.array([[1, 0], [0.6, 0.8], [0, 1]], np.float32)
    negatives = np.array([[0, 1], [0.8, 0.6], [0, 1]], np.float32)
    positive, negative = losses.mined_similarities(np.concatenate([anchors, positives, negatives]))
    loss = losses.triplet_loss(positive, negative, margin=0.1)
    np.testing.assert_allclose(positive, [1, 0.6, 1], atol=1e-6)
    np.testing.assert_allclose(negative, [0, 0.8, 1], atol=1e-6)
    # Far apart; wrong way round; all alike: the margin remains.
    np.testing.assert_allclose(loss, [0, 0.3, 0.1], atol=1e-6)


def test_triplet_loss_pulls_the_positive_and_pushes_the_negative():
    vectors = ([[1.0, 0.2]], [[0.5, 1.0]], [[1.0, 0.1]])
    anchors, positives, negatives = (tf.Variable(tf.math.l2_normalize(vector, -1)) for vector in vectors)
    with tf.GradientTape() as tape:
        similarities = losses.mined_similarities(tf.concat([anchors, positives, negatives], axis=0))
        loss = tf.reduce_sum(losses.triplet_loss(*similarities, 0.1))
    toward_positive, toward_negative = tape.gradient(loss, [positives, negatives])
    assert np.sum(toward_positive * anchors) < 0 < np.sum(toward_negative * anchors)


def test_batch_hard_similarities_against_loops():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(12, 3))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    labels = np.repeat([3, 1, 4, 2], 3)
    positive, negative = losses.batch_hard_similarities(vectors.astype(np.float32), labels)
    for anchor in range(12):
        same = [vectors[anchor] @ vectors[i] for i in range(12) if labels[i] == labels[anchor] and i != anchor]
        other = [vectors[anchor] @ vectors[i] for i in range(12) if labels[i] != labels[anchor]]
        assert float(positive[anchor]) == pytest.approx(min(same), abs=1e-5)
        assert float(negative[anchor]) == pytest.approx(max(other), abs=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_id_loss_is_cross_entropy_with_smoothed_targets(smoothing):
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(6, 4)).astype(np.float32), rng.integers(0, 4, 6)
    log_probability = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    expected = 0.0
    for row, label in zip(log_probability, labels):
        target = np.full(4, smoothing / 4)
        target[label] += 1 - smoothing
        expected -= np.dot(target, row) / 6
    assert float(losses.id_loss(labels, logits, smoothing)) == pytest.approx(expected, rel=1e-5)


def test_weight_decay_has_the_weight_as_its_gradient():
    kernel = tf.Variable([[1.0, -2.0], [0.5, 3.0]])
    with tf.GradientTape() as tape:
        loss = losses.weight_decay([kernel])
    np.testing.assert_allclose(tape.gradient(loss, kernel), kernel)
