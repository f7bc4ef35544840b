"""The page: what it describes and compresses, and the whole of it in a real browser."""

import json
import re

import cv2
import numpy as np
import pytest

from tests import browser
from tests.page_client import Viewer, ask, crop, frame, people, person
from utils.live.draw import color_of
from utils.live.identities import Request
from utils.live.page import page as module
from utils.live.page import server as server_module
from utils.live.page.page import Page, encode_jpeg
from utils.live.page.server import PageServer


def decode(jpeg):
    """(H, W, 3) uint8 BGR."""
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)


def test_live_image_is_compressed_once_per_frame(monkeypatch):
    encoded = []
    monkeypatch.setattr(module, "encode_jpeg", lambda image: encoded.append(image) or b"jpeg")
    page = Page()
    assert page.live_image() is None
    image = frame()
    for _ in range(300):
        page.show(image, [person(1)])
    assert not encoded  # nobody watches
    assert [page.live_image() for _ in range(4)] == [b"jpeg"] * 4
    assert len(encoded) == 1 and encoded[0] is image


def test_encode_jpeg_scales_large_frames_down():
    small = decode(encode_jpeg(frame(size=(1080, 1920))))
    assert small.shape == (720, 1280, 3)
    assert small[360, 100, 0] > 80 and small[360, 1200, 2] > 80


def test_people_as_json(server):
    assert json.loads(ask(server, "/people")[2]) == {"image_age": None, "people": []}
    new = person(np.int64(2), similarity=float("nan"), present=np.bool_(False), seconds_ago=12.04, crop=None)
    server.page.show(frame(), [person(1, name="<b>Anna & Bo</b>", similarity=np.float32(0.5)), new])
    status, headers, content = ask(server, "/people")
    answer = json.loads(content)
    assert status == 200 and headers["Content-Type"] == "application/json" and headers["Cache-Control"] == "no-store"
    anna, other = answer["people"]
    assert re.fullmatch(r"crop/1\?v=[0-9a-f]{8}", anna.pop("crop"))
    assert answer["image_age"] >= 0 and anna.pop("seconds_ago") >= 0 and other.pop("seconds_ago") >= 12
    blue, green, red = (int(anna["color"][place : place + 2], 16) for place in (5, 3, 1))
    assert (blue, green, red) == color_of(1)  # the color of the box
    del anna["color"], other["color"]
    assert anna == {"person_id": 1, "name": "<b>Anna & Bo</b>", "camera": "door", "similarity": 0.5, "present": True}
    wanted = {"person_id": 2, "name": None, "camera": "door", "similarity": None, "present": False, "crop": None}
    assert other == wanted


def test_lines_and_zones_as_json(server):
    server.page.show(frame(), [], PLACES)
    assert json.loads(ask(server, "/people")[2])["places"] == PLACES


def test_crops_are_jpegs_whose_address_changes_with_them(server):
    server.page.show(frame(), [person(7), person(8, crop=None)])
    address = people(server)[0]["crop"]
    status, headers, content = ask(server, f"/{address}")
    image = decode(content)  # BGR
    assert status == 200 and headers["Content-Type"] == "image/jpeg"
    assert image.shape == (64, 32, 3) and np.abs(image.astype(int) - crop()[..., ::-1]).max() < 6
    server.page.show(frame(), [person(7)])  # another array, the same image
    assert people(server)[0]["crop"] == address
    server.page.show(frame(), [person(7, crop=crop(90))])
    assert people(server)[0]["crop"] != address
    assert [ask(server, path)[0] for path in ("/crop/8", "/crop/9", "/crop/x", "/crop/", "/nowhere")] == [404] * 5
    server.page.show(frame(), [])
    assert ask(server, "/crop/7")[0] == 404  # forgotten here too


def test_requests_are_bounded():
    page = Page()
    page.show(frame(), [person(1)])
    for _ in range(2 * module.MAX_REQUESTS):
        assert page.add_request(Request("forget", 1))
    assert len(page.requests()) == module.MAX_REQUESTS
    assert not page.add_request(Request("forget", 2)) and page.requests() == []


# ---- in a browser ----


@pytest.fixture
def chromium(tmp_path):
    if browser.find() is None:
        pytest.skip(f"none of {', '.join(browser.NAMES)} is installed (Debian and Ubuntu: apt-get install chromium)")
    with browser.Browser(tmp_path / "profile") as opened:
        yield opened


