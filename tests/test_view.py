"""The image of all cameras, and how window and page show it and collect requests."""

from types import SimpleNamespace

import numpy as np
import pytest

from utils.live import window
from utils.live.draw import draw_people, label_of, side_by_side
from utils.live.identities import Identities, Request
from utils.live.recogniser import FrameResult
from utils.live.view import View


def result(*person_ids):
    """People at one place, with similarity 0.8."""
    count = len(person_ids)
    boxes = np.tile(np.array([[0.5, 0.2, 0.9, 0.3]], np.float32), (count, 1))
    return FrameResult(boxes, np.full(count, 0.9), np.array(person_ids, int), np.full(count, 0.8), count)


def frames(brightness=(200, 100)):
    return [np.full(size, value, np.uint8) for size, value in zip(((60, 100, 3), (90, 200, 3)), brightness)]


@pytest.fixture
def cameras():
    """Two cameras of the sizes of frames()."""
    front = SimpleNamespace(name="front", height=60, width=100, ended=False, silent_for=0.0)
    back = SimpleNamespace(name="back", height=90, width=200, ended=False, silent_for=0.0)
    return [front, back]


def test_draw_puts_cameras_side_by_side(cameras):
    view = View(cameras, Identities(), show_window=False)
    given = frames()
    image = view.draw(given, [result(), result()], 12.3)
    assert image.shape == (60, 100 + 133, 3) and (given[0] == 200).all()  # the camera's frame is not drawn into
    assert (image[40, 50] == 200).all() and (image[40, 150] == 100).all()
    assert side_by_side(given[:1]) is given[0]
    assert not view.is_shown


def test_draw_dims_a_silent_camera_and_blackens_an_ended_one(cameras):
    view = View(cameras, Identities(), show_window=False)
    red = frames()
    red[0][:] = (0, 0, 200)
    view.draw(red, [result(), result()], 1.0)
    cameras[0].silent_for = 0.2
    cameras[1].ended = True
    image = view.draw([None, None], [None, None], 1.0)
    assert (image[20, 80] == (0, 0, 200)).all() and (image[20, 200] == 0).all()  # too short for a silence
    cameras[0].silent_for = 7.0
    dimmed = view.draw([None, None], [None, None], 1.0)[20, 80]
    assert len(set(dimmed.tolist())) == 1 and 0 < dimmed[0] < 100
    image = view.draw(red, [result(), result()], 1.0)
    assert (image[20, 80] == (0, 0, 200)).all()  # it is back


def test_labels():
    assert label_of(0, np.nan, {}) == "unknown" and label_of(7, np.nan, {}) == "7 new"
    assert label_of(7, 0.834, {}) == "7 0.83" and label_of(7, 0.834, {7: "Zoë"}) == "Zoe 0.83"
    # OpenCV's fonts have no such letters, so the number stands for them.
    assert label_of(7, 0.834, {7: "李"}) == "7 0.83" and label_of(12, np.nan, {12: "Владимир"}) == "12 new"
    assert label_of(3, np.nan, {3: "李 Wei"}) == "3 Wei new"
    assert label_of(4, 0.5, {4: "Ørjan Łuß"}) == "Orjan Luss 0.50"
    plain = np.zeros((200, 200, 3), np.uint8)
    selected = plain.copy()
    box = np.array([[0.5, 0.2, 0.9, 0.3]], np.float32)
    draw_people(plain, box, [3], [0.5])
    draw_people(selected, box, [3], [0.5], selected=3)
    assert (plain[140, 40] != 255).any() and (selected[140, 40] == 255).all()


@pytest.fixture
def identities():
    """Two people whom the camera "back" has seen."""
    identities = Identities()
    for vector in np.eye(2, 16, dtype=np.float32):
        identities.mark_seen(identities.add(vector[np.newaxis]), "back")
    return identities


def test_show_describes_everybody_to_the_page(cameras, identities):
    shown = []
    requests = [Request("name", 2, "Bert")]
    page = SimpleNamespace(show=lambda image, people, places: shown.append((image, people)), requests=lambda: requests)
    view = View(cameras, identities, show_window=False, page=page)
    image = view.draw(frames(), [result(1, 0), result()], 1.0)
    assert view.is_shown and view.show(image, [result(1, 0), None]) == requests
    ((given, (first, second)),) = shown
    assert given is image
    assert (first["person_id"], first["present"], first["camera"], first["crop"]) == (1, True, "back", None)
    assert first["similarity"] == pytest.approx(0.8)
    assert (second["person_id"], second["present"], second["similarity"]) == (2, False, None)
    assert 0 <= second["seconds_ago"] < 60


def test_the_page_lists_those_with_a_name_and_those_seen_last(cameras, identities, monkeypatch):
    monkeypatch.setattr("utils.live.view.MAX_LISTED", 3)
    for vector in np.eye(5, 16, dtype=np.float32)[2:]:
        identities.mark_seen(identities.add(vector[np.newaxis]), "back")
    identities.name(2, "Bert")
    shown = []
    page = SimpleNamespace(show=lambda image, people, places: shown.append(people), requests=lambda: [])
    view = View(cameras, identities, show_window=False, page=page)
    view.show(view.draw(frames(), [result(1, 0), result()], 1.0), [result(1, 0), None])
    assert sorted(person["person_id"] for person in shown[0]) == [2, 4, 5]


def test_show_turns_keys_into_requests(cameras, identities, monkeypatch):
    keys = [window.TAB, ord("n"), ord("A"), ord("l"), 13, window.NO_KEY, ord("q"), None]
    shown = []
    pages = []
    monkeypatch.setattr(window, "show", lambda image: shown.append(image) or keys.pop(0))
    page = SimpleNamespace(show=lambda image, people, places: pages.append(image), requests=lambda: [])
    view = View(cameras, identities, show_window=True, page=page)
    requests = []
    while keys:
        image = view.draw(frames(), [result(1, 0), result()], 1.0)
        requests += view.show(image, [result(1, 0), None])
    assert requests == [Request("name", 1, "Al"), Request("quit"), Request("quit")]  # q, and the window was closed
    assert pages[1] is not shown[1] and (pages[1] != shown[1]).any()  # the caption is drawn for the window alone
