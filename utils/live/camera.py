"""Frames from any source: a CSI or USB camera, a network stream, a video file, a folder of images."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import cv2
import numpy as np

from utils.device import is_jetson
from utils.errors import InputError
from utils.image_files import read_bgr
from utils.live import sources
from utils.live.latest_frame import LatestFrame
from utils.live.recordings import and_others, explain_no_video, find_images

FOLDER_FPS = 10.0  # assumed for a folder of images
MOST_MISSED = 1000  # frames of a video in a row that cannot be decoded, after which it counts as ended
GUESSED_SIZE = (1280, 720)  # width and height assumed for a camera that gives no frame yet
LIVE_FPS = 30.0  # assumed for a camera or video that does not report its own
# nvvidconv's flip methods in OpenCV's terms. The comments on the diagonal ones name the corners that stay in place.
FLIPS = {
    0: lambda frame: frame,
    1: lambda frame: cv2.rotate(frame, cv2.ROTATE_90_COUNTERCLOCKWISE),
    2: lambda frame: cv2.rotate(frame, cv2.ROTATE_180),
    3: lambda frame: cv2.rotate(frame, cv2.ROTATE_90_CLOCKWISE),
    4: lambda frame: cv2.flip(frame, 1),  # left becomes right
    5: lambda frame: cv2.flip(cv2.transpose(frame), -1),  # upper right and lower left
    6: lambda frame: cv2.flip(frame, 0),  # top becomes bottom
    7: cv2.transpose,  # upper left and lower right
}


def default_source() -> str:
    """The camera that is most likely present: on a Jetson the CSI camera, elsewhere the USB camera."""
    return "csi://0" if is_jetson() else "0"


class Camera:
    """Frames (H, W, 3) uint8 BGR, all of the size of the first one. In a `with` the source is released at the end.

    Attributes:
        source: as given; name: the same for display, a file without its folder and a URL without its password.
        height, width: pixels, after the flip; fps: frames per second that are given, of a file fewer with `every`.
        length: number of frames that will be given, None if unknown; every: as given.
        live: whether frames that are not read in time are lost; ended: whether no frame will ever come again.
        frame_number: of the newest frame that was read, from 1; of a file its place there, of a live source the count.
        repeats: how often a file has started again; seconds: time of that frame, in a file at its fps.
        waiting: whether a live source has not given a frame yet.
        unreadable: number of frames of a file that could not be decoded and were stepped over.
    """

    def __init__(
        self, source, width=None, height=None, fps=None, flip_method: int = 0, loop=False, patient=False, every: int = 1
    ):
        """Opens the source and waits for its first frame; InputError with the remedy if there is none.

        source: csi://0, 0, /dev/video0, rtsp://..., http(s)://..., a video, a folder or a pattern of images.
        width, height: pixels before the flip, requested from a CSI or USB camera; other frames are resized to them.
        fps: frames per second, requested from a camera, and assumed for a folder of images.
        flip_method: nvvidconv's: 0 none, 1 a quarter turn counterclockwise, 2 half a turn, 3 a quarter turn clockwise,
            4 left-right, 6 top-bottom, 5 and 7 over the diagonals through the upper right and the upper left corner.
        loop: whether a file or folder starts again at its end; it then has no length.
        patient: whether a live source that gives no frame is tried again, while others run. Its frames are then fitted
            into the size that was requested, or into GUESSED_SIZE, with black sides.
        every: of a file only frames 1, 1 + every, 1 + 2 * every, ... are given.
        """
        if (width is None) != (height is None):
            raise InputError("give both a width and a height in pixels, or neither")
        if flip_method not in FLIPS:
            raise InputError(f"flip method {flip_method} does not exist: give 0 to 7, as for nvvidconv")
        self.source = str(source)
        self.length = None
        self.ended = False
        self.frame_number = 0
        self.repeats = 0
        self.unreadable = 0
        self.waiting = False
        self._patient = patient
        self._sides = False  # whether frames of another shape get black sides
        self.every = every
        self.seconds = 0.0
        self._latest = None  # the LatestFrame of a live source
        self._frames = None  # the iterator of a file
        self._first = None  # a frame that was read to learn its size
        self._period = None  # frames until a file starts again, None before it did
        self._size = (width, height) if width else None
        self._flip = flip_method
        live = sources.live_source(self.source, width, height, fps, flip_method)
        self.live = live is not None
        self.name = self._short_name()
        if self.live and every > 1:
            raise InputError(
                f"--every {every} is for files, and {self.name} is live, of which the newest frame is taken"
            )
        try:
            frame = self._open_live(live, fps) if live else self._open_file(fps, loop)
            self.height, self.width = self._transformed(frame).shape[:2]
        except BaseException:  # Ctrl-C too: a camera that waits for its first frame is already open
            self.release()
            raise

    def _short_name(self) -> str:
        if "://" in self.source:
            return sources.without_password(self.source)
        return self.source if self.live else Path(self.source).name or self.source

    def _open_live(self, live: sources.LiveSource, fps) -> np.ndarray:
        """Starts the reading thread; returns the first frame, without taking it."""
        self._latest = LatestFrame(self.name, live.openings, self._patient)
        frame = self._latest.first()
        if frame is None and self._patient:
            return self._wait_for(live, fps)
        if frame is None:
            self.release()  # before the explanation, which may look for other users of the device
            raise InputError(live.explain())
        if live.sized:
            size = frame.shape[1::-1]
            if self._size not in (None, size) and not live.flipped:
                wanted = f"{self._size[0]}x{self._size[1]}"
                print(f"note: {self.name} gives {size[0]}x{size[1]}, not {wanted}", file=sys.stderr)
            self._size = None
        if live.flipped:
            self._flip = 0
        self.fps = _plausible_fps(self._latest.fps, fps or LIVE_FPS)
        return frame

    def _wait_for(self, live: sources.LiveSource, fps) -> np.ndarray:
        """Says once that there is no frame yet; returns a black one of the size to expect."""
        print(
            f"note: {live.explain()}; the other cameras run, and this one is tried again", file=sys.stderr, flush=True
        )
        self.waiting = True
        self._sides = True
        width, height = self._size or GUESSED_SIZE
        self._size = None
        self.fps = fps or LIVE_FPS
        return np.zeros((height, width, 3), np.uint8)

    def _open_file(self, fps, loop: bool) -> np.ndarray:
        """Opens a video, a URL of a video, or images; returns the first frame and keeps it for `read`."""
        paths = None if "://" in self.source else find_images(self.source)
        self.fps = (FOLDER_FPS if fps is None else float(fps)) / self.every
        if paths is not None and not loop:
            self.length = self._given(len(paths))
        self._frames = self._read_file(paths, loop)
        self._first = self._next_frame()
        if self._first is None:
            if "://" in self.source:
                raise InputError(sources.explain_no_stream(self.source))
            if paths is not None:
                raise InputError(f"{paths[0]} cannot be read as an image{and_others(paths)}: copy it again")
            raise InputError(explain_no_video(self.source))
        return self._first

    def _read_file(self, paths, loop: bool):
        """Yields the frames of the images, or of the video if `paths` is None; with `loop` again and again.

        A frame that cannot be decoded is None.
        """
        while True:
            count = 0
            readable = 0
            for frame in self._read_video(loop) if paths is None else map(read_bgr, paths):
                count += 1
                readable += frame is not None
                yield frame
            self._period = count
            if not loop or not readable:
                return

    def _read_video(self, loop: bool):
        """Yields the frames of a video once, and sets fps and length."""
        capture = sources.open_url(self.source) if "://" in self.source else cv2.VideoCapture(self.source, cv2.CAP_ANY)
        try:
            self.fps = _plausible_fps(capture.get(cv2.CAP_PROP_FPS), LIVE_FPS) / self.every
            length = capture.get(cv2.CAP_PROP_FRAME_COUNT)
            self.length = self._given(int(length)) if length > 0 and not loop else None
            place = 0
            missed = 0  # frames in a row that could not be decoded
            while capture.isOpened():
                read, frame = capture.read()
                if read and frame is not None:
                    yield from [None] * missed
                    place += missed + 1
                    missed = 0
                    yield frame
                    continue
                missed += 1
                if missed > MOST_MISSED or place + missed > length:
                    return
        finally:
            capture.release()

    def read(self, timeout: float | None = None):
        """The next frame of a file, or the newest unread frame of a live source; (H, W, 3) uint8 BGR.

        None at the end of a file, and if a live source has no new frame within `timeout` seconds. Without a timeout it
        waits as long as the source is silent.
        """
        if self.ended:
            return None
        if self._latest is not None:
            frame = self._latest.take(timeout)
            if frame is None:
                return None
            self.waiting = False
            self.frame_number += 1
            self.seconds = time.monotonic()
            return self._fitted(frame)
        frame = self._first
        self._first = None
        if frame is None:
            frame = self._next_frame()
        if frame is None:
            self.ended = True
            return None
        return self._fitted(frame)

    def _next_frame(self):
        """The next frame of a file that is to be given and can be decoded; None at its end. Notes its place."""
        for frame in self._frames:
            self._count_frame()
            if (self.frame_number - 1) % self.every:
                continue
            if frame is not None:
                return frame
            self.unreadable += 1
        return None

    def _count_frame(self) -> None:
        """Moves the place in a file on by one frame."""
        if self.frame_number == self._period:
            self.frame_number = 0
            self.repeats += 1
        self.frame_number += 1
        self.seconds += 1 / (self.fps * self.every)

    def _given(self, frames: int) -> int:
        """How many of so many frames are given."""
        return -(-frames // self.every)

    @property
    def silent_for(self) -> float:
        """Seconds since the last frame of a live source came; 0 for a file."""
        return self._latest.silent_for if self._latest is not None else 0.0

    def __iter__(self):
        frame = self.read()
        while frame is not None:
            yield frame
            frame = self.read()

    def _transformed(self, frame: np.ndarray) -> np.ndarray:
        """In three channels, resized if a size was requested, then flipped."""
        frame = _three_channels(frame)
        if self._size and frame.shape[1::-1] != self._size:
            frame = cv2.resize(frame, self._size, interpolation=cv2.INTER_LINEAR)
        return FLIPS[self._flip](frame)

    def _fitted(self, frame: np.ndarray) -> np.ndarray:
        """Transformed, and resized to the size of the first frame."""
        frame = self._transformed(frame)
        if self._sides:
            frame = _with_sides(frame, self.height, self.width)
        if frame.shape[:2] != (self.height, self.width):
            frame = cv2.resize(frame, (self.width, self.height), interpolation=cv2.INTER_LINEAR)
        return frame

    def release(self) -> None:
        """Closes the source, within seconds even if it hangs; there are no frames after that.

        A CSI camera that is not released stays blocked until its daemon is restarted.
        """
        self.ended = True
        if self._latest is not None:
            self._latest.release()
        if self._frames is not None:
            self._frames.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.release()


def _with_sides(frame: np.ndarray, height: int, width: int) -> np.ndarray:
    """A frame with black sides, so that it has the proportions of (height, width)."""
    across = max(round(frame.shape[0] * width / height) - frame.shape[1], 0)
    down = max(round(frame.shape[1] * height / width) - frame.shape[0], 0)
    edges = (down // 2, down - down // 2, across // 2, across - across // 2)
    return cv2.copyMakeBorder(frame, *edges, cv2.BORDER_CONSTANT)


def _plausible_fps(fps: float, default: float) -> float:
    """fps, or the default for 0, nan or 90000, which captures report if they do not know; a video may have 0.5."""
    return fps if 0.01 <= fps <= 240 else default


def _three_channels(frame: np.ndarray) -> np.ndarray:
    if frame.ndim == 2:
        return cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR)
    return cv2.cvtColor(frame, cv2.COLOR_BGRA2BGR) if frame.shape[2] == 4 else frame
