"""data/sample.py: Market-1501's layout, the same images for the same seed, and not solvable by comparing pixels."""

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from data.drawn import draw_people
from data.sample import FOLDERS, draw_task, main, parse_args, plan
from utils.errors import InputError

NAME = re.compile(r"(-1|\d{4})_c(\d+)s(\d+)_(\d{6})_(\d{2})\.jpg")
SMALL = [
    "--identities=3",
    "--test_identities=4",
    "--cameras=3",
    "--cameras_per_identity=2",
    "--images_per_camera=2",
    "--single_camera_share=0",
    "--distractors=5",
    "--junk=4",
    "--image_size=64x32",
]


def names(folder):
    return {split: sorted(path.name for path in (Path(folder) / split).iterdir()) for split in FOLDERS}


def parts(name):
    """(identity, camera) of a file name."""
    match = NAME.fullmatch(name)
    assert match, name
    return int(match.group(1)), int(match.group(2))


@pytest.fixture(scope="module")
def small_set(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sample") / "set"
    main(parse_args(["--output", str(folder), "--processes=1", *SMALL]))
    return folder


def test_main_layout_and_names(small_set):
    train, test, query = ([parts(name) for name in names(small_set)[split]] for split in FOLDERS)
    assert len(train) == 3 * 2 * 2 and {identity for identity, _ in train} == {1, 2, 3}
    assert {identity for identity, _ in test} == {-1, 0, 4, 5, 6, 7} and len(test) == 4 * 2 * 2 + 5 + 4
    assert sum(identity == 0 for identity, _ in test) == 5 and sum(identity == -1 for identity, _ in test) == 4
    assert len(set(query)) == 4 * 2 and {camera for _, camera in test} == {1, 2, 3}
    assert [sum(identity == wanted for identity, _ in query) for wanted in (4, 5, 6, 7)] == [2, 2, 2, 2]
    for identity, camera in query:  # a match in another camera
        assert any(other == identity and elsewhere != camera for other, elsewhere in test)
    image = cv2.imread(str(next((small_set / FOLDERS[0]).iterdir())))
    assert image.shape == (64, 32, 3)
    assert json.loads((small_set / "sample.json").read_text())["cameras"] == 3


def test_plan_single_camera_share():
    """The share is right, of training identities only, and the cameras of the others do not change."""

    def routes(share):
        options = ["--identities=400", f"--single_camera_share={share}", "--images_single_camera=5"]
        tasks = plan(parse_args(["--output=unused", *options]))
        return {identity: [camera for _, camera, _ in images] for identity, _, images in tasks[:460]}

    several = routes(0)
    some = routes(0.3)
    one = routes(1)
    training = range(1, 401)
    alone = [identity for identity in training if len(set(some[identity])) == 1]
    assert 0.2 < len(alone) / 400 < 0.4
    assert all(len(some[identity]) == 5 for identity in alone)
    assert all(some[identity] == several[identity] for identity in some if identity not in alone)
    assert all(len(set(several[identity])) == 3 and len(set(one[identity])) == 1 for identity in training)
    assert {len(set(one[identity])) for identity in range(401, 461)} == {3}


def test_main_same_images_on_any_number_of_processes(small_set, tmp_path):
    main(parse_args(["--output", str(tmp_path / "again"), "--processes=2", *SMALL]))
    assert names(small_set) == names(tmp_path / "again")
    for split in FOLDERS:
        for name in names(small_set)[split]:
            assert (small_set / split / name).read_bytes() == (tmp_path / "again" / split / name).read_bytes(), name
    main(parse_args(["--output", str(tmp_path / "other"), "--processes=1", "--seed=1", *SMALL]))
    name = names(small_set)[FOLDERS[0]][0]
    assert (small_set / FOLDERS[0] / name).read_bytes() != (tmp_path / "other" / FOLDERS[0] / name).read_bytes()


def test_draw_people():
    drawn = list(draw_people(2, 5, image_size=(96, 48), cameras=2, seed=3))
    assert [(identity, camera) for identity, camera, _ in drawn] == [(i, n % 2) for i in range(2) for n in range(5)]
    assert all(image.shape == (96, 48, 3) and image.dtype == np.uint8 for _, _, image in drawn)
    again = list(draw_people(2, 5, image_size=(96, 48), cameras=2, seed=3))
    assert all(np.array_equal(one[2], other[2]) for one, other in zip(drawn, again))


def test_main_keeps_the_same_set_and_replaces_another(tmp_path, capsys):
    options = ["--output", str(tmp_path / "set"), "--processes=1", *SMALL]
    main(parse_args(options))
    marker = tmp_path / "set" / FOLDERS[0] / "mine.jpg"
    marker.write_bytes(b"")
    capsys.readouterr()
    main(parse_args(options))
    assert "there already" in capsys.readouterr().out and marker.exists()
    main(parse_args([*options, "--seed=2"]))
    assert not marker.exists() and json.loads((tmp_path / "set" / "sample.json").read_text())["seed"] == 2
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_main_refuses_a_foreign_folder(tmp_path):
    (tmp_path / "holiday.jpg").write_bytes(b"precious")
    with pytest.raises(InputError, match=f"--output {tmp_path} holds files that this script did not draw"):
        main(parse_args(["--output", str(tmp_path), *SMALL]))
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]


