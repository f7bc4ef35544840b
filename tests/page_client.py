"""What tests of the page share: small frames and people, and clients that ask, order or just look on."""

import http.client
import json
import socket

import cv2
import numpy as np


def frame(brightness=90, size=(96, 160)):
    """(H, W, 3) uint8 BGR: blue on the left, red on the right, so that swapped channels or sides show."""
    picture = np.zeros((*size, 3), np.uint8)
    picture[:, : size[1] // 2, 0] = brightness
    picture[:, size[1] // 2 :, 2] = brightness
    return picture


def crop(red=200):
    return np.full((64, 32, 3), (red, 40, 40), np.uint8)  # RGB


def person(number, **changes):
    person = {"number": number, "name": None, "camera": "door", "similarity": 0.75, "present": True}
    return {**person, "seconds_ago": 0.0, "crop": crop(), **changes}


def ask(page, path, method="GET", body=None, **headers):
    """(status, headers, body) as a client of this machine gets them; header names with _ for -."""
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=20)
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body=body, headers=headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, answer.headers, content


def order(page, path, wish, **headers):
    headers = {"Content_Type": "application/json", **headers}
    status, _, words = ask(page, path, "POST", wish if isinstance(wish, (bytes, str)) else json.dumps(wish), **headers)
    return status, words.decode()


def people(page):
    return json.loads(ask(page, "/people")[2])["people"]


class Viewer:
    """Looks at the live picture through a plain socket, and reads only when told to."""

    def __init__(self, page, receive_buffer=None, path="/live?somebody"):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(20)
        self.socket.connect(("127.0.0.1", page.port))
        self.socket.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        self.said = b""

    def read_until(self, mark):
        while mark not in self.said:
            said = self.socket.recv(1 << 16)
            assert said, self.said[:200]
            self.said += said
        before, self.said = self.said.split(mark, 1)
        return before

    def picture(self):
        """The next live picture, decoded."""
        self.read_until(b"image/jpeg\r\n\r\n")
        return cv2.imdecode(np.frombuffer(self.read_until(b"\r\n--picture"), np.uint8), cv2.IMREAD_COLOR)
