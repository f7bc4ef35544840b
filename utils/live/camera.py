"""Frames from wherever they come: a CSI or USB camera, a network stream, a video file, a folder of pictures."""

from __future__ import annotations

import glob
import re
import sys
from pathlib import Path

import cv2
import numpy as np

from utils.device import is_jetson
from utils.errors import InputError
from utils.live import gstreamer, sources
from utils.live.latest_frame import NewestFrame

PICTURES = (".jpg", ".jpeg", ".png", ".bmp")
PICTURE_RATE = 10.0  # frames a second that a folder of pictures is taken for, unless told otherwise
LIVE_RATE = 30.0  # and a camera that does not tell its own
# What nvvidconv's flip-method does, in OpenCV's words. "Diagonal" names the corner that stays where it is.
FLIPS = {
    0: lambda frame: frame,
    1: lambda frame: cv2.rotate(frame, cv2.ROTATE_90_COUNTERCLOCKWISE),
    2: lambda frame: cv2.rotate(frame, cv2.ROTATE_180),
    3: lambda frame: cv2.rotate(frame, cv2.ROTATE_90_CLOCKWISE),
    4: lambda frame: cv2.flip(frame, 1),  # left becomes right
    5: lambda frame: cv2.flip(cv2.transpose(frame), -1),  # the upper right and the lower left corner stay
    6: lambda frame: cv2.flip(frame, 0),  # top becomes bottom
    7: cv2.transpose,  # the upper left and the lower right corner stay
}


def default_source() -> str:
    """The camera that is most likely there: on a Jetson the CSI one."""
    return "csi://0" if is_jetson() else "0"


class Camera:
    """Frames (H, W, 3) uint8 BGR, all of the size of the first; in a `with` the source is released at the end.

    source: as given; name: the same, fit to be shown: a file without its folder, a URL without its password;
    height and width in pixels, after the flip; rate: frames a second; length: how many frames there are, None where
    nobody knows; live: whether what is not read in time is lost; ended: whether nothing will ever come any more.
    """

    def __init__(self, source, width=None, height=None, rate=None, flip: int = 0, loop: bool = False):
        """Opens the source and waits for its first frame; an InputError names what is wrong and the remedy.

        source: csi://0, 0, /dev/video0, rtsp://..., http(s)://..., a video, a folder or a pattern of pictures.
        width, height: pixels, asked of a CSI or USB camera, and what all else is resized to; before the flip.
        rate: frames a second, asked of a camera, and what a folder of pictures is taken for.
        flip: as nvvidconv's flip-method: 0 none, 1 a quarter turn counterclockwise, 2 half a turn, 3 a quarter turn
            clockwise, 4 left-right, 6 top-bottom, 5 and 7 over the diagonals from the upper right and the upper left.
        loop: a file or folder starts again at its end, so that it has no length.
        """
        if (width is None) != (height is None):
            raise InputError("a width goes with a height: give both, in pixels, or none")
        if flip not in FLIPS:
            raise InputError(f"flip {flip} is none of 0 to 7, nvvidconv's flip-methods")
        self.source, self.length, self.ended = str(source), None, False
        self._reader, self._frames, self._first = None, None, None
        self._size, self._flip = (width, height) if width else None, flip
        live = sources.live_source(self.source, width, height, rate, flip)
        self.live = live is not None
        self.name = self._short_name()
        try:
            frame = self._open_live(live, rate) if live else self._open_file(rate, loop)
            self.height, self.width = self._turned(frame).shape[:2]
        except BaseException:  # Ctrl-C too: a camera that waits for its first frame is already held
            self.release()
            raise

    def _short_name(self) -> str:
        if "://" in self.source:
            return sources.without_password(self.source)
        return self.source if self.live else Path(self.source).name or self.source

    def _open_live(self, live, rate) -> np.ndarray:
        self._reader = NewestFrame(self.name, live.openings)
        frame = self._reader.first()
        if frame is None:
            self.release()  # before the question who holds the device
            raise InputError(live.refusal())
        if live.turned:
            self._flip = 0
        if live.sized:
            if self._size not in (None, frame.shape[1::-1]) and not live.turned:
                given = f"{frame.shape[1]}x{frame.shape[0]}"
                print(f"note: {self.name} gives {given}, not {self._size[0]}x{self._size[1]}", file=sys.stderr)
            self._size = None
        self.rate = _sane_rate(self._reader.rate, rate or LIVE_RATE)
        return frame

    def _open_file(self, rate, loop: bool) -> np.ndarray:
        paths = None if "://" in self.source else find_pictures(self.source)
        self.rate = PICTURE_RATE if rate is None else float(rate)
        if paths is not None and not loop:
            self.length = len(paths)
        self._frames = self._again(paths, loop)
        self._first = next(self._frames, None)
        if self._first is None:
            raise InputError(self._no_frame())
        return self._first

    def _no_frame(self) -> str:
        if "://" in self.source:
            return sources.no_stream_picture(self.source)
        return f"{self.source} cannot be decoded as a video: convert it to mp4, or copy it again"

    def _again(self, paths, loop: bool):
        """Yields the frames of the pictures or of the video; of `loop` again and again, as long as there are any."""
        while True:
            any_frame = False
            for frame in self._film(loop) if paths is None else map(_picture, paths):
                any_frame = True
                yield frame
            if not (loop and any_frame):
                return

    def _film(self, loop: bool):
        capture = sources.open_url(self.source) if "://" in self.source else cv2.VideoCapture(self.source, cv2.CAP_ANY)
        try:
            self.rate = _sane_rate(capture.get(cv2.CAP_PROP_FPS), LIVE_RATE)
            length = capture.get(cv2.CAP_PROP_FRAME_COUNT)
            self.length = int(length) if length > 0 and not loop else None
            read, frame = capture.read() if capture.isOpened() else (False, None)
            while read and frame is not None:
                yield frame
                read, frame = capture.read()
        finally:
            capture.release()

    def read(self, timeout: float | None = None):
        """The next frame of a file, the newest frame of a live source that was not read before; (H, W, 3) uint8 BGR.

        None at the end of a file, and if a live source has no new frame within `timeout` seconds; without a timeout
        it is waited for, for as long as the source is silent.
        """
        if self.ended:
            return None
        if self._reader is not None:
            frame = self._reader.take(timeout)
            return None if frame is None else self._fitted(frame)
        frame, self._first = self._first, None
        if frame is None:
            frame = next(self._frames, None)
        if frame is None:
            self.ended = True
            return None
        return self._fitted(frame)

    @property
    def silent_for(self) -> float:
        """Seconds since the last frame of a live source came; 0 for a file."""
        return self._reader.silent_for if self._reader is not None else 0.0

    def __iter__(self):
        frame = self.read()
        while frame is not None:
            yield frame
            frame = self.read()

    def _turned(self, frame: np.ndarray) -> np.ndarray:
        """In three channels, resized if that was asked for, then flipped."""
        frame = _three_channels(frame)
        if self._size and frame.shape[1::-1] != self._size:
            frame = cv2.resize(frame, self._size, interpolation=cv2.INTER_LINEAR)
        return FLIPS[self._flip](frame)

    def _fitted(self, frame: np.ndarray) -> np.ndarray:
        frame = self._turned(frame)
        if frame.shape[:2] != (self.height, self.width):
            frame = cv2.resize(frame, (self.width, self.height), interpolation=cv2.INTER_LINEAR)
        return frame

    def release(self) -> None:
        """Lets go of the source, in seconds even if it hangs; nothing comes after that.

        A CSI camera that is not released stays blocked until its daemon is started again.
        """
        self.ended = True
        if self._reader is not None:
            self._reader.release()
        if self._frames is not None:
            self._frames.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.release()


