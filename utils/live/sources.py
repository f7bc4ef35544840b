"""Live sources: how a CSI camera, a USB camera and a network stream are opened, and what to do where one is not."""

from __future__ import annotations

import glob
import os
import re
import socket
import struct
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Callable
from urllib.parse import urlsplit

import cv2

from utils.device import is_jetson
from utils.errors import InputError
from utils.live import gstreamer, latest_frame

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # FFmpeg's own lines would come with every attempt to reconnect
OPEN_SECONDS = 10.0  # for a network stream to answer; OpenCV's own limit is 30
PROBE_SECONDS = 3.0  # to find out whether anything answers at a stream's address
CSI_WIDTH, CSI_HEIGHT, CSI_RATE = 1280, 720, 30  # what is asked of a CSI camera if nothing else is said
RAW_PIXELS = 640 * 480  # USB 2 carries about this much at 30 frames a second uncompressed; more needs Motion JPEG
PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443, "rtmp": 1935}
FILMS = (".mp4", ".m4v", ".avi", ".mov", ".mkv", ".webm")  # a URL that ends so is a file, wherever it lies
# linux/videodev2.h: the question for a device's pixel formats, and the names of those that are a bare sensor's.
VIDIOC_ENUM_FMT, FORMAT_BYTES, FORMAT_NAME, VIDEO_CAPTURE = 0xC0405602, 64, slice(44, 48), 1
BAYER = re.compile("BA81|GBRG|GRBG|RGGB|BYR2|(BG|GB|BA|GR|RG)1[0246]|p[BGgR](AA|CC|EE)")


@dataclass(frozen=True)
class Live:
    """A source whose frames are lost unless they are read in time."""

    openings: tuple  # of functions that return a cv2.VideoCapture, to be tried in this order
    refusal: Callable  # returns what to tell a user if none of them gives a picture
    turned: bool = False  # the frames come turned as asked
    sized: bool = True  # the frames come in the size asked for, or in the one nearest to it that the camera has


def live_source(source: str, width, height, rate, flip: int):
    """How to open `source`, a Live; None for a file or folder. width, height, rate may be None.

    Raises InputError for what cannot work, before anything is opened.
    """
    if source.startswith("csi://"):
        return _csi(source, width or CSI_WIDTH, height or CSI_HEIGHT, rate or CSI_RATE, flip)
    if source.isdigit() or source.startswith("/dev/video") or _device(source):
        return _usb(source, width, height, rate)
    scheme, _, rest = source.partition("://")
    if not rest or scheme == "file" or re.split(r"[?#]", rest)[0].lower().endswith(FILMS):
        return None
    return _stream(source)


def without_password(source: str) -> str:
    """The source as it may be shown: a URL's password, and whatever its query calls one, are ***.

    A password with a bare @ or / in it is hidden as well, so the mask reaches to the last @.
    """
    scheme, separator, rest = source.partition("://")
    if not separator:
        return source
    rest = re.sub(r"^([^:/@]*):.*@", r"\1:***@", rest)
    return scheme + separator + re.sub(r"(?i)((?:pass|pwd|token|secret|key)\w*=)[^&;/?]*", r"\1***", rest)


def _csi(source: str, width: int, height: int, rate: float, flip: int) -> Live:
    sensor = source[len("csi://") :]
    if not sensor.isdecimal():
        raise InputError(f"{source} names no CSI camera: the first one is csi://0")
    if not gstreamer.has_gstreamer():
        raise InputError(gstreamer.no_gstreamer(source))
    pipeline = gstreamer.csi_pipeline(int(sensor), width, height, rate, flip)
    return Live((lambda: gstreamer.open_pipeline(pipeline),), lambda: gstreamer.no_csi_picture(source), turned=True)


def _usb(source: str, width, height, rate) -> Live:
    device = _device(source)
    if not device:
        raise InputError(f"{source} names no camera: the first one is 0 or /dev/video0")
    if sys.platform.startswith("linux"):
        _check_device(device)
    return Live((lambda: _open_usb(source, width, height, rate),), lambda: _no_usb_picture(device))


def _device(source: str) -> str:
    """0 -> /dev/video0; a link such as /dev/v4l/by-id/... to where it points now; "" for what is no camera."""
    device = f"/dev/video{source}" if source.isdigit() else os.path.realpath(source)
    return device if re.fullmatch(r"/dev/video\d+", device) else ""


def _check_device(device: str) -> None:
    """Refuses a camera that is not there, may not be opened, or is a CSI sensor's raw picture."""
    if not os.path.exists(device):
        there = sorted(str(path) for path in Path("/dev").glob("video*"))
        raise InputError(
            f"no camera at {device} ({'there is ' + ', '.join(there) if there else 'there is none at all'}):"
            " plug one in, or name a video file with --source"
        )
    if not os.access(device, os.R_OK | os.W_OK):
        raise InputError(f"{device} is closed to this user: sudo usermod -aG video $USER, and log in again")
    formats = pixel_formats(device)
    if formats and all(BAYER.fullmatch(name) for name in formats):
        raise InputError(
            f"{device} is a CSI camera whose raw picture ({', '.join(formats)}) is of no use here: --source csi://0"
        )


