"""Draws the head of a person: neck, face, hair, headwear. Lengths are in body heights, as in data/drawn/figure.py."""

from __future__ import annotations

import numpy as np

from data.drawn.wardrobe import plain

STEPS = np.linspace(0, 1, 9)  # from the top of the head down to the chin
OVAL = np.sqrt(np.clip(1 - (2 * STEPS - 1) ** 2, 0.02, 1)) * (1 - 0.18 * STEPS)  # half width at each of them


def draw_head(painter, person, pose) -> None:
    """Draws neck, hair, face and headwear."""
    size = person.head
    saved = painter.heading
    painter.limb((0, 0.82, 0), (0, 0.885, 0.01), 0.034, 0.032, plain(person.skin, edge=0.5))
    if person.scarf:
        painter.limb((-0.02, 0.845, 0.015), (0.02, 0.845, 0.015), 0.045, 0.045, plain(person.scarf_colour, 0.15))
    painter.heading = saved + pose.turn
    top = 0.915 + 0.085 * size * 0.98
    chin = 0.915 - 0.055 * size
    draw_hair(painter, person, top, chin)
    if np.cos(painter.heading) > -0.45:
        draw_face(painter, person, top, chin)
    if person.cover in ("cap", "beanie"):
        draw_cap(painter, person, top, chin)
    painter.heading = saved
    if person.hood and person.cover != "hood":  # a hood that lies on the neck
        cloth = plain(person.upper.colour * 0.9, 0.15)
        painter.limb((-0.04, 0.845, -0.035), (0.04, 0.845, -0.035), 0.035, 0.035, cloth)


def draw_hair(painter, person, top, chin) -> None:
    """Draws the outside of the head: hair, a hood, a head scarf, or bare skin."""
    covered = person.cover in ("hood", "scarf")
    swell = 1.2 if covered else {"curly": 1.28, "long": 1.12}.get(person.hair, 1.04)
    if person.cover == "scarf":
        colour = person.cover_colour
    elif person.cover == "hood":
        colour = person.upper.colour
    elif person.hair == "bald":
        colour = person.skin
    else:
        colour = person.hair_colour
    painter.column(
        top + (chin - top) * STEPS,
        OVAL * 0.056 * person.head * swell,
        OVAL * 0.068 * person.head * swell,
        plain(colour, 0.1 if person.hair != "curly" else 0.25),
        centre=(0, 0.012),
    )


def draw_face(painter, person, top, chin) -> None:
    """Draws the face: a smaller oval, further forward, with a dark band at the eyes and perhaps a beard."""
    size = person.head
    face = np.linspace(0.28 if person.hair != "bald" else 0.12, 0.98, 7)
    shape = np.sqrt(np.clip(1 - (2 * face - 1) ** 2, 0.02, 1)) * (1 - 0.18 * face)
    heights = top + (chin - top) * face
    shift = 0.032 if np.cos(painter.heading) < 0.5 else 0.022
    skin = plain(person.skin, 0.04)
    painter.column(heights, shape * 0.047 * size, shape * 0.045 * size, skin, centre=(0, shift))
    eyes = top + (chin - top) * 0.47
    shade = plain(person.skin * 0.62)
    painter.column([eyes, eyes - 0.012], [0.036 * size] * 2, [0.034 * size] * 2, shade, centre=(0, shift + 0.006))
    if person.beard:
        low = face > 0.68
        hair = plain(person.hair_colour * 1.1)
        widths = shape[low] * size
        painter.column(heights[low], widths * 0.046, widths * 0.045, hair, centre=(0, shift + 0.004))


def draw_cap(painter, person, top, chin) -> None:
    """Draws a beanie, or a cap with its brim."""
    under = 0.42 if person.cover == "beanie" else 0.36
    cap = STEPS[STEPS <= under + 0.02]
    painter.column(
        top + 0.006 + (chin - top) * cap,
        OVAL[: len(cap)] * 0.061 * person.head,
        OVAL[: len(cap)] * 0.073 * person.head,
        plain(person.cover_colour, 0.1),
        centre=(0, 0.012),
    )
    if person.cover == "cap" and np.cos(painter.heading) > -0.3:
        brim = top + (chin - top) * under
        painter.limb((-0.03, brim, 0.06), (0.03, brim, 0.06), 0.014, 0.014, plain(person.cover_colour * 0.8))


def draw_long_hair(painter, person) -> None:
    """Draws hair down to the shoulder blades, or a pony tail."""
    wide = 0.056 if person.hair == "long" else 0.022
    end = 0.8 - 0.1 * (person.flare - 1)
    painter.column(
        [0.95, 0.9, 0.84, end],
        np.array([0.8, 1.05, 1.1, 0.9]) * wide,
        np.array([0.7, 0.9, 0.8, 0.6]) * wide * 0.8,
        plain(person.hair_colour, 0.15),
        centre=(0, -0.03),
    )
