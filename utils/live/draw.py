"""Drawing for the demo: labelled boxes, captions, and several cameras side by side. OpenCV only."""

from __future__ import annotations

import colorsys
import unicodedata

import cv2
import numpy as np

FONT = cv2.FONT_HERSHEY_SIMPLEX
GRAY = (150, 150, 150)  # BGR, boxes of unknown people
DARK = (40, 40, 40)  # BGR, behind captions
PLACE = (0, 200, 255)  # BGR, lines and zones
SHOWN = 3  # people whose stay in a zone is drawn


def color_of(person_id: int) -> tuple:
    """The color (blue, green, red) of a person; neighboring ids have hues far apart."""
    red, green, blue = colorsys.hsv_to_rgb(person_id * 0.61803398875 % 1.0, 0.75, 0.95)
    return int(blue * 255), int(green * 255), int(red * 255)


def draw_people(frame: np.ndarray, boxes: np.ndarray, person_ids, similarities, names=(), selected=None) -> None:
    """Draws boxes (N, 4) [ymin, xmin, ymax, xmax] in 0..1 with labels into frame (H, W, 3) uint8 BGR.

    person_ids: (N,), 0 for unknown; similarities: (N,), nan for a new person.
    names: {person_id: name} of those who have one; selected: the person id to highlight.
    """
    height, width = frame.shape[:2]
    scale = text_scale(frame)
    thickness = max(1, round(2 * scale))
    for (top, left, bottom, right), person_id, similarity in zip(boxes, person_ids, similarities):
        person_id = int(person_id)
        color = color_of(person_id) if person_id else GRAY
        corner = round(left * width), round(top * height)
        opposite = round(right * width), round(bottom * height)
        cv2.rectangle(frame, corner, opposite, color, thickness)
        if person_id and person_id == selected:
            cv2.rectangle(frame, corner, opposite, (255, 255, 255), 3 * thickness)
        draw_label(frame, label_of(person_id, similarity, dict(names)), corner, color)


def label_of(person_id: int, similarity: float, names: dict) -> str:
    """The label of a box: "Anna 0.83", "7 0.83", "7 new" or "unknown"."""
    if not person_id:
        return "unknown"
    name = drawable_name(names.get(person_id, ""), person_id)
    return f"{name} new" if np.isnan(similarity) else f"{name} {similarity:.2f}"


def drawable_name(name: str, person_id: int) -> str:
    """The name in ASCII; if letters are lost, the person's number before what is left; without a name the number."""
    drawn = to_ascii(name) if name else ""
    lost = sum(character.isalnum() for character in unicodedata.normalize("NFC", name).translate(LETTERS))
    if drawn and sum(map(str.isalnum, drawn)) >= lost:
        return drawn
    return f"{person_id} {drawn.strip('?')}".strip()


# Letters that Unicode does not take apart into an ASCII one and a mark.
LETTERS = str.maketrans(
    dict(zip("ßẞæÆœŒøØłŁđĐðÐþÞı", "ss SS ae AE oe OE o O l L d D d D th Th i".split())),
)


def to_ascii(text: str) -> str:
    """OpenCV's fonts are ASCII: accents are dropped, and a text in another script becomes a question mark."""
    plain = unicodedata.normalize("NFKD", text.translate(LETTERS)).encode("ascii", "ignore").decode()
    return " ".join(plain.split()) or "?"


def text_scale(frame: np.ndarray) -> float:
    """OpenCV's font scale for a frame: readable from small frames to 4K."""
    return max(frame.shape[0], 240) / 1000


def draw_label(frame: np.ndarray, text: str, corner: tuple, color: tuple) -> None:
    """Draws a line of text on a filled box whose lower left is `corner` (x, y), moved to stay inside the frame."""
    scale = text_scale(frame)
    thickness = max(1, round(2 * scale))
    (text_width, text_height), below = cv2.getTextSize(text, FONT, scale, thickness)
    box_width = text_width + 4
    box_height = text_height + below + 4
    x = min(max(corner[0], 0), max(frame.shape[1] - box_width, 0))
    y = min(max(corner[1], box_height), frame.shape[0])
    cv2.rectangle(frame, (x, y - box_height), (x + box_width, y), color, cv2.FILLED)
    luminance = np.dot(color, (0.114, 0.587, 0.299))
    ink = (0, 0, 0) if luminance > 120 else (255, 255, 255)
    cv2.putText(frame, text, (x + 2, y - below - 2), FONT, scale, ink, thickness, cv2.LINE_AA)


def draw_fps(frame: np.ndarray, fps: float) -> None:
    """Draws the frames per second into the upper left corner."""
    draw_label(frame, f"{fps:.1f} fps", (0, 0), DARK)


def draw_caption(frame: np.ndarray, text: str) -> None:
    """Draws a line into the lower left corner."""
    draw_label(frame, to_ascii(text), (0, frame.shape[0]), DARK)


def draw_places(frame: np.ndarray, places, rows) -> None:
    """Draws lines, with an arrow in the direction "in", and zones with their numbers into frame (H, W, 3) uint8 BGR.

    places: Place each (utils/live/places.py); rows: what utils/live/counts.py describes of each.
    """
    height, width = frame.shape[:2]
    thickness = max(1, round(2 * text_scale(frame)))
    for place, row in zip(places, rows):
        points = np.array([(round(x * width), round(y * height)) for x, y in place.points])
        name = to_ascii(place.name)
        if row["kind"] == "zone":
            cv2.polylines(frame, [points], True, PLACE, thickness, cv2.LINE_AA)
            people = [f"{to_ascii(who['person'] or '?')} {who['seconds']:.0f} s" for who in row["here"][:SHOWN]]
            label = f"{name} {row['inside']}" + (": " + ", ".join(people) if people else "")
            draw_label(frame, label, tuple(points[points[:, 1].argmin()].tolist()), PLACE)
            continue
        start, end = points
        middle = (start + end) // 2
        along = (end - start) / max(np.linalg.norm(end - start), 1)
        tip = middle + (np.array([-along[1], along[0]]) * height / 15).astype(int)  # to the right hand
        cv2.line(frame, tuple(start.tolist()), tuple(end.tolist()), PLACE, thickness, cv2.LINE_AA)
        cv2.arrowedLine(frame, tuple(middle.tolist()), tuple(tip.tolist()), PLACE, thickness, cv2.LINE_AA, 0, 0.4)
        label = f"{name} in {row['in']} out {row['out']}"
        draw_label(frame, label, tuple(start.tolist()), PLACE)


def dimmed(frame: np.ndarray) -> np.ndarray:
    """A copy of an outdated frame (H, W, 3) uint8 BGR: gray and half as bright."""
    return cv2.cvtColor(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR) // 2


def side_by_side(frames) -> np.ndarray:
    """Frames (H, W, 3) uint8 of any sizes -> one image, in their order, as high as the lowest of them."""
    if len(frames) == 1:
        return frames[0]
    height = min(len(frame) for frame in frames)
    return np.hstack([frame if len(frame) == height else _scaled(frame, height) for frame in frames])


def _scaled(frame: np.ndarray, height: int) -> np.ndarray:
    width = max(round(frame.shape[1] * height / frame.shape[0]), 1)
    return cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)
