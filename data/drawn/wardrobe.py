"""Who is drawn: an identity is an outfit on a body, the same for every camera.

Lengths are in body heights, colours RGB in 0..1.
"""

from __future__ import annotations

from functools import lru_cache
from types import SimpleNamespace

import cv2
import numpy as np

# Cloth: (RGB colour in 0..255, weight among tops and coats, weight among trousers and skirts).
CLOTH = {
    "black": ((20, 20, 23), 15, 16),
    "charcoal": ((52, 52, 57), 8, 8),
    "grey": ((112, 113, 116), 7, 5),
    "light grey": ((176, 177, 180), 5, 3),
    "white": ((232, 231, 228), 8, 5),
    "navy": ((27, 33, 62), 10, 7),
    "denim": ((72, 100, 142), 4, 13),
    "dark denim": ((42, 54, 84), 2, 11),
    "light denim": ((130, 158, 190), 2, 7),
    "blue": ((40, 78, 160), 6, 2),
    "light blue": ((150, 190, 222), 5, 0),
    "beige": ((196, 178, 146), 5, 6),
    "khaki": ((130, 116, 84), 3, 5),
    "brown": ((84, 58, 42), 5, 3),
    "olive": ((72, 76, 50), 4, 3),
    "burgundy": ((96, 24, 38), 4, 2),
    "red": ((198, 32, 36), 7, 2),
    "pink": ((224, 142, 168), 3, 0.5),
    "orange": ((226, 116, 36), 2, 0.3),
    "yellow": ((226, 196, 60), 2, 0.3),
    "green": ((44, 118, 66), 4, 1.5),
    "teal": ((34, 112, 122), 2, 0.5),
    "purple": ((92, 54, 122), 3, 1),
}
# Dark colours by column of CLOTH.
DARK = (
    None,
    ("black", "charcoal", "navy", "brown", "olive", "dark denim"),
    ("black", "charcoal", "navy", "denim", "dark denim", "light denim", "khaki"),
)
SKIN = ((236, 200, 176), (222, 178, 148), (198, 150, 116), (150, 104, 76), (98, 66, 50), (66, 46, 38))
HAIR = (
    (18, 16, 16),
    (44, 32, 26),
    (82, 58, 40),
    (130, 96, 58),
    (190, 156, 104),
    (120, 118, 116),
    (200, 198, 194),
    (120, 56, 34),
)
SKIN_SHARES = (0.26, 0.26, 0.18, 0.12, 0.1, 0.08)
HAIR_SHARES = (0.28, 0.22, 0.16, 0.1, 0.08, 0.07, 0.05, 0.04)
NOISE_SIZE = 512


@lru_cache(maxsize=None)
def noise(sigma: float) -> np.ndarray:
    """(1024, 1024) float32 smooth noise of mean 0 and deviation 1; sigma: of its blur, in pixels.

    It repeats after 512 pixels, so a window of up to 512 may start anywhere below (512, 512). It is the same in every
    process.
    """
    rough = np.random.default_rng(int(sigma * 1000)).standard_normal((NOISE_SIZE, NOISE_SIZE)).astype(np.float32)
    pad = int(3 * sigma) + 1
    smooth = cv2.GaussianBlur(np.pad(rough, pad, mode="wrap"), (0, 0), sigma)[pad:-pad, pad:-pad]
    smooth = (smooth - smooth.mean()) / smooth.std()
    return np.pad(smooth, ((0, NOISE_SIZE), (0, NOISE_SIZE)), mode="wrap")


def choose(rng, **weights) -> str:
    """One of the names at random, in proportion to the weights."""
    share = np.array(list(weights.values()), float)
    return list(weights)[rng.choice(len(share), p=share / share.sum())]


def one_of(rng, colours, shares) -> np.ndarray:
    """(3,) one of the RGB colours, from 0..255 to 0..1; shares: the probability of each."""
    return np.array(colours[rng.choice(len(colours), p=shares)], np.float32) / 255


