"""A window where there is a screen for one, and what its keys do. OpenCV's toolkits abort where they find no screen."""

from __future__ import annotations

import os
import subprocess
import sys

import cv2

from utils.live.identities import LONGEST_NAME, clean_name

TITLE = "people"
TAB, ENTER, ESCAPE, BACKSPACE = 9, (10, 13), 27, (8, 127)
NO_KEY = 255
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


def show(frame):
    """Shows a frame; the key pressed since the last one, NO_KEY if there is none, None once the window is closed."""
    cv2.imshow(TITLE, frame)
    key = cv2.waitKey(1) & 0xFF
    return key if cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) >= 1 else None


def close() -> None:
    cv2.destroyAllWindows()


class Keys:
    """What the keys of the window mean, as a state machine that needs no window.

    Tab picks the next person on screen, n types a name for the one picked, f forgets that one; Esc takes a step back,
    q or Esc ends the demo. `picked` is the number of the one to highlight, `caption` what to write below.
    """

    def __init__(self):
        self.picked, self.text = None, None  # text: the name typed so far, None while none is typed

    @property
    def caption(self) -> str:
        if self.text is not None:
            return f"name of {self.picked}: {self.text}_ (Enter: done, Esc: leave it)"
        return "" if self.picked is None else f"{self.picked}: n names, f forgets, Tab next, Esc none"

    def press(self, key: int, numbers):
        """A key and the numbers on screen -> ("quit",), ("name", number, name), ("forget", number) or None."""
        on_screen = sorted(number for number in numbers if number > 0)
        if self.text is not None:  # the one who is being named may walk off meanwhile
            return self._type(key)
        if self.picked not in on_screen:
            self.picked = None
        if key in (ord("q"), ord("Q")) or key == ESCAPE and self.picked is None:
            return ("quit",)
        if key == ESCAPE:
            self.picked = None
        elif key == ord("f") and self.picked is not None:
            number, self.picked = self.picked, None
            return "forget", number
        elif key == TAB or (key in (ord("n"), ord("f")) and self.picked is None):  # f alone forgets nobody unseen
            after = [number for number in on_screen if number > (self.picked or 0)]
            self.picked = (after or on_screen or [None])[0]
        if key == ord("n") and self.picked is not None:
            self.text = ""
        return None

    def _type(self, key: int):
        if key == ESCAPE:
            self.text = None
        elif key in BACKSPACE:
            self.text = self.text[:-1]
        elif key in ENTER:
            try:
                name = clean_name(self.text)
            except ValueError:  # it stays to be mended
                return None
            number, self.picked, self.text = self.picked, None, None
            return "name", number, name
        elif 32 <= key < 127 and len(self.text) < LONGEST_NAME:
            self.text += chr(key)
        return None
