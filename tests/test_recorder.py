"""The files of the demo: a video true to time, tracks in MOTChallenge's form, all of them whole or not at all."""

import threading
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from utils.errors import InputError
from utils.live.recogniser import FrameResult
from utils.live.recorder import Outputs, TracksFile, VideoFile, tracks_paths


def gray(value):
    return np.full((48, 64, 3), value, np.uint8)


def brightness_of(path):
    """The brightness of each frame of a video, in steps of 20."""
    video = cv2.VideoCapture(str(path))
    found = []
    while True:
        read, frame = video.read()
        if not read:
            return found
        found.append(20 * round(frame.mean() / 20))


def test_a_file_is_recorded_frame_by_frame(tmp_path):
    video = VideoFile(tmp_path / "v.avi", (64, 48), fps=10, live=False)
    for value, seconds in ((20, 0.0), (40, 5.0), (60, 5.0)):
        video.write(gray(value), seconds)
    assert not (tmp_path / "v.avi").exists()
    video.commit()
    assert brightness_of(tmp_path / "v.avi") == [20, 40, 60] and video.frames == 3


def test_a_live_source_is_recorded_true_to_time(tmp_path):
    """At 10 fps: a frame that lasts 0.3 s is repeated, and of frames that come faster the later ones are skipped."""
    video = VideoFile(tmp_path / "v.avi", (64, 48), fps=10, live=True)
    for value, seconds in ((20, 0.0), (40, 0.31), (60, 0.33), (80, 0.36), (100, 0.42), (120, 1.0)):
        video.write(gray(value), seconds)
    video.commit()
    # Each frame of the video shows what was newest when its time of 0.1 s was reached.
    assert brightness_of(tmp_path / "v.avi") == [20, 40, 40, 40, 100, 120, 120, 120, 120, 120, 120]


def test_the_camera_does_not_wait_for_the_compression(tmp_path, monkeypatch):
    """Frames are taken while the codec still works on the first one, and none is lost or changed afterwards."""
    may_go_on = threading.Event()
    make = cv2.VideoWriter

    def make_slow(*args):
        video = make(*args)

        def write(frame):
            assert may_go_on.wait(20)
            video.write(frame)

        return SimpleNamespace(write=write, isOpened=video.isOpened, release=video.release)

    monkeypatch.setattr("utils.live.recorder.cv2.VideoWriter", make_slow)
    video = VideoFile(tmp_path / "v.avi", (64, 48), fps=10, live=False)
    for value in (20, 40, 60):
        frame = gray(value)
        video.write(frame, 0.0)
        frame[:] = 250
    may_go_on.set()
    video.commit()
    assert brightness_of(tmp_path / "v.avi") == [20, 40, 60]


def test_frames_that_could_not_be_written_are_counted(tmp_path, capsys):
    video = VideoFile(tmp_path / "v.avi", (64, 48), fps=10, live=False)
    video.write(gray(20), 0.0)
    for _ in range(9):  # more than may wait: the camera does not stand still
        video.write(np.array([None]), 0.0)
    video.write(gray(60), 0.0)
    video.commit()
    assert f"note: 9 frames of {tmp_path}/v.avi could not be written (" in capsys.readouterr().err
    assert brightness_of(tmp_path / "v.avi") == [20, 60]


@pytest.mark.parametrize("name", ["v.gif", "v", "folder.mp4"])
def test_videos_that_cannot_be_written(tmp_path, name):
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(InputError, match=name):
        VideoFile(tmp_path / name, (64, 48), 10, False)
    assert [path.name for path in tmp_path.iterdir()] == ["folder.mp4"]


def sighting(boxes, tracks, scores=None):
    """A FrameResult of some tracks; only what a recording needs."""
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    scores = np.ones(len(boxes)) if scores is None else np.array(scores)
    return FrameResult(boxes, scores, None, None, 0, tuple(tracks))


def track_of(person_id, decided=True):
    person = person_id and SimpleNamespace(person_id=person_id, merged_into=None, forgotten=False)
    return SimpleNamespace(person=person, decided=decided)


def read_rows(path):
    return [[float(word) for word in line.split(",")] for line in path.read_text().splitlines()]


def test_tracks_by_hand(tmp_path):
    tracks = TracksFile(tmp_path / "t.txt", (200, 100))
    boxes = [[0, 0, 0.5, 0.25], [0.5, 0.5, 1, 1], [0, 0, 1, 1]]
    tracks.write(1, 0.0, sighting(boxes, [track_of(7), track_of(3), track_of(None)], [0.9, 0.55, 0.8]))
    tracks.write(2, 0.1, sighting(boxes[:1], [track_of(7)]))
    tracks.commit()
    assert (tmp_path / "t.txt").read_text().splitlines() == [
        "1,7,1.00,1.00,50.00,50.00,0.9000,-1,-1,-1",
        "1,3,101.00,51.00,100.00,50.00,0.5500,-1,-1,-1",
        "2,7,1.00,1.00,50.00,50.00,1.0000,-1,-1,-1",
    ]


