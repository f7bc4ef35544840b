"""Folders of people as they come: parts of a set, cameras first, nobodies, foreign folders, links."""

import json
import os
from pathlib import Path

import pytest

from data.trees import CAMERA, PART
from tests.drawn_layouts import prepared, put
from utils import dataset, folders
from utils.errors import InputError


@pytest.fixture
def people(drawn, tmp_path):
    """Writes images that all differ to the paths of a tree; returns its root."""
    contents = [content for (_, _, suffix), content in sorted(drawn.items()) if suffix == ".jpg"]

    def make(*paths):
        for number, path in enumerate(paths):
            put(tmp_path / "tree" / path, contents[number % len(contents)])
        return tmp_path / "tree"

    return make


def names_of(output):
    return json.loads((output / "names.json").read_text())


def tree(*patterns):
    """Paths with {a|b} written out."""
    paths = []
    for pattern in patterns:
        found = [""]
        for part in pattern.replace("{", "}").split("}"):
            found = [path + word for path in found for word in part.split("|")]
        paths += found
    return paths


# ---- trees that are not PERSON/IMAGE ----


@pytest.mark.parametrize(
    "paths",
    [
        tree("{training|validation|probe|gallery}/{anna|bert|emil|ida}/{1|2}_c{1|2}.jpg"),
        tree("set/{image_train|image_test|image_query}/000{1|2|3|4}_c00{1|2}_1.jpg"),
        tree("{bbox_train|bbox_test|info}/000{1|2}/{1|2}_c{1|2}.jpg"),
        tree("{train_all|multi-query|Readme pictures}/{1|2|3|4}/{1|2}_c{1|2}.jpg"),
        tree("{anna|bert|emil|ida}/{train|val}/{1|2}.jpg"),
    ],
)
def test_parts_of_a_data_set_are_no_people(people, tmp_path, paths):
    with pytest.raises(InputError, match="bounding_box_train, bounding_box_test .* with names like 0002_c1s1"):
        prepared(people(*paths), tmp_path / "set")
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("name", ["anna", "valentina", "Tester", "0001", "queryl", "imagefolder", "trainer", "dev"])
def test_people_are_no_parts(name):
    assert not PART.fullmatch(name)
    assert not CAMERA.fullmatch(name)


def test_one_folder_around_the_people_is_seen_through(people, tmp_path):
    root = people(*tree("my set/people/{anna|bert|emil|ida}/c{1|2}_{1|2}.jpg"))
    assert prepared(root, tmp_path / "set") == 0
    assert sorted(names_of(tmp_path / "set")["identities"].values()) == ["anna", "bert", "emil", "ida"]


@pytest.mark.parametrize("cameras", [("cam_a", "cam_b"), ("C1", "C2"), ("camera 1", "camera 2")])
def test_cameras_may_come_first(people, tmp_path, capsys, cameras):
    root = people(*tree(f"{{{'|'.join(cameras)}}}/{{anna|bert|emil|ida}}/{{1|2}}.jpg"))
    assert prepared(root, tmp_path / "set") == 0
    assert "note: read as CAMERA/PERSON/IMAGE" in capsys.readouterr().out
    notes = names_of(tmp_path / "set")
    assert sorted(notes["identities"].values()) == ["anna", "bert", "emil", "ida"]
    assert sorted(notes["cameras"].values()) == sorted(cameras)


def test_what_cannot_be_told_is_asked(people, tmp_path):
    root = people(*tree("{door|yard}/{anna|bert|emil|ida}/{1|2}.jpg"))
    with pytest.raises(InputError, match="2 folders hold 4 different ones.*--first_folder person or --first_folder ca"):
        prepared(root, tmp_path / "set")
    assert prepared(root, tmp_path / "set", "--first_folder=camera") == 0
    assert sorted(names_of(tmp_path / "set")["cameras"].values()) == ["door", "yard"]
    root = people(*tree("../flat/cam{1|2|3|4}/000{1|2}_{1|2}.jpg")).parent / "flat"
    with pytest.raises(InputError, match="cam1, cam2, cam3, cam4 have names of cameras"):
        prepared(root, tmp_path / "other", "--single_camera")


def test_sets_that_are_known_by_name_and_kinds_that_are_not_read(people, tmp_path):
    with pytest.raises(InputError, match="is MARS, tracklets of a video"):
        prepared(people("bbox_train/0001/0001C1T0001F001.jpg"), tmp_path / "set")
    put(tmp_path / "cuhk" / "cuhk-03.mat", b"MATLAB 7.3")
    for source in (tmp_path / "cuhk", tmp_path / "cuhk" / "cuhk-03.mat"):
        with pytest.raises(InputError, match="is a file of MATLAB.*get CUHK03-NP"):
            prepared(source, tmp_path / "set")
    put(tmp_path / "phone" / "anna" / "1.heic", b"")
    with pytest.raises(InputError, match="phone holds .heic and no .jpg or .png.*convert them"):
        prepared(tmp_path / "phone", tmp_path / "set")


# ---- names that are nobody's ----


