"""Ends the loop of the demo between two frames, so that files are completed and cameras released."""

from __future__ import annotations

import signal

from utils.errors import STOP_SIGNALS, interrupt


class StopSignal:
    """Ctrl-C, SIGTERM and a closed terminal end the loop between two frames, and before the loop the script at once.

    Attributes:
        asked: whether to end the loop; running: whether the loop is running.
    """

    def __init__(self):
        self.asked = False
        self.running = False
        for number in STOP_SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:  # nohup ignores SIGHUP, and that stays
                signal.signal(number, self._handle)

    def _handle(self, *signal_and_frame):
        if not self.running or self.asked:  # the second signal ends a loop that waits for a frame
            interrupt(*signal_and_frame)
        self.asked = True

    def ask(self) -> None:
        """Ends the loop after this frame."""
        self.asked = True
