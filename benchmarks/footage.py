"""The annotation of the sample footage, and how well given identities agree with it.

vtest_people.txt annotates the people on vtest.avi, told apart by eye: frame from 1, person, left, top, width, height in
pixels, of every third frame. It holds the boxes of COCO's SSD that show one person clearly, 12 people in all. Boxes of
people who overlap or could not be told apart have no line and do not count.
"""

from pathlib import Path

import cv2
import numpy as np

from utils.boxes import iou
from utils.errors import InputError
from utils.live.identities import Identities
from utils.live.tracks import Tracker

FOOTAGE = "models/downloads/vtest.avi"
PEOPLE = Path(__file__).with_name("vtest_people.txt")
SIZE = (768, 576)  # width and height of vtest.avi, pixels
HIT = 0.5  # minimum IoU with an annotated box to show the same person


# ---- frames and tracks ----------------------------------------------------------------------------------------------


def frames(video):
    """Yields the frames of a video, (H, W, 3) uint8 BGR; InputError if there are none."""
    capture = cv2.VideoCapture(str(video))
    count = 0
    while True:
        there, frame = capture.read()
        if not there:
            break
        count += 1
        yield frame
    capture.release()
    if not count:
        raise InputError(
            f"--video {video} cannot be read as a video: run bash setup.sh for the sample footage, or name a file that "
            "OpenCV can decode"
        )


def expected(track, frame) -> np.ndarray:
    """(4,) the predicted box of a track in this frame, at the velocity of its last six boxes."""
    last, last_box = track[-1]
    first, first_box = track[max(0, len(track) - 6)]
    velocity = (last_box - first_box) / max(1, last - first)  # (4,) per frame
    return last_box + velocity * (frame - last)


def link(detections, min_overlap, clear, patience=3) -> list:
    """Follows boxes through frames -> tracks, each a list of (frame, (4,) box).

    detections: [(N, 4)], of each frame; min_overlap: minimum IoU with the predicted box to continue a track.
    clear: a track ends where a second box, or a second track, reaches more than this share of that IoU.
    patience: frames that a track survives without a box.
    """
    ended = []
    alive = []
    for frame, boxes in enumerate(detections):
        ended += [track for track in alive if frame - track[-1][0] > patience]
        alive = [track for track in alive if frame - track[-1][0] <= patience]
        free = np.ones(len(boxes), bool)  # of any track
        continued = []
        if alive and len(boxes):
            shared = iou(np.array([expected(track, frame) for track in alive]), boxes)  # (T, N)
            for row, track in enumerate(alive):
                best = int(shared[row].argmax())
                if shared[row, best] < min_overlap:
                    continued.append(track)  # not detected in this frame
                    continue
                rivals = np.append(np.delete(shared[row], best), np.delete(shared[:, best], row))
                if (rivals > clear * shared[row, best]).any():
                    ended.append(track)
                else:
                    track.append((frame, boxes[best]))
                    free[best] = False
                    continued.append(track)
            alive = continued
        alive += [[(frame, box)] for box in boxes[free]]
    return ended + alive


# ---- who is there ----------------------------------------------------------------------------------------------------


def people_by_eye(path=PEOPLE) -> dict:
    """The annotation of the sample footage: {frame from 0: [(person, box (4,) [ymin, xmin, ymax, xmax] in 0..1)]}."""
    width, height = SIZE
    people = {}
    for line in Path(path).read_text().splitlines():
        frame, person, left, top, box_width, box_height = (int(number) for number in line.split(","))
        corners = [top, left, top + box_height, left + box_width]
        box = np.array(corners, np.float32) / np.array([height, width, height, width], np.float32)
        people.setdefault(frame - 1, []).append((person, box))
    return people


def walks_by_eye(people, frames, gap: float) -> np.ndarray:
    """(M,) people and (M,) frames -> (M,) walks from 0: a new walk starts after more than `gap` frames out of sight."""
    walks = np.zeros(len(people), int)
    count = 0
    for person in np.unique(people):
        indices = np.flatnonzero(people == person)
        indices = indices[np.argsort(frames[indices], kind="stable")]
        walks[indices] = count + np.append(0, np.cumsum(np.diff(frames[indices]) > gap))
        count = walks.max() + 1
    return walks


