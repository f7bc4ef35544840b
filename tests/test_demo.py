"""demo.py as a user runs it: on drawn videos whose people are known, and on real footage with the real detector."""

import json
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

import demo
from tests.conftest import ROOT, refusal, run
from tests.standins import picture, write_checkpoint, write_tf2_detector
from utils import screen
from utils.freeze import freeze_detector, freeze_reid
from utils.options import InputError

FOOTAGE = ROOT / "models/downloads/vtest.avi"
ZOO = ROOT / "models/downloads/detector/saved_model"
NO_SCREEN = {"DISPLAY": "", "WAYLAND_DISPLAY": ""}
SIZE = 120, 240  # of the pictures: height, width


@pytest.fixture(scope="module")
def frozen(tmp_path_factory):
    """A frozen stand-in detector and an untrained re-id net that takes four people at once."""
    folder = tmp_path_factory.mktemp("frozen")
    write_tf2_detector(folder / "zoo")
    checkpoint, _ = write_checkpoint(folder / "m0")
    freeze_detector(folder / "zoo", folder / "obj", [picture([(10, 10, 50, 18)])], engine="tensorflow")
    people = np.random.default_rng(0).integers(0, 256, (4, 64, 32, 3), dtype=np.uint8)
    freeze_reid(checkpoint, folder / "reid", lambda size: people, batch=4, engine="tensorflow")
    return folder


def models(frozen):
    return ["--obj", frozen / "obj", "--reid", frozen / "reid"]


def write_video(path, frames):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, SIZE[::-1])
    for frame in frames:
        writer.write(frame)
    writer.release()


def read_video(path):
    video, frames = cv2.VideoCapture(str(path)), []
    while True:
        read, frame = video.read()
        if not read:
            return frames
        frames.append(frame)


def read_tracks(path):
    """(M, 10) float: frame, identity, left, top, width, height, score, -1, -1, -1."""
    return np.array([[float(word) for word in line.split(",")] for line in path.read_text().splitlines()])


def test_people_are_boxed_numbered_and_written_down(frozen, tmp_path):
    walker = [(20, 5 + 2 * step, 100, 13 + 2 * step) for step in range(4)]  # stays in the first strip of the stand-in
    crowd = [(10, 20 * strip + 6, 90, 20 * strip + 14) for strip in range(12)]  # three batches of the net
    frames = [picture([box]) for box in walker] + [picture([])] * 3 + [picture(crowd)] * 3
    write_video(tmp_path / "walk.avi", frames)
    out, tracks, summary = tmp_path / "out" / "people.mp4", tmp_path / "tracks.txt", tmp_path / "summary.json"
    files = ["--output", out, "--tracks", tracks, "--summary", summary]
    done = run("demo.py", "--source", tmp_path / "walk.avi", *models(frozen), *files, **NO_SCREEN)
    assert done.returncode == 0, done.stderr

    found = read_tracks(tracks)
    assert (found[:, 7:] == -1).all() and found.shape == (4 + 3 * 12, 10)
    assert [int((found[:, 0] == number).sum()) for number in range(1, 11)] == [1] * 4 + [0] * 3 + [12] * 3
    for number, (top, left, bottom, right) in enumerate(walker, start=1):
        (row,) = found[found[:, 0] == number]
        np.testing.assert_allclose(row[2:6], [left + 1, top + 1, right - left, bottom - top], atol=2.5)  # JPEG's edges
        assert row[1] == 1 and row[6] == pytest.approx(0.9)
    for number in (8, 9, 10):
        assert len(set(found[found[:, 0] == number, 1])) == 12  # never two boxes with one identity

    drawn = read_video(out)
    assert len(drawn) == 10 and drawn[0].shape == (*SIZE, 3)
    assert np.abs(drawn[0].astype(int) - frames[0]).max() > 100  # something was drawn
    figures = json.loads(summary.read_text())
    assert (figures["frames"], figures["boxes"], figures["video"]) == (10, 40, str(out))
    assert figures["identities"] == len(set(found[:, 1])) and figures["fps"] > 0
    assert "10 frames in" in done.stdout and f"video: {out}" in done.stdout and f"tracks: {tracks}" in done.stdout
    assert sorted(path.name for path in out.parent.iterdir()) == ["people.mp4"]


