"""The files that the demo writes whole or not at all: a video of all cameras, and a tracks file per camera."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from utils.errors import InputError
from utils.files import AtomicFile
from utils.live.draw import side_by_side
from utils.live.tracks_file import TracksFile

CODECS = {".mp4": "mp4v", ".avi": "MJPG"}


class VideoFile:
    """An mp4 or avi video. For a live source, frames are repeated or skipped so that the video keeps true time."""

    def __init__(self, target, size: tuple, fps: float, live: bool):
        """size: (width, height) in pixels; fps: frames per second of the video. InputError if it cannot be written."""
        suffix = Path(target).suffix.lower()
        if suffix not in CODECS:
            raise InputError(f"{target}: name a video that ends in {' or '.join(CODECS)}")
        self.frames = 0  # written so far
        self._fps = fps
        self._live = live
        self._file = AtomicFile(target)
        self._writer = cv2.VideoWriter(str(self._file.path), cv2.VideoWriter_fourcc(*CODECS[suffix]), fps, size)
        if not self._writer.isOpened():
            self._file.discard()
            raise InputError(f"{target}: this OpenCV cannot write {suffix} videos; try {' or '.join(CODECS)}")

    def write(self, frame: np.ndarray, seconds: float) -> None:
        """frame: (H, W, 3) uint8 BGR; seconds: time since the start of the recording, for a live source."""
        copies = 1
        if self._live:
            copies = max(int(seconds * self._fps) + 1 - self.frames, 0)
        for _ in range(copies):
            self._writer.write(frame)
        self.frames += copies

    def commit(self) -> None:
        self._writer.release()
        self._file.commit()

    def discard(self) -> None:
        self._writer.release()
        self._file.discard()


class Outputs:
    """The video of all cameras and the tracks file of each, if they are requested.

    In a `with`, the files are committed at the end of the block and discarded after an exception.
    """

    def __init__(self, cameras, video=None, tracks=None):
        """cameras: of the Camera class; video, tracks: paths, None for no such file."""
        self._cameras = cameras
        self._video = None
        self._tracks = []
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
        if self._video is not None:
            self._video.write(image, seconds)

    def write_tracks(self, results) -> None:
        """results: a FrameResult per camera, or None. A file that starts again is recorded once."""
        for tracks, camera, result in zip(self._tracks, self._cameras, results):
            if result is not None and not camera.repeats:
                tracks.write(camera.frame_number, camera.seconds, result)

    def commit(self) -> None:
        try:
            for file in self._files():
                file.commit()
        except InputError:
            self.discard()  # of those that are not committed yet
            raise

    def discard(self) -> None:
        for file in self._files():
            file.discard()

    def _files(self) -> list:
        return [*self._tracks] if self._video is None else [self._video, *self._tracks]

    def __enter__(self) -> Outputs:
        return self

    def __exit__(self, kind, *_) -> None:
        if kind is None:
            self.commit()
        else:
            self.discard()


def tracks_paths(path, cameras: int) -> list:
    """The tracks file of each camera: tracks.txt, or tracks-0.txt, tracks-1.txt, ... for several cameras."""
    path = Path(path)
    if cameras == 1:
        return [path]
    return [path.with_name(f"{path.stem}-{index}{path.suffix}") for index in range(cameras)]
