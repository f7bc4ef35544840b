"""The tables that test_reid.py prints."""

from utils.evaluation import tables


def test_letters():
    assert tables.letters(1) == [""]
    assert tables.letters(3) == ["A", "B", "C"]


def test_letters_past_z():
    names = tables.letters(60)
    assert names[25:28] == ["Z", "A1", "B1"] and names[51:53] == ["Z1", "A2"]
    assert len(set(names)) == 60


def test_print_camera_pairs(capsys):
    pairs = [
        {"query_camera": 1, "gallery_camera": 2, "rank1": 50.0, "queries": 4},
        {"query_camera": 12, "gallery_camera": 1, "rank1": 100.0, "queries": 1234},
    ]
    tables.print_camera_pairs("m0", pairs)
    heading, columns, first, second = capsys.readouterr().out.strip().splitlines()
    assert heading.endswith(": m0")
    assert columns.split() == ["query", "camera", "1", "camera", "2"]
    assert first.split() == ["camera", "1", "-", "50.0", "(4)"]
    assert second.split() == ["camera", "12", "100.0", "(1234)", "-"]
    assert len(columns) == len(first) == len(second)  # the cells are aligned
