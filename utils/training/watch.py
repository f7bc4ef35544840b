"""Two ways in which training on triplets fails, noticed while it runs."""

from __future__ import annotations

import collections

import numpy as np

COLLAPSED = 0.98  # similarity of images of different people
STARVED = 0.05  # share of the triplets that have loss


class Watch:
    """Warns once if the embeddings collapse, and once if hardly any triplet has loss, by means over `period` steps."""

    def __init__(self, period: int):
        self._recent = collections.deque(maxlen=period)
        self._warned = set()

    def add(self, step: int, active: float, negative_similarity: float) -> None:
        """active: share of the step's triplets with loss, 0 to 1; negative_similarity: its mean."""
        self._recent.append((active, negative_similarity))
        if len(self._recent) < self._recent.maxlen:
            return
        active, negative_similarity = np.mean(self._recent, axis=0)
        if active > 0.9 and negative_similarity > COLLAPSED:
            self._warn(
                "collapse",
                f"step {step}: the embeddings are collapsing (images of different people have a similarity of "
                f"{negative_similarity:.3f}, {100 * active:.0f} % of the triplets have loss): stop, "
                "and start again with a lower learning_rate, a larger sample_num or a smaller margin",
            )
        if active < STARVED:
            self._warn(
                "starvation",
                f"step {step}: only {100 * active:.1f} % of the triplets have loss, so little is learned from them: "
                "increase margin or num_images, or lower sample_num",
            )

    def _warn(self, kind: str, message: str) -> None:
        if kind not in self._warned:
            print(message)
            self._warned.add(kind)
