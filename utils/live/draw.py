"""What demo.py shows: boxes with numbers or names, frames a second, several cameras side by side. OpenCV only."""

from __future__ import annotations

import colorsys
import unicodedata

import cv2
import numpy as np

FONT = cv2.FONT_HERSHEY_SIMPLEX
GREY = (150, 150, 150)  # of whom nobody knows


def colour_of(identity: int) -> tuple:
    """A colour (blue, green, red) that stays with an identity; neighbouring numbers have hues far apart."""
    red, green, blue = colorsys.hsv_to_rgb(identity * 0.61803398875 % 1.0, 0.75, 0.95)
    return int(blue * 255), int(green * 255), int(red * 255)


def draw_people(frame: np.ndarray, boxes: np.ndarray, numbers, similarities, names=(), picked=None) -> None:
    """Draws into frame (H, W, 3) uint8 BGR. boxes (N, 4) [ymin, xmin, ymax, xmax] in 0..1.

    numbers (N,), 0 for unknown; similarities (N,) to the person's earlier pictures, nan for one who is new.
    names: {number: name} of those who have one; picked: the number to highlight.
    """
    height, width = frame.shape[:2]
    scale = max(height, 240) / 1000  # the text stays readable from small pictures to 4K
    thickness = max(1, round(2 * scale))
    for (top, left, bottom, right), number, similarity in zip(boxes, numbers, similarities):
        number = int(number)
        colour = colour_of(number) if number else GREY
        corner, opposite = (round(left * width), round(top * height)), (round(right * width), round(bottom * height))
        cv2.rectangle(frame, corner, opposite, colour, thickness)
        if number and number == picked:
            cv2.rectangle(frame, corner, opposite, (255, 255, 255), 3 * thickness)
        draw_label(frame, label_of(number, similarity, dict(names)), corner, colour, scale)


def label_of(number: int, similarity: float, names: dict) -> str:
    """What is written at a box: "Anna 0.83", "7 0.83", "7 new" or "unknown"."""
    if not number:
        return "unknown"
    who = drawable(names.get(number, str(number)))
    return f"{who} new" if np.isnan(similarity) else f"{who} {similarity:.2f}"


def drawable(words: str) -> str:
    """OpenCV's letters are ASCII: accents are left out, and of other scripts a question mark is left."""
    return unicodedata.normalize("NFKD", words).encode("ascii", "ignore").decode().strip() or "?"


def draw_label(frame: np.ndarray, words: str, corner: tuple, colour: tuple, scale: float) -> None:
    """A line of text on a filled box whose lower left is `corner` (x, y), moved so that it stays inside."""
    thickness = max(1, round(2 * scale))
    (text_width, text_height), below = cv2.getTextSize(words, FONT, scale, thickness)
    box_width, box_height = text_width + 4, text_height + below + 4
    x = min(max(corner[0], 0), max(frame.shape[1] - box_width, 0))
    y = min(max(corner[1], box_height), frame.shape[0])
    cv2.rectangle(frame, (x, y - box_height), (x + box_width, y), colour, cv2.FILLED)
    black_or_white = (0, 0, 0) if np.dot(colour, (0.114, 0.587, 0.299)) > 120 else (255, 255, 255)
    cv2.putText(frame, words, (x + 2, y - below - 2), FONT, scale, black_or_white, thickness, cv2.LINE_AA)


def draw_rate(frame: np.ndarray, rate: float) -> None:
    """Frames a second in the upper left corner."""
    scale = max(frame.shape[0], 240) / 1000
    draw_label(frame, f"{rate:.1f} frames/s", (0, 0), (40, 40, 40), scale)


def draw_caption(frame: np.ndarray, words: str) -> None:
    """A line in the lower left corner."""
    draw_label(frame, drawable(words), (0, frame.shape[0]), (40, 40, 40), max(frame.shape[0], 240) / 1000)


def greyed(frame: np.ndarray) -> np.ndarray:
    """A frame that is not of now: (H, W, 3) uint8 without colour and half as bright."""
    return cv2.cvtColor(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR) // 2


def side_by_side(frames) -> np.ndarray:
    """Frames (H, W, 3) uint8 of any sizes -> one, all as high as the lowest of them, in their order."""
    if len(frames) == 1:
        return frames[0]
    height = min(len(frame) for frame in frames)
    return np.hstack([frame if len(frame) == height else _scaled(frame, height) for frame in frames])


def _scaled(frame, height: int) -> np.ndarray:
    width = max(round(frame.shape[1] * height / frame.shape[0]), 1)
    return cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)
