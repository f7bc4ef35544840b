"""Who is who in front of a camera, on hand-made people: an embedding is a direction, a box a place."""

import numpy as np
import pytest

from utils.live import tracks as module
from utils.live.identities import Identities
from utils.live.tracks import LOOKS, SPACED, STRANGE, Tracker, runner_up

A, B, C, D = np.eye(4, 16, dtype=np.float32)  # four people who are nothing like each other
LEFT, MIDDLE, RIGHT = [0.1, 0.1, 0.5, 0.2], [0.1, 0.4, 0.5, 0.5], [0.1, 0.8, 0.5, 0.9]
NUMBERED = STRANGE + 2  # frames until someone new has a number; in the first one the net does not look


def at(left, top=0.1):
    return [top, left, top + 0.4, left + 0.1]


def towards(person, other, cosine):
    """A picture of `person` that resembles the earlier ones by `cosine`, and for the rest points to `other`."""
    return (cosine * person + np.sqrt(1 - cosine**2) * other).astype(np.float32)


def step(tracker, *people):
    """One frame of (box, embedding) pairs -> numbers, who was due; only those embeddings are handed over."""
    boxes = np.array([box for box, _ in people], np.float32).reshape(-1, 4)
    due = tracker.link(boxes)
    assert due.shape == (len(people),) and due.dtype == bool
    numbers, similarities = tracker.settle(np.array([look for _, look in people], np.float32).reshape(-1, 16)[due])
    assert similarities.shape == (len(people),)
    return numbers.tolist(), due.tolist()


def meet(tracker, *people):
    """Lets them stand there until they have numbers."""
    for _ in range(NUMBERED):
        numbers, _ = step(tracker, *people)
    assert 0 not in numbers
    return numbers


def leave(tracker, frames=module.MEMORY + 1):
    for _ in range(frames):
        assert step(tracker) == ([], [])


def test_a_number_comes_after_enough_looks_and_then_the_net_rests():
    tracker, seen = Tracker(Identities(), reembed_every=20), []
    for frame in range(60):
        ((number,), (due,)) = step(tracker, (at(0.1 + 0.005 * frame), A))
        assert number == (0 if frame < 12 else 1)
        seen.append(due)
    assert [frame for frame in range(60) if seen[frame]] == [0, 4, 8, 12, 32, 52]


def test_who_was_recognised_is_looked_at_again_soon_and_then_ever_more_rarely():
    tracker, seen = Tracker(Identities(), reembed_every=20), []
    meet(tracker, (at(0.1), A))
    leave(tracker)
    for frame in range(80):
        numbers, (due,) = step(tracker, (at(0.5), A))
        assert numbers == [min(frame, 1)]  # one clear look is enough, as nobody else is known
        seen.append(due)
    assert [frame - 1 for frame in range(80) if seen[frame]] == [0, 8, 16, 32, 52, 72]  # waits of 8, 8, 16, 20, 20


def test_who_was_there_for_a_single_frame_is_not_looked_at_unless_it_was_the_first():
    tracker = Tracker(Identities(), reembed_every=20)
    assert step(tracker, (LEFT, A))[1] == [True]  # a single picture, say
    assert step(tracker, (LEFT, A), (RIGHT, B))[1] == [False, False]
    assert step(tracker, (LEFT, A))[1] == [False]
    assert step(tracker, (LEFT, A), (MIDDLE, B))[1] == [False, False]
    assert step(tracker, (LEFT, A), (MIDDLE, B))[1] == [True, True]


def test_embedding_everyone_in_every_frame_is_asked_for_with_1():
    tracker = Tracker(Identities(), reembed_every=1)
    for frame in range(30):
        crowd = [(at(0.1), A), (at(0.12), B), (at(0.5 + 0.001 * frame), C)]
        assert step(tracker, *crowd)[1] == [True] * 3


def test_without_the_net_a_box_goes_on_as_who_it_was():
    tracker = Tracker(Identities(), reembed_every=1000)
    numbers = meet(tracker, (at(0.1), A), (at(0.8), B))
    for frame in range(1, 50):
        people = [(at(0.8 - 0.006 * frame, 0.55), D), (at(0.1 + 0.006 * frame), C)]  # looks that nobody asks for
        if frame < 2:
            people[0] = (at(0.794), D)
        else:
            people[0] = (at(0.8 - 0.006 * frame), D)
        assert step(tracker, *people) == (numbers[::-1], [False, False]), frame
        if 0.8 - 0.006 * frame - 0.1 - 0.006 * frame < 0.15:
            break


