"""Grids of person pictures with a similarity under each, as one RGB picture: for TensorBoard and for PNG files."""

from __future__ import annotations

import cv2
import numpy as np

from utils.files import write_whole

TILE = (128, 64)  # height and width of a picture in a grid, pixels
CAPTION = 16  # height of the line below it, pixels
GAP = 4
INK, PAPER = (30, 30, 30), (255, 255, 255)
GREEN, RED, GREY, BLUE = (0, 128, 0), (192, 0, 0), (120, 120, 120), (0, 70, 170)
FONT, SMALL = cv2.FONT_HERSHEY_SIMPLEX, 0.4


def triplet_grid(triplets, positive_similarity, negative_similarity) -> np.ndarray:
    """T triplets of paths ((anchors, positives, negatives), T each) as columns of three pictures; (H, W, 3) uint8 RGB.

    Under the positive (middle) and the negative (below) stands their similarity to the anchor (top).
    """
    columns = []
    for anchor, positive, negative, near, far in zip(*triplets, positive_similarity, negative_similarity):
        top = tile(read_rgb(anchor), "anchor", INK)
        middle = tile(read_rgb(positive), f"{near:+.2f}", GREEN)
        below = tile(read_rgb(negative), f"{far:+.2f}", RED)
        columns.append(np.vstack([top, middle, below]))
    return np.hstack(columns)


def tile(picture, caption: str, colour) -> np.ndarray:
    """One picture (H, W, 3) uint8 RGB over its caption, framed in a colour; all tiles have one size."""
    height, width = TILE
    sheet = np.full((height + CAPTION + GAP, width + GAP, 3), PAPER, np.uint8)
    sheet[:height, :width] = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    cv2.rectangle(sheet, (0, 0), (width - 1, height - 1), colour, 2)
    write(sheet, caption, (2, height + CAPTION - 4), colour=colour, within=width)
    return sheet


def write(sheet, text: str, place, size=SMALL, colour=INK, within=None) -> None:
    """Text into a picture from the left end of its baseline (x, y); smaller where it is wider than `within` pixels."""
    if within and text_width(text, size) > within:
        size *= within / text_width(text, size)
    cv2.putText(sheet, text, place, FONT, size, colour, 1, cv2.LINE_AA)


def text_width(text: str, size=SMALL) -> int:
    """Of a line of text, in pixels."""
    return cv2.getTextSize(text, FONT, size, 1)[0][0]


def write_png(path, picture) -> None:
    """A picture (H, W, 3) uint8 RGB as a PNG file, whole or not at all."""
    write_whole(path, cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].tobytes())


def read_rgb(path) -> np.ndarray:
    """(H, W, 3) uint8 RGB of a picture file."""
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
