"""People known to several demos by a real Redis server on this machine."""

import contextlib
import shutil
import subprocess
import threading
import time

import numpy as np
import pytest

from benchmarks.redis_server import RedisServer, free_port
from tests.helpers import refusal, run, unit, wait_until
from tests.redis_server import needs_redis
from tests.test_tracks import LEFT, NUMBERED, RIGHT, Scene, towards
from utils.errors import InputError
from utils.live import people_redis, redis_link
from utils.live.identities import Identities
from utils.live.people import Later
from utils.live.people_redis import RedisPeople
from utils.live.redis_link import SPARE_FROM
from utils.live.requests import follow

A, B, C, D, E = np.eye(5, 16, dtype=np.float32)  # five people with similarity 0 to each other
NET = "0123456789abcdef"  # the fingerprint of a re-id net
HOUR = 3600.0

pytestmark = needs_redis


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """A busy machine is not a server that is away."""
    monkeypatch.setattr(people_redis, "WAIT_SECONDS", 20.0)
    monkeypatch.setattr(redis_link, "TIMEOUT", 20.0)


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def server(running):
    running.client().flushall()
    return running


@pytest.fixture
def lasting(tmp_path):
    """A server of its own, which keeps its data over stop() and start()."""
    with RedisServer(tmp_path, keeps=True) as server:
        yield server


@pytest.fixture
def board():
    """Makes the people of one demo; their stores are closed in the end."""
    with contextlib.ExitStack() as stack:

        def make(server, net=NET, seconds=HOUR, **options):
            store = stack.enter_context(RedisPeople(server.url, net, seconds))
            return Identities(0.6, store=store, **options)

        yield make


def sync(identities) -> list:
    """One exchange with the server from beginning to end; the people who were forgotten elsewhere."""
    store = identities.store
    forgotten = []
    for _ in range(2):  # one may be under way
        store._next_exchange = 0.0
        if store._pull is not None:
            wait_until(store._pull.done)
        forgotten += store.sync()
        wait_until(store._exchange.done)
        forgotten += store._finish()
    return forgotten


def add(identities, embedding, name=None):
    """Adds somebody as soon as there is a number."""

    def try_it():
        with contextlib.suppress(Later):
            return identities.add(embedding[np.newaxis], name)
        identities.store.sync()
        return None

    return wait_until(try_it)


def numbers(identities) -> list:
    return sorted(person.person_id for person in identities.people)


def test_a_person_of_one_board_is_known_to_another_and_to_later_ones(server, board):
    front, back = board(server), board(server)
    person = add(front, A, "Anna")
    front.mark_seen(person, "door")
    sync(front)
    sync(back)
    for identities in (back, board(server)):
        (known,) = identities.people
        assert (known.person_id, known.name, known.camera, known.looks) == (1, "Anna", "door", 1)
        assert time.monotonic() - known.last_seen < 60 and not known.crops
        np.testing.assert_array_equal(known.mean, A)
    assert add(back, B).person_id == 2
    assert back.count_seen() == 0 and front.count_seen() == 1  # by a camera of its own


def test_somebody_new_has_to_be_compared_first_with_those_whom_others_added(server, board):
    front, back = board(server), board(server)
    front.add(A[np.newaxis])
    with pytest.raises(Later):
        back.add(A[np.newaxis])
    back.store.sync()
    assert back.similarity(A[np.newaxis])[0, 0] == pytest.approx(1)  # so that it is the same person
    assert back.add(B[np.newaxis]).person_id == 2


@pytest.mark.parametrize("other, wanted", [(towards(A, B, 0.9), [1, 1]), (B, [1, 2])])
def test_two_boards_that_see_a_new_person_at_the_same_moment(server, board, other, wanted):
    """The tracks are decided in the same frame of both; nobody had time to hear of the other."""
    scenes = [Scene(identities=board(server)), Scene(identities=board(server))]
    found = []
    for _ in range(NUMBERED + 2):
        for scene in scenes:
            scene.identities.store._next_exchange = np.inf  # what is known is known by asking for a number alone
            scene.identities.store.sync()
        found.append([scene.step((LEFT, look))[0] for scene, look in zip(scenes, (A, other))])
    assert found[NUMBERED - 2] == [0, 0] and found[NUMBERED - 1] == [1, 0] and found[NUMBERED] == wanted
    assert found[-1] == wanted


