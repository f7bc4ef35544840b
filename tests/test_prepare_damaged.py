"""data/prepare.py on damaged copies of each published layout: it names every damage, and refuses what is not a set."""

import re
import shutil

import pytest

from data import layouts
from tests.drawn_layouts import arrange, first, prepared, put
from utils.errors import InputError

pytestmark = pytest.mark.usefixtures("small_table")


def rewrite(path, old, new):
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))


def damages():
    """(set, damage to its root, text that must be printed)"""
    # fmt: off
    market = {
        "gone": (lambda r: first(r, "bounding_box_train").unlink(),
                 "bounding_box_train: found 23 images, published 24"),
        "identity gone": (lambda r: [path.unlink() for path in r.glob("query/0005_*")],
                          "bounding_box_query: found 3 identities, published 4"),
        "camera gone": (lambda r: [path.unlink() for path in r.glob("bounding_box_train/*_c3s*")],
                        "bounding_box_train: found 2 cameras, published 3"),
        "junk gone": (lambda r: [path.unlink() for path in r.glob("bounding_box_test/-1_*")],
                      "bounding_box_test: found 0 junk, published 1"),
        "distractor gone": (lambda r: first(r, "bounding_box_test", 1).unlink(),
                            "bounding_box_test: found 1 distractors, published 2"),
        "renamed": (lambda r: first(r, "query").rename(r / "query" / "holiday.jpg"),
                    "left out: 1 name in .*query gives no identity, such as .*holiday.jpg"),
        "empty": (lambda r: first(r, "query").write_bytes(b""), "error: 1 image is empty"),
        "cut short": (lambda r: first(r, "query").write_bytes(first(r, "query").read_bytes()[:300]),
                      "error: 1 image is unreadable .cut short"),
        "text": (lambda r: first(r, "query").write_bytes(b"<html>404</html>"), "error: 1 image is unreadable"),
        "leak": (lambda r: shutil.copy(first(r, "bounding_box_train"), first(r, "bounding_box_test", 5)),
                 "error: 1 image is both in training and in test"),
        "two people": (lambda r: shutil.copy(first(r, "bounding_box_train"), first(r, "bounding_box_train", 20)),
                       "error: 1 image is there under two identities"),
    }
    msmt17 = {
        "gone": (lambda r: first(r, "test/0001").unlink(),
                 "list_query.txt: 1 image is not in .*test, such as 0001/"),
        "extra": (lambda r: put(r / "train" / "0009" / "0009_000_01_0303noon_0001_0.jpg", b"x"),
                  "train: 1 image is on no list and left out, such as .*0009_000_01"),
        "other identity": (lambda r: rewrite(r / "list_gallery.txt", "_0.jpg 2", "_0.jpg 3"),
                           "list_gallery.txt: 1 line is left out, with another identity than .*0002/.* with 3"),
        "odd line": (lambda r: rewrite(r / "list_val.txt", "0001/0001", "../../0001"),
                     "list_val.txt: 1 line is left out, without a path and an identity, such as line 2"),
        "twice": (lambda r: (r / "list_val.txt").write_text(2 * (r / "list_val.txt").read_text()),
                  "list_val.txt: 4 images are already listed in list_val.txt"),
        "in query and gallery": (lambda r: (r / "list_query.txt").write_text((r / "list_gallery.txt").read_text()),
                                 "list_query.txt: 12 images are already listed in list_gallery.txt"),
        "identity gone": (lambda r: (r / "list_query.txt").write_text(
            "".join(line for line in (r / "list_query.txt").open() if not line.startswith("0003"))),
            "bounding_box_query: found 3 identities, published 4"),
    }
    # fmt: on
    others = {"gone": (lambda r: first(r, "query").unlink(), "bounding_box_query: found .* images, published")}
    for kind, kinds in (
        ("market1501", market),
        ("msmt17", msmt17),
        ("dukemtmc", {**others, "cut short": market["cut short"], "leak": market["leak"]}),
        ("cuhk03-detected", {**others, "cut short": market["cut short"], "two people": market["two people"]}),
    ):
        for name, (damage, text) in kinds.items():
            yield pytest.param(kind, damage, text, id=f"{kind}-{name.replace(' ', '_')}")


@pytest.mark.parametrize("kind, damage, text", damages())
def test_prepare_names_every_damage(kind, damage, text, drawn, tmp_path, capsys):
    root = arrange(kind, tmp_path / "source", drawn)
    damage(root)
    assert prepared(tmp_path / "source", tmp_path / "set") == 1
    out = capsys.readouterr().out
    assert re.search(text, out), out
    assert "find the reason before you train on it" in out and (tmp_path / "set" / "bounding_box_train").is_dir()


def test_prepare_refuses_what_is_not_a_set(drawn, tmp_path):
    root = arrange("market1501", tmp_path / "market", drawn)
    shutil.rmtree(root / "query")
    with pytest.raises(InputError, match="holds no bounding_box_query or query"):
        prepared(root, tmp_path / "set")
    root = arrange("msmt17", tmp_path / "msmt", drawn)
    (root / "list_query.txt").unlink()
    with pytest.raises(InputError, match="list_query.txt is missing"):
        prepared(root, tmp_path / "set")
    shutil.rmtree(root / "test")
    with pytest.raises(InputError, match="holds no folder test or mask_test_v2"):
        prepared(root, tmp_path / "set")
    with pytest.raises(InputError, match="holds no dukemtmc"):
        put(tmp_path / "empty" / "readme.txt", b"")
        prepared(tmp_path / "empty", tmp_path / "set", "--kind=dukemtmc")
    for split in ("train", "test", "query"):
        put(tmp_path / "odd" / f"bounding_box_{split}" / "17.jpg", b"")
    with pytest.raises(InputError, match="17.jpg, match no published set: give --kind"):
        prepared(tmp_path / "odd", tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_a_folder_that_only_begins_like_one_of_a_set_is_no_set(tmp_path):
    (tmp_path / "bounding_box_tmp").mkdir()
    assert layouts.find_roots(tmp_path) == []
