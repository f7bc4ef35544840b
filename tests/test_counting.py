"""Lines and zones on paths whose crossings and stays are known by hand; jitter, gaps, recycled tracks, cameras."""

import argparse
import math
from types import SimpleNamespace

import numpy as np
import pytest

from utils.errors import InputError
from utils.live.counting import Line, Zone, foot_of, outside_of
from utils.live.counts import Counts
from utils.live.person import Person
from utils.live.places import Place, area, as_line, as_region, as_zone, check_places
from utils.live.recogniser import FrameResult
from utils.live.track import Track
from utils.live.walks import GAP_SECONDS, MARGIN, Counter

HEIGHT = 0.2  # of all boxes, so that the margin is 0.02
DOOR = as_line("door:0.5,0.2,0.5,0.8")  # downward: "in" is to the left


def box(x, y):
    """The box of a person whose foot point is (x, y)."""
    return [y - HEIGHT, x - 0.05, y, x + 0.05]


def someone(number, name=None):
    return Person(number, number - 1, np.zeros(2), 1, name)


def track_of(person=None, decided=True, previous=None, seconds=0.0):
    track = Track(np.array(box(0.5, 0.5)), seconds, previous=previous)
    track.person = person
    track.decided = decided
    track.similarity = 0.8
    return track


def crossings(path, place=DOOR, aspect=1.0):
    """The directions that one path of foot points gives at a line."""
    line = Line(place, aspect)
    state = line.new_path()
    margin = MARGIN * HEIGHT
    return [direction for point in path for direction in [line.step(state, point, margin)] if direction]


def walk_through(counter, track, path, start=0.0, step=0.1):
    """Feeds one track; returns all happenings, and the time after the last point."""
    found = []
    if track not in counter._walks:
        track.first = start
    for number, point in enumerate(path):
        seconds = start + number * step
        found += counter.update(seconds, [track], [box(*point)])
    return found, start + len(path) * step


@pytest.mark.parametrize(
    "path, wanted",
    [
        ([(0.4, 0.5), (0.6, 0.5)], ["out"]),
        ([(0.6, 0.5), (0.4, 0.5)], ["in"]),
        ([(0.4, 0.5), (0.6, 0.5), (0.4, 0.5), (0.6, 0.5)], ["out", "in", "out"]),
        ([(0.4, 0.9), (0.6, 0.9)], []),  # past its end
        ([(0.4, 0.1), (0.6, 0.1)], []),
        ([(0.4, 0.7), (0.6, 0.95)], []),  # at 0.5 the straight way is at 0.825, below the end
        ([(0.4, 0.7), (0.6, 0.85)], ["out"]),  # at 0.775
        ([(0.4, 0.5), (0.49, 0.9), (0.51, 0.9), (0.6, 0.5)], []),  # round the end
        ([(0.6, 0.9), (0.4, 0.9), (0.4, 0.5), (0.6, 0.5)], ["out"]),  # round the end, then through
        ([(0.4, 0.5), (0.519, 0.5)], []),  # not clearly across: the margin is 0.02
        ([(0.4, 0.5), (0.519, 0.5), (0.521, 0.5)], ["out"]),
        ([(0.5, 0.5), (0.6, 0.5)], []),  # begins on the line: nobody saw where it came from
        ([(0.4, 0.5), (0.5, 0.5), (0.6, 0.5)], ["out"]),  # a foot point exactly on the line
        ([(0.6, 0.5), (0.5, 0.5), (0.4, 0.5)], ["in"]),
        ([(0.4, 0.5), (0.5, 0.5), (0.4, 0.5)], []),
        ([(0.4, 0.5)], []),
        ([], []),
    ],
)
def test_crossings_of_paths_by_hand(path, wanted):
    assert crossings(path) == wanted


def test_jitter_on_the_line_is_one_crossing_or_none():
    rng = np.random.default_rng(0)
    stand = [(0.5 + x, 0.5 + y) for x, y in rng.uniform(-0.0199, 0.0199, (500, 2))]
    assert crossings(stand) == []
    assert crossings([(0.4, 0.5), *stand, (0.4, 0.5)]) == []
    assert crossings([(0.4, 0.5), *stand, (0.6, 0.5)]) == ["out"]
    assert crossings([(0.6, 0.5), *stand, (0.4, 0.5), *stand, (0.6, 0.5)]) == ["in", "out"]


