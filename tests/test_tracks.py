"""The tracker on hand-made people: an embedding is a direction, a box is a place, ten frames are a second."""

import numpy as np
import pytest

from utils.live import identities as module
from utils.live.identities import Identities
from utils.live.tracks import DECISION_SECONDS, EMBED_SECONDS, LOST_SECONDS, LOW_SCORE, NEARBY_SECONDS, Tracker

A, B, C, D, E = np.eye(5, 16, dtype=np.float32)  # five people with similarity 0 to each other
LEFT, MIDDLE, RIGHT = [0.1, 0.1, 0.5, 0.2], [0.1, 0.4, 0.5, 0.5], [0.1, 0.8, 0.5, 0.9]
FPS = 10.0
NUMBERED = round(DECISION_SECONDS * FPS)  # frames until a new person has a number


def at(left, top=0.1):
    return [top, left, top + 0.4, left + 0.1]


def towards(person, other, cosine):
    """An embedding with similarity `cosine` to `person`; the rest points to `other`."""
    return (cosine * person + np.sqrt(1 - cosine**2) * other).astype(np.float32)


class Scene:
    """A tracker, and the tracks that it found."""

    def __init__(self, fps=FPS, identities=None, **options):
        self.identities = identities or Identities(0.6)
        self.tracker = Tracker(self.identities, **options)
        self.fps = fps
        self.seconds = 0.0

    def step(self, *people, scores=None):
        """One frame of (box, embedding) pairs -> person ids of all of them, -1 for a box that is no track's."""
        boxes = np.array([box for box, _ in people], np.float32).reshape(-1, 4)
        scores = np.full(len(people), 0.9) if scores is None else np.array(scores)
        self.seconds += 1 / self.fps
        found = self.tracker.associate(boxes, scores, self.seconds)
        vectors = np.array([embedding for _, embedding in people], np.float32).reshape(-1, 16)
        self.due = np.isin(np.arange(len(people)), found.indices[found.due])
        self.tracks = found.tracks
        ids, similarities = self.tracker.update(found, vectors[found.indices[found.due]])
        assert similarities.shape == ids.shape
        all_ids = np.full(len(people), -1)
        all_ids[found.indices] = ids
        return all_ids.tolist()

    def meet(self, *people):
        """Lets people stand there until they have ids."""
        for _ in range(int(DECISION_SECONDS * self.fps) + 1):
            ids = self.step(*people)
        assert 0 not in ids
        return ids

    def leave(self, seconds=30.0):
        for _ in range(int(seconds * self.fps)):
            assert self.step() == []


def test_a_new_person_gets_a_number_after_the_decision():
    scene = Scene(reembed_every=20)
    embedded = []
    for frame in range(60):
        (person_id,) = scene.step((at(0.1 + 0.005 * frame), A))
        assert person_id == (0 if frame + 1 < NUMBERED else 1), frame
        embedded.append(bool(scene.due[0]))
    step = round(EMBED_SECONDS * FPS)
    assert [frame for frame in range(60) if embedded[frame]] == [*range(0, NUMBERED - 1, step), 32, 52]


def test_a_person_who_comes_back_is_recognised_anywhere():
    scene = Scene()
    assert scene.meet((LEFT, A), (RIGHT, B)) == [1, 2]
    scene.leave()
    scene.step((LEFT, towards(B, C, 0.9)), (RIGHT, towards(A, C, 0.9)))
    assert not scene.due.any()  # a single box may be a false detection
    assert scene.step((LEFT, towards(B, C, 0.9)), (RIGHT, towards(A, C, 0.9))) == [2, 1]


def test_below_the_threshold_a_person_is_new():
    for cosine, wanted in ((0.35, 2), (0.85, 1)):
        scene = Scene()
        scene.meet((LEFT, A))
        scene.leave()
        assert scene.meet((RIGHT, towards(A, B, cosine))) == [wanted]


def test_reembed_every_1_embeds_everyone_in_every_frame():
    scene = Scene(reembed_every=1)
    for frame in range(30):
        scene.step((at(0.1), A), (at(0.12), B), (at(0.5 + 0.001 * frame), C))
        assert scene.due.tolist() == [True] * 3


def test_tracks_keep_their_numbers_without_embeddings():
    scene = Scene(reembed_every=1000)
    assert scene.meet((at(0.1), A), (at(0.8), B)) == [1, 2]
    for frame in range(1, 40):
        assert scene.step((at(0.8 - 0.006 * frame), D), (at(0.1 + 0.006 * frame), C)) == [2, 1]
        assert not scene.due.any()


