"""What people do before the cameras, as JSON lines for other programs: one object a line, written at once."""

from __future__ import annotations

import json
import math
import os
import stat
import sys
import time
from datetime import datetime, timedelta, timezone

from utils.files import WriteError, writing

STDOUT = "-"


class Events:
    """Appends a line for each Happening of utils/live/walks.py to a file, a named pipe or standard output.

    Each line has the keys time (ISO 8601 with zone), camera, event (seen, left, line or zone), person (number), name,
    similarity, place (line or zone), direction (in or out), count and seconds; null where there is nothing to say. The
    time of a camera is the clock's; that of a file is the start of the run and the position in the file.
    """

    def __init__(self, target, cameras, on_reader_end=lambda: None):
        """target: a path, "-" for standard output, None for no events. cameras: of the Camera class.

        on_reader_end: called when nobody reads standard output any more. WriteError if the file cannot be written.
        A named pipe waits for its reader.
        """
        self._target = "standard output" if target == STDOUT else target
        self._cameras = cameras
        self._on_reader_end = on_reader_end
        self._start = None  # of the run
        self._file = None
        if target is None:
            return
        with writing(self._target):
            if target == STDOUT:
                self._file = os.dup(sys.__stdout__.fileno())
            else:
                self._file = os.open(target, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)

    def write(self, happenings) -> None:
        """happenings: [(index of the camera, Happening)] of a step of the run; the first call is its start.

        WriteError, and no part of a line is left, if the disk is full.
        """
        self._start = self._start or datetime.now(timezone.utc)
        for index, happening in happenings:
            if self._file is None:
                return
            self._write_line(json.dumps(self.describe(index, happening)) + "\n")

    def describe(self, index: int, happening) -> dict:
        """The object of a line; index: of the camera."""
        person = happening.person
        similarity = happening.similarity
        seconds = happening.stay
        return {
            "time": self._time(index, happening.seconds).isoformat(timespec="milliseconds"),
            "camera": self._cameras[index].name,
            "event": happening.kind,
            "person": None if person is None else person.person_id,
            "name": None if person is None else person.name,
            "similarity": round(similarity, 4) if math.isfinite(similarity) else None,
            "place": happening.place,
            "direction": happening.direction,
            "count": happening.count,
            "seconds": None if seconds is None else round(seconds, 2),
        }

    def _time(self, index: int, seconds: float) -> datetime:
        """The local time of a camera's seconds."""
        if self._cameras[index].live:  # these are seconds of time.monotonic
            moment = datetime.now(timezone.utc) - timedelta(seconds=time.monotonic() - seconds)
        else:
            camera = self._cameras[index]
            period = 1 / (camera.fps * camera.every)  # of the file; its first frame is at 0
            moment = self._start + timedelta(seconds=seconds - period)
        return moment.astimezone()

    def _write_line(self, line: str) -> None:
        rest = line.encode()
        status = os.fstat(self._file)
        try:
            with writing(self._target):
                while rest:
                    rest = rest[self._put(rest) :]
        except WriteError:
            if stat.S_ISREG(status.st_mode):
                os.truncate(self._file, status.st_size)
            self.close()
            raise

    def _put(self, content: bytes) -> int:
        """Writes a part and returns its length. A reader that has ended is no error.

        Without that of standard output the run ends as by Ctrl-C; without the reader of a named pipe the run goes on.
        """
        try:
            return os.write(self._file, content)
        except BrokenPipeError:
            self.close()
            if self._target == "standard output":
                self._on_reader_end()
            else:
                print(f"note: the reader of {self._target} has ended: no more events are written", file=sys.stderr)
            return len(content)

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def __enter__(self) -> Events:
        return self

    def __exit__(self, *_):
        self.close()
