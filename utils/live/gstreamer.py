"""GStreamer pipelines for cv2.VideoCapture on a Jetson: its CSI camera and its hardware decoder."""

from __future__ import annotations

import os
from fractions import Fraction

import cv2

ARGUS_SOCKET = "/tmp/argus_socket"  # of nvargus-daemon; a container needs it as a volume
QUARTER_TURNS = (1, 3, 5, 7)  # the flip methods that swap width and height
# A slow reader gets the newest frame, so that no lag builds up.
SINK = "videoconvert ! video/x-raw, format=BGR ! appsink drop=true max-buffers=1 sync=false"
PARSERS = {"h264": "rtph264depay ! h264parse", "h265": "rtph265depay ! h265parse"}


def has_gstreamer() -> bool:
    """Whether this OpenCV was built with GStreamer; pip's never is."""
    lines = cv2.getBuildInformation().splitlines()
    return any("GStreamer:" in line and "YES" in line for line in lines)


def csi_pipeline(sensor: int, width: int = 1280, height: int = 720, fps: float = 30, flip_method: int = 0, mode=None):
    """The pipeline for a CSI camera, as a str.

    width, height: pixels requested from the sensor, before the flip; fps: frames per second.
    flip_method: nvvidconv's, 0 to 7; the odd ones swap width and height.
    mode: the sensor's mode, which sets the field of view; None lets nvarguscamerasrc choose by size and rate.
    """
    output_width = height if flip_method in QUARTER_TURNS else width
    output_height = width if flip_method in QUARTER_TURNS else height
    rate = Fraction(fps).limit_denominator(1001)  # 12.5 is 25/2
    camera = f"nvarguscamerasrc sensor-id={sensor}" + ("" if mode is None else f" sensor-mode={mode}")
    return (
        f"{camera} ! video/x-raw(memory:NVMM), width={width}, height={height}, format=NV12, "
        f"framerate={rate.numerator}/{rate.denominator} ! nvvidconv flip-method={flip_method} ! "
        f"video/x-raw, width={output_width}, height={output_height}, format=BGRx ! {SINK}"
    )


def rtsp_pipeline(url: str, codec: str = "h264") -> str:
    """The pipeline for a network camera that sends h264 or h265, decoded by the Jetson's hardware.

    The decoder gets no properties: enable-max-performance ends the pipeline on Thor, which lacks it in L4T 39.2.
    """
    quoted = url.replace("\\", "%5C").replace('"', "%22")  # either would end the quotation below
    return (
        f'rtspsrc location="{quoted}" latency=200 ! {PARSERS[codec]} ! nvv4l2decoder ! '
        f"nvvidconv ! video/x-raw, format=BGRx ! {SINK}"
    )


def open_pipeline(pipeline: str) -> cv2.VideoCapture:
    """Opens a pipeline.

    Sets no timeouts: where OpenCV has them for GStreamer (4.7 and later) it stops the pipeline to set them, and starts
    the camera a second time. utils/live/latest_frame.py watches the time instead.
    """
    return cv2.VideoCapture(pipeline, cv2.CAP_GSTREAMER)


def explain_no_gstreamer(source: str) -> str:
    """What to do if a CSI camera is requested and OpenCV has no GStreamer."""
    return (
        f"{source} needs an OpenCV with GStreamer, which JetPack provides; OpenCV {cv2.__version__} here has none"
        " (pip's never has): uninstall pip's opencv-python on a Jetson, or use a USB camera, source 0"
    )


def explain_no_csi_frame(source: str) -> str:
    """What to do if a CSI camera gives no frame: no daemon, a stuck daemon, a cable, an unknown sensor."""
    restart = "sudo systemctl restart nvargus-daemon"
    if not os.path.exists(ARGUS_SOCKET):
        return (
            f"no camera at {source}: nvargus-daemon is not running: {restart}"
            f" (in a container, start it with -v {ARGUS_SOCKET}:{ARGUS_SOCKET})"
        )
    return (
        f"no camera at {source}: check its cable, and that no other program uses it; if a program was killed, the"
        f" daemon is stuck: {restart}; enable a new sensor with sudo /opt/nvidia/jetson-io/jetson-io.py"
    )
