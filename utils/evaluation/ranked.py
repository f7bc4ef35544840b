"""What a network answers, as pictures: each query, and beside it the gallery pictures that it finds most similar.

After the Market-1501 protocol: green is right, red is wrong, grey is ignored (junk, and the query's own person in its
own camera) and shown at its place all the same. Similarities are computed for a block of queries at a time.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from utils import image_grid
from utils.errors import InputError
from utils.metrics import DISTRACTOR, JUNK, positive_ranks, score_query

PLACES = 10  # gallery pictures a row, ignored ones aside
IGNORED_SHOWN = 4  # at most so many of these, the most similar ones
BLOCK = 256  # queries compared with the gallery at a time
RIGHT, WRONG, IGNORED = "right", "wrong", "ignored"
COLOURS = {RIGHT: image_grid.GREEN, WRONG: image_grid.RED, IGNORED: image_grid.GREY}
LABEL = 150  # width of the words left of a row, pixels
HEADER, TITLE = 44, 0.45  # height of the words above all rows, and the size of the upper line
LEGEND = (
    (image_grid.GREEN, "right"),
    (image_grid.RED, "wrong"),
    (image_grid.GREY, "ignored: same person in the same camera, or junk"),
)


class Pictures(NamedTuple):
    """One labelled set: N paths, (N, E) float32 embeddings of norm 1, (N,) int identities and cameras."""

    paths: list
    embeddings: np.ndarray
    identities: np.ndarray
    cameras: np.ndarray


class Row(NamedTuple):
    """One query (its index), its average precision in percent (nan without a match), and its answers.

    An answer is (index in the gallery, similarity, RIGHT, WRONG or IGNORED), the most similar first.
    """

    query: int
    precision: float
    answers: list


def average_precisions(queries: Pictures, gallery: Pictures) -> np.ndarray:
    """(Q,) percent, Market-1501's trapezoid as in metrics.evaluate; nan for a query without a match."""
    precisions = np.full(len(queries.paths), np.nan)
    for query, similarity in _similarities(queries, gallery, range(len(queries.paths))):
        positive, negative, _ = _kinds(queries, gallery, query)
        if positive.any():
            precisions[query] = 100 * score_query(positive_ranks(similarity[positive], similarity[negative]))[1]
    return precisions


def choose_queries(which: str, count: int, queries: Pictures, precisions, seed: int = 0) -> np.ndarray:
    """The indices of `count` queries: 'worst' (lowest average precision), 'random', or file names with commas between.

    Of those without a match only what is asked for by name. InputError for a name that is not among them.
    """
    if which not in ("worst", "random"):
        return np.array(check_queries(which, queries.paths))
    matched = np.flatnonzero(~np.isnan(precisions))
    if which == "worst":
        return matched[np.argsort(precisions[matched], kind="stable")][:count]
    return np.sort(np.random.default_rng(seed).permutation(matched)[:count])


def check_queries(which: str, paths) -> list:
    """The indices of the pictures that `which` names; [] for 'worst' and 'random'. InputError for an unknown name."""
    names = [] if which in ("worst", "random") else which.split(",")
    return [_find(name.strip(), paths) for name in names]


def _find(name, paths) -> int:
    for index, path in enumerate(paths):
        if name in (Path(path).name, Path(path).stem):
            return index
    raise InputError(
        f"no query is called '{name}': say worst, random, or names of the query folder such as {Path(paths[0]).name}"
    )


def rank(queries: Pictures, gallery: Pictures, chosen, precisions) -> list:
    """A Row for each chosen query. A gallery picture that is the query's own file is left out."""
    rows = []
    for query, similarity in _similarities(queries, gallery, chosen):
        positive, _, ignored = _kinds(queries, gallery, query)
        answers, left = [], {True: IGNORED_SHOWN, False: PLACES}  # ignored or not
        for index in np.argsort(-similarity, kind="stable"):
            if not left[False]:
                break
            if left[bool(ignored[index])] and gallery.paths[index] != queries.paths[query]:
                left[bool(ignored[index])] -= 1
                verdict = IGNORED if ignored[index] else RIGHT if positive[index] else WRONG
                answers.append((int(index), float(similarity[index]), verdict))
        rows.append(Row(int(query), float(precisions[query]), answers))
    return rows


def _similarities(queries, gallery, chosen):
    """(query, (G,) float) for each chosen query."""
    chosen = np.asarray(chosen, np.int64)
    for start in range(0, len(chosen), BLOCK):
        block = chosen[start : start + BLOCK]
        yield from zip(block, queries.embeddings[block] @ gallery.embeddings.T)


def _kinds(queries, gallery, query) -> tuple:
    """(positive, negative, ignored), (G,) bool each, after the Market-1501 protocol."""
    identity = queries.identities[query]
    same = (gallery.identities == identity) & (identity > DISTRACTOR)  # nobody is the same nobody as another
    own_camera = gallery.cameras == queries.cameras[query]
    junk = gallery.identities == JUNK
    return same & ~own_camera & ~junk, ~same & ~junk, junk | (same & own_camera)


def ranked_grid(rows: list, queries: Pictures, gallery: Pictures, title: str) -> np.ndarray:
    """A row of pictures for each Row, the query first: (H, W, 3) uint8 RGB.

    Under each answer stands its similarity, before it the place that it counts for.
    """
    header, lines = _header(title), [_draw(row, queries, gallery) for row in rows]
    width = max(part.shape[1] for part in [header, *lines])
    return np.vstack([_widen(part, width) for part in [header, *lines]])


def _widen(part, width) -> np.ndarray:
    more = width - part.shape[1]
    return cv2.copyMakeBorder(part, 0, 0, 0, more, cv2.BORDER_CONSTANT, value=image_grid.PAPER)


def _draw(row, queries, gallery) -> np.ndarray:
    path = queries.paths[row.query]
    tiles = [image_grid.tile(image_grid.read_rgb(path), "query", image_grid.BLUE)]
    place = 0
    for index, similarity, verdict in row.answers:
        place += verdict != IGNORED
        caption = f"{similarity:.2f}" if verdict == IGNORED else f"{place}: {similarity:.2f}"
        tiles.append(image_grid.tile(image_grid.read_rgb(gallery.paths[index]), caption, COLOURS[verdict]))
    label = np.full((tiles[0].shape[0], LABEL, 3), image_grid.PAPER, np.uint8)
    found = "no match" if np.isnan(row.precision) else f"AP {row.precision:.1f} %"
    who = f"identity {queries.identities[row.query]}, camera {queries.cameras[row.query]}"
    image_grid.write(label, found, (image_grid.GAP, 40), 0.55)
    image_grid.write(label, who, (image_grid.GAP, 62), within=LABEL - 2 * image_grid.GAP)
    image_grid.write(
        label, Path(path).name, (image_grid.GAP, 80), colour=image_grid.GREY, within=LABEL - 2 * image_grid.GAP
    )
    return np.hstack([label, *tiles])


def _header(title) -> np.ndarray:
    """The title over the legend, as wide as they need."""
    places = np.cumsum([image_grid.GAP, *(image_grid.text_width(text) + 16 for _, text in LEGEND)])
    width = max(image_grid.text_width(title, TITLE) + 2 * image_grid.GAP, int(places[-1]))
    sheet = np.full((HEADER, width, 3), image_grid.PAPER, np.uint8)
    image_grid.write(sheet, title, (image_grid.GAP, 16), TITLE)
    for x, (colour, text) in zip(places, LEGEND):
        image_grid.write(sheet, text, (int(x), 34), colour=colour)
    return sheet
