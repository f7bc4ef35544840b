"""data/prepare.py on own pictures: people told by folder or name, split by rule, with one camera or several."""

import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

import train_id
from data import prepare, report
from data.custom_dataset import natural
from tests.drawn_layouts import pictures, prepared, put
from utils import dataset
from utils.errors import InputError

pytestmark = pytest.mark.usefixtures("small_table")


def own_people(folder, drawn, name="{person}/cam{camera}/{number}.jpg"):
    """Eight people, three cameras; the last but one was seen by one camera, the last has one picture by each of two."""
    for (identity, number, suffix), content in drawn.items():
        camera = 1 if identity == 6 else number % 3 + 1
        if suffix == ".jpg" and identity < 8 and not (identity == 7 and number > 1):
            put(folder / name.format(person=f"person {identity}", camera=camera, number=number), content)
    return folder


def split_of(output):
    return {split: dataset.open_split(output, split) for split in ("train", "test", "query")}


@pytest.mark.parametrize(
    "name, options",
    [
        ("{person}/cam{camera}/{number}.jpg", []),
        ("{person}/{number}_c{camera}.jpg", []),
        ("{person}/door{camera}_{number}.jpg", ["--camera_pattern=^(door[0-9])_"]),
    ],
)
def test_own_people_are_split_by_rule(name, options, drawn, tmp_path, capsys):
    source = own_people(tmp_path / "source", drawn, name)
    put(source / "notes.txt", b"")
    (source / "person 0").chmod(0o755)
    assert prepared(source, tmp_path / "set", *options) == 0, capsys.readouterr().out
    said = capsys.readouterr().out
    assert "note: 1 file that is no picture of the set was left out" in said
    people = len(set(split_of(tmp_path / "set")["train"].identities))
    assert people in (3, 4) and said.splitlines()[-1].startswith(("next: bash train_id.sh", "note: train_reid.sh"))
    held_out = {3: 0, 4: 2}[people]
    assert f"next: bash train_id.sh --data_dir={tmp_path}/set --val_identities={held_out}\n" in said
    parts = split_of(tmp_path / "set")
    told = json.loads((tmp_path / "set" / "names.json").read_text())
    drawn_as = {content: identity for (identity, _, _), content in drawn.items()}
    used = []
    for data in parts.values():
        for path, identity, camera in zip(data.paths, data.identities, data.cameras):
            content = Path(path).read_bytes()
            used.append(content)
            assert told["identities"][str(identity)] == f"person {drawn_as[content]}"
            original = source / told["pictures"][Path(path).name]
            assert original.read_bytes() == content and told["cameras"][str(camera)][-1] == str(camera)
    assert len(used) == len(set(used)) == len(pictures(source))
    trained, tested = (set(parts[split].identities) for split in ("train", "test"))
    assert trained.isdisjoint(tested) and len(trained) + len(tested) == 8 and len(tested) in (4, 5)
    query, gallery = parts["query"], parts["test"]
    answers = set(zip(gallery.identities, gallery.cameras))
    asked = list(zip(query.identities, query.cameras))
    assert len(asked) == len(set(asked)) and set(query.identities) <= tested
    for identity, camera in asked:  # each can be answered from another camera
        assert any(other == identity and elsewhere != camera for other, elsewhere in answers)
    seen = {identity: {c for i, c in [*answers, *asked] if i == identity} for identity in tested}
    assert set(query.identities) == {identity for identity in tested if len(seen[identity]) > 1}


@pytest.mark.parametrize("people, held_out", [(4, 2), (5, 2), (6, 2), (30, 10), (149, 49), (150, None), (751, None)])
def test_the_next_command_leaves_enough_people_to_train_on(people, held_out):
    option = "" if held_out is None else f" --val_identities={held_out}"
    assert (
        report.next_command(Path("data/my people"), people) == f"bash train_id.sh --data_dir='data/my people'{option}"
    )
    chosen = train_id.parse_args(shlex.split(report.next_command(Path("data/people"), people))[2:])
    held = dataset.hold_out_identities(np.arange(people), chosen.val_identities, 0)  # InputError if too many
    assert 2 <= held.sum() == chosen.val_identities


def test_a_damaged_picture_is_called_by_the_name_that_its_owner_knows(drawn, tmp_path, capsys):
    source, output = own_people(tmp_path / "source", drawn), tmp_path / "set"
    (source / "person 0/cam1/0.jpg").write_bytes(b"")
    shutil.copy(source / "person 1/cam1/0.jpg", source / "person 2/cam1/0.jpg")
    assert prepared(source, output) == 1
    said = capsys.readouterr().out
    assert "error: 1 picture is empty" in said and "_00.jpg (from person 0/cam1/0.jpg)\n" in said
    both = re.search(r"s1_\d+_00.jpg \(from person (\d)/cam1/0.jpg\) = .* \(from person (\d)/cam1/0.jpg\)\n", said)
    assert {both.group(1), both.group(2)} == {"1", "2"}
    mending = f"to mend it: repair or remove the pictures in {source}, remove {output}, and run data/prepare.py again"
    assert mending in said and "2 differences or errors (above)" in said
    for wrong in ("person 0/cam1/0.jpg", "person 2/cam1/0.jpg"):  # what it says helps
        (source / wrong).unlink()
    shutil.rmtree(output)
    assert prepared(source, output) == 0 and "to mend" not in capsys.readouterr().out


