"""From the outputs of a detector to people: decoding, and non-maximum suppression of one class. Pure numpy.

The form of a detector says what it returns, A boxes of a frame with their scores:

zoo      detection_boxes (1, A, 4), detection_scores (1, A), detection_classes (1, A), as in TensorFlow's detection zoo:
         [ymin, xmin, ymax, xmax] in 0..1, suppressed already
anchors  boxes (1, A, 4) as in the zoo, scores (1, A) of a person, not suppressed: a detector of the zoo that is cut
"""

from __future__ import annotations

import numpy as np

from utils.boxes import iou

PERSON = 1  # the class in COCO's numbers of the zoo; 0 is the background
ZOO_OUTPUTS = ("detection_boxes", "detection_scores", "detection_classes")
IOU_THRESHOLD = 0.6  # of the suppression, as in the pipeline.config of the zoo's SSDs
MAX_PEOPLE = 100  # in a frame, as there


def decode(outputs: dict, form: str, person_class: int = PERSON):
    """The outputs of a net for one frame -> boxes (A, 4) [ymin, xmin, ymax, xmax], scores (A,) of a person, float32.

    Boxes are relative to the input of the net, 0..1, and not clipped to it.
    """
    if form == "zoo":
        boxes, scores, classes = (outputs[name][0] for name in ZOO_OUTPUTS)
        people = classes == person_class
        return boxes[people], scores[people]
    return outputs["boxes"][0], outputs["scores"][0]


SUPPRESSED = ("zoo",)  # forms whose boxes are suppressed by the net


def find_people(outputs: dict, form: str, threshold: float, person_class: int = PERSON):
    """As decode, but only finite boxes with a score of at least `threshold`, suppressed, the best score first."""
    boxes, scores = decode(outputs, form, person_class)
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
    left = np.arange(len(boxes))
    stay = []
    while len(left) and len(stay) < limit:
        best = left[0]
        stay.append(best)
        left = left[1:]
        left = left[iou(boxes[best : best + 1], boxes[left])[0] <= iou_threshold]
    return np.array(stay, int)
