"""A sheet for the diagrams of the README: boxes, arrows, photographs and TrueType text. Needs OpenCV 5 for the text."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from utils.errors import InputError

FOLDER = Path(__file__).resolve().parent
SCALE = 2  # pixels per unit; the README shows one pixel per unit, so the diagrams are sharp on high-density screens
MAX_BYTES = 300_000  # of a file in the repository
# RGB. The sheet has a light background of its own, so that it looks the same on a light and on a dark page.
PAPER = (250, 250, 247)
INK = (38, 42, 48)
FAINT = (150, 155, 162)
BLUE = (36, 92, 160)
GREEN = (22, 130, 70)
RED = (190, 45, 40)
SAND = (236, 232, 220)


class Canvas:
    """A sheet of width x height units, SCALE pixels each. `pixels` is (H, W, 3) uint8 RGB."""

    def __init__(self, width: int, height: int):
        """InputError without OpenCV 5."""
        if not hasattr(cv2, "FontFace"):
            raise InputError(f"the diagrams need OpenCV 5, this is {cv2.__version__}: pip install -U opencv-python")
        self.pixels = np.full((height * SCALE, width * SCALE, 3), PAPER, np.uint8)
        self._font = cv2.FontFace("sans")

    def text(self, x, y, text: str, size=15, colour=INK, bold=False, align="left") -> None:
        """Draws a line of text. (x, y): left end of the baseline, or its middle (centre) or right end (right)."""
        weight = 700 if bold else 400
        left, _, width, _ = cv2.getTextSize((0, 0), text, (0, 0), self._font, size * SCALE, weight=weight)
        x = x * SCALE - left - {"left": 0, "centre": width / 2, "right": width}[align]
        cv2.putText(self.pixels, text, (round(x), round(y * SCALE)), colour, self._font, size * SCALE, weight=weight)

    def box(self, x, y, width, height, fill=SAND, edge=None, radius=8, thickness=2) -> None:
        """Draws a box with round corners. edge: the colour of its frame, None for no frame."""
        x, y, width, height, radius = (round(number * SCALE) for number in (x, y, width, height, radius))
        if edge:
            self._fill_box(x, y, width, height, radius, edge)
            inset = thickness * SCALE
            x += inset
            y += inset
            width -= 2 * inset
            height -= 2 * inset
            radius = max(radius - inset, 1)
        self._fill_box(x, y, width, height, radius, fill)

    def _fill_box(self, x, y, width, height, radius, colour) -> None:
        """A filled box with round corners, in pixels."""
        mask = np.zeros(self.pixels.shape[:2], np.uint8)  # (H, W)
        left = x + radius
        right = x + width - radius - 1
        for centre_x in (left, right):
            for centre_y in (y + radius, y + height - radius - 1):
                cv2.circle(mask, (centre_x, centre_y), radius, 255, -1, cv2.LINE_AA)
        cv2.rectangle(mask, (left, y), (right, y + height - 1), 255, -1)
        cv2.rectangle(mask, (x, y + radius), (x + width - 1, y + height - radius - 1), 255, -1)
        share = mask[..., np.newaxis].astype(np.float32) / 255
        self.pixels[:] = np.rint(self.pixels * (1 - share) + np.array(colour, np.float32) * share)

    def arrow(self, start, end, colour=INK, thickness=2, head=9) -> None:
        """Draws an arrow from `start` (x, y) to `end` (x, y)."""
        start = np.array(start, float)
        end = np.array(end, float)
        along = (end - start) / np.linalg.norm(end - start)
        across = np.array([-along[1], along[0]])
        back = end - along * head
        corners = np.array([end, back + across * head * 0.5, back - across * head * 0.5])  # (3, 2)
        self.line(start, back, colour, thickness)
        cv2.fillPoly(self.pixels, [np.rint(corners * SCALE * 16).astype(np.int32)], colour, cv2.LINE_AA, shift=4)

    def line(self, start, end, colour=FAINT, thickness=1) -> None:
        """Draws a line from `start` (x, y) to `end` (x, y)."""
        points = [tuple(int(round(number * SCALE * 16)) for number in point) for point in (start, end)]
        cv2.line(self.pixels, *points, colour, round(thickness * SCALE), cv2.LINE_AA, shift=4)

    def image(self, x, y, image, width, height, edge=None) -> None:
        """Draws an image (h, w, 3) uint8 RGB, stretched to width x height. edge: the colour of its frame."""
        x, y, width, height = (round(number * SCALE) for number in (x, y, width, height))
        interpolation = cv2.INTER_AREA if image.shape[0] > height else cv2.INTER_CUBIC
        self.pixels[y : y + height, x : x + width] = cv2.resize(image, (width, height), interpolation=interpolation)
        if edge:
            cv2.rectangle(self.pixels, (x - 2, y - 2), (x + width + 1, y + height + 1), edge, 5)

    def write(self, name: str) -> None:
        """Writes assets/<name>; InputError if it is too large for the repository."""
        write_png(FOLDER / name, self.pixels)


def write_png(path: Path, pixels) -> None:
    """Writes (H, W, 3) uint8 RGB as a PNG file of at most MAX_BYTES, with fewer shades if necessary."""
    for shades in (256, 64, 32):
        step = 256 // shades
        reduced = pixels // step * step + step // 2
        data = cv2.imencode(".png", cv2.cvtColor(reduced, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 9])[1]
        if len(data) <= MAX_BYTES:
            path.write_bytes(data.tobytes())
            print(f"{path}: {pixels.shape[1]}x{pixels.shape[0]} pixels, {len(data) / 1000:.0f} KB")
            return
    raise InputError(f"{path} would have {len(data)} bytes, more than {MAX_BYTES}: draw it smaller")
