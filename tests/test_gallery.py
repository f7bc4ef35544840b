"""Known people on disk: enrolment from pictures, good crops, what is written and deleted; and the window's keys."""

import cv2
import numpy as np
import pytest

from tests.fakes import picture
from utils.errors import InputError
from utils.live import gallery
from utils.live.gallery import clarity, cut, delete_saved, enrol, find_people, portray, save_people
from utils.live.identities import Identities
from utils.live.window import BACKSPACE, ENTER, ESCAPE, TAB, Keys


class RedPeople:
    """Detector and embedder of pictures in which red rectangles are people; an embedding is the mean colour."""

    image_size = 32, 16

    def detect(self, frame):
        red = (frame[..., 2] > 180) & (frame[..., 0] < 90)
        count, _, stats, _ = cv2.connectedComponentsWithStats(red.astype(np.uint8))
        size = np.array(frame.shape[:2] * 2, np.float32)
        boxes = np.array([[y, x, y + h, x + w] for x, y, w, h, _ in stats[1:count]], np.float32).reshape(-1, 4) / size
        return boxes, np.full(len(boxes), 0.9, np.float32)

    def embed(self, images):
        means = images.reshape(len(images), -1, 3).mean(axis=1) + 1
        return (means / np.linalg.norm(means, axis=1, keepdims=True)).astype(np.float32)


def write(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)


def test_people_are_enrolled_from_crops_and_from_whole_scenes(tmp_path):
    write(tmp_path / "people/Anna/crop.png", np.full((80, 40, 3), (200, 30, 30), np.uint8))  # upright: all of it is she
    write(tmp_path / "people/Bert/scene.png", picture([(10, 10, 30, 20), (20, 100, 110, 140)]))
    write(tmp_path / "people/Bert/nobody.png", picture([]))
    (tmp_path / "people/Bert/broken.jpg").write_text("no picture")
    (tmp_path / "people/Bert/notes.txt").write_text("not looked at")
    (tmp_path / "people/readme.md").write_text("nor this")
    identities, net = Identities(), RedPeople()
    lines = enrol(tmp_path / "people", net, net, identities)
    assert lines == [
        "enrolled Anna from 1 picture as number 1",
        "enrolled Bert from 1 picture as number 2; 2 left out: broken.jpg (unreadable), "
        "nobody.png (nobody found in it)",
    ]
    anna, bert = identities.people
    assert (anna.number, anna.name, bert.number, bert.name) == (1, "Anna", 2, "Bert")
    blue, red = net.embed(np.array([[[[30, 30, 200]]], [[[255, 0, 0]]]], np.uint8))
    np.testing.assert_allclose(identities.similarity(np.stack([blue, red])).diagonal(), 1, atol=1e-3)
    crop = bert.portraits[0][1]  # the larger of the two
    inside = crop[2:-2, 2:-2]  # the edges may be a pixel off
    assert crop.shape == (90, 40, 3) and (inside[..., 0] > 200).all() and (inside[..., 2] < 60).all()  # RGB
    assert bert.seen is None and bert.camera is None


def test_more_pictures_than_a_gallery_holds(tmp_path):
    for number in range(40):
        write(
            tmp_path / f"people/Anna/{number}.png", np.full((80, 40, 3), (6 * number, 100, 250 - 6 * number), np.uint8)
        )
    identities, net = Identities(), RedPeople()
    assert enrol(tmp_path / "people", net, net, identities) == ["enrolled Anna from 40 pictures as number 1"]
    assert len(identities.people[0].gallery) == 16 and len(identities.people[0].portraits) == gallery.PORTRAITS


def test_galleries_that_cannot_be_used_are_refused_in_one_sentence(tmp_path):
    def refused(folder):
        with pytest.raises(InputError) as refusal:
            enrol(folder, RedPeople(), RedPeople(), Identities())
        return str(refusal.value)

    assert "is no folder: name one that holds a folder of pictures for each person" in refused(tmp_path / "gone")
    (tmp_path / "people").mkdir()
    assert "holds no folders: make one for each person" in refused(tmp_path / "people")
    (tmp_path / "people/Anna").mkdir()
    assert "Anna holds no picture (.jpg" in refused(tmp_path / "people")
    write(tmp_path / "people/Anna/nobody.png", picture([]))
    sentence = refused(tmp_path / "people")
    assert "no picture of" in sentence and "nobody.png (nobody found in it); add others" in sentence
    (tmp_path / "people/7").mkdir()
    assert "7 is not called as a person may be: A name has letters" in refused(tmp_path / "people")


