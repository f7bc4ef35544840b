"""Images with an EXIF turn: upright in training, test, gallery and camera, whatever writes the turn."""

import struct
import zlib

import cv2
import numpy as np
import pytest

from utils import dataset, dataset_checks, image_files, image_grid
from utils.deploy.reid_net import read_person
from utils.live.camera import Camera

UPRIGHT = np.full((96, 48, 3), (20, 60, 200), np.uint8)  # BGR; a person with a blue head on the left
UPRIGHT[:32] = (200, 60, 20)
UPRIGHT[:, 36:] = (20, 200, 20)
# How a sensor stores what is upright, by EXIF orientation, in the words of the standard: where row 0 and column 0 are.
STORED = {
    1: lambda image: image,
    2: lambda image: image[:, ::-1],  # top, right
    3: lambda image: image[::-1, ::-1],  # bottom, right
    4: lambda image: image[::-1],  # bottom, left
    5: lambda image: np.rot90(image)[::-1],  # left, top
    6: lambda image: np.rot90(image),  # right, top: to be turned clockwise
    7: lambda image: np.rot90(image, -1)[::-1],  # right, bottom
    8: lambda image: np.rot90(image, -1),  # left, bottom: to be turned counterclockwise
}


def tiff(value: int, order: str, tag=0x0112) -> bytes:
    """A TIFF block with another tag first; order: '<' or '>'."""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    entries = struct.pack(f"{order}HHIHH", 0x0100, 3, 1, 640, 0) + struct.pack(f"{order}HHIHH", tag, 3, 1, value, 0)
    return mark + struct.pack(f"{order}IH", 8, 2) + entries + bytes(4)


def with_turn(image, suffix: str, value: int, order="<") -> bytes:
    """An image file with an EXIF orientation: in JPEG behind JFIF's own segment, in PNG in an eXIf chunk."""
    content = cv2.imencode(suffix, np.ascontiguousarray(image), [cv2.IMWRITE_JPEG_QUALITY, 100])[1].tobytes()
    if suffix == ".jpg":
        block = b"Exif\0\0" + tiff(value, order)
        place = 2 + 2 + struct.unpack(">H", content[4:6])[0]  # behind APP0
        return content[:place] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + content[place:]
    chunk = b"eXIf" + tiff(value, order)
    place = 8 + 12 + 13  # behind IHDR
    return (
        content[:place]
        + struct.pack(">I", len(chunk) - 4)
        + chunk
        + struct.pack(">I", zlib.crc32(chunk))
        + content[place:]
    )


@pytest.mark.parametrize("suffix, order", [(".jpg", "<"), (".jpg", ">"), (".png", ">")])
@pytest.mark.parametrize("value", sorted(STORED))
def test_every_reader_turns_an_image_upright(tmp_path, value, suffix, order):
    path = tmp_path / f"0001_c1s1_000001_01{suffix}"
    path.write_bytes(with_turn(STORED[value](UPRIGHT), suffix, value, order))
    size = UPRIGHT.shape[:2]
    seen = {
        "training": dataset.decode_and_resize(str(path), size).numpy()[..., ::-1],
        "batches": next(iter(dataset.image_batches([path], size, 1))).numpy()[0, ..., ::-1],
        "frozen": read_person(path, size)[..., ::-1],
        "grid": image_grid.read_rgb(path)[..., ::-1],
        "gallery": image_files.read_bgr(path),
    }
    with Camera(str(path)) as camera:
        seen["camera"] = camera.read()
    for reader, image in seen.items():
        assert image.shape == UPRIGHT.shape, reader
        assert np.abs(image.astype(float) - UPRIGHT).mean() < 4, reader
    assert dataset_checks.read_image("train", str(path), 1, 1)[-2:] == size


def test_damaged_turns_count_as_none(tmp_path):
    whole = with_turn(UPRIGHT, ".jpg", 6)
    for content in (
        b"",
        b"\xff\xd8",
        whole[:30],
        whole[:40],
        whole[:55],
        with_turn(UPRIGHT, ".jpg", 99),
        b"\x89PNG\r\n",
    ):
        assert image_files.orientation(content) == 1
    rng = np.random.default_rng(0)
    for _ in range(300):  # nothing in the head of a file makes it raise
        spoilt = bytearray(whole[:200])
        for place in rng.integers(0, 200, 5):
            spoilt[place] = rng.integers(256)
        assert 1 <= image_files.orientation(bytes(spoilt)) <= 8
    assert image_files.read_bgr(tmp_path / "gone.jpg") is None
    (tmp_path / "empty.jpg").touch()
    assert image_files.read_bgr(tmp_path / "empty.jpg") is None
