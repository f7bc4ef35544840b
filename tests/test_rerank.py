"""Re-ranking against a dense one, written with sets and loops from the published definition."""

import math

import numpy as np
import pytest

from tests.helpers import as_sets, unit
from utils import metrics
from utils.evaluation import rerank


def dense(query, gallery, k1, k2, weight):
    """(Q, G) re-ranked distances: Zhong et al. 2017, in the details as their released code."""
    embeddings = np.concatenate([query, gallery]).astype(np.float64)
    total = len(embeddings)
    distance = [[float(np.sum((a - b) ** 2)) for b in embeddings] for a in embeddings]
    distance = [[value / (max(row) or 1) for value in row] for row in distance]
    order = [sorted(range(total), key=lambda j, i=i: (j != i, distance[i][j], j)) for i in range(total)]

    def reciprocal(i, k):
        return {j for j in order[i][: k + 1] if i in order[j][: k + 1]}

    description = np.zeros((total, total))
    for i in range(total):
        members = set(reciprocal(i, k1))
        for candidate in reciprocal(i, k1):
            theirs = reciprocal(candidate, round(k1 / 2))
            if len(theirs & reciprocal(i, k1)) > 2 / 3 * len(theirs):
                members |= theirs
        for j in members:
            description[i, j] = math.exp(-distance[i][j])
        description[i] /= description[i].sum()
    description = np.array([description[order[i][:k2]].mean(axis=0) for i in range(total)])
    final = np.empty((len(query), len(gallery)))
    for i in range(len(query)):
        for g in range(len(gallery)):
            mine = description[i]
            theirs = description[len(query) + g]
            jaccard = 1 - np.minimum(mine, theirs).sum() / np.maximum(mine, theirs).sum()
            final[i, g] = (1 - weight) * jaccard + weight * distance[i][len(query) + g]
    return final


def clustered(rng, count, people=5, size=6):
    """Embeddings in clusters, so that images share neighbours and the rule of two thirds matters."""
    return unit(rng.normal(size=(people, size))[rng.integers(0, people, count)] + 0.5 * rng.normal(size=(count, size)))


def halves(rng, count):
    """Embeddings of +-1/2: norm 1, exact products, many equal distances."""
    return rng.choice([-0.5, 0.5], (count, 4))


def reranked(query, gallery, k1, k2, weight):
    return -np.concatenate(list(rerank.rerank_blocks(query, gallery, k1, k2, weight)))


@pytest.mark.parametrize("draw", [clustered, halves])
def test_rerank_blocks_equals_the_dense_algorithm(draw, monkeypatch):
    rng = np.random.default_rng(0)
    changed = 0
    for case in range(60):
        monkeypatch.setattr(metrics, "BLOCK", int(rng.choice([4, 7, 256])))
        embeddings = draw(rng, int(rng.integers(2, 45)))
        queries = int(rng.integers(1, len(embeddings)))
        query = embeddings[:queries]
        gallery = embeddings[queries:]
        # k1 above the number of images, k2 above k1, no averaging, and weights 0 and 1
        k1 = int(rng.choice([1, 3, 5, 8, 20, 60]))
        k2 = int(rng.choice([1, 2, 6, 12]))
        weight = float(rng.choice([0, 0.3, 1]))
        expected = dense(query, gallery, k1, k2, weight)
        found = reranked(query, gallery, k1, k2, weight)
        assert found == pytest.approx(expected, abs=1e-6), (case, k1, k2, weight)
        changed += bool((np.argsort(found) != np.argsort(-(query @ gallery.T))).any())
    assert changed > 20


def test_rerank_blocks_without_mutual_neighbours():
    # Among many equal distances, the nearest images of the last image are often not mutual.
    for seed in range(30):
        rng = np.random.default_rng(seed)
        embeddings = halves(rng, int(rng.integers(30, 60)))
        query = embeddings[:5]
        gallery = embeddings[5:]
        expected = dense(query, gallery, 20, 2, 0)
        assert reranked(query, gallery, 20, 2, 0) == pytest.approx(expected, abs=1e-6), seed


def test_rerank_blocks_with_one_image_each():
    one = np.array([[1.0, 0.0]])
    assert reranked(one, one, 20, 6, 0.3) == pytest.approx(np.zeros((1, 1)), abs=1e-6)


def test_rerank_blocks_in_float32():
    embeddings = clustered(np.random.default_rng(1), 120, people=12)
    query = embeddings[:20]
    gallery = embeddings[20:]
    single = reranked(query.astype(np.float32), gallery.astype(np.float32), 20, 6, 0.3)
    assert single == pytest.approx(reranked(query, gallery, 20, 6, 0.3), abs=1e-5)


def test_rerank_blocks_improves_the_search_in_chains():
    # The ends of a chain are as far from each other as from other people, but they share the images between them.
    rng = np.random.default_rng(2)
    people = 12
    links = 8
    starts, ends = (unit(rng.normal(size=(people, 24))) for _ in range(2))
    share = np.linspace(0, 1, links)[:, None]
    chains = unit(np.concatenate([(1 - share) * a + share * b for a, b in zip(starts, ends)]))
    chains = unit(chains + 0.05 * rng.normal(size=chains.shape))
    identities = np.repeat(np.arange(people) + 1, links)
    cameras = np.tile([1, 2], people * links // 2)
    asked = np.arange(0, len(chains), links)
    case = (chains[asked], identities[asked], cameras[asked], chains, identities, cameras)

    def blocks(query, gallery):
        return rerank.rerank_blocks(query, gallery, k1=6, k2=3)

    before = metrics.evaluate(*as_sets(case))
    after = metrics.evaluate(*as_sets(case), blocks=blocks)
    assert after["mAP"] > before["mAP"] + 5
