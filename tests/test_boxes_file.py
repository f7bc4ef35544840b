"""Boxes in MOTChallenge's form in the place of a detector."""

from types import SimpleNamespace

import numpy as np
import pytest

from utils.errors import InputError
from utils.live.boxes_file import BoxesFile

CAMERA = {"height": 100, "width": 200, "live": False, "name": "walk.mp4"}
FRAME = np.zeros((100, 200, 3), np.uint8)


def test_boxes_of_a_frame(tmp_path):
    path = tmp_path / "det.txt"
    path.write_text(
        "1,-1,1,1,50,100,0.6,-1,-1,-1\n"
        "3,7,101,51,20,40,0.7,-1,-1,-1\n"
        "3,8,11,21,30,60,-1,-1,-1,-1\n\n"  # of ground truth: certain
        "3,9,1,1,90,20,0.9,-1,-1,-1\n"  # too wide for a person
        "3,9,191,91,20,40,0.2,-1,-1,-1\n"  # reaches over the edge
    )
    camera = SimpleNamespace(**CAMERA, frame_number=0)
    boxes_file = BoxesFile(path, camera, 0.5)
    assert boxes_file.detect(FRAME)[0].shape == (0, 4)
    camera.frame_number = 1
    boxes, scores = boxes_file.detect(FRAME)
    np.testing.assert_allclose(boxes, [[0, 0, 1, 0.25]])
    np.testing.assert_allclose(scores, [0.6])
    camera.frame_number = 3
    boxes, scores = boxes_file.detect(FRAME)
    np.testing.assert_allclose(boxes, [[0.2, 0.05, 0.8, 0.2], [0.5, 0.5, 0.9, 0.6]], atol=1e-7)
    np.testing.assert_allclose(scores, [1, 0.7])
    boxes, scores = boxes_file.detect(FRAME, 0.1)
    np.testing.assert_allclose(boxes[-1], [0.9, 0.95, 1, 1])
    assert len(scores) == 3


@pytest.mark.parametrize("text", ["1 1 10 20 30 40", "1, 1, 10, 20, 30, 40"])
def test_a_file_without_scores(text, tmp_path):
    (tmp_path / "gt.txt").write_text(text)
    boxes, scores = BoxesFile(tmp_path / "gt.txt", SimpleNamespace(**CAMERA, frame_number=1), 0.5).detect(FRAME)
    np.testing.assert_allclose(boxes, [[0.19, 0.045, 0.59, 0.195]])
    assert scores.tolist() == [1]


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "holds no boxes"),
        ("1,1,10,20,30,40,1\n1,2,10,20", "line 2 is not frame, id, left, top, width, height, score: 1,2,10,20"),
        ("frame,id,left,top,width,height", "line 1 is not frame"),
        ("1,1,10,20,nan,40", "line 1 is not frame"),
        (None, "cannot be read .*: name a file in MOTChallenge's form"),
    ],
)
def test_another_file_is_refused(text, words, tmp_path):
    if text is not None:
        (tmp_path / "det.txt").write_text(text)
    with pytest.raises(InputError, match=words):
        BoxesFile(tmp_path / "det.txt", SimpleNamespace(**CAMERA, frame_number=1), 0.5)


def test_a_live_source_is_refused(tmp_path):
    with pytest.raises(InputError, match="needs a video or a folder of images, and walk.mp4 is a camera"):
        BoxesFile(tmp_path / "det.txt", SimpleNamespace(**{**CAMERA, "live": True}), 0.5)
