"""The tracker on hand-made people: an embedding is a direction, a box is a place."""

import numpy as np
import pytest

from utils.live import identities as module
from utils.live.identities import Identities
from utils.live.tracks import DEFAULTS, Tracker, second_best

A, B, C, D = np.eye(4, 16, dtype=np.float32)  # four people with similarity 0 to each other
LEFT, MIDDLE, RIGHT = [0.1, 0.1, 0.5, 0.2], [0.1, 0.4, 0.5, 0.5], [0.1, 0.8, 0.5, 0.9]
NUMBERED = DEFAULTS.frames_to_new_id + 2  # frames until a new person has an id; the first one is not embedded


def at(left, top=0.1):
    return [top, left, top + 0.4, left + 0.1]


def towards(person, other, cosine):
    """An embedding with similarity `cosine` to `person`; the rest points to `other`."""
    return (cosine * person + np.sqrt(1 - cosine**2) * other).astype(np.float32)


def step(tracker, *people):
    """One frame of (box, embedding) pairs -> person ids, due boxes. Only the due embeddings reach the tracker."""
    boxes = np.array([box for box, _ in people], np.float32).reshape(-1, 4)
    association = tracker.associate(boxes)
    due = association.due
    assert due.shape == (len(people),) and due.dtype == bool
    embeddings = np.array([embedding for _, embedding in people], np.float32).reshape(-1, 16)
    ids, similarities = tracker.update(association, embeddings[due])
    assert similarities.shape == (len(people),)
    return ids.tolist(), due.tolist()


def meet(tracker, *people):
    """Lets people stand there until they have ids."""
    for _ in range(NUMBERED):
        ids, _ = step(tracker, *people)
    assert 0 not in ids
    return ids


def leave(tracker, frames=DEFAULTS.nearby_max_age + 1):
    for _ in range(frames):
        assert step(tracker) == ([], [])


def test_a_new_person_gets_an_id_after_enough_embeddings():
    tracker = Tracker(Identities(), reembed_every=20)
    embedded = []
    for frame in range(60):
        ((person_id,), (due,)) = step(tracker, (at(0.1 + 0.005 * frame), A))
        assert person_id == (0 if frame < 12 else 1)
        embedded.append(due)
    assert [frame for frame in range(60) if embedded[frame]] == [0, 4, 8, 12, 32, 52]


def test_a_recognised_person_is_checked_at_growing_intervals():
    tracker = Tracker(Identities(), reembed_every=20)
    embedded = []
    meet(tracker, (at(0.1), A))
    leave(tracker)
    for frame in range(80):
        ids, (due,) = step(tracker, (at(0.5), A))
        assert ids == [min(frame, 1)]  # one embedding is enough, as nobody else is known
        embedded.append(due)
    frames = [frame for frame in range(80) if embedded[frame]]
    assert np.diff(frames).tolist() == [8, 8, 16, 20, 20]


def test_a_box_of_one_frame_is_not_embedded_except_in_the_first():
    tracker = Tracker(Identities(), reembed_every=20)
    assert step(tracker, (LEFT, A))[1] == [True]  # it may be a single image
    assert step(tracker, (LEFT, A), (RIGHT, B))[1] == [False, False]
    assert step(tracker, (LEFT, A))[1] == [False]
    assert step(tracker, (LEFT, A), (MIDDLE, B))[1] == [False, False]
    assert step(tracker, (LEFT, A), (MIDDLE, B))[1] == [True, True]


def test_reembed_every_1_embeds_everyone_in_every_frame():
    tracker = Tracker(Identities(), reembed_every=1)
    for frame in range(30):
        crowd = [(at(0.1), A), (at(0.12), B), (at(0.5 + 0.001 * frame), C)]
        assert step(tracker, *crowd)[1] == [True] * 3


def test_tracks_keep_their_ids_without_embeddings():
    tracker = Tracker(Identities(), reembed_every=1000)
    ids = meet(tracker, (at(0.1), A), (at(0.8), B))
    for frame in range(1, 50):
        people = (at(0.8 - 0.006 * frame), D), (at(0.1 + 0.006 * frame), C)  # embeddings that are not used
        assert step(tracker, *people) == (ids[::-1], [False, False]), frame
        if 0.8 - 0.006 * frame - 0.1 - 0.006 * frame < 0.15:
            break