def names_in(output):
    return {split: [Path(path).name for path in data.paths] for split, data in split_of(output).items()}


def test_the_split_follows_its_seed_and_share(drawn, tmp_path):
    source = own_people(tmp_path / "source", drawn)
    outputs = {}
    for name, options in (("a", []), ("b", []), ("c", ["--seed=1"]), ("d", ["--test_share=0.25"])):
        prepared(source, tmp_path / name, "--kind=own", "--skip_reading", *options)
        outputs[name] = names_in(tmp_path / name)
    assert outputs["a"] == outputs["b"] != outputs["c"]
    assert len(set(split_of(tmp_path / "d")["test"].identities)) == 2
    with pytest.raises(InputError, match="other files or options"):
        prepared(source, tmp_path / "a", "--kind=own", "--seed=2")
    with pytest.raises(InputError, match="--test_share 1.0 leaves nobody"):
        prepared(source, tmp_path / "e", "--test_share=1")


def test_a_single_camera_is_halved_by_time_and_its_figures_explained(drawn, tmp_path, capsys):
    source = tmp_path / "source"
    for (identity, number, suffix), content in drawn.items():
        if suffix == ".jpg":
            put(source / f"p{identity}" / f"frame{number + 7}.jpg", content)  # 7, 8, 9, 10, 11, 12: in that order
    with pytest.raises(InputError, match="can't tell the camera of 54 pictures.*--single_camera"):
        prepared(source, tmp_path / "set")
    assert prepared(source, tmp_path / "set", "--single_camera") == 0
    said = capsys.readouterr().out
    assert "LATER BY THE SAME CAMERA" in said and "do not tell how it would be with a second camera" in said
    told = json.loads((tmp_path / "set" / "names.json").read_text())
    assert "SAME CAMERA" in told["meaning"]
    for split, names in names_in(tmp_path / "set").items():
        for name in names:
            frame = int(told["pictures"][name].split("frame")[1].split(".")[0])
            assert ("_c1s" in name) == (frame <= 9)
            assert split != "query" or frame in (7, 12)
    # It is said again whenever the set is looked at.
    with pytest.raises(SystemExit) as stop:
        prepare.main(prepare.parse_args(["--check", str(tmp_path / "set")]))
    assert stop.value.code == 0 and "SAME CAMERA" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"the names tell 3 cameras \(cam1, cam2, cam3\): leave it out"):
        prepared(own_people(tmp_path / "three", drawn), tmp_path / "new", "--single_camera")


def test_flat_names_keep_junk_and_distractors_in_the_gallery(drawn, tmp_path, capsys):
    source = tmp_path / "source"
    for (identity, number, suffix), content in drawn.items():
        if suffix == ".jpg":
            shown = {7: "-1", 8: "0000"}.get(identity, str(identity + 40))
            put(source / f"{shown}_cam{number % 3 + 11}_{number}.jpg", content)
    assert prepared(source, tmp_path / "set") == 0, capsys.readouterr().out
    parts = split_of(tmp_path / "set")
    assert sum(parts["test"].identities == -1) == sum(parts["test"].identities == 0) == 6
    assert (parts["train"].identities > 0).all() and (parts["query"].identities > 0).all()
    assert set(parts["train"].cameras) == {11, 12, 13}
    identities = json.loads((tmp_path / "set" / "names.json").read_text())["identities"]
    assert identities == {str(number): str(number + 39) for number in range(1, 8)}


def test_own_pictures_that_cannot_be_split_are_refused(drawn, tmp_path):
    def refused(match, files, *options):
        shutil.rmtree(tmp_path / "source", ignore_errors=True)
        for name in files:
            put(tmp_path / "source" / name, drawn[0, 0, ".jpg"])
        with pytest.raises(InputError, match=match) as error:
            prepared(tmp_path / "source", tmp_path / "set", *options)
        assert "\n" not in str(error.value) and not (tmp_path / "set").exists()

    refused("no .jpg or .png picture", ["notes.txt"])
    refused("both loose, such as a.jpg, and in folders", ["a.jpg", "b/c.jpg"])
    refused("its name tells no person", ["a.jpg"])
    refused("lies too deep", ["a/b/c/d.jpg"])
    refused("nobody was seen by two cameras.*--single_camera", ["a/x_c1.jpg", "b/x_c1.jpg", "b/y_c1.jpg"])
    refused("2 people of whom 2 .* are too few", [f"{p}/{n}_c{n}.jpg" for p in "ab" for n in (1, 2)])
    refused("nobody has two pictures", ["a/1.jpg", "b/1.jpg"], "--single_camera")
    refused("is no regular expression", ["a/1.jpg"], "--camera_pattern=(")
    refused("needs one group", ["a/1.jpg"], "--camera_pattern=x")


def test_natural_order():
    assert sorted(["p10", "p9", "q", "10", "9", "p"], key=natural) == ["9", "10", "p", "p9", "p10", "q"]
