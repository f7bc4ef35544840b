"""Simulated scenes: their statistics are those that were measured, and a tiny one is tracked and scored."""

import json

import numpy as np
import pytest

from benchmarks import peers, scenes, side_by_side, simulation
from benchmarks.simulation import Looks, Scene, Wander, detect


def test_a_scene_is_the_same_each_time_and_at_each_frame_rate():
    for fps in (2, 10):
        one, other = ([sight for _, sight in Scene(5, 8, seconds=6).watch(fps)] for _ in range(2))
        for (left,), (right,) in zip(one, other):
            for value, wanted in zip(left, right):
                np.testing.assert_array_equal(value, wanted)
    slow, fast = (dict(Scene(5, 8, seconds=6).watch(fps)) for fps in (2, 10))
    for seconds, (sight,) in slow.items():
        np.testing.assert_array_equal(sight.people, fast[seconds][0].people)
        np.testing.assert_allclose(sight.truth, fast[seconds][0].truth, atol=1e-12)


def test_numbers_wander_with_the_measured_correlation():
    rng = np.random.default_rng(0)
    for gap, wanted in ((0.1, 0.75), (0.5, 0.36), (2.0, 0.18)):
        wander = Wander(rng, 100000)
        first, second = wander.at(1.0), wander.at(1.0 + gap)
        assert abs(np.corrcoef(first, second)[0, 1] - wanted) < 0.03
        assert abs(second.std() - 1) < 0.01


def test_similarities_are_the_measured_ones():
    rng = np.random.default_rng(0)
    looks = Looks(rng, 40)
    vectors, people, cameras = [], [], []
    for person in range(40):
        for camera in range(3):
            size, look = looks.new_view(person)
            for _ in range(4):
                vectors.append(look(rng.normal(size=size)))
                people.append(person)
                cameras.append(camera)
    similarity = np.array(vectors) @ np.array(vectors).T
    same = np.equal.outer(people, people) & ~np.eye(len(people), dtype=bool)
    one_camera = np.equal.outer(cameras, cameras)
    assert abs(similarity[same & one_camera].mean() - simulation.SAME_CAMERA) < 0.05
    assert abs(similarity[same & ~one_camera].mean() - simulation.SAME_PERSON) < 0.05
    different = similarity[np.not_equal.outer(people, people)]
    assert abs(different.mean() - simulation.DIFFERENT) < 0.06
    assert abs(different.std() - simulation.DIFFERENT_DEVIATION) < 0.03


@pytest.mark.parametrize("hidden, row", [(0.0, 0), (0.2, 1), (0.6, 2)])
def test_the_detector_misses_as_often_as_the_one_measured(hidden, row):
    rng = np.random.default_rng(0)
    box = np.array([0.3, 0.5, 0.5, 0.55])
    scores = []
    for _ in range(4000):
        found = [score for _, score, own in detect(box, hidden, rng.normal(size=11)) if own]
        scores.append(found[0] if found else 0.0)
    np.testing.assert_allclose(np.quantile(scores, simulation.TENTHS[1:-1]), simulation.SCORES[row][1:-1], atol=0.05)
    assert detect(box, 0.9, np.zeros(11)) == []


def test_real_embeddings_can_be_given(tmp_path):
    vectors = np.random.default_rng(0).normal(size=(30, 8)).astype(np.float32)
    paths = [f"data/set/{name:04d}_c1s1_{number:06d}_00.jpg" for name in range(6) for number in range(5)]
    np.savez(tmp_path / "e.npz", embeddings=vectors, paths=paths)
    people, threshold = scenes.read_embeddings(tmp_path / "e.npz")
    assert len(people) == 6 and people[0].shape == (5, 8) and 0.5 < threshold < 1
    scene = Scene(1, 9, seconds=60, embeddings=people)
    sight = next(sights[0] for _, sights in scene.watch(0.1) if sights[0].boxes.size)
    np.testing.assert_allclose(np.linalg.norm(sight.embeddings, axis=1), 1, atol=1e-5)


def test_a_frame_without_boxes():
    scene = Scene(4, 1, seconds=300)
    empty = next(sights[0] for _, sights in scene.watch(1) if not len(sights[0].boxes))
    assert empty.boxes.shape == (0, 4) and empty.embeddings.shape == (0, simulation.DIMENSIONS)


def test_a_tiny_scene_is_tracked_and_scored(tmp_path, capsys):
    pytest.importorskip("trackeval")
    words = ["--scenes", "2", "--fps", "2", "--seconds", "20", "--people", "8", "--cameras", "2", "--workers", "1"]
    scenes.main(scenes.parse_args([*words, "--json", str(tmp_path / "s.json")]))
    found = json.loads((tmp_path / "s.json").read_text())["fps2"]["ours"]
    assert 0.1 < found["IDF1"] <= 1 and 0 < found["embedded"] <= 1 and found["IDF1_spread"] > 0
    assert "ours" in capsys.readouterr().out


@pytest.mark.parametrize("name, module", [("deepsort", "deep_sort_realtime"), ("bytetrack", "cjm_byte_track")])
def test_a_peer_follows_two_people_who_pass_each_other(name, module):
    pytest.importorskip(module)
    recording = peers.Recording(peers.make(name, 1, 10.0, 0.5, 16), (768, 576))
    looks = np.eye(2, 8, dtype=np.float32)
    for frame in range(30):
        boxes = np.array([[0.1, 0.1 + 0.01 * frame, 0.4, 0.2 + 0.01 * frame], [0.5, 0.7 - 0.01 * frame, 0.8, 0.8]])
        boxes[1, 3] = boxes[1, 1] + 0.1
        recording.write(0, frame + 1, frame / 10, boxes, np.array([0.9, 0.9]), looks)
    found = recording.read()
    assert len({number for rows in found.values() for number, _ in rows}) == 2
    numbers = sorted(found[29], key=lambda row: row[1][1])
    assert [round(top) for _, (_, top, _, _) in numbers] == [58, 288]


def test_trackers_run_side_by_side_on_the_same_boxes():
    """Two people who stand far apart, of whom each tenth frame has a truth."""
    pytest.importorskip("trackeval")
    looks = np.eye(2, 8, dtype=np.float32)
    boxes = np.array([[0.1, 0.1, 0.5, 0.2], [0.1, 0.7, 0.5, 0.8]])
    seen = [(number, boxes, np.array([0.9, 0.9]), looks) for number in range(1, 41)]
    people = [(name, (100 * left, 100 * top, 10.0, 40.0)) for name, (top, left, _, _) in zip("ab", boxes)]
    truth = {number: people for number in range(1, 41, 10)}
    for name, share in (("ours", 0.25), ("everybody", 1.0)):
        found = side_by_side.run(name, seen, (100, 100), 10.0, 1, 0.5, truth)
        assert found["IDF1"] == 1 and found["numbers"] == 2 and found["merges"] == found["splits"] == 1
        assert found["embedded"] == pytest.approx(share, abs=0.15)
