"""The demo's benchmarks: figures counted by hand, the list of people as it lies there, and each script run shortly."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import footage
from benchmarks.demo_gap import compare
from benchmarks.footage import frames
from tests.conftest import ROOT, refusal, run
from tests.fakes import write_checkpoint
from utils.deploy.freeze import freeze_detector, freeze_reid

DETECTOR = ROOT / "models/downloads/detector/saved_model"
READY = (DETECTOR / "saved_model.pb").is_file() and (ROOT / footage.FOOTAGE).is_file()
needs_real_parts = pytest.mark.skipif(not READY, reason="no detector or no footage: bash setup.sh")


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """Options that name the real detector, frozen, and an untrained small re-id net."""
    folder = tmp_path_factory.mktemp("frozen")
    checkpoint, _ = write_checkpoint(folder / "m0")
    people = np.random.default_rng(0).integers(0, 256, (4, 64, 32, 3), dtype=np.uint8)
    freeze_reid(checkpoint, folder / "reid", lambda size: people, engine="tensorflow")
    frame = next(frames(ROOT / footage.FOOTAGE))
    freeze_detector(DETECTOR, folder / "obj", [frame], engine="tensorflow")
    return ["--obj", folder / "obj", "--reid", folder / "reid"]


def test_figures_of_identities_by_hand():
    rows = [(0, 1, 5), (1, 1, 5), (2, 1, 0), (3, 1, 5), (4, 1, 6), (5, 1, 5)]  # one leaves 5 for 6 and comes back
    rows += [(0, 2, 6), (1, 2, 6), (2, 2, 6), (3, 2, 0)]
    assert footage.judge(np.array(rows)) == {"people": 2, "numbers": 2, "switches": 2, "own": 0.7, "unknown": 0.2}
    nobody = footage.judge(np.array([(0, 1, 0)]))
    assert (nobody["own"], nobody["unknown"], nobody["numbers"]) == (0, 1, 0)


def test_boxes_are_found_where_the_list_has_them():
    box = np.array([0.1, 0.1, 0.5, 0.2], np.float32)
    people = {0: [(1, box), (2, box + [0, 0.5, 0, 0.5])], 3: [(1, box)]}
    seen = {0: (np.stack([box + [0, 0.51, 0, 0.51], box]), np.array([7, 8])), 3: (np.zeros((0, 4)), np.zeros(0))}
    assert footage.numbers_of(people, seen).tolist() == [[0, 1, 8], [0, 2, 7]]
    assert footage.shared({0: (None, np.array([1, 2, 0, 0])), 1: (None, np.array([3, 3, 3]))}) == 2


def test_sides_of_a_cut_by_hand():
    before = [(0, 1, 1), (1, 2, 2), (2, 3, 3), (2, 4, 4), (3, 1, 5), (3, 5, 0)]
    after = [(10, 1, 5), (10, 2, 0), (11, 2, 3), (11, 3, 9), (12, 3, 3), (40, 4, 4), (12, 5, 6)]
    found = compare(np.array(before + after), range(4, 10), edge=6)
    assert found == {1: (5, 5, "kept"), 2: (2, 3, "other's"), 3: (3, 9, "new")}  # 4 came late, 5 had no number


def test_the_list_of_people_is_sound():
    people = footage.people_by_eye()
    assert {person for some in people.values() for person, _ in some} == set(range(1, 13))
    for some in people.values():
        boxes = np.stack([box for _, box in some])
        assert len({person for person, _ in some}) == len(some)
        assert (boxes >= 0).all() and (boxes <= 1).all() and (boxes[:, 2:] > boxes[:, :2]).all()


@needs_real_parts
def test_speed_prints_both_chains(networks, tmp_path):
    small = [
        "--image_size",
        "64x32",
        "--width",
        "0.25",
        "--frames",
        "40",
        "--starts",
        "12",
        "--json",
        tmp_path / "speed.json",
    ]
    done = run("-m", "benchmarks.demo_speed", *networks, *small)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "speed.json").read_text())
    assert found["everyone"]["embedded"] == 1 and found["as_needed"]["embedded"] < 0.8
    assert found["everyone"]["shared"] == found["as_needed"]["shared"] == 0
    assert len(found["as_needed"]["walks"]["replayed"]) == 12
    assert "times as many frames a second" in done.stdout and "people told apart by eye" in done.stdout


@needs_real_parts
def test_memory_stays_constant_over_a_while(networks, tmp_path):
    done = run("-m", "benchmarks.demo_memory", *networks, "--minutes", "0.2", "--json", tmp_path / "memory.json")
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "memory.json").read_text())
    assert len(found["sizes"]) >= 8 and found["growth"] < 0.05 and found["last"] > 100


def test_scripts_refuse_what_is_missing(tmp_path):
    for script in ("demo_speed", "demo_gap", "demo_memory"):
        assert "--video" in refusal(run("-m", f"benchmarks.{script}", "--video", tmp_path / "none.avi")), script


@needs_real_parts
def test_the_gap_is_only_judged_where_people_were_told_apart(tmp_path):
    (tmp_path / "other.avi").write_bytes(Path(footage.FOOTAGE).read_bytes())
    done = run("-m", "benchmarks.demo_gap", "--video", tmp_path / "other.avi", "--obj", tmp_path)
    assert "nobody told apart its people" in refusal(done)


def test_the_training_step_is_timed_both_ways(tmp_path):
    small = ["--image_size", "32x32", "--batch_size", "4", "--steps", "2", "--json", tmp_path / "step.json"]
    done = run("-m", "benchmarks.train_step", *small)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "step.json").read_text())
    assert found["times"] == pytest.approx(found["keras_ms"] / found["fused_ms"]) and "times as long" in done.stdout
    assert "no such folder" in refusal(run("-m", "benchmarks.train_step", "--json", tmp_path / "none" / "step.json"))