def test_who_turns_round_behind_another_keeps_the_own_number():
    """Two walk towards each other, meet, and go on or go back: by their boxes alone nobody can tell which."""
    for crossed in (True, False):
        tracker = Tracker(Identities(), reembed_every=1000)
        meet(tracker, (at(0.3), A), (at(0.6), B))
        for frame in range(1, 16):
            step(tracker, (at(0.3 + 0.01 * frame), A), (at(0.6 - 0.01 * frame), B))
        for frame in range(15, -1, -1):
            left, right = (B, A) if crossed else (A, B)
            numbers, _ = step(tracker, (at(0.3 + 0.01 * frame), left), (at(0.6 - 0.01 * frame), right))
        assert numbers == ([2, 1] if crossed else [1, 2])


def test_while_two_overlap_nobody_is_embedded_and_nothing_is_learnt():
    tracker = Tracker(Identities(), reembed_every=3)
    meet(tracker, (at(0.3), A), (at(0.6), B))
    galleries = [person.gallery.copy() for person in tracker.identities.people]
    for frame in range(1, 16):
        step(tracker, (at(0.3 + 0.01 * min(frame, 13)), A), (at(0.6 - 0.01 * min(frame, 13)), B))
    sizes = [len(person.gallery) for person in tracker.identities.people]
    for _ in range(20):
        numbers, due = step(tracker, (at(0.43), C), (at(0.47), C))
        assert (numbers, due) == ([1, 2], [False, False])
    assert sizes == [len(person.gallery) for person in tracker.identities.people]
    for before, person in zip(galleries, tracker.identities.people):
        np.testing.assert_array_equal(person.gallery[: len(before)], before)


def test_someone_new_in_a_lasting_crowd_gets_a_number_late():
    tracker = Tracker(Identities(), reembed_every=16)
    pair = (at(0.3), A), (at(0.38), B)  # IoU 0.11
    for frame in range(module.CROWD_FRAMES):
        assert step(tracker, *pair) == ([0, 0], [False, False]), frame
    for _ in range(NUMBERED + SPACED):
        numbers, _ = step(tracker, *pair)
    assert numbers == [1, 2]


def test_people_are_known_again_wherever_they_are():
    tracker = Tracker(Identities(threshold=0.6))
    assert meet(tracker, (LEFT, A), (RIGHT, B)) == [1, 2]
    leave(tracker, 500)
    assert step(tracker, (LEFT, B), (RIGHT, A)) == ([0, 0], [False, False])
    numbers, due = step(tracker, (LEFT, towards(B, C, 0.9)), (RIGHT, towards(A, C, 0.8)))
    assert numbers == [2, 1] and due == [True, True]  # one look is enough where nobody else is like it


def test_below_the_threshold_a_person_is_unknown_and_then_new_and_never_the_nearest_guess():
    tracker = Tracker(Identities(threshold=0.6))
    meet(tracker, (LEFT, A))
    leave(tracker)
    for _ in range(NUMBERED - 1):
        assert step(tracker, (RIGHT, towards(A, B, 0.59)))[0] == [0]
    assert step(tracker, (RIGHT, towards(A, B, 0.59)))[0] == [2]
    leave(tracker)
    assert step(tracker, (MIDDLE, towards(A, C, 0.61)))[0] == [0]
    assert step(tracker, (MIDDLE, towards(A, C, 0.61)))[0] == [1]


def test_strangers_stay_unknown_if_asked_for_and_cost_little():
    tracker = Tracker(Identities(threshold=0.6, strangers="unknown"), reembed_every=10)
    tracker.identities.add(A[np.newaxis], "Anna")
    looks = 0
    for _ in range(100):
        numbers, due = step(tracker, (LEFT, towards(A, C, 0.9)), (RIGHT, B))
        assert numbers == [1, 0]
        looks += due[1]
    assert looks <= LOOKS + 100 / 10 and tracker.identities.count == 1


