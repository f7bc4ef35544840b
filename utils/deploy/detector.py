"""Finds people in a frame with an SSD of TensorFlow's detection zoo, exported by TF1 or TF2."""

from __future__ import annotations

import cv2
import numpy as np
import tensorflow as tf

from utils.deploy.saved_model import load_frozen, load_saved_model
from utils.errors import InputError

PERSON = 1  # COCO class; 0 is the background
MAX_ASPECT = 2.0  # width to height in pixels; wider boxes show groups or railings
OUTPUTS = ("detection_boxes", "detection_scores", "detection_classes")


def detector_input(folder, signature) -> str:
    """The name of the image input: `inputs` in TF1 exports, `input_tensor` in TF2 exports.

    Names are used because the order differs between exporters. InputError if the model is not a detector.
    """
    missing = [name for name in OUTPUTS if name not in signature.structured_outputs]
    if missing:
        raise InputError(f"{folder} is not a detector like those of the zoo: it does not return {', '.join(missing)}")
    inputs = signature.structured_input_signature[1]
    name = next((known for known in ("input_tensor", "inputs") if known in inputs), None)
    if name is None and len(inputs) == 1:
        name = next(iter(inputs))
    if name is None or len(inputs) != 1:
        raise InputError(
            f"{folder} is not a detector like those of the zoo: its inputs are {', '.join(sorted(inputs)) or 'none'}"
        )
    spec = inputs[name]
    if spec.dtype != tf.uint8 or spec.shape.rank != 4 or spec.shape[3] not in (3, None):
        raise InputError(f"{folder} takes {spec.dtype.name} {spec.shape}, not uint8 images (1, height, width, 3)")
    if spec.shape[0] not in (1, None):
        raise InputError(f"{folder} takes {spec.shape[0]} images at once instead of one")
    return name


class Detector:
    """Finds people with a frozen detector, or with frozen=False with a SavedModel of the zoo."""

    def __init__(self, folder="models/frozen/obj", threshold: float = 0.5, frozen: bool = True):
        """threshold: boxes with a lower score, 0 to 1, are dropped."""
        if frozen:
            self.manifest, self._signature, self._loaded = load_frozen(folder, "obj")
        else:
            self.manifest = None
            self._loaded, self._signature = load_saved_model(folder)
        self.threshold = threshold
        self._input = detector_input(folder, self._signature)
        self._size = self._signature.structured_input_signature[1][self._input].shape[1:3]  # (None, None) if not fixed

    def detect(self, frame: np.ndarray, threshold=None):
        """The people in a frame, best score first, without boxes that are empty or too wide for a person.

        frame (H, W, 3) uint8 BGR -> boxes (N, 4) float32 [ymin, xmin, ymax, xmax] in 0..1, scores (N,) float32.
        threshold: replaces that of the detector.
        """
        boxes, scores, classes = self.raw(frame)
        kept = (
            (classes == PERSON)
            & (scores >= (self.threshold if threshold is None else threshold))
            & np.isfinite(boxes).all(axis=1)
        )
        boxes = np.clip(boxes[kept], 0, 1)
        scores = scores[kept]
        high, wide = ((boxes[:, 2:] - boxes[:, :2]) * frame.shape[:2]).T  # (N,) pixels
        plausible = np.flatnonzero((high > 0) & (wide > 0) & (wide <= MAX_ASPECT * high))
        order = plausible[np.argsort(-scores[plausible], kind="stable")]
        return boxes[order], scores[order]

    def raw(self, frame: np.ndarray):
        """frame as in detect -> all that the net returns: boxes (M, 4), scores (M,), classes (M,)."""
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8 or not frame.size:
            raise ValueError(f"a frame is (H, W, 3) uint8, not {frame.shape} {frame.dtype}")
        if None not in self._size and tuple(self._size) != frame.shape[:2]:
            frame = cv2.resize(frame, (self._size[1], self._size[0]), interpolation=cv2.INTER_LINEAR)
        images = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)[np.newaxis]  # (1, H, W, 3) uint8 RGB
        found = self._signature(**{self._input: tf.constant(images)})
        return tuple(found[name][0].numpy() for name in OUTPUTS)
