"""People kept in a file over restarts."""

import time

import numpy as np
import pytest

from tests.helpers import wait_until
from utils.errors import InputError
from utils.live import people_file
from utils.live.identities import Identities
from utils.live.people_file import FilePeople

A, B, C = np.eye(3, 16, dtype=np.float32)
NET = "0123456789abcdef"
HOUR = 3600.0


def use(path, work, net=NET, seconds=HOUR, **options):
    """What `work` makes of the people in the file, in one run of the demo."""
    with FilePeople(path, net, seconds) as store:
        return work(Identities(0.6, store=store, **options))


def refusal_of(path, **options) -> str:
    before = path.read_bytes()
    with pytest.raises(InputError) as refused:
        use(path, lambda people: None, **options)
    assert path.read_bytes() == before
    return str(refused.value)


def test_people_are_known_after_a_restart(tmp_path):
    path = tmp_path / "people.npz"

    def first(people):
        for face in (A, B, C):
            people.add(face[np.newaxis])
        people.mark_seen(people.find(1), "door")
        people.learn(people.find(1), B, 3)
        people.name(2, "Jürgen")
        people.forget(3)

    def second(people):
        assert [person.person_id for person in people.people] == [1, 2]
        anna, jurgen = people.people
        assert (anna.name, anna.camera, anna.looks) == (None, "door", 4) and jurgen.name == "Jürgen"
        assert 0 <= time.monotonic() - anna.last_seen < 60 and jurgen.last_seen is None
        np.testing.assert_allclose(anna.mean, (A + 3 * B) / 4, atol=1e-6)
        assert people.count_seen() == 0
        assert people.add(C[np.newaxis]).person_id == 4  # 3 was somebody else
        people.merge(people.find(4), people.find(1))

    use(path, first)
    use(path, second)
    use(path, lambda people: [people.find(1).looks, people.add(C[np.newaxis]).person_id] == [5, 5] or pytest.fail())
    assert [place.name for place in tmp_path.iterdir()] == ["people.npz"]
    assert use(path, lambda people: [person.name for person in people.people], unnamed="unknown") == ["Jürgen"]
    assert use(path, lambda people: people.find(1).looks) == 5  # who has no name is still in the file


def test_who_is_forgotten_or_named_is_so_in_the_file_at_once(tmp_path):
    path = tmp_path / "people.npz"

    def work(people):
        people.add(A[np.newaxis])
        people.add(B[np.newaxis])
        people.store.sync()
        assert len(people_file.read_people(path, NET)[1]) == 0  # not yet
        people.name(1, "Anna")
        people.forget(2)
        people.store.sync()
        wait_until(lambda: [known.name for known in people_file.read_people(path, NET)[1]] == ["Anna"])
        people.add(C[np.newaxis])
        people.store._next_save = 0.0

        def saved():
            people.store.sync()
            return len(people_file.read_people(path, NET)[1]) == 2

        wait_until(saved)

    use(path, work)


def test_people_expire_in_the_file(tmp_path, monkeypatch):
    path = tmp_path / "people.npz"
    shift = [0.0]
    monkeypatch.setattr(FilePeople, "now", lambda store: time.time() + shift[0])

    def work(people):
        people.add(A[np.newaxis])
        people.enrol(B[np.newaxis], "Bert")
        people.add(C[np.newaxis])
        shift[0] = 0.9 * HOUR
        people.mark_seen(people.find(3), "door")
        shift[0] = 1.5 * HOUR
        people.store._next_expiry = 0.0
        people.store.sync()
        assert [person.person_id for person in people.people] == [3, 2]  # Bert is in the gallery, 3 was seen
        wait_until(lambda: len(people_file.read_people(path, NET)[1]) == 2)

    use(path, work)
    shift[0] = 2.2 * HOUR
    assert use(path, lambda people: [person.person_id for person in people.people]) == [2]
    shift[0] = 9 * HOUR
    assert not use(path, lambda people: people.people)


def test_the_gallery_adds_to_the_person_in_the_file(tmp_path):
    path = tmp_path / "people.npz"
    use(path, lambda people: people.enrol(A[np.newaxis], "Anna"))
    assert use(path, lambda people: people.enrol(B[np.newaxis], "Anna").person_id) == 1
    assert use(path, lambda people: (len(people.people), people.people[0].looks)) == (1, 2)


def test_a_file_of_another_net_or_in_use_is_refused(tmp_path):
    path = tmp_path / "people.npz"
    use(path, lambda people: people.add(A[np.newaxis]))
    assert "was made with another re-id net" in refusal_of(path, net="f" * 16)

    def work(people):
        assert "in use by another demo: to share people between demos, use --people redis://" in refusal_of(path)
        people.forget(1)
        people.store.sync()
        wait_until(people.store._job.done)
        assert "in use by another demo" in refusal_of(path)  # the new file too

    use(path, work)


def test_damaged_files_are_refused_in_one_sentence_and_kept(tmp_path):
    path = tmp_path / "people.npz"
    use(path, lambda people: [people.add(face[np.newaxis]) for face in (A, B)])
    whole = path.read_bytes()
    with np.load(path) as file:
        arrays = dict(file)
    for content in (b"", b"no archive", whole[:-30], whole[: len(whole) // 2]):
        path.write_bytes(content)
        sentence = refusal_of(path)
        assert f"--people {path} is damaged or holds no people (" in sentence and "\n" not in sentence
    wrong = {
        "format": 2,
        "last_number": 1,
        "numbers": np.array([1, 1]),
        "means": np.full((2, 16), np.nan, np.float32),
        "looks": np.array([1, 0]),
        "names": np.array(["a/b", ""]),
        "seen": np.zeros(3),
        "until": np.array(["tomorrow", "never"]),
        "cameras": np.array([[""], [""]]),
    }
    for name, value in wrong.items():
        np.savez(path, **{**arrays, name: value})
        assert f"--people {path} is damaged (" in refusal_of(path), name
        rest = {key: array for key, array in arrays.items() if key != name}
        np.savez(path, **rest)
        assert "holds no people (" in refusal_of(path), name
    np.savez(path, **{**arrays, "names": np.array(["a", None], object)})
    assert "holds no people (" in refusal_of(path)  # nothing is unpickled
    np.savez(path, **arrays)
    assert use(path, lambda people: len(people.people)) == 2


def test_a_file_that_cannot_be_written_is_said(tmp_path, capsys):
    path = tmp_path / "folder" / "people.npz"
    path.parent.mkdir()

    def work(people):
        people.add(A[np.newaxis])
        path.parent.rename(tmp_path / "gone")
        (tmp_path / "folder").write_text("in the way")
        for _ in range(3):
            people.store._next_save = 0.0
            people.store.sync()
            wait_until(lambda: people.store._job is None or people.store._job.done())

    with pytest.raises(InputError, match="cannot be written"):
        use(path, work)
    assert capsys.readouterr().out.count("note: ") == 1
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        use(tmp_path / "file" / "people.npz", lambda people: None)
