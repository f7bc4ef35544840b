"""The learning rate of a run: a linear warm-up, a plateau, and half a cosine down to 0."""

from __future__ import annotations

import math

import tensorflow as tf


class WarmupCosine(tf.keras.optimizers.schedules.LearningRateSchedule):
    """Linear from 0 to `peak` over warmup_steps, then `peak`, then half a cosine from decay_start to 0 at num_steps."""

    def __init__(self, peak: float, warmup_steps: int, decay_start: int, num_steps: int):
        self.peak = peak
        self.warmup_steps = warmup_steps
        self.decay_start = decay_start
        self.num_steps = num_steps

    def __call__(self, step):
        """step: the number of steps made so far, an integer or a scalar tensor -> scalar float32."""
        step = tf.cast(step, tf.float32)
        rise = tf.minimum(1.0, (step + 1) / max(1, self.warmup_steps))
        decay_steps = max(1, self.num_steps - self.decay_start)
        fall = tf.clip_by_value((step - self.decay_start) / decay_steps, 0.0, 1.0)
        return self.peak * rise * 0.5 * (1 + tf.cos(math.pi * fall))


def build_schedule(peak: float, warmup_steps: int, decay_start: int, num_steps: int) -> WarmupCosine:
    """A WarmupCosine. A run too short for its warm-up or decay gets both in proportion, and a note is printed."""
    if warmup_steps >= num_steps or decay_start >= num_steps:
        warmup_steps = num_steps // 6
        decay_start = num_steps * 3 // 5
        print(
            f"note: {num_steps} steps are too few for the warm-up or the decay that was set: "
            f"the learning rate rises until step {warmup_steps} and falls from step {decay_start}"
        )
    return WarmupCosine(peak, warmup_steps, decay_start, num_steps)
