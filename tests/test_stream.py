"""Live streams from a real MJPEG camera on loopback that stalls, dies and comes back."""

import contextlib
import functools
import signal
import subprocess
import sys
import threading
import time

import cv2
import numpy as np
import pytest

import demo
from tests.helpers import ROOT, wait_until, write_video
from tests.mjpeg_camera import FPS, Feed, camera_threads, number_of, numbered
from utils.errors import InputError
from utils.live import latest_frame, sources
from utils.live.camera import Camera


@pytest.fixture
def feed(monkeypatch):
    """The MJPEG camera, with pauses that are short enough for a test; no thread of a Camera is left behind."""
    pauses = {"STALL_SECONDS": 0.5, "FIRST_PAUSE": 0.05, "LONGEST_PAUSE": 0.2, "WATCH_SECONDS": 0.05}
    for name, seconds in pauses.items():
        monkeypatch.setattr(latest_frame, name, seconds)
    monkeypatch.setattr(sources, "OPEN_SECONDS", 0.5)
    feed = Feed()
    yield feed
    if feed.server is not None:
        feed.die()
    wait_until(lambda: not camera_threads())


def read_until(camera, number):
    """Reads until a frame comes that the feed sent at `number` or later; returns it."""

    def newer():
        frame = camera.read(timeout=0.2)
        return [frame] if frame is not None and number_of(frame) >= number else []

    return wait_until(newer)[0]


def test_numbers_survive_the_stream(feed):
    assert number_of(numbered(0xDEADBEEF)) == 0xDEADBEEF
    with Camera(feed.url) as camera:
        assert camera.live and not camera.ended and camera.length is None and (camera.width, camera.height) == (64, 32)
        assert camera.name == f"http://me:***@127.0.0.1:{feed.port}/live.mjpg" and camera.source == feed.url
        before = feed.number
        first = number_of(read_until(camera, before))
        assert before <= first <= feed.number
    assert camera.ended and camera.read() is None and camera.read(timeout=1) is None


def test_a_fast_reader_gets_each_frame_once(feed):
    with Camera(feed.url) as camera:
        seen = [number_of(frame) for frame, _ in zip(camera, range(50))]
    steps = np.diff(seen[3:])  # the first ones are what opening the stream took
    assert (steps > 0).all() and np.median(steps) <= 2


def test_a_slow_reader_gets_the_newest_frame(feed):
    with Camera(feed.url) as camera:
        read_until(camera, feed.number)
        before = feed.number
        wait_until(lambda: feed.number >= before + 50)
        assert number_of(camera.read()) >= before + 10  # a queue would give the frame after `before`


def test_no_frame_is_handed_out_twice(feed):
    with Camera(feed.url) as camera:
        read_until(camera, feed.number)
        feed.flowing.clear()
        while camera.read(timeout=0.1) is not None:
            pass
        assert camera.read(timeout=0.2) is None and camera.read(timeout=0) is None
        assert camera.silent_for > 0.2


def test_a_stall_is_reported_once_and_survived(feed, capfd):
    with Camera(feed.url) as camera:
        read_until(camera, feed.number)
        tried = feed.connections
        feed.flowing.clear()
        wait_until(lambda: camera.read(timeout=0.05) is None and feed.connections >= tried + 3)
        assert camera.silent_for > 0.5 and len(camera_threads()) == 1
        errors = capfd.readouterr().err
        assert errors == f"{camera.name}: no frames; trying again, with growing pauses\n"  # and nothing from FFmpeg
        feed.flowing.set()
        read_until(camera, feed.number)
        errors = capfd.readouterr().err
        assert errors.startswith(f"{camera.name}: frames are back after") and errors.count("\n") == 1
        assert len(camera_threads()) == 1


def test_an_outage_is_reported_once_and_survived(feed, capfd):
    with Camera(feed.url) as camera:
        for _ in range(2):  # a second time as well
            read_until(camera, feed.number)
            feed.die()
            wait_until(lambda: camera.silent_for > 0.8)  # many refused attempts
            feed.scale = 2  # it comes back with larger frames
            feed.revive()
            assert read_until(camera, feed.number).shape == (32, 64, 3)
        lines = [line.split(": ")[1].split(" after")[0] for line in capfd.readouterr().err.splitlines()]
        assert lines == ["no frames; trying again, with growing pauses", "frames are back"] * 2
        assert len(camera_threads()) == 1


