"""Lines, zones and regions of the demo's options: their texts become points. Standard library only."""

from __future__ import annotations

import argparse
import math
import re
from typing import NamedTuple

from utils.errors import InputError

LONGEST = 30  # characters of a name, so that it fits into the frame
AREA = 1e-4  # of the frame, below which a polygon is a slip


class Place(NamedTuple):
    """A line or polygon in one camera's frame."""

    name: str
    source: int  # index of the --source, from 0
    points: tuple  # of (x, y), each 0..1 of the frame's width and height; a line has two


def as_line(text: str) -> Place:
    """door:0.5,0,0.5,1 or door@1:0.5,0,0.5,1 -> Place of two points."""
    wanted = "NAME:x0,y0,x1,y1, such as door:0.5,0,0.5,1"
    place = _parse(text, wanted)
    if len(place.points) != 2 or math.dist(*place.points) < math.sqrt(AREA):
        raise argparse.ArgumentTypeError(f"'{text}' is not {wanted}: a line has two different points")
    return place


def as_zone(text: str) -> Place:
    """till:0.1,0.1,0.5,0.1,0.5,0.9 -> Place of three points or more; two points are corners of a rectangle."""
    return _polygon(text, "NAME:x,y,x,y,..., such as till:0.1,0.1,0.5,0.1,0.5,0.9")


def as_region(text: str) -> Place:
    """As as_zone, without a name: 0,0,1,0.2 or @1:0,0,1,0.2."""
    head, colon, _ = text.rpartition(":")
    if head and not head.startswith("@"):
        raise argparse.ArgumentTypeError(f"'{text}' has a name: write x,y,x,y,..., such as 0,0,1,0.2, or @1:0,0,1,0.2")
    return _polygon(f"region{text if colon else ':' + text}", "x,y,x,y,..., such as 0,0,1,0.2", text)


def _polygon(text: str, wanted: str, given=None) -> Place:
    place = _parse(text, wanted, given)
    points = place.points
    if len(points) == 2:
        (left, top), (right, bottom) = points
        points = ((left, top), (right, top), (right, bottom), (left, bottom))
    if len(points) < 3 or abs(area(points)) < AREA:
        raise argparse.ArgumentTypeError(
            f"'{text if given is None else given}' is not {wanted}: give three points that enclose something, or two "
            "corners of a rectangle"
        )
    return place._replace(points=points)


def _parse(text: str, wanted: str, given=None) -> Place:
    given = text if given is None else given
    head, colon, numbers = text.rpartition(":")
    matched = re.fullmatch(r"([^@:]+)(?:@([0-9]{1,3}))?", head)
    if not colon or not matched or not matched[1].strip() or not matched[1].isprintable():
        raise argparse.ArgumentTypeError(f"'{given}' is not {wanted}")
    if len(matched[1].strip()) > LONGEST:
        raise argparse.ArgumentTypeError(f"'{given}': a name has {LONGEST} characters at most")
    try:
        values = [float(number) for number in numbers.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{given}' is not {wanted}") from None
    if len(values) % 2:
        raise argparse.ArgumentTypeError(f"'{given}' has {len(values)} numbers: each point needs two, x and y")
    if not all(0 <= value <= 1 for value in values):
        raise argparse.ArgumentTypeError(f"'{given}': x and y are shares of the frame, from 0 to 1")
    points = tuple(zip(values[::2], values[1::2]))
    return Place(matched[1].strip(), int(matched[2] or 0), points)


def area(points) -> float:
    """The area of a polygon with its sign, positive if it runs clockwise in an image."""
    following = [*points[1:], points[0]]
    return sum(x * next_y - next_x * y for (x, y), (next_x, next_y) in zip(points, following)) / 2


def check_places(places, sources: int) -> None:
    """InputError if two places have one name, or one names a source that there is not.

    places: (option, Place) each; sources: number of them.
    """
    taken = set()
    for option, place in places:
        if place.source >= sources:
            last = "it is @0" if sources == 1 else f"they are @0 to @{sources - 1}"
            raise InputError(f"{option} names source @{place.source}, and there is no such --source: {last}")
        if option == "--ignore":
            continue
        if place.name in taken:
            raise InputError(f"{option} {place.name}: another line or zone has that name: choose a second one")
        taken.add(place.name)
