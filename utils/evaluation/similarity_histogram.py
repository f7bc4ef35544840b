"""The histograms of similarity, same person against different people, as one RGB image drawn with OpenCV.

Everything is drawn LARGER and scaled down, which smooths lines and letters.
"""

from __future__ import annotations

import cv2
import numpy as np

from utils.image_grid import put_text

SIZE = (560, 1000)  # height and width of the image, pixels
PLOT = (92, 60, 488, 700)  # top, left, bottom, right of the histograms within it
PANEL = 740  # left edge of the text beside them
LARGER = 2
BARS = 100
PAPER, FRAME, GRID, INK, FAINT = (252, 252, 250), (200, 200, 200), (228, 228, 228), (40, 40, 40), (110, 110, 110)
SAME, DIFFERENT, MARK = (0, 114, 178), (213, 94, 0), (40, 40, 40)  # blue and orange: safe for colour-blind readers
OPACITY = 0.5
FONT = cv2.FONT_HERSHEY_DUPLEX


def similarity_chart(same, different, figures: dict, rows: list, title: str, subtitle: str) -> np.ndarray:
    """Draws two histograms (BINS,) of pairs by similarity from -1 to 1: (H, W, 3) uint8 RGB.

    Each histogram is scaled to its own number of pairs, because there are far more pairs of different people.
    figures: as threshold.operating_points returns them, for the lines at the threshold and the equal error rate;
    rows: (label, value) strings for the panel.
    """
    height, width = (LARGER * side for side in SIZE)
    sheet = np.full((height, width, 3), PAPER, np.uint8)
    cv2.rectangle(sheet, (0, 0), (width - 1, height - 1), FRAME, LARGER)
    low, high = _range(same, different, figures["threshold"], figures["eer_threshold"])
    shares = [100 * _bars(counts, low, high) / counts.sum() for counts in (same, different)]  # (BARS,) each
    top_share = 1.08 * max(float(share.max()) for share in shares)
    _grid(sheet, low, high, top_share)
    for share, colour in zip(shares[::-1], (DIFFERENT, SAME)):
        sheet = _fill(sheet, share / top_share, colour)
    _mark(sheet, figures["eer_threshold"], low, high, FAINT, dash=3)
    _mark(sheet, figures["threshold"], low, high, MARK, dash=9)
    _write(sheet, title, (PLOT[1], 36), 0.62, INK, within=SIZE[1] - PLOT[1] - 20)
    _write(sheet, subtitle, (PLOT[1], 62), 0.44, FAINT, within=SIZE[1] - PLOT[1] - 20)
    _write(sheet, "similarity of two images", ((PLOT[1] + PLOT[3]) // 2, PLOT[2] + 50), 0.44, INK, align=0.5)
    _panel(sheet, rows)
    return cv2.resize(sheet, (SIZE[1], SIZE[0]), interpolation=cv2.INTER_AREA)


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
    """A round distance between ticks: 1, 2 or 5 of a power of ten, for five to ten of them over the span."""
    power = 10.0 ** np.floor(np.log10(max(span, 1e-4) / 5))
    return float(power * next(factor for factor in (1, 2, 5, 10) if span / (power * factor) <= 10))


def _bars(counts, low, high) -> np.ndarray:
    """(BINS,) counts -> (BARS,) counts between two similarities; the outer bars include what lies beyond."""
    centres = (np.arange(len(counts)) + 0.5) * 2 / len(counts) - 1
    bars = np.clip((centres - low) / (high - low) * BARS, 0, BARS - 1).astype(np.int64)
    return np.bincount(bars, weights=counts, minlength=BARS)


def _across(similarity, low, high) -> float:
    top, left, bottom, right = PLOT
    return left + (right - left) * (similarity - low) / (high - low)


def _grid(sheet, low, high, top_share) -> None:
    top, left, bottom, right = PLOT
    step = _step(high - low)
    for tick in np.arange(np.round(low / step), np.round(high / step) + 1) * step:
        x = _across(tick, low, high)
        _line(sheet, (x, top), (x, bottom), GRID)
        decimals = max(1, int(np.ceil(-np.log10(step) - 1e-9)))
        _write(sheet, f"{tick + 0.0:.{decimals}f}", (x, bottom + 22), 0.42, INK, align=0.5)
    step = _step(top_share)
    for tick in np.arange(0, top_share, step):
        y = bottom - (bottom - top) * tick / top_share
        _line(sheet, (left, y), (right, y), INK if tick == 0 else GRID)
        _write(sheet, f"{tick:g} %", (left - 8, y + 5), 0.42, INK, align=1)


def _fill(sheet, heights, colour) -> np.ndarray:
    """Bars of (BARS,) heights from 0 to 1 as one translucent shape with a line along its top."""
    top, left, bottom, right = PLOT
    x = np.repeat(np.linspace(left, right, BARS + 1), 2)[1:-1]  # (2 * BARS,)
    y = bottom - (bottom - top) * np.repeat(heights, 2)
    outline = np.round(LARGER * np.stack([x, y], axis=1)).astype(np.int32)
    ground = LARGER * np.array([[right, bottom], [left, bottom]], np.int32)
    filled = cv2.fillPoly(sheet.copy(), [np.concatenate([outline, ground])], colour, cv2.LINE_AA)
    sheet = cv2.addWeighted(filled, OPACITY, sheet, 1 - OPACITY, 0)
    return cv2.polylines(sheet, [outline], False, colour, LARGER, cv2.LINE_AA)


def _mark(sheet, similarity, low, high, colour, dash) -> None:
    """A dashed vertical line at a similarity."""
    top, _, bottom, _ = PLOT
    x = _across(similarity, low, high)
    for y in np.arange(top, bottom, 2 * dash):
        _line(sheet, (x, y), (x, min(y + dash, bottom)), colour, 1.5)


def _panel(sheet, rows) -> None:
    """The legend, and below it the rows, each value under its label."""
    y = PLOT[0] + 12
    for colour, text in ((SAME, "the same person"), (DIFFERENT, "different people")):
        box = [LARGER * value for value in (PANEL, y - 12, PANEL + 22, y + 2)]
        pale = tuple(int(OPACITY * value + (1 - OPACITY) * paper) for value, paper in zip(colour, PAPER))
        cv2.rectangle(sheet, tuple(box[:2]), tuple(box[2:]), pale, cv2.FILLED)
        cv2.rectangle(sheet, tuple(box[:2]), tuple(box[2:]), colour, LARGER)
        _write(sheet, text, (PANEL + 34, y), 0.46, INK)
        y += 25
    for dash, colour, text in ((9, MARK, "suggested threshold"), (3, FAINT, "equal error rate")):
        for x in np.arange(PANEL, PANEL + 22, 2 * dash):
            _line(sheet, (x, y - 5), (min(x + dash, PANEL + 22), y - 5), colour, 1.5)
        _write(sheet, text, (PANEL + 34, y), 0.46, INK)
        y += 25
    y += 14
    for label, value in rows:
        _write(sheet, label, (PANEL, y), 0.42, FAINT, within=SIZE[1] - PANEL - 20)
        _write(sheet, value, (PANEL, y + 20), 0.5, INK, within=SIZE[1] - PANEL - 20)
        y += 45


def _line(sheet, start, end, colour, thickness=1.0) -> None:
    points = [tuple(int(round(LARGER * value)) for value in point) for point in (start, end)]
    cv2.line(sheet, *points, colour, max(1, round(LARGER * thickness)), cv2.LINE_AA)


def _write(sheet, text, place, size, colour, align=0.0, within=None) -> None:
    """put_text in the units of SIZE."""
    put_text(
        sheet,
        text,
        [LARGER * value for value in place],
        LARGER * size,
        colour,
        align,
        within and LARGER * within,
        FONT,
        LARGER // 2,
    )
