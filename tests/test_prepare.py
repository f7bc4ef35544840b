"""data/prepare.py on drawn copies of each published layout: what it makes, compares, keeps and refuses."""

import json
import os
import shutil
from pathlib import Path

import pytest

from data import layouts, prepare, report
from tests.drawn_layouts import SMALL, arrange, images, prepared
from utils import dataset
from utils.errors import InputError

KINDS = sorted(SMALL)
pytestmark = pytest.mark.usefixtures("small_table")


# ---- the published counts ----


def test_published_counts(monkeypatch):
    """The table against a second copy, typed from the descriptions of the sets."""
    monkeypatch.undo()
    image_counts = {
        kind: [counts[split].images for split in ("train", "query", "test")] for kind, counts in all_counts()
    }
    assert image_counts == {
        "market1501": [12936, 3368, 19732],
        "dukemtmc": [16522, 2228, 17661],
        "msmt17": [32621, 11659, 82161],
        "cuhk03-detected": [7365, 1400, 5332],
        "cuhk03-labeled": [7368, 1400, 5328],
    }
    people = {kind: [counts[split].identities for split in ("train", "query", "test")] for kind, counts in all_counts()}
    assert people == {
        "market1501": [751, 750, 750],
        "dukemtmc": [702, 702, 702 + 408],
        "msmt17": [1041, 3060, 3060],
        "cuhk03-detected": [767, 700, 700],
        "cuhk03-labeled": [767, 700, 700],
    }
    cameras = {kind: {counts[split].cameras for split in counts} for kind, counts in all_counts()}
    assert cameras == {
        "market1501": {6},
        "dukemtmc": {8},
        "msmt17": {15},
        "cuhk03-detected": {2},
        "cuhk03-labeled": {2},
    }
    market = layouts.PUBLISHED["market1501"]["test"]
    assert 13115 + market.junk + market.distractors == market.images and market.junk == 3819
    assert all(not counts[split].junk for kind, counts in all_counts() for split in ("train", "query"))


def all_counts():
    return layouts.PUBLISHED.items()


def test_prepare_counts_differ_from_the_published_set(drawn, tmp_path, capsys, monkeypatch):
    monkeypatch.undo()
    assert prepared(arrange("market1501", tmp_path / "source", drawn), tmp_path / "set") == 1
    out = capsys.readouterr().out
    assert "24 (not 12,936)" in out and "bounding_box_train: found 24 images, published 12,936" in out
    assert out.count("difference: ") == 3 + 5 + 3 and "0 ok" in out
    assert "\nno damage found; but it is not the published set (11 differences above)\n" in out


# ---- sound copies ----


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", ["folder", "zip", "tar.gz"])
def test_prepare_makes_the_layout(kind, form, drawn, tmp_path, capsys):
    root = arrange(kind, tmp_path / "source", drawn)
    source = tmp_path / "source"
    if form != "folder":
        source = tmp_path / f"set.{form}"
        shutil.make_archive(str(tmp_path / "set"), {"zip": "zip", "tar.gz": "gztar"}[form], tmp_path / "source")
    assert prepared(source, tmp_path / "set") == 0, capsys.readouterr().out
    out = capsys.readouterr().out
    assert layouts.TITLES[kind] in out and "difference" not in out and "(not" not in out and "same number" not in out
    assert {path.name for path in (tmp_path / "set").iterdir()} == {
        "bounding_box_train",
        "bounding_box_test",
        "bounding_box_query",
        "prepared.json",
    }
    train, query, gallery = (dataset.open_split(tmp_path / "set", split) for split in ("train", "query", "test"))
    content = {path.read_bytes() for path in images(root) if "gt_bbox" not in str(path)}
    made = [Path(path).read_bytes() for data in (train, query, gallery) for path in data.paths]
    assert len(made) == len(set(made)) and set(made) == content
    # No person is in both training and test, whatever the numbers: the drawn image itself gives the person.
    drawn_as = {content: identity for (identity, _, _), content in drawn.items()}
    assert {drawn_as[Path(path).read_bytes()] for path in train.paths} == {0, 1, 2, 3}
    assert {drawn_as[Path(path).read_bytes()] for path in query.paths} == {4, 5, 6, 7}
    for data in (train, query, gallery):  # each drawn person is one identity, and each identity one drawn person
        known = [index for index in data.people()]
        pairs = {(int(data.identities[index]), drawn_as[Path(data.paths[index]).read_bytes()]) for index in known}
        assert len(pairs) == len({one for one, _ in pairs}) == len({other for _, other in pairs})
    assert prepared(source, tmp_path / "set") == 0
    assert "nothing to make" in capsys.readouterr().out
    if form == "folder":
        assert len(images(root)) == sum(counts.images for counts in SMALL[kind].values()) + (kind == "market1501")
    assert not list(tmp_path.glob(".*")), "something incomplete is left"


