"""The server of the page: who is let in, and that no viewer, slow, vanished or hostile, delays anything."""

import http.client
import socket
import threading

import numpy as np
import pytest

from tests.helpers import wait_until
from tests.page_client import Viewer, ask, frame, large_frame, person, post
from utils.errors import InputError
from utils.live.identities import Request
from utils.live.page import page as page_module
from utils.live.page import server as module
from utils.live.page.page import Page
from utils.live.page.server import PageServer

# ---- who may see it ----


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "[", "192.168.1.5"])
def test_foreign_names_for_this_machine_are_refused(server, host):
    """DNS rebinding: a web site gives its own name our address, and so becomes our origin."""
    server.page.show(frame(), [person(1)])
    for path in ("/", "/people", "/live", "/crop/1"):
        assert ask(server, path, Host=host)[0] == 403
    assert post(server, "/forget", {"person_id": 1}, Host=host, Origin=f"http://{host}")[0] == 403
    assert server.page.requests() == []


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:9000", "127.0.0.1", "[::1]:80"])
def test_names_of_this_machine_are_accepted(server, host):
    assert ask(server, "/people", Host=host)[0] == 200  # the port may be that of a tunnel


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:1", "http://[", ""])
def test_requests_of_foreign_sites_are_refused(server, origin):
    server.page.show(frame(), [person(1)])
    assert post(server, "/forget", {"person_id": 1}, Origin=origin)[0] == 403
    assert server.page.requests() == []


def test_a_token_opens_every_path():
    with PageServer(Page(), 0, token="pass word") as server:
        server.page.show(frame(), [person(1)])
        assert server.url == f"http://127.0.0.1:{server.port}/?token=pass%20word"
        for path in ("/", "/page.js", "/people", "/crop/1", "/live", "/?token=pass", "/?token=%FF", "/?token="):
            status, headers, _ = ask(server, path)
            assert status == 403 and "Set-Cookie" not in headers
            assert ask(server, path, Cookie=f"people_{server.port}=wrong; =;")[0] == 403
        assert post(server, "/forget", {"person_id": 1})[0] == 403
        status, headers, _ = ask(server, "/?token=pass%20word")
        cookie, *rules = headers["Set-Cookie"].split("; ")
        assert status == 200 and {"HttpOnly", "SameSite=Strict", "Path=/"} == set(rules)
        assert ask(server, "/people", Cookie=f"other=1; {cookie}")[0] == 200
        assert post(server, "/forget", {"person_id": 1}, Cookie=cookie)[0] == 204


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_an_empty_token_is_none(host):
    """As in --token "$UNSET": an empty token must not let everyone in."""
    with PageServer(Page(), 0, host, token="") as server:
        assert server.token is None if host == "127.0.0.1" else len(server.token) > 20
        assert ask(server, "/people")[0] == (200 if server.token is None else 403)


def test_other_addresses_always_have_a_token():
    with PageServer(Page(), 0, host="0.0.0.0") as server, PageServer(Page(), 0, host="0.0.0.0") as other:
        assert len(server.token) > 20 and server.token != other.token
        assert server.url.endswith(f":{server.port}/?token={server.token}") and "0.0.0.0" not in server.url
        assert ask(server, "/people", Host="jetson.local")[0] == 403
        assert ask(server, f"/?token={server.token}", Host="jetson.local")[0] == 200


def test_ipv6():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 on this machine")
    with PageServer(Page(), 0, host="::1") as server:
        assert server.token is None and server.url == f"http://[::1]:{server.port}/"
        connection = http.client.HTTPConnection("::1", server.port, timeout=20)
        connection.request("GET", "/people")
        assert connection.getresponse().status == 200
        connection.close()


def test_addresses_that_cannot_be_used(server):
    for port, host in ((server.port, "127.0.0.1"), (70000, "127.0.0.1"), (0, "192.0.2.1"), (0, "no.host.invalid")):
        with pytest.raises(InputError, match=f"cannot be served on host {host}, port {port} .*: name a free port"):
            PageServer(Page(), port, host)


# ---- requests ----


def test_requests_reach_the_camera_loop_in_order(server):
    server.page.show(frame(), [person(1), person(2)])
    assert post(server, "/name", {"person_id": 1, "name": "  Anna  "})[0] == 204
    origin = f"http://127.0.0.1:{server.port}"
    assert post(server, "/forget", {"person_id": 2}, Origin=origin)[0] == 204
    assert server.page.requests() == [Request("name", 1, "Anna"), Request("forget", 2)]
    assert server.page.requests() == []


MALFORMED = [b"", b"{", b"[1]", b"\xff", b"[" * 4000, {}, {"person_id": "1"}, {"person_id": True}, {"person_id": -1}]


@pytest.mark.parametrize("content", MALFORMED)
def test_malformed_requests_are_refused(server, content):
    server.page.show(frame(), [person(1)])
    for path in ("/name", "/forget"):
        status, sentence = post(server, path, content)
        assert status == 400 and sentence.strip().endswith(".")
    assert server.page.requests() == []


