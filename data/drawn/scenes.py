"""The surroundings of a drawn person (grounds, walls, obstacles), and the camera (light, lens, sensor, JPEG)."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np

from data.drawn.figure import draw_person, random_pose
from data.drawn.wardrobe import NOISE_SIZE, choose, noise, random_identity

# Rows and columns of the scene that is painted before the box is cut out; a person in it is about 150 pixels tall.
CANVAS = (232, 176)

GROUNDS = {
    "asphalt": (118, 118, 122),
    "concrete": (158, 154, 148),
    "paving": (150, 142, 132),
    "grass": (74, 102, 44),
    "brick": (140, 96, 70),
    "plaster": (190, 182, 166),
    "sand": (186, 168, 132),
    "tiles": (176, 178, 180),
    "dark": (62, 62, 66),
    "glass": (86, 104, 116),
}


def random_camera(rng) -> SimpleNamespace:
    """A camera: its colour cast, tone curve, tilt, light, sharpness and noise, and the places that it sees."""
    return SimpleNamespace(
        cast=np.exp(rng.normal(0, 0.025, 3)).astype(np.float32),
        gamma=np.exp(rng.normal(0, 0.08)),
        gain=np.exp(rng.normal(0.03, 0.08)),
        contrast=rng.uniform(1.15, 1.65),
        haze=max(0.0, rng.normal(0, 0.02)),
        saturation=rng.uniform(0.7, 1.15),
        tilt=rng.uniform(0.0, 0.55),
        light_x=rng.uniform(-0.5, 0.5),
        ambient=rng.uniform(0.45, 0.8),
        shadow=rng.uniform(0, 0.5),
        heading=rng.uniform(0, 2 * np.pi),
        sharpen=rng.choice([0.2, 0.5, 0.9, 1.2]),
        blur=rng.uniform(0.0, 0.5),
        noise=rng.uniform(0.002, 0.012),
        size=rng.uniform(0.85, 1.3),
        quality=int(rng.integers(60, 93)),
        places=[random_place(rng) for _ in range(int(rng.integers(3, 6)))],
    )


def random_place(rng) -> SimpleNamespace:
    """A place before a camera: the colours of its materials, its ground, and the material beside it."""
    colours = {
        name: np.array(colour, np.float32) / 255 * rng.uniform(0.8, 1.15) + rng.normal(0, 0.015, 3)
        for name, colour in GROUNDS.items()
    }
    ground = choose(rng, asphalt=24, concrete=14, paving=16, grass=18, sand=4, tiles=10, dark=6, brick=2)
    return SimpleNamespace(colours=colours, ground=ground, border=str(rng.choice(list(GROUNDS))), split=rng.random())


def surface(kind: str, colour, shape, rng) -> np.ndarray:
    """(H, W, 3) float32 of one material; shape: (H, W)."""
    height, width = shape
    y, x = rng.integers(0, NOISE_SIZE, 2)
    window = (slice(y, y + height), slice(x, x + width))
    fine = noise(1.0)[window]
    middle = noise(3.0)[window]
    coarse = noise(20.0)[window]
    rough = {"grass": 0.16, "asphalt": 0.05, "sand": 0.12, "brick": 0.08}.get(kind, 0.03)
    tone = 1 + rough * fine + rough * 0.8 * middle + 0.08 * coarse
    if kind in ("paving", "tiles", "brick"):
        rows = np.arange(height)[:, None] + y
        columns = np.arange(width)[None] + x
        if kind == "brick":
            step_y = 5
            step_x = 12
            columns = columns + (rows // step_y % 2) * 6
        else:
            step_y, step_x = rng.integers(6, 30, 2)
            columns = columns + (rows * rng.uniform(-0.5, 0.5)).astype(int)
        tone = np.where((rows % step_y < 1) | (columns % step_x < 1), tone * rng.uniform(0.72, 1.15), tone)
    image = tone[..., None] * np.asarray(colour, np.float32)
    if kind == "grass":
        image = image * (1 + np.stack([middle * 0.06, coarse * 0.05, -middle * 0.1], -1))
    return image.astype(np.float32)


def background(place, shape, rng) -> np.ndarray:
    """(H, W, 3) float32: the ground of a place, often with other materials, lines and objects; shape: (H, W)."""
    height, width = shape
    image = surface(place.ground, place.colours[place.ground], shape, rng)
    for _ in range(int(rng.integers(0, 3))):  # another material beyond a slanting edge: lawn, wall, road
        kind = place.border if rng.random() < 0.6 else str(rng.choice(list(GROUNDS)))
        start = rng.uniform(-0.2, 0.75) * height
        slope = rng.normal(0, 0.35)
        edge = (start + slope * (np.arange(width) - width / 2)).astype(np.int32)
        beyond = np.arange(height)[:, None] < edge[None]
        other = surface(kind, place.colours[kind], shape, rng)
        image[beyond] = other[beyond]
        if rng.random() < 0.4:
            points = np.stack([np.arange(width), edge], 1).astype(np.int32)
            tone = rng.uniform(0.2, 0.9)
            cv2.polylines(image, [points], False, (tone, tone, tone * rng.uniform(0.5, 1)), int(rng.integers(1, 5)))
    for _ in range(int(rng.poisson(1.0))):
        draw_object(image, rng)
    if rng.random() < 0.3:  # the shadow of a house or tree
        start = rng.uniform(0, 1) * width
        slope = rng.normal(0, 0.8)
        dark = np.arange(width)[None] < start + slope * np.arange(height)[:, None]
        image[dark if rng.random() < 0.5 else ~dark] *= rng.uniform(0.45, 0.85)
    return image


def draw_object(image, rng) -> None:
    """Draws a post, a box (sign, car, window), a line or a blob somewhere in the image."""
    height, width = image.shape[:2]
    x, y = (int(v) for v in rng.uniform(0, 1, 2) * (width, height))
    vivid = 0.3 if rng.random() < 0.7 else 1.4  # signs and cones have strong colours, most things do not
    colour = tuple(float(c) for c in np.clip(rng.uniform(0.1, 0.9) + vivid * rng.uniform(-0.35, 0.35, 3), 0, 1))
    kind = choose(rng, post=30, box=25, line=25, blob=20)
    if kind == "post":
        cv2.line(image, (x, 0), (x + int(rng.normal(0, 8)), y), colour, int(rng.integers(2, 8)))
    elif kind == "box":
        cv2.rectangle(image, (x, y), (x + int(rng.integers(10, 90)), y + int(rng.integers(10, 60))), colour, -1)
    elif kind == "line":
        cv2.line(image, (0, y), (width, y + int(rng.normal(0, 60))), colour, int(rng.integers(1, 5)))
    else:
        cv2.ellipse(image, (x, y), tuple(int(v) for v in rng.integers(6, 36, 2)), 0, 0, 360, colour, -1)


def occlude(image, box, rng) -> None:
    """Draws something between camera and person: a pole, or a low object before the legs.

    box: left, top, right, bottom of the person.
    """
    left, top, right, bottom = box
    tone = rng.uniform(0.1, 0.85) * rng.uniform(0.7, 1.1, 3)
    if rng.random() < 0.5:
        x = int(rng.uniform(left, right))
        end = (x + int(rng.normal(0, 6)), image.shape[0])
        cv2.line(image, (x, 0), end, tuple(float(c) for c in tone), int(rng.integers(3, 12)))
    else:
        y = int(bottom - rng.uniform(0.05, 0.4) * (bottom - top))
        edge = int(rng.uniform(left - 10, right - 15))
        wide = int(rng.uniform(20, 110))
        area = image[y:, max(0, edge) : edge + wide]
        area[:] = surface(str(rng.choice(list(GROUNDS))), tone, area.shape[:2], rng) if area.size else 0


def expose(image, camera, exposure, rng) -> np.ndarray:
    """The image that a camera delivers of a scene: (H, W, 3) float32 -> (H, W, 3) uint8.

    exposure: logarithm of an additional gain.
    """
    image = image * camera.cast * (camera.gain * np.exp(exposure + rng.normal(0, 0.04)))
    grey = image @ np.array([0.3, 0.59, 0.11], np.float32)
    image = grey[..., None] + (image - grey[..., None]) * (camera.saturation * np.exp(rng.normal(0, 0.06)))
    image = np.clip(image, 1e-4, None) ** (camera.gamma * np.exp(rng.normal(0, 0.06)))
    image = (image - 0.42) * (camera.contrast * np.exp(rng.normal(0, 0.06))) + 0.42
    image = image * (1 - camera.haze) + 0.75 * camera.haze
    blur = camera.blur + (rng.uniform(0.4, 1.1) if rng.random() < 0.12 else 0.0)
    if blur > 0.25:
        image = cv2.GaussianBlur(image, (0, 0), blur)
    if camera.sharpen:
        image = image + camera.sharpen * (image - cv2.GaussianBlur(image, (0, 0), 1.0))
    if rng.random() < 0.08:  # motion blur, and the comb of interlaced video
        image = cv2.blur(image, (int(rng.integers(3, 6)), 1))
    elif rng.random() < 0.05:
        image[::2] = np.roll(image[::2], int(rng.integers(1, 3)), 1)
    y, x = rng.integers(0, NOISE_SIZE, 2)
    height, width = image.shape[:2]
    grain = noise(0.6)[y : y + height, x : x + width, None]
    grain = grain + 0.5 * rng.standard_normal(image.shape).astype(np.float32)
    image = np.clip(image + camera.noise * grain, 0, 1)
    taken = np.round(image * 255).astype(np.uint8)
    quality = int(np.clip(camera.quality + rng.integers(-12, 13), 30, 96))
    return cv2.imdecode(cv2.imencode(".jpg", taken, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)


def cut_box(mask, badly_cut: bool, rng) -> tuple:
    """(left, top, right, bottom) of the box that a detector would give for the person in `mask` (H, W).

    It is a little off, and sometimes without the feet. badly_cut: less than half of the person is in it.
    """
    columns_used = np.flatnonzero(mask.any(0))
    rows_used = np.flatnonzero(mask.any(1))
    left = columns_used[0]
    right = columns_used[-1] + 1
    top = rows_used[0]
    bottom = rows_used[-1] + 1
    height = bottom - top
    width = max(right - left, 0.3 * height)
    middle = (left + right) / 2 + rng.normal(0, 0.07) * width
    width = width * rng.uniform(0.85, 1.4)
    top = top + height * rng.normal(-0.02, 0.04)
    bottom = bottom + height * rng.normal(0.01, 0.05)
    if rng.random() < 0.08:
        bottom -= height * rng.uniform(0.05, 0.2)
    if badly_cut:
        middle += rng.choice([-1, 1]) * width * rng.uniform(0.3, 0.5)
        top += height * rng.uniform(0.2, 0.5)
    rows, columns = mask.shape
    left = max(0, int(middle - width / 2))
    right = min(columns, int(middle + width / 2))
    return min(left, columns - 16), max(0, int(top)), max(right, left + 16), min(rows, int(bottom))


def random_pass(camera, rng) -> SimpleNamespace:
    """One walk past a camera: direction, place, light and distance, which the images of the walk share."""
    # Most people walk along the path, in one direction or the other.
    heading = camera.heading + rng.normal(0, 0.5) + (np.pi if rng.random() < 0.4 else 0)
    if rng.random() < 0.35:
        heading = rng.uniform(0, 2 * np.pi)
    light = SimpleNamespace(x=camera.light_x * rng.uniform(0.5, 1.2), z=0.75, ambient=camera.ambient)
    tall = camera.size * np.exp(rng.normal(np.log(80), 0.28))  # height of the person in pixels
    return SimpleNamespace(
        heading=heading,
        light=light,
        tall=tall,
        place=camera.places[rng.integers(len(camera.places))],
        tilt=camera.tilt + rng.normal(0, 0.08),
        exposure=rng.normal(0, 0.1),
        spot=int(rng.integers(2**31)),
    )


def take_image(person, camera, walk, image_size, rng, badly_cut: bool = False) -> np.ndarray:
    """(H, W, 3) uint8 RGB: a person on a walk past a camera, cut out as a detector would do it.

    image_size: (H, W), to which the box is scaled.
    """
    rows, columns = CANVAS
    stayed = rng.random() < 0.6  # the background is nearly that of the other images of the walk
    image = background(walk.place, CANVAS, np.random.default_rng(walk.spot) if stayed else rng)
    image = np.roll(image, int(rng.normal(0, 12)), axis=1)
    height = 150 * rng.uniform(0.95, 1.05)
    foot = (columns / 2, rows - 30)
    tilt = float(np.clip(walk.tilt, 0, 0.7))
    light = walk.light

    def draw_passer_by(foot_x, foot_y):
        pose = random_pose(rng, rng.uniform(0, 2 * np.pi))
        unused = np.zeros(CANVAS, np.uint8)
        draw_person(image, unused, random_identity(rng), pose, (foot_x, foot_y), height, tilt, light, rng)

    shadow = np.zeros(CANVAS, np.float32)
    centre = (int(foot[0] + 25 * camera.light_x), int(foot[1]))
    cv2.ellipse(shadow, centre, (int(rng.uniform(16, 40)), 6), rng.uniform(-15, 15), 0, 360, 1.0, -1)
    image *= 1 - camera.shadow * cv2.GaussianBlur(shadow, (0, 0), 3)[..., None]
    if rng.random() < 0.32:
        draw_passer_by(foot[0] + rng.choice([-1, 1]) * rng.uniform(18, 80), foot[1] - rng.uniform(0, 50))
    mask = np.zeros(CANVAS, np.uint8)
    pose = random_pose(rng, walk.heading + rng.normal(0, 0.3))
    draw_person(image, mask, person, pose, foot, height, tilt, light, rng)
    left, top, right, bottom = cut_box(mask, badly_cut, rng)
    if rng.random() < 0.1:
        occlude(image, (left, top, right, bottom), rng)
    if rng.random() < 0.15:
        draw_passer_by(foot[0] + rng.choice([-1, 1]) * rng.uniform(30, 120), foot[1] + rng.uniform(4, 40))
    tall = float(np.clip(walk.tall * np.exp(rng.normal(0, 0.1)), 44, 140))
    wide = max(14, int(tall * (right - left) / (bottom - top)))
    taken = cv2.resize(image[top:bottom, left:right], (wide, int(tall)), interpolation=cv2.INTER_AREA)
    taken = expose(taken, camera, walk.exposure, rng)
    return cv2.resize(taken, (image_size[1], image_size[0]), interpolation=cv2.INTER_LINEAR)
