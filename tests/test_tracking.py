"""The scores of tracks on a case worked out by hand."""

import pytest

from benchmarks import tracking
from utils.errors import InputError


def test_files_that_cannot_be_read_are_one_sentence(tmp_path):
    with pytest.raises(InputError, match="nope.csv cannot be read .*name a file with the columns"):
        tracking.read_truth(tmp_path / "nope.csv")
    (tmp_path / "other.txt").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="other.txt is of another form"):
        tracking.read_truth(tmp_path / "other.txt")
    with pytest.raises(InputError, match="other.txt is of another form: .*demo.py --tracks"):
        tracking.read_tracks(tmp_path / "other.txt")


def test_judge_by_hand(tmp_path):
    """Two people in four frames: one keeps a number, the other gets it for the last two frames."""
    pytest.importorskip("trackeval")
    (tmp_path / "truth.csv").write_text(
        "frame,id,x,y,w,h\n" + "".join(f"{f},1,10,10,20,40\n{f},2,100,10,20,40\n" for f in (1, 2, 3, 4))
    )
    lines = ["1,5,11,11,20,40", "2,5,11,11,20,40", "1,6,101,11,20,40", "2,6,101,11,20,40"]
    lines += ["3,6,11,11,20,40", "4,6,11,11,20,40"]
    (tmp_path / "t.txt").write_text("".join(f"{line},0.9,-1,-1,-1\n" for line in lines))
    found = tracking.judge(tracking.read_truth(tmp_path / "truth.csv"), tracking.read_tracks(tmp_path / "t.txt"))
    assert found["IDF1"] == pytest.approx(2 * 4 / (8 + 6)) and found["switches"] == 1
    assert (found["merges"], found["splits"]) == (1.5, 1.5) and (found["people"], found["numbers"]) == (2, 2)
    one = tracking.read_truth(tmp_path / "truth.csv", ["2=1"])
    assert {name for rows in one.values() for name, _ in rows} == {"1"}
