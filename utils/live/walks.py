"""Who crosses lines, is in zones, comes and leaves: the walks of people before the cameras, and what happens on them.

A walk is the way of one person over all tracks that continue each other. What happens on it is told once it is known
who it is, so a crossing that lies in the first moments of a track has the right person.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from utils.live.counting import Line, Stay, Zone, foot_of
from utils.live.tracks import DECISION_SECONDS
from utils.live.tracks_file import GAP_SECONDS

TINY = 1e-6  # seconds that sums of times may be off
MARGIN = 0.1  # of the height of a box, within which a foot point does not tell the side of a line


class Happening(NamedTuple):
    """Something that a person did before a camera."""

    kind: str  # "seen", "left", "line" or "zone"
    seconds: float  # of the camera's time
    person: object  # Person, None if unknown
    similarity: float  # to the person, nan for a new one
    place: str | None = None  # name of the line or zone
    direction: str | None = None  # "in" or "out"
    count: int = 0  # people before the camera; crossings of the line in that direction; people in the zone
    stay: float | None = None  # seconds, of "left" and of a zone's "out"


class Walk:
    """The way of one person before one camera, over all tracks that continue each other.

    Attributes:
        track: the newest Track; first, last: seconds of the first and of the newest box.
        paths: of each line and zone; known: whether it was decided who it is; person: who, None if unknown.
        waiting: Happenings until it is known who it is.
    """

    def __init__(self, track, paths, seconds: float):
        self.track = track
        self.paths = paths
        self.first = seconds
        self.last = seconds
        self.known = False
        self.person = None
        self.waiting = []


def final_person(person):
    """The person that somebody turned out to be; None if unknown or forgotten."""
    while person is not None and person.merged_into is not None:
        person = person.merged_into
    return None if person is None or person.forgotten else person


class Counter:
    """Counts the people of one camera.

    A walk that begins within GAP_SECONDS after another one of the same person continues it, so that a short gap hides
    no crossing and ends no stay. Who is seen too briefly to be known is in no zone, as it may be a false detection.
    """

    def __init__(self, places, aspect: float):
        """places: Lines and Zones; aspect: width / height of the frame."""
        self.places = list(places)
        self.now = 0.0
        self._aspect = aspect
        self._walks = {}  # newest Track -> Walk

    def update(self, seconds: float, tracks, boxes) -> list:
        """Takes in the next frame: tracks of utils/live/track.py and their boxes (N, 4). Returns the Happenings of
        whom it is known by now who they are, so they come late by up to the time that this takes.
        """
        self.now = seconds
        for track, box in zip(tracks, boxes):
            walk = self._walk_of(track)
            walk.last = seconds
            foot = foot_of(box, self._aspect)
            margin = MARGIN * float(box[2] - box[0])
            for place, path in zip(self.places, walk.paths):
                direction = place.step(path, foot, margin, seconds)
                if direction:
                    self._note(walk, place, path, direction, seconds)
        happenings = self._identify()
        for walk in list(self._walks.values()):
            if walk.track.decided and seconds - walk.last > GAP_SECONDS + DECISION_SECONDS:
                happenings += self._end(walk)
        return happenings

    def finish(self) -> list:
        """Ends all walks; returns the last Happenings."""
        return [happening for walk in list(self._walks.values()) for happening in self._end(walk)]

    def _walk_of(self, track) -> Walk:
        walk = self._walks.get(track)
        if walk is None:
            walk = self._walks.pop(track.previous, None)
            if walk is None:
                walk = Walk(track, [place.new_path() for place in self.places], self.now)
            walk.track = track
            self._walks[track] = walk
        return walk

    def _note(self, walk: Walk, place, path, direction: str, seconds: float) -> None:
        """Counts a crossing, or the begin or end of a stay, and keeps the Happening until the person is known."""
        stay = None
        count = 0
        if place.kind == "line":
            place.counts[direction] += 1
            count = place.counts[direction]
        elif direction == "out":
            stay = seconds - path.since
            path.since = None
        happening = Happening(place.kind, seconds, None, math.nan, place.place.name, direction, count, stay)
        if place.kind == "zone":
            happening = happening._replace(count=len(self.inside(place)))
        walk.waiting.append((place, happening))

    def _identify(self) -> list:
        """Follows decisions about who is who."""
        happenings = []
        for walk in list(self._walks.values()):
            track = walk.track
            person = final_person(track.person)
            if not track.decided or walk.track not in self._walks:
                continue
            if not walk.known or person is not final_person(walk.person):
                happenings += self._change_person(walk, person)
            if self._is_somebody(walk):
                happenings += self._release(walk)
        return happenings

    def _change_person(self, walk: Walk, person) -> list:
        """A walk is known to show somebody, or somebody else than before."""
        before = final_person(walk.person)
        begun = walk.track.first if walk.known else walk.first
        happenings = []
        if before is not None:
            happenings.append(self._presence("left", self.now, walk, self.now - walk.first))
            walk.first = self.now
        earlier = None if walk.known else self._earlier(walk, person)
        walk.known = True
        walk.person = person
        if earlier is not None:
            self._join(earlier, walk)
        elif person is not None:
            happenings.append(self._presence("seen", begun, walk))
        return happenings

    def _earlier(self, walk: Walk, person):
        """The walk of the same person that ended shortly before, None if there is none."""
        if person is None:
            return None
        found = [other for other in self._walks.values() if other is not walk and final_person(other.person) is person]
        return next((other for other in found if 0 <= walk.first - other.last <= GAP_SECONDS), None)

    def _join(self, earlier: Walk, walk: Walk) -> None:
        """Makes a walk continue an earlier one of the same person."""
        del self._walks[earlier.track]
        for index, (place, before, path) in enumerate(zip(self.places, earlier.paths, walk.paths)):
            if place.kind == "line":
                direction = place.join(before, path)
                if direction:
                    self._note(walk, place, path, direction, walk.first)
            elif before.since is not None:
                entered = [row for row in walk.waiting if row[0] is place and row[1].direction == "in"][:1]
                if entered:  # it is the same stay
                    walk.waiting.remove(entered[0])
                    self._lengthen(walk, place, path, entered[0][1].seconds - before.since)
                else:
                    walk.paths[index] = before
        walk.waiting = earlier.waiting + walk.waiting
        walk.first = earlier.first

    @staticmethod
    def _lengthen(walk: Walk, place, stay: Stay, seconds: float) -> None:
        """Moves the begin of a walk's first stay in a zone back."""
        for index, (other, happening) in enumerate(walk.waiting):
            if other is place and happening.direction == "out":
                walk.waiting[index] = other, happening._replace(stay=happening.stay + seconds)
                return
        stay.since -= seconds

    def _release(self, walk: Walk) -> list:
        """The Happenings that waited, with the person; line and zone note the person."""
        person = final_person(walk.person)
        released = []
        for place, happening in walk.waiting:
            if place.kind == "zone" and not self._is_somebody(walk):
                continue
            if place.kind == "line" and person is not None:
                place.people[happening.direction].add(person)
            if happening.stay is not None:
                place.add_stay(person, happening.stay)
            released.append(happening._replace(person=person, similarity=float(walk.track.similarity)))
        walk.waiting = []
        return released

    def _end(self, walk: Walk) -> list:
        """A walk is over: its stays end with its last box."""
        del self._walks[walk.track]
        for place, path in zip(self.places, walk.paths):
            if place.kind == "zone" and path.since is not None:
                self._note(walk, place, path, "out", walk.last)
        happenings = self._release(walk)
        if final_person(walk.person) is not None:
            happenings.append(self._presence("left", walk.last, walk, walk.last - walk.first))
        return happenings

    def _presence(self, kind: str, seconds: float, walk: Walk, stay=None) -> Happening:
        here = [other for other in self._walks.values() if other.person is not None and self._is_here(other)]
        person = final_person(walk.person)
        return Happening(kind, seconds, person, float(walk.track.similarity), count=len(here), stay=stay)

    def _is_somebody(self, walk: Walk) -> bool:
        """Whether a walk is more than what may be a false detection."""
        if walk.known and final_person(walk.person) is None:
            return walk.last - walk.first >= DECISION_SECONDS - TINY
        return walk.last > walk.first or walk.known

    def _is_here(self, walk: Walk) -> bool:
        return self.now - walk.last <= GAP_SECONDS

    def inside(self, zone: Zone) -> list:
        """[(Walk, seconds so far)] of the people in a zone now, longest first."""
        index = self.places.index(zone)
        here = [walk for walk in self._walks.values() if self._is_here(walk) and self._is_somebody(walk)]
        stays = [(walk, walk.paths[index].since) for walk in here]
        found = [(walk, walk.last - since) for walk, since in stays if since is not None]
        return sorted(found, key=lambda row: -row[1])