def random_colour(rng, column: int, dark: bool = False) -> np.ndarray:
    """(3,) a cloth colour with a random variation; column: 1 for tops, 2 for trousers and skirts."""
    weights = {name: row[column] for name, row in CLOTH.items() if not dark or name in DARK[column]}
    colour = np.array(CLOTH[choose(rng, **weights)][0], np.float32) / 255
    dye = colour * rng.uniform(0.8, 1.2) + rng.uniform(0, 0.06) + rng.normal(0, 0.025, 3)
    return np.clip(dye, 0.03, 0.97).astype(np.float32)


def random_cloth(rng, column: int, patterns: dict, dark: bool) -> SimpleNamespace:
    """The cloth of a garment: two colours, pattern and its period (body heights), folds and weave."""
    colour = random_colour(rng, column, dark)
    second = random_colour(rng, 1)
    pattern = "plain" if dark and rng.random() < 0.6 else choose(rng, **patterns)
    if np.abs(colour - second).sum() < 0.4:  # the pattern would be invisible
        second = np.clip(colour + (0.35 if colour.mean() < 0.5 else -0.35), 0, 1)
    return SimpleNamespace(
        colour=colour,
        second=second,
        pattern=pattern,
        period=rng.uniform(0.025, 0.07),
        folds=rng.uniform(0.02, 0.12),
        weave=rng.uniform(0, 0.05),
        edge=rng.uniform(0.1, 0.4),
        inner=random_colour(rng, 1),
        gap=rng.uniform(0.12, 0.5),
        print_at=rng.choice([0.0, np.pi]),
        phase=rng.uniform(0, 1),
    )


def random_clothes(rng, female: bool) -> dict:
    """Upper and lower garment: their kinds and cloths."""
    dark = rng.random() < 0.55  # many real people wear dark jackets, which differ in shades only
    # fmt: off
    top = choose(rng, tshirt=22, shirt=16, jacket=30, hoodie=12, coat=14 if female else 9, puffer=10, vest=4,
                 dress=8 if female else 0)
    bottom = choose(rng, trousers=70, shorts=10, skirt=10 if female else 0, leggings=14 if female else 1, wide=8)
    upper_cloths = dict(plain=42, stripes=11, check=6, sleeves=11, yoke=8, band=7, mottle=4, print=10, hem=5)
    # fmt: on
    upper = random_cloth(rng, 1, upper_cloths, dark)
    lower = random_cloth(rng, 2, dict(plain=78, faded=14, seam=6, check=2), dark)
    open_front = top in ("jacket", "coat", "hoodie", "vest", "shirt") and rng.random() < 0.45
    return dict(top=top, bottom=bottom, upper=upper, lower=lower, open_front=open_front)


