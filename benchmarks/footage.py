"""Who is who on the sample footage, and what identities given to its people are worth.

vtest_people.txt says who is on vtest.avi, told apart by eye: frame from 1, person, left, top, width, height in pixels,
of every third frame. It holds the boxes of COCO's SSD in which one person is to be seen clearly, 12 people in all.
Where several people overlap or nobody could tell, there is no line, so those boxes count for nothing.
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
SIZE = 768, 576  # pixels of vtest.avi
HIT = 0.5  # IoU from which on a box shows the person of the list


# ---- frames and tracks ----------------------------------------------------------------------------------------------


def frames(video):
    """Yields (H, W, 3) uint8 BGR; InputError if there is not a single frame."""
    capture, count = cv2.VideoCapture(str(video)), 0
    while True:
        there, frame = capture.read()
        if not there:
            break
        count += 1
        yield frame
    capture.release()
    if not count:
        raise InputError(
            f"--video {video} can't be read as video: run bash setup.sh for the sample footage, or name a file that "
            "OpenCV can decode"
        )


def expected(track, frame) -> np.ndarray:
    """(4,) where the track's box should be in this frame if it goes on as in its last six boxes."""
    (last, box), (first, before) = track[-1], track[max(0, len(track) - 6)]
    return box + (box - before) / max(1, last - first) * (frame - last)


def link(detections, min_overlap, clear, patience=3) -> list:
    """Follows boxes through frames -> tracks, each a list of (frame, (4,) box).

    detections: [(N, 4)], of each frame; min_overlap: IoU with the place expected from which a box goes on with a track;
    clear: a track ends where a second box, or a second track, reaches more than this share of that IoU; patience:
    frames for which it may be lost.
    """
    ended, alive = [], []
    for frame, boxes in enumerate(detections):
        ended += [track for track in alive if frame - track[-1][0] > patience]
        alive = [track for track in alive if frame - track[-1][0] <= patience]
        free, going_on = np.ones(len(boxes), bool), []
        if alive and len(boxes):
            shared = iou(np.array([expected(track, frame) for track in alive]), boxes)  # (T, N)
            for row, track in enumerate(alive):
                best = int(shared[row].argmax())
                if shared[row, best] < min_overlap:
                    going_on.append(track)  # not seen in this frame
                    continue
                rivals = np.append(np.delete(shared[row], best), np.delete(shared[:, best], row))
                if (rivals > clear * shared[row, best]).any():
                    ended.append(track)
                else:
                    track.append((frame, boxes[best]))
                    free[best] = False
                    going_on.append(track)
            alive = going_on
        alive += [[(frame, box)] for box in boxes[free]]
    return ended + alive


# ---- who is there ----------------------------------------------------------------------------------------------------


def people_by_eye(path=PEOPLE) -> dict:
    """{frame from 0: [(person, box (4,) in 0..1)]}."""
    width, height = SIZE
    people = {}
    for line in Path(path).read_text().splitlines():
        frame, person, left, top, wide, high = (int(word) for word in line.split(","))
        box = np.array([top / height, left / width, (top + high) / height, (left + wide) / width], np.float32)
        people.setdefault(frame - 1, []).append((person, box))
    return people


def walks_by_eye(people_of, frames_of, gap: float) -> np.ndarray:
    """(M,) people and (M,) frames -> (M,) walks from 0: who was out of sight for more than `gap` frames starts anew."""
    walks_of, count = np.zeros(len(people_of), int), 0
    for person in np.unique(people_of):
        places = np.flatnonzero(people_of == person)
        places = places[np.argsort(frames_of[places], kind="stable")]
        walks_of[places] = count + np.append(0, np.cumsum(np.diff(frames_of[places]) > gap))
        count = walks_of.max() + 1
    return walks_of


def walks(detections, rate: float, min_seconds: float = 2.0) -> dict:
    """As people_by_eye, for any footage: who a box is from continuity alone, until two could be mixed up.

    detections: (N, 4) boxes of each frame. One person has as many walks as it was lost sight of, and a walk is never
    followed through a crossing, so less is seen to go wrong than by eye.
    """
    people = {}
    for number, track in enumerate(link(detections, min_overlap=0.4, clear=0.5)):
        if track[-1][0] - track[0][0] >= min_seconds * rate:
            for frame, box in track:
                people.setdefault(frame, []).append((number, box))
    return people


def replay(boxes, embeddings, threshold: float, every: int, without=range(0)) -> dict:
    """{frame: (boxes, numbers)} as the demo gives them without some frames, and without any network.

    boxes: [(N, 4)] and embeddings: [(N, E)] of every frame; every: reembed_every.
    """
    tracker, seen = Tracker(Identities(threshold, learn=True), every), {}
    for frame, (some, vectors) in enumerate(zip(boxes, embeddings)):
        if frame not in without:
            association = tracker.associate(some)
            seen[frame] = some, tracker.update(association, vectors[association.due])[0]
    return seen


def numbers_of(people: dict, seen: dict) -> np.ndarray:
    """Which number each person got: (M, 3) int of frame, person, number (0: unknown), in the order of frames.

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
    """Figures of what numbers_of returned.

    switches: how often somebody's number is another than at last sight; numbers: how many were given for so many
    people; own: the share of boxes with the one number that is the person's (each number belongs to one person, most
    boxes first, as in IDF1); unknown: the share of boxes without a number.
    """
    known = rows[rows[:, 2] > 0]
    people, numbers = np.unique(rows[:, 1]), np.unique(known[:, 2])
    switches = sum(int((np.diff(known[known[:, 1] == person, 2]) != 0).sum()) for person in people)
    counts = np.array([[((known[:, 1] == person) & (known[:, 2] == n)).sum() for n in numbers] for person in people])
    own, left = 0, counts.reshape(len(people), len(numbers)).copy()
    while left.size and left.max() > 0:
        person, number = np.unravel_index(left.argmax(), left.shape)
        own += int(left[person, number])
        left[person], left[:, number] = 0, 0
    boxes = max(len(rows), 1)
    return {
        "people": len(people),
        "numbers": len(numbers),
        "switches": switches,
        "own": own / boxes,
        "unknown": (len(rows) - len(known)) / boxes,
    }


def shared(seen: dict) -> int:
    """How many boxes have a number that another box of their frame has; it must be 0."""
    return sum(len(numbers) - len(set(numbers)) for numbers in (n[n > 0].tolist() for _, n in seen.values()))


def check(video, detector) -> None:
    for option, path in (("--video", video), ("--detector", detector)):
        if not Path(path).exists():
            raise InputError(
                f"{option} {path} does not exist: run bash setup.sh and bash quick_run.sh, or name another"
            )
    next(frames(video))  # said now, and not after minutes of work


def frame_rate(video) -> float:
    capture = cv2.VideoCapture(str(video))
    rate = capture.get(cv2.CAP_PROP_FPS) or 10.0
    capture.release()
    return rate


def frame_count(video):
    """How many frames the file says it has, None if it does not."""
    capture = cv2.VideoCapture(str(video))
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    capture.release()
    return count if count > 0 else None
