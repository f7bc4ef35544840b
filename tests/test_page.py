"""The page, over loopback as programs ask for it, and in a real browser: what viewers see, order, and may not do."""

import http.client
import json
import re
import socket
import threading
import time

import cv2
import numpy as np
import pytest

from tests import browser
from utils import page as module
from utils import web
from utils.options import InputError
from utils.page import Page
from utils.web import clean_name

JSON = {"Content-Type": "application/json"}


def frame(brightness=90, size=(96, 160)):
    """(H, W, 3) uint8 BGR: blue on the left, red on the right, so that swapped channels or sides show."""
    picture = np.zeros((*size, 3), np.uint8)
    picture[:, : size[1] // 2, 0] = brightness
    picture[:, size[1] // 2 :, 2] = brightness
    return picture


def crop(red=200):
    return np.full((64, 32, 3), (red, 40, 40), np.uint8)  # RGB


def person(number, **changes):
    person = {"number": number, "name": None, "camera": "door", "similarity": 0.75, "present": True}
    return {**person, "seconds_ago": 0.0, "crop": crop(), **changes}


@pytest.fixture
def page():
    with Page(0) as served:
        yield served


def ask(page, path, method="GET", body=None, **headers):
    """(status, headers, body) as a client of this machine gets them; header names with _ for -."""
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=20)
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body=body, headers=headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, answer.headers, content


def order(page, path, wish, **headers):
    headers = {"Content_Type": "application/json", **headers}
    status, _, words = ask(page, path, "POST", wish if isinstance(wish, (bytes, str)) else json.dumps(wish), **headers)
    return status, words.decode()


def people(page):
    return json.loads(ask(page, "/people")[2])["people"]


class Viewer:
    """Looks at the live picture through a plain socket, and reads only when told to."""

    def __init__(self, page, receive_buffer=None, path="/live?somebody"):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(20)
        self.socket.connect(("127.0.0.1", page.port))
        self.socket.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        self.said = b""

    def read_until(self, mark):
        while mark not in self.said:
            said = self.socket.recv(1 << 16)
            assert said, self.said[:200]
            self.said += said
        before, self.said = self.said.split(mark, 1)
        return before

    def picture(self):
        """The next live picture, decoded."""
        self.read_until(b"image/jpeg\r\n\r\n")
        return cv2.imdecode(np.frombuffer(self.read_until(b"\r\n--picture"), np.uint8), cv2.IMREAD_COLOR)


def wait_until(true, timeout=20):
    end = time.monotonic() + timeout
    while not true():
        assert time.monotonic() < end, "never true"
        time.sleep(0.01)


# ---- what viewers see ----


def test_live_picture_is_the_newest_frame(page):
    page.show(frame(90), [])
    viewers = [Viewer(page), Viewer(page)]
    for viewer in viewers:
        seen = viewer.picture()
        assert seen.shape == (96, 160, 3)
        assert np.abs(seen.astype(int) - frame(90))[:, 4:-4].mean() < 3
    for brightness in (100, 150, 200):
        page.show(frame(brightness), [])
    wait_until(lambda: abs(viewers[0].picture()[:, 4:60, 0].mean() - 200) < 3)
    for viewer in viewers:
        viewer.socket.close()


def test_a_frame_is_compressed_once_for_all_viewers(page, monkeypatch):
    encoded = []
    monkeypatch.setattr(module, "encode", lambda picture: encoded.append(picture) or b"jpeg")
    picture = frame()
    for _ in range(300):
        page.show(picture, [person(1)])
    assert not encoded  # nobody looks
    viewers = [Viewer(page) for _ in range(4)]
    for viewer in viewers:
        assert viewer.read_until(b"image/jpeg\r\n\r\n") is not None and viewer.read_until(b"\r\n--picture") == b"jpeg"
        viewer.socket.close()
    assert len(encoded) == 1 and encoded[0] is picture


def test_large_frames_are_made_smaller():
    small = cv2.imdecode(np.frombuffer(module.encode(frame(size=(1080, 1920))), np.uint8), cv2.IMREAD_COLOR)
    assert small.shape == (720, 1280, 3)
    assert small[360, 100, 0] > 80 and small[360, 1200, 2] > 80


def test_people_as_json(page):
    assert json.loads(ask(page, "/people")[2]) == {"watching": False, "picture_age": None, "people": []}
    new = person(np.int64(2), similarity=float("nan"), present=np.bool_(False), seconds_ago=12.04, crop=None)
    page.show(frame(), [person(1, name="<b>Anna & Bo</b>", similarity=np.float32(0.5)), new])
    status, headers, content = ask(page, "/people")
    answer = json.loads(content)
    assert status == 200 and headers["Content-Type"] == "application/json" and headers["Cache-Control"] == "no-store"
    anna, other = answer["people"]
    assert re.fullmatch(r"crop/1\?v=[0-9a-f]{8}", anna.pop("crop"))
    assert 0 <= answer["picture_age"] < 5 and 0 <= anna.pop("seconds_ago") < 5
    assert 12 <= other.pop("seconds_ago") < 17
    blue, green, red = (int(anna["colour"][place : place + 2], 16) for place in (5, 3, 1))
    assert (blue, green, red) == module.colour_of(1)  # the colour of the box
    del anna["colour"], other["colour"]
    assert anna == {"number": 1, "name": "<b>Anna & Bo</b>", "camera": "door", "similarity": 0.5, "present": True}
    assert other == {
        "number": 2,
        "name": None,
        "camera": "door",
        "similarity": None,
        "present": False,
        "crop": None,
    }


def test_crops_are_jpegs_whose_address_changes_with_them(page):
    page.show(frame(), [person(7), person(8, crop=None)])
    address = people(page)[0]["crop"]
    status, headers, content = ask(page, f"/{address}")
    seen = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)  # BGR
    assert status == 200 and headers["Content-Type"] == "image/jpeg"
    assert seen.shape == (64, 32, 3) and np.abs(seen.astype(int) - crop()[..., ::-1]).max() < 6
    page.show(frame(), [person(7)])  # another array, the same picture
    assert people(page)[0]["crop"] == address
    page.show(frame(), [person(7, crop=crop(90))])
    assert people(page)[0]["crop"] != address
    assert [ask(page, path)[0] for path in ("/crop/8", "/crop/9", "/crop/x", "/crop/", "/nowhere")] == [404] * 5
    page.show(frame(), [])
    assert ask(page, "/crop/7")[0] == 404  # forgotten here too
    assert not page._crops


