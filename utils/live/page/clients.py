"""What one client of the page may take, so that it can lock out nobody else: connections, live images, wrong tokens.

A client is an address. Threads of several connections use these objects at the same time.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import deque
from hmac import compare_digest

STUCK = 2  # seconds without taking any data after which a viewer gives up its place, if another one needs it
FREE_GUESSES = 3  # wrong tokens of a client before the first delay
LONGEST_DELAY = 60  # seconds
MAX_CLIENTS = 1024  # whose wrong tokens are remembered


class Connections:
    """The open connections of each client, at most `most` of them.

    A client that opens more loses the one that has waited longest without sending its request.
    """

    def __init__(self, most: int):
        self._most = most
        self._lock = threading.Lock()
        self._open = {}  # address -> {connection: whether its request has arrived}, the oldest first

    def admit(self, connection: socket.socket, address: str) -> bool:
        """Counts a new connection; False if the client has too many that are being answered."""
        with self._lock:
            mine = self._open.setdefault(address, {})
            if len(mine) >= self._most:
                silent = next((other for other, has_arrived in mine.items() if not has_arrived), None)
                if silent is None:
                    return False
                del mine[silent]
                hang_up(silent)
            mine[connection] = False
            return True

    def request_arrived(self, connection: socket.socket, address: str) -> None:
        """Notes that this connection is no longer silent."""
        with self._lock:
            mine = self._open.get(address, {})
            if connection in mine:
                mine[connection] = True

    def leave(self, connection: socket.socket, address: str) -> None:
        """Forgets a connection that has ended."""
        with self._lock:
            mine = self._open.get(address, {})
            mine.pop(connection, None)
            if not mine:
                self._open.pop(address, None)


class Viewer:
    """One viewer of the live image. since: when the write under way began, None between two writes."""

    def __init__(self, connection: socket.socket, address: str):
        self.connection = connection
        self.address = address
        self.since = None

    def stuck_seconds(self) -> float:
        since = self.since
        return 0.0 if since is None else time.monotonic() - since


class Viewers:
    """The viewers of the live image: at most `most`, and `most_per_client` of each client."""

    def __init__(self, most: int, most_per_client: int):
        self._most = most
        self._most_per_client = most_per_client
        self._lock = threading.Lock()
        self._watching = []

    def enter(self, viewer: Viewer) -> bool:
        """Gives the viewer a place, if need be that of a viewer who is stuck; False if there is none."""
        with self._lock:
            crowd = [other for other in self._watching if other.address == viewer.address]
            if len(crowd) < self._most_per_client:
                crowd = self._watching
                if len(crowd) < self._most:
                    self._watching.append(viewer)
                    return True
            stuck = max(crowd, key=Viewer.stuck_seconds)
            if stuck.stuck_seconds() < STUCK:
                return False
            self._watching.remove(stuck)
            hang_up(stuck.connection)
            self._watching.append(viewer)
            return True

    def leave(self, viewer: Viewer) -> None:
        """Frees the place, unless another viewer has it by now."""
        with self._lock:
            if viewer in self._watching:
                self._watching.remove(viewer)


class Guesses:
    """Delays clients that try tokens: FREE_GUESSES wrong ones cost nothing, the next 1 second, then 2, 4, ... up to
    LONGEST_DELAY.

    A wrong token that a client repeats is no guess: a page that was left open repeats the token of an earlier run.
    """

    def __init__(self, token: str, clock=time.monotonic):
        self._token = token.encode()
        self._clock = clock
        self._lock = threading.Lock()
        self._clients = {}  # address -> (number of wrong tokens, when the delay ends, the hashes of the last ones)

    def check(self, token: str, address: str) -> tuple:
        """(whether the token is right, seconds for which it was not looked at: 0 if it was)"""
        with self._lock:
            wrong, delayed_until, recent = self._clients.get(address, (0, 0.0, deque(maxlen=8)))
            now = self._clock()
            if wrong and now < delayed_until:
                return False, delayed_until - now
            if compare_digest(token.encode("utf-8", "replace"), self._token):
                self._clients.pop(address, None)
                return True, 0.0
            if hash(token) not in recent:
                recent.append(hash(token))
                wrong += 1
                if wrong > FREE_GUESSES:
                    delayed_until = now + min(2.0 ** min(wrong - FREE_GUESSES - 1, 30), LONGEST_DELAY)
                self._clients.pop(address, None)  # the newest last
                self._clients[address] = wrong, delayed_until, recent
                if len(self._clients) > MAX_CLIENTS:
                    self._clients.pop(next(iter(self._clients)))
            return False, 0.0


def hang_up(connection: socket.socket) -> None:
    """Ends a connection that another thread reads or writes; that thread then closes it."""
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # it has ended by itself