def test_random_walks_against_a_count_of_whole_steps():
    """With a margin of 0 every step that meets the line counts; an independent count solves the two equations."""
    rng = np.random.default_rng(1)
    for _ in range(200):
        ends = rng.uniform(0, 1, (2, 2))
        path = rng.uniform(0, 1, (12, 2))
        wanted = []
        for before, after in zip(path, path[1:]):
            matrix = np.stack([after - before, ends[0] - ends[1]], axis=1)
            share, along = np.linalg.solve(matrix, ends[0] - before)
            if 0 < share < 1 and 0 < along < 1:
                angle = np.linalg.det(np.stack([ends[1] - ends[0], after - before]))
                wanted.append("in" if angle > 0 else "out")
        line = Line(Place("x", 0, tuple(map(tuple, ends.tolist()))), 1.0)
        state = line.new_path()
        steps = [line.step(state, tuple(point), 0.0) for point in path.tolist()]
        assert [step for step in steps if step] == wanted


def test_distances_are_in_frame_heights():
    wide = Line(as_line("x:0.5,0,0.5,1"), 16 / 9)
    assert wide.distance(foot_of(box(0.4, 0.5), 16 / 9)) == pytest.approx(0.1 * 16 / 9)
    down = Line(as_line("x:0,0.5,1,0.5"), 1.0)  # from left to right: "in" is downward
    assert down.distance((0.3, 0.7)) == pytest.approx(0.2)


def test_zones_against_an_area_of_random_points():
    """An L: a point is inside if it is in one of its two rectangles."""
    zone = Zone(as_zone("x:0,0,0.6,0,0.6,0.2,0.2,0.2,0.2,0.9,0,0.9"), 1.0)
    for x, y in np.random.default_rng(2).uniform(0, 1, (500, 2)):
        assert zone.contains((x, y)) == ((x < 0.6 and y < 0.2) or (x < 0.2 and y < 0.9))
    assert zone.distance((0.5, 0.3)) == pytest.approx(0.1) and zone.distance((0.1, 0.95)) == pytest.approx(0.05)
    assert zone.distance((0.9, 0.6)) == pytest.approx(math.hypot(0.3, 0.4))
    assert outside_of([zone], [box(0.1, 0.5), box(0.5, 0.5), box(0.5, 0.1)]) == [1]


def test_people_of_a_line_are_counted_once():
    """Two people cross in, one of them three times; an unknown one counts as a crossing."""
    line = Line(DOOR, 1.0)
    counter = Counter([line], 1.0)
    through = [(0.6, 0.5), (0.4, 0.5)]
    anna, bert = someone(1, "Anna"), someone(2)
    now = 0.0
    happenings = []
    for person in (anna, bert, anna, None, anna):
        found, _ = walk_through(counter, track_of(person), through, now)
        happenings += [row for row in found if row.kind == "line"]
        now += 10
    assert [row.person for row in happenings] == [anna, bert, anna, None, anna]
    assert [row.count for row in happenings] == [1, 2, 3, 4, 5] and {row.direction for row in happenings} == {"in"}
    counts = Counts([SimpleNamespace(width=10, height=10)], [DOOR])
    counts.places[0] = line
    assert counts.describe()[0]["in"] == 5 and counts.describe()[0]["people_in"] == 2
    assert counts.lines() == ["line door: 5 in by 2 people, 0 out by 0 people"]
    bert.merged_into = anna  # the user gave both one name
    assert counts.describe()[0]["people_in"] == 1
    anna.forgotten = True
    assert counts.describe()[0]["people_in"] == 0 and counts.describe()[0]["in"] == 5


def test_a_crossing_before_the_decision_gets_the_person_afterwards():
    counter = Counter([Line(DOOR, 1.0)], 1.0)
    track = track_of(decided=False)
    found, now = walk_through(counter, track, [(0.6, 0.5), (0.4, 0.5)])
    assert found == [] and counter.places[0].counts == {"in": 1, "out": 0}
    track.decided = True
    track.person = someone(7)
    found = counter.update(now, [track], [box(0.3, 0.5)])
    assert [(row.kind, row.person, row.seconds) for row in found] == [
        ("seen", track.person, 0),
        ("line", track.person, 0.1),
    ]


def test_a_gap_at_the_line_hides_no_crossing_but_a_recycled_person_starts_anew():
    for gap, wanted in ((GAP_SECONDS - 0.3, {"in": 1, "out": 0}), (GAP_SECONDS + 0.3, {"in": 0, "out": 0})):
        for late in (0, 4):  # frames until it is known who came back
            counter = Counter([Line(DOOR, 1.0)], 1.0)
            person = someone(1)
            _, now = walk_through(counter, track_of(person), [(0.7, 0.5), (0.6, 0.5)])
            again = track_of(person, decided=late == 0)
            path = [(0.4, 0.5), (0.35, 0.5), (0.3, 0.5), (0.3, 0.5)]
            found, now = walk_through(counter, again, path, now + gap)
            again.decided = True
            found += counter.update(now, [again], [box(0.3, 0.5)])
            assert counter.places[0].counts == wanted
            assert [row.kind for row in found if row.kind in ("line", "seen")] == (
                ["line"] if wanted["in"] else ["seen"]
            )


