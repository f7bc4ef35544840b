"""The server behind the page: who is let in, and that no viewer, slow, vanished or hostile, holds anything up."""

import http.client
import json
import socket
import threading
import time

import numpy as np
import pytest

from tests.conftest import wait_until
from tests.page_client import Viewer, ask, frame, order, person
from utils.errors import InputError
from utils.live.page import page as module
from utils.live.page import server
from utils.live.page.page import Page
from utils.live.page.server import clean_name


@pytest.mark.parametrize(
    "name", ["", " ", "x" * 41, ".", "..", ".x", "a/b", "a\\b", "a\nb", "a\0b", "\u202ebo", 5, None]
)
def test_names_that_are_none(name):
    with pytest.raises(ValueError, match=r"A name has .*\.$"):
        clean_name(name)


def test_names():
    assert clean_name(" Anna ") == "Anna" and clean_name("x" * 40) == "x" * 40
    assert clean_name("Jose\u0301 李 O'Neil-Smith, Jr.") == "Jos\u00e9 李 O'Neil-Smith, Jr."


# ---- who may look ----


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "[", "192.168.1.5"])
def test_foreign_names_for_this_machine_are_refused(page, host):
    """DNS rebinding: a web site gives its own name our address, and so becomes our origin."""
    page.show(frame(), [person(1)])
    for path in ("/", "/people", "/live", "/crop/1"):
        assert ask(page, path, Host=host)[0] == 403
    assert order(page, "/forget", {"number": 1}, Host=host, Origin=f"http://{host}")[0] == 403
    assert page.commands() == []


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:9000", "127.0.0.1", "[::1]:80"])
def test_names_of_this_machine_are_not(page, host):
    assert ask(page, "/people", Host=host)[0] == 200  # the port may be that of a tunnel


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:1", "http://[", ""])
def test_orders_of_foreign_sites_are_refused(page, origin):
    page.show(frame(), [person(1)])
    assert order(page, "/forget", {"number": 1}, Origin=origin)[0] == 403
    assert page.commands() == []


def test_a_token_opens_every_path():
    with Page(0, token="pass word") as page:
        page.show(frame(), [person(1)])
        assert page.url == f"http://127.0.0.1:{page.port}/?token=pass%20word"
        for path in ("/", "/page.js", "/people", "/crop/1", "/live", "/?token=pass", "/?token=%FF", "/?token="):
            status, headers, _ = ask(page, path)
            assert status == 403 and "Set-Cookie" not in headers
            assert ask(page, path, Cookie=f"people_{page.port}=wrong; =;")[0] == 403
        assert order(page, "/forget", {"number": 1})[0] == 403
        status, headers, _ = ask(page, "/?token=pass%20word")
        cookie, *rules = headers["Set-Cookie"].split("; ")
        assert status == 200 and {"HttpOnly", "SameSite=Strict", "Path=/"} == set(rules)
        assert ask(page, "/people", Cookie=f"other=1; {cookie}")[0] == 200
        assert order(page, "/forget", {"number": 1}, Cookie=cookie)[0] == 204


def test_beyond_this_machine_there_is_always_a_token():
    with Page(0, host="0.0.0.0") as page, Page(0, host="0.0.0.0") as other:
        assert len(page.token) > 20 and page.token != other.token
        assert page.url.endswith(f":{page.port}/?token={page.token}") and "0.0.0.0" not in page.url
        assert ask(page, "/people", Host="jetson.local")[0] == 403
        assert ask(page, f"/?token={page.token}", Host="jetson.local")[0] == 200


def test_ipv6():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 on this machine")
    with Page(0, host="::1") as page:
        assert page.token is None and page.url == f"http://[::1]:{page.port}/"
        connection = http.client.HTTPConnection("::1", page.port, timeout=20)
        connection.request("GET", "/people")
        assert connection.getresponse().status == 200
        connection.close()


def test_a_place_that_cannot_be_had(page):
    with pytest.raises(InputError, match=f"--serve {page.port}: another program"):
        Page(page.port)
    with pytest.raises(InputError, match="--serve 70000 is no port"):
        Page(70000)
    with pytest.raises(InputError, match="--host 192.0.2.1 is no address of this machine"):
        Page(0, host="192.0.2.1")
    with pytest.raises(InputError, match="--host no.such.host.invalid is not known"):
        Page(0, host="no.such.host.invalid")


# ---- slow and vanishing viewers ----


