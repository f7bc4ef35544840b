"""Who is who in front of one camera: links the boxes of each frame to those before, and says whom the net must look at.

A frame takes two calls. `link` finds each box's track by overlap alone and returns which boxes are due for the network;
`settle` takes the embeddings of those and returns everybody's number. A box is called what its track is called as long
as nothing speaks against it, so the network runs for new, doubtful and overdue people only. Pure numpy.
"""

from __future__ import annotations

import numpy as np

from utils.boxes import iou, match, overlaps_of
from utils.live.identities import Identities, normalised

PATIENCE = 10  # frames for which a track waits for a box; a detector misses people now and then
LINKED = 0.4  # IoU with the expected box from which on a box goes on with a track
RIVAL = 0.2  # share of that IoU from which on a second box, or track, makes the link doubtful
RIVAL_FRAMES = 3  # since which that other track had its last box
STEADY = 0.7  # share of the old velocity that a new box leaves; the boxes of a detector tremble
CROWDED = 0.05  # IoU with another box of the frame from which on a crop may show the wrong person
CROWD_FRAMES = 10  # after so many frames without a number, boxes are looked at up to an IoU of MOST_CROWDED
MOST_CROWDED = 0.3
APART = 0.1  # IoU below which two boxes of one frame are certainly not one person found twice
LOOKS = 4  # embeddings, of clear boxes, whose mean tells who a new or doubtful track is
SURE = 0.05  # lead of the most similar person over the next with which one look is enough
SPACED = 4  # frames from one look at somebody new to the next, as neighbouring frames look alike
SOON = 8  # frames after which someone who was recognised is looked at again, and again, then after ever longer waits
STRANGE = 12  # frames, from the first look, of being like nobody known until that is a new person
HOLD = 0.2  # advantage of the person that a doubtful track had
SLACK = 0.4  # below the threshold, until which that person may keep the track, as the box went on from there
CONTRADICTED = 0.1  # lead of another person that makes a track doubtful
ODD = 0.2  # below the threshold, from which on a look does
NEAR = 0.2  # advantage of a person who was lost near by
MEMORY = 30  # frames for which that counts


class Track:
    """One walk: its newest box (4,), velocity (4,) a frame, and who it is so far."""

    def __init__(self, box: np.ndarray, frame: int):
        self.box, self.velocity, self.seen = box, np.zeros(4, np.float32), frame
        self.begun = frame
        self.person, self.similarity = None, np.nan
        self.recognised = -np.inf  # frame since which it is taken for somebody known
        self.looks, self.looked = [], 0  # the newest embeddings (E,) since the last doubt, and how many there were
        self.first_look = None  # frame of the first of them
        self.embedded = None  # frame of the last embedding
        self.doubt = False  # whether it may have become someone else's

    def expected(self, frame: int) -> np.ndarray:
        return self.box + self.velocity * (frame - self.seen)

    def goes_on(self, box: np.ndarray, frame: int) -> None:
        moved = (box - self.box) / (frame - self.seen)
        self.velocity = STEADY * self.velocity + (1 - STEADY) * moved
        self.box, self.seen = box, frame

    def look(self, embedding: np.ndarray, frame: int) -> None:
        if not self.looked:
            self.first_look = frame
        self.looks, self.looked = (self.looks + [embedding])[-LOOKS:], self.looked + 1

    def mean_look(self) -> np.ndarray:
        return normalised(np.sum(self.looks, axis=0))

    def question(self) -> None:
        """From here on it may be someone else: what was seen before does not count."""
        self.doubt, self.looks, self.looked = True, [], 0

    def answer(self, person, similarity: float, frame: float = -np.inf) -> None:
        """frame: of this answer, if the person was known before."""
        if person is not self.person:
            self.recognised = frame
        self.person, self.similarity, self.doubt = person, similarity, False

    @property
    def open(self) -> bool:
        return self.person is None or self.doubt

    def looked_enough(self, frame: int) -> bool:
        """Whether enough was seen to call a track that resembles nobody another person, if in doubt, or a new one."""
        return self.looked >= LOOKS and (self.person is not None or frame - self.first_look >= STRANGE)


