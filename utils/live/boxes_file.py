"""Boxes from a file in MOTChallenge's form instead of a detector: frame, id, left, top, width, height, score, ..."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from utils.deploy.detector import drop_implausible
from utils.errors import InputError, first_line

FEWEST_COLUMNS = 6  # frame, id, left, top, width, height


class BoxesFile:
    """Takes the place of a Detector for one video or folder of images.

    Frames and pixels count from 1; what follows the score is ignored, as is the id. A box without a score, or with -1
    as in files of ground truth, has the score 1.
    """

    def __init__(self, path, camera, threshold: float):
        """camera: the Camera of the frames. threshold: as of Detector. InputError for another file or a live source."""
        self.threshold = threshold
        self.manifest = {"engine": "boxes of", "precision": Path(path).name}
        self._camera = camera
        self._boxes = {}  # frame number -> (boxes (N, 4) in 0..1, scores (N,))
        if camera.live:
            raise InputError(f"--detections needs a video or a folder of images, and {camera.name} is a camera")
        table = read_table(path)
        size = np.array([camera.height, camera.width, camera.height, camera.width], np.float64)
        starts = table[:, [3, 2]] - 1  # (M, 2) top and left
        boxes = np.concatenate([starts, starts + table[:, [5, 4]]], axis=1) / size
        scores = table[:, 6] if table.shape[1] > FEWEST_COLUMNS else np.ones(len(table))
        scores = np.where(scores == -1, 1, scores)
        for number in np.unique(table[:, 0]):
            rows = np.flatnonzero(table[:, 0] == number)
            rows = rows[np.argsort(-scores[rows], kind="stable")]
            kept = np.clip(boxes[rows], 0, 1).astype(np.float32)
            self._boxes[int(number)] = (kept, scores[rows].astype(np.float32))

    def detect(self, frame: np.ndarray, threshold=None):
        """As Detector.detect, for the newest frame of the camera, which `frame` is; nobody before its first frame."""
        none = (np.zeros((0, 4), np.float32), np.zeros(0, np.float32))
        boxes, scores = self._boxes.get(self._camera.frame_number, none)
        certain = scores >= (self.threshold if threshold is None else threshold)
        return drop_implausible(boxes[certain], scores[certain], frame.shape)


def read_table(path) -> np.ndarray:
    """(M, at least 6) float64, a row per box; InputError that names the line if it is no such file."""
    try:
        lines = Path(path).read_text().splitlines()
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({first_line(error)}): name a file in MOTChallenge's form") from None
    rows = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = [float(word) for word in line.replace(",", " ").split()]
        except ValueError:
            row = []
        if len(row) < FEWEST_COLUMNS or not np.isfinite(row).all() or (rows and len(row) != len(rows[0])):
            raise InputError(f"{path}: line {number} is not frame, id, left, top, width, height, score: {line[:60]}")
        rows.append(row)
    if not rows:
        raise InputError(f"{path} holds no boxes: name a file in MOTChallenge's form")
    return np.array(rows)
