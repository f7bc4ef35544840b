"""What tests of several files build and check."""

from __future__ import annotations

from utils.metrics import LabelledSet


def as_sets(case) -> tuple:
    """(embeddings, identities, cameras) of queries and of the gallery in a row -> two LabelledSets."""
    return LabelledSet(None, *case[:3]), LabelledSet(None, *case[3:])
