"""The Kalman filter of boxes against one with full matrices, and against a walker."""

import numpy as np
import pytest

from utils.live.motion import NOMINAL_FPS, POSITION_NOISE, VELOCITY_NOISE, Motion, center_of, corners_of


def full_filter(boxes):
    """Place of the last box by an 8-state Kalman filter with DeepSORT's matrices, one box per nominal frame."""
    move = np.eye(8)
    move[:4, 4:] = np.eye(4)
    see = np.eye(4, 8)
    state = np.append(center_of(boxes[0]), np.zeros(4))
    size = state[[2, 3, 2, 3]]
    spread = np.diag(np.append(2 * POSITION_NOISE * size, 10 * VELOCITY_NOISE * size) ** 2)
    for box in boxes[1:]:
        size = state[[2, 3, 2, 3]]
        noise = np.diag(np.append(POSITION_NOISE * size, VELOCITY_NOISE * size) ** 2)
        drift = np.diag((VELOCITY_NOISE * size) ** 2)  # of the velocity within the step
        noise[:4, :4] += drift / 3
        noise[:4, 4:] += drift / 2
        noise[4:, :4] += drift / 2
        state = move @ state
        spread = move @ spread @ move.T + noise
        seen = see @ spread @ see.T + np.diag((POSITION_NOISE * state[[2, 3, 2, 3]]) ** 2)
        gain = spread @ see.T @ np.linalg.inv(seen)
        state = state + gain @ (center_of(box) - see @ state)
        spread = (np.eye(8) - gain @ see) @ spread
    return corners_of(state[:4])


def test_against_full_matrices():
    rng = np.random.default_rng(0)
    places = (
        np.array([0.5, 0.2, 0.4, 0.1]) + np.outer(np.arange(20), [0.001, 0.01, 0, 0]) + rng.normal(0, 0.002, (20, 4))
    )
    boxes = corners_of(places)
    motion = Motion(boxes[0])
    for box in boxes[1:]:
        motion.predict(1 / NOMINAL_FPS)
        motion.update(box)
    np.testing.assert_allclose(motion.box, full_filter(boxes), atol=1e-9)


@pytest.mark.parametrize("fps", [1, 5, 10, 30])
def test_a_walker_is_expected_at_any_frame_rate(fps):
    """Half a box height a second: after a few boxes the next one is predicted, and so is one after half a second."""
    motion = Motion(corners_of(np.array([0.5, 0.0, 0.4, 0.1])))
    for frame in range(1, 6 * fps):
        motion.predict(1 / fps)
        motion.update(corners_of(np.array([0.5, 0.2 * frame / fps, 0.4, 0.1])))
    motion.predict(0.5)
    wanted = 0.2 * ((6 * fps - 1) / fps + 0.5)
    assert abs(center_of(motion.box)[1] - wanted) < 0.02


def test_prediction_does_not_depend_on_the_number_of_steps():
    box = corners_of(np.array([0.5, 0.2, 0.4, 0.1]))
    once, often = Motion(box), Motion(box)
    for motion in (once, often):
        motion.mean[1] = [0, 0.01, 0, 0]
    once.predict(1.0)
    for _ in range(10):
        often.predict(0.1)
    np.testing.assert_allclose(once.mean, often.mean, atol=1e-12)
    np.testing.assert_allclose(once.spread, often.spread, rtol=1e-6)
