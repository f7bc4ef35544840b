"""What the user of demo.py sees and says: the picture of all cameras, the window's and the page's orders."""

from types import SimpleNamespace

import numpy as np
import pytest

from utils.live import window
from utils.live.draw import draw_people, label_of, side_by_side
from utils.live.identities import Identities
from utils.live.recogniser import Seen
from utils.live.view import View


class Cameras:
    """Two cameras of different sizes, and a chain in whose pictures nobody is together unless told."""

    def __init__(self):
        self.identities, self.pairs = Identities(), []
        sizes = {"front": (60, 100), "back": (90, 200)}
        self.cameras = [
            SimpleNamespace(name=name, height=height, width=width, ended=False, silent_for=0.0)
            for name, (height, width) in sizes.items()
        ]

    def together(self, one, other):
        return {one, other} in self.pairs

    def frames(self, brightness=(200, 100)):
        return [
            np.full((camera.height, camera.width, 3), value, np.uint8)
            for camera, value in zip(self.cameras, brightness)
        ]

    def seen(self, *numbers):
        count = len(numbers)
        boxes = np.tile(np.array([[0.5, 0.2, 0.9, 0.3]], np.float32), (count, 1))
        return Seen(boxes, np.full(count, 0.9), np.array(numbers, int), np.full(count, 0.8), count)


@pytest.fixture
def chain():
    return Cameras()


def test_cameras_stand_side_by_side_as_high_as_the_lowest(chain):
    view = View(chain.cameras, chain, show_window=False)
    frames = chain.frames()
    picture = view.draw(frames, [chain.seen(), chain.seen()], 12.3)
    assert picture.shape == (60, 100 + 133, 3) and (frames[0] == 200).all()  # the camera's frame is not drawn into
    assert (picture[40, 50] == 200).all() and (picture[40, 150] == 100).all()
    assert side_by_side(frames[:1]) is frames[0]


def test_a_silent_camera_is_grey_and_an_ended_one_dark(chain):
    view = View(chain.cameras, chain, show_window=False)
    red = chain.frames()
    red[0][:] = (0, 0, 200)
    view.draw(red, [chain.seen(), chain.seen()], 1.0)
    chain.cameras[0].silent_for, chain.cameras[1].ended = 0.2, True
    picture = view.draw([None, None], [None, None], 1.0)
    assert (picture[20, 80] == (0, 0, 200)).all() and (picture[20, 200] == 0).all()  # a moment is no silence
    chain.cameras[0].silent_for = 7.0
    grey = view.draw([None, None], [None, None], 1.0)[20, 80]
    assert len(set(grey.tolist())) == 1 and 0 < grey[0] < 100
    picture = view.draw(red, [chain.seen(), chain.seen()], 1.0)
    assert (picture[20, 80] == (0, 0, 200)).all()  # it is back


def test_labels():
    assert label_of(0, np.nan, {}) == "unknown" and label_of(7, np.nan, {}) == "7 new"
    assert label_of(7, 0.834, {}) == "7 0.83" and label_of(7, 0.834, {7: "Zoë"}) == "Zoe 0.83"
    assert label_of(7, 0.834, {7: "李"}) == "? 0.83"  # OpenCV has no such letters
    plain, picked = (np.zeros((200, 200, 3), np.uint8) for _ in range(2))
    box = np.array([[0.5, 0.2, 0.9, 0.3]], np.float32)
    draw_people(plain, box, [3], [0.5])
    draw_people(picked, box, [3], [0.5], picked=3)
    assert (plain[140, 40] != 255).any() and (picked[140, 40] == 255).all()


def test_orders_name_save_and_forget(chain, tmp_path, capsys):
    first, second = (chain.identities.add(face[np.newaxis]) for face in np.eye(2, 16, dtype=np.float32))
    for person in (first, second):
        chain.identities.was_seen(person, "front")
        person.portraits = [(1.0, np.full((40, 20, 3), 99, np.uint8))]
    view = View(chain.cameras, chain, show_window=False, save_gallery=tmp_path)
    view.obey("name", 1, "Anna")
    assert first.name == "Anna" and (tmp_path / "Anna" / "seen-0.jpg").exists()
    chain.pairs = [{1, 2}]
    view.obey("name", 2, "Anna")
    assert second.name is None and len(chain.identities.people) == 2  # two in one picture are two
    chain.pairs = []
    view.obey("name", 2, "Anna")
    assert chain.identities.people == [first]
    view.obey("forget", 2)  # who is Anna now
    view.obey("forget", 1)
    assert not chain.identities.people and not (tmp_path / "Anna").exists()
    said = capsys.readouterr().out.splitlines()
    assert said == [
        "1 is Anna",
        "2 is not Anna, who is in the same picture",
        "2 is Anna",
        "forgot Anna and 1 saved pictures",
    ]


def test_window_and_page_give_orders_and_the_page_hears_of_everybody(chain, monkeypatch):
    keys, shown, heard = [], [], []
    monkeypatch.setattr(window, "show", lambda frame: shown.append(frame) or (keys.pop(0) if keys else window.NO_KEY))
    page = SimpleNamespace(
        show=lambda frame, people: heard.append((frame, people)), commands=lambda: [("name", 2, "Bert")]
    )
    for face in np.eye(2, 16, dtype=np.float32):
        chain.identities.was_seen(chain.identities.add(face[np.newaxis]), "back")
    view = View(chain.cameras, chain, show_window=True, page=page)
    seen = [chain.seen(1, 0), None]
    for key in (window.TAB, ord("n"), ord("A"), ord("l"), 13):
        keys.append(key)
        assert view.show(view.draw(chain.frames(), [chain.seen(1, 0), chain.seen()], 1.0), seen)
    assert [person.label for person in chain.identities.people] == ["Al", "Bert"]
    frame, people = heard[0]
    assert frame is not shown[0]  # the window's caption is drawn into its own
    assert [(person["number"], person["present"], person["camera"]) for person in people] == [
        (1, True, "back"),
        (2, False, "back"),
    ]
    assert people[0]["similarity"] == pytest.approx(0.8) and people[1]["similarity"] is None
    assert 0 <= people[1]["seconds_ago"] < 60 and people[0]["crop"] is None
    keys.append(ord("q"))
    assert not view.show(chain.frames()[0], seen)
    keys.append(None)  # the window was closed
    assert not view.show(chain.frames()[0], seen)
