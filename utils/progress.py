"""Long-running work: a progress line, and a request to stop that Ctrl-C makes."""

from __future__ import annotations

import contextlib
import signal
import sys
import time

from utils.errors import STOP_SIGNALS, interrupt

SECONDS_ON_A_TERMINAL = 3  # between two lines
SECONDS_IN_A_LOG = 10


class Progress:
    """Prints `embedded 12,000 of 32,668 images, 900 images/s, 0:23 left` every few seconds.

    Work that takes less time than that prints nothing.
    """

    def __init__(self, desc, total: float, unit: str = "images"):
        """desc: what was done to the units, such as "embedded"; None for silence. total: how many units there are."""
        self.desc = desc
        self.total = total
        self.unit = unit
        self.done = 0
        self.begun = time.monotonic()
        self.last_line = self.begun
        self.interval = line_interval()

    def add(self, amount: float = 1) -> None:
        """Counts `amount` more units as done."""
        self.done += amount
        now = time.monotonic()
        if not self.desc or now - self.last_line < self.interval:
            return
        self.last_line = now
        rate = self.done / (now - self.begun)
        left = max(0, self.total - self.done) / rate if rate else 0
        print(
            f"  {self.desc} {self.done:,.0f} of {self.total:,.0f} {self.unit}, "
            f"{rate:,.0f} {self.unit}/s, {clock(left)} left",
            flush=True,
        )


def line_interval() -> int:
    """Seconds between two progress lines."""
    return SECONDS_ON_A_TERMINAL if sys.stdout.isatty() else SECONDS_IN_A_LOG


def clock(seconds: float) -> str:
    """90 -> '1:30', 4000 -> '1:06:40'."""
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


class StopRequest:
    """Ctrl-C, SIGTERM and a closed terminal as a request to stop.

    The first one sets `requested`, a second one raises KeyboardInterrupt.
    Inside `with StopRequest(...) as stop:` signals are handled like this; afterwards as before.
    """

    def __init__(self, message: str = ""):
        """message: printed at the first signal, such as what will be finished; nothing if empty."""
        self.message = message
        self.requested = False
        self._handlers = {}

    def __enter__(self) -> StopRequest:
        for number in STOP_SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:  # nohup ignores SIGHUP, and that stays
                self._handlers[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _receive(self, *signal_and_frame) -> None:
        if self.requested:
            interrupt(*signal_and_frame)
        self.requested = True
        if self.message:
            with contextlib.suppress(RuntimeError):  # the signal came in the middle of another print
                print(f"\n{self.message}", flush=True)
