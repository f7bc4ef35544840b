"""The evaluation against loops over the published protocol, and against small cases computed by hand."""

import json
import tracemalloc

import numpy as np
import pytest

from benchmarks import evaluation as benchmark
from tests.helpers import as_sets
from utils import metrics

PERCENTAGES = ("rank1", "rank5", "rank10", "rank20", "mAP", "mAP_step", "mINP")


def brute_force(query, query_ids, query_cams, gallery, gallery_ids, gallery_cams):
    """The Market-1501 protocol, one query at a time: sorts the whole gallery and walks down the list."""
    queries = list(zip(query, query_ids, query_cams))
    walks = [walk(*asked, gallery, gallery_ids, gallery_cams) for asked in queries]
    matched = [figures for figures in walks if figures]
    if not matched:
        return None
    figures = {f"rank{k}": 100 * np.mean([first < k for first, _, _, _ in matched]) for k in (1, 5, 10, 20)}
    for index, name in enumerate(("mAP", "mAP_step", "mINP"), 1):
        figures[name] = 100 * np.mean([each[index] for each in matched])
    kept = [identity for identity in gallery_ids if identity != -1]
    counts = {"gallery": len(kept), "junk": len(gallery_ids) - len(kept), "distractors": kept.count(0)}
    counts.update(queries=len(queries), unmatched=len(queries) - len(matched))
    pairs = []
    for asking in sorted(set(query_cams)):
        for other in sorted(set(gallery_cams)):
            seen = gallery_cams == other  # the gallery of this pair of cameras
            one_camera = (gallery[seen], gallery_ids[seen], gallery_cams[seen])
            walks = [walk(*asked, *one_camera) for asked in queries if asked[2] == asking]
            won = [figures[0] == 0 for figures in walks if figures]
            if won:
                pair = {"query_camera": asking, "gallery_camera": other}
                pairs.append({**pair, "rank1": 100 * np.mean(won), "queries": len(won)})
    return {**figures, **counts, "camera_pairs": pairs}


def walk(vector, identity, camera, gallery, gallery_ids, gallery_cams):
    """(first rank, AP by trapezoid, AP by steps, inverse negative penalty) of one query; None without a match."""
    entries = []
    for index in range(len(gallery)):
        if gallery_ids[index] == -1 or (gallery_ids[index] == identity and gallery_cams[index] == camera):
            continue
        right = gallery_ids[index] == identity and identity > 0
        # If two are equal, the wrong one comes first.
        entries.append((-float(np.dot(vector, gallery[index])), right))
    ranking = [right for _, right in sorted(entries)]
    hits = [place for place, right in enumerate(ranking) if right]
    if not hits:
        return None
    old_recall = 0.0
    old_precision = 1.0
    trapezoid = 0.0
    found = 0
    for place, right in enumerate(ranking):  # as in the published evaluation code
        found += right
        recall = found / len(hits)
        precision = found / (place + 1)
        trapezoid += (recall - old_recall) * (old_precision + precision) / 2
        old_recall = recall
        old_precision = precision
    step = sum((n + 1) / (place + 1) for n, place in enumerate(hits)) / len(hits)
    return hits[0], trapezoid, step, len(hits) / (hits[-1] + 1)


def random_case(rng):
    """A small case with junk, distractors, unmatched queries, queries that are distractors, and one-image galleries.

    Embeddings are small integers, so that products are exact and there are many ties.
    """
    queries = int(rng.integers(1, 8))
    entries = int(rng.choice([1, 2, 9, 24]))
    query, gallery = (rng.integers(-2, 3, (n, 3)).astype(np.float32) for n in (queries, entries))
    asked = (query, rng.integers(rng.integers(0, 2), 5, queries), rng.integers(1, 4, queries))
    return (*asked, gallery, rng.integers(-1, 5, entries), rng.integers(1, 4, entries))


