"""The benchmarks: figures worked out by hand, the annotation of the footage, and each script in a short run."""

import json
import sys

import numpy as np
import pytest

from benchmarks import demo_gap, demo_memory, demo_speed, footage
from benchmarks.footage import frames
from tests.helpers import ROOT
from utils.deploy.freeze import FreezeOptions, freeze_detector
from utils.deploy.reid_net import Embedder
from utils.errors import InputError

DETECTOR = ROOT / "models/downloads/detector/saved_model"
READY = (DETECTOR / "saved_model.pb").is_file() and (ROOT / footage.FOOTAGE).is_file()
SMALL = ["--image_size", "64x32", "--width", "0.125", "--frames", "40", "--starts", "3"]
needs_real_parts = pytest.mark.skipif(not READY, reason="no detector or no footage: bash setup.sh")


def run(benchmark, *words):
    """Runs a benchmark's main() in this process."""
    benchmark.main(benchmark.parse_args([str(word) for word in words]))


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """Options that name the real detector, frozen, and the small random re-id net of demo_speed."""
    folder = tmp_path_factory.mktemp("frozen")
    demo_speed.freeze_random(demo_speed.parse_args(SMALL), folder)
    frame = next(frames(ROOT / footage.FOOTAGE))
    freeze_detector(DETECTOR, folder / "obj", [frame], options=FreezeOptions(engine="tensorflow"))
    return ["--detector", str(folder / "obj"), "--reid", str(folder / "reid")]


# ---- footage ---------------------------------------------------------------------------------------------------------


def test_judge_by_hand():
    rows = [(0, 1, 5), (1, 1, 5), (2, 1, 0), (3, 1, 5), (4, 1, 6), (5, 1, 5)]  # person 1 gets 6 for one frame
    rows += [(0, 2, 6), (1, 2, 6), (2, 2, 6), (3, 2, 0)]
    assert footage.judge(np.array(rows)) == {"people": 2, "numbers": 2, "switches": 2, "own": 0.7, "unknown": 0.2}
    unknown = footage.judge(np.array([(0, 1, 0)]))
    assert (unknown["own"], unknown["unknown"], unknown["numbers"]) == (0, 1, 0)


def test_numbers_of_finds_boxes_where_the_annotation_has_them():
    box = np.array([0.1, 0.1, 0.5, 0.2], np.float32)
    people = {0: [(1, box), (2, box + [0, 0.5, 0, 0.5])], 3: [(1, box)]}
    seen = {0: (np.stack([box + [0, 0.51, 0, 0.51], box]), np.array([7, 8])), 3: (np.zeros((0, 4)), np.zeros(0))}
    assert footage.numbers_of(people, seen).tolist() == [[0, 1, 8], [0, 2, 7]]
    assert footage.shared({0: (None, np.array([1, 2, 0, 0])), 1: (None, np.array([3, 3, 3]))}) == 2


def test_the_annotation_is_sound():
    people = footage.people_by_eye()
    assert {person for annotated in people.values() for person, _ in annotated} == set(range(1, 13))
    for annotated in people.values():
        boxes = np.stack([box for _, box in annotated])
        assert len({person for person, _ in annotated}) == len(annotated)
        assert (boxes >= 0).all() and (boxes <= 1).all() and (boxes[:, 2:] > boxes[:, :2]).all()


# ---- the demo's benchmarks -------------------------------------------------------------------------------------------


def test_demo_gap_compares_the_sides_of_a_cut():
    before = [(0, 1, 1), (1, 2, 2), (2, 3, 3), (2, 4, 4), (3, 1, 5), (3, 5, 0)]
    after = [(10, 1, 5), (10, 2, 0), (11, 2, 3), (11, 3, 9), (12, 3, 3), (40, 4, 4), (12, 5, 6)]
    found = demo_gap.compare(np.array(before + after), range(4, 10), edge=6)
    assert found == {1: (5, 5, "kept"), 2: (2, 3, "taken"), 3: (3, 9, "new")}  # 4 came late, 5 had no number


@needs_real_parts
def test_demo_gap_needs_annotated_footage(networks, tmp_path):
    (tmp_path / "other.avi").symlink_to(ROOT / footage.FOOTAGE)
    with pytest.raises(InputError, match="has no annotation of its people"):
        run(demo_gap, *networks, "--video", tmp_path / "other.avi")


@needs_real_parts
def test_demo_speed_prints_both_rows(networks, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(demo_speed, "freeze_random", lambda args, folder: Embedder(args.reid))  # frozen once is enough
    run(demo_speed, "--video", ROOT / footage.FOOTAGE, *networks, *SMALL, "--json", tmp_path / "speed.json")
    found = json.loads((tmp_path / "speed.json").read_text())
    assert found["everyone"]["embedded"] == 1 and found["as_needed"]["embedded"] < 0.8
    assert found["everyone"]["shared"] == found["as_needed"]["shared"] == 0
    for row in ("everyone", "as_needed"):
        # Replayed from the first frame without networks, the tracker makes the same switches as in the run itself.
        assert found[row]["walks"]["replayed"][0] == found[row]["walks"]["switches"]
        assert len(found[row]["walks"]["replayed"]) == 3
    printed = capsys.readouterr().out
    assert "times as fast" in printed and "people told apart by eye" in printed


# Stands in for demo.py: reports that it runs, and then takes 1 MB more per step if it leaks.
STAND_IN = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
kept = []
print("frame 1", flush=True)
while True:
    if sys.argv[1] == "leaks":
        kept.append(b"x" * 1_000_000)
    time.sleep(0.02)
"""


@pytest.mark.parametrize("behavior, leaks", [("leaks", True), ("is constant", False)])
def test_demo_memory_tells_a_leak_from_a_constant_size(behavior, leaks):
    sizes = demo_memory.measure([sys.executable, "-c", STAND_IN, behavior], seconds=1.5, interval=0.02)
    first, last, growth = demo_memory.growth_of(sizes)
    assert (growth > 0.05) == leaks, (first, last)


def test_demo_memory_needs_a_demo_that_runs():
    with pytest.raises(InputError, match="ended before its first frames"):
        demo_memory.measure([sys.executable, "-c", "print('no frame')"], seconds=1)


def test_growth_of():
    assert demo_memory.growth_of([50, *[200] * 23, 210]) == (200, 210, pytest.approx(0.05))


@pytest.mark.parametrize("benchmark", [demo_speed, demo_gap, demo_memory])
def test_benchmarks_refuse_missing_footage(benchmark, tmp_path):
    with pytest.raises(InputError, match="--video .* does not exist"):
        run(benchmark, "--video", tmp_path / "none.avi")