@pytest.mark.parametrize(
    "option, message",
    [
        ("--cameras=1", "--cameras 1: a match needs a second camera"),
        ("--cameras=2", "--cameras_per_identity 3: a match needs a second camera, and there are 2"),
        ("--identities=9950", "together exceed 9999"),
    ],
)
def test_main_refuses_options_that_do_not_fit(tmp_path, option, message):
    with pytest.raises(InputError, match=message):
        main(parse_args(["--output", str(tmp_path / "new"), option]))
    assert not (tmp_path / "new").exists()


def test_parse_args_old_names():
    old = ["--passes=4", "--images_per_pass=2", "--one_camera=0.25", "--images_one_camera=3"]
    args = parse_args(["--output=unused", *old])
    values = (args.cameras_per_identity, args.images_per_camera, args.single_camera_share, args.images_single_camera)
    assert values == (4, 2, 0.25, 3)


def test_main_interrupted_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(task):
        draw_task(task)
        raise KeyboardInterrupt

    monkeypatch.setattr("data.sample.draw_task", interrupt)
    with pytest.raises(KeyboardInterrupt):
        main(parse_args(["--output", str(tmp_path / "set"), "--processes=1", *SMALL]))
    assert not list(tmp_path.iterdir())


def rank1(queries, gallery):
    """Share of queries whose nearest image from another camera shows their identity; junk (-1) is left out.

    queries, gallery: [(identity, camera, vector)].
    """
    vectors = np.array([vector for _, _, vector in gallery])
    identities = np.array([identity for identity, _, _ in gallery])
    cameras = np.array([camera for _, camera, _ in gallery])
    hits = []
    for identity, camera, vector in queries:
        distance = ((vectors - vector) ** 2).sum(1)
        distance[(identities == -1) | ((identities == identity) & (cameras == camera))] = np.inf
        hits.append(identities[distance.argmin()] == identity)
    return np.mean(hits)


def test_drawn_people_are_not_told_apart_by_raw_pixels(tmp_path):
    """Across cameras, the nearest 16x8 image is right in less than 35 % of the queries of a small set."""
    options = ["--test_identities=12", "--distractors=12", "--junk=0"]
    args = parse_args(["--output", str(tmp_path), *options])
    for split in FOLDERS:
        (tmp_path / split).mkdir()
    for task in plan(args)[args.identities :]:  # the test folders of the default set
        draw_task((task, str(tmp_path), args.cameras, args.image_size, args.seed))

    def reduced(split):
        rows = []
        for path in sorted((tmp_path / split).iterdir()):
            image = cv2.imread(str(path))
            small = cv2.resize(image, (image.shape[1] // 8, image.shape[0] // 8), interpolation=cv2.INTER_AREA)
            rows.append((*parts(path.name), small.astype(np.float32).ravel()))
        return rows

    queries = reduced(FOLDERS[2])
    assert len(queries) == args.test_identities * args.cameras_per_identity
    share = rank1(queries, reduced(FOLDERS[1]))
    assert 0.02 < share < 0.35