PLACES = [
    {"name": "<b>door</b>", "kind": "line", "source": 0, "in": 3, "out": 1, "people_in": 2, "people_out": 1},
    {"name": "till", "kind": "zone", "source": 0, "inside": 1, "here": [{"person": "Anna", "seconds": 130.0}]},
    {"name": "yard", "kind": "zone", "source": 1, "inside": 0, "here": []},
]
CARD = "document.querySelector('[data-person-id=\"{}\"]{}')"


def test_page_in_a_browser(chromium):
    with PageServer(Page(), 0, token="secret") as server:
        page = server.page
        page.show(frame(), [person(1, name="<i>Bo</i>", seconds_ago=0), person(3, similarity=None, crop=None)])
        chromium.open(server.url)
        chromium.wait("document.querySelectorAll('.card').length === 2")
        assert chromium.run("location.href") == server.url.split("?")[0]  # the token is out of sight
        assert chromium.run(CARD.format(1, " .who") + ".textContent") == "<i>Bo</i>"
        assert chromium.run(CARD.format(1, " .value") + ".textContent") == "0.75"
        assert chromium.run(CARD.format(3, " .value") + ".textContent") == "new"
        assert chromium.run(CARD.format(1, " .where") + ".textContent.replace(/\\s+/g, ' ')").startswith("here now")
        chromium.wait("document.querySelector('#live').naturalWidth === 160")  # of a single frame already
        chromium.wait(CARD.format(1, " .crop") + ".naturalHeight === 64")

        chromium.click("[data-person-id='3'] input")
        chromium.type("Ann")
        later = [person(1, present=False, seconds_ago=75.0), person(2), person(3)]
        assert chromium.run("document.querySelector('#places').hidden")
        page.show(frame(), later, PLACES)
        chromium.wait("document.querySelectorAll('.card').length === 3")
        rows = chromium.run("[...document.querySelectorAll('#places li')].map((row) => row.textContent)")
        assert rows == [
            "<b>door</b>: 3 in (2 people), 1 out (1 person)",
            "till: 1 person inside (Anna 2 min)",
            "yard: 0 people inside",
        ]
        assert chromium.run(CARD.format(1, " .when") + ".textContent") == "1 min ago"
        chromium.type("a")  # the list was updated, and the field has kept its text and the focus
        assert page.requests() == []
        chromium.press("Enter", 13)
        chromium.wait(CARD.format(3, " .who") + ".textContent === 'Anna'")
        assert page.requests() == [Request("name", 3, "Anna")]
        page.show(frame(), [later[0], later[1], {**later[2], "name": "Anna"}])

        chromium.click("[data-person-id='2'] input")
        chromium.type("a/b")
        chromium.press("Enter", 13)
        chromium.wait(CARD.format(2, " .problem") + ".textContent.startsWith('A name cannot')")
        assert page.requests() == []
        chromium.click("[data-person-id='2'] .forget")
        assert chromium.run("document.activeElement.className") == "no"  # a second press keeps
        assert page.requests() == []
        chromium.click("[data-person-id='2'] .yes")
        chromium.wait(CARD.format(2, ".leaving"))
        assert page.requests() == [Request("forget", 2)]
        page.show(frame(), [later[0]])
        chromium.wait("document.querySelectorAll('.card').length === 1")
        refused = "Failed to load resource: the server responded with a status of 400 (Bad Request)"  # of a/b
        assert chromium.problems == [refused]  # nothing that the page's own rules or a script's mistake stopped


def test_page_outlives_the_demo(chromium):
    with PageServer(Page(), 0) as server:
        server.page.show(frame(), [person(1)])
        chromium.open(server.url)
        chromium.wait("document.querySelector('#live').naturalWidth === 160 && document.querySelector('.card')")
    state = "document.querySelector('#state').textContent"
    chromium.wait(f"{state} === 'The demo has ended or cannot be reached; trying again.'")
    with PageServer(Page(), server.port) as server:
        server.page.show(frame(size=(80, 120)), [person(1), person(2)])
        chromium.wait(f"{state} === 'Live' && document.querySelectorAll('.card').length === 2")
        chromium.wait("document.querySelector('#live').naturalWidth === 120")


def test_a_ninth_page_says_so_and_tries_again(chromium, monkeypatch):
    monkeypatch.setattr(server_module, "MAX_VIEWERS", 1)
    with PageServer(Page(), 0) as server:
        server.page.show(frame(), [person(1)])
        with Viewer(server) as viewer:
            viewer.image()
            chromium.open(server.url)
            chromium.wait("document.querySelector('#no-image').textContent.startsWith('No live image; too many')")
            chromium.wait("document.querySelector('.card')")
        chromium.wait("document.querySelector('#live').naturalWidth === 160")
        assert chromium.run("document.querySelector('#no-image').hidden")
