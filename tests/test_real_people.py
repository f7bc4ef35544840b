"""benchmarks/real_people.py: tracks do not mix people up, and figures agree with cases by hand."""

import numpy as np
import pytest

from benchmarks.footage import link, walks_by_eye
from benchmarks.real_people import histograms, main, parse_args
from benchmarks.searches import clustered_error, figures_of, score, search_later, search_other_times
from utils.errors import InputError


def box(left, top=0.2, width=0.1, height=0.4):
    return [top, left, top + height, left + width]


def test_link_continues_a_track_over_a_missed_box():
    detections = [np.array([box(0.1 + 0.005 * frame), box(0.8 - 0.005 * frame)]) for frame in range(20)]
    detections[7] = detections[7][:1]  # the second is missed once
    tracks = link(detections, min_overlap=0.4, clear=0.5)
    assert sorted(len(track) for track in tracks) == [19, 20]
    for track in tracks:
        steps = np.diff([place[1] for _, place in track])
        assert (steps > 0).all() or (steps < 0).all()  # no track changed its person


def test_link_ends_tracks_where_two_people_meet():
    detections = [np.array([box(0.1 + 0.02 * frame), box(0.5 - 0.02 * frame)]) for frame in range(21)]
    tracks = link(detections, min_overlap=0.4, clear=0.5)
    long = [track for track in tracks if len(track) >= 6]
    assert len(long) == 4  # one per person before and after
    for track in long:
        steps = np.diff([place[1] for _, place in track])
        assert (steps > 0).all() or (steps < 0).all()


def measure(vectors, identities, searches):
    scores = score(vectors, identities, searches)
    return figures_of(scores, scores)


def test_search_later_by_hand():
    # Tracks 0 and 1 are seen together, 2 is alone; each has one early crop and one 30 frames later.
    tracks = np.array([0, 0, 1, 1, 2, 2])
    frames = np.array([0, 30, 0, 30, 100, 130])
    early = np.array([True, False] * 3)
    together = np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1]], bool)
    angles = np.radians([0, 10, 30, 80, 12, 90])  # 0 finds itself, 1 finds 0, 2 finds 0
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    asked = tracks, frames, early
    both = measure(vectors, tracks, search_later(*asked, 20, together))
    assert (both["rank1"], both["queries"], both["identities"], both["candidates"]) == (50.0, 2, 2, 2.0)
    assert np.isclose(both["mAP"], 75.0) and both["rank5"] == 100.0
    every_track = measure(vectors, tracks, search_later(*asked, 20))
    assert np.isclose(every_track["rank1"], 100 / 3) and every_track["queries"] == 3
    with pytest.raises(InputError):
        measure(vectors, tracks, search_later(*asked, 40, together))


def test_search_other_times_by_hand():
    # Person 1 is there in frames 0 to 30 and again at 100, person 2 only from 0 to 30.
    people = np.array([1, 2, 1, 2, 1])
    frames = np.array([0, 0, 30, 30, 100])
    walks = walks_by_eye(people, frames, gap=40)
    assert walks.tolist() == [0, 2, 0, 2, 1]
    angles = np.radians([0, 50, 10, 60, 52])  # when person 1 returns, it looks like person 2
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    same = measure(vectors, people, search_other_times(people, walks, frames, 20, same_walk=True))
    # Of 2's two boxes each finds 1 coming back (at 52 degrees), and that one finds 2; the first walk finds itself.
    assert (same["rank1"], same["queries"], same["identities"]) == (40.0, 5, 2)
    back = measure(vectors, people, search_other_times(people, walks, frames, 20, same_walk=False))
    # Only 1 has another walk: query 0 finds 4 after 3, query 2 finds 4 before 1, and query 4 finds 1.
    assert (back["queries"], back["identities"]) == (3, 1)
    assert np.isclose(back["rank1"], 100 * np.mean([52 < 60, 42 < 40, 42 < 2]))


def test_histograms_tell_colours_by_stripe():
    red, blue = (np.full((60, 30, 3), colour, np.uint8) for colour in ((200, 30, 30), (30, 30, 200)))
    vectors = histograms([red, red[:40], blue, np.concatenate([red, blue]), np.concatenate([blue, red])])
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors[0] @ vectors[1] > 0.99 and vectors[0] @ vectors[2] < 0.6 and vectors[3] @ vectors[4] < 0.6


def test_missing_video_is_named(tmp_path):
    with pytest.raises(InputError, match="--video .*none.avi does not exist: run bash setup.sh"):
        main(parse_args(["--video", str(tmp_path / "none.avi")]))


def test_clustered_error_agrees_with_resampled_people():
    rng = np.random.default_rng(0)
    owners = rng.integers(0, 40, 400)
    values = rng.normal(size=40)[owners] + rng.normal(size=400)
    of_owner = [values[owners == owner] for owner in range(40)]
    drawn = [np.concatenate([of_owner[owner] for owner in rng.integers(0, 40, 40)]).mean() for _ in range(4000)]
    assert clustered_error(values, owners) == pytest.approx(np.std(drawn), rel=0.05)
    alone = rng.normal(size=50)  # one value each: the usual standard error
    assert clustered_error(alone, np.arange(50)) == pytest.approx(np.std(alone, ddof=1) / 50**0.5)


def test_figures_of_is_ahead_on_the_same_queries():
    people = np.array([0, 0, 1, 1])
    vectors = np.eye(2)[[0, 0, 1, 1]]
    rows = np.arange(4)
    searches = [(query, (people == people[query]) & (rows != query), people != people[query]) for query in rows]
    right = score(vectors, people, searches)
    wrong = score(np.eye(2)[[0, 1, 0, 1]], people, searches)
    figures = figures_of(right, wrong)
    assert (figures["rank1"], figures["rank1_ahead"], figures["rank1_ahead_error"]) == (100.0, 100.0, 0.0)