def walks(detections, fps: float, min_seconds: float = 2.0) -> dict:
    """The same as people_by_eye for any footage: identities from continuity alone, until two people could be mixed up.

    detections: (N, 4) boxes of each frame. A person who was out of sight has several walks, and a walk ends at a
    crossing, so fewer mistakes are found than by eye.
    """
    people = {}
    for number, track in enumerate(link(detections, min_overlap=0.4, clear=0.5)):
        if track[-1][0] - track[0][0] >= min_seconds * fps:
            for frame, box in track:
                people.setdefault(frame, []).append((number, box))
    return people


def replay(boxes, scores, embeddings, threshold: float, every: int, without=range(0), fps: float = 10.0) -> dict:
    """Tracks people as the demo does, from stored boxes and embeddings: {frame: (boxes (N, 4), numbers (N,))}.

    boxes: [(N, 4)], scores: [(N,)] and embeddings: [(N, E)] of every frame; every: reembed_every; without: frames to
    leave out, of which the tracker does not know.
    """
    tracker = Tracker(Identities(threshold, learn=True), every)
    kept = [frame for frame in range(len(boxes)) if frame not in without]
    seen = {}
    for place, frame in enumerate(kept):
        association = tracker.associate(boxes[frame], scores[frame], place / fps)
        numbers, _ = tracker.update(association, embeddings[frame][association.indices[association.due]])
        seen[frame] = (association.boxes, numbers)
    return seen


def numbers_of(people: dict, seen: dict) -> np.ndarray:
    """The number that each person got: (M, 3) int of frame, person, number (0: unknown), in the order of frames.

    people: as of people_by_eye; seen: {frame: (boxes (N, 4), numbers (N,))}.
    """
    rows = []
    for frame in sorted(set(people) & set(seen)):
        boxes, numbers = seen[frame]
        if len(boxes):
            overlap = iou(np.stack([box for _, box in people[frame]]), np.asarray(boxes, np.float32))
            for (person, _), row in zip(people[frame], overlap):
                if row.max() >= HIT:
                    rows.append((frame, person, int(numbers[row.argmax()])))
    return np.array(rows, int).reshape(-1, 3)


def judge(rows: np.ndarray) -> dict:
    """Figures from the rows of numbers_of.

    people: annotated people; numbers: different numbers given to them.
    switches: ID switches, changes of a person's number since the last sighting.
    own: share of boxes with the person's own number; each number belongs to one person, most boxes first, as in IDF1.
    unknown: share of boxes without a number.
    """
    known = rows[rows[:, 2] > 0]
    people = np.unique(rows[:, 1])
    numbers = np.unique(known[:, 2])
    switches = 0
    counts = np.zeros((len(people), len(numbers)), int)  # boxes of each person with each number
    for row, person in enumerate(people):
        given = known[known[:, 1] == person, 2]
        switches += int((np.diff(given) != 0).sum())
        counts[row] = (given[:, None] == numbers).sum(axis=0)
    own = 0
    while counts.size and counts.max() > 0:
        person, number = np.unravel_index(counts.argmax(), counts.shape)
        own += int(counts[person, number])
        counts[person] = 0
        counts[:, number] = 0
    boxes = max(len(rows), 1)
    return {
        "people": len(people),
        "numbers": len(numbers),
        "switches": switches,
        "own": own / boxes,
        "unknown": (len(rows) - len(known)) / boxes,
    }


def shared(seen: dict) -> int:
    """The number of boxes that share a number with another box of their frame; must be 0."""
    count = 0
    for _, numbers in seen.values():
        known = numbers[numbers > 0]
        count += len(known) - len(np.unique(known))
    return count


def check(video, detector) -> None:
    """InputError if the video cannot be read or the detector does not exist."""
    for option, path in (("--video", video), ("--detector", detector)):
        if not Path(path).exists():
            raise InputError(
                f"{option} {path} does not exist: run bash setup.sh and bash quick_run.sh, or name another"
            )
    next(frames(video))


def frame_rate(video) -> float:
    """Frames per second according to the file, 10 if unknown."""
    capture = cv2.VideoCapture(str(video))
    fps = capture.get(cv2.CAP_PROP_FPS) or 10.0
    capture.release()
    return fps


def frame_count(video):
    """The number of frames according to the file, None if unknown."""
    capture = cv2.VideoCapture(str(video))
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    capture.release()
    return count if count > 0 else None
