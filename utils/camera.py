"""Frames from wherever they come: a CSI or USB camera, a network stream, a video file, a folder of pictures."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import cv2
import numpy as np

from utils.options import InputError

PICTURES = (".jpg", ".jpeg", ".png", ".bmp")
TEGRA_RELEASE = "/etc/nv_tegra_release"
PICTURE_RATE = 10.0  # frames a second that a folder of pictures is taken for
LIVE_RATE = 30.0  # and a camera that does not tell its own


def default_source() -> str:
    """The camera that is most likely there: on a Jetson the CSI one."""
    return "csi://0" if os.path.exists(TEGRA_RELEASE) else "0"


def csi_pipeline(sensor: int, width: int = 1280, height: int = 720, rate: int = 30, flip: int = 0) -> str:
    """The GStreamer pipeline for a Jetson's CSI camera; its end keeps the newest frame only, so no lag builds up."""
    return (
        f"nvarguscamerasrc sensor-id={sensor} ! video/x-raw(memory:NVMM), width={width}, height={height}, format=NV12, "
        f"framerate={rate}/1 ! nvvidconv flip-method={flip} ! "
        f"video/x-raw, width={width}, height={height}, format=BGRx ! "
        "videoconvert ! video/x-raw, format=BGR ! appsink drop=true max-buffers=1 sync=false"
    )


def rtsp_pipeline(url: str) -> str:
    """The GStreamer pipeline for an H.264 network camera on a Jetson, decoded by its own hardware."""
    return (
        f'rtspsrc location="{url}" latency=200 ! rtph264depay ! h264parse ! nvv4l2decoder enable-max-performance=1 ! '
        "nvvidconv ! video/x-raw, format=BGRx ! videoconvert ! video/x-raw, format=BGR ! "
        "appsink drop=true max-buffers=1 sync=false"
    )


def has_gstreamer() -> bool:
    """Whether this OpenCV was built with GStreamer; pip's never is."""
    lines = cv2.getBuildInformation().splitlines()
    return any("GStreamer:" in line and "YES" in line for line in lines)


class Camera:
    """Iterates over frames (H, W, 3) uint8 BGR, all of the size of the first; in a `with` it is released at the end.

    height and width in pixels; rate: frames a second; length: how many frames there are, None where nobody knows;
    live: whether what is not read in time is lost.
    """

    def __init__(self, source: str):
        """source: csi://0, 0, /dev/video0, rtsp://..., http(s)://..., a video file or a folder of pictures."""
        self.source = str(source)
        self.length = None
        self.live = True
        self._capture = None
        self._paths = None
        self._first = self._open()
        self.height, self.width = self._first.shape[:2]

    def _open(self) -> np.ndarray:
        source = self.source
        if source.startswith("csi://"):
            return self._open_csi(source)
        if source.isdigit() or source.startswith("/dev/video"):
            return self._open_usb(source)
        if "://" in source:
            return self._open_stream(source)
        path = Path(source)
        if path.is_dir() or path.suffix.lower() in PICTURES:
            return self._open_pictures(path)
        if not path.is_file():
            raise InputError(f"there is no source {source}: name a camera (0, csi://0), a URL, a video or a folder")
        return self._open_file(path)

    def _open_csi(self, source: str) -> np.ndarray:
        sensor = source[len("csi://") :]
        if not sensor.isdigit():
            raise InputError(f"{source} names no CSI camera: the first one is csi://0")
        if not has_gstreamer():
            raise InputError(
                f"{source} needs an OpenCV with GStreamer, as JetPack brings it; OpenCV {cv2.__version__} here has none"
                " (pip's never has): uninstall pip's opencv-python on a Jetson, or take a USB camera with --source 0"
            )
        remedy = "check its cable; if another program was ended hard: sudo systemctl restart nvargus-daemon"
        return self._start(csi_pipeline(int(sensor)), cv2.CAP_GSTREAMER, f"no camera at {source}: {remedy}")

    def _open_usb(self, source: str) -> np.ndarray:
        number = source[len("/dev/video") :] if source.startswith("/dev/video") else source
        if not number.isdigit():
            raise InputError(f"{source} names no camera: the first one is 0 or /dev/video0")
        device = f"/dev/video{number}"
        if sys.platform.startswith("linux") and not os.path.exists(device):
            there = sorted(str(path) for path in Path("/dev").glob("video*"))
            raise InputError(
                f"no camera at {device} ({'there is ' + ', '.join(there) if there else 'there is none at all'}):"
                " plug one in, or name a video file with --source"
            )
        return self._start(
            int(number), cv2.CAP_ANY, f"the camera {device} gives no picture: is another program using it?"
        )

    def _open_stream(self, source: str) -> np.ndarray:
        refusal = f"no picture from {source}: is the address right, and the camera on?"
        if source.startswith("rtsp://") and os.path.exists(TEGRA_RELEASE) and has_gstreamer():
            return self._start(rtsp_pipeline(source), cv2.CAP_GSTREAMER, refusal)
        return self._start(source, cv2.CAP_ANY, refusal)

    def _open_file(self, path: Path) -> np.ndarray:
        self.live = False
        frame = self._start(
            str(path), cv2.CAP_ANY, f"{path} cannot be decoded as a video: convert it to mp4, or copy it again"
        )
        length = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.length = length if length > 0 else None
        return frame

    def _open_pictures(self, place: Path) -> np.ndarray:
        self.live, self.rate = False, PICTURE_RATE
        self._paths = [place]
        if place.is_dir():
            self._paths = sorted(path for path in place.iterdir() if path.suffix.lower() in PICTURES)
        if not self._paths:
            raise InputError(f"{place} holds no pictures ({', '.join(PICTURES)}): name another folder or a video")
        self.length = len(self._paths)
        return self._picture(self._paths[0])

    def _start(self, what, backend: int, refusal: str) -> np.ndarray:
        """Opens a capture and reads the first frame, since many a camera opens and then gives nothing."""
        capture = cv2.VideoCapture(what, backend)
        read, frame = capture.read() if capture.isOpened() else (False, None)
        if not read or frame is None or not frame.size:
            capture.release()
            raise InputError(refusal)
        self._capture = capture
        rate = capture.get(cv2.CAP_PROP_FPS)
        self.rate = rate if 1 <= rate <= 240 else LIVE_RATE  # 0, nan and 90000 are what unknown looks like
        return _three_channels(frame)

    def _picture(self, path: Path) -> np.ndarray:
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if picture is None:
            raise InputError(f"{path} cannot be read as a picture: remove it, or copy it again")
        return picture

    def __iter__(self):
        frame, self._first = self._first, None
        if frame is not None:
            yield frame
        for frame in self._rest():
            if frame.shape[:2] != (self.height, self.width):
                frame = cv2.resize(frame, (self.width, self.height), interpolation=cv2.INTER_LINEAR)
            yield frame

    def _rest(self):
        if self._paths is not None:
            for path in self._paths[1:]:
                yield self._picture(path)
            return
        while self._capture is not None:
            read, frame = self._capture.read()
            if not read:
                return
            if frame is not None and frame.size:
                yield _three_channels(frame)

    def release(self) -> None:
        """Lets go of the device; a CSI camera that is not released stays blocked until its daemon is restarted."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.release()


def _three_channels(frame: np.ndarray) -> np.ndarray:
    if frame.ndim == 2:
        return cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR)
    return cv2.cvtColor(frame, cv2.COLOR_BGRA2BGR) if frame.shape[2] == 4 else frame
