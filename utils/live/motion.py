"""Where a tracked box is expected: the Kalman filter of SORT and DeepSORT at constant velocity, in seconds.

Bewley et al. 2016, Wojke et al. 2017; states and noise as in BoT-SORT (Aharon et al. 2022): center, width and height of
the box, each with a velocity, and noise in proportion to the box. Those papers count frames of 30 a second. Here a
state moves by any time, and the noise grows as much as in that many of their frames. Pure numpy.
"""

from __future__ import annotations

import numpy as np

NOMINAL_FPS = 30.0  # of the footage that the papers' noise is given for
POSITION_NOISE = 1 / 20  # standard deviation per frame, relative to the box (DeepSORT)
VELOCITY_NOISE = 1 / 160  # the same of the velocity per frame


class Motion:
    """Place and velocity of one box.

    Attributes:
        mean: (2, 4) of [center y, center x, height, width] and their velocities per nominal frame.
        spread: (2, 2, 4) covariance of place and velocity, of each of the four numbers on its own.
    """

    def __init__(self, box: np.ndarray):
        """box: (4,) [ymin, xmin, ymax, xmax] in any unit."""
        place = center_of(box)
        self.mean = np.stack([place, np.zeros(4)])
        size = place[[2, 3, 2, 3]]
        self.spread = np.zeros((2, 2, 4))
        self.spread[0, 0] = (2 * POSITION_NOISE * size) ** 2
        self.spread[1, 1] = (10 * VELOCITY_NOISE * size) ** 2

    @property
    def box(self) -> np.ndarray:
        """(4,) [ymin, xmin, ymax, xmax] as estimated."""
        return corners_of(self.mean[0])

    def predict(self, seconds: float) -> None:
        """Moves the estimate on by a time, at constant velocity."""
        steps = seconds * NOMINAL_FPS
        size = np.maximum(self.mean[0, [2, 3, 2, 3]], 1e-6)
        place = (POSITION_NOISE * size) ** 2
        velocity = (VELOCITY_NOISE * size) ** 2
        self.mean[0] += steps * self.mean[1]
        self.mean[0, 2:] = np.maximum(self.mean[0, 2:], 1e-6)
        move = np.array([[1.0, steps], [0.0, 1.0]])
        self.spread = np.einsum("ij,jkn,lk->iln", move, self.spread, move)
        self.spread[0, 0] += place * steps + velocity * steps**3 / 3
        self.spread[0, 1] += velocity * steps**2 / 2
        self.spread[1, 0] += velocity * steps**2 / 2
        self.spread[1, 1] += velocity * steps

    def update(self, box: np.ndarray) -> None:
        """Takes in an observed box (4,)."""
        difference = center_of(box) - self.mean[0]
        gain = self.spread[0] / self._innovation()  # (2, 4)
        self.mean += gain * difference
        self.spread -= gain[:, np.newaxis] * self.spread[np.newaxis, 0]

    def _innovation(self) -> np.ndarray:
        """(4,) variance of an observed box around the estimate."""
        return self.spread[0, 0] + (POSITION_NOISE * self.mean[0, [2, 3, 2, 3]]) ** 2


def center_of(boxes: np.ndarray) -> np.ndarray:
    """(..., 4) [ymin, xmin, ymax, xmax] -> (..., 4) [center y, center x, height, width]."""
    boxes = np.asarray(boxes, np.float64)
    size = boxes[..., 2:] - boxes[..., :2]
    return np.concatenate([boxes[..., :2] + size / 2, size], axis=-1)


def corners_of(places: np.ndarray) -> np.ndarray:
    """(..., 4) [center y, center x, height, width] -> (..., 4) [ymin, xmin, ymax, xmax]."""
    half = places[..., 2:] / 2
    return np.concatenate([places[..., :2] - half, places[..., :2] + half], axis=-1)