def pixel_formats(device: str) -> list:
    """The pixel formats that a camera offers, as four letters each: ["YUYV", "MJPG"]; [] if it does not tell."""
    import fcntl  # not on Windows

    formats = []
    try:
        opened = os.open(device, os.O_RDWR | os.O_NONBLOCK)
    except OSError:
        return formats
    try:
        while len(formats) < 100:
            answer = bytearray(struct.pack("=II", len(formats), VIDEO_CAPTURE).ljust(FORMAT_BYTES, b"\0"))
            fcntl.ioctl(opened, VIDIOC_ENUM_FMT, answer)
            formats.append(bytes(answer[FORMAT_NAME]).decode("latin-1").strip())
    except OSError:  # there are no more
        pass
    finally:
        os.close(opened)
    return formats


def _open_usb(source: str, width, height, rate) -> cv2.VideoCapture:
    """Opens a USB camera in the size and at the rate asked for, or what it has nearest to them."""
    device = _device(source)  # again each time: a camera plugged in anew may have another number
    if not device or (sys.platform.startswith("linux") and not os.path.exists(device)):
        return cv2.VideoCapture()  # of nothing: it is unplugged
    v4l2 = cv2.CAP_V4L2 in cv2.videoio_registry.getCameraBackends()
    capture = cv2.VideoCapture(int(device[len("/dev/video") :]), cv2.CAP_V4L2 if v4l2 else cv2.CAP_ANY)
    if (width or 0) * (height or 0) > RAW_PIXELS or (rate or 0) > 30:
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter_fourcc(*"MJPG"))  # before the size, which depends on it
    wanted = ((cv2.CAP_PROP_FRAME_WIDTH, width), (cv2.CAP_PROP_FRAME_HEIGHT, height), (cv2.CAP_PROP_FPS, rate))
    for setting, value in wanted:
        if value:
            capture.set(setting, value)
    return capture


def _no_usb_picture(device: str) -> str:
    users = holders(device)
    if users:
        return f"the camera {device} is in use by {' and '.join(users)}: end that, or name another camera"
    return (
        f"the camera {device} gives no picture: is another program using it? sudo fuser -v {device} names it;"
        " if there is none, plug the camera in again"
    )


def holders(device: str) -> list:
    """The other programs that have `device` open, "name (process 123)", as far as this user may see them."""
    found = {}
    for link in glob.glob("/proc/[0-9]*/fd/*"):
        process = link.split("/")[2]
        try:
            if process == str(os.getpid()) or os.readlink(link) != device:
                continue
            found[process] = Path(f"/proc/{process}/comm").read_text().strip()
        except OSError:  # it has just ended, or is another user's
            continue
    return [f"{name} (process {process})" for process, name in sorted(found.items(), key=lambda item: int(item[0]))]


def _stream(source: str) -> Live:
    rtsp = source.startswith(("rtsp://", "rtsps://"))
    hardware = rtsp and is_jetson() and gstreamer.has_gstreamer()
    if rtsp and is_jetson() and not hardware:
        print(
            f"note: this OpenCV has no GStreamer, so that the CPU decodes {without_password(source)};"
            " uninstall pip's opencv-python for JetPack's, which has",
            file=sys.stderr,
        )
    pipelines = [gstreamer.rtsp_pipeline(source, codec) for codec in ("h264", "h265")] if hardware else []
    openings = tuple(lambda pipeline=pipeline: gstreamer.open_pipeline(pipeline) for pipeline in pipelines)
    return Live(openings or (lambda: open_url(source),), lambda: no_stream_picture(source), sized=False)


def open_url(source: str) -> cv2.VideoCapture:
    """Opens a URL through FFmpeg, which is told to give up long before its own 30 seconds."""
    if cv2.CAP_FFMPEG not in cv2.videoio_registry.getStreamBackends():
        return cv2.VideoCapture(source, cv2.CAP_ANY)
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, int(1000 * OPEN_SECONDS)]
    limits += [cv2.CAP_PROP_READ_TIMEOUT_MSEC, int(1000 * latest_frame.STALL_SECONDS)]
    return cv2.VideoCapture(source, cv2.CAP_FFMPEG, limits)


def no_stream_picture(source: str) -> str:
    """Why a URL gives no picture, as far as a look at its address tells."""
    shown = without_password(source)
    rest = source.partition("://")[2]
    if rest.count("@") > 1 or "#" in rest or re.match(r"[^@]*[/?].*@", rest):
        return f"no picture from {shown}: write an @ in a password as %40, a # as %23, a / as %2F and a ? as %3F"
    try:
        parts = urlsplit(source)
        host, port = parts.hostname, parts.port or PORTS.get(parts.scheme)
    except ValueError:  # its text may hold a part of the password
        return f"no picture from {shown}: its port is no number from 0 to 65535"
    if not host or not port:
        return f"no picture from {shown}: an address looks like rtsp://camera:554/stream"
    try:
        socket.create_connection((host, port), PROBE_SECONDS).close()
    except OSError as error:
        reason = error.strerror or "no answer"
        return f"no picture from {shown}: nobody answers at {host}:{port} ({reason}): is it on, and this its address?"
    return f"no picture from {shown}: its machine answers, so are the path, the user and the password right?"