@pytest.mark.parametrize(("count_up_to", "cases"), [(64, 1000), (0, 300), (2, 300)])  # counting, sorting, and both
def test_evaluate_agrees_with_brute_force(count_up_to, cases, monkeypatch):
    monkeypatch.setattr(metrics, "COUNT_UP_TO", count_up_to)
    rng = np.random.default_rng(count_up_to)
    compared = 0
    refused = 0
    met = dict.fromkeys(("junk", "distractors", "unmatched"), 0)
    while compared < cases:
        case = random_case(rng)
        expected = brute_force(*case)
        if expected is None:
            with pytest.raises(ValueError, match="another camera"):
                metrics.evaluate(*as_sets(case))
            refused += 1
            continue
        figures = metrics.evaluate(*as_sets(case))
        assert set(figures) == set(expected)
        pairs = figures.pop("camera_pairs")
        expected_pairs = expected.pop("camera_pairs")
        assert figures == pytest.approx(expected, abs=1e-9), case
        assert len(pairs) == len(expected_pairs)
        for pair, expected_pair in zip(pairs, expected_pairs):
            assert pair == pytest.approx(expected_pair, abs=1e-9), case
        compared += 1
        for name in met:
            met[name] += figures[name] > 0
    assert refused > cases // 10 and min(met.values()) > cases // 10


def larger_case(rng):
    query = rng.normal(size=(40, 6))
    gallery = rng.normal(size=(90, 6))
    asked = (query, rng.integers(1, 9, 40), rng.integers(1, 4, 40))
    return (*asked, gallery, rng.integers(-1, 9, 90), rng.integers(1, 4, 90))


def test_evaluate_does_not_depend_on_the_block_size(monkeypatch):
    case = larger_case(np.random.default_rng(1))
    whole = metrics.evaluate(*as_sets(case))
    monkeypatch.setattr(metrics, "BLOCK", 7)
    assert metrics.evaluate(*as_sets(case)) == whole


def test_evaluate_leaves_its_inputs_unchanged():
    case = larger_case(np.random.default_rng(2))
    before = [part.copy() for part in case]
    metrics.evaluate(*as_sets(case))
    assert all(np.array_equal(part, old) for part, old in zip(case, before))


def test_evaluate_holds_a_few_blocks_of_similarities(monkeypatch):
    monkeypatch.setattr(metrics, "BLOCK", 50)
    rng = np.random.default_rng(0)
    query = rng.normal(size=(1000, 8))
    gallery = rng.normal(size=(4000, 8))
    asked = (query, rng.integers(1, 99, 1000), rng.integers(1, 4, 1000))
    tracemalloc.start()
    metrics.evaluate(*as_sets((*asked, gallery, rng.integers(0, 99, 4000), rng.integers(1, 4, 4000))))
    held = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert held < 4 * query.itemsize * 50 * 4000  # of twenty blocks


def test_the_benchmark_measures_an_evaluation_of_its_test_set(tmp_path):
    output = tmp_path / "figures.json"
    options = ["--scale=0.02", "--embedding_size=64", "--rounds=1", "--rerank", f"--json={output}"]
    args = benchmark.parse_args(options)
    benchmark.main(args)
    result = json.loads(output.read_text())
    queries, gallery = benchmark.draw_test_set(args)
    expected = brute_force(*queries[1:], *gallery[1:])
    assert (expected["queries"], expected["gallery"], expected["distractors"]) == (67, 318, 56)
    for name in PERCENTAGES:  # float32 and float64 products may order near ties differently
        assert result["figures"][name] == pytest.approx(expected[name], abs=0.01)
    assert result["rerank"]["figures"]["mAP"] > result["figures"]["mAP"] > 5
    assert 0 < result["product_seconds"] < result["evaluation_seconds"]
    assert result["memory_bytes"] > result["matrix_bytes"] == 4 * 67 * 318  # one block holds all similarities


