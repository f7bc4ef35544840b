"""Progress lines, by a clock that the test moves."""

from utils import progress


def test_lines_come_now_and_then_and_tell_rate_and_time_left(monkeypatch, capsys):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    works = progress.Progress("gallery", 1000, "pictures"), progress.Progress(None, 1000, "pictures")
    for second in (160, 164, 170, 171, 180):  # the first minute is preparation and counts for nobody's rate
        now[0] = float(second)
        for work in works:
            work.add(100)
    assert capsys.readouterr().out.splitlines() == [
        "gallery: 300/1000 pictures, 20 a second, 35 s left",
        "gallery: 500/1000 pictures, 20 a second, 25 s left",
    ]


def test_what_is_done_soon_says_nothing(capsys):
    work = progress.Progress("query", 3, "pictures")
    for _ in range(3):
        work.add(1)
    assert capsys.readouterr().out == ""
