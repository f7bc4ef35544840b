"""data/custom_dataset.py through data/prepare.py: a user's own images, split by rule, with one camera or several."""

import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

import train_id
from data import prepare, report
from data.custom_dataset import natural_key
from tests.drawn_layouts import images, prepared, put
from utils import dataset
from utils.errors import InputError

pytestmark = pytest.mark.usefixtures("small_table")


def own_people(folder, drawn, name="{person}/cam{camera}/{number}.jpg"):
    """Eight people, three cameras; person 6 was seen by one camera, person 7 has one image by each of two."""
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
def test_plan_custom_splits_by_rule(name, options, drawn, tmp_path, capsys):
    source = own_people(tmp_path / "source", drawn, name)
    put(source / "notes.txt", b"")
    assert prepared(source, tmp_path / "set", *options) == 0, capsys.readouterr().out
    out = capsys.readouterr().out
    assert "note: 1 file that is not an image was left out" in out
    assert out.splitlines()[-1] == f"next: bash train_id.sh --data_dir={tmp_path}/set --val_identities=2"
    parts = split_of(tmp_path / "set")
    notes = json.loads((tmp_path / "set" / "names.json").read_text())
    drawn_as = {content: identity for (identity, _, _), content in drawn.items()}
    used = []
    for data in parts.values():
        for path, identity, camera in zip(data.paths, data.identities, data.cameras):
            content = Path(path).read_bytes()
            used.append(content)
            assert notes["identities"][str(identity)] == f"person {drawn_as[content]}"
            original = source / notes["images"][Path(path).name]
            assert original.read_bytes() == content and notes["cameras"][str(camera)][-1] == str(camera)
    assert len(used) == len(set(used)) == len(images(source))
    trained = set(parts["train"].identities)
    tested = set(parts["test"].identities)
    assert trained.isdisjoint(tested) and (len(trained), len(tested)) == (4, 4)
    query = parts["query"]
    in_gallery = set(zip(parts["test"].identities, parts["test"].cameras))
    queries = list(zip(query.identities, query.cameras))
    assert len(queries) == len(set(queries)) and set(query.identities) <= tested
    for identity, camera in queries:  # each has a match from another camera
        assert any(other == identity and elsewhere != camera for other, elsewhere in in_gallery)
    seen = {identity: {c for i, c in [*in_gallery, *queries] if i == identity} for identity in tested}
    assert set(query.identities) == {identity for identity in tested if len(seen[identity]) > 1}


@pytest.mark.parametrize("people, held_out", [(4, 2), (5, 2), (6, 2), (30, 10), (149, 49), (150, None), (751, None)])
def test_next_command_leaves_enough_identities_to_train_on(people, held_out):
    option = "" if held_out is None else f" --val_identities={held_out}"
    assert (
        report.next_command(Path("data/my people"), people) == f"bash train_id.sh --data_dir='data/my people'{option}"
    )
    chosen = train_id.parse_args(shlex.split(report.next_command(Path("data/people"), people))[2:])
    held = dataset.hold_out_identities(np.arange(people), chosen.val_identities, 0)  # InputError if too many
    assert 2 <= held.sum() == chosen.val_identities


def test_prepare_names_the_original_of_a_damaged_image(drawn, tmp_path, capsys):
    source = own_people(tmp_path / "source", drawn)
    output = tmp_path / "set"
    (source / "person 0/cam1/0.jpg").write_bytes(b"")
    shutil.copy(source / "person 1/cam1/0.jpg", source / "person 2/cam1/0.jpg")
    assert prepared(source, output) == 1
    out = capsys.readouterr().out
    assert "error: 1 image is empty" in out and "_00.jpg (from person 0/cam1/0.jpg)\n" in out
    both = re.search(r"s1_\d+_00.jpg \(from person (\d)/cam1/0.jpg\) = .* \(from person (\d)/cam1/0.jpg\)\n", out)
    assert {both.group(1), both.group(2)} == {"1", "2"}
    remedy = f"to correct it: repair or remove the images in {source}, remove {output}, and run the same"
    assert remedy in out and "2 differences or errors (above)" in out
    for wrong in ("person 0/cam1/0.jpg", "person 2/cam1/0.jpg"):  # the advice works
        (source / wrong).unlink()
    shutil.rmtree(output)
    assert prepared(source, output) == 0 and "to correct" not in capsys.readouterr().out