def test_a_gap_inside_the_margin_is_joined_too():
    for path in ([(0.51, 0.5), (0.49, 0.5), (0.4, 0.5)], [(0.49, 0.5), (0.4, 0.5)]):
        counter = Counter([Line(DOOR, 1.0)], 1.0)
        person = someone(1)
        _, now = walk_through(counter, track_of(person), [(0.7, 0.5), (0.51, 0.5)])
        walk_through(counter, track_of(person), path, now + 1)
        assert counter.places[0].counts == {"in": 1, "out": 0}


def test_somebody_whose_tracks_overlap_is_seen_once():
    """An ambiguous link may give a person two chains of tracks for a moment."""
    counter = Counter([], 1.0)
    person = someone(1)
    one = track_of(person)
    other = track_of(decided=False)
    found = counter.update(0.0, [one, other], [box(0.3, 0.5), box(0.6, 0.5)])
    later = track_of(person, previous=other, seconds=1.0)
    for seconds in (1.0, 2.0):
        found += counter.update(seconds, [later], [box(0.6, 0.5)])
    assert [(row.kind, row.seconds, row.count) for row in found] == [("seen", 0.0, 1)]
    found = counter.update(20.0, [], [])
    assert [(row.kind, row.seconds, row.stay, row.count) for row in found] == [("left", 2.0, 2.0, 0)]


def test_another_person_in_the_gap_is_no_crossing():
    counter = Counter([Line(DOOR, 1.0)], 1.0)
    _, now = walk_through(counter, track_of(someone(1)), [(0.6, 0.5)])
    walk_through(counter, track_of(someone(2)), [(0.4, 0.5)], now + 0.5)
    assert counter.places[0].counts == {"in": 0, "out": 0}


def test_a_track_that_continues_another_keeps_its_way():
    counter = Counter([Line(DOOR, 1.0)], 1.0)
    first = track_of(someone(1))
    _, now = walk_through(counter, first, [(0.6, 0.5)])
    walk_through(counter, track_of(decided=False, previous=first), [(0.4, 0.5)], now)
    assert counter.places[0].counts == {"in": 1, "out": 0}


@pytest.mark.parametrize("other", [None, someone(2)])
def test_a_crossing_in_a_track_that_shows_nobody_known_is_by_the_person_before(other):
    counter = Counter([Line(DOOR, 1.0)], 1.0)
    first = track_of(someone(1))
    _, now = walk_through(counter, first, [(0.6, 0.5)])
    short = track_of(decided=False, previous=first)
    found, now = walk_through(counter, short, [(0.4, 0.5)], now)
    short.decided = True
    short.person = other
    found += counter.update(now, [], [])
    assert [row.person for row in found if row.kind == "line"] == [other or first.person]


TILL = as_zone("till:0.2,0.2,0.6,0.8")  # a rectangle by its corners


def test_stays_by_hand():
    counter = Counter([Zone(TILL, 1.0)], 1.0)
    zone = counter.places[0]
    anna = track_of(someone(1, "Anna"))
    path = [
        (0.1, 0.5),
        (0.3, 0.5),
        (0.59, 0.5),
        (0.61, 0.5),
        (0.59, 0.5),
        (0.61, 0.5),
        (0.7, 0.5),
    ]  # jitter at the edge
    found, now = walk_through(counter, anna, path, step=1.0)
    rows = [(row.kind, row.direction, row.seconds, row.count, row.stay) for row in found if row.kind == "zone"]
    assert rows == [("zone", "in", 1.0, 1, None), ("zone", "out", 6.0, 0, 5.0)]
    assert zone.people == {anna.person: [1, 5.0]} and counter.inside(zone) == []
    found, now = walk_through(counter, anna, [(0.3, 0.5)] * 3, now, step=1.0)
    ((walk, seconds),) = counter.inside(zone)
    assert walk.track is anna and seconds == 2.0
    found = counter.update(now + 20, [], [])  # not seen any more: the stay ended with the last box
    assert [(row.kind, row.seconds, row.stay) for row in found] == [("zone", now - 1, 2.0), ("left", now - 1, now - 1)]
    assert zone.people == {anna.person: [2, 7.0]}