def test_a_track_is_decided_anew_until_everybody_is_known(server, board):
    """Others get numbers just before the track would get one, twice; the second of them is its person."""
    scene = Scene(identities=board(server))
    other = board(server)
    for frame in range(1, NUMBERED + 3):
        scene.identities.store._next_exchange = np.inf
        scene.identities.store.sync()
        if frame in (NUMBERED, NUMBERED + 1):
            add(other, B if frame == NUMBERED else A)
        ids = scene.step((LEFT, A))
        assert ids == [0 if frame < NUMBERED + 2 else 2]


def test_numbers_are_given_once_to_many_boards_at_once(server, board):
    boards = [board(server) for _ in range(6)]
    faces = unit(np.random.default_rng(0).normal(size=(60, 16))).astype(np.float32)
    given = [[] for _ in boards]

    def work(identities, mine, own):
        for face in mine:
            own.append(add(identities, face).person_id)

    threads = [
        threading.Thread(target=work, args=(identities, faces[place::6], given[place]))
        for place, identities in enumerate(boards)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(sum(given, [])) == [*range(1, 61)]
    for identities in boards:
        sync(identities)
        assert numbers(identities) == [*range(1, 61)]
    whose = {number: faces[place::6][row] for place, own in enumerate(given) for row, number in enumerate(own)}
    for person in boards[0].people:
        np.testing.assert_array_equal(person.mean, whose[person.person_id])


def test_what_several_boards_learn_is_the_mean_of_all(server, board):
    front, back = board(server), board(server)
    add(front, A)
    sync(front)
    sync(back)
    front.learn(front.find(1), B)
    back.learn(back.find(1), C, 2)
    back.learn(back.find(1), D)
    for identities in (front, back, front):
        sync(identities)
    for identities in (front, back, board(server)):
        np.testing.assert_allclose(identities.find(1).mean, (A + B + 2 * C + D) / 5, atol=1e-6)
        assert identities.find(1).looks == 5
        np.testing.assert_allclose(identities.similarity(unit((A + B + 2 * C + D)[np.newaxis]))[0], 1, atol=1e-5)


def test_names_and_merged_people_are_the_same_everywhere(server, board):
    front, back = board(server), board(server)
    add(front, A)
    add(front, B)
    sync(back)
    seen = back.find(2)
    front.name(1, "Anna")
    front.name(2, "Anna")
    sync(front)
    sync(back)
    assert seen.merged_into is back.find(1) and back.find(1).name == "Anna" and numbers(back) == [1]
    np.testing.assert_allclose(back.find(1).mean, (A + B) / 2, atol=1e-6)
    assert numbers(board(server)) == [1]


def test_a_name_that_two_boards_give_at_once_is_one_person(server, board):
    front, back = board(server), board(server)
    add(front, A)
    add(front, B)
    sync(back)
    front.name(2, "Anna")
    back.name(1, "Anna")
    for identities in (front, back, front, back):
        sync(identities)
    assert numbers(front) == numbers(back) == numbers(board(server)) == [1]


def test_forget_forgets_everywhere(server, board, tmp_path):
    front, back = board(server), board(server)
    scene = Scene(identities=back)
    add(front, A, "Anna")
    sync(back)
    scene.meet((LEFT, A))
    (tmp_path / "Anna").mkdir()
    (tmp_path / "Anna" / "seen-0.jpg").touch()
    person = back.find(1)
    front.forget(1)
    back.learn(person, B)  # before it hears of that: it must not come back by this
    sync(front)
    assert [line.label for line in sync(back)] == ["Anna"]
    assert person.forgotten and person.mean is None and not back.people
    assert scene.step((LEFT, A)) == [0]
    sync(back)
    sync(front)
    assert not front.people and not board(server).people
    assert not list(server.client().scan_iter("*person*"))
    add(front, C, "Carl")
    sync(back)
    front.forget(2)
    sync(front)
    back.store._next_exchange = 0.0
    back.store.sync()
    wait_until(back.store._exchange.done)
    (tmp_path / "Carl").mkdir()
    (tmp_path / "Carl" / "seen-0.jpg").touch()
    assert follow(back, tmp_path) == ["forgot Carl and 1 saved images, as another demo was asked to"]
    assert not (tmp_path / "Carl").exists()


def test_who_was_forgotten_during_an_exchange_does_not_come_back_with_it(server, board):
    front, back = board(server), board(server)
    for face in (A, B, C):
        add(front, face)
    sync(back)
    for person in list(back.people):
        back.learn(person, D)
    sync(back)
    front.store._next_exchange = 0.0
    front.store.sync()
    wait_until(front.store._exchange.done)  # it brings what was learned of all three
    front.forget(1)
    front.name(2, "Anna")
    front.name(3, "Anna")
    front.store._finish()
    assert numbers(front) == [2]
    sync(front)
    sync(back)
    assert numbers(front) == numbers(back) == [2]


def test_people_expire_on_every_board_except_those_of_a_gallery(server, board, monkeypatch):
    shift = [0.0]
    monkeypatch.setattr(redis_link.RedisLink, "now", lambda link: time.time() + shift[0])
    front, gallery = board(server), board(server)
    add(front, A)
    gallery.enrol(B[np.newaxis], "Bert")
    sync(front)
    keys = server.client()
    for person_id in (1, 2):
        assert 0 < keys.pttl(f"reid:{NET}:person:{person_id}") <= 1000 * HOUR
    for shift[0], wanted in ((0.9 * HOUR, [1, 2]), (1.8 * HOUR, [2])):
        for identities in (gallery, front):
            identities.store._next_expiry = 0.0
            assert not sync(identities)  # nobody was asked to forget
            assert numbers(identities) == wanted
    assert 1000 * HOUR < keys.pttl(f"reid:{NET}:person:2") <= 1000 * 2.8 * HOUR


def test_people_expire_in_the_server(server, board):
    front = board(server, seconds=0.2)
    add(front, A, "Anna")
    wait_until(lambda: not server.client().exists(f"reid:{NET}:person:1"))
    front.name(1, "Bert")  # it does not come back by that
    assert not sync(front) and not front.people and not board(server).people


def test_a_gallery_comes_back_after_a_long_time_without_the_server(server, board):
    front = board(server, seconds=0.2)
    front.enrol(A[np.newaxis], "Anna")
    wait_until(lambda: not server.client().exists(f"reid:{NET}:person:1"))
    assert not sync(front)
    front.store.seconds = HOUR
    sync(front)
    assert numbers(front) == numbers(board(server)) == [1]


def test_embeddings_of_another_net_never_mix(server, board):
    add(board(server), A)
    other = board(server, net="fedcba9876543210")
    assert not other.people and add(other, A).person_id == 1


def test_unnamed_people_can_stay_unknown(server, board):
    front = board(server)
    add(front, A)
    add(front, B, "Bert")
    assert [person.name for person in board(server, unnamed="unknown").people] == ["Bert"]


def test_a_gallery_on_two_boards_is_one_set_of_people(server, board):
    front, back = board(server), board(server)
    front.enrol(np.stack([A, A]), "Anna")
    assert back.enrol(B[np.newaxis], "Anna").person_id == 1
    sync(back)
    sync(front)
    np.testing.assert_allclose(front.find(1).mean, (2 * A + B) / 3, atol=1e-6)


# ---- a server that goes away -----------------------------------------------------------------------------------------


def lose(*boards) -> None:
    """Lets boards find out that the server is away."""
    for identities in boards:
        sync(identities)
        assert identities.store._is_away


def test_a_server_that_goes_away_is_said_once_and_caught_up_with(lasting, board, capsys):
    front, back = board(lasting), board(lasting)
    add(front, A, "Anna")
    add(front, D)
    sync(front)
    sync(back)
    lasting.stop()
    front.learn(front.find(2), E)
    front.name(2, "Dora")
    lose(front, back)
    front.learn(front.find(2), E)
    lose(front)
    assert front.similarity(A[np.newaxis])[0, 0] == pytest.approx(1)  # who was known is known
    first, second = front.add(B[np.newaxis]), front.add(C[np.newaxis])
    third = back.add(towards(B, E, 0.9)[np.newaxis])  # B again, whom the other cannot know of
    spare = [person.person_id for person in (first, second, third)]
    assert len(set(spare)) == 3 and min(spare) >= SPARE_FROM
    front.forget(1)
    front.name(second.person_id, "Carl")
    front.learn(second, C, 3)
    lasting.start()
    for identities in (front, back, front, back):
        sync(identities)
    wanted = [2, *sorted(spare[:2])]
    assert numbers(front) == numbers(back) == numbers(board(lasting)) == wanted
    assert third.merged_into is back.find(first.person_id) and back.find(spare[1]).name == "Carl"
    assert (back.find(spare[1]).looks, back.find(spare[0]).looks) == (4, 2)
    np.testing.assert_allclose(front.find(spare[0]).mean, (B + towards(B, E, 0.9)) / 2, atol=1e-6)
    assert back.find(2).name == "Dora" and back.find(2).looks == 3
    np.testing.assert_allclose(back.find(2).mean, (D + 2 * E) / 3, atol=1e-6)
    assert add(back, towards(A, E, 0.9)).person_id == 3
    said = capsys.readouterr().out
    assert said.count(f"note: {lasting.url} does not answer (") == said.count("answers again") == 2  # of two boards
    assert "new ones get numbers from 100,000,000 on" in said


def test_a_server_that_comes_back_empty_gets_everybody_again(server, board):
    front, back = board(server), board(server)
    for face in (A, B):
        add(front, face)
    sync(back)
    server.client().flushall()
    for identities in (front, back, front, back):
        sync(identities)
    assert numbers(front) == numbers(back) == numbers(board(server)) == [1, 2]
    np.testing.assert_array_equal(board(server).find(1).mean, A)
    assert add(back, C).person_id > 2
    sync(front)
    assert len(front.people) == 3


def test_a_server_that_lost_its_data_may_have_given_a_number_to_somebody_else(server, board):
    front = board(server)
    add(front, A)
    sync(front)
    before = front.find(1)
    server.client().flushall()
    back = board(server)
    assert add(back, B).person_id == 1
    sync(front)
    sync(front)
    assert before.forgotten and numbers(front) == [1]
    np.testing.assert_array_equal(front.find(1).mean, B)


def test_spare_numbers_of_a_server_that_lost_its_data_are_others(server, board):
    """Boards that ran before keep theirs."""
    front = board(server)
    server.client().flushall()
    back = board(server)
    assert min(front.store._spare + back.store._spare) >= SPARE_FROM
    assert not set(front.store._spare) & set(back.store._spare)


def test_spare_numbers_are_asked_for_after_the_state_is_made(server):
    link = redis_link.RedisLink(server.url, NET, HOUR)
    exchanged = link.exchange(redis_link.Outgoing([], [], [], [], 0, True))
    assert min(exchanged.spare) >= SPARE_FROM


def test_damaged_data_is_a_server_that_is_away(server, board, capsys):
    front = board(server)
    add(front, A)
    server.client().hset(f"reid:{NET}:state", "added", "many")
    sync(front)
    assert "does not answer (" in capsys.readouterr().out and numbers(front) == [1]


def test_people_of_a_gallery_were_not_seen_yet(server, board):
    front = board(server)
    add(front, A, "Anna")
    add(front, B)
    other = board(server)
    assert other.find(1).last_seen is None and other.find(2).last_seen is not None


def test_a_server_that_hangs_does_not_hold_up_a_frame(server, board, monkeypatch):
    """The calls below return although the server answers nothing; the thread waits for it."""
    monkeypatch.setattr(people_redis, "WAIT_SECONDS", 0.01)
    front = board(server)
    store = front.store
    with server.hanging():
        for _ in range(3):
            store._next_exchange = 0.0
            store.sync()
            with pytest.raises(Later):
                front.add(A[np.newaxis])
        assert not store._exchange.done()
    wait_until(store._claim.done)
    sync(front)
    (person,) = front.people  # the number that came too late for its frame
    np.testing.assert_array_equal(person.mean, A)


def test_what_others_changed_may_come_too_late_for_a_frame(server, board, monkeypatch):
    front, back = board(server), board(server)
    add(front, A)
    monkeypatch.setattr(people_redis, "WAIT_SECONDS", 0.05)
    pull, go_on = back.store._link.pull, threading.Event()
    monkeypatch.setattr(back.store._link, "pull", lambda: go_on.wait(20) and pull())
    back.store._next_exchange = np.inf

    def hears_of_it():  # the number is refused in time, unless this machine is slow
        with pytest.raises(Later):
            back.add(A[np.newaxis])
        return back.store._pull is not None

    wait_until(hears_of_it)
    back.store.sync()
    assert not back.people
    go_on.set()
    wait_until(back.store._pull.done)
    back.store.sync()
    assert numbers(back) == [1]
    np.testing.assert_array_equal(back.find(1).mean, A)


def test_who_missed_too_many_changes_reads_everybody_anew(server, board):
    front, back = board(server), board(server)
    for face in (A, B, C):
        add(front, face)
    sync(back)
    front.forget(2)
    sync(front)
    add(front, D)
    front.name(1, "Anna")
    sync(front)
    server.client().xtrim(f"reid:{NET}:changes", maxlen=1, approximate=False)
    assert [person.person_id for person in sync(back)] == [2]
    assert numbers(back) == [1, 3, 4] and back.find(1).name == "Anna"


def test_a_damaged_person_is_nobody(server, board):
    add(board(server), A)
    keys = server.client()
    for field, value in (
        ("mean", b"abc"),
        ("looks", "many"),
        ("name", "a/b"),
        ("mean", np.float32([np.nan]).tobytes()),
    ):
        before = keys.hget(f"reid:{NET}:person:1", field)
        keys.hset(f"reid:{NET}:person:1", field, value)
        assert not board(server).people
        keys.hset(f"reid:{NET}:person:1", field, before)
    assert board(server).people


# ---- addresses, passwords, TLS ---------------------------------------------------------------------------------------


def reason_of(url) -> str:
    with pytest.raises(InputError) as refused:
        Identities(store=RedisPeople(url, NET, HOUR))
    return str(refused.value)


def test_a_password_is_needed_and_never_shown(tmp_path, board):
    with RedisServer(tmp_path, "--requirepass", "se:cret") as server:
        address = server.url.replace("redis://", "redis://:%s@")
        assert f"--people {server.url} refuses the password (" in reason_of(server.url)
        sentence = reason_of(address % "opensesame")
        assert "refuses the password" in sentence and "opensesame" not in sentence
        server.url = address % "se%3Acret"
        add(board(server), A)
        assert numbers(board(server)) == [1]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl")
def test_tls(tmp_path, board):
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    make += ["-addext", "subjectAltName=DNS:localhost", "-keyout", tmp_path / "key", "-out", tmp_path / "certificate"]
    subprocess.run([str(word) for word in make], check=True, capture_output=True)
    port = free_port()
    files = ["--tls-cert-file", tmp_path / "certificate", "--tls-key-file", tmp_path / "key"]
    options = ["--tls-port", port, *files, "--tls-ca-cert-file", tmp_path / "certificate", "--tls-auth-clients", "no"]
    with RedisServer(tmp_path, *options) as server:
        assert "certificate" in reason_of(f"rediss://localhost:{port}/0").lower()
        server.url = f"rediss://localhost:{port}/0?ssl_ca_certs={tmp_path / 'certificate'}"
        add(board(server), A)
        assert numbers(board(server)) == [1]


def test_addresses_that_cannot_be_used_are_one_sentence(monkeypatch):
    nobody = f"redis://127.0.0.1:{free_port()}/0"
    sentence = reason_of(nobody.replace("//", "//user:secret@"))
    assert sentence.startswith(f"--people {nobody} cannot be used (") and "start redis-server there" in sentence
    assert "secret" not in sentence
    assert "is not the address of a Redis server" in reason_of("redis://host:port/0")
    assert "cannot be used" in reason_of("redis://127.0.0.1:1/0?no_such_option=1")
    monkeypatch.setitem(__import__("sys").modules, "redis", None)
    assert "needs the package redis: pip install redis" in reason_of("redis://host:6379/0")


@pytest.mark.parametrize("place", ["host:6379", "http://host:6379", "redis://", "people.csv", "nowhere/people.npz"])
def test_places_that_are_none_are_refused_at_once(place):
    sentence = refusal(run("demo.py", "--people", place))
    assert "--people" in sentence and ("redis://host:6379/0" in sentence or "no such folder" in sentence)


def test_two_moments_of_one_board_are_not_two_boards(server, board):
    """RIGHT and LEFT at once are two people, however alike: the check of the same moment is between boards."""
    scene = Scene(identities=board(server))
    for _ in range(NUMBERED + 1):
        ids = scene.step((LEFT, A), (RIGHT, towards(A, B, 0.9)))
    assert sorted(ids) == [1, 2]


def test_the_client_waits_with_limits(server):
    client, _ = redis_link.connect(server.url)
    options = client.connection_pool.connection_kwargs
    assert options["socket_timeout"] == options["socket_connect_timeout"] == redis_link.TIMEOUT
    assert options["retry"]._retries == 0
