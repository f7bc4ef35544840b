"""The files of the demo: a video true to time, tracks in MOTChallenge's form, all of them whole or not at all."""

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


@pytest.mark.parametrize("name", ["v.gif", "v", "folder.mp4"])
def test_videos_that_cannot_be_written(tmp_path, name):
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(InputError, match=name):
        VideoFile(tmp_path / name, (64, 48), 10, False)
    assert [path.name for path in tmp_path.iterdir()] == ["folder.mp4"]


def test_tracks_by_hand(tmp_path):
    tracks = TracksFile(tmp_path / "t.txt")
    boxes = np.array([[0, 0, 0.5, 0.25], [0.5, 0.5, 1, 1], [0, 0, 1, 1]], np.float32)
    tracks.write(1, (200, 100), boxes, [7, 3, 0], [0.9, 0.55, 0.8])
    tracks.write(2, (200, 100), boxes[:1], [7], [1.0])
    tracks.commit()
    assert (tmp_path / "t.txt").read_text().splitlines() == [
        "1,7,1.00,1.00,50.00,50.00,0.9000,-1,-1,-1",
        "1,3,101.00,51.00,100.00,50.00,0.5500,-1,-1,-1",
        "2,7,1.00,1.00,50.00,50.00,1.0000,-1,-1,-1",
    ]


CAMERAS = [
    SimpleNamespace(width=64, height=48, fps=10, live=False),
    SimpleNamespace(width=32, height=24, fps=5, live=False),
]


def test_outputs_write_a_video_and_a_tracks_file_per_camera(tmp_path):
    box = np.array([[0, 0, 1, 1]], np.float32)
    result = FrameResult(box, np.ones(1), np.array([4]), np.ones(1), 1)
    with Outputs(CAMERAS, tmp_path / "v.avi", tmp_path / "t.txt") as outputs:
        outputs.write_video(np.zeros((24, 64, 3), np.uint8), 0.0)
        outputs.write_tracks(1, [None, result])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t-0.txt", "t-1.txt", "v.avi"]
    assert (tmp_path / "t-0.txt").read_text() == ""
    assert (tmp_path / "t-1.txt").read_text() == "1,4,1.00,1.00,32.00,24.00,1.0000,-1,-1,-1\n"
    assert len(brightness_of(tmp_path / "v.avi")) == 1
    assert tracks_paths("t.txt", 1)[0].name == "t.txt"


def test_outputs_leave_nothing_after_an_exception(tmp_path):
    (tmp_path / "v.avi").write_bytes(b"an older video")
    with pytest.raises(KeyboardInterrupt), Outputs(CAMERAS, tmp_path / "v.avi", tmp_path / "t.txt") as outputs:
        outputs.write_video(np.zeros((24, 64, 3), np.uint8), 0.0)
        raise KeyboardInterrupt
    (tmp_path / "t-1.txt").mkdir()
    with pytest.raises(InputError, match="t-1.txt is a folder"):
        Outputs(CAMERAS, tmp_path / "v.avi", tmp_path / "t.txt")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t-1.txt", "v.avi"]
    assert (tmp_path / "v.avi").read_bytes() == b"an older video"


def test_no_outputs_are_wanted():
    with Outputs(CAMERAS) as outputs:
        outputs.write_video(gray(0), 0.0)
        outputs.write_tracks(1, [None, None])
