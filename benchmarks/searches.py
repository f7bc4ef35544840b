"""Searches of people among crops of a video: who is a positive, who is a negative, and the scores of a method."""

from typing import NamedTuple

import numpy as np

from utils.errors import InputError
from utils.metrics import positive_ranks, score_query

FIGURES = ("rank1", "rank5", "mAP")


class Scores(NamedTuple):
    """The scores of one method for Q queries.

    values: (Q, 3) percent in the order of FIGURES: right at rank 1, right within rank 5, average precision.
    identities: (Q,) of the queries. candidates: mean number of identities to choose from.
    """

    values: np.ndarray
    identities: np.ndarray
    candidates: float


def search_later(tracks, frames, early, gap, together=None):
    """Yields (query, positives (N,) bool, negatives (N,) bool) for the early crops of N, which search the later ones.

    tracks, frames: (N,) int; early: (N,) bool; gap: frames between a query and its positives. together: (T, T) bool,
    tracks that share a frame; None takes every other track as another person.
    """
    for query in np.flatnonzero(early):
        same_track = tracks == tracks[query]
        positives = ~early & same_track & (frames >= frames[query] + gap)
        negatives = ~early & ~same_track
        if together is not None:
            negatives &= together[tracks[query], tracks]
        yield query, positives, negatives


def search_other_times(people, walks, frames, gap, same_walk: bool):
    """Yields the same as search_later for annotated people; each crop searches those `gap` frames earlier or later.

    same_walk: whether the query's own walk counts, or only other walks of the person.
    """
    for query in range(len(people)):
        apart = np.abs(frames - frames[query]) >= gap
        if not same_walk:
            apart &= walks != walks[query]
        same_person = people == people[query]
        yield query, apart & same_person, apart & ~same_person


def score(vectors, identities, searches) -> Scores:
    """The scores of one method; searches: as search_later yields them.

    A query without a positive or without a negative does not count; InputError if no query counts.
    """
    values = []
    counted = []
    candidates = []
    for query, positives, negatives in searches:
        if positives.any() and negatives.any():
            similarity = vectors @ vectors[query]  # (N,)
            first, _, precision, _ = score_query(positive_ranks(similarity[positives], similarity[negatives]))
            values.append((first < 1, first < 5, precision))
            counted.append(identities[query])
            candidates.append(1 + len(np.unique(identities[negatives])))
    if not values:
        raise InputError(
            "no query has both another image of the same person and one of another person to compare with: use a "
            "longer video or decrease --gap_seconds"
        )
    return Scores(100 * np.array(values, float), np.array(counted), float(np.mean(candidates)))


def clustered_error(values, owners) -> float:
    """The standard error of the mean of values (Q,), clustered by owners (Q,); 0 if there is only one owner."""
    names, owner = np.unique(owners, return_inverse=True)
    if len(names) < 2:
        return 0.0
    sums = np.bincount(owner, values - values.mean())
    return float((len(names) / (len(names) - 1) * (sums**2).sum()) ** 0.5 / len(values))


def figures_of(scores: Scores, baseline: Scores) -> dict:
    """Means and standard errors of the scores, and of their difference to a baseline on the same queries."""
    figures = {
        "queries": len(scores.values),
        "identities": len(np.unique(scores.identities)),
        "candidates": scores.candidates,
    }
    for name, own, other in zip(FIGURES, scores.values.T, baseline.values.T):
        figures[name] = float(own.mean())
        figures[f"{name}_error"] = clustered_error(own, scores.identities)
        figures[f"{name}_ahead"] = float((own - other).mean())
        figures[f"{name}_ahead_error"] = clustered_error(own - other, scores.identities)
    return figures
