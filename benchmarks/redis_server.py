"""A real redis-server on this machine, for the benchmark and the tests of people known to several boards."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import time

from utils.errors import InputError

START_SECONDS = 60.0  # within which it must answer


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class RedisServer:
    """Runs on a port of its own until stop(); start() afterwards runs it again there, with the data if it keeps any."""

    def __init__(self, folder, *options, keeps=False):
        """options: more of redis-server's; keeps: whether all data is on disk. InputError if it cannot be started."""
        program = shutil.which("redis-server")
        if program is None:
            raise InputError("redis-server is not installed: apt-get install redis-server")
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._command = [program, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
        self._command += ["--appendonly", "yes" if keeps else "no", "--appendfsync", "always", *map(str, options)]
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise InputError(f"redis-server does not start: see why with {' '.join(self._command)}")
            time.sleep(0.02)

    def _answers(self) -> bool:
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
        """A client of the package redis."""
        import redis

        return redis.Redis.from_url(self.url)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.stop()
