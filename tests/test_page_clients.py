"""What one client of the page may take: silent connections, viewers who are stuck and guessed tokens delay nobody else.

Linux owns all of 127.0.0.0/8, so clients with several addresses need no other machine.
"""

import socket

import pytest

from tests.helpers import wait_until
from tests.page_client import Viewer, ask, frame, large_frame, person
from utils.live.page import clients
from utils.live.page import server as module
from utils.live.page.clients import Guesses
from utils.live.page.page import Page
from utils.live.page.server import PageServer

OTHER = "127.0.0.2"


class Clock:
    """A clock that stands still until it is told to go on."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def connect(server, address="127.0.0.1"):
    """An open connection that sends nothing."""
    connection = socket.socket()
    connection.settimeout(20)
    connection.bind((address, 0))
    connection.connect(("127.0.0.1", server.port))
    return connection


@pytest.fixture
def patient(monkeypatch):
    """A page on all addresses, which waits for silent clients for longer than any test."""
    monkeypatch.setattr(module.Handler, "timeout", 3600)
    with PageServer(Page(), 0, host="0.0.0.0", token="word") as server:
        server.page.show(frame(), [person(1)])
        yield server


# ---- connections ----


def test_silent_connections_lock_nobody_out(patient):
    """A client loses the oldest of its own silent connections; those of others stay."""
    other = connect(patient, OTHER)
    silent = [connect(patient) for _ in range(100)]
    kept = module.MAX_CONNECTIONS_PER_CLIENT
    try:
        for connection in silent[:-kept]:
            assert connection.recv(1) == b""  # closed by the server
        assert ask(patient, "/people?token=word")[0] == 200
        assert ask(patient, "/people?token=word", address=OTHER)[0] == 200
        other.sendall(b"GET /people?token=word HTTP/1.0\r\n\r\n")
        assert other.recv(100).startswith(b"HTTP/1.0 200")
        silent[-1].sendall(b"GET /people?token=word HTTP/1.0\r\n\r\n")
        assert silent[-1].recv(100).startswith(b"HTTP/1.0 200")
    finally:
        for connection in [other, *silent]:
            connection.close()


def test_half_a_request_is_silence(patient):
    """Headers that never end, or a body that never comes."""
    patient.connections._most = 2
    halves = [connect(patient) for _ in range(2)]
    halves[0].sendall(b"GET /people HTTP/1.0\r\nHost: ")
    halves[1].sendall(b"POST /name HTTP/1.0\r\nContent-Length: 9\r\n\r\n")
    more = [connect(patient) for _ in range(2)]
    for half in halves:
        assert half.recv(1) == b""
    assert ask(patient, "/people?token=word")[0] == 200
    for connection in [*halves, *more]:
        connection.close()


def test_connections_that_are_answered_are_not_cut(patient):
    """With as many live images as connections, a further connection of this client is refused, that of another not."""
    patient.connections._most = 3
    watching = [Viewer(patient, path="/live?token=word") for _ in range(3)]
    for viewer in watching:
        viewer.image()
    with connect(patient) as refused:
        assert refused.recv(1) == b""
    assert ask(patient, "/people?token=word", address=OTHER)[0] == 200
    patient.page.show(frame(200), [])
    for viewer in watching:
        viewer.image()
        viewer.socket.close()
    wait_until(lambda: not patient.connections._open)  # nothing is counted for ever


# ---- viewers ----


def test_a_client_takes_only_a_part_of_the_places(patient):
    watching = [Viewer(patient, path="/live?token=word") for _ in range(module.MAX_VIEWERS_PER_CLIENT)]
    for viewer in watching:
        viewer.image()
    status, _, sentence = ask(patient, "/live?token=word")
    assert status == 503 and b"as many on this computer as one may have" in sentence
    with Viewer(patient, path="/live?token=word", address=OTHER) as other:
        assert other.image().shape == (96, 160, 3)
    for viewer in watching:
        viewer.socket.close()


@pytest.mark.parametrize("address", ["127.0.0.1", OTHER])
def test_a_stuck_viewer_gives_up_its_place(patient, monkeypatch, address):
    """No other viewer waits until the stuck one is dropped, which here would take an hour."""
    patient.viewers._most = patient.viewers._most_per_client = 2
    patient.page.show(large_frame(), [])
    with Viewer(patient, 4096, "/live?token=word") as stuck, Viewer(patient, path="/live?token=word") as watching:
        stuck.read_until(b"image/jpeg\r\n\r\n")
        watching.image()
        monkeypatch.setattr(clients, "STUCK", 3600)
        assert ask(patient, "/live?token=word", address=address)[0] == 503
        monkeypatch.setattr(clients, "STUCK", 1e-9)
        # The other viewer took its image: soon only the write to the stuck one is under way.
        wait_until(lambda: sum(viewer.since is not None for viewer in patient.viewers._watching) == 1)
        with Viewer(patient, path="/live?token=word", address=address) as late:
            assert late.image().shape == (720, 1280, 3)
            with pytest.raises(AssertionError):
                stuck.read_until(b"\r\n--image\r\n")
            patient.page.show(frame(), [])
            watching.image()


# ---- tokens ----


def test_wrong_tokens_delay_their_client_only(patient):
    clock = Clock()
    patient.guesses._clock = clock
    statuses = [ask(patient, f"/people?token=guess{number}")[0] for number in range(6)]
    assert statuses == [403, 403, 403, 403, 429, 429]
    status, _, sentence = ask(patient, "/?token=word")  # not even looked at
    assert (status, sentence) == (429, b"Too many wrong tokens: try again in 1 seconds.\n")
    assert ask(patient, "/?token=word", address=OTHER)[0] == 200
    clock.now += 1
    assert ask(patient, "/?token=word")[0] == 200


def test_viewers_who_were_let_in_are_not_delayed(patient):
    """Somebody behind the same router guesses; the cookie of the others holds on, and cannot be guessed itself."""
    cookie = ask(patient, "/?token=word")[1]["Set-Cookie"].split(";")[0]
    for number in range(5):
        ask(patient, "/people", Cookie=f"people_{patient.port}=guess{number}")
    assert ask(patient, "/people", Cookie=f"people_{patient.port}=:word")[0] == 429
    assert ask(patient, "/people", Cookie=cookie)[0] == 200


def test_a_cookie_outlives_a_restart_with_the_same_token():
    with PageServer(Page(), 0, token="a:b c") as server:
        cookie = ask(server, "/?token=a:b%20c")[1]["Set-Cookie"].split(";")[0]
    with PageServer(Page(), server.port, token="a:b c") as server:
        assert ask(server, "/people", Cookie=cookie)[0] == 200
    with PageServer(Page(), server.port, token="another") as server:
        assert ask(server, "/people", Cookie=cookie)[0] == 403


def test_a_page_that_was_left_open_delays_nobody(patient):
    """It asks again and again with the token of an earlier run; no token at all is no guess either."""
    for _ in range(20):
        assert ask(patient, "/people", Cookie=f"people_{patient.port}=old:old")[0] == 403
        assert ask(patient, "/people")[0] == 403
    assert ask(patient, "/?token=word")[0] == 200


def test_one_request_is_one_guess(patient):
    many = "&".join(f"token=guess{number}" for number in range(50))
    assert ask(patient, f"/?{many}&token=word")[0] == 403


def test_the_delay_grows_to_a_minute():
    """1,000 guesses by somebody who waits out each delay take hours, whatever the token."""
    clock = Clock()
    guesses = Guesses("word", clock)
    delays = []
    for number in range(1000):
        assert guesses.check(f"guess{number}", "a") == (False, 0.0)
        delays.append(guesses.check(f"guess{number}", "a")[1])  # repeated, it counts as nothing
        clock.now += delays[-1]
    assert delays[:10] == [0, 0, 0, 1, 2, 4, 8, 16, 32, 60] and set(delays[10:]) == {60}


def test_memory_of_guesses_is_bounded(monkeypatch):
    monkeypatch.setattr(clients, "MAX_CLIENTS", 10)
    guesses = Guesses("word", Clock())
    for number in range(100):
        guesses.check("guess", f"client{number}")
    assert list(guesses._clients) == [f"client{number}" for number in range(90, 100)]