def test_prepare_links(drawn, tmp_path, capsys, monkeypatch):
    root = arrange("market1501", tmp_path / "source", drawn)
    original = next(iter(sorted((root / "query").iterdir())))
    links = {"auto": "hard links", "hard": "hard links", "symbolic": "symbolic links", "copy": "copies"}
    for link, out in links.items():
        assert prepared(root, tmp_path / link, "--link", link) == 0
        assert out in capsys.readouterr().out
        made = tmp_path / link / "bounding_box_query" / original.name
        assert made.read_bytes() == original.read_bytes()
        assert made.is_symlink() == (link == "symbolic")
        assert os.path.samefile(made, original) == (link != "copy")

    def another_disk(*_):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", another_disk)
    assert prepared(root, tmp_path / "far") == 0 and "symbolic links" in capsys.readouterr().out
    with pytest.raises(InputError, match="--link hard does not work .*cross-device"):
        prepared(root, tmp_path / "hard_far", "--link", "hard")
    assert not (tmp_path / "hard_far").exists() and not list(tmp_path.glob(".*"))


def test_prepare_in_place_only_compares(drawn, tmp_path, capsys):
    root = arrange("market1501", tmp_path, drawn)
    before = sorted(tmp_path.rglob("*"))
    assert prepared(root, root) == 0
    out = capsys.readouterr().out
    assert "has the layout already" in out and "Market-1501, compared" in out
    assert sorted(tmp_path.rglob("*")) == before


def test_prepare_refuses_foreign_and_changed_outputs(drawn, tmp_path):
    root = arrange("market1501", tmp_path / "source", drawn)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "holiday.jpg").write_bytes(b"precious")
    with pytest.raises(
        InputError, match="mine holds files that this script did not make: name a new folder, such as d"
    ):
        prepared(root, tmp_path / "mine")
    with pytest.raises(InputError, match="--output data holds files .*: name a new folder, such as data/people[_2]*$"):
        prepared(root, "data")
    assert (tmp_path / "mine" / "holiday.jpg").read_bytes() == b"precious"
    with pytest.raises(InputError, match="lies inside"):
        prepared(root, root / "deep" / "set")
    prepared(root, tmp_path / "set")
    next((root / "query").iterdir()).unlink()
    with pytest.raises(
        InputError, match="set was made from .*source.* with other files or options: .* remove this one"
    ):
        prepared(root, tmp_path / "set")
    with pytest.raises(InputError, match="there is no file or folder '.*gone'"):
        prepared(tmp_path / "gone", tmp_path / "new")
    with pytest.raises(InputError, match="there is no file or folder 'peopl'"):
        prepare.main(prepare.parse_args(["peopl"]))


def test_prepare_several_sets_and_halves_of_cuhk03(drawn, tmp_path, capsys, monkeypatch):
    arrange("cuhk03-detected", tmp_path / "source", drawn)
    assert prepared(tmp_path / "source", tmp_path / "detected") == 0
    monkeypatch.setitem(layouts.PUBLISHED, "cuhk03-labeled", SMALL["cuhk03-detected"])
    assert prepared(tmp_path / "source", tmp_path / "labeled", "--boxes=labeled") == 0
    assert "CUHK03-NP, labeled boxes" in capsys.readouterr().out
    arrange("dukemtmc", tmp_path / "source", drawn)
    with pytest.raises(InputError, match="several data sets .*DukeMTMC-reID.*detected"):
        prepared(tmp_path / "source", tmp_path / "set")


def test_prepare_reads_old_keys(drawn, tmp_path, capsys):
    root = arrange("market1501", tmp_path / "source", drawn)
    prepared(root, tmp_path / "set")
    path = tmp_path / "set" / report.PREPARED
    note = json.loads(path.read_text())
    old = {"kind found": note.pop("detected_kind"), "pictures are": note.pop("placed_as")}
    path.write_text(json.dumps({**note, **old}))
    capsys.readouterr()
    assert prepared(root, tmp_path / "set") == 0
    out = capsys.readouterr().out
    assert "there is nothing to make" in out and "Market-1501, compared with the published counts" in out


def test_prepare_interrupted_leaves_nothing(drawn, tmp_path, monkeypatch):
    arrange("market1501", tmp_path / "source", drawn)
    archive = shutil.make_archive(str(tmp_path / "set"), "zip", tmp_path / "source")
    original = prepare.place_images

    def interrupt(*arguments):
        original(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(prepare, "place_images", interrupt)
    for source in (tmp_path / "source", archive):
        with pytest.raises(KeyboardInterrupt):
            prepared(source, tmp_path / "out")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["set.zip", "source"]
