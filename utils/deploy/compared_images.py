"""Images of people and frames to compare a frozen model with its original on, and to calibrate INT8 with.

Real images are better than drawn ones: the net was trained for them, and INT8 is calibrated on them.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from utils.errors import InputError
from utils.folders import list_images

COMPARED = 48  # images of people to compare the frozen re-id net on
FRAMES = 6  # frames to compare the frozen detector on


class PersonImages:
    """Images of people: those of a folder in random order, drawn ones, or noise.

    source: a description of where they come from. real: whether they come from a folder.
    """

    def __init__(self, folder=None, seed: int = 0, draw_people=None):
        """folder: a data set in our layout, of which gallery and queries are used, or any folder of images.

        draw_people: data.drawn.draw_people, used without a folder; None where data/ was not copied to the device.
        InputError if the folder holds no image.
        """
        self._paths = []
        self._draw_people = draw_people
        self.real = folder is not None
        if not self.real:
            self.source = "drawn people" if draw_people else "smooth noise"
            return
        from utils.dataset import FOLDERS  # needs TensorFlow, which a board may not have

        folders = [Path(folder) / name for split in ("query", "test") for name in FOLDERS[split]]
        folders = [inside for inside in folders if inside.is_dir()] or [Path(folder)]
        if not folders[0].is_dir():
            raise InputError(f"there is no folder {folder}: name one that holds images of people")
        found = sorted(path for inside in folders for path in list_images(inside))
        if not found:
            raise InputError(f"there is no .jpg or .png image in {folder}: name a folder that holds images of people")
        order = np.random.default_rng(seed).permutation(len(found))
        self._paths = [found[index] for index in order]
        self.source = f"{' and '.join(str(inside) for inside in folders)}, seed {seed}"

    def compared(self, size) -> np.ndarray:
        """(N, H, W, 3) uint8 RGB of the given (H, W), N up to COMPARED: the images to compare a frozen net on."""
        if self.real:
            return _read(self._paths[:COMPARED], size)
        if self._draw_people is None:
            return np.stack([smooth_noise(size, seed) for seed in range(COMPARED)])
        return np.stack([image for _, _, image in self._draw_people(COMPARED // 2, 2, image_size=size)])

    def calibration(self, size, count: int) -> np.ndarray:
        """(N, H, W, 3) uint8 RGB, N up to `count`: other images than those of `compared` if the folder has more."""
        return _read((self._paths[COMPARED:] or self._paths)[:count], size)


def _read(paths, size) -> np.ndarray:
    from utils.dataset import decode_errors_named, image_batches

    with decode_errors_named(paths):
        return np.concatenate([images.numpy() for images in image_batches(paths, tuple(size), 64)])


def footage_frames(path):
    """(frames, source): FRAMES frames (H, W, 3) uint8 BGR spread over a video, or smooth noise if there is no video."""
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
    """(H, W, 3) uint8: blobs of colour, to which a network responds more than to white noise."""
    blobs = np.random.default_rng(seed).integers(0, 256, (8, 4, 3), dtype=np.uint8)
    return cv2.resize(blobs, (size[1], size[0]), interpolation=cv2.INTER_CUBIC)
