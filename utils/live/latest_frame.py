"""The newest frame of a live source: a thread reads it all the time, and opens it again when it falls silent."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time

import cv2
import numpy as np

STALL_SECONDS = 5.0  # without a frame, after which a source counts as silent
HANG_SECONDS = 20.0  # inside one call of OpenCV, after which its thread is given up; V4L2 alone waits 10 for a frame
FIRST_PAUSE = 1.0  # seconds before the first attempt to open a silent source again; each further pause is doubled
LONGEST_PAUSE = 30.0
STEADY_SECONDS = 10.0  # of pictures, after which the next silence starts with the first pause again
PATIENCE = 3.0  # seconds without the very first picture, after which is said what is waited for
RELEASE_SECONDS = 2.0  # how long release() waits for a thread that hangs
EXIT_SECONDS = 12.0  # how long the end of the script waits for one; V4L2 and the limits that sources.py sets take 10
WATCH_SECONDS = 0.5  # between two looks at the thread while a frame is waited for
MOST_THREADS = 3  # that may hang in OpenCV at one time


class NewestFrame:
    """Reads a live source in a thread of its own and keeps the newest frame only, so that no lag builds up.

    A call of OpenCV can hang for as long as it likes and cannot be broken off. A thread that does so is left alone and
    another one takes over; it lets go of its capture as soon as it comes back.
    """

    def __init__(self, name: str, openings):
        """name: for what is said on stderr; openings: functions that return a cv2.VideoCapture, tried in this order."""
        self.name = name
        self.rate = 0.0  # frames a second as the capture tells it
        self._openings, self._turn = list(openings), 0
        self._changed = threading.Condition()  # guards all that follows
        self._stop = threading.Event()
        self._frame, self._number, self._taken = None, 0, 0  # the frame, its number, the number read last
        self._heard = time.monotonic()  # when the last frame came
        self._entered = None  # since when the thread has been inside OpenCV
        self._failed = False  # no opening gave a picture, ever
        self._told = False  # that there is no picture
        self._threads = []
        atexit.register(self._at_exit)
        self._start()

    @property
    def silent_for(self) -> float:
        """Seconds since the last frame came."""
        return time.monotonic() - self._heard

    def first(self):
        """Waits for the very first frame, without taking it; None if the source cannot be had."""
        begun, told = time.monotonic(), False
        with self._changed:
            while not self._number and not self._failed and not self._stop.is_set():
                self._changed.wait(WATCH_SECONDS)
                self._look_after()
                if not told and time.monotonic() - begun > PATIENCE and not self._failed:
                    told = True
                    _say(f"{self.name}: waiting for the first picture")
            return self._frame

    def take(self, timeout: float | None = None):
        """The newest frame that was not yet taken, (H, W, 3) or what the source has; None if `timeout` seconds pass."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            self._look_after()
            while self._number == self._taken and not self._stop.is_set():
                left = WATCH_SECONDS if deadline is None else min(WATCH_SECONDS, deadline - time.monotonic())
                if left <= 0:
                    return None
                self._changed.wait(left)
                self._look_after()
            self._taken = self._number
            return self._frame

    def release(self) -> None:
        """Ends the thread, which lets go of the device; gives up waiting after RELEASE_SECONDS."""
        self._stop.set()
        with self._changed:
            self._frame = None
            self._changed.notify_all()
        if not self._join(RELEASE_SECONDS):
            atexit.unregister(self._at_exit)

    def _join(self, seconds: float) -> bool:
        """Waits for the threads; returns whether one of them still hangs."""
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return any(thread.is_alive() for thread in self._threads)

    def _at_exit(self) -> None:
        """Waits once more: a thread that comes back from OpenCV while Python shuts down aborts the whole process."""
        try:
            self.release()
            if self._join(0):
                _say(f"{self.name}: waiting for OpenCV, {EXIT_SECONDS:.0f} s at most; Ctrl-C ends it at once")
                self._join(EXIT_SECONDS)
        except KeyboardInterrupt:
            sys.stdout.flush()
            os._exit(130)

    def _start(self) -> None:
        self._entered = None
        self._reader = threading.Thread(target=self._run, name=f"camera {self.name}", daemon=True)
        self._threads = [thread for thread in self._threads if thread.is_alive()] + [self._reader]
        self._reader.start()

    def _in_charge(self) -> bool:
        """Whether the calling thread is the one that reads, and goes on doing so."""
        return not self._stop.is_set() and threading.current_thread() is self._reader

    def _look_after(self) -> None:
        """Says that a source is silent and replaces a thread that hangs; with the lock held, while others wait."""
        now = time.monotonic()
        if self._number and now - self._heard > STALL_SECONDS:
            self._tell()
        hangs = self._entered is not None and now - self._entered > HANG_SECONDS
        if self._stop.is_set() or self._failed or (self._reader.is_alive() and not hangs):
            return
        if not self._number:
            self._next_opening()
        if not self._failed and sum(thread.is_alive() for thread in self._threads) < MOST_THREADS:
            self._start()

    def _next_opening(self) -> None:
        """Turns to the next way of opening a source that has never given a picture; with the lock held."""
        self._turn += 1
        if self._turn >= len(self._openings):
            self._failed = True
            self._changed.notify_all()

    def _tell(self) -> None:
        """Says that there is no picture, once for each silence; with the lock held."""
        if not self._told:
            self._told = True
            _say(f"{self.name}: no picture; trying again, with growing pauses")

    def _run(self) -> None:
        """The thread: reads while it lasts, pauses, opens again."""
        pause = FIRST_PAUSE
        while self._in_charge():
            lasted = self._read()
            with self._changed:
                if not self._in_charge():
                    return
                if not self._number:
                    self._next_opening()
                    if self._failed:
                        return
                    continue
                self._tell()
            if lasted > STEADY_SECONDS:
                pause = FIRST_PAUSE
            self._stop.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _read(self) -> float:
        """Opens the source and hands out its frames until it gives none; returns for how many seconds it gave some."""
        with self._changed:
            if not self._in_charge():
                return 0.0
            opening = self._openings[self._turn]
        capture, begun, last = None, None, None
        try:
            capture = self._call(opening)
            while self._in_charge() and capture.isOpened():
                read, frame = self._call(capture.read)
                if not read or frame is None:
                    break
                self._hand_out(frame, capture, opening)
                last = time.monotonic()
                begun = begun or last
        except cv2.error:  # as good as no picture
            pass
        finally:
            if capture is not None:
                self._call(capture.release)
        return last - begun if last else 0.0

    def _call(self, function):
        """Calls what may hang, with the time noted for _look_after."""
        if self._in_charge():
            self._entered = time.monotonic()
        try:
            return function()
        finally:
            if self._in_charge():
                self._entered = None

    def _hand_out(self, frame: np.ndarray, capture, opening) -> None:
        with self._changed:
            if not self._in_charge():
                return
            if not self._number:  # this way of opening works: a source that falls silent needs no other
                self._openings, self._turn = [opening], 0
                self.rate = capture.get(cv2.CAP_PROP_FPS)
                _quieten_opencv()
            if self._told:
                self._told = False
                _say(f"{self.name}: the picture is back after {self.silent_for:.0f} s")
            self._frame, self._number, self._heard = frame, self._number + 1, time.monotonic()
            self._changed.notify_all()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _quieten_opencv() -> None:
    """Spares the log OpenCV's own warnings of every failed attempt, unless OPENCV_LOG_LEVEL asks for them."""
    if "OPENCV_LOG_LEVEL" in os.environ:
        return
    for place in (cv2, getattr(getattr(cv2, "utils", None), "logging", None)):  # OpenCV 4, OpenCV 5
        if hasattr(place, "setLogLevel"):
            place.setLogLevel(2)  # errors
            return