def test_people_who_cross_or_turn_back_keep_their_ids():
    """Two people walk towards each other, meet, and go on or turn back: their boxes alone do not tell which."""
    for crossed in (True, False):
        tracker = Tracker(Identities(), reembed_every=1000)
        meet(tracker, (at(0.3), A), (at(0.6), B))
        for frame in range(1, 16):
            step(tracker, (at(0.3 + 0.01 * frame), A), (at(0.6 - 0.01 * frame), B))
        for frame in range(15, -1, -1):
            left, right = (B, A) if crossed else (A, B)
            ids, _ = step(tracker, (at(0.3 + 0.01 * frame), left), (at(0.6 - 0.01 * frame), right))
        assert ids == ([2, 1] if crossed else [1, 2])


def test_overlapping_people_are_not_embedded():
    tracker = Tracker(Identities(), reembed_every=3)
    meet(tracker, (at(0.3), A), (at(0.6), B))
    galleries = [person.gallery.copy() for person in tracker.identities.people]
    for frame in range(1, 16):
        step(tracker, (at(0.3 + 0.01 * min(frame, 13)), A), (at(0.6 - 0.01 * min(frame, 13)), B))
    sizes = [len(person.gallery) for person in tracker.identities.people]
    for _ in range(20):
        ids, due = step(tracker, (at(0.43), C), (at(0.47), C))
        assert (ids, due) == ([1, 2], [False, False])
    assert sizes == [len(person.gallery) for person in tracker.identities.people]
    for before, person in zip(galleries, tracker.identities.people):
        np.testing.assert_array_equal(person.gallery[: len(before)], before)


def test_a_new_person_in_a_lasting_crowd_gets_an_id_late():
    tracker = Tracker(Identities(), reembed_every=16)
    pair = (at(0.3), A), (at(0.38), B)  # IoU 0.11
    for frame in range(DEFAULTS.crowded_wait):
        assert step(tracker, *pair) == ([0, 0], [False, False]), frame
    for _ in range(NUMBERED + DEFAULTS.new_interval):
        ids, _ = step(tracker, *pair)
    assert ids == [1, 2]


def test_people_are_recognised_anywhere_in_the_image():
    tracker = Tracker(Identities(threshold=0.6))
    assert meet(tracker, (LEFT, A), (RIGHT, B)) == [1, 2]
    leave(tracker, 500)
    assert step(tracker, (LEFT, B), (RIGHT, A)) == ([0, 0], [False, False])
    ids, due = step(tracker, (LEFT, towards(B, C, 0.9)), (RIGHT, towards(A, C, 0.8)))
    assert ids == [2, 1] and due == [True, True]  # one embedding is enough if nobody else is similar


def test_below_the_threshold_a_person_is_new():
    tracker = Tracker(Identities(threshold=0.6))
    meet(tracker, (LEFT, A))
    leave(tracker)
    for _ in range(NUMBERED - 1):
        assert step(tracker, (RIGHT, towards(A, B, 0.59)))[0] == [0]
    assert step(tracker, (RIGHT, towards(A, B, 0.59)))[0] == [2]
    leave(tracker)
    assert step(tracker, (MIDDLE, towards(A, C, 0.61)))[0] == [0]
    assert step(tracker, (MIDDLE, towards(A, C, 0.61)))[0] == [1]


def test_unnamed_people_can_stay_unknown():
    tracker = Tracker(Identities(threshold=0.6, unnamed="unknown"), reembed_every=10)
    tracker.identities.add(A[np.newaxis], "Anna")
    embedded = 0
    for _ in range(100):
        ids, due = step(tracker, (LEFT, towards(A, C, 0.9)), (RIGHT, B))
        assert ids == [1, 0]
        embedded += due[1]
    assert embedded <= DEFAULTS.num_embeddings + 100 / 10 and tracker.identities.last_id == 1


def test_between_similar_people_more_embeddings_decide():
    tracker = Tracker(Identities(threshold=0.6))
    meet(tracker, (LEFT, A), (RIGHT, B))
    leave(tracker)
    doubtful = (A + B) / np.sqrt(2)
    clear = towards(A, B, 0.8)
    step(tracker, (MIDDLE, doubtful))
    last = DEFAULTS.new_interval * (DEFAULTS.num_embeddings - 1)  # frame of the last embedding needed
    for frame in range(last + 1):
        ids, due = step(tracker, (MIDDLE, doubtful if frame < last else clear))
        assert due == [frame % DEFAULTS.new_interval == 0] and ids == [1 if frame == last else 0]