def test_nothing_is_fetched_from_anywhere_else_or_kept(page):
    for path in ("/", "/page.css", "/page.js"):
        status, headers, content = ask(page, path)
        assert status == 200 and b"//" not in re.sub(rb"(?m)^\s*//.*$|; //.*$", b"", content)
        assert headers["Cache-Control"] == "no-store" and "default-src 'none'" in headers["Content-Security-Policy"]
    assert b"innerHTML" not in content


# ---- what viewers order ----


def test_orders_reach_the_camera_loop_in_order(page):
    page.show(frame(), [person(1), person(2)])
    assert order(page, "/name", {"number": 1, "name": "  Anna  "})[0] == 204
    assert order(page, "/forget", {"number": 2}, Origin=f"http://127.0.0.1:{page.port}")[0] == 204
    assert page.commands() == [("name", 1, "Anna"), ("forget", 2)]
    assert page.commands() == []


def test_orders_wait_in_a_bounded_line(page, monkeypatch):
    monkeypatch.setattr(module, "MOST_COMMANDS", 2)
    page.show(frame(), [person(1)])
    assert [order(page, "/forget", {"number": 1})[0] for _ in range(3)] == [204, 204, 503]
    assert len(page.commands()) == 2
    assert order(page, "/forget", {"number": 1})[0] == 204


@pytest.mark.parametrize("wish", [b"", b"{", b"[1]", b"\xff", b"[" * 4000, {}, {"number": "1"}, {"number": True}])
def test_orders_that_are_none(page, wish):
    page.show(frame(), [person(1)])
    for path in ("/name", "/forget"):
        status, words = order(page, path, wish)
        assert status == 400 and words.strip().endswith(".")
    assert page.commands() == []


def test_orders_that_cannot_be_followed(page):
    page.show(frame(), [person(1)])
    assert order(page, "/forget", {"number": 5}) == (404, "Nobody has the number 5 any more.\n")
    assert order(page, "/elsewhere", {"number": 1})[0] == 404
    assert order(page, "/name", {"number": 1})[0] == 400
    assert order(page, "/forget", {"number": 1, "more": "x" * 5000})[0] == 413
    assert order(page, "/forget", {"number": 1}, Content_Type="text/plain")[0] == 415  # what a foreign form can send
    assert order(page, "/forget", {"number": 1}, Content_Length="-1")[0] == 411
    assert ask(page, "/people", "DELETE")[0] == ask(page, "/forget", "OPTIONS")[0] == 501
    assert page.commands() == []


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
    monkeypatch.setattr(web.Handler, "timeout", 0.5)
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
    monkeypatch.setattr(web, "PATIENCE", 0.5)
    with Page(0) as page, socket.create_connection(("127.0.0.1", page.port), timeout=20) as trickle:
        with pytest.raises(OSError):
            for _ in range(400):  # each byte well within the socket's own time limit
                trickle.sendall(b"G")
                time.sleep(0.05)