def find_pictures(source: str):
    """The pictures of a folder or of a pattern, or a single one, 2.jpg before 10.jpg; None for a video file.

    A pattern is "walk/*.jpg", or walk/%04d.jpg as FFmpeg writes it. Raises InputError where there is nothing.
    """
    place = Path(source)
    if place.is_file():
        return [place] if place.suffix.lower() in PICTURES else None
    if place.is_dir():
        found = place.iterdir()
        nothing = f"{place} holds no pictures ({', '.join(PICTURES)}): name another folder or a video"
    else:
        pattern = re.sub(r"%0(\d+)d", lambda digits: "[0-9]" * int(digits[1]), source).replace("%d", "[0-9]*")
        if not glob.has_magic(pattern):
            raise InputError(f"there is no source {source}: name a camera (0, csi://0), a URL, a video or a folder")
        found = map(Path, glob.glob(pattern, recursive=True))
        nothing = f'no picture ({", ".join(PICTURES)}) matches {source}: put a pattern in quotes, "walk/*.jpg"'
    pictures = [path for path in found if path.suffix.lower() in PICTURES]
    if not pictures:
        raise InputError(nothing)
    return sorted(pictures, key=_natural_order)


def _natural_order(path: Path) -> list:
    words = re.split(r"(\d+)", str(path))  # text and numbers in turn
    return [int(word) if place % 2 else word.lower() for place, word in enumerate(words)] + [str(path)]


def _picture(path: Path) -> np.ndarray:
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise InputError(f"{path} cannot be read as a picture: remove it, or copy it again")
    return picture


def _sane_rate(rate: float, otherwise: float) -> float:
    return rate if 1 <= rate <= 240 else otherwise  # 0, nan and 90000 are what unknown looks like


def _three_channels(frame: np.ndarray) -> np.ndarray:
    if frame.ndim == 2:
        return cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR)
    return cv2.cvtColor(frame, cv2.COLOR_BGRA2BGR) if frame.shape[2] == 4 else frame
