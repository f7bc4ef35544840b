"""Who is who over time: gives each box of a frame an identity, by likeness to people seen before and by where it is.

Pure numpy. An identity is a number from 1 up, never given twice, with a bounded gallery of embeddings.
"""

from __future__ import annotations

from collections import deque

import numpy as np

GALLERY_SIZE = 8  # embeddings kept of a person: a few views, from the front, from behind, in the shade
LEARN_EVERY = 5  # frames between two embeddings taken into a gallery: the next frame looks the same
MOST_PEOPLE = 200  # of whom galleries are kept; beyond that the one unseen for longest is forgotten
PATIENCE = 10  # frames for which a lost person's last box still tells something: a detector misses people now and then
STRANGERS = 2000  # similarities of different people kept to learn from; FEWEST are enough to begin
FEWEST = 30
PERCENTILE = 90  # of them that the threshold lies above
APART = 0.1  # IoU below which two boxes of one frame are certainly not one person found twice
CROWDED = 0.3  # IoU with another box of the frame from which on a crop may show the wrong person, and is not learnt


class Person:
    """One identity: its number, gallery (K, E) of norm 1, last box (4,), frames when it was last seen and learnt."""

    def __init__(self, number: int, embedding: np.ndarray, box: np.ndarray, frame: int):
        self.number, self.box, self.seen, self.learnt = number, box, frame, frame
        self.gallery = embedding[np.newaxis]

    def learn(self, embedding: np.ndarray) -> None:
        """Adds an embedding; once the gallery is full, the two that are most alike become their mean."""
        gallery = np.vstack([self.gallery, embedding])
        if len(gallery) > GALLERY_SIZE:
            alike = gallery @ gallery.T
            np.fill_diagonal(alike, -np.inf)
            first, second = np.unravel_index(np.argmax(alike), alike.shape)
            mean = gallery[first] + gallery[second]
            gallery[first] = mean / max(np.linalg.norm(mean), 1e-12)
            gallery = np.delete(gallery, second, axis=0)
        self.gallery = gallery


class Identities:
    """Assigns identities frame by frame.

    The evidence that a box is a person is the similarity to the nearest embedding of that person's gallery, plus
    `continuity` times the overlap (IoU) with the person's last box. Below the threshold a box is someone new.

    How alike two strangers look differs from net to net and from scene to scene, so the threshold can be learnt: two
    people in one frame are strangers for certain, and to be known again takes more than nearly all of those reach.
    """

    def __init__(self, threshold: float = 0.6, continuity: float = 0.5, learn: bool = False):
        """threshold: evidence, a cosine from -1 to 1 where no boxes overlap; continuity: 0 ignores the boxes.

        learn: take the threshold as a first one and learn that of the scene.
        """
        self.threshold, self.continuity = threshold, continuity
        self._strangers = deque(maxlen=STRANGERS) if learn else None
        self.people = []
        self.count = 0  # identities given so far
        self._frame = 0

    def assign(self, boxes: np.ndarray, embeddings: np.ndarray):
        """One frame's people -> identities (N,) int, no two alike; similarities (N,) float, nan for someone new.

        boxes (N, 4) [ymin, xmin, ymax, xmax]; embeddings (N, E) float32 of norm 1. Frames without people count too.
        """
        boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
        embeddings = np.asarray(embeddings, np.float32)
        assert len(boxes) == len(embeddings), (len(boxes), len(embeddings))
        self._frame += 1
        similarity = self._similarity(embeddings)
        evidence = similarity + self.continuity * self._overlap(boxes)
        matches = match(evidence, self.threshold)
        overlap = iou(boxes, boxes) - np.eye(len(boxes), dtype=np.float32)
        if self._strangers is not None:
            known = np.flatnonzero(matches >= 0)
            self._learn_threshold(similarity[known][:, matches[known]], overlap[known][:, known])
        crowded = np.max(overlap, axis=1, initial=0) > CROWDED
        identities, similarities = np.zeros(len(boxes), int), np.full(len(boxes), np.nan)
        for index, column in enumerate(matches):
            if column < 0:
                person = self._add(boxes[index], embeddings[index])
            else:
                person = self.people[column]
                similarities[index] = similarity[index, column]
                person.box, person.seen = boxes[index], self._frame
                if not crowded[index] and self._frame - person.learnt >= LEARN_EVERY:
                    person.learn(embeddings[index])
                    person.learnt = self._frame
            identities[index] = person.number
        self._forget()
        return identities, similarities

    def _similarity(self, embeddings) -> np.ndarray:
        """(N, E) -> (N, P): the cosine to the nearest embedding of each known person."""
        if not self.people or not len(embeddings):
            return np.zeros((len(embeddings), len(self.people)), np.float32)
        starts = np.cumsum([0] + [len(person.gallery) for person in self.people[:-1]])
        cosines = embeddings @ np.concatenate([person.gallery for person in self.people]).T
        return np.maximum.reduceat(cosines, starts, axis=1)

    def _learn_threshold(self, similarity, overlap) -> None:
        """similarity (K, K) of each known person's picture to each one's gallery, overlap (K, K) of their boxes."""
        apart = (overlap < APART) & ~np.eye(len(overlap), dtype=bool)
        self._strangers.extend(similarity[apart].tolist())
        if len(self._strangers) >= FEWEST:
            self.threshold = float(np.percentile(self._strangers, PERCENTILE))

    def _overlap(self, boxes) -> np.ndarray:
        """(N, 4) -> (N, P): IoU with each known person's last box, worth less with every frame since then."""
        if not self.people:
            return np.zeros((len(boxes), 0), np.float32)
        age = np.array([self._frame - person.seen for person in self.people])  # from 1 up
        return iou(boxes, np.stack([person.box for person in self.people])) * np.where(age <= PATIENCE, 1 / age, 0)

    def _add(self, box, embedding) -> Person:
        self.count += 1
        person = Person(self.count, embedding, box, self._frame)
        self.people.append(person)
        return person

    def _forget(self) -> None:
        if len(self.people) > MOST_PEOPLE:
            by_age = sorted(self.people, key=lambda person: person.seen, reverse=True)
            kept = {person.number for person in by_age[:MOST_PEOPLE]}
            self.people = [person for person in self.people if person.number in kept]


def match(evidence: np.ndarray, threshold: float) -> np.ndarray:
    """(N, P) -> (N,) the column of each row, -1 for none; no column twice, strongest pair first."""
    columns = np.full(len(evidence), -1)
    left = evidence.astype(np.float64, copy=True)
    while left.size and left.max() >= threshold:
        row, column = np.unravel_index(np.argmax(left), left.shape)
        columns[row] = column
        left[row], left[:, column] = -np.inf, -np.inf
    return columns


def iou(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(N, 4), (M, 4) [ymin, xmin, ymax, xmax] -> (N, M) intersection over union, 0 where either is empty."""
    start = np.maximum(boxes[:, np.newaxis, :2], others[np.newaxis, :, :2])
    end = np.minimum(boxes[:, np.newaxis, 2:], others[np.newaxis, :, 2:])
    common = np.prod(np.clip(end - start, 0, None), axis=2)
    area, other_area = (np.prod(np.clip(some[:, 2:] - some[:, :2], 0, None), axis=1) for some in (boxes, others))
    union = area[:, np.newaxis] + other_area[np.newaxis] - common
    return np.divide(common, union, out=np.zeros_like(common), where=union > 0)
