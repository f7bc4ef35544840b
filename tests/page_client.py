"""Shared by the tests of the page: small frames and people, and clients that ask, request or only watch."""

import http.client
import json
import socket

import cv2
import numpy as np


def frame(brightness=90, size=(96, 160)):
    """(H, W, 3) uint8 BGR: blue on the left, red on the right, so that swapped channels or sides are seen."""
    image = np.zeros((*size, 3), np.uint8)
    image[:, : size[1] // 2, 0] = brightness
    image[:, size[1] // 2 :, 2] = brightness
    return image


def large_frame():
    """(720, 1280, 3) uint8 noise, about 1 MB as JPEG: more than the buffers of a connection hold."""
    return np.random.default_rng(0).integers(0, 256, (720, 1280, 3), dtype=np.uint8)


def crop(red=200):
    """(64, 32, 3) uint8 RGB."""
    return np.full((64, 32, 3), (red, 40, 40), np.uint8)


def person(person_id, **changes):
    """A person as Page.show takes it."""
    described = {"person_id": person_id, "name": None, "camera": "door", "similarity": 0.75, "present": True}
    return {**described, "seconds_ago": 0.0, "crop": crop(), **changes}


def ask(server, path, method="GET", body=None, address="127.0.0.1", **headers):
    """(status, headers, body) that a client at an address of this machine gets; header names with _ for -."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20, source_address=(address, 0))
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body=body, headers=headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, answer.headers, content


def post(server, path, content, **headers):
    """(status, body) of a request with JSON content, or with raw bytes."""
    headers = {"Content_Type": "application/json", **headers}
    body = content if isinstance(content, bytes) else json.dumps(content)
    status, _, answer = ask(server, path, "POST", body, **headers)
    return status, answer.decode()


def people(server):
    return json.loads(ask(server, "/people")[2])["people"]


class Viewer:
    """Watches the live image through a plain socket, and reads only when told to. address: of this client."""

    def __init__(self, server, receive_buffer=None, path="/live", address="127.0.0.1", token=None):
        self.socket = socket.socket()
        self.socket.bind((address, 0))
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(20)
        self.socket.connect(("127.0.0.1", server.port))
        cookie = f"Cookie: people_{server.port}={token}\r\n" if token else ""
        self.socket.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n{cookie}\r\n".encode())
        self.received = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def read_until(self, mark):
        while mark not in self.received:
            received = self.socket.recv(1 << 16)
            assert received, self.received[:200]
            self.received += received
        before, self.received = self.received.split(mark, 1)
        return before

    def image(self):
        """The next live image, decoded."""
        self.read_until(b"image/jpeg\r\n\r\n")
        return cv2.imdecode(np.frombuffer(self.read_until(b"\r\n--image"), np.uint8), cv2.IMREAD_COLOR)
