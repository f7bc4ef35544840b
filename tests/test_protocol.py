"""The Market-1501 protocol where it is used: in the evaluation, the threshold and the ranked images, against loops."""

import numpy as np
import pytest

from tests.helpers import as_sets
from tests.test_metrics import random_case
from utils import metrics
from utils.evaluation import ranked, threshold


def kind_of_pair(query_identity, query_camera, gallery_identity, gallery_camera) -> str:
    """The words of the protocol, for one query and one gallery image."""
    if gallery_identity == -1:
        return "ignored"  # junk
    if gallery_identity == query_identity:
        if query_camera == gallery_camera:
            return "ignored"  # own camera
        return "right" if query_identity > 0 else "ignored"  # two distractors may or may not show one person
    return "wrong"


def kinds_of_case(case) -> np.ndarray:
    """(Q, G) str."""
    _, query_ids, query_cams, _, gallery_ids, gallery_cams = case
    queries = list(zip(query_ids, query_cams))
    images = list(zip(gallery_ids, gallery_cams))
    return np.array([[kind_of_pair(*query, *image) for image in images] for query in queries])


@pytest.fixture(scope="module")
def cases():
    """Random cases with junk, distractors and unmatched queries."""
    rng = np.random.default_rng(7)
    return [random_case(rng) for _ in range(150)]


def test_the_cases_hold_pairs_of_every_kind(cases):
    kinds = np.concatenate([kinds_of_case(case).ravel() for case in cases])
    assert min(np.sum(kinds == kind) for kind in ("right", "wrong", "ignored")) > 200


def test_judge_and_masks_follow_the_protocol(cases):
    for case in cases:
        kinds = kinds_of_case(case)
        protocol = metrics.Protocol(case[4], case[5])
        positive, negative = protocol.masks(case[1], case[2])
        assert np.array_equal(positive, kinds == "right")
        assert np.array_equal(negative, kinds == "wrong")
        for row, identity, camera in zip(kinds, case[1], case[2]):
            positives, ignored = protocol.judge(int(identity), int(camera))
            assert sorted(positives) == np.flatnonzero(row == "right").tolist()
            assert sorted(ignored) == np.flatnonzero(row == "ignored").tolist()


def test_score_queries_scores_the_queries_with_a_positive(cases):
    for case in cases:
        precisions = metrics.score_queries(*as_sets(case)).average_precision
        assert np.array_equal(~np.isnan(precisions), (kinds_of_case(case) == "right").any(axis=1))


def test_pair_histograms_count_the_pairs_of_the_protocol_across_cameras(cases):
    for case in cases:
        queries, gallery = as_sets(case)
        # Every pair gets a similarity of its own, so the histogram shows which pairs were counted.
        count = len(gallery.identities)
        similarity = np.linspace(-0.9, 0.9, len(queries.identities) * count).reshape(-1, count)
        queries = queries._replace(embeddings=similarity)
        gallery = gallery._replace(embeddings=np.eye(count))
        same, different = threshold.pair_histograms(queries, gallery)
        bins = ((similarity + 1) * threshold.BINS / 2).astype(int)
        kinds = kinds_of_case(case)
        across = case[2][:, None] != case[5][None, :]
        assert np.flatnonzero(same).tolist() == sorted(bins[kinds == "right"])
        assert np.flatnonzero(different).tolist() == sorted(bins[(kinds == "wrong") & across])


def test_ranked_answers_have_the_kinds_of_the_protocol(cases):
    for case in cases:
        queries, gallery = as_sets(case)
        queries = queries._replace(paths=np.array([f"q{n}" for n in range(len(queries.identities))]))
        gallery = gallery._replace(paths=np.array([f"g{n}" for n in range(len(gallery.identities))]))
        kinds = kinds_of_case(case)
        everything = np.arange(len(queries.identities))
        rows = ranked.rank(queries, gallery, everything, np.zeros(len(everything)))
        for row in rows:
            assert row.answers, "a query without any answer"
            for answer in row.answers:
                assert answer.kind == kinds[row.query, answer.index]
