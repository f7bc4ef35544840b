"""The recogniser on stand-ins: which frames reach the networks, and what a pause of a camera changes."""

import numpy as np
import pytest

from utils.live.identities import Identities
from utils.live.places import as_region
from utils.live.recogniser import Recogniser
from utils.live.tracks import DECISION_SECONDS, LOST_SECONDS, LOW_SCORE


class Networks:
    """Detector and embedder: one person in the middle of every image, whose color is the embedding."""

    image_size = 8, 4
    threshold = 0.5

    def __init__(self):
        self.batches = []

    def detect(self, frame, threshold):
        assert threshold == LOW_SCORE
        return np.array([[0.2, 0.4, 0.8, 0.6]], np.float32), np.array([0.9], np.float32)

    def embed(self, images):
        self.batches.append(len(images))
        vectors = images.reshape(len(images), -1, 3).mean(axis=1).astype(np.float32) + 1
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def make(cameras=("front",), **options):
    networks = Networks()
    clock = [0.0]
    recogniser = Recogniser(networks, networks, Identities(0.6), cameras, now=lambda: clock[0], **options)
    return recogniser, networks, clock


def image(color):
    return np.full((100, 60, 3), color, np.uint8)


RED = image((0, 0, 255))
BLUE = image((255, 0, 0))


def until_known(recogniser, clock, *frames):
    for _ in range(round(10 * DECISION_SECONDS) + 2):
        clock[0] += 0.1
        results = recogniser.recognise(list(frames))
    return [result.person_ids.tolist() for result in results]


def test_cameras_are_embedded_together_and_share_their_people():
    recogniser, networks, clock = make(("front", "back"), reembed_every=1)
    assert until_known(recogniser, clock, RED, BLUE) == [[1], [2]]
    assert set(networks.batches) == {2}
    clock[0] += 0.1
    front, back = recogniser.recognise([None, RED])
    assert front is None and back.num_embedded == 1 and back.boxes.shape == (1, 4)
    red, blue = recogniser.identities.people
    assert (red.best_crop[0, 0] == (255, 0, 0)).all() and (blue.best_crop[0, 0] == (0, 0, 255)).all()  # RGB
    assert not recogniser.seen_together(1, 2) and recogniser.seen_together(1, 1)


@pytest.mark.parametrize("seconds, wanted", [(0.5 * LOST_SECONDS, 1), (20 * LOST_SECONDS, 0)])
def test_after_a_pause_positions_do_not_count(seconds, wanted):
    """Another person stands in the same place: only a short pause lets the track continue unseen."""
    recogniser, _, clock = make(reembed_every=100)
    until_known(recogniser, clock, RED)
    recogniser.recognise([None])
    clock[0] += seconds
    (result,) = recogniser.recognise([BLUE])
    assert result.person_ids.tolist() == [wanted]


def test_times_of_a_file_are_those_of_its_frames():
    recogniser, _, _ = make(reembed_every=16)
    for frame in range(round(10 * DECISION_SECONDS) + 2):
        (result,) = recogniser.recognise([RED], [frame / 10])  # the clock stands still
    assert result.person_ids.tolist() == [1] and result.tracks[0].decided


class Numbered(Networks):
    """One person at `place`, whose number is the gray of the image; each number has an embedding of its own."""

    def __init__(self):
        super().__init__()
        self.place = 0.0
        self._looks = np.random.default_rng(0).normal(size=(256, 64)).astype(np.float32)
        self._looks /= np.linalg.norm(self._looks, axis=1, keepdims=True)

    def detect(self, frame, threshold):
        return np.array([[0.2, self.place, 0.8, self.place + 0.2]], np.float32), np.array([0.9], np.float32)

    def embed(self, images):
        return self._looks[images[:, 0, 0, 0]]


def watch(recogniser, networks, clock, number, fps, frames, leaps=False):
    """The ids that somebody gets in so many frames; leaps: whether the boxes never overlap."""
    ids = []
    for frame in range(frames):
        clock[0] += 1 / fps
        networks.place = 0.7 * (frame % 2) if leaps else 0.1
        ids += recogniser.recognise([image(number)])[0].person_ids.tolist()
    return ids


@pytest.mark.parametrize("fps", [1.0, 2.0])
def test_at_one_or_two_frames_a_second_appearance_decides(fps):
    networks = Numbered()
    clock = [0.0]
    recogniser = Recogniser(networks, networks, Identities(0.6), ["front"], 16, now=lambda: clock[0])
    for person in (1, 2):
        ids = watch(recogniser, networks, clock, person, fps, 8, leaps=True)
        assert ids[0] == 0 and set(ids[-3:]) == {person}
    assert watch(recogniser, networks, clock, 1, fps, 4, leaps=True)[1:] == [1] * 3
    clock[0] += 3600  # the camera pauses for an hour
    assert watch(recogniser, networks, clock, 2, fps, 4, leaps=True)[1:] == [2] * 3


@pytest.mark.parametrize("fps", [1.0, 2.0, 10 / 3])
def test_somebody_who_stays_gets_a_number_at_low_rates_too(fps):
    networks = Numbered()
    clock = [0.0]
    recogniser = Recogniser(networks, networks, Identities(0.6), ["front"], 16, now=lambda: clock[0])
    assert watch(recogniser, networks, clock, 1, fps, 10)[-3:] == [1] * 3


def test_more_than_two_hundred_people_are_known_at_once():
    networks = Numbered()
    clock = [0.0]
    recogniser = Recogniser(networks, networks, Identities(0.6), ["front"], 16, now=lambda: clock[0])
    for person in range(1, 251):
        assert watch(recogniser, networks, clock, person, 5.0, 9)[-1] == person
        clock[0] += 3  # out of sight
    assert len(recogniser.identities.people) == 250
    for person in (1, 125, 250):
        clock[0] += 3
        assert watch(recogniser, networks, clock, person, 5.0, 3)[-1] == person


@pytest.mark.parametrize(
    "region, left",
    [
        ("0,0.7,1,0.9", [0, 1]),  # the foot point of the stand-in's person is (0.5, 0.8)
        ("0,0,1,0.7", [1, 1]),  # the body alone is in it
        ("0.4,0.75,0.6,0.75,0.5,0.9", [0, 1]),
        ("@1:0,0,1,1", [1, 0]),
    ],
)
def test_boxes_whose_foot_point_is_in_an_ignored_region_are_dropped(region, left):
    recogniser, networks, _ = make(("front", "back"), reembed_every=1, ignore=[as_region(region)])
    results = recogniser.recognise([RED, BLUE])
    assert [len(result.boxes) for result in results] == left
    assert [len(result.scores) for result in results] == left and sum(networks.batches) == sum(left)