def test_nobody_and_foreign_folders_are_no_people(people, tmp_path, capsys):
    sound = tree("{anna|bert|emil|ida}/c{1|2}_{1|2}.jpg")
    noise = ["-1/c1_1.jpg", "000/c1_1.jpg", "anna/.small/c1_1.jpg", "@eaDir/anna/c1.jpg", "Thumbs/c1.jpg"]
    noise += ["__MACOSX/anna/._c1.jpg", "bert/._c1_1.jpg"]
    root = people(*sound, *noise)
    assert prepared(root, tmp_path / "set") == 0, capsys.readouterr().out
    out = capsys.readouterr().out
    assert "5 of the files and folders are hidden or of another program (left out), such as" in out
    assert "note: 1 image is called 0" in out and "or give --count_from_zero" in out
    notes = names_of(tmp_path / "set")
    assert sorted(notes["identities"].values()) == ["anna", "bert", "emil", "ida"]
    gallery = dataset.open_split(tmp_path / "set", "test")
    assert sorted(gallery.identities)[:2] == [-1, 0] and len(notes["images"]) == len(sound) + 2


def test_names_of_nobody():
    assert [folders.nobody(name) for name in ("-1", "-2", "0", "0000")] == [-1, -1, 0, 0]
    assert [folders.nobody(name) for name in ("0001", "10", "anna", "-", "0a", "٠")] == [None] * 6


def test_people_counted_from_zero(people, tmp_path, capsys):
    """As folders, as names side by side, and in the three folders of a set."""
    root = people(*tree("{0|1|2|3}/c{1|2}_{1|2}.jpg"))
    assert prepared(root, tmp_path / "a", "--count_from_zero") == 0
    assert sorted(names_of(tmp_path / "a")["identities"].values()) == ["0", "1", "2", "3"]
    root = people(*tree("../flat/{00|01|02|03}_c{1|2}_{1|2}.jpg")).parent / "flat"
    assert prepared(root, tmp_path / "b", "--count_from_zero") == 0
    assert len(names_of(tmp_path / "b")["identities"]) == 4
    three = tree("../three/bounding_box_{train|test|query}/{000|001|002|003}_c{1|2}_f000000{1|2}.jpg", "../three/x.txt")
    root = people(*three).parent / "three"
    prepared(root, tmp_path / "c", "--count_from_zero", "--skip_reading")
    names = sorted(path.name[:7] for path in (tmp_path / "c/bounding_box_query").iterdir())
    assert names[0] == "001_c1_" and names[-1] == "004_c2_" and len(names) == 16
    capsys.readouterr()
    assert prepared(root, tmp_path / "d", "--skip_reading") == 1
    out = capsys.readouterr().out
    assert out.count("0 means nobody here: if people are counted from 0, add 1 to each number") == 2


# ---- links ----


def test_linked_people_are_followed_once_and_dangling_links_named(people, tmp_path, capsys):
    root = people(*tree("{anna|bert|emil}/c{1|2}_{1|2}.jpg", "../elsewhere/c{1|2}_{1|2}.jpg"))
    (root / "ida").symlink_to(tmp_path / "elsewhere")
    (root / "ida again").symlink_to(root / "anna")
    (root / "anna" / "loop").symlink_to(root)
    (root / "lost").symlink_to(tmp_path / "gone")
    (root / "anna" / "c1_9.jpg").symlink_to(tmp_path / "gone.jpg")
    assert prepared(root, tmp_path / "set") == 0
    out = capsys.readouterr().out
    assert "2 of the files and folders are links that lead nowhere" in out and "c1_9.jpg" in out
    assert "2 of the files and folders are links to folders that are read already" in out
    notes = names_of(tmp_path / "set")
    assert sorted(notes["identities"].values()) == ["anna", "bert", "emil", "ida"] and len(notes["images"]) == 16


def test_a_link_into_a_hidden_store_is_followed(people):
    root = people(*tree("{anna|bert}/c{1|2}.jpg", ".store/ida/c1.jpg"))
    (root / "ida").symlink_to(root / ".store" / "ida")
    found, skipped = folders.walk(root)
    assert [path.name for path, _, files in found if files] == ["anna", "bert", "ida"]
    assert skipped == ([str(root / ".store")], [], [])


def test_a_dangling_link_in_a_layout_is_named(drawn, tmp_path):
    put(tmp_path / "0001_c1s1_000001_01.jpg", drawn[0, 0, ".jpg"])
    os.symlink("/mnt/gone/1.jpg", tmp_path / "0002_c1s1_000001_01.jpg")
    (tmp_path / "0003_c1s1_000001_01.jpg").mkdir()
    put(tmp_path / "._0001_c1s1_000001_01.jpg", b"of a Mac")
    paths = dataset.ImageDataset(tmp_path).paths
    assert [Path(path).name[:4] for path in paths] == ["0001", "0002"]
    with pytest.raises(InputError, match="0002_.* cannot be read: a link that leads nowhere; is /mnt/gone/1.jpg there"):
        dataset.check_images(paths)


def test_numbers_that_no_identity_can_have(tmp_path):
    for name in (f"{10**30}_c1.jpg", f"1_c{10**30}.jpg"):
        with pytest.raises(InputError, match="cannot read the identity"):
            put(tmp_path / name[:3] / name, b"")
            dataset.ImageDataset(tmp_path / name[:3])
