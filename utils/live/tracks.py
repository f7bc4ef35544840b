"""Tracking by detection for one camera: links boxes from frame to frame, and decides which person each track is.

Boxes are linked as in ByteTrack (Zhang et al. 2022): tracks are predicted by a Kalman filter; an optimal assignment by
overlap takes the boxes of high score first, then those of low score, which are often people behind others. A track ends
where a link is ambiguous or a box is missing for long, so that it shows one person. Who that is, is decided once per
track, from the mean of its embeddings as in DeepSORT and BoT-SORT, by an optimal assignment to the people whom no other
track shows at the time. So people who cross, are hidden or come back are all recognised in the same way. Somebody new
gets a number for one long track, or for several short ones that look alike, and stays unknown until then.

A frame takes two calls. `associate` links the boxes and says which of them the re-id net must embed; `update` takes the
embeddings and returns the people. All times are in seconds. Pure numpy.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np

from utils.boxes import assign, iou, overlaps_of
from utils.live.identities import Identities, normalised
from utils.live.people import Later
from utils.live.track import Track, nearness

# As published (ByteTrack); the noise of the Kalman filter in utils/live/motion.py is DeepSORT's.
LOW_SCORE = 0.1  # detections below are ignored
MIN_IOU_HIGH = 0.2  # to continue a track by a box of high score
MIN_IOU_LOW = 0.5  # the same for a box of low score
# Chosen on simulated scenes of odd seeds (benchmarks/scenes.py --tune) and on frames 1 to 400 of vtest.avi. The scenes
# alone would take CROWDED = 0.4 (IDF1 +0.03 at 5 frames a second), by which the footage loses 0.1.
CROWDED = 0.2  # overlap with another box that makes a link, relative to its IoU, or a crop ambiguous
LOST_SECONDS = 0.3  # without a box, after which a track ends
DECISION_SECONDS = 1.5  # of a track, after which its person is decided; several tracks of somebody new last twice that
EMBED_SECONDS = 0.3  # between two embeddings of a track without a person, as neighboring frames look alike; not tuned
NEARBY_SECONDS = 5.0  # for which the place of the last sighting counts, and a track waits for more of somebody new
NEARBY_BONUS = 1.0  # for the place where a person is expected, in standard deviations of the similarity
TINY = 1e-6  # seconds that sums of times may be off


class Association(NamedTuple):
    """What `Tracker.associate` found out about the N boxes of one frame that belong to tracks."""

    tracks: list  # N tracks, one per box
    indices: np.ndarray  # (N,) of the boxes among those that `associate` was given
    boxes: np.ndarray  # (N, 4)
    scores: np.ndarray  # (N,)
    due: np.ndarray  # (N,) bool, the boxes that need an embedding
    crowded: np.ndarray  # (N,) bool, the boxes whose crop may show another person

    def clear_views(self):
        """After `update`, yields (box (4,), person) of all boxes that show one person, who is decided."""
        for track, box, crowded in zip(self.tracks, self.boxes, self.crowded):
            if not crowded and track.person is not None:
                yield box, track.person


class Tracker:
    """The people in front of one camera."""

    def __init__(self, identities: Identities, reembed_every: int = 16, camera: str = "", high_score: float = 0.5):
        """Starts without tracks.

        reembed_every: frames after which a person is embedded again; 1 embeds every person in every frame.
        camera: the name that people get as the camera that saw them last.
        high_score: detections from this score on start a track; lower ones can only continue one.
        """
        self.identities = identities
        self.reembed_every = reembed_every
        self.camera = camera
        self.high_score = high_score
        self.frame = 0
        self.now = None  # seconds of the newest frame
        self._previous = None  # seconds of the one before
        self._intervals = deque(maxlen=9)  # seconds between the newest frames
        self.tracks = []  # those that can be continued
        self._ended = []  # undecided, or seen with one that is; a person can have only one at a time
        self._visible = []  # the tracks of the newest frame's boxes
        self._last_seen = {}  # person_id -> the last track of the person, for NEARBY_SECONDS

    def person_ids(self) -> set:
        """The ids of the people in the newest frame."""
        return {track.person.person_id for track in self._visible if track.person is not None}

    # ---- boxes -------------------------------------------------------------------------------------------------------

    def associate(self, boxes: np.ndarray, scores: np.ndarray, seconds: float) -> Association:
        """Links the boxes of the next frame to tracks. Must be called for frames without people too.

        boxes: (N, 4) [ymin, xmin, ymax, xmax]; scores: (N,), of LOW_SCORE and above; seconds: time of the frame, later
        than that of the last one.
        """
        boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
        self.frame += 1
        self._follow_requests()
        if self.now is not None:
            self._intervals.append(seconds - self.now)
            for track in self.tracks:
                track.motion.predict(seconds - self.now)
        self._previous = self.now
        self.now = seconds
        self._end_tracks()
        tracks = [None] * len(boxes)
        high = [index for index, score in enumerate(scores) if score >= self.high_score]
        low = [index for index, score in enumerate(scores) if LOW_SCORE <= score < self.high_score]
        self._link(high, boxes, tracks, self.tracks, MIN_IOU_HIGH)
        free = [track for track in self.tracks if track.last == self._previous]
        self._link(low, boxes, tracks, free, MIN_IOU_LOW)
        for index in high:
            if tracks[index] is None:
                tracks[index] = Track(boxes[index], seconds)
                self.tracks.append(tracks[index])
        kept = np.array([index for index, track in enumerate(tracks) if track is not None], int)
        crowded = np.max(overlaps_of(boxes[kept]), axis=1, initial=0) > CROWDED
        self._visible = [tracks[index] for index in kept]
        due = np.array([self._is_due(track, crowd) for track, crowd in zip(self._visible, crowded)], bool)
        return Association(self._visible, kept, boxes[kept], np.asarray(scores)[kept], due, crowded)

    def _follow_requests(self) -> None:
        """Applies what the user named, merged or forgot since the last frame to the tracks."""
        held = set()
        for track in sorted([*self.tracks, *self._ended], key=lambda track: -track.last):
            while track.person is not None and track.person.merged_into is not None:
                track.person = track.person.merged_into
            if track.person is None:
                continue
            alive = track in self.tracks
            if track.person.forgotten or alive and track.person.person_id in held:
                track.person = None
                if alive:
                    self._end(track, Track(track.box, self.now, track.motion))
            elif alive:
                held.add(track.person.person_id)

    def _end_tracks(self) -> None:
        patience = max(LOST_SECONDS, 1.5 * self._interval()) + TINY
        for track in [track for track in self.tracks if self.now - track.last > patience]:
            self._end(track)
        begins = [track.first for track in [*self.tracks, *self._ended] if not track.decided]
        oldest = min(begins, default=self.now)
        self._ended = [track for track in self._ended if track.last >= oldest or not track.decided]

    def _interval(self) -> float:
        """The usual time between two frames; a single pause does not change it."""
        return float(np.median(self._intervals)) if self._intervals else 0.0

    def _end(self, track: Track, successor=None) -> None:
        """Ends a track; a successor takes its place."""
        self.tracks.remove(track)
        if track not in self._ended:
            self._ended.append(track)
        if successor is not None:
            self.tracks.append(successor)

    def _link(self, indices, boxes: np.ndarray, tracks: list, candidates, min_iou: float) -> None:
        """Continues the candidates without a box in this frame by the boxes of some indices, and fills in `tracks`."""
        candidates = [track for track in candidates if track.last < self.now]
        if not len(indices) or not candidates:
            return
        overlap = iou(boxes[indices], np.stack([track.motion.box for track in candidates]))  # (M, T)
        for row, column in enumerate(assign(np.where(overlap >= min_iou, overlap, -np.inf))):
            if column < 0:
                continue
            index = indices[row]
            track = candidates[column]
            rivals = np.append(np.delete(overlap[row], column), np.delete(overlap[:, column], row))
            if rivals.max(initial=0) > CROWDED * overlap[row, column]:
                successor = Track(boxes[index], self.now, track.motion, track)
                successor.motion.update(boxes[index])
                self._end(track, successor)
                track = successor
            else:
                track.add_box(boxes[index], self.now)
            tracks[index] = track

    def _is_due(self, track: Track, crowded: bool) -> bool:
        """Whether a box needs an embedding. A crowded box can wait until it is clear, if there is any embedding yet.

        So can the first box of a track, as it may be a false detection, except in the first frame and at low rates.
        """
        if self.reembed_every == 1:
            return True
        if track.last_embedded is None:
            return track.count > 1 or self.frame == 1 or self._interval() >= EMBED_SECONDS
        if crowded:
            return False
        seconds, frame = track.last_embedded
        if track.decided or self.now - track.first > DECISION_SECONDS:
            return self.frame - frame >= self.reembed_every
        return not track.clear or self.now - seconds >= EMBED_SECONDS - TINY

    # ---- people ------------------------------------------------------------------------------------------------------

    def update(self, association: Association, embeddings: np.ndarray):
        """Identifies the people of the frame that was just associated.

        embeddings: (D, E) of norm 1, of the due boxes in their order. Returns person ids (N,) int, 0 for unknown, never
        one twice, and similarities (N,) float of each box's track to its person, nan if unknown.
        """
        due = np.flatnonzero(association.due)
        if len(embeddings) != len(due):
            raise ValueError(f"{len(embeddings)} embeddings for {len(due)} boxes that are due")
        known = []  # (track, embedding) of people who were decided before
        for index, embedding in zip(due, np.asarray(embeddings, np.float32)):
            track = association.tracks[index]
            track.last_embedded = self.now, self.frame
            if not track.decided:
                track.add_embedding(embedding, not association.crowded[index])
            elif not association.crowded[index] and track.person is not None:
                known.append((track, embedding))
        self._confirm([track for track, _ in known], [embedding for _, embedding in known])
        self._decide()
        for track in association.tracks:
            if track.person is not None:
                self.identities.mark_seen(track.person, self.camera)
                self._last_seen[track.person.person_id] = track
        oldest = self.now - NEARBY_SECONDS
        self._last_seen = {key: track for key, track in self._last_seen.items() if track.last >= oldest}
        return self._shown(association.tracks)

    def _shown(self, tracks) -> tuple:
        """Person ids (N,) and similarities (N,); a decided track goes before one that shows an earlier person."""
        ids = np.array([track.person.person_id if track.person else 0 for track in tracks], int)
        for index, track in enumerate(tracks):
            person = track.shown_person()
            if not ids[index] and person is not None and not person.forgotten and person.person_id not in ids:
                ids[index] = person.person_id
        return ids, np.array([track.similarity for track in tracks], float)

    def _confirm(self, tracks, embeddings) -> None:
        """Checks decided tracks: their people learn the embeddings (E,), or a track ends and is decided anew."""
        if not tracks:
            return
        for track, embedding, similarity in zip(tracks, embeddings, self.identities.similarity(np.stack(embeddings))):
            track.similarity = float(similarity[track.person.row])
            if track.similarity >= self.identities.threshold:
                self.identities.learn(track.person, embedding)
            elif similarity.max() > track.similarity:  # somebody else is more similar
                successor = Track(track.box, self.now, track.motion, track)
                successor.last_embedded = track.last_embedded
                successor.add_embedding(embedding, True)
                track.last = self._previous  # the box of this frame is the successor's
                self._end(track, successor)
                self._visible[self._visible.index(track)] = successor

    def _decide(self) -> None:
        """Decides who the tracks are that ended or were seen for long enough, and guesses who the others are."""
        for track in self._ended:
            track.decided = track.decided or not track.embeddings
        open_tracks = [track for track in [*self.tracks, *self._ended] if not track.decided and track.embeddings]
        fresh = [track for track in open_tracks if not track.waits]
        if fresh:
            self._recognise(fresh)
        if fresh or any(track.last == self.now for track in open_tracks):  # else nothing has changed
            self._find_new_people([track for track in open_tracks if not track.decided and track.guess is None])
        for track in open_tracks:
            if track in self._ended and self.now - track.last > self._reach():
                self._settle(track, None, np.nan)

    def _recognise(self, tracks) -> None:
        """Assigns the known people to the tracks that are similar enough; final for those whose time is over."""
        similarity = self.identities.similarity(np.stack([track.mean_embedding() for track in tracks]))  # (T, P)
        score = self._scores(tracks, similarity)
        self._learn_threshold(tracks, similarity, score)
        threshold = self.identities.threshold
        chosen = np.flatnonzero((score >= threshold).any(axis=0))  # the people whom any track is similar enough to
        candidates = score[:, chosen]
        for row, column in enumerate(assign(np.where(candidates >= threshold, candidates, -np.inf))):
            track = tracks[row]
            track.guess = self.identities.people[chosen[column]] if column >= 0 else None
            over = track in self._ended or self.now - track.first >= DECISION_SECONDS - TINY
            over = over or self._interval() >= EMBED_SECONDS  # at low rates each box decides on its own
            if over and track.guess is not None and not self._is_taken(track.guess, track):
                self._settle(track, track.guess, float(similarity[row, chosen[column]]))
            elif over:
                track.guess = None
                track.waits = True

    def _find_new_people(self, tracks) -> None:
        """Gives numbers to new people: tracks that look alike, are never in one frame and last for long enough."""
        tracks = [track for track in tracks if track.clear]
        if not tracks:
            return
        similar = self.identities.compare(np.stack([track.mean_embedding() for track in tracks]))  # (T, T)
        for row, track in enumerate(tracks):
            group = [track]
            for column in np.argsort(-similar[row]):
                if similar[row, column] < self.identities.threshold or track.decided:
                    break
                other = tracks[column]
                if not other.decided and all(other.is_apart(member) for member in group):
                    group.append(other)
            if track.decided or not self._is_long(group):
                continue
            looks = np.concatenate([member.embeddings for member in group])
            if len(group) == 1 or not self._is_known(looks):
                try:
                    person = self.identities.add_unnamed(looks)
                except Later:  # somebody else is known in the next frame, and may be this person
                    for member in group:
                        member.waits = False
                    continue
                for member in sorted(group, key=lambda member: member.last):
                    self._settle(member, person, np.nan)

    def _is_long(self, group) -> bool:
        """Whether somebody was seen for long enough to be new: twice as long in several tracks as in one.

        Each frame counts for the time until the next.
        """
        first = min(track.first for track in group)
        last = max(track.last for track in group)
        needed = DECISION_SECONDS * min(len(group), 2)
        return last > first and last - first + self._interval() >= needed - TINY

    def _is_known(self, looks: np.ndarray) -> bool:
        """Whether looks (K, E) are together similar enough to anybody, who was not free for one of them."""
        mean = normalised(looks.mean(axis=0))
        return self.identities.similarity(mean[np.newaxis]).max(initial=-1) >= self.identities.threshold

    def _scores(self, tracks, similarity: np.ndarray) -> np.ndarray:
        """(T, P): the similarity with the bonus of the place, -inf for people whom another track shows meanwhile."""
        score = similarity.astype(np.float64)
        bonus = NEARBY_BONUS * self.identities.deviation
        for row, track in enumerate(tracks):
            for person_id, last in self._last_seen.items():
                person = self.identities.find(person_id)
                if person is not None:
                    score[row, person.row] += bonus * nearness(track, last)
            for other in [*self.tracks, *self._ended]:
                if other is not track and other.person is not None and other.last >= track.first:
                    score[row, other.person.row] = -np.inf
        return score

    def _is_taken(self, person, track: Track) -> bool:
        return any(other.person is person and other.last >= track.first for other in [*self.tracks, *self._ended])

    def _reach(self) -> float:
        """Seconds for which a track that ended waits for others of the same new person."""
        return max(NEARBY_SECONDS, 3 * self._interval())

    def _settle(self, track: Track, person, similarity: float) -> None:
        track.decided = True
        track.person = person
        track.similarity = similarity
        if person is not None and track.clear and np.isfinite(similarity):
            self.identities.learn(person, track.mean_embedding(), len(track.embeddings))
        if person is not None:
            self._last_seen[person.person_id] = track
            for other in [other for other in self.tracks if other.person is person and other is not track]:
                self._end(other)  # without a box for a moment, and never again
        track.embeddings = []

    def _learn_threshold(self, tracks, similarity: np.ndarray, score: np.ndarray) -> None:
        """Passes on the similarities (T, P) of tracks to people whom another track shows at the same time."""
        fresh = np.array([track.last_embedded[1] == self.frame for track in tracks])
        self.identities.learn_threshold(similarity[(score == -np.inf) & fresh[:, np.newaxis]].tolist())
