"""Tracking by detection for one camera: links boxes from frame to frame, and decides which ones need an embedding.

A frame takes two calls, as in SORT and DeepSORT. `associate` links the boxes to tracks by their overlap with the
predicted boxes and says which boxes are due for the re-id net. `update` takes the embeddings of those boxes and returns
the person id of every box. A track keeps its person as long as nothing contradicts it, so the net runs only for people
who are new, doubtful or due for a check. Pure numpy.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from utils.boxes import iou, match, overlaps_of
from utils.live.identities import Identities, normalised


class TrackerConfig(NamedTuple):
    """The constants of the tracker. Ages and intervals are in frames, margins and bonuses in cosine similarity."""

    # association of boxes with tracks
    max_age: int = 10  # frames that a track survives without a box
    min_iou: float = 0.4  # minimum IoU of a box with the predicted box to continue a track
    velocity_decay: float = 0.7  # weight of the old velocity; a detector's boxes jitter
    rival_share: float = 0.2  # IoU of a second box or track, relative to the match's IoU, that makes the match doubtful
    rival_max_age: int = 3  # frames since the last box of such a second track
    # crops that may show another person
    crowded_iou: float = 0.05  # IoU with another box above which a crop is not embedded
    crowded_wait: int = 10  # frames without a person after which crowded_iou_late applies instead
    crowded_iou_late: float = 0.3
    apart_iou: float = 0.1  # IoU below which two boxes of a frame are certainly two people
    # when a person is embedded
    new_interval: int = 4  # frames between embeddings of a new track, as neighboring frames look alike
    first_check: int = 8  # frames until a recognised person is embedded again; the interval then doubles
    # who a track is
    num_embeddings: int = 4  # embeddings whose mean identifies a new or doubtful track
    min_margin: float = 0.05  # lead over the second most similar person that makes one embedding sufficient
    frames_to_new_id: int = 12  # frames from the first embedding until a track without a match is a new person
    own_bonus: float = 0.2  # bonus of the person that a doubtful track had
    own_slack: float = 0.4  # below the threshold, down to which a doubtful track may keep its person
    outlier_slack: float = 0.2  # below the threshold, from which an embedding makes its track doubtful
    contradiction_margin: float = 0.1  # lead of another person that makes a track doubtful
    nearby_bonus: float = 0.2  # bonus of a person who was lost nearby
    nearby_max_age: int = 30  # frames for which that bonus counts


DEFAULTS = TrackerConfig()


class Track:
    """The path of one person through the frames, and who that person is so far.

    Attributes:
        box: (4,) the newest box; velocity: (4,) per frame.
        first_frame, last_frame: frames of the first and the newest box.
        person: the Person, None while unknown; similarity: cosine of the last embedding to that person, nan if none.
        recognised: frame in which the track was recognised as a person known before, -inf otherwise.
        embeddings: the newest (E,) embeddings of uncrowded boxes since the track became new or doubtful.
        num_embedded: how many of those there were in all; first_embedded: frame of the first of them.
        last_embedded: frame of the last embedding, None before the first.
        doubtful: whether the track may have become someone else's.
    """

    def __init__(self, box: np.ndarray, frame: int):
        self.box = box
        self.velocity = np.zeros(4, np.float32)
        self.first_frame = frame
        self.last_frame = frame
        self.person = None
        self.similarity = np.nan
        self.recognised = -np.inf
        self.embeddings = []
        self.num_embedded = 0
        self.first_embedded = None
        self.last_embedded = None
        self.doubtful = False

    def predict(self, frame: int) -> np.ndarray:
        """(4,) the box expected in a frame at constant velocity."""
        return self.box + self.velocity * (frame - self.last_frame)

    def update(self, box: np.ndarray, frame: int, decay: float) -> None:
        """Continues the track with a box; decay: weight of the old velocity."""
        velocity = (box - self.box) / (frame - self.last_frame)
        self.velocity = decay * self.velocity + (1 - decay) * velocity
        self.box = box
        self.last_frame = frame

    def add_embedding(self, embedding: np.ndarray, frame: int, most: int) -> None:
        """Adds an embedding (E,) and keeps the newest `most` ones."""
        if not self.num_embedded:
            self.first_embedded = frame
        self.num_embedded += 1
        self.embeddings = [*self.embeddings, embedding][-most:]

    def mean_embedding(self) -> np.ndarray:
        """(E,) of norm 1."""
        return normalised(np.sum(self.embeddings, axis=0))

    def mark_doubtful(self) -> None:
        """From now on the track may be another person: earlier embeddings do not count."""
        self.doubtful = True
        self.embeddings = []
        self.num_embedded = 0

    def assign(self, person, similarity: float, frame: float = -np.inf) -> None:
        """Sets the person; frame: the current one if the person was known before."""
        if person is not self.person:
            self.recognised = frame
        self.person = person
        self.similarity = similarity
        self.doubtful = False

    @property
    def is_tentative(self) -> bool:
        """Whether the track has no person, or a doubtful one."""
        return self.person is None or self.doubtful


class Association(NamedTuple):
    """What `Tracker.associate` found out about the N boxes of one frame, for `Tracker.update`."""

    tracks: list  # N tracks, one per box
    due: np.ndarray  # (N,) bool, the boxes that need an embedding
    crowded: np.ndarray  # (N,) bool, the boxes whose crop may show another person
    overlaps: np.ndarray  # (N, N) IoU of each box with the others, 0 with itself

    def clear_views(self):
        """After `update`, yields (box (4,), person) of all embedded boxes that show one person, who is not in doubt."""
        for track, due, crowded in zip(self.tracks, self.due, self.crowded):
            if due and not crowded and not track.is_tentative:
                yield track.box, track.person


class Tracker:
    """The people in front of one camera."""

    def __init__(
        self,
        identities: Identities,
        reembed_every: int = 16,
        camera: str = "",
        config: TrackerConfig = DEFAULTS,
    ):
        """Starts without tracks.

        reembed_every: frames after which a person is embedded again even if nothing is doubtful; people who are new,
            doubtful or just recognised are embedded sooner. 1 embeds every person in every frame.
        camera: the name that people get as the camera that saw them last.
        """
        self.identities = identities
        self.reembed_every = reembed_every
        self.camera = camera
        self.config = config
        self.frame = 0
        self.tracks = []  # those with a box in the last max_age frames
        self._visible = []  # the tracks of the newest frame's boxes
        self._lost = {}  # person_id -> the last track of the person, for nearby_max_age frames

    def person_ids(self) -> set:
        """The ids of the people in the newest frame."""
        return {track.person.person_id for track in self._visible if track.person is not None}

    def reset_positions(self) -> None:
        """After a pause of the camera: an earlier position no longer tells who a person is."""
        self.tracks = []
        self._lost = {}

    # ---- association by overlap --------------------------------------------------------------------------------------

    def associate(self, boxes: np.ndarray) -> Association:
        """Links the boxes (N, 4) of the next frame to tracks. Must be called for frames without people too."""
        boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
        self.frame += 1
        self._follow_requests()
        self.tracks = [track for track in self.tracks if self.frame - track.last_frame <= self.config.max_age]
        ious = np.zeros((len(boxes), len(self.tracks)), np.float32)  # (N, T)
        if self.tracks:
            ious = iou(boxes, np.stack([track.predict(self.frame) for track in self.tracks]))
        columns = match(ious, self.config.min_iou)  # (N,), -1 for a new track
        matched = [None if column < 0 else self.tracks[column] for column in columns]
        overlaps = overlaps_of(boxes)
        crowded = self._find_crowded(overlaps, matched)
        tracks = []
        for index, (track, column) in enumerate(zip(matched, columns)):
            if track is None:
                track = Track(boxes[index], self.frame)
            else:
                if crowded[index] or track.person is not None and self._is_ambiguous(ious, index, column):
                    track.mark_doubtful()
                track.update(boxes[index], self.frame, self.config.velocity_decay)
            tracks.append(track)
        self.tracks += [track for track, old in zip(tracks, matched) if old is None]
        self._visible = tracks
        due = np.array([self._is_due(track, crowd) for track, crowd in zip(tracks, crowded)], bool)
        return Association(tracks, due, crowded, overlaps)

    def _follow_requests(self) -> None:
        """Applies what the user named, merged or forgot since the last frame to the tracks."""
        held = set()
        for track in sorted(self.tracks, key=lambda track: -track.last_frame):
            while track.person is not None and track.person.merged_into is not None:
                track.person = track.person.merged_into
            if track.person is not None and (track.person.forgotten or track.person.person_id in held):
                track.person = None
                track.mark_doubtful()
            if track.person is not None:
                held.add(track.person.person_id)

    def _find_crowded(self, overlaps: np.ndarray, matched) -> np.ndarray:
        """(N,) bool, the boxes whose crop may show another person. matched: N tracks, None for a new one."""
        limits = np.full(len(matched), self.config.crowded_iou, np.float32)
        for index, track in enumerate(matched):
            # A new person who walks close to others may never be uncrowded.
            if track is not None and track.person is None:
                if self.frame - track.first_frame >= self.config.crowded_wait:
                    limits[index] = self.config.crowded_iou_late
        return np.max(overlaps, axis=1, initial=0) > limits

    def _is_ambiguous(self, ious: np.ndarray, index: int, column: int) -> bool:
        """Whether a box could belong to another track, or its track to another box. ious: (N, T) of all pairs."""
        recent = [self.frame - track.last_frame <= self.config.rival_max_age for track in self.tracks]
        of_box = np.where(recent, ious[index], 0)
        of_box[column] = 0
        of_track = ious[:, column].copy()
        of_track[index] = 0
        return max(of_box.max(), of_track.max()) > self.config.rival_share * ious[index, column]

    def _is_due(self, track: Track, crowded: bool) -> bool:
        """Whether a box needs an embedding.

        A crowded box can wait until it is clear. So can the first box of a track, except in the first frame: it may be
        a false detection or half outside the image. A person recognised by few embeddings may be someone else, which
        is checked after first_check frames, and then whenever the time since the recognition has doubled.
        """
        if self.reembed_every == 1:
            return True
        if crowded or track.first_frame == self.frame > 1:
            return False
        if track.last_embedded is None or track.doubtful and track.num_embedded < self.config.num_embeddings:
            return True
        interval = self.reembed_every
        if not track.is_tentative:
            interval = min(interval, max(self.config.first_check, track.last_embedded - track.recognised))
        elif not self._has_enough_evidence(track, track.last_embedded):
            interval = min(interval, self.config.new_interval)
        return self.frame - track.last_embedded >= interval

    def _has_enough_evidence(self, track: Track, frame: int) -> bool:
        """Whether the track was seen often enough to conclude that it matches no known person."""
        if track.num_embedded < self.config.num_embeddings:
            return False
        return track.person is not None or frame - track.first_embedded >= self.config.frames_to_new_id

    # ---- identification by embeddings --------------------------------------------------------------------------------

    def update(self, association: Association, embeddings: np.ndarray):
        """Identifies the people of the frame that was just associated.

        embeddings: (D, E) of norm 1, of the due boxes in their order. Returns person ids (N,) int, 0 for unknown, never
        one twice, and similarities (N,) float of the last embedding of each box's track, nan if there was none.
        """
        due = np.flatnonzero(association.due)
        if len(embeddings) != len(due):
            raise ValueError(f"{len(embeddings)} embeddings for {len(due)} boxes that are due")
        clear = []  # indices of boxes with a new embedding of one person
        for index, embedding in zip(due, np.asarray(embeddings, np.float32)):
            track = association.tracks[index]
            track.last_embedded = self.frame
            if not association.crowded[index]:
                track.add_embedding(embedding, self.frame, self.config.num_embeddings)
                clear.append(index)
        if clear:
            self._identify(association, clear)
        for track in association.tracks:
            if track.person is not None:
                self.identities.mark_seen(track.person, self.camera)
                self._lost[track.person.person_id] = track
        oldest = self.frame - self.config.nearby_max_age
        self._lost = {person_id: track for person_id, track in self._lost.items() if track.last_frame >= oldest}
        person_ids = [track.person.person_id if track.person else 0 for track in association.tracks]
        return np.array(person_ids, int), np.array([track.similarity for track in association.tracks], float)

    def _identify(self, association: Association, clear) -> None:
        """clear: indices (C,) of boxes with a new embedding."""
        people = list(self.identities.people)
        tracks = [association.tracks[index] for index in clear]
        tentative = np.array([track.is_tentative for track in tracks])
        vectors = [track.mean_embedding() if track.is_tentative else track.embeddings[-1] for track in tracks]
        similarity = self.identities.similarity(np.stack(vectors)).astype(np.float64)  # (C, P)
        self._learn_threshold(association, clear, similarity, people)
        for row in np.flatnonzero(~tentative):
            if not tracks[row].doubtful:  # an earlier row can have made it so
                self._confirm(tracks[row], similarity[row], people, association.tracks)
        rows = np.flatnonzero(tentative)
        if len(rows):
            self._assign([tracks[row] for row in rows], similarity[rows], people, association.tracks)

    def _learn_threshold(self, association: Association, clear, similarity, people) -> None:
        """Passes on the similarity (C, P) of each box to the other people of the frame, if they are clearly apart."""
        columns = {person.person_id: column for column, person in enumerate(people)}
        found = []
        for row, index in enumerate(clear):
            for other, track in enumerate(association.tracks):
                apart = other != index and association.overlaps[index, other] < self.config.apart_iou
                if apart and track.person is not None:
                    found.append(float(similarity[row, columns[track.person.person_id]]))
        self.identities.learn_threshold(found)

    def _confirm(self, track: Track, similarity: np.ndarray, people, visible) -> None:
        """Checks a track that was not in doubt: its person learns the embedding, or the track becomes doubtful.

        similarity: (P,), of the newest embedding to all people.
        """
        threshold = self.identities.threshold
        own = people.index(track.person)
        others = similarity.copy()
        others[own] = -np.inf
        rival = int(np.argmax(others))
        track.similarity = float(similarity[own])
        if similarity[own] < threshold - self.config.outlier_slack:
            track.mark_doubtful()
        elif others[rival] > max(similarity[own] + self.config.contradiction_margin, threshold):
            track.mark_doubtful()
            for other in visible:
                if other.person is people[rival] and not other.doubtful:
                    other.mark_doubtful()
        else:
            track.person.learn(track.embeddings[-1])

    def _assign(self, tracks, similarity: np.ndarray, people, visible) -> None:
        """Assigns each person to at most one tentative track, similarity (T, P); a track without a match is new."""
        threshold = self.identities.threshold
        columns = {person.person_id: column for column, person in enumerate(people)}
        own = np.zeros(similarity.shape, bool)
        for row, track in enumerate(tracks):
            if track.person is not None:
                own[row, columns[track.person.person_id]] = True
        score = similarity + self.config.own_bonus * own + self.config.nearby_bonus * self._lost_nearby(tracks, people)
        for track in visible:
            if track.person is not None and track not in tracks:
                score[:, columns[track.person.person_id]] = -np.inf  # taken
        complete = np.array([len(track.embeddings) == self.config.num_embeddings for track in tracks])[:, np.newaxis]
        distinct = score - second_best(score) >= self.config.min_margin
        recognised = (score >= threshold) & (complete | distinct)
        kept = own & complete & (similarity >= threshold - self.config.own_slack)
        matches = match(np.where(recognised | kept, score, -np.inf), -1.0)
        for row, (track, column) in enumerate(zip(tracks, matches)):
            if column >= 0:
                self._release(people[column], track, visible)
                track.assign(people[column], float(similarity[row, column]), self.frame)
                if similarity[row, column] >= threshold:  # else the box says who it is, and not the embedding
                    track.person.learn(track.embeddings[-1])
            elif self._has_enough_evidence(track, self.frame):
                track.assign(self.identities.add_unnamed(np.stack(track.embeddings)), np.nan)

    def _lost_nearby(self, tracks, people) -> np.ndarray:
        """(T, P) bool: the track has no person, and that person was lost where the track could have come from."""
        nearby = np.zeros((len(tracks), len(people)), bool)
        for column, person in enumerate(people):
            lost = self._lost.get(person.person_id)
            if lost is None or lost.last_frame == self.frame:
                continue
            age = self.frame - lost.last_frame
            predicted = lost.predict(min(self.frame, lost.last_frame + self.config.max_age))
            for row, track in enumerate(tracks):
                if track.person is None:
                    height = max(track.box[2] - track.box[0], lost.box[2] - lost.box[0])  # legs may have been hidden
                    moved = track.box - predicted
                    down, across = np.abs(moved[:2] + moved[2:]) / 2  # of the center
                    nearby[row, column] = down < 0.5 * height and across < (0.3 + 0.03 * age) * height
        return nearby

    def _release(self, person, finder: Track, visible) -> None:
        """Takes the person from all tracks but `finder`: a track without a box ends, a visible one becomes unknown."""
        for track in list(self.tracks):
            if track.person is person and track is not finder:
                track.person = None
                if track not in visible:
                    self.tracks.remove(track)


def second_best(scores: np.ndarray) -> np.ndarray:
    """(T, P) -> (T, P): for each person the highest score of the row's other people, at least -1."""
    best = np.full((len(scores), 2), -1.0)
    if scores.size:
        best = np.sort(np.hstack([best, scores]), axis=1)[:, -2:]  # (T, 2): second, first
    return np.where(scores >= best[:, 1:], best[:, :1], best[:, 1:])
