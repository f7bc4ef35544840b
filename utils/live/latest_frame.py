"""The newest frame of a live source, read by a thread that reopens the source when it falls silent."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time

import cv2
import numpy as np

STALL_SECONDS = 5.0  # without a frame, after which a source counts as silent
FIRST_FRAME_SECONDS = 20.0  # to wait for the first frame, per way of opening; V4L2 alone waits 10
NOTE_SECONDS = 3.0  # without the first frame, after which a line reports the wait
FIRST_PAUSE = 1.0  # seconds before the first attempt to reopen a source; each further pause is doubled
LONGEST_PAUSE = 30.0
STEADY_SECONDS = 10.0  # of frames, after which the next silence starts with the first pause again
RELEASE_SECONDS = 2.0  # that release() waits for a thread inside OpenCV
EXIT_SECONDS = 12.0  # that the end of the script waits for one; V4L2 and the limits set in sources.py take 10
WATCH_SECONDS = 0.5  # between two checks for silence while waiting for a frame


class LatestFrame:
    """Reads a live source in a thread of its own and keeps only the newest frame, so that no lag builds up.

    A call of OpenCV cannot be interrupted. While one hangs, `take` returns None and `release` gives up waiting.
    """

    def __init__(self, name: str, openings, patient: bool = False):
        """name: for lines on stderr; openings: functions that return a cv2.VideoCapture, tried in this order.

        patient: go on trying if none of them gives a frame.
        """
        self.name = name
        self.fps = 0.0  # as the capture reports it
        self._openings = list(openings)
        self._patient = patient
        self._changed = threading.Condition()  # guards all that follows
        self._stop = threading.Event()
        self._frame = None
        self._number = 0  # of the newest frame, 0 before the first
        self._taken = 0  # number of the frame that was taken last
        self._last_frame = time.monotonic()  # when the newest frame came
        self._failed = False  # no opening ever gave a frame
        self._noted = False  # whether the silence was reported
        atexit.register(self._at_exit)
        self._thread = threading.Thread(target=self._run, name=f"camera {name}", daemon=True)
        self._thread.start()

    @property
    def silent_for(self) -> float:
        """Seconds since the last frame came."""
        return time.monotonic() - self._last_frame

    def first(self):
        """Waits for the first frame, without taking it; None if no opening gives one."""
        with self._changed:
            if not self._wait(NOTE_SECONDS):
                _print(f"{self.name}: waiting for the first frame")
                self._wait(FIRST_FRAME_SECONDS * len(self._openings) - NOTE_SECONDS)
            return self._frame

    def _wait(self, seconds: float) -> bool:
        """Waits for the first frame, or for the end of all attempts; with the lock held."""
        return self._changed.wait_for(lambda: self._number or self._failed or self._stop.is_set(), seconds)

    def take(self, timeout: float | None = None):
        """The newest frame (H, W, 3) that was not taken yet; None if `timeout` seconds pass without one."""
        deadline = float("inf") if timeout is None else time.monotonic() + timeout
        with self._changed:
            while self._number == self._taken and not self._stop.is_set():
                if self.silent_for > STALL_SECONDS:
                    self._note_silence()
                left = deadline - time.monotonic()
                if left <= 0:
                    return None
                self._changed.wait(min(WATCH_SECONDS, left))
            self._taken = self._number
            return self._frame

    def release(self) -> None:
        """Ends the thread, which closes the source; gives up waiting for it after RELEASE_SECONDS."""
        self._stop.set()
        with self._changed:
            self._frame = None
            self._changed.notify_all()
        self._thread.join(RELEASE_SECONDS)
        if not self._thread.is_alive():
            atexit.unregister(self._at_exit)

    def _at_exit(self) -> None:
        """Waits again: a thread that returns from OpenCV while Python shuts down aborts the whole process."""
        try:
            self.release()
            if self._thread.is_alive():
                _print(f"{self.name}: waiting for OpenCV, {EXIT_SECONDS:.0f} s at most; Ctrl-C ends it at once")
                self._thread.join(EXIT_SECONDS)
        except KeyboardInterrupt:
            sys.stdout.flush()
            os._exit(130)

    # ---- the thread --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        """Reads while the source gives frames, pauses, and opens it again."""
        steady = self._try_all()
        if not self._number:
            with self._changed:
                self._failed = True
                self._noted = True  # by whoever waited for the first frame
                self._changed.notify_all()
            if not self._patient:
                return
        pause = FIRST_PAUSE
        while not self._stop.is_set():
            with self._changed:
                self._note_silence()
            if steady > STEADY_SECONDS:
                pause = FIRST_PAUSE
            self._stop.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
            steady = self._try_all()

    def _try_all(self) -> float:
        """As _read, by the first way of opening that gives a frame; that one alone is used from then on."""
        for opening in self._openings:
            steady = self._read(opening)
            if self._number:
                self._openings = [opening]
                return steady
        return 0.0

    def _read(self, opening) -> float:
        """Opens the source and reads until it gives no frame; returns for how many seconds it gave some."""
        first = None
        last = None
        capture = None
        try:
            if not self._stop.is_set():
                capture = opening()
            while not self._stop.is_set() and capture.isOpened():
                read, frame = capture.read()
                if not read or frame is None:
                    break
                self._hand_out(frame, capture)
                last = time.monotonic()
                first = first or last
        except cv2.error:  # counts as no frame
            pass
        finally:
            if capture is not None:
                capture.release()
        return last - first if last else 0.0

    def _hand_out(self, frame: np.ndarray, capture) -> None:
        with self._changed:
            if self._stop.is_set():
                return
            if not self._number:
                self.fps = capture.get(cv2.CAP_PROP_FPS)
                _silence_opencv()
            if self._noted:
                self._noted = False
                _print(f"{self.name}: frames are back after {self.silent_for:.0f} s")
            self._frame = frame
            self._number += 1
            self._last_frame = time.monotonic()
            self._changed.notify_all()

    def _note_silence(self) -> None:
        """Reports that there are no frames, once per silence; with the lock held."""
        if not self._noted and not self._stop.is_set():
            self._noted = True
            _print(f"{self.name}: no frames; trying again, with growing pauses")


def _print(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _silence_opencv() -> None:
    """Suppresses OpenCV's own warnings about every failed attempt, unless OPENCV_LOG_LEVEL is set."""
    if "OPENCV_LOG_LEVEL" in os.environ:
        return
    for module in (cv2, getattr(getattr(cv2, "utils", None), "logging", None)):  # OpenCV 4, OpenCV 5
        if hasattr(module, "setLogLevel"):
            module.setLogLevel(2)  # errors
            return
