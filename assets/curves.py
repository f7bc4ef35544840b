"""Draws Curves.PNG: the validation of the trainings on Market-1501, from benchmarks/results/market1501.json.

python3 -m assets.curves
"""

from __future__ import annotations

import json
from pathlib import Path

from utils.errors import run_main
from utils.options import make_parser


def parse_args(argv=None):
    return make_parser(__doc__).parse_args(argv)


ARGS = parse_args() if __name__ == "__main__" else None

from assets.canvas import BLUE, FAINT, GREEN, INK, RED, SAND, Canvas

PLOT = (60, 56, 640, 360)  # left, top, right and bottom in units
LINES = (  # name of the curve, colour, label
    ("id_long", BLUE, "ID model"),
    ("default", GREEN, "re-id model, defaults"),
    ("best", RED, "re-id model, mining=online"),
)


def draw(curves: dict) -> Canvas:
    """curves: {name: {"first_step": steps before the run, "points": [[step, mAP in percent], ...]}}."""
    left, top, right, bottom = PLOT
    sheet = Canvas(920, 420)
    places = [[curve["first_step"] + step, value] for curve in curves.values() for step, value in curve["points"]]
    last = max(step for step, _ in places)
    low = 5 * (min(value for _, value in places) // 5)
    high = 5 * (max(value for _, value in places) // 5 + 1)

    def at(step, value) -> tuple:
        return left + (right - left) * step / last, bottom - (bottom - top) * (value - low) / (high - low)

    sheet.text(left, 32, "mAP on held-out identities of Market-1501", 16, bold=True)
    for value in range(int(low), int(high) + 1, 5):
        sheet.line(at(0, value), at(last, value), SAND, 1)
        sheet.text(left - 10, at(0, value)[1] + 5, f"{value} %", 13, align="right")
    for step in range(0, last + 1, 1000):
        sheet.text(at(step, low)[0], bottom + 24, f"{step:,}", 13, align="centre")
    sheet.text((left + right) / 2, bottom + 50, "training steps", 14, align="centre")
    sheet.line(at(0, low), at(last, low), FAINT, 1)
    for number, (name, colour, label) in enumerate(LINES):
        points = [at(curves[name]["first_step"] + step, value) for step, value in curves[name]["points"]]
        for start, end in zip(points, points[1:]):
            sheet.line(start, end, colour, 3)
        for x, y in points:
            sheet.box(x - 4, y - 4, 8, 8, fill=colour, radius=4)
        sheet.line((right + 24, 96 + 34 * number), (right + 52, 96 + 34 * number), colour, 3)
        sheet.text(right + 62, 101 + 34 * number, label, 15, INK)
    return sheet


def main(args) -> None:
    results = Path(__file__).parent.parent / "benchmarks/results/market1501.json"
    draw(json.loads(results.read_text())["curves"]).write("Curves.PNG")


if __name__ == "__main__":
    run_main(main, ARGS)
