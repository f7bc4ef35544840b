"""The tracks that the demo records, in MOTChallenge's text form: complete, and in the order of frames."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np

from utils.files import AtomicFile, WriteError, writing

GAP_SECONDS = 2.0  # longest time without a box of a person that is filled in


class Row(NamedTuple):
    """A box of one person in one frame."""

    box: np.ndarray  # (4,) [ymin, xmin, ymax, xmax] in 0..1
    score: float


class Frame(NamedTuple):
    """What one frame shows."""

    number: int
    seconds: float
    sightings: list  # of (track, Row) that wait for the track's decision
    rows: dict  # person id -> Row, of decided tracks and filled gaps


class TracksFile:
    """Tracks in MOTChallenge's text form: frame, id, left, top, width, height, score, -1, -1, -1.

    Frames, ids and pixels count from 1 there, so a box in the upper left corner has left = top = 1. A line waits until
    it is decided who its track is, so the first boxes of a track have the number of the later ones. Between two boxes
    of a person that are at most GAP_SECONDS apart, the missing ones are interpolated, as ByteTrack does. Unknown people
    get no line, because tools that read such files would take any id, -1 too, for one person.
    """

    def __init__(self, target, size: tuple):
        """size: (width, height) of the frames in pixels."""
        self._width, self._height = size
        self._file = AtomicFile(target)
        self._lines = self._file.path.open("wb", buffering=0)  # a full disk is noticed at once, and nothing waits
        self._is_full = False
        self._frames = deque()  # that are not written yet

    def write(self, number: int, seconds: float, result) -> None:
        """Takes in the FrameResult of a frame; number: from 1, seconds: its time, both higher than the last ones."""
        sightings = []
        for track, box, score in zip(result.tracks, result.boxes, result.scores):
            sightings.append((track, Row(np.asarray(box, np.float64), float(score))))
        self._frames.append(Frame(number, seconds, sightings, {}))
        while self._frames and seconds - self._frames[0].seconds > GAP_SECONDS and self._is_decided():
            self._write_first()

    def _is_decided(self) -> bool:
        """Whether all tracks are decided that the first frame, and those that its gaps reach, show."""
        end = self._frames[0].seconds + GAP_SECONDS
        for frame in self._frames:
            if frame.seconds > end + 1e-6:
                return True
            if any(not track.decided for track, _ in frame.sightings):
                return False
        return True

    def _write_first(self) -> None:
        """Writes the first frame, after filling the gaps that begin there."""
        first = self._frames[0]
        near = [frame for frame in self._frames if frame.seconds - first.seconds <= GAP_SECONDS + 1e-6]
        for frame in near:
            self._resolve(frame)
        for person_id, row in first.rows.items():
            end = next((place for place in range(1, len(near)) if person_id in near[place].rows), 1)
            for frame in near[1:end]:
                share = (frame.number - first.number) / (near[end].number - first.number)
                last = near[end].rows[person_id]
                score = (1 - share) * row.score + share * last.score
                frame.rows[person_id] = Row((1 - share) * row.box + share * last.box, score)
        self._frames.popleft()
        for person_id, row in first.rows.items():
            top, left, bottom, right = row.box * [self._height, self._width, self._height, self._width]
            numbers = ",".join(f"{number:.2f}" for number in (left + 1, top + 1, right - left, bottom - top))
            self._write_line(f"{first.number},{person_id},{numbers},{row.score:.4f},-1,-1,-1\n".encode())

    def _write_line(self, line: bytes) -> None:
        """Writes the whole line; WriteError, and nothing of it is left, if there is no room."""
        end = self._lines.tell()
        try:
            with writing(self.target):
                while line:
                    line = line[self._lines.write(line) :]
        except WriteError:
            self._is_full = True
            self._lines.truncate(end)
            raise

    @staticmethod
    def _resolve(frame: Frame) -> None:
        """Moves the sightings of a frame to its rows; each person has one, also after two were merged by a name."""
        for track, row in frame.sightings:
            person = track.person
            while person is not None and person.merged_into is not None:
                person = person.merged_into
            if person is not None and not person.forgotten:
                frame.rows.setdefault(person.person_id, row)
        frame.sightings.clear()

    @property
    def target(self):
        return self._file.target

    def commit(self, target=None) -> None:
        """target: another name for the file. Frames for which there is no room are left out."""
        while self._frames and not self._is_full:
            self._write_first()
        self._lines.close()
        self._file.commit(target)

    def discard(self) -> None:
        self._lines.close()
        self._file.discard()
