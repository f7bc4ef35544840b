"""Events as other programs meet them: read while they are written, through pipes, on a full disk."""

import json
import os
import resource
import subprocess
import sys
import threading
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from utils.errors import InputError
from utils.files import WriteError
from utils.live.events import Events
from utils.live.person import Person
from utils.live.walks import Happening

FILE = SimpleNamespace(name="walk.mp4", live=False, fps=10.0, every=1)
THINNED = SimpleNamespace(name="walk.mp4", live=False, fps=10 / 3, every=3)
LIVE = SimpleNamespace(name="door", live=True, fps=30.0)
ANNA = Person(3, 0, np.zeros(2), 1, "Zoë ✓")
CROSSED = Happening("line", 12.1, ANNA, 0.83214, "door", "in", 4)
LEFT = Happening("left", 12.1, None, float("nan"), count=0, stay=7.456)


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_has_all_keys_and_can_be_read_at_once(tmp_path):
    path = tmp_path / "events.jsonl"
    before = datetime.now(timezone.utc)
    with Events(path, [FILE]) as events:
        events.write([])  # the first frame
        after = datetime.now(timezone.utc)
        events.write([(0, CROSSED)])
        (first,) = read(path)  # before the file is closed
        events.write([(0, LEFT), (0, LEFT)])
        assert len(read(path)) == 3
    moment = datetime.fromisoformat(first.pop("time"))
    position = timedelta(seconds=12.0)  # frame 121 at 10 fps, the first one is at 0
    assert before + position - timedelta(milliseconds=2) <= moment <= after + position
    assert moment.utcoffset() is not None
    wanted = {"camera": "walk.mp4", "event": "line", "person": 3, "name": "Zoë ✓", "similarity": 0.8321}
    assert first == {**wanted, "place": "door", "direction": "in", "count": 4, "seconds": None}
    left = read(path)[1]
    assert list(left)[:1] + list(left)[1:] == ["time", *first]  # all lines have the same keys
    assert (left["person"], left["name"], left["similarity"], left["seconds"]) == (None, None, None, 7.46)


@pytest.mark.parametrize("camera", [FILE, THINNED])
def test_the_first_frame_of_a_file_is_the_start(camera, tmp_path):
    with Events(tmp_path / "e", [camera]) as events:
        begun = datetime.now(timezone.utc)
        events.write([(0, CROSSED._replace(seconds=0.1))])
    (row,) = read(tmp_path / "e")
    assert (
        abs(datetime.fromisoformat(row["time"]) - begun) < timedelta(seconds=0.05) + datetime.now(timezone.utc) - begun
    )


def test_the_time_of_a_camera_is_the_clock(tmp_path):
    with Events(tmp_path / "e", [FILE, LIVE]) as events:
        now = datetime.now(timezone.utc)
        events.write([(1, CROSSED._replace(seconds=time.monotonic() - 90))])
    (row,) = read(tmp_path / "e")
    late = datetime.fromisoformat(row["time"]) - (now - timedelta(seconds=90))
    assert row["camera"] == "door" and timedelta(seconds=-0.01) < late < timedelta(seconds=60)


def test_a_file_is_continued(tmp_path):
    path = tmp_path / "events.jsonl"
    for _ in range(2):
        with Events(path, [FILE]) as events:
            events.write([(0, CROSSED)])
    assert len(read(path)) == 2
    with Events(None, [FILE]) as events:
        events.write([(0, CROSSED)])


def test_a_full_disk_is_one_sentence_and_leaves_whole_lines(tmp_path):
    path = tmp_path / "events.jsonl"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))  # as a full disk, see tests/test_disk_full.py
    try:
        with pytest.raises(WriteError, match=f"{path} cannot be written .* make room"), Events(path, [FILE]) as events:
            for _ in range(20):
                events.write([(0, CROSSED)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert 2 <= len(read(path)) < 10  # each of them is whole
    for place in (tmp_path, tmp_path / "nowhere" / "e"):
        with pytest.raises(InputError, match="cannot be written"):
            Events(place, [FILE])


def test_the_reader_of_a_named_pipe_may_end(tmp_path, capsys):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    lines = []

    def reader():
        with path.open() as pipe:
            lines.append(pipe.readline())

    thread = threading.Thread(target=reader)
    thread.start()
    with Events(path, [FILE]) as events:
        events.write([(0, CROSSED)])
        thread.join(20)
        events.write([(0, CROSSED)])
        events.write([(0, CROSSED)])
    assert json.loads(lines[0])["event"] == "line"
    assert capsys.readouterr().err == f"note: the reader of {path} has ended: no more events are written\n"


def test_standard_output_is_unbuffered_and_its_reader_may_end():
    """`| head -1` is done after the first line: the script is told so, and ends well."""
    script = (
        "import sys; from types import SimpleNamespace; from utils.live.events import Events; asked = []\n"
        "camera = SimpleNamespace(name='walk.mp4', live=False, fps=10, every=1)\n"
        "row = SimpleNamespace(kind='line', seconds=1, person=None, similarity=0.5, place='door', direction='in')\n"
        "row.count = 1; row.stay = None\n"
        "with Events('-', [camera], lambda: asked.append(1)) as events:\n"
        "    while not asked: events.write([(0, row)])\n"
        "print('ended', len(asked), file=sys.stderr)"
    )
    command = f'"{sys.executable}" -c "$SCRIPT" | head -1'
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=Path(__file__).parent.parent,
        env={**os.environ, "SCRIPT": script},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert json.loads(done.stdout)["place"] == "door"
    assert (done.returncode, done.stderr) == (0, "ended 1\n")
