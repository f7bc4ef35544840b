"""demo.py on drawn videos whose people are known, and on real footage with the real detector."""

import http.client
import json
import signal
import subprocess
import sys
import threading
import urllib.parse
from datetime import datetime

import cv2
import numpy as np
import pytest

import demo
from benchmarks.redis_server import RedisServer
from tests.fakes import picture, write_checkpoint, write_tf2_detector
from tests.helpers import ROOT, wait_until, write_video
from tests.redis_server import needs_redis
from utils.deploy.freeze import FreezeOptions, freeze_detector, freeze_reid
from utils.errors import InputError
from utils.live.timing import STAGES
from utils.live.tracks import DECISION_SECONDS

FOOTAGE = ROOT / "models/downloads/vtest.avi"
ZOO = ROOT / "models/downloads/detector/saved_model"
SIZE = 120, 240  # height and width of the drawn frames
NUMBERED = (
    round(10 * DECISION_SECONDS) + 1
)  # the frame, from 1, in which people who were there from the start have an id
WALK = NUMBERED + 4  # frames
PAUSE = 3
CROWD = NUMBERED + 8


@pytest.fixture(scope="module")
def frozen(tmp_path_factory):
    """A frozen stand-in detector, and an untrained re-id net that takes four people at once."""
    folder = tmp_path_factory.mktemp("frozen")
    write_tf2_detector(folder / "zoo")
    checkpoint, _ = write_checkpoint(folder / "m0")
    freeze_detector(
        folder / "zoo", folder / "obj", [picture([(10, 10, 50, 18)])], options=FreezeOptions(engine="tensorflow")
    )
    people = np.random.default_rng(0).integers(0, 256, (4, 64, 32, 3), dtype=np.uint8)
    freeze_reid(checkpoint, folder / "reid", lambda size: people, batch=4, options=FreezeOptions(engine="tensorflow"))
    return folder


