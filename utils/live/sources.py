"""Live sources: how a CSI camera, a USB camera and a network stream are opened, and what to do if that fails."""

from __future__ import annotations

import http.client
import os
import re
import socket
import sys
import urllib.request
from pathlib import Path
from typing import Callable, NamedTuple
from urllib.parse import urlsplit

import cv2

from utils.device import is_jetson
from utils.errors import InputError
from utils.live import gstreamer, latest_frame

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # FFmpeg would print lines at every attempt to reconnect
OPEN_SECONDS = 10.0  # for a network stream to answer; OpenCV's own limit is 30
PROBE_SECONDS = 3.0  # to find out whether anything answers at a stream's address
CSI_WIDTH = 1280  # pixels, requested from a CSI camera by default
CSI_HEIGHT = 720
CSI_FPS = 30
RAW_PIXELS = 640 * 480  # USB 2 carries about this much at 30 fps uncompressed; more needs Motion JPEG
PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443, "rtmp": 1935}
# A URL that ends so is a file, not a live source.
VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".avi", ".mov", ".mkv", ".webm", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".wmv", ".flv"),
    *(".3gp", ".ogv", ".vob"),
)
VIDEO_NODES = Path("/sys/class/video4linux")  # what Linux tells about each /dev/video


class LiveSource(NamedTuple):
    """A source whose frames are lost unless they are read in time."""

    openings: tuple  # functions that return a cv2.VideoCapture, to be tried in this order
    explain: Callable  # returns what to tell the user if none of them gives a frame
    flipped: bool = False  # whether the frames come flipped as requested
    sized: bool = True  # whether the frames come in the requested size, or the nearest one that the camera has


def live_source(source: str, width, height, fps, flip_method: int):
    """How to open `source`, a LiveSource; None for a file or folder. width, height and fps can be None.

    Raises InputError for what cannot work, before anything is opened.
    """
    if source.startswith("csi://"):
        return _csi(source, width or CSI_WIDTH, height or CSI_HEIGHT, fps or CSI_FPS, flip_method)
    if source.isdecimal() or source.startswith("/dev/video") or _device(source):
        return _usb(source, width, height, fps)
    scheme, _, rest = source.partition("://")
    if not rest or scheme == "file" or re.split(r"[?#]", rest)[0].lower().endswith(VIDEO_SUFFIXES):
        return None
    return _stream(source)


def without_password(source: str) -> str:
    """The source as it can be displayed: *** for a URL's password and for secrets in its query.

    A password with an unescaped @ or / is hidden too, since the mask reaches to the last @.
    """
    scheme, separator, rest = source.partition("://")
    if not separator:
        return source
    rest = re.sub(r"^([^:/@]*):.*@", r"\1:***@", rest)
    return scheme + separator + re.sub(r"(?i)((?:pass|pwd|token|secret|key)\w*=)[^&;/?]*", r"\1***", rest)


# ---- CSI cameras -----------------------------------------------------------------------------------------------------


def _csi(source: str, width: int, height: int, fps: float, flip_method: int) -> LiveSource:
    named = re.fullmatch(r"csi://(\d+)(?:\?mode=(\d+))?", source)
    if named is None:
        raise InputError(f"{source} does not name a CSI camera: the first one is csi://0, its mode 2 csi://0?mode=2")
    if not gstreamer.has_gstreamer():
        raise InputError(gstreamer.explain_no_gstreamer(source))
    mode = None if named[2] is None else int(named[2])
    pipeline = gstreamer.csi_pipeline(int(named[1]), width, height, fps, flip_method, mode)
    openings = (lambda: gstreamer.open_pipeline(pipeline),)
    return LiveSource(openings, lambda: gstreamer.explain_no_csi_frame(source), flipped=True)


# ---- USB cameras -----------------------------------------------------------------------------------------------------


def _usb(source: str, width, height, fps) -> LiveSource:
    device = _device(source)
    if not device:
        raise InputError(f"{source} does not name a camera: the first one is 0 or /dev/video0")
    if sys.platform.startswith("linux"):
        _check_device(device)
    return LiveSource((lambda: _open_usb(source, width, height, fps),), lambda: _explain_no_usb_frame(device))


def _device(source: str) -> str:
    """0 -> /dev/video0; a link such as /dev/v4l/by-id/... -> the device it points to now; "" if it is not a camera."""
    device = f"/dev/video{source}" if source.isdecimal() else os.path.realpath(source)
    return device if re.fullmatch(r"/dev/video\d+", device) else ""


def _check_device(device: str) -> None:
    """Refuses a camera that does not exist or cannot be opened by this user."""
    if not os.path.exists(device):
        found = ", ".join(sorted(str(path) for path in Path("/dev").glob("video*"))) or "none"
        raise InputError(f"no camera at {device} (cameras here: {found}): plug one in, or name a video file")
    if not os.access(device, os.R_OK | os.W_OK):
        raise InputError(f"{device} cannot be opened by this user: sudo usermod -aG video $USER, and log in again")


