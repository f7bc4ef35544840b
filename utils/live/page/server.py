"""The web server of the page: who may see it, and which requests are valid. Standard library only.

It serves images of people, so it is strict. On a loopback address it answers only to the names of this machine, so that
a foreign web site cannot reach it under its own name (DNS rebinding). On other addresses every path needs the token,
and a client that tries tokens is delayed.
Requests must be JSON from the page itself, and the page loads no third-party content.
"""

from __future__ import annotations

import ipaddress
import json
import math
import re
import secrets
import select
import socket
import socketserver
import sys
import threading
import time
from hmac import compare_digest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote

from utils.errors import InputError, first_line
from utils.live.identities import Request, clean_name
from utils.live.page.clients import Connections, Guesses, Viewer, Viewers
from utils.live.page.page import MAX_FPS, Page

MAX_VIEWERS = 8  # of the live image
MAX_VIEWERS_PER_CLIENT = 4  # on a loopback address, where all clients have one address, MAX_VIEWERS
MAX_CONNECTIONS_PER_CLIENT = 32  # a browser opens 6 at a time
TIMEOUT = 10  # seconds for a client to send or to take some data
SEND_BUFFER = 128 * 1024  # bytes on the way to a viewer; the larger, the older the image that a slow viewer sees
MAX_PERSON_ID = 2**31
FILES = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}
NEXT_IMAGE = b"\r\n--image\r\nContent-Type: image/jpeg\r\n\r\n"
HEADERS = {
    "Cache-Control": "no-store",  # no browser stores images of people
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class HttpError(Exception):
    """HttpError(status, sentence): the answer to a request that is refused."""


class PageServer(ThreadingHTTPServer):
    """Serves a Page from threads of its own until close(), or the end of a `with`.

    Attributes:
        url: the address to open, with the token if there is one; port: the port in use.
        token: what viewers must present; None on a loopback address, where every user of this machine may look.
        hosts: the host names to answer to, None for any.
    """

    daemon_threads = True
    block_on_close = False  # a client that sends or takes nothing keeps its thread for up to TIMEOUT seconds
    request_queue_size = 128  # with the usual 5, a burst of connections makes other clients wait for seconds

    def __init__(self, page: Page, port: int, host: str = "127.0.0.1", token: str | None = None):
        """port: 0 takes any free one; token: made here if it is None or empty and the address is not loopback.

        InputError if the address cannot be used.
        """
        self.page = page
        self.closing = threading.Event()
        self.connections = Connections(MAX_CONNECTIONS_PER_CLIENT)
        folder = Path(__file__).parent
        self.files = {path: ((folder / name).read_bytes(), kind) for path, (name, kind) in FILES.items()}
        self._bind(port, host)
        address, self.port = self.server_address[:2]
        address = ipaddress.ip_address(address.split("%")[0])
        self.token = token or None  # an empty one would let everyone in
        self.hosts = None
        if address.is_loopback:
            self.hosts = {"localhost", "127.0.0.1", "::1", str(address), host.lower()}
        elif self.token is None:
            self.token = secrets.token_urlsafe(16)
        self.viewers = Viewers(MAX_VIEWERS, MAX_VIEWERS if address.is_loopback else MAX_VIEWERS_PER_CLIENT)
        self.guesses = None if self.token is None else Guesses(self.token)
        self.session = secrets.token_urlsafe(16)  # what the cookies of viewers with the right token begin with
        if address.is_unspecified:
            host = network_address()
        shown_host = f"[{host}]" if ":" in host else host
        query = "" if self.token is None else f"?token={quote(self.token, '')}"
        self.url = f"http://{shown_host}:{self.port}/{query}"
        self._thread = threading.Thread(target=self.serve_forever, args=(0.1,), name="page", daemon=True)
        self._thread.start()

    def _bind(self, port: int, host: str) -> None:
        """Starts to listen; InputError with the reason if that fails."""
        try:
            if not 0 <= port <= 65535:  # getaddrinfo would wrap it round
                raise OverflowError("there is no such port")
            self.address_family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            super().__init__(address, Handler)
        except (OSError, OverflowError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or first_line(error)
            raise InputError(
                f"the page cannot be served on host {host}, port {port} ({reason}): name a free port from 1024 to"
                " 65535, and an address of this machine or 0.0.0.0"
            ) from None

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)  # HTTPServer's own looks up a name in the DNS, which can take long

    def process_request(self, request, client_address) -> None:
        if self.connections.admit(request, client_address[0]):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request, client_address) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.connections.leave(request, client_address[0])

    def handle_error(self, request, client_address) -> None:
        if not isinstance(sys.exc_info()[1], OSError):  # those are viewers who left
            super().handle_error(request, client_address)

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """Ends the live images and frees the port. A second call does nothing."""
        if not self.closing.is_set():
            self.closing.set()
            self.shutdown()
            self._thread.join()
            self.server_close()
            self.page.close()


