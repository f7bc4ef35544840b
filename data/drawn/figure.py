"""Draws one walking person: an identity in a pose, from any direction.

The body is a small skeleton in three dimensions, so one description gives front, side and back views, strides, and
views from above. Trunk, skirts and hair are stacks of ellipses ("columns"), arms and legs are tapered rods ("limbs").
Far parts are painted first.

Lengths are in body heights: y points up from the ground, x to the person's left, z to the front. Colours are RGB in
0..1.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from data.drawn.heads import draw_head, draw_long_hair
from data.drawn.wardrobe import NOISE_SIZE, choose, cloth_colour, noise, plain


def random_pose(rng, heading: float) -> SimpleNamespace:
    """A moment of walking or standing.

    heading: direction in radians; 0 faces the camera, pi / 2 walks to the right, pi walks away.
    """
    arms = [choose(rng, swing=68, pocket=12, front=9, phone=5, bent=6) for _ in range(2)]
    return SimpleNamespace(
        heading=heading,
        phase=rng.uniform(0, 2 * np.pi),
        stride=0.1 if rng.random() < 0.15 else rng.uniform(0.55, 1.15),
        arms=arms,
        lean=rng.normal(0, 0.02),
        turn=rng.normal(0, 0.25),
        paper=rng.random() < 0.08,
        swing=rng.uniform(0.5, 1.2),
    )


def skeleton(person, pose) -> dict:
    """The joints of both sides as {name: (x, y, z)}; "hip0" is the person's left hip, "hip1" the right one."""
    joints = {}
    wide = person.build
    for side, sign in enumerate((1, -1)):
        phase = pose.phase + (0 if sign > 0 else np.pi)
        swing = np.sin(phase) * 0.42 * pose.stride * person.gait
        lift = max(0.0, np.cos(phase)) * 0.8 * pose.stride  # the knee bends while the leg moves forward
        hip = np.array([0.052 * sign * wide, person.legs, 0.0])
        thigh = person.legs * 0.47
        shin = person.legs * 0.46
        knee = hip + thigh * np.array([0.02 * sign, -np.cos(swing + lift * 0.35), np.sin(swing + lift * 0.35)])
        ankle = knee + shin * np.array([0, -np.cos(swing - lift * 0.5), np.sin(swing - lift * 0.5)])
        toe = ankle + np.array([0.02 * sign, -0.02, 0.09])
        joints.update({f"hip{side}": hip, f"knee{side}": knee, f"ankle{side}": ankle, f"toe{side}": toe})
        shoulder = np.array([(0.112 + person.bulk * 0.4) * sign * wide, 0.805, pose.lean])
        kind = pose.arms[side]
        back = -swing * pose.swing
        out = 0.16 + person.bulk * 2
        if kind == "swing":
            elbow = shoulder + 0.17 * np.array([out * sign, -np.cos(back), np.sin(back)])
            bend = back + 0.35
            hand = elbow + 0.16 * np.array([0.05 * sign, -np.cos(bend), np.sin(bend)])
        elif kind == "pocket":
            back = back * 0.2
            elbow = shoulder + 0.17 * np.array([out * sign, -np.cos(back), np.sin(back) - 0.2])
            bend = back + 0.55
            hand = elbow + 0.16 * np.array([-0.25 * sign, -np.cos(bend), np.sin(bend)])
        else:
            elbow = shoulder + 0.165 * np.array([out * sign, -0.95, 0.25])
            reach = {"front": (-0.45, 0.25, 0.85), "bent": (-0.1, 0.05, 1.0), "phone": (-0.1, 1.0, 0.15)}[kind]
            hand = elbow + 0.145 * np.array([reach[0] * sign, reach[1], reach[2]])
        joints.update({f"shoulder{side}": shoulder, f"elbow{side}": elbow, f"hand{side}": hand})
    return joints


