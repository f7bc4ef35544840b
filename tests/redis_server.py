"""A real redis-server on this machine, for the tests of people known to several demos."""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import signal
import socket
import subprocess

import pytest

from tests.helpers import wait_until

PROGRAM = shutil.which("redis-server")
needs_redis = pytest.mark.skipif(
    PROGRAM is None or importlib.util.find_spec("redis") is None,
    reason="no Redis: apt-get install redis-server, and pip install -r requirements-dev.txt",
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class RedisServer:
    """Runs on a port of its own until stop(); start() afterwards runs it again there, with the data if it keeps any."""

    def __init__(self, folder, *options, keeps=False):
        """options: more of redis-server's; keeps: whether all data is on disk."""
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._command = [PROGRAM, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
        self._command += ["--appendonly", "yes" if keeps else "no", "--appendfsync", "always", *map(str, options)]
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        wait_until(self._answers)

    def _answers(self) -> bool:
        assert self._process.poll() is None, "redis-server ended"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith((b"+PONG", b"-NOAUTH"))  # not -LOADING
        return False

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    @contextlib.contextmanager
    def hanging(self):
        """The server accepts connections and answers nothing."""
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def client(self):
        import redis

        return redis.Redis.from_url(self.url)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.stop()
