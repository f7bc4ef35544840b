"""data/prepare.py on own pictures: people told by folder or name, split by rule, with one camera or several."""

import json
import shutil
from pathlib import Path

import pytest

from data import prepare
from data.own_crops import natural
from tests.layouts import pictures, prepared, put
from utils import dataset
from utils.options import InputError

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
    assert "1 files that are no pictures" in capsys.readouterr().out
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