class Painter:
    """Paints shapes, given in body heights, into `image` (H, W, 3) float32 and marks them in `mask` (H, W) uint8."""

    def __init__(self, image, mask, foot, height, heading, tilt, light, rng):
        """foot: (column, row) of the feet; height: of the person in pixels; the rest as in draw_person."""
        self.image = image
        self.mask = mask
        self.foot = foot
        self.height = height
        self.heading = heading
        self.light = light
        self.sin_tilt = np.sin(tilt)
        self.cos_tilt = np.cos(tilt)
        self.noise_at = rng.integers(0, NOISE_SIZE, (64, 2))
        self.painted = 0

    def project(self, point):
        """(column, row, nearness) of a body point.

        For a camera that looks down, the upper parts of a body are nearer, and so a little larger.
        """
        x, y, z = point
        near = z * np.cos(self.heading) - x * np.sin(self.heading)
        across = x * np.cos(self.heading) + z * np.sin(self.heading)
        grow = 1 + 0.35 * self.sin_tilt * (y - 0.5)
        up = y * self.cos_tilt - near * self.sin_tilt
        return self.foot[0] + across * grow * self.height, self.foot[1] - up * self.height, near

    def _window(self, left, top, right, bottom):
        """The part of the image in a box: ((rows, columns) as slices, xx (1, w), yy (h, 1)); None if it is empty."""
        rows, columns = self.mask.shape
        left = max(0, int(left))
        right = min(columns, int(right) + 2)
        top = max(0, int(top))
        bottom = min(rows, int(bottom) + 2)
        if left >= right or top >= bottom:
            return None
        xx = np.arange(left, right, dtype=np.float32)[None]
        yy = np.arange(top, bottom, dtype=np.float32)[:, None]
        return (slice(top, bottom), slice(left, right)), xx, yy

    def _fill(self, place, inside, across, along, angle, cloth):
        """Paints the `inside` pixels of a window; all arrays are (h, w).

        across: position over the part, -1..1. along: body heights from its start. angle: around the body, radians.
        """
        if not inside.any():
            return
        across = across[inside]
        along = along[inside]
        angle = angle[inside]
        self.painted += 1
        y, x = self.noise_at[self.painted % 64]
        rows, columns = inside.shape
        fine = noise(1.0)[y : y + rows, x : x + columns][inside]
        coarse = noise(3.0)[y : y + rows, x : x + columns][inside]
        colour = cloth_colour(cloth, along, angle, coarse)
        depth = np.sqrt(np.clip(1 - across * across, 0, 1))
        shade = self.light.ambient + (1 - self.light.ambient) * (self.light.x * across + self.light.z * depth)
        shade = shade * (1 + cloth.folds * coarse + cloth.weave * fine) * (1 - cloth.edge * (1 - depth) ** 2)
        if cloth.pattern == "puffer":
            shade = shade * (0.72 + 0.33 * np.abs(np.sin(np.pi * along / 0.04)))
        self.image[place][inside] = np.clip(colour * shade[:, None], 0.0, 1.2)
        self.mask[place][inside] = 1

    def limb(self, start, end, radius_start, radius_end, cloth, offset=0.0):
        """Paints a tapered rod with round ends; offset: where on the garment it begins, body heights."""
        x0, y0, _ = self.project(start)
        x1, y1, _ = self.project(end)
        r0 = radius_start * self.height
        r1 = radius_end * self.height
        reach = max(r0, r1)
        window = self._window(min(x0, x1) - reach, min(y0, y1) - reach, max(x0, x1) + reach, max(y0, y1) + reach)
        if window is None:
            return
        place, xx, yy = window
        xx = xx - x0
        yy = yy - y0
        dx = x1 - x0
        dy = y1 - y0
        length = max(np.hypot(dx, dy), 1e-3)
        along = np.clip((xx * dx + yy * dy) / length**2, 0, 1)
        radius = r0 + (r1 - r0) * along
        away = np.hypot(xx - along * dx, yy - along * dy)
        across = np.clip((xx - along * dx) / np.maximum(radius, 0.5), -1, 1)
        full = np.linalg.norm(np.subtract(end, start))
        self._fill(place, away <= radius, across, along * full + offset, np.arcsin(across) - self.heading, cloth)

    def column(self, heights, half_x, half_z, cloth, centre=(0.0, 0.0), round_top=0.0):
        """Paints a stack of ellipses at `heights`, from the top down.

        half_x, half_z: their half widths sideways and from front to back. centre: (x, z).
        """
        points = [self.project((centre[0], y, centre[1])) for y in heights]
        half_x = np.multiply(half_x, np.cos(self.heading))
        half_z_turned = np.multiply(half_z, np.sin(self.heading))
        half = np.hypot(half_x, half_z_turned) * self.height
        columns = np.array([point[0] for point in points])
        rows = np.array([point[1] for point in points])
        # In a view from above the near rim is lower.
        rows = rows + np.linspace(-1, 1, len(rows)) * self.sin_tilt * np.mean(half_z) * self.height
        window = self._window(
            (columns - half).min(), rows[0] - round_top * self.height, (columns + half).max(), rows[-1]
        )
        if window is None:
            return
        place, xx, yy = window
        centre_x = np.interp(yy[:, 0], rows, columns)[:, None]
        width = np.interp(yy[:, 0], rows, half)[:, None]
        inside = (np.abs(xx - centre_x) <= width) & (yy >= rows[0]) & (yy <= rows[-1])
        across = np.clip((xx - centre_x) / np.maximum(width, 0.5), -1, 1)
        along = np.broadcast_to((yy - rows[0]) / self.height, inside.shape)
        self._fill(place, inside, across, along, np.arcsin(across) - self.heading, cloth)


