"""Simulated scenes with known identities: people who walk, cross, hide, leave and come back, as an SSD sees them.

A Scene is drawn once from its seed in continuous time, so it can be watched at any frame rate. `watch` yields what a
detector and a re-id net would find. Their faults are those of COCO's SSD on the first 400 frames of vtest.avi and of
the quick run's net on drawn people who were held out; each constant says which. Pure numpy.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from utils.boxes import areas, iou
from utils.live.identities import normalised

# Boxes of PETS09-S2L1 in frames 1 to 400, of which every tenth has true boxes: 239 boxes of 10 people.
SIZE = (768, 576)  # width and height in pixels
HEIGHT_SLOPE, HEIGHT_AT_TOP = 0.223, 0.036  # box height = slope * lower edge + height at the upper edge of the image
ASPECT = 0.35 * SIZE[1] / SIZE[0]  # width to height of a box in shares of the image
SPEEDS = (0.03, 0.20, 0.46, 0.70, 0.96)  # quantiles 5, 25, 50, 75, 95 % in box heights per second

# Scores of the SSD at the quantiles 0, 10, ... 100 %; 0 is a miss. By the share of the person that others hide.
HIDDEN = (0.05, 0.35, 0.8)  # upper bounds of the three rows; a person who is hidden more has no box
SCORES = (
    (0.0, 0.0, 0.33, 0.55, 0.70, 0.78, 0.82, 0.87, 0.90, 0.92, 0.96),
    (0.0, 0.0, 0.0, 0.20, 0.45, 0.64, 0.82, 0.88, 0.90, 0.92, 0.95),
    (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.33, 0.60, 0.78, 0.89, 0.92),
)
TENTHS = np.linspace(0, 1, 11)
BOX_NOISE = (0.045, 0.16, 0.07, 0.15)  # standard deviation of center y and x, relative to the box, and of log h and w
NEAR_RATE = 0.51  # false boxes per person that overlap the person's own
NEAR_SCORES = (0.10, 0.11, 0.12, 0.14, 0.15, 0.18, 0.22, 0.28, 0.43, 0.67, 0.96)
NEAR_SHIFT, NEAR_NOISE = (-0.13, 0.04, -0.36, -0.20), (0.21, 0.32, 0.49, 0.34)  # means and deviations as of BOX_NOISE
NEAR_SUM = 1.2  # bound of a person's own score and the false one, so that both are high for 3 % of the people
FAR_RATE = 5.6  # false boxes per frame on the background
FAR_SCORES = (0.10, 0.10, 0.11, 0.11, 0.12, 0.12, 0.13, 0.15, 0.16, 0.21, 0.90)
MAX_OVERLAP = 0.6  # IoU at which the detector's non-maximum suppression removes the lower box

# All of this changes over time in the same way: correlations over 0.1, 0.2, 0.5, 1 and 2 s are 0.75, 0.58, 0.36, 0.22
# and 0.15 for scores and boxes, and 0.76, 0.63, 0.50, 0.42 and 0.29 for what is not constant in a person's embedding.
FAST_SECONDS, SLOW_SECONDS, SLOW_SHARE = 0.2, 2.5, 0.4

# Similarities of the quick run's net on 900 images of 60 drawn people who were held out from its training.
SAME_CAMERA, SAME_PERSON, DIFFERENT = 0.752, 0.559, 0.117  # means: same person and camera, same person, two people
DIFFERENT_DEVIATION = 0.178  # standard deviation among two people
DIMENSIONS = round(((1 - DIFFERENT) / DIFFERENT_DEVIATION) ** 2)  # in which Gaussian vectors have that deviation

# The scenes, by choice.
ABSENCES = (2.0, 60.0)  # shortest and longest time away in seconds, logarithmic between them
PAIRS = 0.25  # share of people who walk beside the one before
STANDS = 0.2  # share of the corners of a path where somebody stands
PLACES = 12  # on the background that look like people


class Sight(NamedTuple):
    """What one camera sees at one time."""

    people: np.ndarray  # (T,) true people who are in the image
    truth: np.ndarray  # (T, 4) their boxes [ymin, xmin, ymax, xmax] in 0..1
    boxes: np.ndarray  # (N, 4) the detector's
    scores: np.ndarray  # (N,)
    embeddings: np.ndarray  # (N, E) of norm 1, as the net would see the boxes


class Wander:
    """Numbers of standard normal distribution that change over time as all of the above do."""

    def __init__(self, rng, *shape):
        self._rng = rng
        self._parts = rng.normal(size=(2, *shape))
        self._seconds = None

    def at(self, seconds: float) -> np.ndarray:
        """The numbers (shape) at a time not before the last one."""
        passed = 0.0 if self._seconds is None else seconds - self._seconds
        self._seconds = seconds
        for part, memory in zip(self._parts, (FAST_SECONDS, SLOW_SECONDS)):
            kept = np.exp(-passed / memory)
            part *= kept
            part += np.sqrt(1 - kept**2) * self._rng.normal(size=part.shape)
        return np.sqrt(1 - SLOW_SHARE) * self._parts[0] + np.sqrt(SLOW_SHARE) * self._parts[1]


class Looks:
    """Embeddings: Gaussian around the center of a person, or real ones of given identities."""

    def __init__(self, rng, count: int, embeddings=None):
        """count: people; embeddings: {identity: (M, E)} to take the people from."""
        self._rng = rng
        self._given = None
        if embeddings is None:
            self.size = DIMENSIONS
            self._common = self._vector() * np.sqrt(DIFFERENT)
            self._people = [self._common + self._vector() * np.sqrt(SAME_PERSON - DIFFERENT) for _ in range(count)]
        else:
            names = rng.choice(sorted(embeddings), count, replace=len(embeddings) < count)
            self._given = [embeddings[name] for name in names]
            self.size = self._given[0].shape[1]
            self._common = normalised(np.mean([vectors.mean(axis=0) for vectors in self._given], axis=0))

    def _vector(self) -> np.ndarray:
        return self._rng.normal(size=self.size) / np.sqrt(self.size)

    def new_view(self, person: int) -> tuple:
        """The look of a person in one camera from now on: how many numbers it depends on, and the function of them.

        The numbers (L,) are of a Wander, the result (E,) has norm 1.
        """
        if self._given is not None:
            vectors = self._given[person]  # moves between the real embeddings
            return len(vectors), lambda numbers: normalised(np.exp(2 * numbers) @ vectors)
        center = self._people[person] + self._vector() * np.sqrt(SAME_CAMERA - SAME_PERSON)
        scale = np.sqrt((1 - SAME_CAMERA) / self.size)
        return self.size, lambda numbers: normalised(center + scale * numbers)

    def nothing(self) -> np.ndarray:
        """(E,) the look of something that is no person."""
        return normalised(self._common + self._vector() * np.sqrt(1 - DIFFERENT))


class Visit:
    """A person's way through the image of one camera."""

    def __init__(self, person: int, camera: int, begin: float, path: tuple, rng, looks: Looks):
        """path: seconds (K,) and places (K, 2) of the feet [y, x] in 0..1."""
        self.person = person
        self.camera = camera
        self.path = path
        self.begin = begin
        self.end = begin + path[0][-1]
        size, self._look = looks.new_view(person)
        self._wander = Wander(rng, 11 + size)

    def box(self, seconds: float) -> np.ndarray:
        """(4,) the true box."""
        times, places = self.path
        foot = np.interp(seconds - self.begin, times, places[:, 0])
        x = np.interp(seconds - self.begin, times, places[:, 1])
        height = HEIGHT_SLOPE * foot + HEIGHT_AT_TOP
        return np.array([foot - height, x - ASPECT * height / 2, foot, x + ASPECT * height / 2])

    def watch(self, seconds: float) -> tuple:
        """The numbers (11,) for `detect` and the embedding (E,) at a time."""
        numbers = self._wander.at(seconds)
        return numbers[:11], self._look(numbers[11:])