def test_read_note_old_keys(tmp_path):
    (tmp_path / report.NAMES).write_text('{"pictures": {"0001_c1s1_000001_00.jpg": "anna/1.jpg"}}')
    assert report.read_note(tmp_path, report.NAMES) == {"images": {"0001_c1s1_000001_00.jpg": "anna/1.jpg"}}


def names_in(output):
    return {split: [Path(path).name for path in data.paths] for split, data in split_of(output).items()}


def test_plan_custom_seed_and_share(drawn, tmp_path):
    source = own_people(tmp_path / "source", drawn)
    outputs = {}
    for name, options in (("a", []), ("b", []), ("c", ["--seed=1"]), ("d", ["--test_share=0.25"])):
        prepared(source, tmp_path / name, "--kind=own", "--skip_reading", *options)
        outputs[name] = names_in(tmp_path / name)
    assert outputs["a"] == outputs["b"] != outputs["c"]
    assert len(set(split_of(tmp_path / "d")["test"].identities)) == 2
    with pytest.raises(InputError, match="other files or options"):
        prepared(source, tmp_path / "a", "--kind=own", "--seed=2")
    with pytest.raises(InputError, match="--test_share 1.0 leaves training or test empty"):
        prepared(source, tmp_path / "e", "--test_share=1")


def test_plan_custom_single_camera(drawn, tmp_path, capsys):
    source = tmp_path / "source"
    for (identity, number, suffix), content in drawn.items():
        if suffix == ".jpg":
            put(source / f"p{identity}" / f"frame{number + 7}.jpg", content)  # 7, 8, 9, 10, 11, 12: in that order
    with pytest.raises(InputError, match="the camera of 54 images is unknown.*--single_camera"):
        prepared(source, tmp_path / "set")
    assert prepared(source, tmp_path / "set", "--single_camera") == 0
    out = capsys.readouterr().out
    assert "LATER BY THE SAME CAMERA" in out and "say nothing about a second camera" in out
    notes = json.loads((tmp_path / "set" / "names.json").read_text())
    assert "SAME CAMERA" in notes["meaning"]
    for split, names in names_in(tmp_path / "set").items():
        for name in names:
            frame = int(notes["images"][name].split("frame")[1].split(".")[0])
            assert ("_c1s" in name) == (frame <= 9)
            assert split != "query" or frame in (7, 12)
    # Every check prints the note again.
    with pytest.raises(SystemExit) as stop:
        prepare.main(prepare.parse_args(["--check", str(tmp_path / "set")]))
    assert stop.value.code == 0 and "SAME CAMERA" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"the names give 3 cameras \(cam1, cam2, cam3\): leave it out"):
        prepared(own_people(tmp_path / "three", drawn), tmp_path / "new", "--single_camera")


def test_plan_custom_flat_names_keep_junk_and_distractors(drawn, tmp_path, capsys):
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


def test_plan_custom_refuses_what_it_cannot_split(drawn, tmp_path):
    def refused(match, files, *options):
        shutil.rmtree(tmp_path / "source", ignore_errors=True)
        for name in files:
            put(tmp_path / "source" / name, drawn[0, 0, ".jpg"])
        with pytest.raises(InputError, match=match) as error:
            prepared(tmp_path / "source", tmp_path / "set", *options)
        assert "\n" not in str(error.value) and not (tmp_path / "set").exists()

    refused("no .jpg or .png image", ["notes.txt"])
    refused("both loose, such as a.jpg, and in folders", ["a.jpg", "b/c.jpg"])
    refused("its name gives no identity", ["a.jpg"])
    refused("lies too deep", ["a/b/c/d.jpg"])
    refused("no person was seen by two cameras.*--single_camera", ["a/x_c1.jpg", "b/x_c1.jpg", "b/y_c1.jpg"])
    refused("2 people, 2 of them .* are too few", [f"{p}/{n}_c{n}.jpg" for p in "ab" for n in (1, 2)])
    refused("no person has two images", ["a/1.jpg", "b/1.jpg"], "--single_camera")
    refused("is not a regular expression", ["a/1.jpg"], "--camera_pattern=(")
    refused("needs one group", ["a/1.jpg"], "--camera_pattern=x")


def test_natural_key():
    assert sorted(["p10", "p9", "q", "10", "9", "p"], key=natural_key) == ["9", "10", "p", "p9", "p10", "q"]