def test_the_clearest_crop_is_kept(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(gallery.time, "monotonic", lambda: clock[0])
    rng = np.random.default_rng(0)
    sharp = np.repeat(np.repeat(rng.integers(0, 256, (60, 30, 3)), 4, 0), 4, 1).astype(np.uint8)  # (240, 120, 3)
    blurred, box = cv2.GaussianBlur(sharp, (0, 0), 8), np.array([0, 0, 1, 1], np.float32)
    assert clarity(cut(sharp, box)) > 4 * clarity(cut(blurred, box))
    person = Identities().add(np.eye(1, 16, dtype=np.float32))
    for frame, wanted in ((blurred, blurred), (sharp, sharp), (blurred, sharp)):
        portray(person, frame, box)
        clock[0] += gallery.PORTRAIT_SECONDS
        ((_, crop),) = person.portraits  # one, as the person has no name
        assert crop.shape == (gallery.TALLEST, gallery.TALLEST // 2, 3)
        np.testing.assert_array_equal(crop, cut(wanted, box))
    person.name = "Anna"
    for _ in range(6):
        portray(person, sharp, box)
        portray(person, sharp, box)  # too soon after the last
        clock[0] += gallery.PORTRAIT_SECONDS
    assert len(person.portraits) == gallery.PORTRAITS


def test_only_people_with_names_who_came_by_are_written(tmp_path):
    identities = Identities()
    people = [identities.add(np.eye(1, 16, dtype=np.float32), name) for name in ("Anna", None, "Bert")]
    for person in people[:2]:
        identities.was_seen(person, "front")
    for person in people:
        person.portraits = [(1.0, np.full((80, 40, 3), (200, 100, 50), np.uint8))] * 3
    write(tmp_path / "known/Anna/mine.png", picture([]))
    write(tmp_path / "known/Anna/seen-3.jpg", picture([]))  # of an earlier run, with one more
    assert save_people(tmp_path / "known", identities.people) == 1
    found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*"))
    assert found == ["known/Anna/mine.png"] + [f"known/Anna/seen-{number}.jpg" for number in range(3)]
    back = cv2.imread(str(tmp_path / "known/Anna/seen-0.jpg"))
    assert np.abs(back[40, 20].astype(int) - (50, 100, 200)).max() < 4  # RGB went to BGR
    assert find_people(tmp_path / "known")["Anna"][0].name == "mine.png"  # what is saved can be enrolled
    assert delete_saved(tmp_path / "known", "Anna") == 3 and (tmp_path / "known/Anna/mine.png").exists()
    (tmp_path / "known/Anna/mine.png").unlink()
    assert delete_saved(tmp_path / "known", "Anna") == 0 and not (tmp_path / "known/Anna").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="--save_gallery .* cannot be written"):
        save_people(tmp_path / "file", identities.people)


# ---- the window's keys -----------------------------------------------------------------------------------------------


def press(keys, *presses, numbers=(4, 2, 0, 9)):
    """The commands that come of these keys, letters as text."""
    found = []
    for some in presses:
        for key in map(ord, some) if isinstance(some, str) else (some,):
            found.append(keys.press(key, numbers))
    return [command for command in found if command]


def test_keys_pick_and_name():
    keys = Keys()
    for wanted in (2, 4, 9, 2):  # 0 is unknown and cannot be picked
        assert press(keys, TAB) == [] and keys.picked == wanted
    assert press(keys, "n", "Qx", BACKSPACE[0], " nf", ESCAPE) == [] and keys.text is None and keys.picked == 2
    assert press(keys, "nAnna") == [] and "name of 2: Anna_" in keys.caption
    assert press(keys, ENTER[0], numbers=()) == [("name", 2, "Anna")]  # who walked off meanwhile
    assert keys.picked is None and keys.caption == ""
    assert press(keys, "n", ENTER[1]) == [] and keys.text == ""  # no name, none is given
    assert press(keys, "../x", ENTER[0]) == [] and keys.text == "../x"  # unfit: it can be mended
    assert press(keys, *[BACKSPACE[1]] * 4, "Bert" + 60 * "x", *[BACKSPACE[0]] * 36, ENTER[0]) == [("name", 2, "Bert")]


def test_keys_forget_whom_they_show_and_quit():
    keys = Keys()
    assert press(keys, "f") == [] and keys.picked == 2  # first it is shown who that would be
    assert press(keys, "f") == [("forget", 2)] and keys.picked is None
    assert press(keys, TAB, ESCAPE) == [] and keys.picked is None
    assert press(keys, TAB, "x", numbers=(5,)) == [] and keys.picked == 5
    assert press(keys, "f", numbers=(6,)) == [] and keys.picked == 6  # 5 has left: nobody else is forgotten instead
    assert press(keys, TAB, "f", "n", numbers=()) == [] and keys.picked is None and keys.text is None
    assert press(keys, ESCAPE) == [("quit",)] and press(keys, "q") == [("quit",)] and press(keys, "Q") == [("quit",)]
