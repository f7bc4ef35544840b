"""The web server behind utils/live/page/page.py: who may enter, and what is said to whom. Standard library only.

What it serves are people's pictures, so it is strict. On a loopback address it answers only to this machine's own
names: a foreign web site cannot reach it under a name of its own (DNS rebinding). Elsewhere every path needs the token.
Orders come as JSON from our own page only, and the page loads nothing from anywhere else.
"""

from __future__ import annotations

import errno
import json
import math
import re
import select
import socket
import socketserver
import sys
import threading
import time
from hmac import compare_digest
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit

from utils.errors import InputError
from utils.live.identities import clean_name

VIEWER_RATE = 15  # live pictures a second for each viewer, at most
MOST_VIEWERS = 8  # of the live picture
MOST_CONNECTIONS = 64
PATIENCE = 10  # seconds for a whole request, and for a live picture to be taken
SEND_BUFFER = 128 * 1024  # bytes on the way to a viewer: the larger, the older the picture that a slow one sees
LONGEST_BODY = 4096  # bytes
LARGEST_NUMBER = 2**31
FILES = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}
NEXT_PICTURE = b"\r\n--picture\r\nContent-Type: image/jpeg\r\n\r\n"
HEADERS = {
    "Cache-Control": "no-store",  # no browser keeps people's pictures on its disk
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Refusal(Exception):
    """A status of HTTP and the sentence that goes with it."""

    def __init__(self, status: int, words: str):
        super().__init__(words)
        self.status, self.words = status, words


class Server(ThreadingHTTPServer):
    """One thread for each connection. Knows them all: it has room for so many, and can send them away."""

    daemon_threads = True

    def __init__(self, page, family, address):
        self.page, self.address_family = page, family
        here = Path(__file__).parent
        self.files = {path: ((here / name).read_bytes(), kind) for path, (name, kind) in FILES.items()}
        self._lock = threading.Lock()
        self._connections = {}  # socket: (its thread, when its request has to be over)
        self._viewers = {}  # socket: what the viewer of a live picture calls itself
        super().__init__(address, Handler)

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)  # HTTPServer's own asks the DNS for a name, which can take long

    def process_request(self, request, client_address) -> None:
        thread = threading.Thread(target=self.process_request_thread, args=(request, client_address), daemon=True)
        with self._lock:
            room = len(self._connections) < MOST_CONNECTIONS
            if room:
                self._connections[request] = thread, time.monotonic() + PATIENCE
        if room:
            thread.start()
        else:
            self.shutdown_request(request)

    def shutdown_request(self, request) -> None:
        with self._lock:
            self._connections.pop(request, None)
            self._viewers.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Between two connections: ends requests that trickle in byte by byte."""
        self._hang_up(time.monotonic())

    def let_stay(self, request, viewer: str) -> bool:
        """A live picture goes on for as long as its viewer takes it; False if there are too many of them."""
        with self._lock:
            if len(self._viewers) >= MOST_VIEWERS:
                return False
            self._viewers[request] = viewer
            self._connections[request] = self._connections[request][0], math.inf
            return True

    def is_watching(self, viewer: str) -> bool:
        with self._lock:
            return viewer in self._viewers.values()

    def send_away(self) -> None:
        """Ends all connections and waits for their threads, which a closed socket wakes from sending."""
        threads, end = self._hang_up(math.inf), time.monotonic() + PATIENCE
        for thread in threads:
            thread.join(max(end - time.monotonic(), 0))

    def _hang_up(self, now: float) -> list:
        with self._lock:
            late = [(request, thread) for request, (thread, end) in self._connections.items() if end <= now]
        for request, _ in late:
            try:
                request.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # gone already
        return [thread for _, thread in late]

    def handle_error(self, request, client_address) -> None:
        if not isinstance(sys.exc_info()[1], OSError):  # those are viewers who left
            super().handle_error(request, client_address)


def open_server(page, port: int, host: str) -> Server:
    """Binds and listens; InputError in a sentence where that cannot be."""
    if not 0 <= port <= 65535:
        raise InputError(f"--serve {port} is no port: name one from 1024 to 65535")
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return Server(page, family, address)
    except (socket.gaierror, UnicodeError):
        raise InputError(f"--host {host} is not known here: name an address of this machine, or 0.0.0.0") from None
    except OSError as error:
        words = {
            errno.EADDRINUSE: f"--serve {port}: another program has this port, name another one",
            errno.EACCES: f"--serve {port} is a port for the system's own services: name one from 1024 to 65535",
            errno.EADDRNOTAVAIL: f"--host {host} is no address of this machine: name one of its own, or 0.0.0.0",
        }
        raise InputError(words.get(error.errno, f"--serve {port} --host {host}: {error.strerror}")) from None


class Handler(BaseHTTPRequestHandler):
    """One request. HTTP/1.0: each connection carries one, so that a thread is free as soon as it is answered."""

    timeout = PATIENCE
    server_version, sys_version = "people", ""

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        crop = re.fullmatch(r"/crop/([0-9]{1,10})", path)
        try:
            self._check_host()
            self._check_token(query)
            if path in FILES:
                content, kind = self.server.files[path]
                self._send(200, content, f"{kind}; charset=utf-8", cookie=path == "/")
            elif path == "/people":
                # No browser tells its page that a live picture has ended: one that stays away has to be told.
                answer = {"watching": self.server.is_watching(query), **self.server.page.people()}
                self._send(200, json.dumps(answer).encode(), "application/json")
            elif crop:
                self._send_crop(int(crop.group(1)))
            elif path == "/live":
                self._send_live(query)
            elif path == "/favicon.ico":
                self._send(204, b"", "image/x-icon")
            else:
                raise Refusal(404, "There is nothing at this address.")
        except Refusal as refusal:
            self._refuse(refusal)

    def do_POST(self) -> None:
        try:
            body = self._read_body()
            self._check_host()
            self._check_token("")
            self._check_origin()
            refused = self.server.page.order(self._command(body))
            if refused:
                raise Refusal(*refused)
            self._send(204, b"", "text/plain")
        except Refusal as refusal:
            self._refuse(refusal)

    # ---- who may enter ----

    def _check_host(self) -> None:
        """On loopback the port is not asked for: a tunnel (ssh -L) may lead here from another one."""
        page = self.server.page
        if page.hosts and host_name(self.headers.get("Host", "")) not in page.hosts:
            raise Refusal(403, "This page answers to the names localhost and 127.0.0.1 only.")

    def _check_token(self, query: str) -> None:
        token = self.server.page.token
        if token is None:
            return
        try:
            cookie = SimpleCookie(self.headers.get("Cookie", "")).get(self._cookie_name())
        except CookieError:
            cookie = None
        given = parse_qs(query, errors="replace").get("token", []) + ([unquote(cookie.value)] if cookie else [])
        if not any([compare_digest(one.encode("utf-8", "replace"), token.encode()) for one in given]):
            raise Refusal(403, "The demo prints the address of this page, with a token in it: open that one.")

    def _check_origin(self) -> None:
        """Browsers name the site whose page makes a request, and ask us first before it may send JSON elsewhere."""
        host = self.headers.get("Host", "").lower()
        if self.headers.get("Origin", f"http://{host}").lower() not in (f"http://{host}", f"https://{host}"):
            raise Refusal(403, "Orders are taken from the demo's own page only.")
        if self.headers.get_content_type() != "application/json":
            raise Refusal(415, "Orders are JSON: say Content-Type: application/json.")

    def _cookie_name(self) -> str:
        return f"people_{self.server.page.port}"  # cookies are shared by all ports of a host

    # ---- orders ----

    def _read_body(self) -> bytes:
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch(r"[0-9]{1,18}", length):
            raise Refusal(411, "An order says how long it is: Content-Length is missing.")
        if int(length) > LONGEST_BODY:
            self.rfile.read(min(int(length), 16 * LONGEST_BODY))  # one who still sends would not hear the answer
            raise Refusal(413, f"An order has at most {LONGEST_BODY} bytes.")
        return self.rfile.read(int(length))

    def _command(self, body: bytes) -> tuple:
        """What Page.commands() gives, from the path and a JSON body."""
        if self.path not in ("/name", "/forget"):
            raise Refusal(404, "There is nothing at this address.")
        try:
            wish = json.loads(body.decode("utf-8"))
        except (ValueError, RecursionError):
            raise Refusal(400, "This order is no JSON.") from None
        number = wish.get("number") if isinstance(wish, dict) else None
        if type(number) is not int or not 0 < number < LARGEST_NUMBER:
            raise Refusal(400, "An order says the number of a person.")
        if self.path == "/forget":
            return "forget", number
        try:
            return "name", number, clean_name(wish.get("name"))
        except ValueError as error:
            raise Refusal(400, str(error)) from None

    # ---- answers ----

    def _send(self, status: int, content: bytes, kind: str, cookie: bool = False) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        token = self.server.page.token
        if cookie and token:
            value = f"{self._cookie_name()}={quote(token, safe='')}"
            self.send_header("Set-Cookie", f"{value}; Path=/; HttpOnly; SameSite=Strict")
        self.end_headers()
        self.wfile.write(content)

    def end_headers(self) -> None:
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def _refuse(self, refusal: Refusal) -> None:
        self._send(refusal.status, (refusal.words + "\n").encode(), "text/plain; charset=utf-8")

    def _send_crop(self, number: int) -> None:
        jpeg = self.server.page.crop(number)
        if jpeg is None:
            raise Refusal(404, f"There is no picture of number {number}.")
        self._send(200, jpeg, "image/jpeg")

    def _send_live(self, viewer: str) -> None:
        """The newest picture, again and again, until the viewer leaves or takes none for too long."""
        if not self.server.let_stay(self.connection, viewer):
            raise Refusal(503, f"{MOST_VIEWERS} viewers look at the live picture already: close one of them.")
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=picture")
        self.end_headers()
        self.wfile.write(NEXT_PICTURE[2:])
        sent, left = None, []
        while not left:
            jpeg = self.server.page.picture()
            if jpeg is not sent:
                # Chromium shows a picture once it has seen the head of the next one, which so does not wait.
                self.wfile.write(jpeg + NEXT_PICTURE)
                sent = jpeg
            # A viewer says nothing more: what can be read is its leaving.
            left, _, _ = select.select([self.connection], [], [], 1 / VIEWER_RATE)

    def log_message(self, *_) -> None:
        pass  # the terminal belongs to the demo


def host_name(host: str) -> str:
    """The name in a Host header, without port and brackets; empty where it is malformed."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
