"""The files that the demo writes whole or not at all: a video of all cameras, and a tracks file per camera."""

from __future__ import annotations

import contextlib
import sys
import threading
from pathlib import Path
from queue import Queue

import cv2
import numpy as np

from utils.errors import InputError, first_line
from utils.files import AtomicFile, WriteError, room_for
from utils.live.draw import side_by_side
from utils.live.tracks_file import TracksFile

CODECS = {".mp4": "mp4v", ".avi": "MJPG"}
SPARE = 2**18  # bytes of room that the end of a video takes: what is still in memory, and the index's first part
INDEX = 64  # bytes of room that the index takes for each frame
QUEUED = 8  # frames of a video that may wait to be compressed


class VideoFile:
    """An mp4 or avi video. For a live source, frames are repeated or skipped so that the video keeps true time.

    A thread of its own compresses the frames, so that the camera loop waits only if QUEUED frames are behind.
    """

    def __init__(self, target, size: tuple, fps: float, live: bool):
        """size: (width, height) in pixels; fps: frames per second of the video. InputError if it cannot be written."""
        suffix = Path(target).suffix.lower()
        if suffix not in CODECS:
            raise InputError(f"{target}: name a video that ends in {' or '.join(CODECS)}")
        self.frames = 0  # handed over so far
        self._fps = fps
        self._live = live
        self._file = AtomicFile(target)
        self._queue = Queue(QUEUED)  # frames that wait; None at the end
        self._lost = []  # the errors of frames that could not be compressed
        self._frame_bytes = size[0] * size[1] * 3  # more than any codec makes of a frame
        if self._room() < self._frame_bytes:
            self._file.discard()
            raise WriteError(f"{target} cannot be written (the disk is full): make room, or name another place")
        self._writer = cv2.VideoWriter(str(self._file.path), cv2.VideoWriter_fourcc(*CODECS[suffix]), fps, size)
        if not self._writer.isOpened():
            self._file.discard()
            raise InputError(f"{target}: this OpenCV cannot write {suffix} videos; try {' or '.join(CODECS)}")
        self._thread = threading.Thread(target=self._compress, daemon=True)
        self._thread.start()

    def _compress(self) -> None:
        while True:
            frame = self._queue.get()
            if frame is None:
                return
            try:
                self._writer.write(frame)
            except Exception as error:  # the camera goes on, and `commit` says what is missing
                self._lost.append(error)
            self._queue.task_done()

    def _close(self) -> None:
        """Waits until all frames are written."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()
        self._writer.release()

    def _room(self) -> int:
        """Bytes for further frames, without those of waiting frames and those that the end of the video takes."""
        waiting = self._frame_bytes * self._queue.unfinished_tasks
        return room_for(self._file.path) - SPARE - INDEX * self.frames - waiting

    def write(self, frame: np.ndarray, seconds: float) -> None:
        """frame: (H, W, 3) uint8 BGR; seconds: time since the start of the recording, for a live source."""
        copies = 1
        if self._live:
            copies = max(int(seconds * self._fps) + 1 - self.frames, 0)
        frame = frame.copy() if copies else frame  # the window's caption is drawn on it later
        for _ in range(copies):
            if self._room() < self._frame_bytes:  # OpenCV would go on and leave a file that nothing opens
                raise WriteError(f"{self.target} cannot grow (the disk is full): make room")
            self._queue.put(frame)
            self.frames += 1

    @property
    def target(self):
        return self._file.target

    def commit(self, target=None) -> None:
        """WriteError, and the old file stays, if the video cannot be opened again: OpenCV reports no error itself.

        target: another name for the file.
        """
        self._close()
        if self.frames and not _can_be_opened(self._file.path):
            self._file.discard()
            raise WriteError(f"{self.target} could not be completed (is the disk full?): make room")
        if self._lost:
            reason = first_line(self._lost[0])
            print(f"note: {len(self._lost)} frames of {self.target} could not be written ({reason})", file=sys.stderr)
        self._file.commit(target)

    def discard(self) -> None:
        self._close()
        self._file.discard()


def _can_be_opened(path) -> bool:
    video = cv2.VideoCapture(str(path))
    try:
        return video.isOpened() and video.read()[0]
    finally:
        video.release()


class Outputs:
    """The video of all cameras and the tracks file of each, if they are requested.

    In a `with`, the files are committed at the end of the block. After an error or Ctrl-C, what was recorded so far is
    kept, and that is said.
    """

    def __init__(self, cameras, video=None, tracks=None):
        """cameras: of the Camera class; video, tracks: paths, None for no such file."""
        self._cameras = cameras
        self._video = None
        self._tracks = []
        self._is_empty = True
        try:
            if video:
                canvas = side_by_side([np.zeros((camera.height, camera.width, 3), np.uint8) for camera in cameras])
                fps = max(camera.fps for camera in cameras)
                live = any(camera.live for camera in cameras)
                self._video = VideoFile(video, canvas.shape[1::-1], fps, live)
            if tracks:
                for path, camera in zip(tracks_paths(tracks, len(cameras)), cameras):
                    self._tracks.append(TracksFile(path, (camera.width, camera.height)))
        except InputError:
            self.discard()
            raise

    def write_video(self, image: np.ndarray, seconds: float) -> None:
        """image: (H, W, 3) uint8 BGR of all cameras; seconds: time since the start."""
        self._is_empty = False
        if self._video is not None:
            self._video.write(image, seconds)

    def write_tracks(self, results) -> None:
        """results: a FrameResult per camera, or None. A file that starts again is recorded once."""
        for tracks, camera, result in zip(self._tracks, self._cameras, results):
            if result is not None and not camera.repeats:
                self._is_empty = False
                tracks.write(camera.frame_number, camera.seconds, result)

    def commit(self) -> None:
        """Commits all files, also if one of them fails; its error is raised at the end."""
        failed = None
        for file in self._files():
            try:
                file.commit()
            except InputError as error:
                file.discard()
                failed = failed or error
        if failed:
            raise failed

    def _keep(self) -> list:
        """Commits what can be completed; returns the paths that are kept.

        An older file of that name stays: it may be whole, which the new one is not.
        """
        kept = []
        for file in self._files():
            target = file.target
            if target.exists():
                target = target.with_name(f"{target.stem}-unfinished{target.suffix}")
            for _ in range(2):  # a tracks file without room for its last lines succeeds the second time
                with contextlib.suppress(InputError):
                    file.commit(target)
                    kept.append(str(target))
                    break
            else:
                file.discard()
        return kept

    def discard(self) -> None:
        for file in self._files():
            file.discard()

    def _files(self) -> list:
        return [*self._tracks] if self._video is None else [self._video, *self._tracks]

    def __enter__(self) -> Outputs:
        return self

    def __exit__(self, kind, error, traceback) -> None:
        if kind is None:
            self.commit()
        elif self._is_empty:
            self.discard()
        elif self._files():
            note = f"what was recorded so far is kept in {', '.join(self._keep()) or 'no file'}"
            if isinstance(error, InputError):
                raise kind(f"{error}; {note}") from None
            print(f"note: {note}", file=sys.stderr)


def tracks_paths(path, cameras: int) -> list:
    """The tracks file of each camera: tracks.txt, or tracks-0.txt, tracks-1.txt, ... for several cameras."""
    path = Path(path)
    if cameras == 1:
        return [path]
    return [path.with_name(f"{path.stem}-{index}{path.suffix}") for index in range(cameras)]