def test_show_waits_for_nobody(page, monkeypatch):
    """A viewer's thread is held in the middle of compressing, another one while it sends."""
    large = np.random.default_rng(0).integers(0, 256, (720, 1280, 3), dtype=np.uint8)  # about 1 MB each as JPEG
    page.show(large, [person(1)])
    slow = Viewer(page, receive_buffer=4096)
    slow.read_until(b"image/jpeg\r\n\r\n")  # and takes no more of it
    begun, go_on = threading.Event(), threading.Event()
    monkeypatch.setattr(module, "encode", lambda picture: (begun.set(), go_on.wait(60)) and b"jpeg")
    vanishing = Viewer(page)
    vanishing.socket.close()
    held, waiting = Viewer(page, path="/crop/1"), Viewer(page)
    try:
        assert begun.wait(20)

        def camera_loop():
            for _ in range(300):
                page.show(frame(), [person(1)])
                page.commands()

        loop = threading.Thread(target=camera_loop, daemon=True)
        loop.start()
        loop.join(30)
        assert not loop.is_alive(), "show() waits for a viewer"
    finally:
        go_on.set()
        slow.socket.close(), held.socket.close(), waiting.socket.close()


def test_a_stuck_viewer_is_dropped_and_others_go_on(monkeypatch):
    monkeypatch.setattr(server.Handler, "timeout", 0.5)
    with Page(0) as page:
        large = np.random.default_rng(0).integers(0, 256, (720, 1280, 3), dtype=np.uint8)
        page.show(large, [])
        stuck = Viewer(page, receive_buffer=4096)
        stuck.read_until(b"image/jpeg\r\n\r\n")
        assert Viewer(page).picture().shape == (720, 1280, 3)
        wait_until(lambda: not page._server._viewers)  # that one left, the other was sent away
        with pytest.raises(AssertionError):
            stuck.read_until(b"\r\n--picture\r\n")


def test_requests_that_trickle_in_are_ended(monkeypatch):
    monkeypatch.setattr(server, "PATIENCE", 0.5)
    with Page(0) as page, socket.create_connection(("127.0.0.1", page.port), timeout=20) as trickle:
        with pytest.raises(OSError):
            for _ in range(400):  # each byte well within the socket's own time limit
                trickle.sendall(b"G")
                time.sleep(0.05)


def test_eight_viewers_and_a_ninth(page):
    page.show(frame(), [])
    viewers = [Viewer(page) for _ in range(server.MOST_VIEWERS)]
    for viewer in viewers:
        viewer.picture()
    status, _, words = ask(page, "/live")
    assert status == 503 and b"8 viewers look at the live picture already" in words
    assert json.loads(ask(page, "/people?somebody")[2])["watching"] is True
    viewers[0].socket.close()
    wait_until(lambda: len(page._server._viewers) < server.MOST_VIEWERS)
    assert Viewer(page).picture() is not None
    for viewer in viewers:
        viewer.socket.close()
    wait_until(lambda: json.loads(ask(page, "/people?somebody")[2])["watching"] is False)


def test_connections_are_bounded(page, monkeypatch):
    monkeypatch.setattr(server, "MOST_CONNECTIONS", 3)
    silent = [socket.create_connection(("127.0.0.1", page.port)) for _ in range(3)]
    wait_until(lambda: len(page._server._connections) == 3)
    with pytest.raises(OSError):
        ask(page, "/people")
    silent.pop().close()
    wait_until(lambda: len(page._server._connections) < 3)
    assert ask(page, "/people")[0] == 200
    for one in silent:
        one.close()


def test_close_ends_all_threads_whoever_still_looks():
    before = set(threading.enumerate())
    page = Page(0)
    page.show(np.random.default_rng(0).integers(0, 256, (720, 1280, 3), dtype=np.uint8), [])
    stuck = Viewer(page, receive_buffer=4096)
    stuck.read_until(b"image/jpeg\r\n\r\n")
    watching, silent = Viewer(page), socket.create_connection(("127.0.0.1", page.port))
    watching.picture()
    wait_until(lambda: len(page._server._connections) == 3)
    begun = time.monotonic()
    page.close()
    page.close()
    assert set(threading.enumerate()) <= before
    assert time.monotonic() - begun < server.PATIENCE / 2  # it did not wait for a time limit of theirs
    page.show(frame(), [])  # the camera loop may still be in the middle of a frame
    with Page(page.port):  # the port is free again
        pass
    stuck.socket.close(), watching.socket.close(), silent.close()
