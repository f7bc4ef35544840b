"""demo.py as a user runs it: on drawn videos whose people are known, and on real footage with the real detector."""

import http.client
import json
import signal
import subprocess
import sys
import threading
import time
import urllib.parse

import cv2
import numpy as np
import pytest

import demo
from tests.conftest import ROOT, refusal, run, wait_until, write_video
from tests.fakes import picture, write_checkpoint, write_tf2_detector
from utils.deploy.freeze import freeze_detector, freeze_reid
from utils.errors import InputError
from utils.live import window
from utils.live.timing import STAGES
from utils.live.tracks import LOOKS, STRANGE

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


NUMBERED = STRANGE + 1  # frame, from 1, in which whoever was there from the start has a number
WALK, PAUSE, CROWD = NUMBERED + 4, 3, NUMBERED + 8  # frames


def walking(frame):
    return 20, 4 + frame // 3, 100, 12 + frame // 3  # stays in the first strip of the stand-in, 20 pixels wide


def test_people_are_boxed_numbered_and_written_down(frozen, tmp_path):
    crowd = [(10, 20 * strip + 6, 90, 20 * strip + 14) for strip in range(12)]  # three batches of the net
    frames = [picture([walking(frame)]) for frame in range(WALK)]
    frames += [picture([])] * PAUSE + [picture(crowd)] * CROWD
    write_video(tmp_path / "walk.avi", frames)
    out, tracks, summary = tmp_path / "out" / "people.mp4", tmp_path / "tracks.txt", tmp_path / "summary.json"
    files = ["--output", out, "--tracks", tracks, "--summary", summary]
    done = run("demo.py", "--source", tmp_path / "walk.avi", *models(frozen), *files, **NO_SCREEN)
    assert done.returncode == 0, done.stderr

    found = read_tracks(tracks)
    assert (found[:, 7:] == -1).all()
    assert sorted(set(found[:, 0])) == [*range(NUMBERED, WALK + 1), *range(WALK + PAUSE + 1, len(frames) + 1)]
    for number in range(NUMBERED, WALK + 1):  # until then the walker is unknown, and has no line
        (row,) = found[found[:, 0] == number]
        top, left, bottom, right = walking(number - 1)
        np.testing.assert_allclose(row[2:6], [left + 1, top + 1, right - left, bottom - top], atol=2.5)  # JPEG's edges
        assert row[1] == 1 and row[6] == pytest.approx(0.9)
    last = found[found[:, 0] == len(frames), 1]
    assert len(last) == 12 == len(set(last)) and 1 in last  # the walker is known again among people alike

    drawn = read_video(out)
    assert len(drawn) == len(frames) and drawn[0].shape == (*SIZE, 3)
    assert np.abs(drawn[0].astype(int) - frames[0]).max() > 100  # something was drawn
    figures = json.loads(summary.read_text())
    assert (figures["frames"], figures["video"]) == (len(frames), str(out))
    assert figures["boxes"] == WALK + 12 * CROWD > figures["embedded"] >= LOOKS * 12
    assert figures["identities"] == 12 and figures["fps"] > 0
    assert set(figures["milliseconds"]) == {*STAGES, "all"} and figures["milliseconds"]["embed"]["p95"] > 0
    assert f"{len(frames)} frames in" in done.stdout
    assert f"video: {out}" in done.stdout and f"tracks: {tracks}" in done.stdout
    assert sorted(path.name for path in out.parent.iterdir()) == ["people.mp4"]


def test_two_cameras_share_their_people(frozen, tmp_path):
    """One of them ends early; both see the same person, one after the other."""
    write_video(tmp_path / "front.avi", [picture([walking(frame)]) for frame in range(WALK)])
    later = [picture([])] * WALK + [picture([(20, 205, 100, 213)])] * WALK
    write_video(tmp_path / "back.avi", later)
    sources = ["--source", tmp_path / "front.avi", "--source", tmp_path / "back.avi"]
    out, tracks = tmp_path / "both.avi", tmp_path / "tracks.txt"
    done = run("demo.py", *sources, *models(frozen), "--output", out, "--tracks", tracks, "--headless")
    assert done.returncode == 0, done.stderr
    assert f"tracks: {tmp_path}/tracks-0.txt, {tmp_path}/tracks-1.txt" in done.stdout
    front, back = (read_tracks(tmp_path / f"tracks-{number}.txt") for number in (0, 1))
    assert not tracks.exists() and set(front[:, 1]) == set(back[:, 1]) == {1}
    assert front[:, 0].min() == NUMBERED and back[:, 0].min() < WALK + NUMBERED  # known sooner than a new one
    drawn = read_video(out)
    assert len(drawn) == len(later) and drawn[0].shape == (SIZE[0], 2 * SIZE[1], 3)
    assert drawn[0][60, 200].min() > 100 and drawn[-1][60, 200].max() < 30  # dark once it has ended


