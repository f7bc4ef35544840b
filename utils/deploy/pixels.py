"""How published networks take their images: the order of the channels, and the scaling of the pixels."""

from __future__ import annotations

import argparse

PRESETS = {
    "imagenet": ("RGB", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    "unit": ("RGB", (0.0, 0.0, 0.0), (255.0, 255.0, 255.0)),
    "rgb": ("RGB", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "bgr": ("BGR", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}
REID_PIXELS = "imagenet"  # of Torchreid, BoxMOT and OpenCV Zoo
FORMS = (
    f"{', '.join(PRESETS)}, or like RGB:123.7,116.3,103.5:58.4,57.1,57.4 (order, mean, divisor; pixels are 0 to 255)"
)


def as_pixels(text: str) -> dict:
    """A preset, or ORDER:MEAN:DIVISOR -> {"channels", "mean", "scale"} as in runtime.as_tensor."""
    channels, mean, divisor = PRESETS.get(text) or _parse(text)
    return {"channels": channels, "mean": list(mean), "scale": [1 / value for value in divisor]}


def _parse(text: str) -> tuple:
    try:
        channels, *numbers = text.split(":")
        mean, divisor = ([float(number) for number in part.split(",")] for part in numbers)
        if channels in ("RGB", "BGR") and len(mean) == len(divisor) == 3 and all(value > 0 for value in divisor):
            return channels, mean, divisor
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text} is not one of {FORMS}")
