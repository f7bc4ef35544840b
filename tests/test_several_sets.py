"""Several data sets in one training: identities and cameras kept apart, one split for both trainings, options."""

import json
import os
import shlex

import cv2
import numpy as np
import pytest

import train_id
import train_reid
from tests.helpers import ROOT, draw_set, run
from utils import checkpoint
from utils.errors import InputError
from utils.folders import data_dirs, same_folders
from utils.training.run import format_option, resume_advice
from utils.training.split import read_people, split_for_triplets, split_identities


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """Two data sets with the same file names: people 1 to 8 and 1 to 6, cameras 1 and 2 each, other images."""
    place = tmp_path_factory.mktemp("several")
    first = draw_set(place / "b" / "first", identities=8)
    second = draw_set(place / "a" / "second", identities=6, seed=1)
    return [first, second]


def labels_by_path(data_dir) -> dict:
    images, _, _ = read_people(data_dir)
    return {path: (identity, camera) for path, identity, camera in zip(*(column.tolist() for column in images))}


def test_equal_numbers_in_two_sets_are_two_people_and_two_cameras(sets):
    alone = [labels_by_path(folder) for folder in sets]
    together = labels_by_path(sets)
    assert set(together) == set(alone[0]) | set(alone[1])
    for column in (0, 1):  # one number together for each pair of (set, number alone)
        pairs = {
            (number, labels[path][column], together[path][column]) for number, labels in enumerate(alone)
            for path in labels
        }  # fmt: skip
        assert len({pair[:2] for pair in pairs}) == len(pairs) == len({pair[2] for pair in pairs}) == (14, 4)[column]
    assert min(identity for identity, _ in together.values()) > 0  # 0 and -1 have a meaning


def test_the_order_and_the_spelling_of_the_folders_do_not_matter(sets, tmp_path, monkeypatch):
    expected = labels_by_path(sets)
    assert labels_by_path(sets[::-1]) == expected
    monkeypatch.chdir(tmp_path)
    (tmp_path / "zzz").symlink_to(sets[0])  # named otherwise than the folder, and after the other one
    relabelled = labels_by_path(["zzz", sets[1]])
    assert {os.path.realpath(path): label for path, label in relabelled.items()} == {
        os.path.realpath(path): label for path, label in expected.items()
    }


def test_one_set_keeps_its_own_numbers(sets):
    for folder in (sets[0], [sets[0]]):
        for path, (identity, camera) in labels_by_path(folder).items():
            assert path.rsplit("/", 1)[1].startswith(f"{identity:04d}_c{camera}s")


def test_numbers_that_are_almost_too_large_stay_apart(tmp_path):
    """18 digits are the most that a file name may have; twelve such sets added up would not fit into 64 bits."""
    image = np.full((64, 32, 3), 90, np.uint8)
    folders = []
    for number in range(12):
        folder = tmp_path / f"set{number}" / "bounding_box_train"
        folder.mkdir(parents=True)
        for name in (f"{'9' * 18}_c999999999_1.jpg", f"{'9' * 18}_c1_2.jpg", "5_c1_1.jpg", "5_c2_1.jpg"):
            cv2.imwrite(str(folder / name), image)
        folders.append(str(folder.parent))
    images, _, _ = read_people(folders)
    assert len(np.unique(images.identities)) == 24 and (images.identities > 0).all()
    assert len(np.unique(images.cameras)) == 36 and (images.cameras > 0).all()


def test_sets_without_cameras_have_one_unknown_camera_each(sets, tmp_path):
    folder = tmp_path / "plain" / "bounding_box_train"
    folder.mkdir(parents=True)
    for identity in (1, 2):
        for number in range(3):
            cv2.imwrite(str(folder / f"{identity}_c0_{number}.jpg"), np.full((64, 32, 3), 90, np.uint8))
    images, _, _ = read_people([*sets, str(folder.parent)])
    of_plain = np.array(["plain" in path for path in images.paths])
    assert len(set(images.cameras[of_plain])) == 1
    assert not set(images.cameras[of_plain]) & set(images.cameras[~of_plain])


def test_both_trainings_hold_out_the_same_people_whatever_the_order(sets):
    data = train_id.split(sets, 5, 1, seed=3)
    train, held_out = split_for_triplets(sets[::-1], 5, 3)
    assert sorted(data.held_out.paths) == sorted(held_out.paths)
    assert sorted([*data.paths, *data.val_paths]) == sorted(train.paths)
    people = {(path.split("/")[-3], path.rsplit("/", 1)[1][:4]) for path in held_out.paths}
    assert len(people) == 5 and {folder for folder, _ in people} == {"first", "second"}
    seen = {(path.split("/")[-3], path.rsplit("/", 1)[1][:4]) for path in train.paths}
    assert len(seen) == 9 and not people & seen


def test_one_set_is_split_as_before(sets):
    """The held-out people of one set depend on its numbers and the seed alone."""
    split = split_identities(sets[0], 3, 7)
    expected = np.random.default_rng(7).permutation(np.arange(1, 9))[:3]
    assert sorted(set(split.held_out.identities)) == sorted(expected)


# ---- options ----


@pytest.mark.parametrize("script", [train_id, train_reid])
def test_the_option_is_a_path_or_a_list(script, sets):
    default = "data/Market-1501-v15.09.15"
    assert script.parse_args([]).data_dir == default
    assert script.parse_args(["--data_dir", default]).data_dir == default
    assert script.parse_args([f"--data_dir={sets[0]}"]).data_dir == sets[0]
    assert script.parse_args([f"--data_dir={folder}" for folder in sets]).data_dir == sets
    assert script.parse_args([f"--data_dir={default}", "--data_dir=x"]).data_dir == [default, "x"]