def test_two_boxes_never_share_an_id_but_two_cameras_can():
    identities = Identities(threshold=0.6)
    front = Tracker(identities, camera="front")
    back = Tracker(identities, camera="back")
    assert meet(front, (LEFT, A)) == [1]
    assert step(back, (RIGHT, A))[0] == [1]  # recognised by one embedding, while the other camera sees the person too
    assert identities.people[0].camera == "back"
    leave(front)
    for _ in range(NUMBERED):
        ids, _ = step(front, (LEFT, towards(A, B, 0.8)), (RIGHT, towards(A, B, 0.95)))
    assert ids == [2, 1]
    assert step(front, (LEFT, A), (MIDDLE, A), (RIGHT, A))[0].count(1) == 1


@pytest.mark.parametrize("seed", range(8))
def test_random_crowds_have_no_id_twice_in_a_frame(seed):
    rng = np.random.default_rng(seed)
    identities = Identities(threshold=0.4, learn=seed % 2 == 0, unnamed="unknown" if seed == 7 else "number")
    trackers = [Tracker(identities, reembed_every=int(rng.integers(1, 6))) for _ in range(2)]
    people = rng.normal(size=(6, 16)) + 0.5
    for _ in range(120):
        for tracker in trackers:
            count = int(rng.integers(0, 7))
            boxes = np.stack([at(rng.uniform(0, 0.9), rng.uniform(0, 0.6)) for _ in range(count)] or [LEFT])[:count]
            association = tracker.associate(boxes)
            due = int(association.due.sum())
            embeddings = people[rng.integers(0, 6, due)] + rng.normal(0, 0.3, (due, 16))
            embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
            ids, _ = tracker.update(association, embeddings)
            known = ids[ids > 0].tolist()
            assert len(ids) == count and len(known) == len(set(known))
            assert (
                set(known) <= {person.person_id for person in identities.people} and set(known) == tracker.person_ids()
            )
        if rng.uniform() < 0.1 and identities.people:
            person_id = int(rng.choice([person.person_id for person in identities.people]))
            if rng.uniform() < 0.5:
                identities.forget(person_id)
            else:
                identities.name(person_id, f"P{rng.integers(3)}")


def test_a_track_that_became_someone_else_is_corrected():
    """The detector loses A just as B steps into the place: the track continues, the person is another."""
    tracker = Tracker(Identities(threshold=0.6), reembed_every=10)
    meet(tracker, (LEFT, A), (RIGHT, B))
    for _ in range(10 + 2):
        ids, _ = step(tracker, (LEFT, B))
    assert ids == [2]
    assert (tracker.identities.people[0].gallery @ B).max() < 0.1  # and A has learned nothing from it


def test_two_swapped_people_are_both_corrected():
    tracker = Tracker(Identities(threshold=0.6), reembed_every=10)
    meet(tracker, (LEFT, A), (RIGHT, B))
    for _ in range(10 + 2):
        ids, _ = step(tracker, (LEFT, B), (RIGHT, A))
    assert ids == [2, 1]


def test_a_person_lost_nearby_needs_less_similarity_for_a_while():
    doubtful = towards(A, C, 0.6 - DEFAULTS.nearby_bonus / 2)
    for pause, place, wanted in ((5, MIDDLE, 1), (5, RIGHT, 2), (DEFAULTS.nearby_max_age + 1, MIDDLE, 2)):
        tracker = Tracker(Identities(threshold=0.6))
        meet(tracker, (MIDDLE, A))
        leave(tracker, pause)
        for _ in range(NUMBERED):
            ids, _ = step(tracker, (place, doubtful))
        assert ids == [wanted], (pause, place)


def test_prediction_follows_a_fast_walker():
    tracker = Tracker(Identities(), reembed_every=1000)
    place = 0.0
    for frame in range(40):
        place += min(0.002 * frame, 0.03)  # at the end a third of the width per frame
        people = () if frame in (20, 21) else ((at(place), A),)
        ids, due = step(tracker, *people)
        if frame >= NUMBERED and people:
            assert ids == [1] and due == [False], frame