def random_identity(rng) -> SimpleNamespace:
    """All constant properties of a person: clothes, body, hair, skin, shoes and bags."""
    female = rng.random() < 0.5
    clothes = random_clothes(rng, female)
    top = clothes["top"]
    hair = choose(rng, bald=6, short=30 if female else 62, long=38 if female else 4, curly=12, tail=14 if female else 1)
    cover = choose(
        rng, none=80, cap=8, beanie=6, hood=5 if top in ("hoodie", "puffer", "coat") else 0, scarf=3 if female else 0
    )
    bulk = {"puffer": 0.03, "coat": 0.018, "jacket": 0.014, "hoodie": 0.014}.get(top, 0.0)
    return SimpleNamespace(
        female=female,
        **clothes,
        hair=hair,
        cover=cover,
        build=float(np.clip(rng.normal(0.95 if female else 1.05, 0.11), 0.78, 1.4)),
        legs=rng.uniform(0.48, 0.55),
        head=rng.uniform(0.92, 1.12),
        bulk=bulk * rng.uniform(0.6, 1.4),
        hem=rng.uniform(0.24, 0.42),
        skirt_hem=rng.uniform(0.2, 0.42),
        flare=rng.uniform(1.0, 1.7),
        belly=max(0.0, rng.normal(0, 0.02)),
        trouser=rng.uniform(0.9, 1.3),
        skin=one_of(rng, SKIN, SKIN_SHARES) * rng.uniform(0.93, 1.06),
        hair_colour=one_of(rng, HAIR, HAIR_SHARES) * rng.uniform(0.85, 1.15),
        cover_colour=random_colour(rng, 1),
        beard=not female and rng.random() < 0.25,
        hood=top in ("hoodie", "puffer", "coat") and rng.random() < 0.6,
        shoes=random_colour(rng, 2) if rng.random() < 0.75 else np.array([0.88, 0.88, 0.87], np.float32),
        boots=rng.random() < 0.12,
        bag=choose(rng, none=55, backpack=19, shoulder=16, hand=10),
        bag_colour=random_colour(rng, 1),
        bag_side=rng.choice([-1, 1]),
        bag_size=rng.uniform(0.75, 1.2),
        scarf=rng.random() < 0.08,
        scarf_colour=random_colour(rng, 1),
        gait=rng.uniform(0.75, 1.2),
    )


def cloth_colour(cloth, along, angle, rough) -> np.ndarray:
    """(N, 3) RGB colours of N points of a garment.

    along: (N,) body heights from its top. angle: (N,) around the body, radians; 0 in front, pi / 2 at the person's
    left. rough: (N,) noise.
    """
    colour = np.broadcast_to(cloth.colour, (len(along), 3)).copy()
    turned = (angle + np.pi) % (2 * np.pi) - np.pi
    kind = cloth.pattern
    wave = along / cloth.period + cloth.phase
    if kind == "stripes":
        other = wave % 1 < 0.45
    elif kind == "check":
        other = (wave % 1 < 0.3) ^ ((turned * 0.12 / cloth.period) % 1 < 0.3)
    elif kind == "yoke":
        other = along < 0.09
    elif kind == "band":
        other = np.abs(along - 0.12) < 0.5 * cloth.period
    elif kind == "mottle":
        other = rough > 0.4
    elif kind == "print":
        from_print = (turned - cloth.print_at + np.pi) % (2 * np.pi) - np.pi
        other = (np.abs(from_print) < 0.55) & (np.abs(along - 0.11) < 0.045) & (rough > -0.6)
    elif kind == "hem":
        other = along > 0.27
    elif kind == "seam":
        other = np.abs(np.abs(turned) - np.pi / 2) < 0.25
    elif kind == "faded":
        colour *= (1 + 0.35 * np.cos(turned) * np.exp(-(((along - 0.14) / 0.09) ** 2)))[:, None]
        other = None
    else:
        other = None
    if other is not None:
        colour[other] = cloth.second
    if getattr(cloth, "open_front", False):
        colour[np.abs(turned) < cloth.gap * (0.5 + along * 3)] = cloth.inner
    if getattr(cloth, "straps", None) is not None:
        colour[(np.abs(np.abs(turned) - 0.62) < 0.13) & (along < 0.17)] = cloth.straps
    if getattr(cloth, "sling", None) is not None:
        # Down from one shoulder to the other hip.
        slant = np.where(np.abs(turned) < np.pi / 2, turned, np.sign(turned) * np.pi - turned)
        colour[np.abs(slant * 0.13 * cloth.sling_side - (along - 0.13)) < 0.012] = cloth.sling
    return colour


def plain(colour, folds=0.06, edge=0.25, pattern="plain") -> SimpleNamespace:
    """A material of a single colour: skin, hair, leather."""
    return SimpleNamespace(
        colour=np.asarray(colour, np.float32),
        second=None,
        pattern=pattern,
        period=1.0,
        phase=0.0,
        folds=folds,
        weave=0.02,
        edge=edge,
    )
