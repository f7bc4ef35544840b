"""A window, where there is a screen for one. OpenCV's window toolkits abort the process where they find none."""

from __future__ import annotations

import os
import subprocess
import sys

import cv2

TITLE = "people"
QUIT_KEYS = (ord("q"), ord("Q"), 27)  # 27: Esc
PROBE = "import cv2; cv2.namedWindow('probe'); cv2.waitKey(1); cv2.destroyAllWindows()"


def has_screen() -> bool:
    """Whether a window can be opened; tried in a process of its own, since a failure may end that process."""
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return False
    try:
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.run([sys.executable, "-c", PROBE], timeout=30, check=False, **streams).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def show(frame) -> bool:
    """Shows a frame; False once the user asked to stop, by q, Esc or closing the window."""
    cv2.imshow(TITLE, frame)
    if cv2.waitKey(1) & 0xFF in QUIT_KEYS:
        return False
    return cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) >= 1


def close() -> None:
    cv2.destroyAllWindows()
