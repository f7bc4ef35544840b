"""benchmarks/real_people.py: tracks follow people without mixing them up, and the figures count what they say."""

import numpy as np
import pytest

from benchmarks.real_people import histograms, link, measure, overlap
from tests.conftest import refusal, run
from utils.options import InputError


def box(left, top=0.2, width=0.1, height=0.4):
    return [top, left, top + height, left + width]


def test_overlap():
    boxes = np.array([box(0.0), box(0.05), box(0.5)])
    shared = overlap(boxes, boxes)
    assert np.allclose(np.diag(shared), 1) and np.isclose(shared[0, 1], 1 / 3) and shared[0, 2] == 0


def test_two_people_apart_are_two_tracks_and_a_lost_one_goes_on():
    detections = [np.array([box(0.1 + 0.005 * frame), box(0.8 - 0.005 * frame)]) for frame in range(20)]
    detections[7] = detections[7][:1]  # the second is missed once
    tracks = link(detections, min_overlap=0.4, clear=0.5)
    assert sorted(len(track) for track in tracks) == [19, 20]
    for track in tracks:
        steps = np.diff([place[1] for _, place in track])
        assert (steps > 0).all() or (steps < 0).all()  # nobody turned into the other


def test_tracks_end_where_two_people_meet():
    detections = [np.array([box(0.1 + 0.02 * frame), box(0.5 - 0.02 * frame)]) for frame in range(21)]
    tracks = link(detections, min_overlap=0.4, clear=0.5)
    long = [track for track in tracks if len(track) >= 6]
    assert len(long) == 4  # each of them before and after
    for track in long:
        steps = np.diff([place[1] for _, place in track])
        assert (steps > 0).all() or (steps < 0).all()


def test_figures():
    # Tracks 0 and 1 are seen together, 2 is alone; each has one early crop and one 30 frames later.
    tracks, frames = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 30, 0, 30, 100, 130])
    early = np.array([True, False] * 3)
    together = np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1]], bool)
    angles = np.radians([0, 10, 30, 80, 12, 90])  # 0 finds itself, 1 finds 0, 2 finds 0
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    both = measure(vectors, tracks, frames, early, together, gap=20)
    assert (both["rank1"], both["queries"], both["identities"], both["candidates"]) == (50.0, 2, 2, 2.0)
    assert np.isclose(both["mAP"], 75.0) and both["rank5"] == 100.0
    everyone = measure(vectors, tracks, frames, early, None, gap=20)
    assert np.isclose(everyone["rank1"], 100 / 3) and everyone["queries"] == 3
    with pytest.raises(InputError):
        measure(vectors, tracks, frames, early, together, gap=40)


def test_histograms_know_colours_by_stripe():
    red, blue = (np.full((60, 30, 3), colour, np.uint8) for colour in ((200, 30, 30), (30, 30, 200)))
    vectors = histograms([red, red[:40], blue, np.concatenate([red, blue]), np.concatenate([blue, red])])
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors[0] @ vectors[1] > 0.99 and vectors[0] @ vectors[2] < 0.6 and vectors[3] @ vectors[4] < 0.6


def test_missing_footage_is_said(tmp_path):
    assert "--video" in refusal(run("benchmarks/real_people.py", "--video", tmp_path / "none.avi"))