def test_between_two_who_look_alike_more_looks_decide():
    tracker = Tracker(Identities(threshold=0.6))
    meet(tracker, (LEFT, A), (RIGHT, B))
    leave(tracker)
    doubtful, clear = (A + B) / np.sqrt(2), towards(A, B, 0.8)
    step(tracker, (MIDDLE, doubtful))
    last = SPACED * (LOOKS - 1)  # frame of the look that completes them
    for frame in range(last + 1):
        numbers, due = step(tracker, (MIDDLE, doubtful if frame < last else clear))
        assert due == [frame % SPACED == 0] and numbers == [1 if frame == last else 0]


def test_two_boxes_never_share_a_number_but_two_cameras_may():
    identities = Identities(threshold=0.6)
    front, back = Tracker(identities, camera="front"), Tracker(identities, camera="back")
    assert meet(front, (LEFT, A)) == [1]
    assert step(back, (RIGHT, A))[0] == [1]  # known by the first look, while the other camera sees it as well
    assert identities.people[0].camera == "back"
    leave(front)
    for _ in range(NUMBERED):
        numbers, _ = step(front, (LEFT, towards(A, B, 0.8)), (RIGHT, towards(A, B, 0.95)))
    assert numbers == [2, 1]
    assert step(front, (LEFT, A), (MIDDLE, A), (RIGHT, A))[0].count(1) == 1


@pytest.mark.parametrize("seed", range(8))
def test_of_random_crowds_no_frame_ever_has_a_number_twice(seed):
    rng = np.random.default_rng(seed)
    identities = Identities(threshold=0.4, learn=seed % 2 == 0, strangers="unknown" if seed == 7 else "number")
    trackers = [Tracker(identities, reembed_every=int(rng.integers(1, 6))) for _ in range(2)]
    looks = rng.normal(size=(6, 16)) + 0.5
    for _ in range(120):
        for tracker in trackers:
            count = int(rng.integers(0, 7))
            boxes = np.stack([at(rng.uniform(0, 0.9), rng.uniform(0, 0.6)) for _ in range(count)] or [LEFT])[:count]
            due = tracker.link(boxes)
            faces = looks[rng.integers(0, 6, int(due.sum()))] + rng.normal(0, 0.3, (int(due.sum()), 16))
            faces /= np.linalg.norm(faces, axis=1, keepdims=True)
            numbers, _ = tracker.settle(faces)
            known = numbers[numbers > 0].tolist()
            assert len(numbers) == count and len(known) == len(set(known))
            assert set(known) <= {person.number for person in identities.people} and set(known) == tracker.numbers()
        if rng.uniform() < 0.1 and identities.people:
            numbers = [person.number for person in identities.people]
            number = int(rng.choice(numbers))
            identities.forget(number) if rng.uniform() < 0.5 else identities.name(number, f"P{rng.integers(3)}")


def test_a_track_that_became_someone_else_is_put_right():
    """A detector that loses A just as B steps into the place: the box goes on, the person is another."""
    tracker = Tracker(Identities(threshold=0.6), reembed_every=10)
    meet(tracker, (LEFT, A), (RIGHT, B))
    for _ in range(10 + 2):
        numbers, _ = step(tracker, (LEFT, B))
    assert numbers == [2]
    assert (tracker.identities.people[0].gallery @ B).max() < 0.1  # and A has learnt nothing of it


def test_two_who_were_swapped_are_both_asked():
    tracker = Tracker(Identities(threshold=0.6), reembed_every=10)
    meet(tracker, (LEFT, A), (RIGHT, B))
    for _ in range(10 + 2):
        numbers, _ = step(tracker, (LEFT, B), (RIGHT, A))
    assert numbers == [2, 1]


def test_who_was_lost_near_by_needs_less_evidence_for_a_while():
    doubtful = towards(A, C, 0.6 - module.NEAR / 2)
    for pause, place, wanted in ((5, MIDDLE, 1), (5, RIGHT, 2), (module.MEMORY + 1, MIDDLE, 2)):
        tracker = Tracker(Identities(threshold=0.6))
        meet(tracker, (MIDDLE, A))
        leave(tracker, pause)
        for _ in range(NUMBERED):
            numbers, _ = step(tracker, (place, doubtful))
        assert numbers == [wanted], (pause, place)


def test_a_fast_walker_is_followed_by_velocity():
    tracker = Tracker(Identities(), reembed_every=1000)
    place = 0.0
    for frame in range(40):
        place += min(0.002 * frame, 0.03)  # at the end a third of the width each frame
        people = () if frame in (20, 21) else ((at(place), A),)
        numbers, due = step(tracker, *people)
        if frame >= NUMBERED and people:
            assert numbers == [1] and due == [False], frame


