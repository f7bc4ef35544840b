"""People known to all cameras: galleries, the threshold, names, forgetting; and boxes against brute force."""

import numpy as np
import pytest

from utils.boxes import iou, match, overlaps_of
from utils.live import identities as module
from utils.live.identities import Identities, clean_name

A, B, C = np.eye(3, 16, dtype=np.float32)  # three people who are nothing like each other


def test_numbers_count_from_one_and_are_never_given_twice():
    people = Identities()
    assert [people.stranger(face[np.newaxis]).number for face in (A, B)] == [1, 2]
    people.forget(2)
    assert people.stranger(B[np.newaxis]).number == 3 and people.count == 3


def test_similarity_is_that_of_the_nearest_views():
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
        for column, (gallery, count) in enumerate(zip(galleries, (1, 1, 3))):  # of five views the nearest three count
            nearest = sorted((float(faces[10 + row] @ view) for view in gallery), reverse=True)[:count]
            assert found[row, column] == pytest.approx(sum(nearest) / count, abs=1e-6)
    assert people.similarity(np.zeros((0, 16), np.float32)).shape == (0, 3)
    assert Identities().similarity(faces).shape == (20, 0)


def test_the_gallery_learns_and_stays_bounded():
    person = Identities().add(A[np.newaxis])
    for angle in np.linspace(0, np.pi / 2, 60):  # turns round slowly until nothing is as it was
        person.learn(np.cos(angle) * A + np.sin(angle) * B)
    assert person.gallery.shape == (module.GALLERY_SIZE, 16) and person.gallery.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(person.gallery, axis=1), 1, atol=1e-5)
    assert (person.gallery @ A).max() > 0.98 and (person.gallery @ B).max() > 0.98  # no view is forgotten


def test_the_threshold_is_learnt_from_strangers():
    rng = np.random.default_rng(0)
    similarities = rng.uniform(0.2, 0.8, 1000).tolist()
    learning, fixed = Identities(0.6, learn=True), Identities(0.6)
    for people in (learning, fixed):
        people.learn_threshold(similarities[: module.FEWEST - 1])
        assert people.threshold == 0.6  # too few to tell
        people.learn_threshold(similarities[module.FEWEST - 1 :])
    above = np.mean(np.array(similarities) > learning.threshold)
    assert abs(100 * above - (100 - module.PERCENTILE)) < 0.5 and fixed.threshold == 0.6
    learning.learn_threshold([0.9] * module.STRANGERS)  # the old ones are forgotten
    assert learning.threshold == pytest.approx(0.9)


def test_strangers_get_no_number_if_they_are_to_stay_unknown():
    people = Identities(strangers="unknown")
    assert people.stranger(A[np.newaxis]) is None and people.count == 0
    assert people.add(A[np.newaxis], "Anna").number == 1


def test_naming_joins_two_numbers_of_one_person():
    people = Identities()
    first, second = people.add(A[np.newaxis]), people.add(B[np.newaxis])
    assert first.label == "1" and people.name(1, "Anna") is first and first.label == "Anna"
    people.was_seen(second, "back")
    assert people.name(2, "Anna") is first and second.became is first
    assert people.people == [first] and first.camera == "back" and first.seen is not None
    np.testing.assert_allclose(people.similarity(np.stack([A, B, C]))[:, 0], [1, 1, 0], atol=1e-6)
    assert people.name(1, "Bert").name == "Bert" and people.called("Anna") is None and people.name(7, "Carl") is None


def test_forgetting_leaves_nothing_of_a_person():
    people = Identities()
    person = people.add(A[np.newaxis], "Anna")
    person.portraits = [(1.0, np.zeros((2, 2, 3), np.uint8))]
    assert people.forget(1) is person and people.forget(1) is None
    assert person.forgotten and not len(person.gallery) and not person.portraits
    assert people.find(1) is None and people.called("Anna") is None


def test_whoever_is_unseen_for_longest_is_forgotten_but_nobody_with_a_name(monkeypatch):
    monkeypatch.setattr(module, "MOST_PEOPLE", 3)
    people = Identities()
    people.add(A[np.newaxis], "Anna")
    for _ in range(5):
        people.was_seen(people.add(B[np.newaxis]), "front")
    people.was_seen(people.find(2), "front")  # again, after the others
    people.forget_oldest()
    assert [person.number for person in people.people] == [1, 2, 5, 6]


def test_names_that_are_fit_for_a_folder():
    assert clean_name("  Anna Maria ") == "Anna Maria" and clean_name("Jürgen") == "Jürgen"
    for unfit in ("", "  ", "a/b", "..", ".hidden", "a\\b", "x" * 41, "7", "a\0b", "C:", None):
        with pytest.raises(ValueError):
            clean_name(unfit)


def test_matching_takes_the_strongest_pair_first():
    evidence = np.array([[0.9, 0.8, 0.1], [0.95, 0.2, 0.1], [0.3, 0.3, 0.3]])
    assert match(evidence, 0.5).tolist() == [1, 0, -1]
    assert match(np.where(evidence == 0.95, -np.inf, evidence), 0.5).tolist() == [0, -1, -1]
    assert match(np.full((2, 2), -np.inf), -1).tolist() == [-1, -1]
    assert match(np.zeros((2, 0)), 0.5).tolist() == [-1, -1] and match(np.zeros((0, 2)), 0.5).tolist() == []


def test_overlap_against_counted_pixels():
    rng = np.random.default_rng(0)
    boxes = np.sort(rng.integers(0, 20, (30, 2, 2)), axis=1).reshape(30, 4)
    masks = np.zeros((30, 20, 20), bool)
    for mask, (top, left, bottom, right) in zip(masks, boxes):
        mask[top:bottom, left:right] = True
    found = iou(boxes[:15].astype(np.float32), boxes[15:].astype(np.float32))
    for row in range(15):
        for column in range(15):
            either = (masks[row] | masks[15 + column]).sum()
            wanted = (masks[row] & masks[15 + column]).sum() / either if either else 0
            assert found[row, column] == pytest.approx(wanted, abs=1e-6)
    own = overlaps_of(boxes[:15].astype(np.float32))
    assert (np.diag(own) == 0).all() and (own == own.T).all() and own.shape == (15, 15)
    assert overlaps_of(np.zeros((0, 4), np.float32)).shape == (0, 0)
