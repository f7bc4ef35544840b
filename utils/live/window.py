"""The window of the demo, where there is a screen, and the meaning of its keys."""

from __future__ import annotations

import os
import subprocess
import sys

import cv2

from utils.live.identities import MAX_NAME_LENGTH, Request, clean_name

TITLE = "people"
TAB = 9
ENTER = (10, 13)
ESCAPE = 27
BACKSPACE = (8, 127)
NO_KEY = 255
PROBE = "import cv2; cv2.namedWindow('probe'); cv2.waitKey(1); cv2.destroyAllWindows()"


def has_screen() -> bool:
    """Whether a window can be opened. Tried in a child process, since OpenCV's toolkits abort without a screen."""
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return False
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    try:
        return subprocess.run([sys.executable, "-c", PROBE], timeout=30, check=False, **streams).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def show(image):
    """Shows an image; returns the key pressed meanwhile, NO_KEY if there was none, None if the window was closed."""
    cv2.imshow(TITLE, image)
    key = cv2.waitKey(1) & 0xFF
    return key if cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) >= 1 else None


def close() -> None:
    """Closes the window."""
    cv2.destroyAllWindows()


class Keys:
    """The keys of the window as a state machine that needs no window.

    Tab selects the next person on screen, n types a name for that person, f forgets that person; Esc goes one step
    back; q, or Esc with nothing selected, ends the demo.

    Attributes:
        selected: id of the person to highlight, or None; text: the name typed so far, None if none is typed.
    """

    def __init__(self):
        self.selected = None
        self.text = None

    @property
    def caption(self) -> str:
        """The line to write into the image."""
        if self.text is not None:
            return f"name of {self.selected}: {self.text}_ (Enter: done, Esc: cancel)"
        return "" if self.selected is None else f"{self.selected}: n names, f forgets, Tab next, Esc none"

    def press(self, key: int, person_ids):
        """Handles a key, given the ids of the people on screen; returns a Request or None."""
        on_screen = sorted(person_id for person_id in person_ids if person_id > 0)
        if self.text is not None:  # the person being named may leave the screen meanwhile
            return self._type(key)
        if self.selected not in on_screen:
            self.selected = None
        if key in (ord("q"), ord("Q")) or key == ESCAPE and self.selected is None:
            return Request("quit")
        if key == ESCAPE:
            self.selected = None
        elif key == ord("f") and self.selected is not None:
            person_id = self.selected
            self.selected = None
            return Request("forget", person_id)
        elif key == TAB or key in (ord("n"), ord("f")) and self.selected is None:  # f first shows who it would be
            self._select_next(on_screen)
        if key == ord("n") and self.selected is not None:
            self.text = ""
        return None

    def _select_next(self, on_screen) -> None:
        later = [person_id for person_id in on_screen if person_id > (self.selected or 0)]
        self.selected = (later or on_screen or [None])[0]

    def _type(self, key: int):
        """Handles a key while a name is typed."""
        if key == ESCAPE:
            self.text = None
        elif key in BACKSPACE:
            self.text = self.text[:-1]
        elif key in ENTER:
            return self._finish_name()
        elif 32 <= key < 127 and len(self.text) < MAX_NAME_LENGTH:
            self.text += chr(key)
        return None

    def _finish_name(self):
        try:
            request = Request("name", self.selected, clean_name(self.text))
        except ValueError:  # the text stays, to be corrected
            return None
        self.selected = None
        self.text = None
        return request
