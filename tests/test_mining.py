"""The miner against a search by loops, and at its edges."""

import numpy as np
import pytest

from tests.helpers import unit
from utils import metrics, mining


def hardest_by_loops(embeddings, identities, anchor, sample_num):
    """The sets that the positive and the negative of a triplet must come from, found one image at a time."""
    positives = [i for i in range(len(identities)) if identities[i] == identities[anchor] and i != anchor]
    negatives = [i for i in range(len(identities)) if identities[i] != identities[anchor]]
    positives.sort(key=lambda i: float(np.dot(embeddings[anchor], embeddings[i])))
    negatives.sort(key=lambda i: -float(np.dot(embeddings[anchor], embeddings[i])))
    return set(positives[:sample_num]), set(negatives[:sample_num])


@pytest.mark.parametrize("sample_num", [1, 3, 50])
def test_mine_triplets_draws_each_of_the_hardest_and_no_other(sample_num):
    rng = np.random.default_rng(0)
    embeddings, identities = unit(rng.normal(size=(40, 5))), rng.integers(0, 6, 40)
    anchors, positives, negatives = mining.mine_triplets(embeddings, identities, 4000, sample_num, rng)
    assert len(anchors) == len(positives) == len(negatives) == 4000
    for anchor in range(40):
        rows = anchors == anchor
        hard_positives, hard_negatives = hardest_by_loops(embeddings, identities, anchor, sample_num)
        # 100 draws from at most a dozen miss none (p < 0.01 a set at most).
        assert set(positives[rows]) == hard_positives
        if sample_num < 50:
            assert set(negatives[rows]) == hard_negatives
        else:
            assert set(negatives[rows]) <= hard_negatives


def test_mine_triplets_does_not_depend_on_the_block_size(monkeypatch):
    rng = np.random.default_rng(1)
    embeddings, identities = unit(rng.normal(size=(50, 5))), rng.integers(0, 8, 50)
    whole = mining.mine_triplets(embeddings, identities, 45, 3, np.random.default_rng(5))
    monkeypatch.setattr(metrics, "BLOCK", 7)
    np.testing.assert_array_equal(mining.mine_triplets(embeddings, identities, 45, 3, np.random.default_rng(5)), whole)


def test_mine_triplets_repeats_queries_only_after_all_were_drawn():
    embeddings, identities = unit(np.random.default_rng(2).normal(size=(9, 4))), np.array([1, 1, 1, 2, 2, 2, 3, 4, 5])
    anchors, _, _ = mining.mine_triplets(embeddings, identities, 12, 2, np.random.default_rng(0))
    assert sorted(anchors) == sorted(list(range(6)) * 2)  # 3, 4 and 5 have no second image


def test_mine_triplets_depends_on_the_generator_alone():
    embeddings, identities = unit(np.random.default_rng(3).normal(size=(30, 4))), np.arange(30) // 3
    first, second = (mining.mine_triplets(embeddings, identities, 20, 2, np.random.default_rng(9)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_mine_triplets_of_identical_embeddings():
    embeddings, identities = np.ones((6, 2)) / 2**0.5, np.array([1, 1, 1, 2, 2, 2])
    rng = np.random.default_rng(0)
    anchors, positives, negatives = mining.mine_triplets(embeddings, identities, 30, 2, rng)
    assert (identities[anchors] == identities[positives]).all() and (anchors != positives).all()
    assert (identities[anchors] != identities[negatives]).all()


@pytest.mark.parametrize("identities", [[1, 1, 1], [1, 2, 3]])
def test_mine_triplets_without_any_triplet_is_an_error(identities):
    with pytest.raises(ValueError, match="two images and a second identity"):
        mining.mine_triplets(np.eye(3), np.array(identities), 4, 2, np.random.default_rng(0))


def test_draw_pool_has_no_repetition():
    pool = mining.draw_pool(100, 30, np.random.default_rng(0))
    assert len(np.unique(pool)) == 30 and pool.min() >= 0 and pool.max() < 100
    np.testing.assert_array_equal(mining.draw_pool(20, 30, np.random.default_rng(0)), np.arange(20))
