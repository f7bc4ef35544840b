"""The reading thread where a source ends again and again, or OpenCV hangs: stand-ins do just that."""

import threading
import time

import numpy as np

from tests.helpers import wait_until
from tests.mjpeg_camera import camera_threads, numbered
from utils.live import latest_frame
from utils.live.latest_frame import LatestFrame


class OneFrame:
    """A capture that gives one frame and ends."""

    def __init__(self):
        self.given = False

    def isOpened(self):
        return True

    def read(self):
        if self.given:
            return False, None
        self.given = True
        return True, numbered(1)

    def get(self, setting):
        return 0.0

    def release(self):
        pass


def test_pauses_grow_until_the_frames_are_steady(monkeypatch):
    monkeypatch.setattr(latest_frame, "FIRST_PAUSE", 0.02)
    monkeypatch.setattr(latest_frame, "LONGEST_PAUSE", 0.1)
    opened = []

    def opening():
        opened.append(time.monotonic())
        return OneFrame()

    frames = LatestFrame("short", [opening])
    wait_until(lambda: len(opened) >= 7)
    frames.release()
    assert (np.diff(opened)[:6] >= [0.02, 0.04, 0.08, 0.1, 0.1, 0.1]).all()

    monkeypatch.setattr(latest_frame, "LONGEST_PAUSE", 100.0)
    monkeypatch.setattr(latest_frame, "STEADY_SECONDS", -1.0)  # one frame counts as steady
    opened.clear()
    frames = LatestFrame("steady", [opening])
    wait_until(lambda: len(opened) >= 12)  # growing pauses would take 40 seconds
    frames.release()


def test_silence_is_reported_once(monkeypatch, capsys):
    monkeypatch.setattr(latest_frame, "FIRST_PAUSE", 0.01)
    opened = []
    let_go = threading.Event()

    def opening():
        opened.append(len(opened))
        if len(opened) in (2, 3, 4):
            return FailingCapture()
        if len(opened) == 6:
            let_go.wait(20)
        return OneFrame()

    frames = LatestFrame("door", [opening])
    wait_until(lambda: len(opened) == 6)
    let_go.set()
    frames.release()
    lines = capsys.readouterr().err.splitlines()
    assert lines[:3] == [
        "door: no frames; trying again, with growing pauses",
        "door: frames are back after 0 s",
        "door: no frames; trying again, with growing pauses",
    ]


class FailingCapture(OneFrame):
    def isOpened(self):
        return False


class Hanging(OneFrame):
    """A capture whose second read comes back only when it is let go."""

    def __init__(self, let_go):
        super().__init__()
        self.let_go = let_go
        self.released = False

    def read(self):
        if self.given:
            self.let_go.wait(20)
        return super().read()

    def release(self):
        self.released = True


def test_a_call_that_hangs_delays_neither_take_nor_release(monkeypatch, capsys):
    monkeypatch.setattr(latest_frame, "STALL_SECONDS", 0.1)
    monkeypatch.setattr(latest_frame, "WATCH_SECONDS", 0.05)
    monkeypatch.setattr(latest_frame, "RELEASE_SECONDS", 0.1)
    let_go = threading.Event()
    capture = Hanging(let_go)
    frames = LatestFrame("hangs", [lambda: capture])
    assert frames.first() is not None
    np.testing.assert_array_equal(frames.take(), numbered(1))
    assert frames.take(timeout=0.3) is None
    assert capsys.readouterr().err == "hangs: no frames; trying again, with growing pauses\n"
    frames.release()
    assert not capture.released and frames.take() is None
    let_go.set()
    wait_until(lambda: capture.released and not camera_threads())


def test_openings_are_tried_in_order():
    failing = FailingCapture()
    frames = LatestFrame("second", [lambda: failing, OneFrame])
    assert frames.first() is not None
    frames.release()
    frames = LatestFrame("none", [lambda: failing, lambda: failing])
    begun = time.monotonic()
    assert frames.first() is None and time.monotonic() - begun < latest_frame.FIRST_FRAME_SECONDS / 2
    frames.release()