@pytest.fixture
def handlers():
    """Restores pytest's own signal handlers."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def run_demo(frozen, handlers, monkeypatch, capsys):
    """Runs demo.py in this process, without a screen; returns what it prints."""
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)

    def call(*words, detector=frozen / "obj", reid=frozen / "reid"):
        words = [*words, "--detector", detector, "--reid", reid]
        demo.main(demo.parse_args([str(word) for word in words]))
        return capsys.readouterr().out

    return call


@pytest.fixture
def refused(run_demo):
    """Runs demo.py as run_demo; returns the sentence that it refuses with."""

    def call(*words, **folders):
        with pytest.raises(InputError) as refusal:
            run_demo(*words, **folders)
        return str(refusal.value)

    return call


def read_video(path):
    video = cv2.VideoCapture(str(path))
    frames = []
    while True:
        read, frame = video.read()
        if not read:
            return frames
        frames.append(frame)


def read_tracks(path):
    """(M, 10) float: frame, person id, left, top, width, height, score, -1, -1, -1."""
    return np.array([[float(word) for word in line.split(",")] for line in path.read_text().splitlines()])


def walking(frame):
    """The box of a person who stays in the first strip of the stand-in detector, 20 pixels wide."""
    return 20, 4 + frame // 3, 100, 12 + frame // 3


def test_video_tracks_and_summary(run_demo, tmp_path):
    crowd = [(10, 20 * strip + 6, 90, 20 * strip + 14) for strip in range(12)]  # three batches of the net
    frames = [picture([walking(frame)]) for frame in range(WALK)]
    frames += [picture([])] * PAUSE + [picture(crowd)] * CROWD
    write_video(tmp_path / "walk.avi", frames)
    out = tmp_path / "out" / "people.mp4"
    tracks = tmp_path / "tracks.txt"
    summary = tmp_path / "summary.json"
    printed = run_demo("--source", tmp_path / "walk.avi", "--output", out, "--tracks", tracks, "--summary", summary)

    found = read_tracks(tracks)
    assert (found[:, 7:] == -1).all()
    assert {*range(1, WALK + 1), *range(WALK + PAUSE + 1, len(frames) + 1)} <= set(found[:, 0])
    for frame in range(1, WALK + 1):  # also before it was decided who the walker is
        (row,) = found[found[:, 0] == frame]
        top, left, bottom, right = walking(frame - 1)
        np.testing.assert_allclose(row[2:6], [left + 1, top + 1, right - left, bottom - top], atol=2.5)  # JPEG's edges
        assert row[1] == 1 and row[6] == pytest.approx(0.9)
    last = found[found[:, 0] == len(frames), 1]
    assert len(last) == 12 == len(set(last)) and 1 in last  # the walker is recognised among similar people

    drawn = read_video(out)
    assert len(drawn) == len(frames) and drawn[0].shape == (*SIZE, 3)
    assert np.abs(drawn[0].astype(int) - frames[0]).max() > 100  # something was drawn
    figures = json.loads(summary.read_text())
    assert (figures["frames"], figures["video"]) == (len(frames), str(out))
    assert figures["boxes"] == WALK + 12 * CROWD > figures["embedded"] >= 4 * 12
    assert figures["identities"] == 12 and figures["fps"] > 0
    assert set(figures["milliseconds"]) == {*STAGES, "all"} and figures["milliseconds"]["embed"]["p95"] > 0
    assert not any(" " in key or "-" in key for key in figures) and figures["reid_net"] == "tensorflow FP32"
    assert f"{len(frames)} frames in" in printed
    assert f"video: {out}" in printed and f"tracks: {tracks}" in printed
    assert [path.name for path in out.parent.iterdir()] == ["people.mp4"]


def test_boxes_of_a_file_take_the_place_of_the_detector(run_demo, refused, tmp_path):
    write_video(tmp_path / "walk.avi", [picture([walking(frame)]) for frame in range(WALK)])
    rows = [
        f"{frame + 1},-1,{left + 1},{top + 1},{right - left},{bottom - top},0.8,-1,-1,-1"
        for frame, (top, left, bottom, right) in enumerate(map(walking, range(WALK)))
    ]
    (tmp_path / "det.txt").write_text("\n".join(rows))
    tracks = tmp_path / "tracks.txt"
    words = ["--source", tmp_path / "walk.avi", "--detections", tmp_path / "det.txt", "--tracks", tracks]
    run_demo(*words, "--summary", tmp_path / "summary.json", detector=tmp_path / "none")
    found = read_tracks(tracks)
    wanted = np.array([[float(word) for word in row.split(",")] for row in rows])
    np.testing.assert_allclose(found[:, [0, 2, 3, 4, 5, 6]], wanted[:, [0, 2, 3, 4, 5, 6]], atol=0.02)
    assert json.loads((tmp_path / "summary.json").read_text())["detector"] == "boxes of det.txt"
    assert "holds the boxes of one source" in refused(*words, "--source", tmp_path / "walk.avi")


def test_lines_and_zones_are_counted_drawn_and_reported(run_demo, tmp_path):
    """Somebody stands for a while, falls through a line, and is in a zone below it."""
    path = [20] * NUMBERED + [*range(20, 41, 2)] + [40] * 10
    frames = [picture([(top, 4, top + 60, 12)]) for top in path]  # foot points from 80 to 100 of 120 pixels
    write_video(tmp_path / "walk.avi", frames)
    summary = tmp_path / "summary.json"
    places = ["--line", "stairs:0,0.75,0.3,0.75", "--zone", "floor:0,0.78,0.3,1"]
    out = tmp_path / "out.avi"
    outputs = ["--output", out, "--summary", summary, "--events", tmp_path / "events.jsonl"]
    printed = run_demo("--source", tmp_path / "walk.avi", *places, *outputs)
    rows = list(map(json.loads, (tmp_path / "events.jsonl").read_text().splitlines()))
    told = [(row["event"], row["person"], row["place"], row["direction"]) for row in rows]
    assert told[0] == ("seen", 1, None, None) and told[-1] == ("left", 1, None, None)
    assert sorted(told[1:-1]) == [("line", 1, "stairs", "in"), ("zone", 1, "floor", "in"), ("zone", 1, "floor", "out")]
    stood, fell = (
        datetime.fromisoformat(rows[place]["time"]) for place in (0, told.index(("line", 1, "stairs", "in")))
    )
    first_clear = next(number for number, top in enumerate(path) if top + 60 > 0.75 * SIZE[0] + 6)
    assert (fell - datetime.fromisoformat(rows[0]["time"])).total_seconds() == pytest.approx(first_clear / 10, abs=0.11)
    assert "line stairs: 1 in by 1 person, 0 out by 0 people" in printed
    assert "zone floor: 1 stay of 1 person, 1." in printed
    stairs, floor = json.loads(summary.read_text())["places"]
    assert (stairs["in"], stairs["people_in"], stairs["out"]) == (1, 1, 0)
    inside = sum(top + 60 > 0.78 * SIZE[0] for top in path)
    assert floor["stays"] == {"1": {"stays": 1, "seconds": pytest.approx((inside - 1) / 10, abs=0.11)}}
    drawn = read_video(out)[0]
    assert (drawn[88:93, 20:60, 0].min(axis=0) < 90).all()  # the line, yellow on gray


def test_every_third_frame_without_an_ignored_region(run_demo, tmp_path):
    """Somebody walks beside a poster, whose foot point is ignored."""
    poster = (10, 205, 60, 213)
    write_video(tmp_path / "walk.avi", [picture([walking(frame // 3), poster]) for frame in range(60)])
    outputs = ["--tracks", tmp_path / "tracks.txt", "--output", tmp_path / "out.avi"]
    printed = run_demo("--source", tmp_path / "walk.avi", "--every", "3", "--ignore", "0.8,0,1,0.6", *outputs)
    assert "20 frames in" in printed, printed
    assert "20 boxes of 1 people" in printed, printed
    found = read_tracks(tmp_path / "tracks.txt")
    assert found[:, 0].tolist() == [*range(1, 60, 3)] and (found[:, 2] < 20).all()
    assert len(read_video(tmp_path / "out.avi")) == 20
    assert cv2.VideoCapture(str(tmp_path / "out.avi")).get(cv2.CAP_PROP_FPS) == pytest.approx(10 / 3, abs=0.01)


def test_two_cameras_share_their_people(run_demo, tmp_path):
    """One of them ends early; both see the same person, one after the other."""
    write_video(tmp_path / "front.avi", [picture([walking(frame)]) for frame in range(WALK)])
    later = [picture([])] * WALK + [picture([(20, 205, 100, 213)])] * WALK
    write_video(tmp_path / "back.avi", later)
    sources = ["--source", tmp_path / "front.avi", "--source", tmp_path / "back.avi"]
    out = tmp_path / "both.avi"
    printed = run_demo(*sources, "--output", out, "--tracks", tmp_path / "tracks.txt", "--headless")
    assert f"tracks: {tmp_path}/tracks-0.txt, {tmp_path}/tracks-1.txt" in printed
    front = read_tracks(tmp_path / "tracks-0.txt")
    back = read_tracks(tmp_path / "tracks-1.txt")
    assert not (tmp_path / "tracks.txt").exists() and set(front[:, 1]) == set(back[:, 1]) == {1}
    assert front[:, 0].min() == 1 and back[:, 0].min() == WALK + 1  # from the first box on
    drawn = read_video(out)
    assert len(drawn) == len(later) and drawn[0].shape == (SIZE[0], 2 * SIZE[1], 3)
    assert drawn[0][60, 200].min() > 100 and drawn[-1][60, 200].max() < 30  # black once it has ended


def test_known_people_are_named_saved_and_timed(run_demo, tmp_path):
    anna = picture([walking(0)])[20:100, 5:13]
    place = tmp_path / "people" / "Anna"
    place.mkdir(parents=True)
    assert cv2.imwrite(str(place / "1.png"), anna)
    write_video(tmp_path / "walk.avi", [picture([walking(frame)]) for frame in range(4)])
    people = ["--gallery", tmp_path / "people", "--save_gallery", tmp_path / "saved", "--unnamed", "unknown"]
    summary = tmp_path / "summary.json"
    # A benchmark needs no screen and repeats the four frames.
    printed = run_demo("--source", tmp_path / "walk.avi", *people, "--benchmark", "30", "--summary", summary)
    assert "enrolled Anna from 1 image" in printed
    assert [path.name for path in (tmp_path / "saved").iterdir()] == ["Anna"]
    saved = cv2.imread(str(tmp_path / "saved" / "Anna" / "seen-0.jpg"))
    assert saved.shape[0] > 70 and saved[40, 4, 2] > 180 > 90 > saved[40, 4, 0]
    rows = {line.split()[0]: line.split()[1:] for line in printed.splitlines() if line.split()}
    for stage in (*STAGES, "all"):
        median, p95 = map(float, rows[stage])
        assert 0 <= median <= p95
    assert float(rows["all"][0]) >= float(rows["detect"][0]) > 0
    assert "over 30 frames" in printed and "1.0 people per image" in printed
    assert "device: " in printed and "power mode: " in printed and "reid net: tensorflow FP32" in printed
    figures = json.loads(summary.read_text())
    assert (figures["frames"], figures["identities"], figures["boxes"]) == (30, 1, 30)
    assert figures["names"] == {"1": "Anna"}


def test_a_gallery_that_cannot_be_saved_is_refused_at_the_start(refused, tmp_path):
    write_video(tmp_path / "walk.avi", [picture([walking(0)])] * 2)
    (tmp_path / "file").write_text("mine")
    places = ["--save_gallery", tmp_path / "file", "--output", tmp_path / "seen.avi"]
    assert f"{tmp_path / 'file'} cannot be written" in refused("--source", tmp_path / "walk.avi", *places)
    assert (tmp_path / "file").read_text() == "mine" and not (tmp_path / "seen.avi").exists()


def test_a_source_is_never_overwritten(refused, tmp_path):
    write_video(tmp_path / "walk.avi", [picture([walking(frame)]) for frame in range(4)])
    before = (tmp_path / "walk.avi").read_bytes()
    (tmp_path / "same.avi").symlink_to(tmp_path / "walk.avi")
    for option, name in (("--output", "walk.avi"), ("--output", "same.avi"), ("--tracks", "walk.avi")):
        sentence = refused("--source", tmp_path / "walk.avi", "--headless", option, tmp_path / name)
        assert f"{option} {tmp_path / name} is also the --source" in sentence
    assert (tmp_path / "walk.avi").read_bytes() == before


def test_page_and_sigterm_as_a_user_meets_them(frozen, tmp_path):
    """People are named and forgotten on the page; SIGTERM then completes the files."""
    write_video(tmp_path / "walk.avi", [picture([walking(0)])] * 4)
    out = tmp_path / "people.avi"
    tracks = tmp_path / "tracks.txt"
    command = [sys.executable, "-u", "demo.py", "--source", tmp_path / "walk.avi", "--loop", "--headless"]
    command += ["--detector", frozen / "obj", "--reid", frozen / "reid", "--output", out, "--tracks", tracks]
    command += ["--save_gallery", tmp_path / "saved", "--serve", "0", "--events", tmp_path / "events.jsonl"]
    command = [str(word) for word in command]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    printed = []
    try:
        address = next(line for line in process.stdout if line.startswith("page: ")).split()[1]
        reader = threading.Thread(target=lambda: printed.extend(process.stdout), daemon=True)
        reader.start()
        page = urllib.parse.urlsplit(address)
        connection = http.client.HTTPConnection(page.hostname, page.port, timeout=60)

        def people():
            connection.request("GET", "/people")
            return json.loads(connection.getresponse().read())["people"]

        def post(path, **content):
            connection.request("POST", path, json.dumps(content), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            assert answer.status < 300

        first = wait_until(people, seconds=60)[0]
        assert (first["person_id"], first["name"], first["present"]) == (1, None, True)
        assert first["camera"] == "walk.avi" and first["crop"]
        seen = json.loads((tmp_path / "events.jsonl").read_text().splitlines()[0])  # while the demo goes on
        assert (seen["event"], seen["person"], seen["camera"], seen["count"]) == ("seen", 1, "walk.avi", 1)
        post("/name", person_id=1, name="Anna")
        wait_until(lambda: people()[0]["name"] == "Anna", seconds=60)
        wait_until((tmp_path / "saved" / "Anna" / "seen-0.jpg").exists, seconds=60)
        post("/forget", person_id=1)
        wait_until(lambda: [person["person_id"] for person in people()] == [2], seconds=60)
        assert not (tmp_path / "saved" / "Anna").exists()
        assert not out.exists()  # it has its name once it is whole
        process.terminate()
        process.wait(60)
        reader.join(60)
    finally:
        process.kill()
    assert process.returncode == 0
    (line,) = [line for line in printed if " frames in " in line]
    frames = int(line.split(" frames in ")[0])
    assert len(read_video(out)) == frames
    assert all(int(line.split(",")[0]) <= 4 for line in tracks.read_text().splitlines())  # the file is recorded once
    wanted = ["events.jsonl", "people.avi", "saved", "tracks.txt", "walk.avi"]
    assert sorted(path.name for path in tmp_path.iterdir()) == wanted


@pytest.fixture
def redis_url(tmp_path):
    with RedisServer(tmp_path) as server:
        yield server.url


@pytest.mark.parametrize("place", ["file", pytest.param("redis", marks=needs_redis)])
def test_people_are_known_to_the_next_demo(run_demo, refused, request, tmp_path, place):
    people = tmp_path / "people.npz" if place == "file" else request.getfixturevalue("redis_url")
    write_video(tmp_path / "walk.avi", [picture([walking(frame)]) for frame in range(WALK)])
    write_video(tmp_path / "back.avi", [picture([(20, 205, 100, 213)])] * WALK)
    for name in ("walk", "back"):
        printed = run_demo(
            "--source", tmp_path / f"{name}.avi", "--people", people, "--tracks", tmp_path / f"{name}.txt"
        )
        assert f"{WALK} boxes of 1 people" in printed
        assert set(read_tracks(tmp_path / f"{name}.txt")[:, 1]) == {1}
    if place == "file":
        sentence = refused("--source", tmp_path / "walk.avi", "--headless", "--people", people, "--summary", people)
        assert "--people and --summary are the same file" in sentence


@needs_redis
def test_two_demos_share_a_person_and_forget_together(frozen, redis_url, tmp_path):
    """Both run at once and see the same person; who is forgotten on the page of one is forgotten by the other."""
    write_video(tmp_path / "walk.avi", [picture([walking(0)])] * 4)
    processes = []
    lines = [[], []]
    for place, printed in enumerate(lines):
        command = [sys.executable, "-u", "demo.py", "--source", tmp_path / "walk.avi", "--loop", "--headless"]
        command += ["--detector", frozen / "obj", "--reid", frozen / "reid", "--people", redis_url, "--serve", "0"]
        command += ["--events", tmp_path / f"{place}.jsonl"]
        command = [str(word) for word in command]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        processes.append(process)
        threading.Thread(target=lambda p=process, all=printed: all.extend(p.stdout), daemon=True).start()

    def seen(place) -> list:
        events = tmp_path / f"{place}.jsonl"
        found = [json.loads(line) for line in events.read_text().splitlines()] if events.exists() else []
        return [event["person"] for event in found if event["event"] == "seen"]

    try:
        wait_until(lambda: seen(0) and seen(1), seconds=300)
        assert seen(0)[0] == seen(1)[0] == 1
        page = urllib.parse.urlsplit(next(line for line in lines[0] if line.startswith("page: ")).split()[1])
        connection = http.client.HTTPConnection(page.hostname, page.port, timeout=60)
        connection.request("POST", "/forget", json.dumps({"person_id": 1}), {"Content-Type": "application/json"})
        assert connection.getresponse().status < 300
        wait_until(lambda: "forgot 1, as another demo was asked to\n" in lines[1], seconds=300)
        wait_until(lambda: len(seen(0)) > 1 and len(seen(1)) > 1, seconds=300)
        assert seen(0)[1] == seen(1)[1] == 2  # a new number for both
        for process in processes:
            process.terminate()
        assert [process.wait(300) for process in processes] == [0, 0]
    finally:
        for process in processes:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_for_the_current_frame(handlers, number):
    stop = demo.StopSignal()
    with pytest.raises(KeyboardInterrupt):  # there is nothing to wait for while models are loaded
        signal.raise_signal(number)
    stop.running = True
    signal.raise_signal(number)
    assert stop.asked
    with pytest.raises(KeyboardInterrupt):  # a second one does not wait for a frame
        signal.raise_signal(number)


def test_refusals_leave_no_files(frozen, refused, tmp_path):
    write_video(tmp_path / "v.avi", [picture([(20, 5, 100, 13)])] * 3)
    video = tmp_path / "v.avi"
    out = tmp_path / "out.mp4"
    tracks = tmp_path / "tracks.txt"
    assert "there is no screen for a window" in refused("--source", video)
    assert "no camera at /dev/video97" in refused("--source", "97", "--output", out)
    assert "there is no source" in refused("--source", tmp_path / "gone.mp4", "--output", out)
    outputs = ["--source", video, "--output", out, "--tracks", tracks]
    assert f"{frozen / 'gone'} does not hold a frozen detector" in refused(*outputs, detector=frozen / "gone")
    sentence = refused(*outputs, reid=frozen / "gone")
    assert "does not hold a frozen re-id net: run python3 pipeline.py here, or without a model of your own" in sentence
    assert "bash setup.sh reid, then python3 pipeline.py --reid_onnx models/downloads/reid/person_reid" in sentence
    assert "is a frozen detector, not a re-id net" in refused(*outputs, reid=frozen / "obj")
    assert "name a video that ends in .mp4 or .avi" in refused("--source", video, "--output", tmp_path / "o.gif")
    assert "is a folder: name a file" in refused("--source", video, "--output", out, "--tracks", tmp_path)
    sentence = refused(*outputs, "--line", "door@1:0,0,1,1")
    assert sentence == "--line names source @1, and there is no such --source: it is @0"
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "1.png"), picture([]))
    out.write_bytes(b"an older video")
    for other in (out, tmp_path / "images" / ".." / "out.mp4"):
        sentence = refused("--source", tmp_path / "images", "--output", out, "--tracks", other)
        assert f"--tracks and --output are the same file {other}: name two" in sentence
    sentence = refused("--source", tmp_path / "images", "--benchmark", "5", "--tracks", tracks)
    assert "--benchmark repeats frames" in sentence and out.read_bytes() == b"an older video"
    cv2.imwrite(str(tmp_path / "images" / "1.png"), picture([]))
    (tmp_path / "images" / "1.png").write_text("not an image")
    assert "1.png cannot be read as an image: copy" in refused("--source", tmp_path / "images", "--headless")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "out.mp4", "v.avi"]


def test_images_that_cannot_be_read_are_stepped_over(run_demo, tmp_path):
    """The first, the last and two in between; numbers in the tracks are the places of the files."""
    (tmp_path / "images").mkdir()
    for number in range(1, WALK + 1):
        place = tmp_path / "images" / f"{number}.jpg"
        cv2.imwrite(str(place), picture([walking(0)]))
        if number in (1, 5, 6, WALK):
            place.write_bytes(place.read_bytes()[:100])
    tracks = tmp_path / "tracks.txt"
    printed = run_demo("--source", tmp_path / "images", "--tracks", tracks, "--output", tmp_path / "out.avi")
    assert "note: 4 frames of images cannot be decoded and were stepped over" in printed
    assert len(read_video(tmp_path / "out.avi")) == WALK - 4 and "ended after" not in printed
    assert set(read_tracks(tracks)[:, 0]) <= {*range(2, WALK)} and read_tracks(tracks)[:, 0].max() == WALK - 1


def test_old_option_names():
    old = ["--width=64", "--height=32", "--rate=5", "--flip=3", "--strangers=unknown", "--obj=folder"]
    args = demo.parse_args(old)
    assert (args.camera_width, args.camera_height, args.fps, args.flip_method) == (64, 32, 5.0, 3)
    assert (args.unnamed, args.detector) == ("unknown", "folder")


@pytest.mark.skipif(not (ZOO / "saved_model.pb").is_file(), reason="no detector: bash setup.sh detector")
@pytest.mark.skipif(not FOOTAGE.is_file(), reason="no footage: bash setup.sh footage")
def test_real_people_in_real_footage(run_demo, tmp_path):
    freeze_detector(ZOO, tmp_path / "obj", [picture([])], options=FreezeOptions(engine="tensorflow"))
    outputs = ["--output", tmp_path / "people.avi", "--tracks", tmp_path / "tracks.txt"]
    run_demo("--source", FOOTAGE, "--max_frames=40", *outputs, detector=tmp_path / "obj")
    assert len(read_video(tmp_path / "people.avi")) == 40
    found = read_tracks(tmp_path / "tracks.txt")
    assert set(found[:, 0]) <= set(range(1, 41)) and len(found) > 40
    left, top, width, height = found[:, 2:6].T
    assert (left >= 1).all() and (top >= 1).all() and (left + width <= 770).all() and (top + height <= 578).all()
    assert (height > width).mean() > 0.9
    assert len(set(found[:, 1])) < 15  # four seconds: even an untrained net gives few people a second number
    for frame in range(1, 41):
        ids = found[found[:, 0] == frame, 1]
        assert len(set(ids)) == len(ids)
