"""Naming and forgetting people at the user's request."""

from types import SimpleNamespace

import numpy as np
import pytest

from utils.live.identities import Identities, Request
from utils.live.requests import execute


def make_recogniser(together=()):
    """A stand-in with two people who were seen, of whom the pairs in `together` are in one image."""
    identities = Identities()
    for vector in np.eye(2, 16, dtype=np.float32):
        person = identities.add(vector[np.newaxis])
        identities.mark_seen(person, "front")
        person.crops = [(1.0, np.full((40, 20, 3), 99, np.uint8))]
    return SimpleNamespace(identities=identities, seen_together=lambda one, other: {one, other} in together)


def test_execute_names_merges_and_forgets(tmp_path):
    recogniser = make_recogniser()
    first, second = recogniser.identities.people
    assert execute(Request("name", 1, "Anna"), recogniser, tmp_path) == "1 is Anna"
    assert first.name == "Anna" and (tmp_path / "Anna" / "seen-0.jpg").exists()
    assert execute(Request("name", 2, "Anna"), recogniser, tmp_path) == "2 is Anna"
    assert recogniser.identities.people == [first] and second.merged_into is first
    assert execute(Request("forget", 2), recogniser, tmp_path) == ""  # who is Anna now
    assert execute(Request("forget", 1), recogniser, tmp_path) == "forgot Anna and 1 saved images"
    assert not recogniser.identities.people and not (tmp_path / "Anna").exists()


@pytest.mark.parametrize("same", [True, False])
def test_execute_says_which_images_of_a_forgotten_person_remain(tmp_path, same):
    recogniser = make_recogniser()
    gallery = tmp_path / "people"
    saved = gallery if same else tmp_path / "saved"
    (gallery / "Anna").mkdir(parents=True)
    for name in ("1.jpg", "2.png", "notes.txt"):
        (gallery / "Anna" / name).touch()
    execute(Request("name", 1, "Anna"), recogniser, saved, gallery)
    line = execute(Request("forget", 1), recogniser, saved, gallery)
    remain = f"note: {gallery / 'Anna'} still holds 2 images; Anna is known by them at the next start"
    assert line == f"forgot Anna and 1 saved images\n{remain}"
    assert execute(Request("forget", 2), recogniser, saved, gallery) == "forgot 2"


def test_execute_does_not_merge_two_people_in_one_image():
    recogniser = make_recogniser(together=[{1, 2}])
    execute(Request("name", 1, "Anna"), recogniser)
    assert execute(Request("name", 2, "Anna"), recogniser) == "2 cannot be Anna: both are in the same image"
    assert [person.name for person in recogniser.identities.people] == ["Anna", None]


def test_execute_survives_a_gallery_that_cannot_be_written(tmp_path):
    recogniser = make_recogniser()
    (tmp_path / "file").write_text("")
    line = execute(Request("name", 1, "Anna"), recogniser, tmp_path / "file")
    assert line.startswith("1 is Anna\nnote: ") and "cannot be written" in line
    assert recogniser.identities.find_name("Anna") is not None