def draw_person(image, mask, person, pose, foot, height: float, tilt: float, light, rng) -> None:
    """Paints a person, `height` pixels tall with the feet at `foot` (column, row), and marks it in `mask`.

    image: (H, W, 3) float32. mask: (H, W) uint8. tilt: how far the camera looks down, radians. light: x (from the
    right), z (from the camera) and ambient, all as shares of full light.
    """
    painter = Painter(image, mask, foot, height, pose.heading, tilt, light, rng)
    joints = skeleton(person, pose)
    nearness = {name: painter.project(point)[2] for name, point in joints.items()}
    skin = plain(person.skin)
    facing = np.cos(pose.heading) > 0
    legs = sorted((0, 1), key=lambda side: nearness[f"knee{side}"])
    arms = sorted((0, 1), key=lambda side: nearness[f"elbow{side}"])
    if person.bag == "backpack" and facing:
        draw_backpack(painter, person)
    if person.hair == "long" and facing:
        draw_long_hair(painter, person)
    if nearness[f"elbow{arms[0]}"] < -0.03:
        draw_arm(painter, person, pose, joints, arms[0], skin)
        arms = arms[1:]
    for side in legs:
        draw_leg(painter, person, joints, side, skin)
    draw_trunk(painter, person, pose)
    draw_head(painter, person, pose)
    if person.hair in ("long", "tail") and not facing:
        draw_long_hair(painter, person)
    if person.bag == "backpack" and not facing:
        draw_backpack(painter, person)
    for side in arms:
        draw_arm(painter, person, pose, joints, side, skin)


def draw_leg(painter, person, joints, side, skin) -> None:
    """Draws thigh, shin and shoe; shorts, skirts and dresses leave the shin bare."""
    hip, knee, ankle, toe = (joints[f"{name}{side}"] for name in ("hip", "knee", "ankle", "toe"))
    wide = (0.6 + 0.4 * person.build) * {"leggings": 0.8, "wide": 1.3}.get(person.bottom, person.trouser)
    shoe = plain(person.shoes, folds=0.1)
    painter.limb(ankle + [0, -0.005, -0.015], toe, 0.024, 0.02, shoe)
    if person.bottom == "skirt" or person.top == "dress" or person.bottom == "shorts":
        painter.limb(knee, ankle, 0.037, 0.023, skin)
        painter.limb(hip, knee, 0.056 * wide, 0.045, skin if person.bottom != "shorts" else person.lower)
        if person.bottom == "shorts":
            painter.limb(hip, hip + (knee - hip) * 0.95, 0.06 * wide, 0.058 * wide, person.lower)
    else:
        ends = {"leggings": 0.022, "wide": 0.05}.get(person.bottom, 0.033)
        painter.limb(knee, ankle, 0.045 * wide, ends * wide, person.lower, offset=np.linalg.norm(hip - knee))
        painter.limb(hip, knee, 0.064 * wide, 0.047 * wide, person.lower)
    if person.boots:
        painter.limb(ankle + (knee - ankle) * 0.5, ankle, 0.04, 0.03, shoe)


