"""A sheet to draw images for the README on: boxes, arrows, photographs and text. Needs OpenCV 5 for its font."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from utils.errors import InputError

FOLDER = Path(__file__).resolve().parent
SCALE = 2  # drawn at twice the size that the README shows: sharp on fine screens
LARGEST = 300_000  # bytes of an image in the repository
# RGB. The sheet has a light background of its own, so it is legible on white and on dark pages.
PAPER = (250, 250, 247)
INK = (38, 42, 48)
FAINT = (150, 155, 162)
BLUE = (36, 92, 160)
GREEN = (22, 130, 70)
RED = (190, 45, 40)
SAND = (236, 232, 220)


class Canvas:
    """A sheet of width x height units; all measures are in units, SCALE pixels each. `pixels` is (H, W, 3) RGB."""

    def __init__(self, width: int, height: int):
        if not hasattr(cv2, "FontFace"):
            raise InputError(
                f"the images are drawn with OpenCV 5, and this is {cv2.__version__}: pip install -U opencv-python"
            )
        self.pixels = np.full((height * SCALE, width * SCALE, 3), PAPER, np.uint8)
        self._font = cv2.FontFace("sans")

    def text(self, x, y, words: str, size=15, colour=INK, bold=False, align="left") -> None:
        """Words whose base line begins, ends (align right) or has its middle (centre) at (x, y)."""
        weight = 700 if bold else 400
        left, _, width, _ = cv2.getTextSize((0, 0), words, (0, 0), self._font, size * SCALE, weight=weight)
        x = x * SCALE - left - {"left": 0, "centre": width / 2, "right": width}[align]
        cv2.putText(self.pixels, words, (round(x), round(y * SCALE)), colour, self._font, size * SCALE, weight=weight)

    def box(self, x, y, width, height, fill=SAND, edge=None, radius=8, thickness=2) -> None:
        """A box with round corners."""
        mask = np.zeros(self.pixels.shape[:2], np.uint8)
        x, y, width, height, radius = (round(number * SCALE) for number in (x, y, width, height, radius))
        for grown, colour in ((0, edge), (thickness * SCALE if edge else 0, fill)):
            if colour is None:
                continue
            mask[:] = 0
            _round_box(mask, x + grown, y + grown, width - 2 * grown, height - 2 * grown, max(radius - grown, 1))
            self._blend(mask, colour)

    def _blend(self, mask, colour) -> None:
        share = mask[..., np.newaxis].astype(np.float32) / 255
        self.pixels[:] = np.rint(self.pixels * (1 - share) + np.array(colour, np.float32) * share)

    def arrow(self, start, end, colour=INK, thickness=2, head=9) -> None:
        """From (x, y) to (x, y)."""
        start = np.array(start, float) * SCALE
        end = np.array(end, float) * SCALE
        along = (end - start) / np.linalg.norm(end - start)
        across = np.array([-along[1], along[0]])
        back = end - along * head * SCALE
        corners = np.array([end, back + across * head * SCALE * 0.5, back - across * head * SCALE * 0.5])
        self.line(start / SCALE, back / SCALE, colour, thickness)
        cv2.fillPoly(self.pixels, [np.rint(corners * 16).astype(np.int32)], colour, cv2.LINE_AA, shift=4)

    def line(self, start, end, colour=FAINT, thickness=1) -> None:
        points = [tuple(int(round(number * SCALE * 16)) for number in point) for point in (start, end)]
        cv2.line(self.pixels, *points, colour, round(thickness * SCALE), cv2.LINE_AA, shift=4)

    def image(self, x, y, image, width, height, edge=None) -> None:
        """An image (h, w, 3) uint8 RGB, stretched to width x height; `edge` is the colour of its frame."""
        x, y, width, height = (round(number * SCALE) for number in (x, y, width, height))
        kind = cv2.INTER_AREA if image.shape[0] > height else cv2.INTER_CUBIC
        self.pixels[y : y + height, x : x + width] = cv2.resize(image, (width, height), interpolation=kind)
        if edge:
            cv2.rectangle(self.pixels, (x - 2, y - 2), (x + width + 1, y + height + 1), edge, 5)

    def write(self, name: str) -> None:
        """Writes assets/<name>; InputError if it came out too large for the repository."""
        save(FOLDER / name, self.pixels)


def save(path: Path, pixels) -> None:
    """Writes (H, W, 3) uint8 RGB as a PNG of at most LARGEST bytes: photographs in it get fewer shades if need be."""
    for shades in (256, 64, 32):
        step = 256 // shades
        fewer = (pixels // step * step + step // 2) if step > 1 else pixels
        _, data = cv2.imencode(".png", cv2.cvtColor(fewer, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 9])
        if len(data) <= LARGEST:
            path.write_bytes(data.tobytes())
            print(f"{path}: {pixels.shape[1]}x{pixels.shape[0]} pixels, {len(data) / 1000:.0f} KB")
            return
    raise InputError(f"{path} would have {len(data)} bytes, more than {LARGEST}: draw it smaller")


def _round_box(mask, x, y, width, height, radius) -> None:
    centres = [(x + radius, y + radius), (x + width - radius - 1, y + radius)]
    centres += [(left, y + height - radius - 1) for left, _ in centres]
    for centre in centres:
        cv2.circle(mask, centre, radius, 255, -1, cv2.LINE_AA)
    cv2.rectangle(mask, (x + radius, y), (x + width - radius - 1, y + height - 1), 255, -1)
    cv2.rectangle(mask, (x, y + radius), (x + width - 1, y + height - radius - 1), 255, -1)
