"""The page, over loopback as programs ask for it, and in a real browser: what viewers see and order."""

import json
import re

import cv2
import numpy as np
import pytest

from tests import browser
from tests.conftest import wait_until
from tests.page_client import Viewer, ask, crop, frame, order, people, person
from utils.live.page import page as module
from utils.live.page.page import Page

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
