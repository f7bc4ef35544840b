"""Reads image files with their EXIF turn, for training, test, gallery and camera alike.

A phone stores an image as the sensor saw it, and writes into the file how to turn it. OpenCV turns JPEG files only,
and TensorFlow none, so both are told not to, and what is done here is the same everywhere.
"""

from __future__ import annotations

import struct

import cv2
import numpy as np

ORIENTATION = 0x0112  # the tag of EXIF
HEAD = 2**18  # bytes of a file in which the turn is looked for; in a JPEG it lies before the pixels


def orientation(content: bytes) -> int:
    """The EXIF orientation of a JPEG or PNG file, 1 to 8; 1, which is upright, if there is none.

    content: the file, or its first HEAD bytes.
    """
    try:
        if content[:2] == b"\xff\xd8":
            return _of_tiff(_jpeg_exif(content))
        if content[:8] == b"\x89PNG\r\n\x1a\n":
            return _of_tiff(_png_exif(content))
    except (struct.error, IndexError):  # cut short
        pass
    return 1


def _jpeg_exif(content: bytes) -> bytes:
    """The TIFF block of a JPEG file, b"" if there is none."""
    place = 2
    while content[place] == 0xFF and content[place + 1] not in (0xDA, 0xD9):  # until the pixels begin
        if content[place + 1] in (0x01, 0xFF, *range(0xD0, 0xD8)):  # filling, and markers without a length
            place += 1 if content[place + 1] == 0xFF else 2
            continue
        (length,) = struct.unpack_from(">H", content, place + 2)
        if content[place + 1] == 0xE1 and content[place + 4 : place + 10] == b"Exif\0\0":
            return content[place + 10 : place + 2 + length]
        place += 2 + length
    return b""


def _png_exif(content: bytes) -> bytes:
    """The TIFF block of a PNG file, b"" if there is none."""
    place = 8
    while place + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        if kind == b"eXIf":
            return content[place + 8 : place + 8 + length]
        place += 12 + length
    return b""


def _of_tiff(block: bytes) -> int:
    """The orientation in a TIFF block, whose first two bytes give the order of bytes."""
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None:
        return 1
    (start,) = struct.unpack_from(f"{order}I", block, 4)
    (count,) = struct.unpack_from(f"{order}H", block, start)
    for number in range(count):
        tag, kind, _, value = struct.unpack_from(f"{order}HHIH", block, start + 2 + 12 * number)
        if tag == ORIENTATION and kind == 3:
            return value if 1 <= value <= 8 else 1
    return 1


def turns(value: int) -> tuple:
    """(transpose, then flip left to right, then flip top to bottom) that make an image of an orientation upright."""
    return value >= 5, value in (2, 3, 6, 7), value in (3, 4, 7, 8)


def read_bgr(path) -> np.ndarray | None:
    """(H, W, 3) uint8 BGR, the image of a file, turned upright; None if it cannot be read or decoded."""
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError:
        return None
    if not content:
        return None
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:  # more pixels than OpenCV reads
        return None
    if image is None:
        return None
    transposed, left_right, top_bottom = turns(orientation(content[:HEAD]))
    if transposed:
        image = cv2.transpose(image)
    if left_right:
        image = cv2.flip(image, 1)
    return cv2.flip(image, 0) if top_bottom else image
