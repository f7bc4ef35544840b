"""The evaluation against loops that follow the protocol's words, and against cases small enough to compute by hand."""

import numpy as np
import pytest

from utils import metrics


def brute_force(query, query_ids, query_cams, gallery, gallery_ids, gallery_cams):
    """The Market-1501 protocol one query at a time: sort the whole gallery, walk down the list."""
    firsts, trapezoids, steps, penalties, unmatched = [], [], [], [], 0
    for vector, identity, camera in zip(query, query_ids, query_cams):
        entries = []
        for index in range(len(gallery)):
            if gallery_ids[index] == -1 or (gallery_ids[index] == identity and gallery_cams[index] == camera):
                continue
            right = gallery_ids[index] == identity
            # Of two equal ones the wrong one sorts first.
            entries.append((-float(np.dot(vector, gallery[index])), right))
        ranking = [right for _, right in sorted(entries)]
        hits = [place for place, right in enumerate(ranking) if right]
        if not hits:
            unmatched += 1
            continue
        old_recall, old_precision, trapezoid, found = 0.0, 1.0, 0.0, 0
        for place, right in enumerate(ranking):  # the published evaluation code: every place is visited
            found += right
            recall, precision = found / len(hits), found / (place + 1)
            trapezoid += (recall - old_recall) * (old_precision + precision) / 2
            old_recall, old_precision = recall, precision
        firsts.append(hits[0])
        trapezoids.append(trapezoid)
        steps.append(sum((n + 1) / (place + 1) for n, place in enumerate(hits)) / len(hits))
        penalties.append(len(hits) / (hits[-1] + 1))
    figures = {f"rank{k}": 100 * np.mean([first < k for first in firsts]) for k in (1, 5, 10, 20)}
    means = {"mAP": trapezoids, "mAP_step": steps, "mINP": penalties}
    figures.update({name: 100 * np.mean(values) for name, values in means.items()}, unmatched=unmatched)
    return figures


def random_case(rng):
    """A small case with junk, distractors, unmatched queries, and, as embeddings are drawn from few, many ties."""
    queries, entries = int(rng.integers(1, 8)), int(rng.integers(1, 25))
    directions = rng.normal(size=(int(rng.integers(2, 30)), 4))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    query, gallery = (directions[rng.integers(len(directions), size=n)] for n in (queries, entries))
    asked = (query, rng.integers(1, 5, queries), rng.integers(1, 4, queries))
    return (*asked, gallery, rng.integers(-1, 5, entries), rng.integers(1, 4, entries))


def test_a_thousand_random_cases_agree_with_the_loops():
    rng, compared = np.random.default_rng(0), 0
    while compared < 1000:
        case = random_case(rng)
        try:
            figures = metrics.evaluate(*case)
        except ValueError:
            assert np.isnan(brute_force_or_nan(case))
            continue
        for name, value in brute_force(*case).items():
            assert figures[name] == pytest.approx(value, abs=1e-9), (name, case)
        compared += 1


def brute_force_or_nan(case):
    with np.errstate(all="ignore"), pytest.warns(RuntimeWarning):
        return brute_force(*case)["mAP"]


def test_blocks_do_not_change_the_figures(monkeypatch):
    rng = np.random.default_rng(1)
    query, gallery = rng.normal(size=(40, 6)), rng.normal(size=(90, 6))
    asked = (query, rng.integers(1, 9, 40), rng.integers(1, 4, 40))
    case = (*asked, gallery, rng.integers(-1, 9, 90), rng.integers(1, 4, 90))
    whole = metrics.evaluate(*case)
    monkeypatch.setattr(metrics, "BLOCK", 7)
    assert metrics.evaluate(*case) == whole


def test_a_case_computed_by_hand():
    # Similarities to the one query: right .9 (same camera, ignored), junk .8 (ignored), wrong .7, right .6,
    # distractor .5, right .4
    gallery = np.array([[0.9], [0.8], [0.7], [0.6], [0.5], [0.4]])
    figures = metrics.evaluate(
        np.array([[1.0]]), np.array([3]), np.array([1]),
        gallery, np.array([3, -1, 2, 3, 0, 3]), np.array([1, 2, 2, 2, 3, 2]),
    )  # fmt: skip
    assert figures["rank1"] == 0 and figures["rank5"] == 100
    assert figures["mAP_step"] == pytest.approx(100 * (1 / 2 + 2 / 4) / 2)
    assert figures["mAP"] == pytest.approx(100 * ((0 + 1 / 2) / 2 + (1 / 3 + 2 / 4) / 2) / 2)
    assert figures["mINP"] == pytest.approx(100 * 2 / 4)
    counts = {"queries": 1, "gallery": 5, "junk": 1, "distractors": 1, "unmatched": 0}
    assert {name: figures[name] for name in counts} == counts


def test_a_network_that_says_the_same_of_everybody_scores_nothing():
    ones = np.ones((10, 3)) / np.sqrt(3)
    identities, cameras = np.arange(10) % 5 + 1, np.repeat([1, 2], 5)
    assert metrics.evaluate(ones[:5], identities[:5], cameras[:5], ones, identities, cameras)["rank1"] == 0


def test_no_query_with_a_match_is_an_error():
    one = np.ones((1, 2))
    with pytest.raises(ValueError, match="another camera"):
        metrics.evaluate(one, np.array([1]), np.array([1]), one, np.array([1]), np.array([1]))


def test_the_strict_threshold_lets_one_pair_in_a_hundred_pass():
    rng = np.random.default_rng(4)
    embeddings = rng.normal(size=(60, 5))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    identities, cameras = rng.integers(0, 12, 60), rng.integers(0, 3, 60)
    threshold = metrics.strict_threshold(embeddings, identities, cameras)
    pairs = [
        float(np.dot(embeddings[i], embeddings[j]))
        for i in range(60) for j in range(60) if identities[i] != identities[j] and cameras[i] != cameras[j]
    ]  # fmt: skip
    assert np.mean(np.array(pairs) > threshold) == pytest.approx(0.01, abs=0.002)
    assert metrics.strict_threshold(embeddings, identities, np.ones(60)) < 1  # one camera: its own pairs count