def test_requests_that_cannot_be_executed(server):
    server.page.show(frame(), [person(1)])
    assert post(server, "/forget", {"person_id": 5}) == (404, "Person 5 is no longer known.\n")
    assert post(server, "/elsewhere", {"person_id": 1})[0] == 404
    assert post(server, "/name", {"person_id": 1})[0] == 400
    assert post(server, "/name", {"person_id": 1, "name": "a/b"})[0] == 400
    assert post(server, "/forget", {"person_id": 1, "more": "x" * 20000})[0] == 413
    assert post(server, "/forget", {"person_id": 1}, Content_Type="text/plain")[0] == 415  # as a foreign form can send
    assert post(server, "/forget", {"person_id": 1}, Content_Length="-1")[0] == 413
    assert ask(server, "/people", "DELETE")[0] == ask(server, "/forget", "OPTIONS")[0] == 501
    assert server.page.requests() == []


# ---- slow and vanishing viewers ----


def test_show_waits_for_no_viewer(server, monkeypatch):
    """One viewer takes no data, the thread of another is stopped while it compresses."""
    server.page.show(large_frame(), [person(1)])
    slow = Viewer(server, receive_buffer=4096)
    slow.read_until(b"image/jpeg\r\n\r\n")
    begun = threading.Event()
    go_on = threading.Event()
    monkeypatch.setattr(page_module, "encode_jpeg", lambda image: (begun.set(), go_on.wait(60)) and b"jpeg")
    held = Viewer(server, path="/crop/1")
    waiting = Viewer(server)

    def camera_loop():
        for _ in range(300):
            server.page.show(frame(), [person(1)])
            server.page.requests()

    with slow, held, waiting:
        try:
            assert begun.wait(20)
            loop = threading.Thread(target=camera_loop, daemon=True)
            loop.start()
            loop.join(30)
            assert not loop.is_alive(), "show() waits for a viewer"
        finally:
            go_on.set()


def test_a_stuck_viewer_is_dropped_and_others_continue(monkeypatch):
    monkeypatch.setattr(module, "MAX_VIEWERS", 2)
    monkeypatch.setattr(module.Handler, "timeout", 0.5)
    with PageServer(Page(), 0) as server:
        server.page.show(large_frame(), [])
        with Viewer(server, receive_buffer=4096) as stuck, Viewer(server) as other:
            stuck.read_until(b"image/jpeg\r\n\r\n")
            assert other.image().shape == (720, 1280, 3)
            assert ask(server, "/live")[0] == 503
            wait_until(lambda: can_watch(server))  # the stuck viewer was dropped
            with pytest.raises(AssertionError):
                stuck.read_until(b"\r\n--image\r\n")


def can_watch(server):
    """Whether there is room for one more viewer; leaves at once."""
    with Viewer(server) as viewer:
        return b"200 OK" in viewer.read_until(b"\r\n")


def test_eight_viewers_and_a_ninth(server):
    server.page.show(frame(), [])
    viewers = [Viewer(server) for _ in range(module.MAX_VIEWERS)]
    for viewer in viewers:
        viewer.image()
    status, _, sentence = ask(server, "/live")
    assert status == 503 and b"8 viewers are watching the live image already" in sentence
    viewers.pop().socket.close()
    wait_until(lambda: can_watch(server))
    for viewer in viewers:
        viewer.socket.close()


def test_close_ends_live_images_and_frees_the_port():
    before = set(threading.enumerate())
    server = PageServer(Page(), 0)
    server.page.show(large_frame(), [person(1)])
    with Viewer(server, receive_buffer=4096) as stuck, Viewer(server) as watching:
        stuck.read_until(b"image/jpeg\r\n\r\n")
        assert watching.image().shape == (720, 1280, 3)
        server.close()
        server.close()
        with pytest.raises(AssertionError):
            while True:
                watching.image()  # until the end of the connection
        server.page.show(frame(), [person(1)])  # the camera loop may be in the middle of a frame
        assert server.page.crop(1) is None  # no thread enters OpenCV any more
        with PageServer(Page(), server.port):  # the port is free again
            pass
    wait_until(lambda: set(threading.enumerate()) <= before)


def test_closing_does_not_wait_for_a_silent_client(monkeypatch):
    monkeypatch.setattr(module.Handler, "timeout", 3600)
    server = PageServer(Page(), 0)
    with socket.create_connection(("127.0.0.1", server.port)):
        server.close()  # a wait would be longer than any test


def test_nothing_is_loaded_from_elsewhere_or_stored(server):
    for path in ("/", "/page.css", "/page.js"):
        status, headers, content = ask(server, path)
        assert status == 200 and b"http" not in content
        assert headers["Cache-Control"] == "no-store" and "default-src 'none'" in headers["Content-Security-Policy"]
    assert b"innerHTML" not in content


def test_live_frames_are_decodable(server):
    server.page.show(frame(90), [])
    with Viewer(server) as one, Viewer(server) as other:
        for viewer in (one, other):
            image = viewer.image()
            assert image.shape == (96, 160, 3)
            assert np.abs(image.astype(int) - frame(90))[:, 4:-4].mean() < 3
        for brightness in (100, 150, 200):
            server.page.show(frame(brightness), [])
        wait_until(lambda: abs(one.image()[:, 4:60, 0].mean() - 200) < 3)  # the newest one
