"""Grids of captioned images of people as one RGB image, for TensorBoard and PNG files; text drawing for all images."""

from __future__ import annotations

import cv2
import numpy as np

from utils.errors import InputError
from utils.files import write_whole
from utils.image_files import read_bgr

TILE = (128, 64)  # height and width of an image in a grid, pixels
CAPTION = 16  # height of the line below it, pixels
GAP = 4
INK = (30, 30, 30)
PAPER = (255, 255, 255)
GREEN = (0, 128, 0)
RED = (192, 0, 0)
GREY = (120, 120, 120)
BLUE = (0, 70, 170)
FONT = cv2.FONT_HERSHEY_SIMPLEX
SMALL = 0.4


def triplet_grid(triplets, positive_similarity, negative_similarity) -> np.ndarray:
    """T triplets of paths, (anchors, positives, negatives) of T each, as T columns: (H, W, 3) uint8 RGB.

    The captions of the positive (middle) and the negative (bottom) are their similarities to the anchor (top).
    """
    columns = []
    for anchor, positive, negative, near, far in zip(*triplets, positive_similarity, negative_similarity):
        top = tile(read_rgb(anchor), "anchor", INK)
        middle = tile(read_rgb(positive), f"{near:+.2f}", GREEN)
        bottom = tile(read_rgb(negative), f"{far:+.2f}", RED)
        columns.append(np.vstack([top, middle, bottom]))
    return np.hstack(columns)


def tile(image, caption: str, colour) -> np.ndarray:
    """An image (H, W, 3) uint8 RGB in a coloured frame above its caption; all tiles have one size."""
    height, width = TILE
    sheet = np.full((height + CAPTION + GAP, width + GAP, 3), PAPER, np.uint8)
    sheet[:height, :width] = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    cv2.rectangle(sheet, (0, 0), (width - 1, height - 1), colour, 2)
    put_text(sheet, caption, (2, height + CAPTION - 4), colour=colour, within=width)
    return sheet


def put_text(sheet, text: str, place, size=SMALL, colour=INK, align=0.0, within=None, font=FONT, thickness=1) -> None:
    """Draws a line of text into an image (H, W, 3) uint8.

    place: (x, y) in pixels of the left end (align 0), the middle (0.5) or the right end (1) of the baseline.
    size: OpenCV's font scale; the text is made smaller if it is wider than `within` pixels. Letters that OpenCV's fonts
    lack become question marks.
    """
    text = text.encode("ascii", "replace").decode()
    width = text_width(text, size, font, thickness)
    if within and width > within:
        size *= within / width
        width = text_width(text, size, font, thickness)
    x, y = place
    corner = (int(round(x - align * width)), int(round(y)))
    cv2.putText(sheet, text, corner, font, size, colour, thickness, cv2.LINE_AA)


def text_width(text: str, size=SMALL, font=FONT, thickness=1) -> int:
    """The width of a line of text in pixels."""
    return cv2.getTextSize(text, font, size, thickness)[0][0]


def write_png(path, image) -> None:
    """Writes an image (H, W, 3) uint8 RGB as a PNG file, whole or not at all."""
    write_whole(path, cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes())


def read_rgb(path) -> np.ndarray:
    """(H, W, 3) uint8 RGB, the content of an image file; InputError if it cannot be decoded."""
    image = read_bgr(path)
    if image is None:
        raise InputError(f"{path} cannot be decoded (any more): copy it again or remove it")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