def draw_arm(painter, person, pose, joints, side, skin) -> None:
    """Draws sleeve, forearm (bare below a short sleeve) and hand, with a bag or a sheet of paper in it."""
    shoulder, elbow, hand = (joints[f"{name}{side}"] for name in ("shoulder", "elbow", "hand"))
    sleeve = SimpleNamespace(**vars(person.upper))
    if sleeve.pattern in ("sleeves", "yoke") and person.top != "vest":
        sleeve.colour = sleeve.second
    if sleeve.pattern not in ("stripes", "check", "mottle"):
        sleeve.pattern = "puffer" if person.top == "puffer" else "plain"
    wide = (0.65 + 0.35 * person.build) * (1 + person.bulk * 9)
    short = person.top in ("tshirt", "vest") or (person.top == "dress" and person.hem < 0.33)
    if person.bag == "hand" and (side == 0) == (person.bag_side > 0):
        bag = plain(person.bag_colour, 0.12)
        bottom = hand + [0, -0.1 * person.bag_size, 0.0]
        painter.limb(hand + [0, -0.03, 0], bottom, 0.045, 0.055 * person.bag_size, bag)
    if pose.paper and side == 0:
        painter.limb(hand + [0, -0.03, 0.02], hand + [0.0, 0.03, 0.05], 0.03, 0.03, plain((0.93, 0.93, 0.92)))
    painter.limb(hand, hand + (hand - elbow) * 0.12, 0.021, 0.018, skin)
    painter.limb(elbow, hand, 0.033 * wide, 0.025 * (1 if short else wide), skin if short else sleeve, offset=0.17)
    upper_end = shoulder + (elbow - shoulder) * (0.75 if short else 1.0)
    if short:
        painter.limb(shoulder, elbow, 0.036 * wide, 0.032 * wide, skin)
    upper = skin if person.top == "vest" else sleeve
    painter.limb(shoulder + [0, -0.012, 0], upper_end, 0.046 * wide, 0.036 * wide, upper)


def draw_trunk(painter, person, pose) -> None:
    """Draws shirt, jacket, coat, dress or skirt as columns; shoulder straps are part of the cloth."""
    wide = person.build
    bulk = person.bulk
    belly = person.belly
    cloth = SimpleNamespace(**vars(person.upper), open_front=person.open_front)
    if person.top == "puffer":
        cloth.pattern = "puffer" if cloth.pattern in ("plain", "mottle", "print") else cloth.pattern
    cloth.straps = person.bag_colour if person.bag == "backpack" else None
    cloth.sling = person.bag_colour if person.bag == "shoulder" else None
    cloth.sling_side = person.bag_side
    hip_wide = 0.1 if person.female else 0.092
    if person.bottom == "skirt" and person.top != "dress":
        painter.column(
            [0.6, person.legs, person.skirt_hem],
            [0.08 * wide, 0.1 * wide, 0.1 * wide * person.flare],
            [0.06 * wide, 0.08 * wide, 0.08 * wide * person.flare],
            person.lower,
        )
    else:
        painter.column(
            [0.58, person.legs - 0.02, person.legs - 0.06],
            [0.085 * wide, hip_wide * wide, 0.08 * wide],
            [0.065 * wide, 0.075 * wide, 0.05 * wide],
            person.lower,
        )
    hem = {"coat": person.hem, "dress": person.skirt_hem, "tshirt": 0.5, "shirt": 0.5}.get(person.top, 0.47)
    hem += 0.03 if person.hem > 0.36 else 0
    flare = 1.0 if person.top not in ("dress", "coat") else 0.85 + 0.35 * person.flare
    heights = [0.855, 0.835, 0.8, 0.7, 0.6, 0.53, hem]
    waist = 0.078 if person.female else 0.088
    half_x = np.array([0.035, 0.07, 0.108, 0.1, waist + belly, hip_wide + belly * 0.5, hip_wide * flare])
    half_z = np.array([0.03, 0.045, 0.062, 0.075 + belly, 0.068 + belly * 2, 0.075 + belly, 0.075 * flare])
    painter.column(heights, half_x * wide + bulk, half_z * wide + bulk, cloth, centre=(0, pose.lean * 0.5))
    if person.bag == "shoulder":
        side = person.bag_side
        size = person.bag_size
        if side * np.sin(painter.heading) < 0.4:  # otherwise the body hides it
            painter.column(
                [0.58, 0.57, 0.45],
                [0.02, 0.03, 0.035 * size],
                [0.05 * size, 0.07 * size, 0.075 * size],
                plain(person.bag_colour, 0.12),
                centre=(0.13 * wide * side, 0),
            )


def draw_backpack(painter, person) -> None:
    """Draws a backpack. From the front the body hides it, and only the straps on the cloth show."""
    size = person.bag_size
    painter.column(
        [0.82, 0.8, 0.7, 0.6, 0.82 - 0.25 * size],
        np.array([0.05, 0.075, 0.088, 0.09, 0.08]) * size,
        np.array([0.03, 0.05, 0.06, 0.065, 0.055]) * size,
        plain(person.bag_colour, 0.15),
        centre=(0, -0.1 - person.bulk),
    )