def detect(truth: np.ndarray, hidden: float, numbers: np.ndarray) -> list:
    """[(box (4,), score, whether it is the person's own)] for a true box (4,), of which a share is hidden."""
    if hidden > HIDDEN[-1]:
        return []
    found = []
    score = score_of(numbers[0], SCORES[np.searchsorted(HIDDEN, hidden)])
    if score > 0:
        found.append((moved(truth, numbers[1:5] * BOX_NOISE), score, True))
    if quantile_of(numbers[5]) < NEAR_RATE:
        false = min(score_of(numbers[6], NEAR_SCORES), NEAR_SUM - score)
        found.append((moved(truth, NEAR_SHIFT + numbers[7:11] * NEAR_NOISE), false, False))
    return found


def score_of(normal: float, quantiles) -> float:
    """A score of given quantiles from a number of standard normal distribution."""
    return float(np.interp(quantile_of(normal), TENTHS, quantiles))


def moved(box: np.ndarray, shift) -> np.ndarray:
    """A box (4,) with a shift of center y and x, relative to the box, and of log height and width."""
    height, width = box[2] - box[0], box[3] - box[1]
    y = (box[0] + box[2]) / 2 + shift[0] * height
    x = (box[1] + box[3]) / 2 + shift[1] * width
    height, width = height * np.exp(shift[2]) / 2, width * np.exp(shift[3]) / 2
    return np.array([y - height, x - width, y + height, x + width])