class Tracker:
    """The people in front of one camera."""

    def __init__(self, identities: Identities, reembed_every: int = 16, camera: str = ""):
        """reembed_every: frames after which a person is embedded again though nothing is doubtful; 1: in every frame.

        Who is new, doubtful or was recognised lately is embedded sooner.
        """
        self.identities, self.reembed_every, self.camera = identities, reembed_every, camera
        self.tracks = []  # alive: seen in the last PATIENCE frames
        self.frame = 0
        self._now = []  # the track of each box of the frame in hand
        self._lost = {}  # number -> the last track of a person, for MEMORY frames

    # ---- where everybody went ----------------------------------------------------------------------------------------

    def link(self, boxes: np.ndarray) -> np.ndarray:
        """One frame's boxes (N, 4) -> (N,) bool, who must be embedded. Frames without people count too."""
        boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
        self.frame += 1
        self._catch_up()
        self.tracks = [track for track in self.tracks if self.frame - track.seen <= PATIENCE]
        overlap = np.zeros((len(boxes), len(self.tracks)), np.float32)
        if self.tracks:
            overlap = iou(boxes, np.stack([track.expected(self.frame) for track in self.tracks]))
        columns = match(overlap, LINKED)
        old = [None if column < 0 else self.tracks[column] for column in columns]
        self._overlaps = overlaps_of(boxes)
        self._crowded = self._find_crowded(old)
        self._now = []
        for index, (track, column) in enumerate(zip(old, columns)):
            if track is None:
                track = Track(boxes[index], self.frame)
            else:
                if self._crowded[index] or track.person is not None and self._rivalled(overlap, index, column):
                    track.question()
                track.goes_on(boxes[index], self.frame)
            self._now.append(track)
        self.tracks += [track for track in self._now if track not in self.tracks]
        self._due = np.array([self._is_due(track, crowd) for track, crowd in zip(self._now, self._crowded)], bool)
        return self._due

    def _rivalled(self, overlap, index: int, column: int) -> bool:
        """Whether the link of a box and a track is not the only one that could be. overlap (N, T): IoU of all pairs."""
        awake = [self.frame - track.seen <= RIVAL_FRAMES for track in self.tracks]
        of_box, of_track = np.where(awake, overlap[index], 0), overlap[:, column].copy()
        of_box[column] = of_track[index] = 0
        return max(of_box.max(), of_track.max()) > RIVAL * overlap[index, column]

    def _find_crowded(self, old) -> np.ndarray:
        """(N,) bool: boxes whose picture may show another person. old: the track that each goes on with, or None."""
        most = np.max(self._overlaps, axis=1, initial=0)
        limits = [MOST_CROWDED if track is not None and self._waits(track) else CROWDED for track in old]
        return most > np.array(limits, np.float32)

    def _waits(self, track: Track) -> bool:
        """Whether it is someone new who walks so close to others that a clear look may never come."""
        return track.person is None and self.frame - track.begun >= CROWD_FRAMES

    def paused(self) -> None:
        """The camera gave nothing for a while: where somebody was says nothing of who is there now."""
        self.tracks, self._lost = [], {}

    def _is_due(self, track: Track, crowded) -> bool:
        """A crowded box can wait until it is clear: its picture shows two people.

        So can a box of this frame alone, unless it is the first frame: it may be a false alarm, or someone half in the
        picture. Who was recognised by a few looks may be someone else, so that is checked SOON frames later, and again
        whenever as many frames have passed as between recognition and the last look. Who is new was looked at often
        enough.
        """
        if self.reembed_every == 1:
            return True
        if track.begun == self.frame > 1:
            return False
        if crowded:
            return False
        if track.embedded is None or track.doubt and track.looked < LOOKS:
            return True
        wait = self.reembed_every
        if not track.open:
            wait = min(wait, max(SOON, track.embedded - track.recognised))
        elif not track.looked_enough(track.embedded):
            wait = min(wait, SPACED)
        return self.frame - track.embedded >= wait

    def _catch_up(self) -> None:
        """People were named or forgotten since the last frame: two may be one now, and some nobody any more."""
        held = set()
        for track in sorted(self.tracks, key=lambda track: -track.seen):
            while track.person is not None and track.person.became is not None:
                track.person = track.person.became
            if track.person is not None and (track.person.forgotten or track.person.number in held):
                track.person = None
                track.question()
            if track.person is not None:
                held.add(track.person.number)

    # ---- who they are ------------------------------------------------------------------------------------------------

    def settle(self, embeddings: np.ndarray):
        """The embeddings (D, E) of the due boxes, in their order -> numbers (N,) int, 0 for unknown; similarities (N,).

        No two boxes of a frame get one number. A similarity is that of the last embedding, nan where there was none.
        """
        due = np.flatnonzero(self._due)
        assert len(embeddings) == len(due), (len(embeddings), len(due))
        seen = []  # due boxes that show one person
        for index, embedding in zip(due, np.asarray(embeddings, np.float32)):
            self._now[index].embedded = self.frame
            if not self._crowded[index]:
                self._now[index].look(embedding, self.frame)
                seen.append(index)
        if seen:
            self._judge(seen)
        for track in self._now:
            if track.person is not None:
                self.identities.was_seen(track.person, self.camera)
                self._lost[track.person.number] = track
        self._lost = {number: track for number, track in self._lost.items() if self.frame - track.seen <= MEMORY}
        numbers = [track.person.number if track.person else 0 for track in self._now]
        return np.array(numbers, int), np.array([track.similarity for track in self._now], float)

    def numbers(self) -> set:
        """Of the people in the frame in hand."""
        return {track.person.number for track in self._now if track.person is not None}

    def clear_looks(self):
        """Yields (box (4,), person) of whom the net has just seen clearly, and who is in no doubt."""
        for track, asked, crowded in zip(self._now, self._due, self._crowded):
            if asked and not crowded and track.person is not None and not track.doubt:
                yield track.box, track.person

    def _judge(self, seen) -> None:
        """seen: indices (C,) of boxes with a new embedding."""
        people = list(self.identities.people)
        column = {person.number: index for index, person in enumerate(people)}
        tracks = [self._now[index] for index in seen]
        looks = np.stack([track.mean_look() if track.open else track.looks[-1] for track in tracks])  # (C, E)
        similarity = self.identities.similarity(looks).astype(np.float64)  # (C, P)
        self._learn_threshold(seen, similarity, column)
        is_open = np.array([track.open for track in tracks])
        for row in np.flatnonzero(~is_open):
            if not tracks[row].doubt:  # raised by a row before
                self._confirm(tracks[row], similarity[row], people)
        rows = np.flatnonzero(is_open)
        if len(rows):
            self._assign([tracks[row] for row in rows], similarity[rows], people, column)

    def _confirm(self, track, similarity, people) -> None:
        """A track of whom nothing was doubtful: the person learns the new look, unless it speaks for somebody else."""
        own = people.index(track.person)
        track.similarity = float(similarity[own])
        rival = int(np.argmax(np.where(np.arange(len(people)) == own, -np.inf, similarity)))
        if similarity[own] < self.identities.threshold - ODD:
            track.question()
        elif similarity[rival] > max(similarity[own] + CONTRADICTED, self.identities.threshold):
            for other in [track] + [other for other in self._now if other.person is people[rival] and not other.doubt]:
                other.question()
        else:
            track.person.learn(track.looks[-1])

    def _assign(self, tracks, similarity, people, column) -> None:
        """New and doubtful tracks get the people they resemble, nobody twice; who resembles nobody is someone new."""
        threshold = self.identities.threshold
        own = np.zeros(similarity.shape, bool)
        for row, track in enumerate(tracks):
            if track.person is not None:
                own[row, column[track.person.number]] = True
        evidence = similarity + HOLD * own + NEAR * self._lost_near_by(tracks, people)
        taken = [track.person for track in self._now if track.person is not None and track not in tracks]
        evidence[:, [column[person.number] for person in taken]] = -np.inf
        enough = np.array([len(track.looks) == LOOKS for track in tracks])[:, np.newaxis]
        sure = evidence - runner_up(evidence) >= SURE
        likely = (evidence >= threshold) & (enough | sure) | own & enough & (similarity >= threshold - SLACK)
        matches = match(np.where(likely, evidence, -np.inf), -1.0)
        for row, (track, chosen) in enumerate(zip(tracks, matches)):
            if chosen >= 0:
                self._let_go(people[chosen], track)
                track.answer(people[chosen], float(similarity[row, chosen]), self.frame)
                if similarity[row, chosen] >= threshold:  # else it is who it is by its box, not by its looks
                    track.person.learn(track.looks[-1])
            elif track.looked_enough(self.frame):
                track.answer(self.identities.stranger(np.stack(track.looks)), np.nan)

    def _lost_near_by(self, tracks, people) -> np.ndarray:
        """(T, P) bool: that person was last seen where someone could have come from, and the track has no person."""
        near = np.zeros((len(tracks), len(people)), bool)
        for column, person in enumerate(people):
            lost = self._lost.get(person.number)
            if lost is None or lost.seen == self.frame:
                continue
            age = self.frame - lost.seen
            expected = lost.expected(min(self.frame, lost.seen + PATIENCE))
            for row, track in enumerate(tracks):
                if track.person is None:
                    height = max(track.box[2] - track.box[0], lost.box[2] - lost.box[0])  # legs may have been hidden
                    down, across = np.abs((track.box - expected)[:2] + (track.box - expected)[2:]) / 2
                    near[row, column] = down < 0.5 * height and across < (0.3 + 0.03 * age) * height
        return near

    def _let_go(self, person, finder) -> None:
        """Another track has the person now: one that waits for its box ends, one in the picture becomes unknown."""
        for track in [track for track in self.tracks if track.person is person and track is not finder]:
            track.person = None
            if track not in self._now:
                self.tracks.remove(track)

    def _learn_threshold(self, seen, similarity, column) -> None:
        """Of each box with a new embedding to everybody else who is in the frame, and apart from it."""
        found = []
        for row, index in enumerate(seen):
            for other, track in enumerate(self._now):
                if track.person is not None and other != index and self._overlaps[index, other] < APART:
                    found.append(float(similarity[row, column[track.person.number]]))
        self.identities.learn_threshold(found)


def runner_up(evidence: np.ndarray) -> np.ndarray:
    """(T, P) -> (T, P): the most that any other of the row's people reaches, -1 where there is nobody else."""
    best = np.full((len(evidence), 2), -1.0)
    if evidence.size:
        best = np.sort(np.hstack([best, evidence]), axis=1)[:, -2:]  # (T, 2): second, first
    return np.where(evidence >= best[:, 1:], best[:, :1], best[:, 1:])
