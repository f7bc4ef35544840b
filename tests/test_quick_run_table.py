"""The closing table of quick_run.sh, from the files that the run wrote."""

import json

from benchmarks import quick_run_table
from utils.device import origin


def test_quick_run_table_collects_the_figures(tmp_path, capsys):
    for name, rank1 in (("untrained", 8.123), ("id", 50.0), ("reid", 75.0)):
        (tmp_path / f"{name}.json").write_text(json.dumps({"rank1": rank1, "rank5": 90.0, "mAP": 40.0, "rank10": 1.0}))
    arguments = ["--folder", str(tmp_path), "--json", str(tmp_path / "quick_run.json"), "--seconds", "61"]
    quick_run_table.main(quick_run_table.parse_args(arguments))
    assert json.loads((tmp_path / "quick_run.json").read_text())["demo"] is None
    (tmp_path / "frozen" / "reid").mkdir(parents=True)
    (tmp_path / "frozen" / "reid" / "manifest.json").write_text(
        json.dumps({"parity": {"min": 0.9, "mean": 1.0, "measure": ""}})
    )
    (tmp_path / "demo.json").write_text(json.dumps({"fps": 12.5, "video": "people.mp4", "identities": 4}))
    quick_run_table.main(quick_run_table.parse_args(arguments))
    assert json.loads((tmp_path / "quick_run.json").read_text()) == {
        "untrained": {"rank1": 8.123, "rank5": 90.0, "mAP": 40.0},
        "id": {"rank1": 50.0, "rank5": 90.0, "mAP": 40.0},
        "reid": {"rank1": 75.0, "rank5": 90.0, "mAP": 40.0},
        "parity": {"min": 0.9, "mean": 1.0},
        "demo": {"fps": 12.5, "video": "people.mp4"},
        "seconds": 61,
        **origin("bash quick_run.sh"),
    }
    assert "12.5 frames per second" in capsys.readouterr().out
