"""Known people on disk: enrolment from images, and what is saved and deleted."""

import cv2
import numpy as np
import pytest

from tests.fakes import picture
from utils.errors import InputError
from utils.live import gallery
from utils.live.gallery import check_writable, cut, delete_saved, enrol, find_people, save_people
from utils.live.identities import Identities
from utils.live.person import MAX_CROPS


class RedPeople:
    """Detector and embedder of images in which red rectangles are people; an embedding is the mean color."""

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


def test_enrol_from_crops_and_from_whole_scenes(tmp_path):
    write(
        tmp_path / "people/Anna/crop.png", np.full((80, 40, 3), (200, 30, 30), np.uint8)
    )  # upright: all of it is Anna
    write(tmp_path / "people/Bert/scene.png", picture([(10, 10, 30, 20), (20, 100, 110, 140)]))
    write(tmp_path / "people/Bert/nobody.png", picture([]))
    (tmp_path / "people/Bert/broken.jpg").write_text("not an image")
    (tmp_path / "people/Bert/notes.txt").write_text("ignored")
    (tmp_path / "people/readme.md").write_text("ignored too")
    identities, net = Identities(), RedPeople()
    lines = enrol(tmp_path / "people", net, net, identities)
    assert lines == [
        "enrolled Anna from 1 image as number 1",
        "enrolled Bert from 1 image as number 2; 2 skipped: broken.jpg (unreadable), nobody.png (no person found)",
    ]
    anna, bert = identities.people
    assert (anna.person_id, anna.name, bert.person_id, bert.name) == (1, "Anna", 2, "Bert")
    blue, red = net.embed(np.array([[[[30, 30, 200]]], [[[255, 0, 0]]]], np.uint8))
    np.testing.assert_allclose(identities.similarity(np.stack([blue, red])).diagonal(), 1, atol=1e-3)
    crop = bert.best_crop  # the larger of the two
    inside = crop[2:-2, 2:-2]  # the edges may be a pixel off
    assert crop.shape == (90, 40, 3) and (inside[..., 0] > 200).all() and (inside[..., 2] < 60).all()  # RGB
    assert bert.last_seen is None and bert.camera is None


def test_enrol_more_images_than_crops_are_kept(tmp_path):
    for number in range(40):
        color = 6 * number, 100, 250 - 6 * number
        write(tmp_path / f"people/Anna/{number}.png", np.full((80, 40, 3), color, np.uint8))
    identities, net = Identities(), RedPeople()
    assert enrol(tmp_path / "people", net, net, identities) == ["enrolled Anna from 40 images as number 1"]
    assert identities.people[0].looks == 40 and len(identities.people[0].crops) == MAX_CROPS


def test_enrol_refuses_unusable_galleries(tmp_path):
    def refused(folder):
        with pytest.raises(InputError) as refusal:
            enrol(folder, RedPeople(), RedPeople(), Identities())
        return str(refusal.value)

    assert "is not a folder: name one that holds a folder of images for each person" in refused(tmp_path / "gone")
    (tmp_path / "people").mkdir()
    assert "holds no folders: make one for each person" in refused(tmp_path / "people")
    (tmp_path / "people/Anna").mkdir()
    assert "Anna holds no images (.jpg" in refused(tmp_path / "people")
    write(tmp_path / "people/Anna/nobody.png", picture([]))
    sentence = refused(tmp_path / "people")
    assert "Anna has no usable image, 1 skipped: nobody.png (no person found); add others" in sentence
    (tmp_path / "people/7").mkdir()
    assert "7 does not have a valid name: A name cannot be a number" in refused(tmp_path / "people")


def test_cut_keeps_the_aspect_ratio_and_turns_to_rgb():
    frame = np.zeros((480, 240, 3), np.uint8)
    frame[240:, :120] = (250, 100, 50)  # BGR
    crop = cut(frame, np.array([0.5, 0, 1, 0.5], np.float32))
    assert crop.shape == (gallery.MAX_CROP_HEIGHT, gallery.MAX_CROP_HEIGHT // 2, 3) and (crop == (50, 100, 250)).all()
    assert cut(frame, np.array([0, 0, 0.1, 0.1], np.float32)).shape == (48, 24, 3)  # small ones are not enlarged


def test_save_people_writes_people_with_a_name_who_were_seen(tmp_path):
    identities = Identities()
    people = [identities.add(np.eye(1, 16, dtype=np.float32), name) for name in ("Anna", None, "Bert")]
    for person in people[:2]:
        identities.mark_seen(person, "front")
    for person in people:
        person.crops = [(1.0, np.full((80, 40, 3), (200, 100, 50), np.uint8))] * 3
    write(tmp_path / "known/Anna/mine.png", picture([]))
    write(tmp_path / "known/Anna/seen-3.jpg", picture([]))  # of an earlier run, with one more
    assert save_people(tmp_path / "known", identities.people) == 1
    found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*"))
    assert found == ["known/Anna/mine.png"] + [f"known/Anna/seen-{number}.jpg" for number in range(3)]
    back = cv2.imread(str(tmp_path / "known/Anna/seen-0.jpg"))
    assert np.abs(back[40, 20].astype(int) - (50, 100, 200)).max() < 4  # RGB became BGR
    assert find_people(tmp_path / "known")[0]["Anna"][0].name == "mine.png"  # what is saved can be enrolled
    assert delete_saved(tmp_path / "known", "Anna") == 3 and (tmp_path / "known/Anna/mine.png").exists()
    (tmp_path / "known/Anna/mine.png").unlink()
    assert delete_saved(tmp_path / "known", "Anna") == 0 and not (tmp_path / "known/Anna").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file.* cannot be written"):
        save_people(tmp_path / "file", identities.people)
    with pytest.raises(InputError, match="file cannot be written .*: name another folder"):
        check_writable(tmp_path / "file")
    check_writable(tmp_path / "new" / "folder")
    assert list((tmp_path / "new" / "folder").iterdir()) == []
