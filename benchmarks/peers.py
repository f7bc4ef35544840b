"""Trackers side by side on the same boxes and embeddings: the demo's own, and two from PyPI at their defaults.

`deep-sort-realtime` is DeepSORT (Wojke et al. 2017), `cjm-byte-track` is ByteTrack (Zhang et al. 2022); both are in
requirements-dev.txt. All are recorded by the demo's TracksFile, so gaps are filled for all alike.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

from benchmarks.tracking import read_tracks
from utils.errors import InputError
from utils.live.identities import Identities
from utils.live.tracks import LOW_SCORE, Tracker
from utils.live.tracks_file import TracksFile

HIGH_SCORE = 0.5  # the default of demo.py's --detection_threshold; DeepSORT gets only these boxes
CAMERA_STEP = 1_000_000  # added to frames, and to the numbers of a tracker that does not know other cameras


class Found(NamedTuple):
    """The tracks of one frame."""

    tracks: list
    boxes: np.ndarray
    scores: np.ndarray


class Ours:
    """The tracker of the demo, of one camera. Several share their Identities."""

    def __init__(self, identities: Identities, every: int):
        self._tracker = Tracker(identities, every, high_score=HIGH_SCORE)
        self.boxes = 0
        self.embedded = 0

    def update(self, boxes, scores, embeddings, seconds: float):
        """boxes (N, 4) in pixels, scores (N,), embeddings (N, E) -> tracks, boxes and scores, as TracksFile takes them.

        Only the embeddings that the tracker asks for are used.
        """
        found = self._tracker.associate(boxes, scores, seconds)
        due = found.indices[found.due]
        self.boxes += len(found.boxes)
        self.embedded += len(due)
        self._tracker.update(found, embeddings[due])
        return found


class DeepSort:
    """DeepSORT at its defaults, with an embedding of each box in each frame."""

    def __init__(self):
        try:
            from deep_sort_realtime.deepsort_tracker import DeepSort as Peer
        except ImportError:
            raise InputError("DeepSORT is not installed: pip install deep-sort-realtime") from None
        self._peer = Peer(embedder=None)
        self._people = {}

    def update(self, boxes, scores, embeddings, seconds: float):
        """As Ours.update."""
        kept = np.flatnonzero(scores >= HIGH_SCORE)
        sizes = [[left, top, right - left, bottom - top] for top, left, bottom, right in boxes[kept]]
        detections = [(size, float(score), "person") for size, score in zip(sizes, scores[kept])]
        rows = []
        for track in self._peer.update_tracks(detections, embeds=list(embeddings[kept])):
            if track.is_confirmed() and track.time_since_update == 0:
                left, top, right, bottom = track.to_ltrb(orig=True)
                rows.append((int(track.track_id), [top, left, bottom, right]))
        return named(rows, self._people)


class ByteTrack:
    """ByteTrack at its defaults for the frame rate, with the same threshold for high scores as ours."""

    def __init__(self, fps: float):
        try:
            from cjm_byte_track.core import BYTETracker
        except ImportError:
            raise InputError("ByteTrack is not installed: pip install cjm-byte-track") from None
        self._peer = BYTETracker(track_thresh=HIGH_SCORE, frame_rate=fps)
        self._people = {}

    def update(self, boxes, scores, embeddings, seconds: float):
        """As Ours.update."""
        rows = np.column_stack([boxes[:, [1, 0, 3, 2]], scores]) if len(boxes) else np.zeros((0, 5))
        found = self._peer.update(rows, (1, 1), (1, 1))
        corners = [track.tlbr for track in found]
        return named(
            [(track.track_id, box[[1, 0, 3, 2]]) for track, box in zip(found, corners)],
            self._people,
        )


def named(rows, people: dict):
    """[(number, box)] -> what TracksFile takes; people: {number: track}, of all frames."""
    for number, _ in rows:
        person = SimpleNamespace(person_id=number, merged_into=None, forgotten=False)
        people.setdefault(number, SimpleNamespace(decided=True, person=person))
    boxes = np.array([box for _, box in rows], np.float64).reshape(-1, 4)
    return Found([people[number] for number, _ in rows], boxes, np.ones(len(rows)))


def make(name: str, cameras: int, fps: float, threshold: float, every: int) -> list:
    """The trackers of all cameras: "ours", "everybody" (ours with every box embedded), "deepsort" or "bytetrack"."""
    if name == "deepsort":
        return [DeepSort() for _ in range(cameras)]
    if name == "bytetrack":
        return [ByteTrack(fps) for _ in range(cameras)]
    identities = Identities(threshold, learn=True)
    return [Ours(identities, 1 if name == "everybody" else every) for _ in range(cameras)]


class Recording:
    """What some trackers find, one per camera, as benchmarks.tracking reads it."""

    def __init__(self, trackers: list, size: tuple):
        """size: (width, height) of the frames in pixels."""
        self.trackers = trackers
        self._folder = tempfile.TemporaryDirectory()
        self._scale = np.array([size[1], size[0], size[1], size[0]], float)  # TracksFile takes boxes in 0..1
        self._paths = [Path(self._folder.name) / f"{camera}.txt" for camera in range(len(trackers))]
        self._files = [TracksFile(path, size) for path in self._paths]

    def write(self, camera: int, number: int, seconds: float, boxes, scores, embeddings) -> None:
        """Takes in one frame; number: from 1; boxes: (N, 4) in 0..1."""
        kept = scores >= LOW_SCORE
        result = self.trackers[camera].update(boxes[kept] * self._scale, scores[kept], embeddings[kept], seconds)
        self._files[camera].write(number, seconds, result._replace(boxes=result.boxes / self._scale))

    def read(self) -> dict:
        """Ends the recording: {frame + camera * CAMERA_STEP: [(number, (left, top, width, height))]} in pixels."""
        found = {}
        for camera, (file, path) in enumerate(zip(self._files, self._paths)):
            file.commit()
            own = 0 if isinstance(self.trackers[camera], Ours) else camera * CAMERA_STEP
            for frame, rows in read_tracks(path).items():
                found[frame + camera * CAMERA_STEP] = [(number + own, box) for number, box in rows]
        self._folder.cleanup()
        return found

    def share_embedded(self) -> float:
        """Of all boxes that belong to tracks; 1 for trackers that need every embedding, 0 for those that need none."""
        if isinstance(self.trackers[0], Ours):
            return sum(t.embedded for t in self.trackers) / max(sum(t.boxes for t in self.trackers), 1)
        return float(isinstance(self.trackers[0], DeepSort))
