"""The histograms of similarity, same person against different people, as one RGB image drawn with OpenCV.

The image is drawn at twice its size and scaled down, which smooths lines and letters. All coordinates, sizes and
thicknesses below are those of the drawing.
"""

from __future__ import annotations

import functools

import cv2
import numpy as np

from utils.image_grid import put_text

SIZE = (1120, 2000)  # height and width, pixels
LARGER = 2  # the result is smaller than the drawing by this factor
PLOT = (184, 120, 976, 1400)  # top, left, bottom, right of the histograms
PANEL = 1480  # left edge of the text beside them
PANEL_WIDTH = SIZE[1] - PANEL - 40
BARS = 100
PAPER = (252, 252, 250)
FRAME = (200, 200, 200)
GRID = (228, 228, 228)
INK = (40, 40, 40)
FAINT = (110, 110, 110)
# Blue and orange: safe for colour-blind readers
SAME = (0, 114, 178)
DIFFERENT = (213, 94, 0)
OPACITY = 0.5
# Dashes of the lines at the equal error rate and at the threshold
SHORT = 6
LONG = 18

_text = functools.partial(put_text, font=cv2.FONT_HERSHEY_DUPLEX)


def similarity_chart(same, different, figures: dict, rows: list, title: str, subtitle: str) -> np.ndarray:
    """Draws two histograms (BINS,) of pairs by similarity from -1 to 1: (H, W, 3) uint8 RGB.

    Each histogram is scaled to its own number of pairs, because there are far more pairs of different people.
    figures: as threshold.operating_points returns them, for the lines at the threshold and the equal error rate;
    rows: (label, value) strings for the panel.
    """
    height, width = SIZE
    top, left, bottom, right = PLOT
    sheet = np.full((height, width, 3), PAPER, np.uint8)
    cv2.rectangle(sheet, (0, 0), (width - 1, height - 1), FRAME, 2)
    low, high = _range(same, different, figures["threshold"], figures["eer_threshold"])
    shares = [100 * _bars(counts, low, high) / counts.sum() for counts in (same, different)]  # (BARS,) each
    top_share = 1.08 * max(float(share.max()) for share in shares)
    _grid(sheet, low, high, top_share)
    for share, colour in zip(shares[::-1], (DIFFERENT, SAME)):
        sheet = _fill(sheet, share / top_share, colour)
    for name, colour, dash in (("eer_threshold", FAINT, SHORT), ("threshold", INK, LONG)):
        x = _across(figures[name], low, high)
        _dashed_line(sheet, (x, top), (x, bottom), colour, dash)
    _text(sheet, title, (left, 72), 1.24, INK, within=width - left - 40)
    _text(sheet, subtitle, (left, 124), 0.88, FAINT, within=width - left - 40)
    _text(sheet, "similarity of two images", ((left + right) // 2, bottom + 100), 0.88, INK, align=0.5)
    _panel(sheet, rows)
    return cv2.resize(sheet, (width // LARGER, height // LARGER), interpolation=cv2.INTER_AREA)


def _range(same, different, *marks) -> tuple:
    """The range of similarity to draw: the marks and all but 0.1 % of the pairs on either side, rounded."""
    lows = list(marks)
    highs = list(marks)
    for counts in (same, different):
        below = np.cumsum(counts) / counts.sum()
        lows.append(2 * np.searchsorted(below, 0.001) / len(counts) - 1)
        highs.append(2 * (np.searchsorted(below, 0.999) + 1) / len(counts) - 1)
    step = _step(max(highs) - min(lows))
    return float(np.floor(min(lows) / step) * step), float(np.ceil(max(highs) / step) * step)


def _step(span: float) -> float:
    """A round distance between ticks: 1, 2 or 5 times a power of ten, for five to ten ticks over the span."""
    power = 10.0 ** np.floor(np.log10(max(span, 1e-4) / 5))
    return float(power * next(factor for factor in (1, 2, 5, 10) if span / (power * factor) <= 10))


def _bars(counts, low, high) -> np.ndarray:
    """(BINS,) counts -> (BARS,) counts between two similarities; the outer bars include what lies beyond."""
    centres = (np.arange(len(counts)) + 0.5) * 2 / len(counts) - 1
    bars = np.clip((centres - low) / (high - low) * BARS, 0, BARS - 1).astype(np.int64)
    return np.bincount(bars, weights=counts, minlength=BARS)


def _across(similarity, low, high) -> int:
    """The x coordinate of a similarity."""
    _, left, _, right = PLOT
    return int(round(left + (right - left) * (similarity - low) / (high - low)))


def _grid(sheet, low, high, top_share) -> None:
    """Lines and labels of both axes; top_share: the percentage at the top."""
    top, left, bottom, right = PLOT
    step = _step(high - low)
    decimals = max(1, int(np.ceil(-np.log10(step) - 1e-9)))
    for tick in np.arange(np.round(low / step), np.round(high / step) + 1) * step:
        x = _across(tick, low, high)
        cv2.line(sheet, (x, top), (x, bottom), GRID, 2, cv2.LINE_AA)
        _text(sheet, f"{tick + 0.0:.{decimals}f}", (x, bottom + 44), 0.84, INK, align=0.5)
    for tick in np.arange(0, top_share, _step(top_share)):
        y = int(round(bottom - (bottom - top) * tick / top_share))
        cv2.line(sheet, (left, y), (right, y), INK if tick == 0 else GRID, 2, cv2.LINE_AA)
        _text(sheet, f"{tick:g} %", (left - 16, y + 10), 0.84, INK, align=1)


def _fill(sheet, heights, colour) -> np.ndarray:
    """Draws bars of (BARS,) heights from 0 to 1 as one translucent shape with an outline, and returns the sheet."""
    top, left, bottom, right = PLOT
    x = np.repeat(np.linspace(left, right, BARS + 1), 2)[1:-1]  # (2 * BARS,)
    y = bottom - (bottom - top) * np.repeat(heights, 2)
    outline = np.round(np.stack([x, y], axis=1)).astype(np.int32)
    ground = np.array([[right, bottom], [left, bottom]], np.int32)
    filled = cv2.fillPoly(sheet.copy(), [np.concatenate([outline, ground])], colour, cv2.LINE_AA)
    sheet = cv2.addWeighted(filled, OPACITY, sheet, 1 - OPACITY, 0)
    return cv2.polylines(sheet, [outline], False, colour, 2, cv2.LINE_AA)


def _dashed_line(sheet, start, end, colour, dash) -> None:
    """A horizontal or vertical line to the right or down from (x, y) to (x, y), with dashes of `dash` pixels."""
    for x in range(start[0], end[0] + 1, 2 * dash):
        for y in range(start[1], end[1] + 1, 2 * dash):
            stop = (min(x + dash, end[0]), min(y + dash, end[1]))
            cv2.line(sheet, (x, y), stop, colour, 3, cv2.LINE_AA)


def _panel(sheet, rows) -> None:
    """The legend, and below it the rows, each value under its label."""
    y = PLOT[0] + 24
    for colour, label in ((SAME, "the same person"), (DIFFERENT, "different people")):
        corners = (PANEL, y - 24), (PANEL + 44, y + 4)
        pale = tuple(int(OPACITY * value + (1 - OPACITY) * paper) for value, paper in zip(colour, PAPER))
        cv2.rectangle(sheet, *corners, pale, cv2.FILLED)
        cv2.rectangle(sheet, *corners, colour, 2)
        _text(sheet, label, (PANEL + 68, y), 0.92, INK)
        y += 50
    for dash, colour, label in ((LONG, INK, "suggested threshold"), (SHORT, FAINT, "equal error rate")):
        _dashed_line(sheet, (PANEL, y - 10), (PANEL + 44, y - 10), colour, dash)
        _text(sheet, label, (PANEL + 68, y), 0.92, INK)
        y += 50
    y += 28
    for label, value in rows:
        _text(sheet, label, (PANEL, y), 0.84, FAINT, within=PANEL_WIDTH)
        _text(sheet, value, (PANEL, y + 40), 1.0, INK, within=PANEL_WIDTH)
        y += 90