def test_evaluate_with_other_similarities():
    case = larger_case(np.random.default_rng(3))
    kept = case[4] != -1

    def backwards(query, gallery):
        assert len(gallery) == kept.sum()  # without junk
        for vector in query:
            yield -(vector[None] @ gallery.T)

    expected = brute_force(-case[0], *case[1:])
    figures = metrics.evaluate(*as_sets(case), blocks=backwards)
    assert figures["camera_pairs"] == expected["camera_pairs"]
    for name in PERCENTAGES:
        assert figures[name] == pytest.approx(expected[name], abs=1e-9)


def test_evaluate_by_hand():
    # Similarities to the one query: right .9 (same camera, ignored), junk .8 (ignored), wrong .7, right .6,
    # distractor .5, right .4
    gallery = np.array([[0.9], [0.8], [0.7], [0.6], [0.5], [0.4]])
    case = (
        np.array([[1.0]]), np.array([3]), np.array([1]),
        gallery, np.array([3, -1, 2, 3, 0, 3]), np.array([1, 2, 2, 2, 3, 3]),
    )  # fmt: skip
    figures = metrics.evaluate(*as_sets(case))
    assert figures["rank1"] == 0 and figures["rank5"] == 100
    assert figures["mAP_step"] == pytest.approx(100 * (1 / 2 + 2 / 4) / 2)
    assert figures["mAP"] == pytest.approx(100 * ((0 + 1 / 2) / 2 + (1 / 3 + 2 / 4) / 2) / 2)
    assert figures["mINP"] == pytest.approx(100 * 2 / 4)
    counts = {"queries": 1, "gallery": 5, "junk": 1, "distractors": 1, "unmatched": 0}
    assert {name: figures[name] for name in counts} == counts
    # Camera 2 saw the wrong one at .7 and the right one at .6; camera 3 the distractor at .5 and the right one at .4.
    assert figures["camera_pairs"] == [
        {"query_camera": 1, "gallery_camera": 2, "rank1": 0.0, "queries": 1},
        {"query_camera": 1, "gallery_camera": 3, "rank1": 0.0, "queries": 1},
    ]


def test_evaluate_of_equal_embeddings_is_zero():
    ones = np.ones((10, 3)) / np.sqrt(3)
    identities = np.arange(10) % 5 + 1
    cameras = np.repeat([1, 2], 5)
    assert metrics.evaluate(*as_sets((ones[:5], identities[:5], cameras[:5], ones, identities, cameras)))["rank1"] == 0


def test_evaluate_without_any_match_is_an_error():
    one = np.ones((1, 2))
    with pytest.raises(ValueError, match="another camera"):
        metrics.evaluate(*as_sets((one, np.array([1]), np.array([1]), one, np.array([1]), np.array([1]))))


def test_evaluate_refuses_embeddings_that_are_not_numbers():
    one = np.ones((1, 2))
    broken = np.full((1, 2), np.nan)
    for asked, answer in ((broken, one), (one, broken)):
        with pytest.raises(ValueError, match="not a number"):
            metrics.evaluate(*as_sets((asked, np.array([1]), np.array([1]), answer, np.array([1]), np.array([2]))))


def test_score_queries_agrees_with_brute_force():
    rng = np.random.default_rng(6)
    compared = 0
    while compared < 100:
        case = random_case(rng)
        precisions = metrics.score_queries(*as_sets(case)).average_precision
        for number in range(len(case[0])):
            alone = [column[number : number + 1] for column in case[:3]]
            expected = brute_force(*alone, *case[3:])
            if expected is None:
                assert np.isnan(precisions[number])
                continue
            assert precisions[number] == pytest.approx(expected["mAP"], abs=1e-9)
            compared += 1


def test_protocol_by_hand():
    protocol = metrics.Protocol(np.array([3, 3, 2, 0, -1]), np.array([1, 2, 1, 2, 2]))
    positive, negative = protocol.masks(np.array([3, 0, -1, 9]), np.array([1, 2, 1, 1]))
    assert np.flatnonzero(positive).tolist() == [1]  # only the query of identity 3 has one, by camera 2
    assert [np.flatnonzero(row).tolist() for row in negative] == [[2, 3], [0, 1, 2], [0, 1, 2, 3], [0, 1, 2, 3]]
