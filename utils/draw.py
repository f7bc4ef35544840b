"""What demo.py shows: boxes with the number of each identity, and frames a second. OpenCV only."""

from __future__ import annotations

import colorsys

import cv2
import numpy as np

FONT = cv2.FONT_HERSHEY_SIMPLEX


def colour_of(identity: int) -> tuple:
    """A colour (blue, green, red) that stays with an identity; neighbouring numbers have hues far apart."""
    red, green, blue = colorsys.hsv_to_rgb(identity * 0.61803398875 % 1.0, 0.75, 0.95)
    return int(blue * 255), int(green * 255), int(red * 255)


def draw_people(frame: np.ndarray, boxes: np.ndarray, identities, similarities) -> None:
    """Draws into frame (H, W, 3) uint8 BGR. boxes (N, 4) [ymin, xmin, ymax, xmax] in 0..1.

    similarities: (N,) to the identity's earlier pictures, nan for one that is new.
    """
    height, width = frame.shape[:2]
    scale = max(height, 240) / 1000  # the text stays readable from small pictures to 4K
    thickness = max(1, round(2 * scale))
    for (top, left, bottom, right), identity, similarity in zip(boxes, identities, similarities):
        colour = colour_of(int(identity))
        corner = round(left * width), round(top * height)
        cv2.rectangle(frame, corner, (round(right * width), round(bottom * height)), colour, thickness)
        words = f"{identity} new" if np.isnan(similarity) else f"{identity} {similarity:.2f}"
        draw_label(frame, words, corner, colour, scale)


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
