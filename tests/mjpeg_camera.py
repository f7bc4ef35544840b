"""A real MJPEG camera on loopback whose frames show when they were sent; it stalls, dies and comes back on demand."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np

FPS = 50  # of the MJPEG camera
BLOCK, ROWS, COLUMNS = 8, 4, 8  # a frame shows its number as black and white blocks, which survive JPEG


def numbered(number, scale=1):
    """(32 * scale, 64 * scale, 3) uint8 image of a number below 2**32."""
    bits = np.array([number >> place & 1 for place in range(ROWS * COLUMNS)], np.uint8).reshape(ROWS, COLUMNS)
    return cv2.merge([np.kron(bits * 255, np.ones((BLOCK * scale, BLOCK * scale), np.uint8))] * 3)


def number_of(image):
    blocks = image[..., 1].reshape(ROWS, BLOCK, COLUMNS, BLOCK).mean(axis=(1, 3)) > 127
    return sum(int(bit) << place for place, bit in enumerate(blocks.ravel()))


class Feed:
    """An MJPEG camera: its clock ticks FPS times per second, watched or not, and each frame shows the tick."""

    def __init__(self):
        self.begun = time.monotonic()
        self.port = 0
        self.scale = 1  # of the frames' size
        self.flowing = threading.Event()  # whether frames are sent
        self.server = None
        self.connections = 0  # so far
        self.open = 0  # connections that are open now
        self.revive()

    @property
    def number(self):
        return int((time.monotonic() - self.begun) * FPS)

    @property
    def url(self):
        return f"http://me:secret@127.0.0.1:{self.port}/live.mjpg"

    def revive(self):
        self.flowing.set()
        self.server = ThreadingHTTPServer(("127.0.0.1", self.port), self.handler())
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True, name="feed").start()

    def die(self):
        """Ends all connections and refuses new ones."""
        server = self.server
        self.server = None
        server.shutdown()
        server.server_close()

    def handler(feed):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                feed.connections += 1
                feed.open += 1
                server = self.server
                try:
                    self.send_response(200)
                    self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                    self.end_headers()
                    while feed.server is server:
                        if feed.flowing.is_set():
                            jpeg = cv2.imencode(".jpg", numbered(feed.number, feed.scale))[1].tobytes()
                            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                            self.wfile.write(head.encode() + jpeg + b"\r\n")
                        time.sleep(1 / FPS)
                except OSError:  # the client has left
                    pass
                finally:
                    feed.open -= 1

            def log_message(self, *_):
                pass

        return Handler


def camera_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("camera ")]
