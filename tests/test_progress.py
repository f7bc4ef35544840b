"""Progress lines, by a clock that the test moves."""

from utils import progress


def test_lines_come_now_and_then_and_tell_rate_and_time_left(monkeypatch, capsys):
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


def test_what_is_done_soon_says_nothing(capsys):
    work = progress.Progress("ranked", 3, "queries")
    for _ in range(3):
        work.add()
    assert capsys.readouterr().out == ""


def test_clock():
    assert [progress.clock(seconds) for seconds in (5, 90, 4000)] == ["0:05", "1:30", "1:06:40"]
