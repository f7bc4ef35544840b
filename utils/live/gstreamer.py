"""What a Jetson does with GStreamer: its CSI camera and its hardware decoder, as pipelines for cv2.VideoCapture."""

from __future__ import annotations

import os
from fractions import Fraction

import cv2

ARGUS_SOCKET = "/tmp/argus_socket"  # nvargus-daemon listens here; a container has to be given it
QUARTER_TURNS = (1, 3, 5, 7)  # the flip-methods that swap width and height
# Whoever reads late gets the newest frame, and no lag builds up.
SINK = "videoconvert ! video/x-raw, format=BGR ! appsink drop=true max-buffers=1 sync=false"
PARSERS = {"h264": "rtph264depay ! h264parse", "h265": "rtph265depay ! h265parse"}


def has_gstreamer() -> bool:
    """Whether this OpenCV was built with GStreamer; pip's never is."""
    lines = cv2.getBuildInformation().splitlines()
    return any("GStreamer:" in line and "YES" in line for line in lines)


def csi_pipeline(sensor: int, width: int = 1280, height: int = 720, rate: float = 30, flip: int = 0) -> str:
    """The pipeline for a CSI camera: width x height pixels are asked of the sensor, and then turned by nvvidconv.

    rate: frames a second; flip: nvvidconv's flip-method, 0 to 7, of which the odd ones swap width and height.
    """
    turned_width, turned_height = (height, width) if flip in QUARTER_TURNS else (width, height)
    frames = Fraction(rate).limit_denominator(1001)  # 12.5 is 25/2
    return (
        f"nvarguscamerasrc sensor-id={sensor} ! video/x-raw(memory:NVMM), width={width}, height={height}, format=NV12, "
        f"framerate={frames.numerator}/{frames.denominator} ! nvvidconv flip-method={flip} ! "
        f"video/x-raw, width={turned_width}, height={turned_height}, format=BGRx ! {SINK}"
    )


def rtsp_pipeline(url: str, codec: str = "h264") -> str:
    """The pipeline for a network camera that sends h264 or h265, decoded by the Jetson's own hardware."""
    quoted = url.replace("\\", "%5C").replace('"', "%22")  # either would end the quotation below
    return (
        f'rtspsrc location="{quoted}" latency=200 ! {PARSERS[codec]} ! nvv4l2decoder enable-max-performance=1 ! '
        f"nvvidconv ! video/x-raw, format=BGRx ! {SINK}"
    )


def open_pipeline(pipeline: str) -> cv2.VideoCapture:
    """Opens a pipeline.

    No timeouts are asked for: where OpenCV knows them for GStreamer (4.7 and later) it stops the pipeline to set them,
    and starts the camera a second time. utils/live/latest_frame.py watches instead.
    """
    return cv2.VideoCapture(pipeline, cv2.CAP_GSTREAMER)


def no_gstreamer(source: str) -> str:
    """What to do where a CSI camera is asked for and OpenCV has no GStreamer."""
    return (
        f"{source} needs an OpenCV with GStreamer, as JetPack brings it; OpenCV {cv2.__version__} here has none"
        " (pip's never has): uninstall pip's opencv-python on a Jetson, or take a USB camera with --source 0"
    )


def no_csi_picture(source: str) -> str:
    """What to do where a CSI camera gives nothing: no daemon, a daemon that is stuck, a cable, an unknown sensor."""
    restart = "sudo systemctl restart nvargus-daemon"
    if not os.path.exists(ARGUS_SOCKET):
        return (
            f"no camera at {source}: nvargus-daemon does not run here: {restart}"
            f" (in a container, start it with -v {ARGUS_SOCKET}:{ARGUS_SOCKET})"
        )
    return (
        f"no camera at {source}: check its cable, and that no other program has it; if one was ended hard, the daemon"
        f" is stuck: {restart}; a sensor never seen before is switched on with sudo /opt/nvidia/jetson-io/jetson-io.py"
    )