@pytest.mark.parametrize("crossed", [True, False])
def test_people_who_cross_or_turn_back_keep_their_numbers(crossed):
    """Two people walk towards each other, meet, and go on or turn back: their boxes alone do not tell which."""
    scene = Scene(reembed_every=1000)
    scene.meet((at(0.3), A), (at(0.6), B))
    for frame in range(1, 16):
        scene.step((at(0.3 + 0.01 * frame), A), (at(0.6 - 0.01 * frame), B))
    for frame in range(15, -12, -1):
        left, right = (B, A) if crossed else (A, B)
        ids = scene.step((at(0.3 + 0.01 * frame), left), (at(0.6 - 0.01 * frame), right))
    assert ids == ([2, 1] if crossed else [1, 2])


def test_low_scores_continue_a_track_and_start_none():
    scene = Scene()
    for _ in range(2 * NUMBERED):
        assert scene.step((LEFT, A), scores=[0.3]) == [-1]
    scene.meet((LEFT, A))
    for _ in range(20):
        assert scene.step((LEFT, A), (LEFT, B), scores=[0.3, LOW_SCORE / 2]) == [1, -1]
    scene.leave(2 * LOST_SECONDS)
    assert scene.step((LEFT, A), scores=[0.3]) == [-1]


def test_a_short_track_is_nobody_new_but_may_be_somebody_known():
    scene = Scene()
    scene.meet((LEFT, A))
    for _ in range(5):
        scene.step((LEFT, A), (RIGHT, B))
    blip = scene.tracks[1]
    scene.leave(NEARBY_SECONDS + 1)
    assert blip.decided and blip.person is None and scene.identities.last_id == 1
    for _ in range(3):
        scene.step((RIGHT, A))
    again = scene.tracks[0]
    scene.leave(2)
    assert again.decided and again.person.person_id == 1


def test_a_number_counts_for_the_whole_track():
    scene = Scene()
    scene.step((LEFT, A))
    track = scene.tracks[0]
    for _ in range(NUMBERED):
        scene.step((LEFT, A))
    assert scene.tracks[0] is track and track.decided and track.person.person_id == 1


@pytest.mark.parametrize("fps", [0.5, 1.0, 2.0])
def test_at_low_rates_appearance_alone_decides(fps):
    """People whose boxes never overlap from frame to frame get numbers, and so do the frames before the decision."""
    scene = Scene(fps=fps)
    frames = max(2, round(2 * DECISION_SECONDS * fps))  # twice as long as for somebody whose boxes form one track
    first = None
    for frame in range(frames):
        places = (at(0.25 * frame % 0.9), at((0.25 * frame + 0.4) % 0.9))
        ids = scene.step((places[0], towards(A, C, 0.9)), (places[1], towards(B, C, 0.9)))
        first = first or scene.tracks
        assert ids == ([1, 2] if frame + 1 == frames else [0, 0]), frame
    assert [track.person.person_id for track in first] == [1, 2]
    assert scene.step((at(0.6, 0.55), towards(B, D, 0.9)), (at(0.2, 0.55), E)) == [2, 0]
    scene.leave(60)
    assert scene.step((at(0.1), A), (at(0.5), B)) == [1, 2]


def test_pieces_of_a_track_get_one_number_together():
    """Somebody who is seen again and again for less than the time of a decision."""
    scene = Scene()
    pieces = []
    for _ in range(4):
        for _ in range(5):
            ids = scene.step((LEFT, A))
        pieces.append(scene.tracks[0])
        scene.leave(2 * LOST_SECONDS)
    assert ids == [1] and len(set(map(id, pieces))) == 4
    assert [track.person.person_id for track in pieces] == [1, 1, 1, 1]


def test_after_a_pause_only_appearance_counts():
    scene = Scene(reembed_every=1000)
    scene.meet((MIDDLE, A))
    scene.seconds += 60
    assert scene.meet((MIDDLE, B)) == [2]


def test_two_boxes_never_share_a_number_but_two_cameras_can():
    front = Scene(camera="front")
    back = Scene(camera="back", identities=front.identities)
    assert front.meet((LEFT, A)) == [1]
    back.step((RIGHT, A))
    assert back.step((RIGHT, A)) == [1]
    assert front.identities.people[0].camera in ("front", "back")
    front.leave()
    for _ in range(NUMBERED + 1):
        ids = front.step((LEFT, towards(A, B, 0.8)), (RIGHT, towards(A, B, 0.98)))
    assert ids == [2, 1]