def _open_usb(source: str, width, height, fps) -> cv2.VideoCapture:
    """Opens a USB camera with the requested size and fps, or the nearest ones that it has."""
    device = _device(source)  # each time: a camera that was plugged in again can have another number
    if not device or (sys.platform.startswith("linux") and not os.path.exists(device)):
        return cv2.VideoCapture()  # not opened: the camera is unplugged
    v4l2 = cv2.CAP_V4L2 in cv2.videoio_registry.getCameraBackends()
    capture = cv2.VideoCapture(int(device[len("/dev/video") :]), cv2.CAP_V4L2 if v4l2 else cv2.CAP_ANY)
    if (width or 0) * (height or 0) > RAW_PIXELS or (fps or 0) > 30:
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter_fourcc(*"MJPG"))  # before the size, which depends on it
    settings = ((cv2.CAP_PROP_FRAME_WIDTH, width), (cv2.CAP_PROP_FRAME_HEIGHT, height), (cv2.CAP_PROP_FPS, fps))
    for setting, value in settings:
        if value:
            capture.set(setting, value)
    return capture


def _explain_no_usb_frame(device: str) -> str:
    node = VIDEO_NODES / Path(device).name
    if _node_index(node) > 0:  # a camera's second node gives data about its images
        others = [other for other in VIDEO_NODES.glob("video*") if _same_camera(node, other) and not _node_index(other)]
        if others:
            return f"{device} gives data about images and no images: name /dev/{others[0].name}, of the same camera"
    return (
        f"the camera {device} gives no frame: end any program that uses it (sudo fuser -v {device} names it), or plug"
        " the camera in again; a Jetson's CSI camera is csi://0 instead"
    )


def _node_index(node: Path) -> int:
    """The number of a node among those of its camera; 0 if unknown."""
    try:
        return int((node / "index").read_text())
    except (OSError, ValueError):
        return 0


def _same_camera(node: Path, other: Path) -> bool:
    return os.path.realpath(node / "device") == os.path.realpath(other / "device")


# ---- network streams -------------------------------------------------------------------------------------------------


def _stream(source: str) -> LiveSource:
    """A network stream, decoded by FFmpeg, or on a Jetson by its hardware."""
    openings = (lambda: open_url(source),)
    if source.startswith(("rtsp://", "rtsps://")) and is_jetson():
        if gstreamer.has_gstreamer():
            pipelines = [gstreamer.rtsp_pipeline(source, codec) for codec in ("h264", "h265")]
            openings = tuple(lambda pipeline=pipeline: gstreamer.open_pipeline(pipeline) for pipeline in pipelines)
            openings += (lambda: _open_on_the_cpu(source),)
        else:
            print(
                f"note: this OpenCV has no GStreamer, so the CPU decodes {without_password(source)}; to use the"
                " hardware decoder, uninstall pip's opencv-python in favor of JetPack's OpenCV",
                file=sys.stderr,
            )
    return LiveSource(openings, lambda: explain_no_stream(source), sized=False)


def _open_on_the_cpu(source: str) -> cv2.VideoCapture:
    """The last way to open a stream on a Jetson."""
    capture = open_url(source)
    if capture.isOpened():
        print(
            f"note: the hardware decoder does not open {without_password(source)}, so the CPU decodes it",
            file=sys.stderr,
        )
    return capture


def open_url(source: str) -> cv2.VideoCapture:
    """Opens a URL through FFmpeg, with shorter time limits than FFmpeg's own 30 seconds."""
    if cv2.CAP_FFMPEG not in cv2.videoio_registry.getStreamBackends():
        return cv2.VideoCapture(source, cv2.CAP_ANY)
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, int(1000 * OPEN_SECONDS)]
    limits += [cv2.CAP_PROP_READ_TIMEOUT_MSEC, int(1000 * latest_frame.STALL_SECONDS)]
    return cv2.VideoCapture(source, cv2.CAP_FFMPEG, limits)


def explain_no_stream(source: str) -> str:
    """Why a URL gives no frame, as far as a connection to its address tells."""
    shown = without_password(source)
    rest = source.partition("://")[2]
    if rest.count("@") > 1 or "#" in rest or re.match(r"[^@]*[/?].*@", rest):
        return f"no frame from {shown}: write an @ in a password as %40, a # as %23, a / as %2F and a ? as %3F"
    try:
        parts = urlsplit(source)
        host = parts.hostname
        port = parts.port or PORTS.get(parts.scheme)
    except ValueError:  # its text may contain a part of the password
        return f"no frame from {shown}: the port is not a number from 0 to 65535"
    if not host or not port:
        return f"no frame from {shown}: an address looks like rtsp://camera:554/stream"
    try:
        socket.create_connection((host, port), PROBE_SECONDS).close()
    except OSError as error:
        reason = error.strerror or "no answer"
        return f"no frame from {shown}: {host}:{port} does not answer ({reason}): check that it is on, and its address"
    if parts.scheme in ("http", "https") and _is_page(source):
        return (
            f"no frame from {shown}: this is a web page and no video: give the address of the video itself, or save "
            "the video as a file first"
        )
    return f"no frame from {shown}: {host}:{port} answers, so check the path, the user and the password"


def _is_page(source: str) -> bool:
    try:
        with urllib.request.urlopen(source, timeout=PROBE_SECONDS) as answer:
            return answer.headers.get_content_type() in ("text/html", "application/xhtml+xml")
    except (OSError, ValueError, http.client.HTTPException):
        return False
