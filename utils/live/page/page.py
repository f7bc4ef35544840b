"""What the page shows: the live image, the people, their crops, and the requests that viewers make.

The camera loop hands over references and takes no lock. The viewers' own threads (server.py) compress and send the
images, so no viewer can delay the camera, however slow. Nothing is written to disk.
"""

from __future__ import annotations

import math
import threading
import time
import zlib
from collections import deque

import cv2
import numpy as np

from utils.live.draw import color_of
from utils.live.identities import Request

MAX_FPS = 15  # live images per second; each is compressed once for all viewers
MAX_WIDTH = 1280  # pixels of a live image; wider frames are scaled down
QUALITY = 80  # of JPEG, 0 to 100
MAX_REQUESTS = 64  # that wait for the camera loop


class Page:
    """The state that the camera loop and the viewers' threads share."""

    def __init__(self):
        self._shown = None  # (frame, people, when, places): replaced as a whole, so that no reader needs a lock
        self._requests = deque(maxlen=MAX_REQUESTS)
        self._encoding = threading.Lock()  # among viewers; show() does without
        self._closed = False
        self._live = None  # the newest live image as JPEG
        self._live_of = None  # the `_shown` that it was made of
        self._live_time = -math.inf

    # ---- for the camera loop ----

    def show(self, frame: np.ndarray, people: list, places=()) -> None:
        """Makes this what viewers see next. All is kept without a copy: do not change it afterwards.

        frame: (H, W, 3) uint8 BGR. people: dicts with person_id, name (str or None), camera (str), similarity (-1 to 1
        or None), present (bool), seconds_ago (float), crop ((h, w, 3) uint8 RGB or None; a better one is a new array).
        places: dicts of the lines and zones, as utils/live/counts.py describes them.
        """
        self._shown = frame, people, time.monotonic(), places

    def requests(self) -> list:
        """The Requests of the viewers since the last call, in their order."""
        return [self._requests.popleft() for _ in range(len(self._requests))]

    # ---- for the viewers' threads ----

    def live_image(self):
        """The newest frame as JPEG bytes, None before the first; the same object while there is no new one."""
        with self._encoding:
            shown = self._shown
            due = time.monotonic() - self._live_time >= 0.9 / MAX_FPS
            if shown is not None and shown is not self._live_of and due and not self._closed:
                self._live_time = time.monotonic()
                self._live = encode_jpeg(shown[0])
                self._live_of = shown
            return self._live

    def people(self) -> dict:
        """{"image_age": seconds since the newest frame, None before the first, "people": [...]} for JSON.

        With lines or zones also "places": [...].
        """
        if self._shown is None:
            return {"image_age": None, "people": []}
        _, people, when, places = self._shown
        age = time.monotonic() - when
        answer = {"image_age": round(age, 1), "people": [describe(person, age) for person in people]}
        return {**answer, "places": list(places)} if places else answer

    def crop(self, person_id: int):
        """The crop of a person as JPEG bytes, None if there is none."""
        person = self._find(person_id)
        with self._encoding:
            if person is None or person["crop"] is None or self._closed:
                return None
            return encode_jpeg(person["crop"][..., ::-1])

    def add_request(self, request: Request) -> bool:
        """Queues a request for the camera loop; False if there is no such person."""
        if self._find(request.person_id) is None:
            return False
        self._requests.append(request)  # drops the oldest of MAX_REQUESTS
        return True

    def close(self) -> None:
        """Compresses nothing from now on: a thread inside OpenCV would abort the process when Python ends."""
        with self._encoding:
            self._closed = True

    def _find(self, person_id: int):
        people = [] if self._shown is None else self._shown[1]
        return next((person for person in people if person["person_id"] == person_id), None)


def describe(person: dict, age: float) -> dict:
    """One person as JSON, `age` seconds after the frame was shown. The address of the crop changes with the crop."""
    person_id = int(person["person_id"])
    crop = person["crop"]
    similarity = person["similarity"]
    if similarity is not None:
        similarity = float(similarity) if math.isfinite(similarity) else None
    blue, green, red = color_of(person_id)
    return {
        "person_id": person_id,
        "name": person["name"],
        "camera": str(person["camera"]),
        "similarity": similarity,
        "present": bool(person["present"]),
        "seconds_ago": round(float(person["seconds_ago"]) + age, 1),
        "color": f"#{red:02x}{green:02x}{blue:02x}",
        "crop": None if crop is None else f"crop/{person_id}?v={zlib.crc32(crop.tobytes()):08x}",
    }


def encode_jpeg(image: np.ndarray) -> bytes:
    """(H, W, 3) uint8 BGR -> JPEG, at most MAX_WIDTH pixels wide."""
    height, width = image.shape[:2]
    if width > MAX_WIDTH:
        image = cv2.resize(image, (MAX_WIDTH, round(height * MAX_WIDTH / width)), interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", np.ascontiguousarray(image), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
