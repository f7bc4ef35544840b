"""Counts, rates and the progress line of a run, on a clock that the tests set."""

from types import SimpleNamespace

import numpy as np
import pytest

from utils.live import timing
from utils.live.timing import STAGES, RunStats, Timer, format_table


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def result(boxes, embedded):
    return SimpleNamespace(boxes=np.zeros((boxes, 4)), num_embedded=embedded)


def test_run_stats_count_people_and_rates():
    clock = Clock()
    stats = RunStats(now=clock)
    for frame in range(40):
        clock.now += 1.0 if frame < 10 else 0.1
        fps = stats.count([result(3, 1), None, result(1, 1)])
    assert fps == pytest.approx(10)  # of the newest frames alone
    assert stats.mean_fps == pytest.approx(40 / 13) and stats.seconds == pytest.approx(13)
    assert (stats.frames, stats.images, stats.boxes, stats.embedded) == (40, 80, 160, 80)
    assert stats.share_embedded == 0.5 and stats.people_per_image == 2


def test_run_stats_progress_line(monkeypatch, capsys):
    monkeypatch.setattr(timing, "line_interval", lambda: 10)
    clock = Clock()
    stats = RunStats(length=1795, now=clock)
    for _ in range(240):
        clock.now += 1 / 16
        stats.show_progress(stats.count([result(1, 0)]))
    assert capsys.readouterr().out == "frame 160 of 1,795, 16.0 frames/s, 1:42 left\n"  # after 10 of 15 seconds


def test_run_stats_progress_line_of_unknown_length(monkeypatch, capsys):
    monkeypatch.setattr(timing, "line_interval", lambda: 2)
    clock = Clock()
    stats = RunStats(now=clock)
    for _ in range(4):
        clock.now += 1.0
        stats.show_progress(stats.count([None]))
    assert capsys.readouterr().out == "frame 2, 1.0 frames/s\nframe 4, 1.0 frames/s\n"


def test_timer_adds_laps_to_stages(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=clock))
    timer = Timer()
    for milliseconds in (10, 20, 30):
        for stage, times in (("capture", 1), ("match", 2), ("embed", 3), ("match", 4)):
            clock.now += times * milliseconds / 1000
            timer.lap(stage)
        timer.next_frame()
    found = timer.milliseconds()
    assert set(found) == {*STAGES, "all"} and found["draw"] == {"median": 0, "p95": 0}
    assert found["match"] == {"median": pytest.approx(120), "p95": pytest.approx(174)}
    assert found["all"]["median"] == pytest.approx(200)
    timer.restart()
    assert not timer.rows


def test_format_table():
    stats = RunStats()
    stats.count([result(2, 1)])
    table = format_table(Timer(), stats, {"power_mode": "15W"})
    assert "1.0" not in table.splitlines()[1] and table.splitlines()[1].split()[0] == "capture"
    assert "2.0 people per image, 50 % of them embedded" in table and "power mode: 15W" in table
