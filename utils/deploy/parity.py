"""How far a frozen model is from its original: the pictures that both are run on, and the measures.

Real pictures count for more than drawn ones: the net was trained for them, and INT8 takes the ranges of its numbers
from them.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from utils.boxes import iou
from utils.dataset import FOLDERS, SUFFIXES, decode_errors_named, image_batches
from utils.deploy.detector import PERSON
from utils.errors import InputError

COMPARED = 48  # pictures of people that the frozen re-id net is compared on
FRAMES = 6  # and frames for the detector
CERTAIN = 0.3  # boxes of the original below this score are not looked for in the frozen one


class People:
    """Pictures of people, drawn at random from a folder by seed, or made up where there is none.

    `source` says in words where they come from.
    """

    def __init__(self, folder=None, seed: int = 0):
        """folder: a data set in our layout, of which gallery and queries are taken, or any folder of pictures."""
        self._paths = []
        if folder is None:
            self.source = "drawn people" if _draw_people() else "smooth noise"
            return
        folders = [Path(folder) / name for split in ("query", "test") for name in FOLDERS[split]]
        folders = [inside for inside in folders if inside.is_dir()] or [Path(folder)]
        if not folders[0].is_dir():
            raise InputError(f"no folder {folder}: name one that holds pictures of people")
        found = [path for inside in folders for path in inside.iterdir() if path.suffix.lower() in SUFFIXES]
        if not found:
            raise InputError(f"no .jpg or .png picture in {folder}: name a folder that holds pictures of people")
        order = np.random.default_rng(seed).permutation(len(found))
        found = sorted(str(path) for path in found)
        self._paths = [found[index] for index in order]
        self.source = f"{' and '.join(str(inside) for inside in folders)}, seed {seed}"

    @property
    def real(self) -> bool:
        return bool(self._paths)

    def compared(self, size) -> np.ndarray:
        """(N, H, W, 3) uint8 RGB of the given (H, W), N up to COMPARED: what a frozen net is compared on."""
        if self._paths:
            return _read(self._paths[:COMPARED], size)
        draw_people = _draw_people()
        if draw_people is None:
            return np.stack([smooth_noise(size, seed) for seed in range(COMPARED)])
        return np.stack([image for _, _, image in draw_people(COMPARED // 2, 2, image_size=size)])

    def calibration(self, size, count: int) -> np.ndarray:
        """(N, H, W, 3) uint8 RGB, N up to `count`: others than those compared, as long as the folder has more."""
        return _read((self._paths[COMPARED:] or self._paths)[:count], size)


def _draw_people():
    """data/sample.py's function, None where that folder did not come along to the device."""
    try:
        from data.sample import draw_people
    except ImportError:
        return None
    return draw_people


def _read(paths, size) -> np.ndarray:
    with decode_errors_named(paths):
        return np.concatenate([images.numpy() for images in image_batches(paths, tuple(size), 64)])


def footage_frames(path):
    """(frames, source): FRAMES frames (H, W, 3) uint8 BGR, spread over a video; smooth noise where there is none."""
    found = []
    if Path(path).is_file():
        video = cv2.VideoCapture(str(path))
        length = video.get(cv2.CAP_PROP_FRAME_COUNT)
        for number in range(FRAMES):
            video.set(cv2.CAP_PROP_POS_FRAMES, number * length // FRAMES)
            read, frame = video.read()
            found += [frame] if read else []
        video.release()
    if found:
        return found, str(path)
    return [smooth_noise((576, 768), seed) for seed in range(FRAMES)], "smooth noise"


def smooth_noise(size, seed: int) -> np.ndarray:
    """(H, W, 3) uint8: blobs of colour, which excite a network where white noise would leave it cold."""
    blobs = np.random.default_rng(seed).integers(0, 256, (8, 4, 3), dtype=np.uint8)
    return cv2.resize(blobs, (size[1], size[0]), interpolation=cv2.INTER_CUBIC)


def compare_embeddings(wanted: np.ndarray, found: np.ndarray) -> dict:
    """(N, E) of norm 1 each -> the smallest and the mean cosine of a picture's two embeddings."""
    cosines = np.sum(wanted * found, axis=1)
    return {
        "of": "cosine to the unfrozen embedding",
        "min": float(cosines.min()),
        "mean": float(cosines.mean()),
        "pictures": len(cosines),
    }


def compare_detections(wanted: list, found: list) -> dict:
    """Lists of (boxes (M, 4), scores (M,), classes (M,)) a frame -> how well each certain person is found again."""
    overlaps, difference = [], 0.0
    for (boxes, scores, classes), (boxes_now, scores_now, classes_now) in zip(wanted, found):
        difference = max(difference, _score_difference(scores, scores_now))
        people_now = boxes_now[(classes_now == PERSON) & (scores_now >= CERTAIN / 2)]
        for box in boxes[(classes == PERSON) & (scores >= CERTAIN)]:
            overlaps.append(float(iou(box[np.newaxis], people_now).max(initial=0)))
    return {
        "of": "overlap (IoU) with the original's box",
        "min": min(overlaps) if overlaps else None,
        "mean": sum(overlaps) / len(overlaps) if overlaps else None,
        "boxes": len(overlaps),
        "score_difference": difference,
        "pictures": len(wanted),
    }


def _score_difference(scores, others) -> float:
    length = max(len(scores), len(others), 1)
    padded = [np.sort(np.pad(values, (0, length - len(values)))) for values in (scores, others)]
    return float(np.abs(padded[0] - padded[1]).max())


class Inaccurate(InputError):
    """A frozen model that differs too much from its original."""


def check_parity(parity: dict, min_parity: float, consequence: str = "") -> None:
    """Inaccurate if the smallest agreement is below the bound, or is no number; its sentence ends in `consequence`."""
    if parity["min"] is not None and not parity["min"] >= min_parity:
        raise Inaccurate(
            f"the frozen model differs from the original: the smallest {parity['of']} is {parity['min']:.4f},"
            f" below {min_parity:g}{consequence}"
        )