def test_a_gap_does_not_end_a_stay():
    for decided in (True, False):
        counter = Counter([Zone(TILL, 1.0)], 1.0)
        person = someone(1)
        found, now = walk_through(counter, track_of(person), [(0.3, 0.5)] * 5)
        again = track_of(person, decided=decided)
        more, now = walk_through(counter, again, [(0.3, 0.5)] * 5, now + 1.0)
        again.decided = True
        found += more + counter.update(now, [again], [box(0.3, 0.5)])
        ((_, seconds),) = counter.inside(counter.places[0])
        assert seconds == pytest.approx(2.0)
        found += counter.finish()
        rows = [(row.kind, row.direction) for row in found]
        assert rows == [("seen", None), ("zone", "in"), ("zone", "out"), ("left", None)]
        assert counter.places[0].people[person] == [1, pytest.approx(2.0)]


def test_what_may_be_a_false_detection_is_in_no_zone():
    counter = Counter([Zone(TILL, 1.0)], 1.0)
    flash = track_of(None)
    found, now = walk_through(counter, flash, [(0.3, 0.5)])
    assert found == [] and counter.inside(counter.places[0]) == []
    stranger = track_of(None)  # with --unnamed unknown
    found, now = walk_through(counter, stranger, [(0.3, 0.5)] * 30, now)
    found += counter.finish()
    assert [(row.kind, row.person) for row in found] == [("zone", None), ("zone", None)]
    assert counter.places[0].people == {None: [1, pytest.approx(2.9)]}


def test_each_place_belongs_to_one_camera():
    cameras = [SimpleNamespace(width=160, height=90), SimpleNamespace(width=90, height=90)]
    counts = Counts(cameras, [DOOR, as_line("back@1:0.5,0.2,0.5,0.8")], [as_zone("till@1:0,0,1,1")])
    track = track_of(someone(1, "Anna"))
    for seconds, x in ((0.0, 0.6), (0.1, 0.4)):
        result = FrameResult(np.array([box(x, 0.5)]), np.ones(1), np.ones(1, int), np.ones(1), 0, (track,))
        happenings = counts.update([seconds, seconds], [None, result])
    assert [(camera, row.place) for camera, row in happenings] == [(1, "back")]
    door, back, till = counts.describe()
    assert (door["in"], back["in"], till["inside"]) == (0, 1, 1) and till["here"] == [
        {"person": "Anna", "seconds": 0.1}
    ]
    assert [place.name for place in counts.of_camera(1)[0]] == ["back", "till"]
    counts.finish()
    assert counts.summary()[2]["stays"] == {"Anna": {"stays": 1, "seconds": 0.1}}
    assert counts.lines()[2] == "zone till: 1 stay of 1 person, 0.1 s in the mean"


def test_texts_of_places():
    assert as_line("front door@12:0,0.5,1,.5") == ("front door", 12, ((0, 0.5), (1, 0.5)))
    assert TILL.points == ((0.2, 0.2), (0.6, 0.2), (0.6, 0.8), (0.2, 0.8)) and area(TILL.points) == pytest.approx(0.24)
    assert as_region("0,0,1,0.2") == as_region("@0:0,0,1,0.2") and as_region("@2:0,0,1,0.2").source == 2
    for read, text, words in (
        (as_line, "0,0,1,1", "is not NAME:x0,y0,x1,y1"),
        (as_line, "door:0,0,1", "has 3 numbers: each point needs two"),
        (as_line, "door:0,0,1,0,1,1", "a line has two different points"),
        (as_line, "door:0.5,0.5,0.5,0.5", "a line has two different points"),
        (as_line, "door:0,0,640,480", "shares of the frame, from 0 to 1"),
        (as_line, "door:0,0,nan,1", "shares of the frame"),
        (as_line, "door@x:0,0,1,1", "is not NAME"),
        (as_line, f"{'d' * 31}:0,0,1,1", "30 characters at most"),
        (as_zone, "till:0,0,0.5,0.5,1,1", "enclose something"),
        (as_zone, "till:a,b", "is not NAME:x,y,x,y"),
        (as_region, "tree:0,0,1,1", "has a name"),
        (as_region, "0,0,1", "'0,0,1' has 3 numbers"),
    ):
        with pytest.raises(argparse.ArgumentTypeError, match=words):
            read(text)
    check_places([("--line", DOOR), ("--zone", TILL)], 1)
    with pytest.raises(InputError, match="--zone door: another line or zone has that name"):
        check_places([("--line", DOOR), ("--zone", TILL._replace(name="door"))], 1)
    with pytest.raises(InputError, match="names source @2, and there is no such --source: they are @0 to @1"):
        check_places([("--line", DOOR._replace(source=2))], 2)
