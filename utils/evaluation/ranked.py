"""Ranked results as images: each query, and beside it the gallery images that the net finds most similar.

Green is right, red is wrong, grey is ignored (see metrics.Protocol). Ignored images are shown at their place.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from utils import image_grid
from utils.errors import InputError
from utils.metrics import LabelledSet, Protocol, row_blocks

PLACES = 10  # gallery images per row, without ignored ones
IGNORED_SHOWN = 4  # at most this many ignored images per row, the most similar ones
RIGHT = "right"
WRONG = "wrong"
IGNORED = "ignored"
COLOURS = {RIGHT: image_grid.GREEN, WRONG: image_grid.RED, IGNORED: image_grid.GREY}
LABEL = 150  # width of the text left of a row, pixels
HEADER = 44  # height of the title and the legend, pixels
TITLE = 0.45  # font size of the title
LEGEND = (
    (image_grid.GREEN, "right"),
    (image_grid.RED, "wrong"),
    (image_grid.GREY, "ignored: same person in the same camera, or junk"),
)


class Answer(NamedTuple):
    """A gallery image (its index), its similarity to the query, and RIGHT, WRONG or IGNORED."""

    index: int
    similarity: float
    kind: str


class Row(NamedTuple):
    """One query (its index), its average precision in percent (nan without a match), and its answers.

    answers: a list of Answer, the most similar first.
    """

    query: int
    precision: float
    answers: list


def choose_queries(which: str, count: int, queries: LabelledSet, precisions, seed: int = 0) -> np.ndarray:
    """The indices of `count` queries: 'worst' (lowest average precision), 'random', or file names separated by commas.

    precisions: (Q,) as in metrics.QueryScores. Queries without a match are chosen only by name. InputError for a name
    that is not among the queries.
    """
    if which not in ("worst", "random"):
        return np.array(check_queries(which, queries.paths))
    matched = np.flatnonzero(~np.isnan(precisions))
    if which == "worst":
        return matched[np.argsort(precisions[matched], kind="stable")][:count]
    return np.sort(np.random.default_rng(seed).permutation(matched)[:count])


def check_queries(which: str, paths) -> list:
    """The indices of the images that `which` names; [] for 'worst' and 'random'. InputError for an unknown name."""
    if which in ("worst", "random"):
        return []
    return [_find(name.strip(), paths) for name in which.split(",")]


def _find(name, paths) -> int:
    for index, path in enumerate(paths):
        if name in (Path(path).name, Path(path).stem):
            return index
    raise InputError(
        f"there is no query '{name}': use worst, random, or names from the query folder such as {Path(paths[0]).name}"
    )


def rank(queries: LabelledSet, gallery: LabelledSet, chosen, precisions) -> list:
    """A Row for each chosen query. A gallery image that is the query's own file is left out."""
    chosen = np.asarray(chosen, np.int64)
    protocol = Protocol(gallery.identities, gallery.cameras)
    rows = []
    for block in row_blocks(len(chosen)):
        some = queries.take(chosen[block])
        similarity = some.embeddings @ gallery.embeddings.T  # (B, G)
        positive, negative = protocol.masks(some.identities, some.cameras)  # (B, G) each
        for row, query in enumerate(chosen[block]):
            others = gallery.paths != some.paths[row]  # (G,)
            answers = _answers(similarity[row], positive[row], negative[row], others)
            rows.append(Row(int(query), float(precisions[query]), answers))
    return rows


def _answers(similarity, positive, negative, others) -> list:
    """The most similar images of one query: PLACES valid ones, and IGNORED_SHOWN ignored ones before them at most."""
    answers = []
    valid = 0
    ignored = 0
    for index in np.argsort(-similarity, kind="stable"):
        if valid == PLACES:
            break
        if not others[index]:
            continue
        if positive[index] or negative[index]:
            valid += 1
            kind = RIGHT if positive[index] else WRONG
        else:
            ignored += 1
            kind = IGNORED
        if kind != IGNORED or ignored <= IGNORED_SHOWN:
            answers.append(Answer(int(index), float(similarity[index]), kind))
    return answers


def ranked_grid(rows: list, queries: LabelledSet, gallery: LabelledSet, title: str) -> np.ndarray:
    """A row of images for each Row, the query first: (H, W, 3) uint8 RGB.

    The caption of an answer is its similarity, after its rank if it is not ignored.
    """
    parts = [_header(title), *(_draw(row, queries, gallery) for row in rows)]
    width = max(part.shape[1] for part in parts)
    return np.vstack([_widen(part, width) for part in parts])


def _widen(part, width) -> np.ndarray:
    more = width - part.shape[1]
    return cv2.copyMakeBorder(part, 0, 0, 0, more, cv2.BORDER_CONSTANT, value=image_grid.PAPER)


def _draw(row, queries, gallery) -> np.ndarray:
    path = queries.paths[row.query]
    tiles = [image_grid.tile(image_grid.read_rgb(path), "query", image_grid.BLUE)]
    place = 0
    for index, similarity, kind in row.answers:
        caption = f"{similarity:.2f}"
        if kind != IGNORED:
            place += 1
            caption = f"{place}: {caption}"
        tiles.append(image_grid.tile(image_grid.read_rgb(gallery.paths[index]), caption, COLOURS[kind]))
    label = np.full((tiles[0].shape[0], LABEL, 3), image_grid.PAPER, np.uint8)
    found = "no match" if np.isnan(row.precision) else f"AP {row.precision:.1f} %"
    label_text = f"identity {queries.identities[row.query]}, camera {queries.cameras[row.query]}"
    image_grid.put_text(label, found, (image_grid.GAP, 40), 0.55)
    image_grid.put_text(label, label_text, (image_grid.GAP, 62), within=LABEL - 2 * image_grid.GAP)
    image_grid.put_text(
        label, Path(path).name, (image_grid.GAP, 80), colour=image_grid.GREY, within=LABEL - 2 * image_grid.GAP
    )
    return np.hstack([label, *tiles])


def _header(title) -> np.ndarray:
    """The title above the legend."""
    places = np.cumsum([image_grid.GAP, *(image_grid.text_width(text) + 16 for _, text in LEGEND)])
    width = max(image_grid.text_width(title, TITLE) + 2 * image_grid.GAP, int(places[-1]))
    sheet = np.full((HEADER, width, 3), image_grid.PAPER, np.uint8)
    image_grid.put_text(sheet, title, (image_grid.GAP, 16), TITLE)
    for x, (colour, text) in zip(places, LEGEND):
        image_grid.put_text(sheet, text, (int(x), 34), colour=colour)
    return sheet
