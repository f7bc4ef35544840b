"""The miner against a search by loops, and at its edges."""

import numpy as np
import pytest

from tests.helpers import unit
from utils import metrics, mining


def hardest_by_loops(embeddings, identities, anchor, sample_num):
    """The pairs that a triplet of the anchor may have, found one pair at a time."""
    pairs = []
    for positive in range(len(identities)):
        if identities[positive] != identities[anchor] or positive == anchor:
            continue
        for negative in range(len(identities)):
            if identities[negative] != identities[anchor]:
                loss = embeddings[anchor] @ embeddings[negative] - embeddings[anchor] @ embeddings[positive]
                pairs.append((float(loss), positive, negative))
    pairs.sort(reverse=True)
    return {(positive, negative) for _, positive, negative in pairs[:sample_num]}


@pytest.mark.parametrize("sample_num", [1, 3, 8, 0.05])
def test_mine_triplets_draws_each_of_the_hardest_pairs_and_no_other(sample_num):
    rng = np.random.default_rng(0)
    embeddings, identities = unit(rng.normal(size=(40, 5))), rng.integers(0, 6, 40)
    anchors, positives, negatives = mining.mine_triplets(embeddings, identities, 6000, sample_num, rng)
    assert len(anchors) == len(positives) == len(negatives) == 6000
    for anchor in range(40):
        rows = anchors == anchor
        count = 2 if sample_num == 0.05 else sample_num  # 0.05 of 40 images
        # 150 draws from at most 8 pairs miss none (p < 1e-7 for each pair).
        assert set(zip(positives[rows], negatives[rows])) == hardest_by_loops(embeddings, identities, anchor, count)


def test_mine_triplets_with_cameras_takes_positives_of_other_cameras_where_there_are():
    rng = np.random.default_rng(4)
    embeddings = unit(rng.normal(size=(12, 5)))
    identities = np.array([1] * 4 + [2] * 4 + [3] * 4)
    cameras = np.array([1, 1, 1, 2] + [1, 1, 1, 1] + [1, 2, 3, 4])  # nobody but camera 1 saw identity 2
    anchors, positives, _ = mining.mine_triplets(embeddings, identities, 240, 50, rng, cameras)
    same_camera = cameras[anchors] == cameras[positives]
    assert set(identities[anchors[same_camera]]) == {2}
    assert set(positives[anchors == 0]) == {3} and set(positives[anchors == 3]) == {0, 1, 2}


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
    identities = np.arange(100) // 4
    pool = mining.draw_pool(identities, 30, np.random.default_rng(0))
    assert len(np.unique(pool)) == 30 and pool.min() >= 0 and pool.max() < 100 and (np.diff(pool) > 0).all()
    np.testing.assert_array_equal(mining.draw_pool(identities[:20], 30, np.random.default_rng(0)), np.arange(20))


def test_draw_pool_takes_whole_identities():
    """With 400 people of 5 images each, 50 images drawn one by one would be of nearly 50 people."""
    identities = np.random.default_rng(1).permutation(np.repeat(np.arange(400), 5))
    pool = mining.draw_pool(identities, 50, np.random.default_rng(0))
    assert np.unique(identities[pool], return_counts=True)[1].tolist() == [5] * 10


def test_draw_pool_does_not_fill_up_with_a_few_people_of_many_images():
    identities = np.repeat(np.arange(10), 300)
    pool = mining.draw_pool(identities, 1000, np.random.default_rng(0))
    assert np.bincount(identities[pool]).tolist() == [100] * 10
    pool = mining.draw_pool(identities, 40, np.random.default_rng(0))
    assert np.unique(identities[pool], return_counts=True)[1].tolist() == [8] * 5


def test_draw_pool_fills_up_where_people_have_few_images():
    identities = np.concatenate([np.full(50, 1), np.arange(2, 12)])
    pool = mining.draw_pool(identities, 40, np.random.default_rng(0))
    assert set(range(50, 60)) <= set(pool) and len(pool) == 40