def test_naming_and_forgetting_someone_on_screen():
    identities = Identities(threshold=0.6)
    tracker = Tracker(identities)
    meet(tracker, (LEFT, A), (RIGHT, B))
    leave(tracker)
    meet(tracker, (MIDDLE, C))  # 3
    identities.name(1, "Anna")
    identities.name(3, "Anna")  # so 3 was Anna all the time
    assert step(tracker, (MIDDLE, C))[0] == [1]
    assert identities.forget(1).name == "Anna" and identities.find(1) is None
    for _ in range(NUMBERED + SPACED):
        numbers, _ = step(tracker, (MIDDLE, C))
    assert numbers == [4]  # whoever is forgotten is new
    meet(tracker, (LEFT, A), (RIGHT, B))
    identities.name(4, "Bert")
    identities.name(2, "Bert")  # both were on screen: one box keeps the number, the other is looked at again
    numbers, _ = step(tracker, (LEFT, A), (MIDDLE, C), (RIGHT, B))
    assert numbers.count(4) <= 1


def test_everything_stays_bounded():
    rng = np.random.default_rng(0)
    identities = Identities(threshold=0.9, learn=True)
    tracker = Tracker(identities, reembed_every=1)
    for _ in range(260):
        looks = rng.normal(size=(2, 16)).astype(np.float32)
        looks /= np.linalg.norm(looks, axis=1, keepdims=True)
        leave(tracker, module.PATIENCE + 1)
        for _ in range(STRANGE + 1):
            step(tracker, (LEFT, looks[0]), (RIGHT, looks[1]))
            identities.forget_oldest()
    assert identities.count > 400 and len(identities.people) == 200
    assert len(tracker.tracks) <= 4 and len(tracker._lost) <= 8


def test_runner_up_against_a_loop():
    rng = np.random.default_rng(0)
    for people in range(4):
        evidence = np.round(rng.uniform(-1, 1, (5, people)), 1)  # with ties
        found = runner_up(evidence)
        for row in range(5):
            for column in range(people):
                others = np.delete(evidence[row], column).tolist() + [-1.0]
                assert found[row, column] == max(others)


def test_after_a_pause_only_looks_tell_who_is_there():
    for person, wanted in ((A, 1), (towards(A, B, 0.5), 2)):
        tracker = Tracker(Identities(threshold=0.6))
        meet(tracker, (MIDDLE, A))
        tracker.paused()
        for _ in range(NUMBERED):
            numbers, _ = step(tracker, (MIDDLE, person))
        assert numbers == [wanted]  # in the same place, where a box that goes on would have kept the number


def test_a_doubtful_track_keeps_its_person_down_to_a_limit_and_learns_nothing_from_it():
    """Two touch for a frame, which makes both doubtful; the right one then looks like a stranger."""
    for similarity, wanted in ((0.6 - module.SLACK + 0.01, 2), (0.6 - module.SLACK - 0.01, 3)):
        tracker = Tracker(Identities(threshold=0.6))
        meet(tracker, (at(0.3), A), (at(0.42), B))
        known = tracker.identities.find(2).gallery.copy()
        step(tracker, (at(0.32), A), (at(0.41), B))
        for _ in range(LOOKS):
            numbers, due = step(tracker, (at(0.3), A), (at(0.42), towards(B, C, similarity)))
            assert due[1]  # and the left one is known by the first look
        assert numbers == [1, wanted]
        np.testing.assert_array_equal(tracker.identities.find(2).gallery, known)


def test_a_smaller_reembed_every_counts_for_who_is_new_too():
    tracker = Tracker(Identities(), reembed_every=2)
    looked = [step(tracker, (LEFT, A))[1][0] for _ in range(NUMBERED)]
    assert looked == [frame % 2 == 0 for frame in range(NUMBERED)]


def test_who_is_forgotten_on_screen_is_new_after_as_long_as_anybody():
    tracker = Tracker(Identities(threshold=0.6))
    meet(tracker, (LEFT, A))
    tracker.identities.forget(1)
    numbers = [step(tracker, (LEFT, A))[0][0] for _ in range(NUMBERED + SPACED)]
    assert numbers[:STRANGE] == [0] * STRANGE and numbers[-1] == 2
