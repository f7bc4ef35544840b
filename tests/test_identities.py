"""People known to all cameras: galleries, crops, the threshold, names, forgetting."""

import cv2
import numpy as np
import pytest

from utils.live import identities as module
from utils.live.identities import Identities, clarity, clean_name

A, B, C = np.eye(3, 16, dtype=np.float32)  # three people with similarity 0 to each other


def test_ids_count_from_one_and_are_never_given_twice():
    people = Identities()
    assert [people.add_unnamed(face[np.newaxis]).person_id for face in (A, B)] == [1, 2]
    people.forget(2)
    assert people.add_unnamed(B[np.newaxis]).person_id == 3 and people.last_id == 3


def test_similarity_is_the_mean_of_the_nearest_views():
    people = Identities()
    rng = np.random.default_rng(0)
    faces = rng.normal(size=(20, 16)).astype(np.float32)
    faces /= np.linalg.norm(faces, axis=1, keepdims=True)
    galleries = [faces[:3], faces[3:4], faces[4:9]]
    for gallery in galleries:
        people.add(gallery)
    found = people.similarity(faces[10:])
    assert found.shape == (10, 3)
    for row in range(10):
        for column, (gallery, count) in enumerate(zip(galleries, (1, 1, 3))):  # the nearest three of five views count
            nearest = sorted((float(faces[10 + row] @ view) for view in gallery), reverse=True)[:count]
            assert found[row, column] == pytest.approx(sum(nearest) / count, abs=1e-6)
    assert people.similarity(np.zeros((0, 16), np.float32)).shape == (0, 3)
    assert Identities().similarity(faces).shape == (20, 0)


def test_learn_keeps_a_bounded_gallery_of_all_views():
    person = Identities().add(A[np.newaxis])
    for angle in np.linspace(0, np.pi / 2, 60):  # the person turns slowly, from A to B
        person.learn(np.cos(angle) * A + np.sin(angle) * B)
    assert person.gallery.shape == (module.GALLERY_SIZE, 16) and person.gallery.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(person.gallery, axis=1), 1, atol=1e-5)
    assert (person.gallery @ A).max() > 0.98 and (person.gallery @ B).max() > 0.98  # no view is forgotten


def test_learn_threshold_from_people_seen_together():
    rng = np.random.default_rng(0)
    similarities = rng.uniform(0.2, 0.8, 1000).tolist()
    learning = Identities(0.6, learn=True)
    fixed = Identities(0.6)
    for people in (learning, fixed):
        people.learn_threshold(similarities[: module.MIN_PAIRS - 1])
        assert people.threshold == 0.6  # too few
        people.learn_threshold(similarities[module.MIN_PAIRS - 1 :])
    above = np.mean(np.array(similarities) > learning.threshold)
    assert abs(100 * above - (100 - module.PERCENTILE)) < 0.5 and fixed.threshold == 0.6
    learning.learn_threshold([0.9] * module.APART_KEPT)  # the old ones are forgotten
    assert learning.threshold == pytest.approx(0.9)


def test_add_unnamed_adds_nobody_if_unnamed_people_stay_unknown():
    people = Identities(unnamed="unknown")
    assert people.add_unnamed(A[np.newaxis]) is None and people.last_id == 0
    assert people.add(A[np.newaxis], "Anna").person_id == 1


def test_name_merges_two_ids_of_one_person():
    people = Identities()
    first = people.add(A[np.newaxis])
    second = people.add(B[np.newaxis])
    assert first.label == "1" and people.name(1, "Anna") is first and first.label == "Anna"
    people.mark_seen(second, "back")
    assert people.name(2, "Anna") is first and second.merged_into is first
    assert people.people == [first] and first.camera == "back" and first.last_seen is not None
    np.testing.assert_allclose(people.similarity(np.stack([A, B, C]))[:, 0], [1, 1, 0], atol=1e-6)
    assert people.name(1, "Bert").name == "Bert" and people.find_name("Anna") is None and people.name(7, "Carl") is None


def test_forget_deletes_all_data_of_a_person():
    people = Identities()
    person = people.add(A[np.newaxis], "Anna")
    person.crops = [(1.0, np.zeros((2, 2, 3), np.uint8))]
    assert people.forget(1) is person and people.forget(1) is None
    assert person.forgotten and not len(person.gallery) and not person.crops
    assert people.find(1) is None and people.find_name("Anna") is None


def test_forget_oldest_forgets_unnamed_people_unseen_for_longest(monkeypatch):
    monkeypatch.setattr(module, "MAX_PEOPLE", 3)
    people = Identities()
    people.add(A[np.newaxis], "Anna")
    for _ in range(5):
        people.mark_seen(people.add(B[np.newaxis]), "front")
    people.mark_seen(people.find(2), "front")  # again, after the others
    people.forget_oldest()
    assert [person.person_id for person in people.people] == [1, 2, 5, 6]


def test_keep_best_crop_keeps_the_clearest(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    pattern = np.random.default_rng(0).integers(0, 256, (48, 24, 3))
    sharp = np.repeat(np.repeat(pattern, 4, 0), 4, 1).astype(np.uint8)  # (192, 96, 3)
    blurred = cv2.GaussianBlur(sharp, (0, 0), 8)
    assert clarity(sharp) > 4 * clarity(blurred)
    person = Identities().add(A[np.newaxis])
    assert person.best_crop is None
    for crop, best in ((blurred, blurred), (sharp, sharp), (blurred, sharp)):
        assert person.wants_crop
        person.keep_best_crop(crop)
        assert not person.wants_crop  # too soon
        assert person.best_crop is best and len(person.crops) == 1  # one, as the person has no name
        now[0] += module.CROP_INTERVAL
    person.name = "Anna"
    for _ in range(6):
        person.keep_best_crop(sharp)
    assert len(person.crops) == module.MAX_CROPS


@pytest.mark.parametrize("name", ["Anna Maria", "Jürgen", "x" * 40, "Jos\u00e9 李 O'Neil-Smith, Jr."])
def test_clean_name_accepts(name):
    assert clean_name(f"  {name} ") == name


def test_clean_name_composes_accents():
    assert clean_name("Jose\u0301") == "Jos\u00e9"


@pytest.mark.parametrize(
    "name",
    ["", "  ", "x" * 41, "7", ".", "..", ".hidden", "a/b", "a\\b", "a\nb", "a\0b", "C:", "\u202ebo", 5, None],
)
def test_clean_name_refuses(name):
    with pytest.raises(ValueError, match=r"A name .*\.$"):
        clean_name(name)