class Counts:
    """The counters of all cameras, and all lines and zones in the order of the options."""

    def __init__(self, cameras, lines=(), zones=(), listener=lambda happenings: None):
        """cameras: of the Camera class; lines, zones: Place each, whose source is an index of the cameras.

        listener: is given what each update and finish returns.
        """
        self._listener = listener
        aspects = [camera.width / camera.height for camera in cameras]
        self.places = [Line(place, aspects[place.source]) for place in lines]
        self.places += [Zone(place, aspects[place.source]) for place in zones]
        self.counters = []
        for index, aspect in enumerate(aspects):
            self.counters.append(Counter([place for place in self.places if place.place.source == index], aspect))

    def update(self, seconds, results) -> list:
        """The time and the FrameResult of each camera, or None -> [(index of the camera, Happening)]."""
        happenings = []
        for index, (counter, now, result) in enumerate(zip(self.counters, seconds, results)):
            if result is not None:
                happenings += [(index, row) for row in counter.update(now, result.tracks, result.boxes)]
        self._listener(happenings)
        return happenings

    def finish(self) -> list:
        """Ends all stays; returns the last Happenings as update does."""
        happenings = [(index, row) for index, counter in enumerate(self.counters) for row in counter.finish()]
        self._listener(happenings)
        return happenings

    def describe(self) -> list:
        """Each line and zone with its numbers of now, as JSON has them."""
        return [describe_place(place, self.counters[place.place.source]) for place in self.places]

    def of_camera(self, index: int) -> tuple:
        """(the Place of each line and zone of a camera, what describe says of it)."""
        found = self.counters[index].places
        return [place.place for place in found], [describe_place(place, self.counters[index]) for place in found]

    def lines(self) -> list:
        """A line of text for each line and zone, for the end of a run."""
        lines = []
        for row in self.summary():
            if row["kind"] == "line":
                parts = [f"{row[way]} {way} by {count_noun(row[f'people_{way}'])}" for way in ("in", "out")]
                lines.append(f"line {row['name']}: {', '.join(parts)}")
                continue
            stays = sum(stay["stays"] for stay in row["stays"].values())
            seconds = sum(stay["seconds"] for stay in row["stays"].values())
            known = len(row["stays"].keys() - {"unknown"})
            mean = f", {seconds / stays:.1f} s in the mean" if stays else ""
            lines.append(
                f"zone {row['name']}: {stays} {'stay' if stays == 1 else 'stays'} of {count_noun(known)}{mean}"
            )
        return lines

    def summary(self) -> list:
        """As describe, and for each zone the stays that have ended, by person."""
        return [
            {**row, "stays": describe_stays(place)} if place.kind == "zone" else row
            for place, row in zip(self.places, self.describe())
        ]


def count_noun(people: int) -> str:
    return "1 person" if people == 1 else f"{people} people"


def describe_place(place, counter: Counter) -> dict:
    """The numbers of a line or zone. people_in, people_out: how many different people, without unknown ones."""
    row = {"name": place.place.name, "kind": place.kind, "source": place.place.source}
    if place.kind == "line":
        people = {direction: {*map(final_person, found)} - {None} for direction, found in place.people.items()}
        return {**row, **place.counts, **{f"people_{direction}": len(found) for direction, found in people.items()}}
    here = []
    for walk, seconds in counter.inside(place):
        person = walk.track.shown_person()
        here.append({"person": person.label if person else None, "seconds": round(seconds, 1)})
    return {**row, "inside": len(here), "here": here}


def describe_stays(zone: Zone) -> dict:
    """{name or number of a person, or "unknown": number of stays and seconds in all}."""
    stays = {}
    for person, (count, seconds) in zone.people.items():
        person = final_person(person)
        total = stays.setdefault(person.label if person else "unknown", {"stays": 0, "seconds": 0.0})
        total["stays"] += count
        total["seconds"] = round(total["seconds"] + seconds, 1)
    return stays
