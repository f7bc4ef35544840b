"""People known to all cameras: galleries, crops, the threshold, names, forgetting."""

import cv2
import numpy as np
import pytest

from utils.live import identities as module
from utils.live.identities import Identities, clean_name
from utils.live.person import CROP_INTERVAL, MAX_CROPS, clarity

A, B, C = np.eye(3, 16, dtype=np.float32)  # three people with similarity 0 to each other


def test_ids_count_from_one_and_are_never_given_twice():
    people = Identities()
    assert [people.add_unnamed(face[np.newaxis]).person_id for face in (A, B)] == [1, 2]
    people.forget(2)
    assert people.add_unnamed(B[np.newaxis]).person_id == 3 and people.last_id == 3


def test_similarity_against_loops():
    """What all people have in common is subtracted, the more the more people are known."""
    rng = np.random.default_rng(0)
    faces = rng.normal(size=(20, 16)) + 1
    faces /= np.linalg.norm(faces, axis=1, keepdims=True)
    people = Identities()
    for face in faces[:12]:
        people.add(face[np.newaxis])
    center = faces[:12].sum(axis=0) / (12 + module.CENTERING)
    common = (1 + 2 * module.CENTERING / 12) * center @ center
    found = people.similarity(faces[10:].astype(np.float32))
    assert found.shape == (10, 12)
    for row, face in enumerate(faces[10:]):
        for column, known in enumerate(faces[:12]):
            one, other = face - center, known - center
            cosine = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
            assert found[row, column] == pytest.approx(common + (1 - common) * cosine, abs=1e-5)
    np.testing.assert_allclose(found[:2, 10:].diagonal(), 1, atol=1e-5)
    assert people.similarity(np.zeros((0, 16), np.float32)).shape == (0, 12)
    assert Identities().similarity(faces).shape == (20, 0)


def test_the_similarity_of_a_scene_stays_on_the_scale_of_the_cosine():
    """People with a cosine of 0.7 to each other have a similarity of about 0.7, however many are known."""
    rng = np.random.default_rng(0)
    common = np.eye(1, 400)[0]
    faces = np.sqrt(0.7) * common + np.sqrt(0.3 / 400) * rng.normal(size=(40, 400))
    faces /= np.linalg.norm(faces, axis=1, keepdims=True)
    for count in (2, 5, 39):
        people = Identities()
        for face in faces[:count]:
            people.add(face[np.newaxis])
        assert people.similarity(faces[39:]).mean() == pytest.approx(0.7, abs=0.1), count


def test_a_search_among_many_is_exact_for_the_most_similar(monkeypatch):
    rng = np.random.default_rng(0)
    faces = rng.normal(size=(300, 64)).astype(np.float32)
    faces /= np.linalg.norm(faces, axis=1, keepdims=True)
    looks = faces[::10] + 0.05 * rng.normal(size=(30, 64)).astype(np.float32)
    looks /= np.linalg.norm(looks, axis=1, keepdims=True)
    found = []
    for limit in (1000, 100):
        monkeypatch.setattr(module, "COARSE_FROM", limit)
        monkeypatch.setattr(module, "COARSE_SIZE", 32)
        people = Identities()
        for face in faces:
            people.add(face[np.newaxis])
        people.forget(3)
        people.learn(people.find(11), faces[10])
        found.append(people.similarity(looks))
    assert (found[0].argmax(axis=1) == found[1].argmax(axis=1)).all()
    np.testing.assert_allclose(found[0].max(axis=1), found[1].max(axis=1), atol=1e-5)


def test_learn_moves_the_mean():
    people = Identities()
    person = people.add(np.stack([A, A, A]))
    people.learn(person, B)
    np.testing.assert_allclose(person.mean, (3 * A + B) / 4, atol=1e-6)
    people.learn(person, B, looks=4)
    np.testing.assert_allclose(person.mean, (3 * A + 5 * B) / 8, atol=1e-6)


def test_learn_threshold_from_people_seen_together():
    rng = np.random.default_rng(0)
    similarities = rng.normal(0.4, 0.1, 1000).tolist()
    learning = Identities(0.6, learn=True)
    fixed = Identities(0.6)
    for people in (learning, fixed):
        for face in np.eye(4, 16, dtype=np.float32):
            people.add(face[np.newaxis])
        people.learn_threshold(similarities[: module.MIN_PAIRS - 1])
        assert people.threshold == 0.6  # too few
        people.learn_threshold(similarities[module.MIN_PAIRS - 1 :])
    strangers = rng.normal(0.4, 0.1, (100000, 4)).max(axis=1)  # each compared with all four
    assert np.mean(strangers > learning.threshold) == pytest.approx(module.FALSE_ACCEPTS, abs=0.02)
    assert learning.deviation == pytest.approx(0.1, abs=0.01) and fixed.threshold == 0.6
    learning.learn_threshold([0.9] * module.PAIRS_KEPT)  # the old ones are forgotten
    assert learning.threshold == pytest.approx(0.9, abs=0.01)


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
    np.testing.assert_allclose(first.mean, (A + B) / 2, atol=1e-6)
    assert people.name(1, "Bert").name == "Bert" and people.find_name("Anna") is None and people.name(7, "Carl") is None


def test_forget_deletes_all_data_of_a_person():
    people = Identities()
    person = people.add(A[np.newaxis], "Anna")
    person.crops = [(1.0, np.zeros((2, 2, 3), np.uint8))]
    assert people.forget(1) is person and people.forget(1) is None
    assert person.forgotten and person.mean is None and not person.crops
    assert people.find(1) is None and people.find_name("Anna") is None


def test_forget_oldest_forgets_unnamed_people_unseen_for_longest(monkeypatch):
    monkeypatch.setattr(module, "MAX_MEMORY", 4 * 16 * 4)  # bytes of four people
    people = Identities()
    people.add(A[np.newaxis], "Anna")
    for _ in range(5):
        people.mark_seen(people.add(B[np.newaxis]), "front")
    people.mark_seen(people.find(2), "front")  # again, after the others
    people.forget_oldest()
    assert sorted(person.person_id for person in people.people) == [1, 2, 5, 6]


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
        now[0] += CROP_INTERVAL
    person.name = "Anna"
    for _ in range(6):
        person.keep_best_crop(sharp)
    assert len(person.crops) == MAX_CROPS


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
