"""How far long work is: a line every few seconds with the rate and the time left."""

from __future__ import annotations

import sys
import time


class Progress:
    """`read 12,000 of 32,668 pictures, 900 a second, 0:23 left`, at most once in three seconds (ten in a log).

    Work that is over sooner is silent. doing: the verb, None for silence; total: how much there is, in `unit`.
    """

    def __init__(self, doing, total: float, unit: str = "pictures"):
        self.doing, self.total, self.unit = doing, total, unit
        self.done, self.begun = 0, time.monotonic()
        self.shown, self.pause = self.begun, 3 if sys.stdout.isatty() else 10

    def add(self, amount: float = 1) -> None:
        self.done += amount
        now = time.monotonic()
        if not self.doing or now - self.shown < self.pause:
            return
        self.shown = now
        rate = self.done / (now - self.begun)
        seconds = int(max(0, self.total - self.done) / rate) if rate else 0
        print(
            f"  {self.doing} {self.done:,.0f} of {self.total:,.0f} {self.unit}, {rate:,.0f} a second, "
            f"{seconds // 60}:{seconds % 60:02d} left",
            flush=True,
        )
