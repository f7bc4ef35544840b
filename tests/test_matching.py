"""The benchmark of matching in a short run."""

import json

from benchmarks import matching
from utils.live import identities


def test_matching_times_exact_and_coarse_searches(tmp_path, monkeypatch):
    monkeypatch.setattr(identities, "COARSE_FROM", 200)
    words = ["--people", "20", "300", "--embedding_size", "64", "--repeats", "2", "--looks", "3"]
    matching.main(matching.parse_args([*words, "--json", str(tmp_path / "m.json")]))
    found = json.loads((tmp_path / "m.json").read_text())
    for count in (20, 300):
        own = found[f"people{count}"]
        assert own["bare_ms"] > 0 and own["search_ms"] > 0
        assert 0 < own["rank1"] <= 1 and abs(own["rank1"] - own["rank1_exact"]) < 0.05
    assert found["people20"]["rank1"] > found["people300"]["rank1"]  # more people are harder
    assert identities.COARSE_FROM == 200
