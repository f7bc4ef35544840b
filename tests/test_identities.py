"""Who is who over time, on hand-made people: an embedding is a direction, a box a place."""

import numpy as np
import pytest

from utils import identities as module
from utils.identities import Identities, iou, match

A, B, C = np.eye(3, 16, dtype=np.float32)  # three people who are nothing like each other
LEFT, MIDDLE, RIGHT = [0.1, 0.1, 0.5, 0.2], [0.1, 0.4, 0.5, 0.5], [0.1, 0.8, 0.5, 0.9]
NOBODY = np.zeros((0, 4)), np.zeros((0, 16), np.float32)


def towards(person, other, cosine):
    """A picture of `person` that resembles the earlier ones by `cosine`, and for the rest points to `other`."""
    return (cosine * person + np.sqrt(1 - cosine**2) * other).astype(np.float32)


def assign(people, boxes, embeddings):
    numbers, similarities = people.assign(np.array(boxes), np.array(embeddings))
    return numbers.tolist(), similarities


def test_new_people_get_numbers_from_one():
    numbers, similarities = assign(Identities(), [LEFT, RIGHT], [A, B])
    assert numbers == [1, 2] and np.isnan(similarities).all()


def test_people_are_known_again_wherever_they_are():
    people = Identities(threshold=0.6)
    assign(people, [LEFT, RIGHT], [A, B])
    numbers, similarities = assign(
        people, [LEFT, RIGHT], [towards(B, C, 0.9), towards(A, C, 0.8)]
    )  # they changed places
    assert numbers == [2, 1]
    np.testing.assert_allclose(similarities, [0.9, 0.8], atol=1e-6)


def test_below_the_threshold_a_person_is_new_and_never_the_nearest_guess():
    people = Identities(threshold=0.6)
    assign(people, [LEFT], [A])
    assert assign(people, [RIGHT], [towards(A, B, 0.59)])[0] == [2]
    assert assign(people, [MIDDLE], [towards(A, C, 0.61)])[0] == [1]


def test_a_box_that_stays_helps_a_doubtful_picture():
    for box, wanted in ((LEFT, 1), (RIGHT, 2)):
        people = Identities(threshold=0.6, continuity=0.3)
        assign(people, [LEFT], [A])
        assert assign(people, [box], [towards(A, B, 0.4)])[0] == [wanted]
    people = Identities(threshold=0.6, continuity=0.0)
    assign(people, [LEFT], [A])
    assert assign(people, [LEFT], [towards(A, B, 0.4)])[0] == [2]


def test_two_boxes_never_share_an_identity():
    people = Identities(threshold=0.6)
    assign(people, [LEFT], [A])
    numbers, similarities = assign(people, [MIDDLE, RIGHT], [towards(A, B, 0.8), towards(A, B, 0.95)])
    assert numbers == [2, 1] and np.isnan(similarities[0]) and similarities[1] == pytest.approx(0.95)
    rng = np.random.default_rng(0)
    for count in (0, 1, 5, 30):
        alike = rng.normal(1, 0.1, (count, 16))  # all of them look the same
        boxes = np.sort(rng.uniform(0, 1, (count, 2, 2)), axis=1).reshape(count, 4)
        numbers, _ = people.assign(boxes, (alike / np.linalg.norm(alike, axis=1, keepdims=True)).astype(np.float32))
        assert len(set(numbers.tolist())) == count


def test_who_leaves_and_comes_back_keeps_the_number():
    people = Identities(threshold=0.6)
    assign(people, [LEFT], [A])
    for _ in range(500):
        people.assign(*NOBODY)
    assert assign(people, [RIGHT], [B])[0] == [2]
    assert assign(people, [LEFT, RIGHT], [B, A])[0] == [2, 1]


def test_the_threshold_is_learnt_from_people_seen_side_by_side():
    """A net to which all people look much alike: strangers by 0.9, one person's pictures by 0.99."""
    rng = np.random.default_rng(0)
    common = np.eye(1, 512, dtype=np.float32)[0]

    def person():
        own = rng.normal(size=512).astype(np.float32)
        own -= own @ common * common
        return np.sqrt(0.9) * common + np.sqrt(0.1) * own / np.linalg.norm(own)

    def seen(someone):
        noisy = someone + rng.normal(0, np.sqrt(0.01 / 512), 512)
        return (noisy / np.linalg.norm(noisy)).astype(np.float32)

    first, second, third = person(), person(), person()
    for learn in (True, False):
        people = Identities(threshold=0.6, learn=learn)
        for _ in range(30):
            assert assign(people, [LEFT, RIGHT], [seen(first), seen(second)])[0] == [1, 2]
        for _ in range(30):
            people.assign(np.zeros((0, 4)), np.zeros((0, 512)))
        numbers, _ = assign(people, [MIDDLE], [seen(third)])
        assert (numbers == [3]) == learn  # by 0.6 a stranger is taken for somebody
        assert (0.9 < people.threshold < 0.97) if learn else (people.threshold == 0.6)
        if learn:
            assert assign(people, [RIGHT, LEFT], [seen(first), seen(second)])[0] == [1, 2]  # changed places


def test_the_last_box_counts_less_with_every_frame():
    people = Identities(threshold=0.6, continuity=0.3)
    assign(people, [LEFT], [A])
    people.assign(*NOBODY)
    assert assign(people, [LEFT], [towards(A, B, 0.44)])[0] == [2]  # 0.44 + 0.3 / 2 is too little; + 0.3 was enough


def test_the_gallery_learns_and_stays_bounded():
    people = Identities(threshold=0.6)
    assign(people, [LEFT], [A])
    for angle in np.linspace(0, np.pi / 2, 60):  # turns round slowly until nothing is as it was
        numbers, _ = assign(people, [LEFT], [np.cos(angle) * A + np.sin(angle) * B])
        assert numbers == [1]
    gallery = people.people[0].gallery
    assert gallery.shape == (module.GALLERY_SIZE, 16) and gallery.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(gallery, axis=1), 1, atol=1e-5)
    assert assign(people, [RIGHT], [A])[0] == [1]  # the first view is not forgotten
    assert people.count == 1


def test_a_crowded_picture_is_not_learnt():
    people = Identities(threshold=0.6)
    assign(people, [LEFT, RIGHT], [A, B])
    overlapping = [[0.1, 0.1, 0.5, 0.2], [0.1, 0.12, 0.5, 0.22]]
    for _ in range(module.LEARN_EVERY):
        people.assign(*NOBODY)
    assert assign(people, overlapping, [towards(A, C, 0.7), towards(B, C, 0.7)])[0] == [1, 2]
    assert len(people.people[0].gallery) == len(people.people[1].gallery) == 1


def test_whoever_is_unseen_for_longest_is_forgotten(monkeypatch):
    monkeypatch.setattr(module, "MOST_PEOPLE", 3)
    people = Identities(threshold=0.6)
    for person in np.eye(5, 16, dtype=np.float32):
        assign(people, [LEFT], [person])
    assert [person.number for person in people.people] == [3, 4, 5]
    assert assign(people, [LEFT], [np.eye(16, dtype=np.float32)[0]])[0] == [6]  # a number is never given twice


def test_matching_takes_the_strongest_pair_first():
    evidence = np.array([[0.9, 0.8, 0.1], [0.95, 0.2, 0.1], [0.3, 0.3, 0.3]])
    assert match(evidence, 0.5).tolist() == [1, 0, -1]
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
