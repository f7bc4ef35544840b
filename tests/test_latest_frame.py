"""What the reading thread does where OpenCV hangs or a source ends again and again: stand-ins do just that."""

import threading
import time

import numpy as np

from tests.mjpeg_camera import camera_threads, numbered, wait_for
from utils.live import latest_frame


class Hanging:
    """Stands in for a capture, as none here can be made to hang for ever: three frames, then nothing comes back."""

    def __init__(self, let_go):
        self.let_go, self.left, self.released = let_go, 3, False

    def isOpened(self):
        return True

    def read(self):
        self.left -= 1
        if self.left < 0:
            self.let_go.wait(20)
        return True, numbered(self.left & 255)

    def get(self, setting):
        return 0.0

    def release(self):
        self.released = True


def test_a_thread_that_hangs_is_replaced_and_never_by_more_than_a_few(monkeypatch, capsys):
    monkeypatch.setattr(latest_frame, "HANG_SECONDS", 0.2)
    monkeypatch.setattr(latest_frame, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(latest_frame, "WATCH_SECONDS", 0.05)
    monkeypatch.setattr(latest_frame, "STALL_SECONDS", 0.1)
    monkeypatch.setattr(latest_frame, "RELEASE_SECONDS", 0.1)
    let_go, captures = threading.Event(), []

    def opening():
        captures.append(Hanging(let_go))
        return captures[-1]

    frames = latest_frame.NewestFrame("hangs", [opening])
    assert frames.first() is not None
    begun = time.monotonic()
    while time.monotonic() - begun < 1.0:
        frames.take(timeout=0.05)
    assert len(captures) == len(camera_threads()) == latest_frame.MOST_THREADS
    let_go.set()  # all come back: those given up let go of their captures, and one goes on
    wait_for(lambda: sum(capture.released for capture in captures) == latest_frame.MOST_THREADS - 1)
    wait_for(lambda: len(camera_threads()) == 1)
    assert frames.take(timeout=1) is not None
    frames.release()
    wait_for(lambda: all(capture.released for capture in captures))
    assert "hangs: no picture" in capsys.readouterr().err


class OneFrame(Hanging):
    """Stands in for a source that gives one frame and ends, again and again."""

    def __init__(self, opened):
        super().__init__(None)
        self.left = 1
        opened.append(time.monotonic())

    def read(self):
        self.left -= 1
        return (True, numbered(1)) if self.left >= 0 else (False, None)


def test_pauses_grow_until_the_picture_is_steady(monkeypatch):
    opened = []
    monkeypatch.setattr(latest_frame, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(latest_frame, "LONGEST_PAUSE", 0.4)
    frames = latest_frame.NewestFrame("short", [lambda: OneFrame(opened)])
    wait_for(lambda: len(opened) >= 7)
    frames.release()
    assert (np.diff(opened)[:6] >= [0.05, 0.1, 0.2, 0.4, 0.4, 0.4]).all() and max(np.diff(opened)) < 0.8

    steady = []
    monkeypatch.setattr(latest_frame, "LONGEST_PAUSE", 10.0)
    monkeypatch.setattr(latest_frame, "STEADY_SECONDS", -1.0)  # one frame will do
    frames = latest_frame.NewestFrame("steady", [lambda: OneFrame(steady)])
    wait_for(lambda: len(steady) >= 10)  # growing pauses would take 25 seconds
    frames.release()