def test_sigterm_closes_the_files(frozen, tmp_path):
    write_video(tmp_path / "long.avi", [picture([(20, 5, 100, 13)])] * 6000)
    out, tracks = tmp_path / "people.avi", tmp_path / "tracks.txt"
    command = [sys.executable, "demo.py", "--source", tmp_path / "long.avi", *models(frozen)]
    command += ["--output", out, "--tracks", tracks, "--headless"]
    process = subprocess.Popen(
        [str(word) for word in command], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        half_written = tmp_path / f"half-written-{process.pid}-people.avi"
        deadline = time.monotonic() + 120
        while not (half_written.is_file() and half_written.stat().st_size > 20000):  # it is in the middle of the work
            assert process.poll() is None and time.monotonic() < deadline, process.communicate()
            time.sleep(0.05)
        process.terminate()
        said, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    frames = int(said.decode().split(" frames in ")[0].split()[-1])
    assert 0 < frames < 6000
    assert len(read_video(out)) == frames and read_tracks(tracks)[-1, 0] == frames
    assert not half_written.exists()


@pytest.fixture
def handlers():
    """Puts pytest's own signal handlers back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_for_the_frame_in_hand(handlers, number):
    stop = demo.Stop()
    with pytest.raises(KeyboardInterrupt):  # while models are loading there is nothing to wait for
        signal.raise_signal(number)
    stop.running = True
    signal.raise_signal(number)
    assert stop.asked
    with pytest.raises(KeyboardInterrupt):  # a second one: the frame never comes
        signal.raise_signal(number)


@pytest.fixture
def refused(frozen, handlers, monkeypatch):
    """Runs demo.main in this process, which spares TensorFlow's start; returns the sentence with which it refuses."""
    monkeypatch.setattr(screen, "has_screen", lambda: False)

    def call(*words):
        words = [str(word) for word in words]
        defaults = [str(word) for word in models(frozen)] if "--obj" not in words and "--reid" not in words else []
        monkeypatch.setattr(sys, "argv", ["demo.py", *words, *defaults])
        with pytest.raises(InputError) as refusal_:
            demo.main(demo.parse_args())
        return str(refusal_.value)

    return call


def test_refusals_leave_no_files(frozen, tmp_path, refused):
    write_video(tmp_path / "v.avi", [picture([(20, 5, 100, 13)])] * 3)
    video, out, tracks = tmp_path / "v.avi", tmp_path / "out.mp4", tmp_path / "tracks.txt"
    assert "there is no screen for a window" in refused("--source", video)
    assert "no camera at /dev/video97" in refused("--source", "97", "--output", out)
    assert "there is no source" in refused("--source", tmp_path / "gone.mp4", "--output", out)
    outputs = ["--source", video, "--output", out, "--tracks", tracks]
    sentence = refused(*outputs, "--obj", frozen / "gone", "--reid", frozen / "reid")
    assert sentence == f"{frozen / 'gone'} holds no frozen detector: run python3 pipeline.py here"
    sentence = refused(*outputs, "--obj", frozen / "obj", "--reid", frozen / "obj")
    assert "is a frozen detector, not a re-id net: run python3 pipeline.py here" in sentence
    assert "name a video that ends in .mp4 or .avi" in refused("--source", video, "--output", tmp_path / "o.gif")
    assert "is a folder: name a file" in refused("--source", video, "--output", out, "--tracks", tmp_path)
    (tmp_path / "pictures").mkdir()
    cv2.imwrite(str(tmp_path / "pictures" / "1.png"), picture([]))
    (tmp_path / "pictures" / "2.png").write_text("no picture")
    out.write_bytes(b"an older video")
    sentence = refused("--source", tmp_path / "pictures", "--output", out, "--tracks", tracks)
    assert "2.png cannot be read as a picture" in sentence and out.read_bytes() == b"an older video"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mp4", "pictures", "v.avi"]


def test_no_camera_as_a_user_sees_it(frozen):
    done = run("demo.py", "--source", "97", "--headless", *models(frozen))
    assert refusal(done).startswith("error: no camera at /dev/video97")


def test_help_needs_no_tensorflow(tmp_path):
    (tmp_path / "tensorflow.py").write_text("raise SystemExit('TensorFlow was imported')")
    for script in ("demo.py", "pipeline.py"):
        done = run(script, "--help", PYTHONPATH=str(tmp_path))
        assert done.returncode == 0 and "usage: " in done.stdout, done.stderr


def test_no_window_without_a_screen(monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert not screen.has_screen()
    monkeypatch.setenv("DISPLAY", ":97")  # named, but nobody is there: OpenCV would abort the process
    assert not screen.has_screen()


@pytest.mark.skipif(not (ZOO / "saved_model.pb").is_file(), reason="no detector: bash setup.sh detector")
@pytest.mark.skipif(not FOOTAGE.is_file(), reason="no footage: bash setup.sh footage")
def test_real_people_in_real_footage(frozen, tmp_path):
    freeze_detector(ZOO, tmp_path / "obj", [picture([])], engine="tensorflow")
    command = ["demo.py", "--source", FOOTAGE, "--obj", tmp_path / "obj", "--reid", frozen / "reid", "--max_frames=30"]
    done = run(*command, "--output", tmp_path / "people.avi", "--tracks", tmp_path / "tracks.txt", **NO_SCREEN)
    assert done.returncode == 0, done.stderr
    assert len(read_video(tmp_path / "people.avi")) == 30
    found = read_tracks(tmp_path / "tracks.txt")
    assert set(found[:, 0]) == set(range(1, 31)) and len(found) > 90  # three people and more in every frame
    left, top, width, height = found[:, 2:6].T
    assert (left >= 1).all() and (top >= 1).all() and (left + width <= 770).all() and (top + height <= 578).all()
    assert (height > width).mean() > 0.9
    assert len(set(found[:, 1])) < 15  # three seconds: hardly anybody is renumbered, even by an untrained net
    for number in range(1, 31):
        identities = found[found[:, 0] == number, 1]
        assert len(set(identities)) == len(identities)