def test_naming_and_forgetting_people_on_screen():
    identities = Identities(threshold=0.6)
    tracker = Tracker(identities)
    meet(tracker, (LEFT, A), (RIGHT, B))
    leave(tracker)
    meet(tracker, (MIDDLE, C))  # 3
    identities.name(1, "Anna")
    identities.name(3, "Anna")  # so 3 was Anna all along
    assert step(tracker, (MIDDLE, C))[0] == [1]
    assert identities.forget(1).name == "Anna" and identities.find(1) is None
    for _ in range(NUMBERED + DEFAULTS.new_interval):
        ids, _ = step(tracker, (MIDDLE, C))
    assert ids == [4]  # a forgotten person is new
    meet(tracker, (LEFT, A), (RIGHT, B))
    identities.name(4, "Bert")
    identities.name(2, "Bert")  # both were on screen: one box keeps the id, the other is embedded again
    ids, _ = step(tracker, (LEFT, A), (MIDDLE, C), (RIGHT, B))
    assert ids.count(4) <= 1


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(module, "MAX_PEOPLE", 20)
    rng = np.random.default_rng(0)
    identities = Identities(threshold=0.9, learn=True)
    tracker = Tracker(identities, reembed_every=1)
    for _ in range(40):
        people = rng.normal(size=(2, 16)).astype(np.float32)
        people /= np.linalg.norm(people, axis=1, keepdims=True)
        leave(tracker, DEFAULTS.max_age + 1)
        for _ in range(DEFAULTS.frames_to_new_id + 1):
            step(tracker, (LEFT, people[0]), (RIGHT, people[1]))
            identities.forget_oldest()
    assert identities.last_id > 60 and len(identities.people) == 20
    assert len(tracker.tracks) <= 4


def test_second_best_against_a_loop():
    rng = np.random.default_rng(0)
    for people in range(4):
        evidence = np.round(rng.uniform(-1, 1, (5, people)), 1)  # with ties
        found = second_best(evidence)
        for row in range(5):
            for column in range(people):
                others = np.delete(evidence[row], column).tolist() + [-1.0]
                assert found[row, column] == max(others)


def test_reset_positions_leaves_only_embeddings_to_decide():
    for person, wanted in ((A, 1), (towards(A, B, 0.5), 2)):
        tracker = Tracker(Identities(threshold=0.6))
        meet(tracker, (MIDDLE, A))
        tracker.reset_positions()
        for _ in range(NUMBERED):
            ids, _ = step(tracker, (MIDDLE, person))
        assert ids == [wanted]  # in the same place, where a continued track would have kept the id


def test_a_doubtful_track_keeps_its_person_down_to_own_slack():
    """Two people touch for a frame, which makes both doubtful; the right one then looks like somebody else."""
    for similarity, wanted in ((0.6 - DEFAULTS.own_slack + 0.01, 2), (0.6 - DEFAULTS.own_slack - 0.01, 3)):
        tracker = Tracker(Identities(threshold=0.6))
        meet(tracker, (at(0.3), A), (at(0.42), B))
        known = tracker.identities.find(2).gallery.copy()
        step(tracker, (at(0.32), A), (at(0.41), B))
        for _ in range(DEFAULTS.num_embeddings):
            ids, due = step(tracker, (at(0.3), A), (at(0.42), towards(B, C, similarity)))
            assert due[1]  # the left one is recognised by one embedding
        assert ids == [1, wanted]
        np.testing.assert_array_equal(tracker.identities.find(2).gallery, known)


def test_a_small_reembed_every_applies_to_new_people_too():
    tracker = Tracker(Identities(), reembed_every=2)
    embedded = [step(tracker, (LEFT, A))[1][0] for _ in range(NUMBERED)]
    assert embedded == [frame % 2 == 0 for frame in range(NUMBERED)]


def test_a_person_forgotten_on_screen_is_new_after_the_usual_time():
    tracker = Tracker(Identities(threshold=0.6))
    meet(tracker, (LEFT, A))
    tracker.identities.forget(1)
    ids = [step(tracker, (LEFT, A))[0][0] for _ in range(NUMBERED + DEFAULTS.new_interval)]
    assert ids[: DEFAULTS.frames_to_new_id] == [0] * DEFAULTS.frames_to_new_id and ids[-1] == 2
