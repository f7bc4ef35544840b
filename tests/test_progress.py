"""Progress lines by a clock that the test moves, and requests to stop."""

import os
import signal

import pytest

from utils import progress


def test_progress_prints_now_and_then_with_rate_and_time_left(monkeypatch, capsys):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    works = progress.Progress("gallery: embedded", 4000), progress.Progress(None, 4000)
    for second in (105, 111, 115, 120, 125):
        now[0] = float(second)
        for work in works:
            work.add(500)
    assert capsys.readouterr().out.splitlines() == [
        "  gallery: embedded 1,000 of 4,000 images, 91 images/s, 0:33 left",
        "  gallery: embedded 2,500 of 4,000 images, 100 images/s, 0:15 left",
    ]


def test_progress_of_short_work_prints_nothing(capsys):
    work = progress.Progress("ranked", 3, "queries")
    for _ in range(3):
        work.add()
    assert capsys.readouterr().out == ""


def test_clock():
    assert [progress.clock(seconds) for seconds in (5, 90, 4000)] == ["0:05", "1:30", "1:06:40"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stop_request_the_first_signal_asks_and_the_second_stops(number, capsys):
    handler = signal.getsignal(number)
    with progress.StopRequest("finishing") as stop:
        assert not stop.requested
        os.kill(os.getpid(), number)
        assert stop.requested
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert capsys.readouterr().out == "\nfinishing\n"
    assert signal.getsignal(number) is handler
