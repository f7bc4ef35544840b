"""Where the time of a frame goes: milliseconds a stage, frames a second, people a frame and how many were embedded."""

from __future__ import annotations

import time
from collections import deque

import numpy as np

STAGES = ("capture", "detect", "crop", "embed", "match", "draw")
KEPT_FRAMES = 2000  # of which the times are remembered
RATE_FRAMES = 30  # over which the rate in the picture is taken
PROGRESS_SECONDS = 5  # between two lines of progress


class Timer:
    """A stop watch: lap("detect") gives the time since the last lap to that stage; next_frame() begins another row."""

    def __init__(self):
        self.rows = deque(maxlen=KEPT_FRAMES)  # seconds a stage, in the order of STAGES
        self._row, self._last = dict.fromkeys(STAGES, 0.0), time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self._row[stage] += now - self._last
        self._last = now

    def next_frame(self) -> None:
        self.rows.append(tuple(self._row.values()))
        self._row = dict.fromkeys(STAGES, 0.0)

    def milliseconds(self) -> dict:
        """{stage: {"median", "p95"}} and the same of "all", over the frames that are remembered."""
        rows = 1000 * np.array(self.rows or [(0.0,) * len(STAGES)])  # (F, S)
        columns = dict(zip(STAGES, rows.T), all=rows.sum(axis=1))
        return {
            stage: {"median": round(float(np.median(some)), 3), "p95": round(float(np.percentile(some, 95)), 3)}
            for stage, some in columns.items()
        }


class Figures:
    """Counts and rates of a run. length: frames that are to come, None where nobody knows."""

    def __init__(self, length=None):
        self.length, self.timer = length, Timer()
        self.frames = self.pictures = self.boxes = self.embedded = 0
        self._recent = deque(maxlen=RATE_FRAMES)
        self._shown = self.begun = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.begun

    @property
    def share_embedded(self) -> float:
        """Of the people seen, the share that the network looked at."""
        return self.embedded / max(self.boxes, 1)

    @property
    def people_a_frame(self) -> float:
        return self.boxes / max(self.pictures, 1)

    def count(self, seen) -> float:
        """One step more: the Seen of each camera, or None; returns steps a second over the last ones."""
        seen = [some for some in seen if some is not None]
        self.frames, self.pictures = self.frames + 1, self.pictures + len(seen)
        self.boxes += sum(len(some.boxes) for some in seen)
        self.embedded += sum(some.embedded for some in seen)
        self._recent.append(time.monotonic())
        begun = self._recent[0] if len(self._recent) > 1 else self.begun
        return max(len(self._recent) - 1, 1) / max(self._recent[-1] - begun, 1e-6)

    def show_progress(self, rate: float) -> None:
        if time.monotonic() - self._shown < PROGRESS_SECONDS:
            return
        self._shown = time.monotonic()
        done = f"{self.frames}/{self.length}" if self.length else f"{self.frames}"
        left = f", {(self.length - self.frames) / rate:.0f} s left" if self.length else ""
        print(f"frame {done}, {rate:.1f} frames/s{left}", flush=True)


def table(figures: Figures, described: dict) -> str:
    """The benchmark's table; described: {"device": "...", ...}, a line each below it."""
    lines = [f"{'stage':<10}{'median ms':>12}{'95 % ms':>12}"]
    for stage, times in figures.timer.milliseconds().items():
        lines.append(f"{stage:<10}{times['median']:>12.2f}{times['p95']:>12.2f}")
    lines += [
        f"{figures.frames / max(figures.seconds, 1e-9):.1f} frames a second over {figures.frames} frames",
        f"{figures.people_a_frame:.1f} people a frame, {100 * figures.share_embedded:.0f} % of them embedded",
    ]
    return "\n".join(lines + [f"{name}: {words}" for name, words in described.items()])