def test_iterating_waits_until_frames_are_back(feed):
    with Camera(feed.url) as camera:
        frames = iter(camera)
        next(frames)
        feed.flowing.clear()
        threading.Timer(0.8, feed.flowing.set).start()
        stalled = feed.number
        wait_until(lambda: number_of(next(frames)) > stalled + FPS // 2)


def test_a_stream_that_is_not_there(feed):
    feed.flowing.clear()  # it answers and sends no frame
    with pytest.raises(InputError, match=f"no frame from http://me:.* 127.0.0.1:{feed.port} answers") as refused:
        Camera(feed.url)
    assert "secret" not in str(refused.value)
    feed.die()
    with pytest.raises(InputError, match=f"127.0.0.1:{feed.port} does not answer .Connection refused"):
        Camera(feed.url)


def test_release_does_not_wait_for_a_stall(feed, monkeypatch):
    monkeypatch.setattr(latest_frame, "STALL_SECONDS", 2.0)
    monkeypatch.setattr(latest_frame, "RELEASE_SECONDS", 0.1)
    with Camera(feed.url) as camera:
        read_until(camera, feed.number)
        feed.flowing.clear()
        while camera.read(timeout=0.2) is not None:
            pass
    assert camera.read() is None
    assert camera_threads() and feed.open == 1  # the thread is still inside OpenCV, which cannot be interrupted
    wait_until(lambda: not camera_threads() and feed.flowing.set() is None and feed.open == 0)


WATCHER = """
import signal, sys, time
from utils.live import latest_frame, sources
from utils.live.camera import Camera
signal.signal(signal.SIGTERM, signal.default_int_handler)  # as in demo.py, an end like Ctrl-C
latest_frame.STALL_SECONDS = sources.OPEN_SECONDS = float(sys.argv[2])
latest_frame.RELEASE_SECONDS = 0.2


class Slow:
    def __del__(self, sleep=time.sleep, seconds=float(sys.argv[3])):
        sleep(seconds)  # as TensorFlow does when Python shuts down


slow = Slow()
print("ready", flush=True)
try:
    with Camera(sys.argv[1]) as camera:
        print("open", flush=True)
        for frame in camera:
            pass
except KeyboardInterrupt:
    print("released", flush=True)
"""


def start_watcher(feed, stall, shutdown):
    command = [sys.executable, "-c", WATCHER, feed.url, str(stall), str(shutdown)]
    # A shell that runs the tests in the background has them ignore Ctrl-C, and children inherit that.
    heed = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=ROOT, preexec_fn=heed, **streams)


@pytest.mark.parametrize(
    "number, state",
    [(signal.SIGINT, "flowing"), (signal.SIGTERM, "flowing"), (signal.SIGINT, "stalled"), (signal.SIGTERM, "silent")],
)
def test_signals_release_the_stream(feed, number, state):
    """While frames come, while they have stopped coming, and while the first one is waited for."""
    if state == "silent":
        feed.flowing.clear()
    process = start_watcher(feed, stall=1, shutdown=0 if state == "flowing" else 1.5)
    try:
        assert process.stdout.readline() == "ready\n"
        if state != "silent":
            assert process.stdout.readline() == "open\n"
        if state == "stalled":
            feed.flowing.clear()
        wait_until(lambda: feed.open == 1)
        time.sleep(0.2)  # into the call that reads
        process.send_signal(number)
        assert process.stdout.readline() == "released\n"
        _, errors = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 0 and "Traceback" not in errors, errors
    assert errors.count("waiting for OpenCV, 12 s at most; Ctrl-C ends it at once") == (state != "flowing"), errors
    feed.flowing.set()
    wait_until(lambda: feed.open == 0)


def test_a_second_ctrl_c_ends_the_wait_for_opencv(feed):
    process = start_watcher(feed, stall=9, shutdown=0)
    try:
        assert [process.stdout.readline() for _ in range(2)] == ["ready\n", "open\n"]
        feed.flowing.clear()
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        assert "waiting for OpenCV" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=8)  # the stall ends after 9 s
    finally:
        process.kill()
    assert process.returncode == 130


def test_ctrl_c_before_the_first_frame_leaves_no_thread(feed, monkeypatch):
    def interrupted(frames):
        wait_until(lambda: frames.fps)  # it reads
        raise KeyboardInterrupt

    monkeypatch.setattr(latest_frame.LatestFrame, "first", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Camera(feed.url)
    wait_until(lambda: not camera_threads() and feed.open == 0)


def test_a_script_that_forgets_to_release_ends_cleanly(feed):
    script = "import sys; from utils.live.camera import Camera; print(Camera(sys.argv[1]).read().shape)"
    done = subprocess.run(
        [sys.executable, "-c", script, feed.url], cwd=ROOT, capture_output=True, text=True, timeout=20
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "(32, 64, 3)\n", "")


def test_a_camera_that_is_off_at_the_start_is_waited_for(feed, capsys):
    """Its frames, once they come, keep their proportions in the size that was assumed."""
    feed.die()
    with Camera(feed.url, width=128, height=128, patient=True) as camera:
        assert camera.waiting and not camera.ended and (camera.width, camera.height) == (128, 128)
        assert camera.read(timeout=0.1) is None
        printed = capsys.readouterr().err
        assert printed.count("\n") == 1 and "does not answer" in printed and "the other cameras run" in printed
        feed.revive()
        frame = wait_until(lambda: [found for found in [camera.read(timeout=0.2)] if found is not None])[0]
        assert not camera.waiting and frame.shape == (128, 128, 3)
        assert not frame[:30].any() and not frame[98:].any()
        assert number_of(cv2.resize(frame[32:96], (64, 32), interpolation=cv2.INTER_AREA)) <= feed.number
        printed = capsys.readouterr().err
        assert printed.count("\n") == 1 and "frames are back" in printed
    assert camera.ended


def test_one_camera_of_several_may_be_off_but_not_all(feed, tmp_path):
    write_video(tmp_path / "v.avi", [np.zeros((48, 64, 3), np.uint8)] * 2)
    feed.die()
    with contextlib.ExitStack() as stack:
        args = demo.parse_args(["--source", feed.url, "--source", str(tmp_path / "v.avi")])
        first, second = [stack.enter_context(camera) for camera in demo.open_cameras(args)]
        assert first.waiting and not second.waiting
    for words in (["--source", feed.url], ["--source", feed.url] * 2):
        with pytest.raises(InputError, match="does not answer|none of the cameras gives a frame"):
            for camera in demo.open_cameras(demo.parse_args(words)):
                camera.release()