def test_eight_viewers_and_a_ninth(page):
    page.show(frame(), [])
    viewers = [Viewer(page) for _ in range(web.MOST_VIEWERS)]
    for viewer in viewers:
        viewer.picture()
    status, _, words = ask(page, "/live")
    assert status == 503 and b"8 viewers look at the live picture already" in words
    assert json.loads(ask(page, "/people?somebody")[2])["watching"] is True
    viewers[0].socket.close()
    wait_until(lambda: len(page._server._viewers) < web.MOST_VIEWERS)
    assert Viewer(page).picture() is not None
    for viewer in viewers:
        viewer.socket.close()
    wait_until(lambda: json.loads(ask(page, "/people?somebody")[2])["watching"] is False)


def test_connections_are_bounded(page, monkeypatch):
    monkeypatch.setattr(web, "MOST_CONNECTIONS", 3)
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
    assert time.monotonic() - begun < web.PATIENCE / 2  # it did not wait for a time limit of theirs
    page.show(frame(), [])  # the camera loop may still be in the middle of a frame
    with Page(page.port):  # the port is free again
        pass
    stuck.socket.close(), watching.socket.close(), silent.close()


# ---- in a browser ----


@pytest.fixture
def chromium(tmp_path):
    if browser.find() is None:
        pytest.skip(f"none of {', '.join(browser.NAMES)} is installed (Debian and Ubuntu: apt-get install chromium)")
    with browser.Browser(tmp_path / "profile") as opened:
        yield opened


CARD = "document.querySelector('[data-number=\"{}\"]{}')"


def test_page_in_a_browser(chromium):
    with Page(0, token="secret") as page:
        page.show(frame(), [person(1, name="<i>Bo</i>", seconds_ago=0), person(3, similarity=None, crop=None)])
        chromium.open(page.url)
        chromium.wait("document.querySelectorAll('.card').length === 2")
        assert chromium.run("location.href") == page.url.split("?")[0]  # the token is out of sight
        assert chromium.run(CARD.format(1, " .who") + ".textContent") == "<i>Bo</i>"
        assert chromium.run(CARD.format(1, " .value") + ".textContent") == "0.75"
        assert chromium.run(CARD.format(3, " .value") + ".textContent") == "new"
        assert chromium.run(CARD.format(1, " .where") + ".textContent.replace(/\\s+/g, ' ')").startswith("here now")
        chromium.wait("document.querySelector('#live').naturalWidth === 160")  # of a single frame already
        chromium.wait(CARD.format(1, " .crop") + ".naturalHeight === 64")

        chromium.click("[data-number='3'] input")
        chromium.type("Ann")
        later = [person(1, present=False, seconds_ago=75.0), person(2), person(3)]
        page.show(frame(), later)
        chromium.wait("document.querySelectorAll('.card').length === 3")
        assert chromium.run(CARD.format(1, " .when") + ".textContent") == "1 min ago"
        chromium.type("a")  # the list was drawn anew, and the field has kept its text and the focus
        assert page.commands() == []
        chromium.press("Enter", 13)
        chromium.wait(CARD.format(3, " .who") + ".textContent === 'Anna'")
        assert page.commands() == [("name", 3, "Anna")]
        page.show(frame(), [later[0], later[1], {**later[2], "name": "Anna"}])

        chromium.click("[data-number='2'] input")
        chromium.type("a/b")
        chromium.press("Enter", 13)
        chromium.wait(CARD.format(2, " .problem") + ".textContent.startsWith('A name has letters')")
        assert page.commands() == []
        chromium.click("[data-number='2'] .forget")
        assert chromium.run("document.activeElement.className") == "no"  # a second press keeps
        assert page.commands() == []
        chromium.click("[data-number='2'] .yes")
        chromium.wait(CARD.format(2, ".leaving"))
        assert page.commands() == [("forget", 2)]
        page.show(frame(), [later[0]])
        chromium.wait("document.querySelectorAll('.card').length === 1")
        refused = "Failed to load resource: the server responded with a status of 400 (Bad Request)"  # of a/b
        assert chromium.problems == [refused]  # nothing that the page's own rules or a script's mistake stopped


def test_page_outlives_the_demo(chromium):
    with Page(0) as page:
        page.show(frame(), [person(1)])
        chromium.open(page.url)
        chromium.wait("document.querySelector('#live').naturalWidth === 160 && document.querySelector('.card')")
    state = "document.querySelector('#state').textContent"
    chromium.wait(f"{state} === 'The demo has ended or cannot be reached; trying again.'")
    with Page(page.port) as page:
        page.show(frame(size=(80, 120)), [person(1), person(2)])
        chromium.wait(f"{state} === 'Live' && document.querySelectorAll('.card').length === 2")
        chromium.wait("document.querySelector('#live').naturalWidth === 120")
        page._server.send_away()  # the live picture alone, as happens to a viewer that was stuck
        page.show(frame(size=(40, 60)), [person(1)])
        chromium.wait("document.querySelector('#live').naturalWidth === 60")