@pytest.mark.parametrize("seed", range(8))
def test_random_crowds_have_no_number_twice_in_a_frame(seed):
    rng = np.random.default_rng(seed)
    identities = Identities(threshold=0.4, learn=seed % 2 == 0, unnamed="unknown" if seed == 7 else "number")
    fps = [1.0, 5.0, 10.0, 30.0][seed % 4]
    scenes = [Scene(fps, identities, reembed_every=int(rng.integers(1, 6))) for _ in range(2)]
    people = rng.normal(size=(6, 16)) + 0.5
    shown = []
    for _ in range(120):
        for scene in scenes:
            crowd = []
            for _ in range(int(rng.integers(0, 7))):
                vector = people[rng.integers(0, 6)] + rng.normal(0, 0.3, 16)
                crowd.append((at(0.1 * rng.integers(0, 10), 0.1 * rng.integers(0, 3)), vector / np.linalg.norm(vector)))
            ids = [number for number in scene.step(*crowd, scores=rng.uniform(0.2, 1, len(crowd))) if number > 0]
            assert len(ids) == len(set(ids))
            assert set(ids) <= {person.person_id for person in identities.people}
            shown.append(scene.tracks)
        if rng.uniform() < 0.1 and identities.people and seed < 6:
            identities.forget(int(rng.choice([person.person_id for person in identities.people])))
    for tracks in shown:  # the final decisions, which recordings are made of
        ids = [track.person.person_id for track in tracks if track.person is not None]
        assert len(ids) == len(set(ids))


def test_a_track_that_became_someone_else_is_corrected():
    """The detector loses A just as B steps into the place: the track continues, the person is another."""
    scene = Scene(reembed_every=10)
    scene.meet((LEFT, A), (RIGHT, B))
    for _ in range(40):
        ids = scene.step((LEFT, B))
    assert ids == [2]


def test_two_swapped_people_are_both_corrected():
    scene = Scene(reembed_every=10)
    scene.meet((LEFT, A), (RIGHT, B))
    for _ in range(60):
        ids = scene.step((LEFT, B), (RIGHT, A))
    assert ids == [2, 1]


def test_unnamed_people_can_stay_unknown():
    scene = Scene(identities=Identities(0.6, unnamed="unknown"), reembed_every=10)
    scene.identities.add(A[np.newaxis], "Anna")
    embedded = 0
    for frame in range(100):
        ids = scene.step((LEFT, towards(A, C, 0.9)), (RIGHT, B))
        embedded += bool(scene.due[1])
        assert ids == [1, 0] or frame == 0
    assert embedded <= 20 and scene.identities.last_id == 1


def test_naming_and_forgetting_people_on_screen():
    scene = Scene()
    identities = scene.identities
    scene.meet((LEFT, A), (RIGHT, B))
    scene.leave()
    scene.meet((MIDDLE, C))  # 3
    identities.name(1, "Anna")
    identities.name(3, "Anna")  # so 3 was Anna all along
    assert scene.step((MIDDLE, C)) == [1]
    assert identities.forget(1).name == "Anna" and identities.find(1) is None
    assert scene.step((MIDDLE, C)) == [0]
    assert scene.meet((MIDDLE, C)) == [4]  # a forgotten person is new
    identities.name(4, "Bert")
    identities.name(2, "Bert")  # both are Bert, so only one of two boxes is
    for _ in range(NUMBERED):
        ids = scene.step((LEFT, A), (MIDDLE, C), (RIGHT, B))
    assert ids.count(4) == 1


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(module, "MAX_MEMORY", 20 * 16 * 4)
    rng = np.random.default_rng(0)
    scene = Scene(identities=Identities(threshold=0.95))
    for _ in range(40):
        people = rng.normal(size=(2, 16)).astype(np.float32)
        people /= np.linalg.norm(people, axis=1, keepdims=True)
        scene.leave(1)
        for _ in range(NUMBERED):
            scene.step((LEFT, people[0]), (RIGHT, people[1]))
            scene.identities.forget_oldest()
    assert scene.identities.last_id > 60 and len(scene.identities.people) == 20
    assert len(scene.tracker.tracks) + len(scene.tracker._ended) + len(scene.tracker._last_seen) < 30