def test_known_people_are_named_saved_and_timed(frozen, tmp_path):
    anna, place = picture([walking(0)])[20:100, 5:13], tmp_path / "people" / "Anna"
    place.mkdir(parents=True)
    assert cv2.imwrite(str(place / "1.png"), anna)
    write_video(tmp_path / "walk.avi", [picture([walking(frame)]) for frame in range(4)])
    people = ["--gallery", tmp_path / "people", "--save_gallery", tmp_path / "saved", "--strangers", "unknown"]
    summary = tmp_path / "summary.json"
    command = ["--source", tmp_path / "walk.avi", *models(frozen), *people, "--benchmark", "30", "--summary", summary]
    done = run("demo.py", *command)  # a benchmark needs no screen and begins the four frames again and again
    assert done.returncode == 0, done.stderr
    assert "enrolled Anna from 1 picture" in done.stdout
    assert [path.name for path in (tmp_path / "saved").iterdir()] == ["Anna"]
    saved = cv2.imread(str(tmp_path / "saved" / "Anna" / "seen-0.jpg"))
    assert saved.shape[0] > 70 and saved[40, 4, 2] > 180 > 90 > saved[40, 4, 0]
    rows = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines() if line.split()}
    for stage in (*STAGES, "all"):
        median, most = map(float, rows[stage])
        assert 0 <= median <= most
    assert float(rows["all"][0]) >= float(rows["detect"][0]) > 0
    assert "over 30 frames" in done.stdout and "1.0 people a frame" in done.stdout
    assert "device: " in done.stdout and "power mode: " in done.stdout and "re-id net: tensorflow FP32" in done.stdout
    figures = json.loads(summary.read_text())
    assert (figures["frames"], figures["identities"], figures["boxes"]) == (30, 1, 30)
    assert figures["names"] == {"1": "Anna"}


def test_a_gallery_that_cannot_be_saved_is_refused_before_anything_is_recorded(frozen, tmp_path):
    write_video(tmp_path / "walk.avi", [picture([walking(0)])] * 2)
    (tmp_path / "file").write_text("mine")
    places = ["--save_gallery", tmp_path / "file", "--output", tmp_path / "seen.avi"]
    said = refusal(run("demo.py", "--source", tmp_path / "walk.avi", *models(frozen), *places))
    assert f"--save_gallery {tmp_path / 'file'} cannot be written" in said
    assert (tmp_path / "file").read_text() == "mine" and not (tmp_path / "seen.avi").exists()


def test_a_recording_that_is_read_is_never_written_over(frozen, tmp_path):
    write_video(tmp_path / "walk.avi", [picture([walking(frame)]) for frame in range(4)])
    before = (tmp_path / "walk.avi").read_bytes()
    (tmp_path / "same.avi").symlink_to(tmp_path / "walk.avi")
    for option, path in (("--output", "walk.avi"), ("--output", "same.avi"), ("--tracks", "walk.avi")):
        command = ["--source", tmp_path / "walk.avi", *models(frozen), "--headless", option, tmp_path / path]
        assert f"{option} {tmp_path / path} is the --source" in refusal(run("demo.py", *command))
    assert (tmp_path / "walk.avi").read_bytes() == before


def test_the_page_shows_it_and_takes_names(frozen, tmp_path):
    write_video(tmp_path / "walk.avi", [picture([walking(0)])] * 4)
    command = ["--source", tmp_path / "walk.avi", "--loop", *models(frozen), "--save_gallery", tmp_path / "saved"]
    process = start("demo.py", *command, "--headless", "--serve", "0")
    try:
        address = next(line for line in process.stdout if line.startswith("page: ")).split()[1]
        threading.Thread(target=process.stdout.read, daemon=True).start()
        page = urllib.parse.urlsplit(address)
        connection = http.client.HTTPConnection(page.hostname, page.port, timeout=30)

        def people():
            connection.request("GET", "/people")
            return json.loads(connection.getresponse().read())["people"]

        def order(path, **wish):
            connection.request("POST", path, json.dumps(wish), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            assert answer.status < 300

        first = wait_until(people, seconds=60)[0]
        assert (first["number"], first["name"], first["present"]) == (1, None, True)
        assert first["camera"] == "walk.avi" and first["crop"]
        order("/name", number=1, name="Anna")
        wait_until(lambda: people()[0]["name"] == "Anna", seconds=60)
        wait_until((tmp_path / "saved" / "Anna" / "seen-0.jpg").exists, seconds=60)
        order("/forget", number=1)
        wait_until(lambda: [person["number"] for person in people()] == [2], seconds=60)
        assert not (tmp_path / "saved" / "Anna").exists()
    finally:
        process.terminate()
        process.wait(60)
    assert process.returncode == 0


def start(*command):
    """demo.py in the background, as a user runs it."""
    return subprocess.Popen(
        [sys.executable, "-u", *map(str, command)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


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
    monkeypatch.setattr(window, "has_screen", lambda: False)

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
    assert not window.has_screen()
    monkeypatch.setenv("DISPLAY", ":97")  # named, but nobody is there: OpenCV would abort the process
    assert not window.has_screen()


@pytest.mark.skipif(not (ZOO / "saved_model.pb").is_file(), reason="no detector: bash setup.sh detector")
@pytest.mark.skipif(not FOOTAGE.is_file(), reason="no footage: bash setup.sh footage")
def test_real_people_in_real_footage(frozen, tmp_path):
    freeze_detector(ZOO, tmp_path / "obj", [picture([])], engine="tensorflow")
    command = ["demo.py", "--source", FOOTAGE, "--obj", tmp_path / "obj", "--reid", frozen / "reid", "--max_frames=40"]
    done = run(*command, "--output", tmp_path / "people.avi", "--tracks", tmp_path / "tracks.txt", **NO_SCREEN)
    assert done.returncode == 0, done.stderr
    assert len(read_video(tmp_path / "people.avi")) == 40
    found = read_tracks(tmp_path / "tracks.txt")
    assert set(found[:, 0]) <= set(range(NUMBERED, 41)) and len(found) > 40
    left, top, width, height = found[:, 2:6].T
    assert (left >= 1).all() and (top >= 1).all() and (left + width <= 770).all() and (top + height <= 578).all()
    assert (height > width).mean() > 0.9
    assert len(set(found[:, 1])) < 15  # four seconds: hardly anybody is renumbered, even by an untrained net
    for number in range(NUMBERED, 41):
        identities = found[found[:, 0] == number, 1]
        assert len(set(identities)) == len(identities)
