"""From the outputs of a detector to people: decoding, and non-maximum suppression of one class. Pure numpy.

The form of a detector says what it returns, A boxes of a frame with their scores:

zoo      detection_boxes (1, A, 4), detection_scores (1, A), detection_classes (1, A), as in TensorFlow's detection zoo:
         [ymin, xmin, ymax, xmax] in 0..1, suppressed already
anchors  boxes (1, A, 4) as in the zoo, scores (1, A) of a person, not suppressed: a detector of the zoo that is cut
yolo     (1, A, 5 + classes): x and y of the centre, width, height in pixels, a score of any object, one per class
yolox    the same, as YOLOX exports it: centre and logarithm of the size relative to the cell of each anchor
detr     (1, A, 4) boxes with centre and size in 0..1, and (1, A, classes) logits: RT-DETR, RF-DETR, D-FINE
"""

from __future__ import annotations

import functools

import numpy as np

from utils.boxes import iou

PERSON = 1  # the class in COCO's numbers of the zoo; 0 is the background
ZOO_OUTPUTS = ("detection_boxes", "detection_scores", "detection_classes")
SUPPRESSED = ("zoo", "detr")  # forms whose boxes need no suppression
IOU_THRESHOLD = 0.6  # of the suppression, as in the pipeline.config of the zoo's SSDs
MAX_PEOPLE = 100  # in a frame, as there
STRIDES = (8, 16, 32)  # pixels between the cells of YOLOX


def decode(outputs: dict, form: str, person_class: int = PERSON, size=None):
    """The outputs of a net for one frame -> boxes (A, 4) [ymin, xmin, ymax, xmax], scores (A,) of a person, float32.

    size: [H, W] of its input. Boxes are relative to that, 0..1, and not clipped to it.
    """
    if form == "zoo":
        boxes, scores, classes = (outputs[name][0] for name in ZOO_OUTPUTS)
        people = classes == person_class
        return boxes[people], scores[people]
    if form == "anchors":
        return outputs["boxes"][0], outputs["scores"][0]
    if form == "detr":
        boxes, logits = boxes_and_logits(outputs)
        return _corners(boxes[0]), 1 / (1 + np.exp(-logits[0, :, person_class]))
    [found] = outputs.values()
    boxes = found[0, :, :4]
    if form == "yolox":
        cells = anchor_cells(*size)
        boxes = np.concatenate([boxes[:, :2] + cells[:, :2], np.exp(boxes[:, 2:])], axis=1) * cells[:, 2:]
    scores = found[0, :, 4] * found[0, :, 5 + person_class]
    return _corners(boxes / np.array([size[1], size[0]] * 2, np.float32)), scores


def boxes_and_logits(outputs: dict):
    """The two outputs of the form "detr": the boxes are the first that has four columns."""
    arrays = sorted(outputs.values(), key=lambda array: array.shape[-1] != 4)
    return arrays[0], arrays[1]


@functools.lru_cache(maxsize=4)
def anchor_cells(height: int, width: int) -> np.ndarray:
    """(A, 3) float32: column, row and stride of each cell of YOLOX, in the order of its output."""
    cells = []
    for stride in STRIDES:
        rows, columns = np.mgrid[: height // stride, : width // stride]
        cells.append(np.stack([columns.ravel(), rows.ravel(), np.full(rows.size, stride)], axis=1))
    return np.concatenate(cells).astype(np.float32)


def _corners(boxes: np.ndarray) -> np.ndarray:
    """(A, 4) [x, y, width, height] with the centre -> (A, 4) [ymin, xmin, ymax, xmax]."""
    centre = boxes[:, 1::-1]
    half = boxes[:, :1:-1] / 2
    return np.concatenate([centre - half, centre + half], axis=1)


def find_people(outputs: dict, form: str, threshold: float, person_class: int = PERSON, size=None):
    """As decode, but only finite boxes with a score of at least `threshold`, suppressed, the best score first."""
    boxes, scores = decode(outputs, form, person_class, size)
    kept = (scores >= threshold) & np.isfinite(boxes).all(axis=1)
    boxes = boxes[kept]
    scores = scores[kept]
    order = np.argsort(-scores, kind="stable")
    if form not in SUPPRESSED:
        order = order[suppress(boxes[order], IOU_THRESHOLD)]
    return boxes[order], scores[order]


def suppress(boxes: np.ndarray, iou_threshold: float, limit: int = MAX_PEOPLE) -> np.ndarray:
    """Greedy non-maximum suppression: (A, 4) boxes, the best first -> the indices of those that stay, in order.

    A box goes if its IoU with a better one that stays is above the threshold. At most `limit` stay.
    """
    apart = iou(boxes, boxes) <= iou_threshold  # (A, A)
    left = np.ones(len(boxes), bool)
    stay = []
    for index in range(len(boxes)):
        if left[index] and len(stay) < limit:
            stay.append(index)
            left &= apart[index]
    return np.array(stay, int)
