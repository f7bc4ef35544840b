"""The queries of a labelled set without a query folder, and embedding in batches."""

import numpy as np
import pytest

from tests.helpers import unit
from utils import metrics
from utils.embed import embed_batches, evaluate_single_set, pick_queries
from utils.metrics import LabelledSet


def labelled(identities, cameras):
    embeddings = unit(np.random.default_rng(0).normal(size=(len(identities), 4)))
    paths = np.array([f"{number}.jpg" for number in range(len(identities))])
    return LabelledSet(paths, embeddings, np.array(identities), np.array(cameras))


def test_pick_queries_takes_one_image_of_each_identity_and_camera():
    images = labelled([1, 1, 1, 2, 2, 3], [1, 2, 1, 1, 1, 5])
    queries, gallery = pick_queries(images)
    assert list(queries.paths) == ["0.jpg", "1.jpg", "3.jpg", "5.jpg"]
    assert np.array_equal(queries.embeddings, images.embeddings[[0, 1, 3, 5]])
    assert gallery is images
    figures = evaluate_single_set(images)
    assert (figures["queries"], figures["unmatched"]) == (4, 2)  # 2 and 3 were each seen by one camera


def test_pick_queries_where_no_identity_was_seen_by_two_cameras():
    images = labelled([1, 1, 1, 2, 2, 3], [1, 1, 1, 2, 2, 1])
    queries, gallery = pick_queries(images)
    assert sorted(queries.paths) == sorted(images.paths) and len(set(gallery.cameras)) == 6
    for query, path in enumerate(queries.paths):
        positive, negative = metrics.Protocol(gallery.identities, gallery.cameras).masks(
            queries.identities[query : query + 1], queries.cameras[query : query + 1]
        )
        same = gallery.identities == queries.identities[query]
        assert np.array_equal(positive[0], same & (gallery.paths != path))  # every other image of the identity
        assert np.array_equal(negative[0], ~same)
    figures = evaluate_single_set(images)
    assert (figures["queries"], figures["unmatched"]) == (6, 1)


def test_evaluate_single_set_without_a_second_image_is_an_error():
    with pytest.raises(ValueError, match="another camera"):
        evaluate_single_set(labelled([1, 2, 3], [1, 1, 2]))


def test_embed_batches_keeps_the_order(capsys):
    images = np.arange(7)
    batches = (images[start : start + 3] for start in range(0, 7, 3))
    assert embed_batches(lambda batch: batch[:, None] * 2.0, batches, 7).tolist() == [[2.0 * n] for n in range(7)]
    assert capsys.readouterr().out == ""


def test_distractors_push_a_positive_down_by_one_rank_each():
    """One query whose only positive has a similarity of 0.8; two of three distractors are more similar."""
    angles = np.arccos([1.0, 0.8])
    images = LabelledSet(None, np.stack([np.cos(angles), np.sin(angles)], 1), np.array([5, 5]), np.array([1, 2]))
    alone = evaluate_single_set(images)
    angles = np.arccos([0.9, 0.95, 0.3])
    figures = evaluate_single_set(images, np.stack([np.cos(angles), -np.sin(angles)], 1))
    assert (alone["rank1"], figures["rank1"]) == (100.0, 50.0)  # the other query has the positive before all of them
    assert figures["mAP_step"] == pytest.approx((100 / 3 + 100) / 2)
