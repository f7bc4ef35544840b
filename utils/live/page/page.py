"""A page that shows the demo in a browser: live picture, people, naming and forgetting.

The camera loop hands over references and takes no lock. Pictures are compressed and sent in the viewers' own threads
(server.py), so nobody who looks on, slowly or not at all any more, holds the camera up. Nothing is written to disk.
"""

from __future__ import annotations

import ipaddress
import math
import secrets
import socket
import threading
import time
import zlib
from collections import deque
from urllib.parse import quote

import cv2
import numpy as np

from utils.live.draw import colour_of
from utils.live.page.server import open_server

PICTURE_RATE = 15  # live pictures a second, for all viewers together: each is compressed once
WIDEST = 1280  # pixels of a live picture's width; larger frames are made smaller
QUALITY = 80  # of JPEG, 0 to 100
MOST_COMMANDS = 64  # waiting for the camera loop


class Page:
    """Serves the page from threads of its own until close(), or the end of a `with`. `url` is the address to open.

    On a loopback address everybody on this machine may look. Elsewhere only those may who have the token, which is
    part of `url` and made here if none is given.
    """

    def __init__(self, port: int, host: str = "127.0.0.1", token: str = None):
        """port: 0 takes any free one. InputError if there is nothing to serve on."""
        self._shown = None  # (frame, people, when): replaced as a whole, so that no reader needs a lock
        self._commands = deque()
        self._encoding = threading.Lock()  # between viewers; show() does without
        self._picture, self._pictured, self._picture_time = None, None, -math.inf
        self._crops = {}  # number: (crop, JPEG, version)
        self._server = open_server(self, port, host)
        address, self.port = self._server.server_address[:2]
        self._address = ipaddress.ip_address(address.split("%")[0])
        self.token = token or (None if self._address.is_loopback else secrets.token_urlsafe(16))
        names = {"localhost", "127.0.0.1", "::1", str(self._address), host.lower()}
        self.hosts = names if self._address.is_loopback else None  # None: any name, since there is a token
        self.url = f"http://{self._name(host)}:{self.port}/" + (f"?token={quote(self.token, '')}" if self.token else "")
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="page", daemon=True)
        self._thread.start()

    def __enter__(self) -> Page:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def show(self, frame: np.ndarray, people: list) -> None:
        """Makes this what viewers see next. Both are kept as they are: do not change them afterwards.

        frame (H, W, 3) uint8 BGR. people: dicts with number, name (str or None), camera (str), similarity (-1 to 1 or
        None), present (bool), seconds_ago (float), crop ((h, w, 3) uint8 RGB or None; a better one is a new array).
        """
        self._shown = frame, people, time.monotonic()

    def commands(self) -> list:
        """What viewers asked for since the last call: ("name", number, "Anna") or ("forget", number), in order."""
        return [self._commands.popleft() for _ in range(len(self._commands))]

    def close(self) -> None:
        """Sends everybody away and ends all threads; a second time it does nothing."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
            self._server.send_away()

    def _name(self, host: str) -> str:
        """How a browser names the host: for all addresses of this machine, the one that leads to the network."""
        if self._address.is_unspecified:
            host = outward_address(self._server.address_family)
        return f"[{host}]" if ":" in host else host

    # ---- what viewers' threads ask for ----

    def picture(self):
        """The newest frame as JPEG bytes, None before the first; the same object as long as nothing is new."""
        with self._encoding:
            shown = self._shown
            due = time.monotonic() - self._picture_time >= 0.9 / PICTURE_RATE
            if shown is not None and shown is not self._pictured and due:
                self._picture_time = time.monotonic()
                self._picture, self._pictured = encode(shown[0]), shown
            return self._picture

    def people(self) -> dict:
        """What the page draws its cards from; picture_age in seconds, None before the first frame."""
        if self._shown is None:
            return {"picture_age": None, "people": []}
        _, people, when = self._shown
        age = time.monotonic() - when
        crops = self._encode_crops(people)
        return {"picture_age": round(age, 1), "people": [describe(person, age, crops) for person in people]}

    def crop(self, number: int):
        """The JPEG bytes of a person's crop, None if there is none."""
        if self._shown is None:
            return None
        return self._encode_crops(self._shown[1]).get(number, (None, None))[1]

    def order(self, command: tuple):
        """Leaves a command for the camera loop; else a status and a sentence that says why not."""
        if self._shown is None or command[1] not in {person["number"] for person in self._shown[1]}:
            return 404, f"Nobody has the number {command[1]} any more."
        if len(self._commands) >= MOST_COMMANDS:
            return 503, "The demo has not got round to earlier wishes yet: try again in a while."
        self._commands.append(command)
        return None

    def _encode_crops(self, people) -> dict:
        """{number: (crop, JPEG, version)}; a crop that was there before is not compressed again."""
        with self._encoding:
            crops = {}
            for person in people:
                number, crop = person["number"], person["crop"]
                if crop is None or not crop.size:
                    continue
                known = self._crops.get(number)
                if known is None or known[0] is not crop:
                    jpeg = encode(crop[..., ::-1])
                    known = crop, jpeg, f"{zlib.crc32(jpeg):08x}"
                crops[number] = known
            self._crops = crops
            return crops


def describe(person: dict, age: float, crops: dict) -> dict:
    """One person as JSON, `age` seconds after the frame was shown; the crop as an address that changes with it."""
    number, similarity = int(person["number"]), person["similarity"]
    blue, green, red = colour_of(number)
    return {
        "number": number,
        "name": person["name"],
        "camera": str(person["camera"]),
        "similarity": float(similarity) if similarity is not None and math.isfinite(similarity) else None,
        "present": bool(person["present"]),
        "seconds_ago": round(float(person["seconds_ago"]) + age, 1),
        "colour": f"#{red:02x}{green:02x}{blue:02x}",
        "crop": f"crop/{number}?v={crops[number][2]}" if number in crops else None,
    }


def encode(picture: np.ndarray) -> bytes:
    """(H, W, 3) uint8 BGR -> JPEG, at most WIDEST pixels wide."""
    height, width = picture.shape[:2]
    if width > WIDEST:
        picture = cv2.resize(picture, (WIDEST, round(height * WIDEST / width)), interpolation=cv2.INTER_AREA)
    encoded, jpeg = cv2.imencode(".jpg", np.ascontiguousarray(picture), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    assert encoded
    return jpeg.tobytes()


def outward_address(family) -> str:
    """This machine's address on the network, else loopback. A datagram socket that connects sends nothing yet."""
    ipv6 = family == socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(("2001:db8::1" if ipv6 else "192.0.2.1", 9))  # addresses for documentation, RFC 5737 and 3849
            return probe.getsockname()[0]
    except OSError:
        return "::1" if ipv6 else "127.0.0.1"