@pytest.mark.parametrize("script", [train_id, train_reid])
def test_a_folder_that_is_given_twice_is_refused(script, sets, tmp_path, capsys):
    (tmp_path / "link").symlink_to(sets[0])
    for again in (sets[0], f"{sets[0]}/", f"{sets[0]}/../first", str(tmp_path / "link")):
        with pytest.raises(SystemExit) as ended:
            script.parse_args([f"--data_dir={folder}" for folder in (*sets, again)])
        sentence = capsys.readouterr().err
        assert ended.value.code == 2 and sentence.count("\n") == 1
        assert f"argument --data_dir: {again} is given twice: name each data set once" in sentence


def test_the_command_that_resumes_names_all_sets(sets):
    words = [f"--data_dir={sets[0]}", "--data_dir=my other set", "--width=0.5"]
    given = vars(train_id.parse_args(words))
    command = resume_advice("x.py", "models/id/m0", given, vars(train_id.parse_args([]))).splitlines()[1]
    assert vars(train_id.parse_args(shlex.split(command)[2:])) == {**given, "restore": True}
    assert format_option("image_size", [64, 32]) == "--image_size=64x32"


def test_folders_of_args_json():
    assert [data_dirs(given) for given in (None, "a", ["a"], ["a", "b"])] == [[], ["a"], ["a"], ["a", "b"]]
    assert same_folders(["a", "b"], ["./b", "a/"]) and same_folders("a", ["a"])
    assert not same_folders(["a", "b"], "a") and not same_folders(None, "a")


@pytest.mark.parametrize("name", ["train_id", "train_reid"])
def test_a_launcher_passes_several_sets_and_typed_ones_replace_them(name, tmp_path):
    python = tmp_path / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/usr/bin/env bash\nprintf "%s\\n" "$@"\n')
    python.chmod(0o755)
    text = (ROOT / f"{name}.sh").read_text()
    variable = "\ndata_dir=(data/Market-1501-v15.09.15) "
    assert variable in text
    for value, expected in (
        ("(data/a 'data/b c')", ["data/a", "data/b c"]),
        ("data/own", ["data/own"]),
        ("'my set'", ["my set"]),
    ):
        (tmp_path / f"{name}.sh").write_text(text.replace(variable, f"\ndata_dir={value} "))
        printed = run("bash", tmp_path / f"{name}.sh").stdout.splitlines()
        assert [word for word in printed if word.startswith("--data_dir")] == [f"--data_dir={one}" for one in expected]
        for typed in (["--data_dir=x", "--data_dir=y"], ["--data_dir", "x"]):
            printed = run("bash", tmp_path / f"{name}.sh", "--seed=4", *typed).stdout.splitlines()
            assert [word for word in printed if word.startswith("--data_dir")] == [
                word for word in typed if word.startswith("--data_dir")
            ]


# ---- as a user runs it ----


def test_both_trainings_on_two_sets_and_a_resume(sets, tmp_path, capsys, monkeypatch):
    """The scripts with steps that change nothing; the second training takes the sets in the other order."""
    monkeypatch.setattr(train_id, "build_train_step", lambda *_: lambda images, labels: (1.0, 0.5))
    figures = {"loss": 0.1, "mining/active_triplets": 1.0, "batch/negative_similarity": 0.5}
    monkeypatch.setattr(train_reid, "build_train_step", lambda *_: lambda images, labels: figures)
    folders = [f"--data_dir={folder}" for folder in sets]
    common = [f"--models_dir={tmp_path}", "--log_every=5"]
    small = ["--image_size=64x32", "--width=0.125", "--pretrained=none", "--batch_size=8", "--val_identities=4"]
    train_id.main(train_id.parse_args([*common, *folders, *small, "--num_steps=1"]))
    printed = capsys.readouterr().out
    assert f"{sets[0]}/bounding_box_train and {sets[1]}/bounding_box_train: " in printed
    assert f"next: bash train_reid.sh --id_model={tmp_path}/id/m0/model.ckpt-1 {' '.join(folders)}" in printed
    about = json.loads((tmp_path / "id/m0/args.json").read_text())
    assert about["data_dir"] == sets and about["num_classes"] == 10

    triplets = ["--batch_size=3", "--k=1", "--num_images=20", "--embedding_size=256"]
    options = [*common, *folders[::-1], *triplets, f"--id_model={tmp_path}/id/m0"]
    train_reid.main(train_reid.parse_args([*options, "--num_steps=1"]))
    printed = capsys.readouterr().out
    assert "may have been trained" not in printed and "the id layer" not in printed
    assert "starting from the convolutions and the neck and the logits" in printed  # the same classes in each order
    assert f"next: bash test_reid.sh --model={tmp_path}/reid/m0/reid_model-" in printed
    assert f" --data_dir={sets[1]}\n" in printed and f"--data_dir={sets[0]}" not in printed.split("next: ")[1]
    args, point, _ = train_reid.find_start(train_reid.parse_args([*options, "--num_steps=2", "--restore=True"]))
    assert point.step == 1 and args.data_dir == sets[::-1]
    assert "options that differ from before: num_steps: 1 -> 2\n" in capsys.readouterr().out
    assert checkpoint.steps_in(tmp_path / "reid/m0", checkpoint.REID_PATTERN) == [0, 1]
    only = [*common, folders[0], *triplets, f"--id_model={tmp_path}/id/m0", "--num_steps=1", "--val_identities=2"]
    train_reid.note_seen_identities(train_reid.parse_args(only), about)
    assert "those of another data set" in capsys.readouterr().out


def test_a_set_that_is_missing_is_named(sets):
    with pytest.raises(InputError, match="no folder nowhere/bounding_box_train"):
        train_id.split([sets[0], "nowhere"], 2, 1, seed=0)