def test_a_number_is_written_for_the_boxes_before_the_decision(tmp_path):
    tracks = TracksFile(tmp_path / "t.txt", (100, 100))
    track = track_of(None, decided=False)
    for frame in range(1, 81):
        if frame == 60:
            track.person = track_of(5).person
            track.decided = True
        tracks.write(frame, frame / 10, sighting([[0, 0, 1, 1]], [track]))
    written = len(tracks._frames)
    tracks.commit()
    assert [row[:2] for row in read_rows(tmp_path / "t.txt")] == [[frame, 5] for frame in range(1, 81)]
    assert written < 80 - 55  # the others did not wait for the end


@pytest.mark.parametrize("missing, filled", [(5, True), (19, True), (20, False)])
def test_gaps_up_to_two_seconds_are_filled(tmp_path, missing, filled):
    tracks = TracksFile(tmp_path / "t.txt", (100, 100))
    first, last = track_of(1), track_of(1)  # the person was recognised after the gap
    for frame in range(1, 101):
        shown = [] if 10 < frame <= 10 + missing else [first if frame <= 10 else last]
        left = 0.001 * frame
        tracks.write(frame, frame / 10, sighting([[0, left, 0.5, left + 0.2]] * len(shown), shown))
    tracks.commit()
    rows = np.array(read_rows(tmp_path / "t.txt"))
    assert len(rows) == (100 if filled else 100 - missing) and (np.diff(rows[:, 0]) > 0).all()
    np.testing.assert_allclose(rows[:, 2], 1 + 0.1 * rows[:, 0], atol=0.006)


def test_people_who_were_merged_or_forgotten_meanwhile(tmp_path):
    tracks = TracksFile(tmp_path / "t.txt", (100, 100))
    anna, also_anna, forgotten = track_of(1), track_of(2), track_of(3)
    tracks.write(1, 0.0, sighting([[0, 0, 1, 1]] * 3, [anna, also_anna, forgotten]))
    also_anna.person.merged_into = anna.person
    forgotten.person.forgotten = True
    tracks.commit()
    assert [row[:2] for row in read_rows(tmp_path / "t.txt")] == [[1, 1]]


CAMERAS = [
    SimpleNamespace(width=64, height=48, fps=10, live=False, frame_number=1, seconds=0.0, repeats=0),
    SimpleNamespace(width=32, height=24, fps=5, live=False, frame_number=7, seconds=0.0, repeats=0),
]


def test_outputs_write_a_video_and_a_tracks_file_per_camera(tmp_path):
    result = sighting([[0, 0, 1, 1]], [track_of(4)])
    with Outputs(CAMERAS, tmp_path / "v.avi", tmp_path / "t.txt") as outputs:
        outputs.write_video(np.zeros((24, 64, 3), np.uint8), 0.0)
        outputs.write_tracks([None, result])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t-0.txt", "t-1.txt", "v.avi"]
    assert (tmp_path / "t-0.txt").read_text() == ""
    assert (tmp_path / "t-1.txt").read_text() == "7,4,1.00,1.00,32.00,24.00,1.0000,-1,-1,-1\n"
    assert len(brightness_of(tmp_path / "v.avi")) == 1
    assert tracks_paths("t.txt", 1)[0].name == "t.txt"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), InputError("the camera is gone"), RuntimeError("a mistake")])
@pytest.mark.parametrize("older", [False, True])
def test_a_recording_outlives_an_error_and_a_second_ctrl_c(error, older, tmp_path, capsys):
    if older:
        (tmp_path / "v.avi").write_bytes(b"an older video")
    kept = tmp_path / ("v-unfinished.avi" if older else "v.avi")
    with pytest.raises(type(error)) as raised, Outputs(CAMERAS[:1], tmp_path / "v.avi", tmp_path / "t.txt") as outputs:
        outputs.write_video(gray(40), 0.0)
        outputs.write_tracks([sighting([[0, 0, 1, 1]], [track_of(4)])])
        raise error
    said = f"what was recorded so far is kept in {kept}, {tmp_path / 't.txt'}"
    assert said in (str(raised.value) if isinstance(error, InputError) else capsys.readouterr().err)
    assert brightness_of(kept) == [40] and len(read_rows(tmp_path / "t.txt")) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted({"v.avi", kept.name, "t.txt"})


def test_outputs_leave_nothing_before_the_first_frame(tmp_path):
    (tmp_path / "v.avi").write_bytes(b"an older video")
    with pytest.raises(KeyboardInterrupt), Outputs(CAMERAS, tmp_path / "v.avi", tmp_path / "t.txt"):
        raise KeyboardInterrupt
    (tmp_path / "t-1.txt").mkdir()
    with pytest.raises(InputError, match="t-1.txt is a folder"):
        Outputs(CAMERAS, tmp_path / "v.avi", tmp_path / "t.txt")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t-1.txt", "v.avi"]
    assert (tmp_path / "v.avi").read_bytes() == b"an older video"


def test_no_outputs_are_wanted():
    with Outputs(CAMERAS) as outputs:
        outputs.write_video(gray(0), 0.0)
        outputs.write_tracks([None, None])
