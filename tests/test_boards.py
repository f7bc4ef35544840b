"""benchmarks/boards.py: its scores by hand, and the costs of stores with a real Redis server."""

import json

import numpy as np
import pytest

from benchmarks import boards, footage
from benchmarks.redis_server import RedisServer
from tests.redis_server import needs_redis
from tests.test_tracks import LEFT, NUMBERED
from utils.live import people_redis, redis_link

BOX = np.array([0.1, 0.1, 0.5, 0.2], np.float32)
OTHER = np.array([0.1, 0.6, 0.5, 0.7], np.float32)


def test_the_usual_number_is_that_of_most_boxes_with_one():
    rows = [(0, 1, 5), (1, 1, 7), (2, 1, 7), (3, 2, 0), (4, 2, 0), (5, 2, 9), (6, 3, 0)]
    assert boards.usual_numbers(np.array(rows)) == {1: 7, 2: 9}


def test_people_of_both_halves_have_one_number_or_two(monkeypatch):
    """Person 1 is number 4 in both halves, person 2 is 5 and then 6, and person 3 is in one half only."""
    truth = {0: [(1, BOX), (2, OTHER)], 1: [(1, BOX), (2, OTHER)], 2: [(3, BOX)]}
    monkeypatch.setattr(footage, "people_by_eye", lambda: truth)
    both = np.stack([BOX, OTHER])
    shown = [{0: (both, np.array([4, 5]))}, {1: (both, np.array([4, 6])), 2: (BOX[np.newaxis], np.array([8]))}]
    figures = boards.score(shown)
    assert (figures["in_both"], figures["same"], figures["people"], figures["numbers"]) == (2, 1, 3, 4)


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """A busy machine is not a server that is away."""
    monkeypatch.setattr(people_redis, "WAIT_SECONDS", 20.0)
    monkeypatch.setattr(redis_link, "TIMEOUT", 20.0)


@needs_redis
def test_two_boards_play_as_one_process_does(tmp_path):
    """Somebody is seen by the second camera after the first, and has the number of the first."""
    face = np.eye(1, 16, dtype=np.float32)
    frames = NUMBERED + 2
    there = [boards.Look(frame, np.array([LEFT]), np.array([0.9]), face) for frame in range(2 * frames)]
    gone = [boards.Look(frame, np.zeros((0, 4)), np.zeros(0), np.zeros((0, 16))) for frame in range(2 * frames)]
    halves = [there[:frames] + gone[frames:], gone[:frames] + there[frames:]]
    together = boards.play_together(halves, 0.6, 10.0)
    with RedisServer(tmp_path) as server:
        alone = [boards.play_alone(server.url, half, 0.6, 10.0, 0.0) for half in halves]
    for shown in (together, alone):
        assert [int(half[frames - 1][1].max(initial=0)) for half in shown] == [1, 0]
        assert int(shown[1][2 * frames - 1][1].max()) == 1


@needs_redis
def test_the_costs_of_stores_are_measured(tmp_path, capsys):
    words = ["--no_footage", "--people", "20", "--boards", "1", "2", "--seconds", "0.3", "--embedding_size", "32"]
    boards.main(boards.parse_args([*words, "--json", str(tmp_path / "boards.json")]))
    written = json.loads((tmp_path / "boards.json").read_text())
    assert set(written) == {"command", "machine", "stores", "boards"} and set(written["boards"]) == {
        "boards1",
        "boards2",
    }
    own = written["stores"]["people20"]
    assert own["redis_mb"] > 0 and own["file_mb"] > 0
    for name in ("memory", "file", "redis"):
        assert 0 < own[name]["frame_ms"]["median"] <= own[name]["frame_ms"]["max"]
        assert own[name]["number_ms"]["median"] > 0
    assert written["boards"]["boards2"]["sent_kb_per_s"] > 0
    assert "a number" in capsys.readouterr().out
