"""Crossings of lines and stays in zones, from the foot points of boxes. Pure geometry.

The foot point is the middle of a box's lower edge, where a person stands. Boxes jitter, so a foot point near a line
says nothing. A crossing counts when somebody who was clearly on one side is clearly on the other, a margin away, and
went through between the two ends: hysteresis, as in a Schmitt trigger. Somebody is in a zone from the first foot point
inside until one is clearly outside. Distances are in frame heights.
"""

from __future__ import annotations

import copy
import math

from utils.live.places import Place


class LinePath:
    """What one walk did at a line: side is -1 or 1, where it was clearly last, 0 before that.

    through: whether its last change of sides, clear or not, lay between the ends of the line.
    """

    def __init__(self):
        self.first = None
        self.first_clear = None
        self.last = None
        self.side = 0
        self.through = False


class Line:
    """A line and its crossings.

    "in" is from the left to the right hand of someone who looks from the first point to the second. In an image this
    is downward for a line that runs from left to right.
    """

    kind = "line"

    def __init__(self, place: Place, aspect: float):
        """aspect: width / height of the frame."""
        self.place = place
        self.counts = {"in": 0, "out": 0}
        self.people = {"in": set(), "out": set()}  # of Person
        self._start, self._end = ((x * aspect, y) for x, y in place.points)
        self._length = math.dist(self._start, self._end)

    def new_path(self) -> LinePath:
        return LinePath()

    def distance(self, point) -> float:
        """Of (x, y) to the endless line; positive on the right hand."""
        return self._cross(point) / self._length

    def _cross(self, point) -> float:
        along = self._end[0] - self._start[0], self._end[1] - self._start[1]
        return along[0] * (point[1] - self._start[1]) - along[1] * (point[0] - self._start[0])

    def _meets(self, point, following) -> bool:
        """Whether the straight way between two points on different sides meets the line between its ends."""
        before = self.distance(point)
        share = before / (before - self.distance(following))
        place = [a + share * (b - a) for a, b in zip(point, following)]
        along = [b - a for a, b in zip(self._start, self._end)]
        position = sum((p - a) * d for p, a, d in zip(place, self._start, along)) / self._length**2
        return 0 <= position <= 1

    def step(self, path: LinePath, point, margin: float, seconds: float = 0.0):
        """Moves a path on to a foot point (x, y); "in" or "out" if it has crossed, else None."""
        distance = self.distance(point)
        if path.last is not None and (distance >= 0) != (self.distance(path.last) >= 0):
            path.through = self._meets(path.last, point)
        path.first = path.first or point
        path.last = point
        if abs(distance) <= margin:
            return None
        side = 1 if distance > 0 else -1
        path.first_clear = path.first_clear or point
        crossed = path.side == -side and path.through
        path.side = side
        return {1: "in", -1: "out"}[side] if crossed else None

    def join(self, earlier: LinePath, path: LinePath):
        """Makes a path continue an earlier one; "in" or "out" if it crossed in between, else None."""
        whole = copy.copy(earlier)
        self.step(whole, path.first, math.inf)
        if path.first_clear is not None:
            return self.step(whole, path.first_clear, 0.0)
        self.step(whole, path.last, math.inf)
        path.side = whole.side
        path.through = whole.through
        return None


class Stay:
    """When a walk entered a zone, in seconds; None outside."""

    def __init__(self):
        self.since = None


class Zone:
    """A polygon, who is in it, and how long everybody stayed.

    people: {Person, or None for unknown people: [number of stays, seconds in all]}, of stays that have ended.
    """

    kind = "zone"

    def __init__(self, place: Place, aspect: float):
        """aspect: width / height of the frame."""
        self.place = place
        self.people = {}
        self._points = [(x * aspect, y) for x, y in place.points]
        self._edges = list(zip(self._points, [*self._points[1:], self._points[0]]))

    def new_path(self) -> Stay:
        return Stay()

    def contains(self, point) -> bool:
        """Whether (x, y) is inside: a ray to the right meets an odd number of edges."""
        x, y = point
        inside = False
        for (left, top), (right, bottom) in self._edges:
            if (top > y) != (bottom > y) and x < left + (y - top) / (bottom - top) * (right - left):
                inside = not inside
        return inside

    def distance(self, point) -> float:
        """Of (x, y) to the nearest edge."""
        return min(_distance_to(point, start, end) for start, end in self._edges)

    def step(self, stay: Stay, point, margin: float, seconds: float):
        """Moves a stay on to a foot point (x, y); "in" or "out" if it begins or has ended, else None."""
        inside = self.contains(point)
        if stay.since is None:
            stay.since = seconds if inside else None
            return "in" if inside else None
        return "out" if not inside and self.distance(point) > margin else None

    def add_stay(self, person, seconds: float) -> None:
        total = self.people.setdefault(person, [0, 0.0])
        total[0] += 1
        total[1] += seconds


def _distance_to(point, start, end) -> float:
    """Of a point to the straight line between two points."""
    along = end[0] - start[0], end[1] - start[1]
    offset = point[0] - start[0], point[1] - start[1]
    length = along[0] ** 2 + along[1] ** 2
    share = (offset[0] * along[0] + offset[1] * along[1]) / length if length else 0.0
    share = min(max(share, 0.0), 1.0)
    return math.dist(offset, (share * along[0], share * along[1]))


def foot_of(box, aspect: float = 1.0) -> tuple:
    """[ymin, xmin, ymax, xmax] in 0..1 -> (x, y) of the middle of the lower edge, in frame heights."""
    return (float(box[1]) + float(box[3])) / 2 * aspect, float(box[2])


def outside_of(zones, boxes) -> list:
    """Indices of the boxes (N, 4) whose foot point is in none of the zones, which have aspect 1."""
    return [index for index, box in enumerate(boxes) if not any(zone.contains(foot_of(box)) for zone in zones)]
