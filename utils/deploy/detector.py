"""Finds people in a frame with a detector: a frozen one, or a SavedModel of TensorFlow's detection zoo."""

from __future__ import annotations

import cv2
import numpy as np

from utils.deploy.detections import PERSON, find_people
from utils.deploy.runtime import load

MAX_ASPECT = 2.0  # width to height in pixels; wider boxes show groups or railings
LETTERBOXED = ("yolo", "yolox")  # forms whose frames keep their proportions; others are trained with stretched ones
GREY = 114  # of the rest of such an input


class Detector:
    """Finds people with a frozen detector, or with frozen=False with a SavedModel of the zoo.

    net: the Net that runs it.
    """

    def __init__(self, folder="models/frozen/obj", threshold: float = 0.5, frozen: bool = True, person_class=PERSON):
        """threshold: boxes with a lower score, 0 to 1, are dropped. person_class: of a detector without a manifest."""
        if frozen:
            self.net = load(folder, "obj")
        else:
            from utils.deploy.saved_model import load_zoo_detector  # needs TensorFlow, a frozen detector may not

            self.net = load_zoo_detector(folder)
        self.manifest = self.net.manifest
        self.threshold = threshold
        self._form = self.manifest.get("form", "zoo")
        self._person_class = self.manifest.get("person_class", person_class)
        [spec] = self.manifest["inputs"].values()
        channels_first = self.manifest.get("preprocessing", {}).get("layout") == "NCHW"
        self._size = spec["shape"][2:4] if channels_first else spec["shape"][1:3]  # [H, W], -1 if not fixed

    def detect(self, frame: np.ndarray, threshold=None):
        """The people in a frame, best score first, without boxes that are empty or too wide for a person.

        frame (H, W, 3) uint8 BGR -> boxes (N, 4) float32 [ymin, xmin, ymax, xmax] in 0..1, scores (N,) float32.
        threshold: replaces that of the detector.
        """
        boxes, scores = self.find(frame, self.threshold if threshold is None else threshold)
        return drop_implausible(boxes, scores, frame.shape)

    def find(self, frame: np.ndarray, threshold: float):
        """As detect, with any threshold and with boxes of every shape."""
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8 or not frame.size:
            raise ValueError(f"a frame is (H, W, 3) uint8, not {frame.shape} {frame.dtype}")
        outputs = self.net.run(self.as_input(frame))
        boxes, scores = find_people(outputs, self._form, threshold, self._person_class, self._size)
        if self._form in LETTERBOXED:
            boxes = boxes * np.tile(np.array(self._size) / covered_size(frame, self._size), 2).astype(np.float32)
        return np.clip(boxes, 0, 1), scores

    def as_input(self, frame: np.ndarray) -> np.ndarray:
        """frame as in detect -> (1, h, w, 3) uint8 RGB in the size of the net."""
        if -1 not in self._size and tuple(self._size) != frame.shape[:2]:
            if self._form in LETTERBOXED:
                frame = letterbox(frame, self._size)
            elif self._form == "anchors":
                frame = resize_as_zoo(frame, self._size)
            else:
                frame = cv2.resize(frame, self._size[::-1])
        return cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)[np.newaxis]


def drop_implausible(boxes: np.ndarray, scores: np.ndarray, shape):
    """The boxes (N, 4) and scores (N,) without those that are empty or too wide; shape: (H, W, ...) of the frame."""
    high, wide = ((boxes[:, 2:] - boxes[:, :2]) * shape[:2]).T  # (N,) pixels
    plausible = (high > 0) & (wide > 0) & (wide <= MAX_ASPECT * high)
    return boxes[plausible], scores[plausible]


def covered_size(frame: np.ndarray, size) -> tuple:
    """(height, width) of the part of an input of `size` that letterbox fills with the frame."""
    scale = min(size[0] / frame.shape[0], size[1] / frame.shape[1])
    return max(round(frame.shape[0] * scale), 1), max(round(frame.shape[1] * scale), 1)


def letterbox(frame: np.ndarray, size) -> np.ndarray:
    """(H, W, 3) uint8 -> (h, w, 3) with the frame in its proportions in the upper left, and grey: as for YOLOX."""
    height, width = covered_size(frame, size)
    padded = np.full((*size, 3), GREY, np.uint8)
    padded[:height, :width] = cv2.resize(frame, (width, height))
    return padded


def resize_as_zoo(frame: np.ndarray, size) -> np.ndarray:
    """(H, W, 3) uint8 -> (h, w, 3) as TensorFlow's ResizeBilinear, with which the zoo's detectors were trained.

    Pixel i of the result is taken at i * H / h; OpenCV's resize takes it at (i + 0.5) * H / h - 0.5. The difference
    would move every box by up to half a pixel of the network.
    """
    height, width = size
    matrix = np.array([[frame.shape[1] / width, 0, 0], [0, frame.shape[0] / height, 0]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(frame, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
