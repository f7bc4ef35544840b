"""The lines and zones of all cameras: their numbers for the frame, the page and the summary of a run."""

from __future__ import annotations

from utils.live.counting import Line, Zone
from utils.live.walks import Counter, final_person


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