def quantile_of(normal: float) -> float:
    """The distribution function of the standard normal distribution."""
    return 0.5 * (1 + math.erf(normal / math.sqrt(2)))


class Scene:
    """People who come and go before one or several cameras; can be watched once."""

    def __init__(self, seed: int, people=None, cameras: int = 1, seconds: float = 120.0, embeddings=None):
        """people: their number; None draws one of 5 to 60, logarithmic. embeddings: as of Looks."""
        self._rng = np.random.default_rng(seed)
        self.seconds = seconds
        self.cameras = cameras
        self.count = people or round(5 * 12 ** self._rng.uniform())
        self._looks = Looks(self._rng, self.count, embeddings)
        self._visits = []
        trips = []
        for person in range(self.count):
            if not trips or self._rng.uniform() >= PAIRS:
                trips = self._trips()
            aside = self._rng.uniform(0.7, 1.2) * ASPECT * HEIGHT_SLOPE  # beside the person before, if there is one
            for camera, begin, (times, places) in trips:
                path = times, places + [0, aside]
                self._visits.append(Visit(person, camera, begin, path, self._rng, self._looks))
        self._places = [[self._place() for _ in range(PLACES)] for _ in range(cameras)]
        self._clutter = [Wander(self._rng, PLACES, 6) for _ in range(cameras)]

    def _trips(self) -> list:
        """[(camera, begin, path)] of somebody who comes one to three times."""
        trips = []
        begin = self._rng.uniform(-15, 0.7 * self.seconds)
        for _ in range(int(self._rng.integers(1, 4))):
            path = self._path()
            trips.append((int(self._rng.integers(self.cameras)), begin, path))
            begin += path[0][-1] + np.exp(self._rng.uniform(*np.log(ABSENCES)))
        return trips

    def _path(self) -> tuple:
        """Seconds (K,) and places (K, 2) from one side of the image to one side, with up to two corners."""
        rng = self._rng
        corners = [[rng.uniform(0.3, 0.95), float(rng.integers(2)) * 1.1 - 0.05]]
        corners += [[rng.uniform(0.3, 0.95), rng.uniform(0.1, 0.9)] for _ in range(int(rng.integers(3)))]
        corners += [[rng.uniform(0.3, 0.95), float(rng.integers(2)) * 1.1 - 0.05]]
        speed = max(np.interp(rng.uniform(), (0.05, 0.25, 0.5, 0.75, 0.95), SPEEDS), SPEEDS[1])  # who enters walks
        times = [0.0]
        places = [corners[0]]
        for start, end in zip(corners[:-1], corners[1:]):
            down, across = end[0] - start[0], (end[1] - start[1]) * SIZE[0] / SIZE[1]
            height = HEIGHT_SLOPE * (start[0] + end[0]) / 2 + HEIGHT_AT_TOP
            times.append(times[-1] + np.hypot(down, across) / (speed * height))
            places.append(end)
            if rng.uniform() < STANDS:
                times.append(times[-1] + rng.uniform(2, 10))
                places.append(end)
        return np.array(times), np.array(places)

    def _place(self) -> tuple:
        """A false detection of the background: (box (4,), (E,) its look)."""
        foot, x = self._rng.uniform(0.2, 1), self._rng.uniform(0, 1)
        height = (HEIGHT_SLOPE * foot + HEIGHT_AT_TOP) * self._rng.uniform(0.6, 1.6)
        box = np.array([foot - height, x - ASPECT * height / 2, foot, x + ASPECT * height / 2])
        return box, self._looks.nothing()

    def watch(self, fps: float):
        """Yields (seconds, [Sight] of each camera), of each frame."""
        for frame in range(int(self.seconds * fps)):
            seconds = frame / fps
            present = [visit for visit in self._visits if visit.begin <= seconds <= visit.end]
            cameras = range(self.cameras)
            yield seconds, [self._see([v for v in present if v.camera == c], c, seconds) for c in cameras]

    def _see(self, visits: list, camera: int, seconds: float) -> Sight:
        full = [visit.box(seconds) for visit in visits]
        inside = [n for n, box in enumerate(full) if areas(clipped(box[None]))[0] > 0.5 * areas(box[None])[0]]
        visits = [visits[n] for n in inside]
        truth = clipped(np.array([full[n] for n in inside]).reshape(-1, 4))
        views = [visit.watch(seconds) for visit in visits]
        looks = [look for _, look in views]
        found = []  # (box, score, embedding)
        for box, (numbers, look) in zip(truth, views):
            hidden, by = covered(box, truth)
            mixed = look if by is None else normalised((1 - hidden) * look + hidden * looks[by])
            for place, score, own in detect(box, hidden, numbers):
                found.append((place, score, mixed if own else normalised(look + self._looks.nothing())))
        for (box, look), numbers in zip(self._places[camera], self._clutter[camera].at(seconds)):
            if quantile_of(numbers[0]) < FAR_RATE / PLACES:
                found.append((moved(box, numbers[2:] * BOX_NOISE), score_of(numbers[1], FAR_SCORES), look))
        found.sort(key=lambda item: -item[1])
        boxes = clipped(np.array([box for box, _, _ in found]).reshape(-1, 4))
        kept = [index for index in suppressed(boxes) if areas(boxes[index, None])[0] > 0]
        return Sight(
            np.array([visit.person for visit in visits], int),
            truth,
            boxes[kept],
            np.array([found[n][1] for n in kept]),
            np.array([found[n][2] for n in kept], np.float32).reshape(len(kept), self._looks.size),
        )


def clipped(boxes: np.ndarray) -> np.ndarray:
    """The part of boxes (N, 4) inside the image."""
    return np.clip(boxes, 0, 1)


def covered(box: np.ndarray, others: np.ndarray) -> tuple:
    """The largest share of a box (4,) that somebody nearer to the camera hides, and the row in others (N, 4), or None.

    Who stands lower in the image is nearer.
    """
    start = np.maximum(box[:2], others[:, :2])
    end = np.minimum(box[2:], others[:, 2:])
    common = np.prod(np.clip(end - start, 0, None), axis=1) * (others[:, 2] > box[2])
    nearest = int(common.argmax())
    return (common[nearest] / areas(box[None])[0], nearest) if common[nearest] > 0 else (0.0, None)


def suppressed(boxes: np.ndarray) -> list:
    """The indices of boxes (N, 4), best first, that non-maximum suppression keeps."""
    overlaps = iou(boxes, boxes)
    kept = []
    for index in range(len(boxes)):
        if not (overlaps[index, kept] > MAX_OVERLAP).any():
            kept.append(index)
    return kept
