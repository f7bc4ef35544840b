"""Who crosses lines, is in zones, comes and leaves: the walks of people before the cameras, and what happens on them.

A walk is the way of one person over all tracks that continue each other. What happens on it is told once it is known
who it is, so a crossing that lies in the first moments of a track has the right person.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from utils.live.counting import Stay, Zone, foot_of
from utils.live.tracks import DECISION_SECONDS
from utils.live.tracks_file import GAP_SECONDS

LONGEST_DECISION = 10.0  # seconds after the last box of a track; the tracker takes about five at most
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


class Presence:
    """That a person is before a camera: seconds of the first and of the newest box, similarity of the latter."""

    def __init__(self, first: float, last: float, similarity: float):
        self.first = first
        self.last = last
        self.similarity = similarity


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
        self._there = {}  # Person -> Presence

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
            if self._is_gone(walk.last):
                happenings += self._end(walk)
        gone = [person for person, there in self._there.items() if self._is_gone(there.last)]
        return happenings + [self._leave(person) for person in gone]

    def _is_gone(self, last: float) -> bool:
        """Whether somebody who was seen last at `last` did not come back: no track that began soon after is undecided.

        A track that is undecided for longer than LONGEST_DECISION is not waited for.
        """
        if self.now - last <= GAP_SECONDS:
            return False
        waiting = [walk for walk in self._walks.values() if not walk.track.decided]
        return not any(
            walk.track.first - last <= GAP_SECONDS and self.now - walk.last <= LONGEST_DECISION for walk in waiting
        )

    def finish(self) -> list:
        """Ends all walks: nobody is there any more. Returns the last Happenings."""
        happenings = [happening for walk in list(self._walks.values()) for happening in self._end(walk)]
        return happenings + [self._leave(person) for person in list(self._there)]

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
            others = sum(other is not walk for other, _ in self.inside(place))
            happening = happening._replace(count=others + (direction == "in"))
        walk.waiting.append((place, happening))

    def _identify(self) -> list:
        """Follows decisions about who is who."""
        self._follow_names()
        happenings = []
        for walk in list(self._walks.values()):
            if not walk.track.decided or walk.track not in self._walks:
                continue
            person = final_person(walk.track.person)
            earlier = None if walk.known else self._earlier(walk, person)
            walk.known = True
            walk.person = person or final_person(walk.person)  # a short track that shows nobody known continues another
            if earlier is not None:
                self._join(earlier, walk)
            if person is not None:
                happenings += self._be_there(walk, person)
            if self._is_somebody(walk):
                happenings += self._release(walk)
        return happenings

    def _be_there(self, walk: Walk, person) -> list:
        """A person is before the camera, from the first box of the track on that shows him or her."""
        happenings = []
        there = self._there.get(person)
        if there is not None and walk.track.first - there.last > GAP_SECONDS:
            happenings.append(self._leave(person))
            there = None
        if there is None:
            self._there[person] = Presence(walk.track.first, walk.last, float(walk.track.similarity))
            happenings.append(self._presence("seen", walk.track.first, person, self._there[person]))
        elif walk.last >= there.last:
            there.last = walk.last
            there.similarity = float(walk.track.similarity)
        return happenings

    def _leave(self, person) -> Happening:
        there = self._there.pop(person)
        return self._presence("left", there.last, person, there)._replace(stay=there.last - there.first)

    def _presence(self, kind: str, seconds: float, person, there: Presence) -> Happening:
        count = sum(self.now - other.last <= GAP_SECONDS for other in self._there.values())
        return Happening(kind, seconds, person, there.similarity, count=count)

    def _follow_names(self) -> None:
        """Two people who were given one name are one; forgotten people are nobody."""
        for person in list(self._there):
            final = final_person(person)
            if final is person:
                continue
            there = self._there.pop(person)
            if final is not None:
                other = self._there.setdefault(final, there)
                other.first = min(other.first, there.first)
                other.last = max(other.last, there.last)

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
        return self._release(walk)

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