class Handler(BaseHTTPRequestHandler):
    """One request. With HTTP/1.0 a connection carries one request, and its thread then ends."""

    timeout = TIMEOUT
    server_version = "people"
    sys_version = ""

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        self.server.connections.request_arrived(self.connection, self.client_address[0])
        try:
            self._check_host()
            self._check_token(query)
            person_id = re.fullmatch(r"/crop/([0-9]{1,10})", path)
            crop = self.server.page.crop(int(person_id.group(1))) if person_id else None
            if path in FILES:
                content, kind = self.server.files[path]
                self._send(200, content, f"{kind}; charset=utf-8", set_cookie=path == "/")
            elif path == "/people":
                self._send(200, json.dumps(self.server.page.people()).encode(), "application/json")
            elif crop:
                self._send(200, crop, "image/jpeg")
            elif path == "/live":
                self._send_live()
            elif path == "/favicon.ico":
                self._send(204, b"", "image/x-icon")
            else:
                raise HttpError(404, "There is nothing at this address.")
        except HttpError as error:
            self._send_error(error)

    def do_POST(self) -> None:
        try:
            body = self._read_body()
            self.server.connections.request_arrived(self.connection, self.client_address[0])
            self._check_host()
            self._check_token("")
            self._check_origin()
            request = self._parse_request(body)
            if not self.server.page.add_request(request):
                raise HttpError(404, f"Person {request.person_id} is no longer known.")
            self._send(204, b"", "text/plain")
        except HttpError as error:
            self._send_error(error)

    # ---- who may see it ----

    def _check_host(self) -> None:
        """Checks the host name on a loopback address. Any port is right, since a tunnel (ssh -L) may lead here."""
        name = re.sub(r":\d+$", "", self.headers.get("Host", "")).strip("[]").lower()
        if self.server.hosts and name not in self.server.hosts:
            raise HttpError(403, "This page answers only to the names localhost and 127.0.0.1.")

    def _check_token(self, query: str) -> None:
        """Accepts the token from the query of the address, or the cookie that _send sets.

        Its first part shows that this server has let the viewer in, and no delay applies. The token in it lets the
        viewer in again after a restart.
        """
        if self.server.token is None:
            return
        cookies = dict(cookie.strip().partition("=")[::2] for cookie in self.headers.get("Cookie", "").split(";"))
        session, _, token = cookies.get(self._cookie_name(), "").rpartition(":")
        if compare_digest(session.encode("utf-8", "replace"), self.server.session.encode()):
            return
        given = parse_qs(query, errors="replace").get("token", [unquote(token)])[0]  # more than one would be guessing
        is_right, seconds = self.server.guesses.check(given, self.client_address[0]) if given else (False, 0)
        if seconds:
            raise HttpError(429, f"Too many wrong tokens: try again in {math.ceil(seconds)} seconds.")
        if not is_right:
            raise HttpError(403, "Open the address that the demo has printed: it contains the token of this page.")

    def _check_origin(self) -> None:
        """Refuses requests of other web sites: browsers name the site, and ask first before it may send JSON here."""
        host = self.headers.get("Host", "").lower()
        if self.headers.get("Origin", f"http://{host}").lower() not in (f"http://{host}", f"https://{host}"):
            raise HttpError(403, "Requests are accepted only from the page of the demo.")
        if self.headers.get_content_type() != "application/json":
            raise HttpError(415, "Requests must have the Content-Type application/json.")

    def _cookie_name(self) -> str:
        return f"people_{self.server.port}"  # browsers share cookies among all ports of a host

    # ---- requests ----

    def _read_body(self) -> bytes:
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch(r"[0-9]{1,4}", length):
            raise HttpError(413, "A request needs a Content-Length header and has at most 9999 bytes.")
        return self.rfile.read(int(length))

    def _parse_request(self, body: bytes) -> Request:
        """The Request of the path, /name or /forget, and of a JSON body."""
        action = self.path[1:]
        if action not in ("name", "forget"):
            raise HttpError(404, "There is nothing at this address.")
        try:
            content = json.loads(body.decode("utf-8"))
        except (ValueError, RecursionError):
            raise HttpError(400, "The request is not valid JSON.") from None
        person_id = content.get("person_id") if isinstance(content, dict) else None
        if type(person_id) is not int or not 0 < person_id < MAX_PERSON_ID:
            raise HttpError(400, "The request needs a person_id, a whole number above 0.")
        if action == "forget":
            return Request("forget", person_id)
        try:
            return Request("name", person_id, clean_name(content.get("name")))
        except ValueError as error:
            raise HttpError(400, str(error)) from None

    # ---- answers ----

    def _send(self, status: int, content: bytes, kind: str, set_cookie: bool = False) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        token = self.server.token
        if set_cookie and token:
            value = f"{self._cookie_name()}={self.server.session}:{quote(token, safe='')}"
            self.send_header("Set-Cookie", f"{value}; Path=/; HttpOnly; SameSite=Strict")
        self.end_headers()
        self.wfile.write(content)

    def end_headers(self) -> None:
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def _send_error(self, error: HttpError) -> None:
        status, sentence = error.args
        self._send(status, f"{sentence}\n".encode(), "text/plain; charset=utf-8")

    def _send_live(self) -> None:
        """Sends the newest image again and again, until the viewer leaves or takes no data for TIMEOUT seconds."""
        viewer = Viewer(self.connection, self.client_address[0])
        if not self.server.viewers.enter(viewer):
            raise HttpError(
                503,
                f"{MAX_VIEWERS} viewers are watching the live image already, or as many on this computer as one may"
                " have: close one of them.",
            )
        try:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=image")
            self.end_headers()
            self.wfile.write(NEXT_IMAGE[2:])
            sent = None
            left = []
            while not left and not self.server.closing.is_set():
                jpeg = self.server.page.live_image()
                if jpeg is not sent:
                    # Chromium shows an image once it has the header of the next one, so that header is sent at once.
                    viewer.since = time.monotonic()
                    self.wfile.write(jpeg + NEXT_IMAGE)
                    viewer.since = None
                    sent = jpeg
                # A viewer sends nothing more: a readable connection is one that was closed.
                left, _, _ = select.select([self.connection], [], [], 1 / MAX_FPS)
        finally:
            self.server.viewers.leave(viewer)

    def log_message(self, *_) -> None:
        pass  # the terminal belongs to the demo


def network_address() -> str:
    """This machine's address on the network, else loopback. Connecting a datagram socket sends no data."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(("192.0.2.1", 9))  # an address for documentation, RFC 5737
            return probe.getsockname()[0]
    except OSError:
        return "127.0.0.1"
