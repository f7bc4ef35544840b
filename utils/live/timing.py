"""Timing of the demo: milliseconds per stage, frames per second, and the share of people that were embedded."""

from __future__ import annotations

import time
from collections import deque

import numpy as np

from utils.progress import clock, line_interval

STAGES = ("capture", "detect", "crop", "embed", "match", "draw")
KEPT_FRAMES = 2000  # newest frames whose times are kept
FPS_FRAMES = 30  # newest frames that the displayed fps is measured over


class Timer:
    """A stop watch: lap("detect") adds the time since the last lap to that stage; next_frame() ends a frame's row."""

    def __init__(self):
        self.restart()

    def restart(self) -> None:
        """Forgets all times."""
        self.rows = deque(maxlen=KEPT_FRAMES)  # seconds per stage, in the order of STAGES
        self._row = dict.fromkeys(STAGES, 0.0)
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self._row[stage] += now - self._last
        self._last = now

    def next_frame(self) -> None:
        self.rows.append(tuple(self._row.values()))
        self._row = dict.fromkeys(STAGES, 0.0)

    def milliseconds(self) -> dict:
        """{stage: {"median", "p95"}} over the frames kept, and the same for the sum of all stages as "all"."""
        rows = 1000 * np.array(self.rows or [(0.0,) * len(STAGES)])  # (F, S)
        columns = dict(zip(STAGES, rows.T), all=rows.sum(axis=1))
        return {
            stage: {"median": round(float(np.median(times)), 3), "p95": round(float(np.percentile(times, 95)), 3)}
            for stage, times in columns.items()
        }


def expected_frames(lengths: list, limit: int):
    """The number of frames until the longest source ends, or until `limit` if that is not 0; None if unknown.

    lengths: frames of each source, None if unknown.
    """
    if None in lengths:
        return limit or None
    return min(max(lengths), limit) if limit else max(lengths)


class RunStats:
    """Counts of a run, and its progress line.

    Attributes:
        frames: steps of the loop, in which each camera gives up to one image; images: images of all cameras.
        boxes: people detected; embedded: how many of them the re-id net embedded.
    """

    def __init__(self, length=None, now=time.monotonic):
        """length: the expected number of frames, None if unknown; now: returns seconds."""
        self.length = length
        self.frames = 0
        self.images = 0
        self.boxes = 0
        self.embedded = 0
        self._now = now
        self._begun = now()
        self._last_line = self._begun
        self._recent = deque(maxlen=FPS_FRAMES)

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return self._now() - self._begun

    @property
    def mean_fps(self) -> float:
        """Frames per second since the start."""
        return self.frames / max(self.seconds, 1e-6)

    @property
    def share_embedded(self) -> float:
        """Share of the detected people that the re-id net embedded, 0 to 1."""
        return self.embedded / max(self.boxes, 1)

    @property
    def people_per_image(self) -> float:
        return self.boxes / max(self.images, 1)

    def count(self, results) -> float:
        """Counts a frame from one FrameResult per camera, or None; returns the fps over the newest frames."""
        results = [result for result in results if result is not None]
        self.frames += 1
        self.images += len(results)
        self.boxes += sum(len(result.boxes) for result in results)
        self.embedded += sum(result.num_embedded for result in results)
        self._recent.append(self._now())
        begun = self._recent[0] if len(self._recent) > 1 else self._begun
        return max(len(self._recent) - 1, 1) / max(self._recent[-1] - begun, 1e-6)

    def show_progress(self, fps: float) -> None:
        """Prints a progress line every few seconds, such as `frame 120 of 795, 24.6 frames/s, 0:27 left`."""
        now = self._now()
        if now - self._last_line < line_interval():
            return
        self._last_line = now
        of_length = f" of {self.length:,}" if self.length else ""
        left = f", {clock((self.length - self.frames) / fps)} left" if self.length else ""
        print(f"frame {self.frames:,}{of_length}, {fps:.1f} frames/s{left}", flush=True)


def format_table(timer: Timer, stats: RunStats, machine: dict) -> str:
    """The table of a benchmark; machine: {"device": "...", ...}, printed below it, one line per entry."""
    lines = [f"{'stage':<10}{'median ms':>12}{'95 % ms':>12}"]
    for stage, times in timer.milliseconds().items():
        lines.append(f"{stage:<10}{times['median']:>12.2f}{times['p95']:>12.2f}")
    lines.append(f"{stats.mean_fps:.1f} frames/s over {stats.frames} frames")
    lines.append(f"{stats.people_per_image:.1f} people per image, {100 * stats.share_embedded:.0f} % of them embedded")
    lines += [f"{name.replace('_', ' ')}: {value}" for name, value in machine.items()]
    return "\n".join(lines)
