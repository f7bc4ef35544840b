"""utils/dataset_checks.py: each kind of damage is found and named; a sound set gives no output."""

import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

import test_reid
import train_id
from data import prepare
from tests.helpers import draw_set
from utils import dataset, dataset_checks, metrics
from utils.errors import InputError
from utils.evaluation.models import Model
from utils.training.split import split_for_triplets

TRAIN = "bounding_box_train"
TEST = "bounding_box_test"
QUERY = "bounding_box_query"


@pytest.fixture
def drawn_set(tiny_set, tmp_path):
    """A copy to damage: 8 training identities, 6 test identities, 3 images of each by each of 2 cameras."""
    shutil.copytree(tiny_set, tmp_path / "set")
    return tmp_path / "set"


def findings_of(data_dir):
    return dataset_checks.check_folders(*dataset_checks.open_folders(data_dir))


def move(folder, old, new):
    (folder / old).rename(folder / new)


def keep(folder, pattern):
    for path in set(folder.iterdir()) - set(folder.glob(pattern)):
        path.unlink()


def resize(path, size):
    cv2.imwrite(str(path), cv2.resize(cv2.imread(str(path)), size))


A = "0001_c1s1_000000_01.jpg"  # an image in bounding_box_train
B = "0001_c2s1_000000_01.jpg"  # another one there
G = "0009_c1s1_000001_01.jpg"  # an image of the gallery
Q = "0009_c1s1_000000_01.jpg"  # a query
# A complete image of one pixel, which TensorFlow would decode, in a format that training refuses.
GIF = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;"

# (damage to the folder of the set, is it an error, text of the finding, example that it names)
DAMAGES = {
    "one image": (lambda s: [path.unlink() for path in (s / TRAIN).glob("0001_*") if path.name != A],
                    False, "1 of 8 identities in .*train has only one image", A),
    "one camera": (lambda s: [path.unlink() for path in (s / TRAIN).glob("0001_c2*")],
                   False, "1 of 8 identities in .*train was seen by one camera only$", A),
    "all one camera": (lambda s: [path.unlink() for path in (s / TRAIN).glob("*_c2*")],
                       False, "8 of 8 identities .* by one camera only, and no identity by two", A),
    "no identity twice": (lambda s: keep(s / TRAIN, "*_c1s1_000000_*"),
                          True, "no identity in .*train has two images", A),
    "one identity": (lambda s: keep(s / TRAIN, "0001_*"),
                     True, "train shows only one identity", A),
    "junk alone": (lambda s: [path.rename(path.with_name("-1" + path.name[4:])) for path in (s / TRAIN).iterdir()],
               True, "no image in .*train shows a known identity", "-1_c1s1"),
    "junk to train on": (lambda s: move(s / TRAIN, A, "-1_c1s1_000000_01.jpg"),
                         False, "1 image in .*train is junk", "-1_c1s1_000000_01.jpg"),
    "no identity": (lambda s: move(s / TRAIN, A, "me.jpg"), True, "1 name in .*train gives no identity", "me.jpg"),
    "no camera": (None, True, "1 name in .*test gives no camera", G),  # by an overridden method, below
    "text file": (lambda s: (s / TEST / "notes.txt").touch(), False, "1 entry of .*test is not .jpg", "notes.txt"),
    "sub-folder": (lambda s: (s / TEST / "more").mkdir(), False, "1 entry of .*test is not .jpg", "more"),
    "empty": (lambda s: (s / TRAIN / A).write_bytes(b""), True, "1 image is empty", A),
    "cut short": (lambda s: (s / TRAIN / A).write_bytes((s / TRAIN / A).read_bytes()[:400]),
                  True, "1 image is unreadable", A),
    "no image": (lambda s: (s / QUERY / Q).write_bytes(b"not found"), True, "1 image is unreadable", Q),
    "another format": (lambda s: (s / TRAIN / A).write_bytes(GIF), True, "1 image is unreadable", A),
    "leak": (lambda s: shutil.copy(s / TRAIN / A, s / TEST / G),
             True, "1 image is both in training and in test", A),
    "two identities": (lambda s: shutil.copy(s / TRAIN / A, s / TRAIN / "0002_c1s1_000000_01.jpg"),
                       True, "1 image is there under two identities", "0002_c1s1_000000_01.jpg"),
    "identity and distractor": (lambda s: shutil.copy(s / TEST / G, s / TEST / "0000_c1s1_000009_01.jpg"),
                              True, "1 image is there under two identities", "0000_c1s1_000009_01.jpg"),
    "two cameras": (lambda s: shutil.copy(s / TRAIN / A, s / TRAIN / B),
                    True, "1 image is there under two cameras", B),
    "twice": (lambda s: shutil.copy(s / TRAIN / A, s / TRAIN / A.replace("000000", "000009")),
              False, "1 image is there more than once", A),
    "absent": (lambda s: [path.unlink() for path in (s / TEST).glob("0009_*")],
               False, "2 queries of 1 identity are not in .*test$", Q),
    "absent elsewhere": (lambda s: [path.unlink() for path in (s / TEST).glob("0009_c2*")],
                         False, "1 query of 1 identity is not in .*test by another camera", Q),
    "no match at all": (lambda s: [path.unlink() for path in (s / TEST).glob("*_c2*")]
                        + [path.unlink() for path in (s / QUERY).glob("*_c2*")],
                        True, "no query has an image of its identity from another camera", Q),
    "junk query": (lambda s: move(s / QUERY, Q, "0000_c1s1_000000_09.jpg"),
                  True, "1 query in .* is junk .-1. or distractors", "0000_c1s1_000000_09.jpg"),
    "same numbers": (lambda s: move(s / TRAIN, A, "0009_c1s1_000077_01.jpg"),
                     False, "1 identity has the same number in .*train and in .*test", "identity 9"),
    "mixed sizes": (lambda s: resize(s / TRAIN / A, (40, 80)), False,
                    "images have 2 sizes, 64 to 80 pixels high and 32 to 40 wide", None),
    "very small": (lambda s: resize(s / TRAIN / A, (10, 20)), False, "1 image is less than 32 pixels high", A),
    "no queries": (lambda s: shutil.rmtree(s / QUERY), True, "bounding_box_query is missing or empty", None),
    "no gallery": (lambda s: keep(s / TEST, "none"), True, "bounding_box_test is missing", None),
    "nothing to train on": (lambda s: shutil.rmtree(s / TRAIN), False, "bounding_box_train is missing or empty", None),
}  # fmt: skip


def test_check_folders_sound_set(tiny_set, capsys):
    assert findings_of(tiny_set) == []
    opened = {split: dataset.open_split(tiny_set, split) for split in ("train", "query", "test")}
    dataset_checks.check_quickly(opened["train"], opened["query"], opened["test"])
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", [name for name, row in DAMAGES.items() if row[0]])
def test_check_folders_names_every_damage(name, drawn_set, capsys):
    damage, error, wanted, example = DAMAGES[name]
    damage(drawn_set)
    findings = findings_of(drawn_set)
    matching = [finding for finding in findings if re.search(wanted, finding.what)]
    assert len(matching) == 1, findings
    assert matching[0].error == error and matching[0].remedy
    assert example is None or any(example in text for text in matching[0].examples)
    with pytest.raises(SystemExit) as stop:
        prepare.main(prepare.parse_args(["--check", str(drawn_set)]))
    assert stop.value.code == int(any(finding.error for finding in findings))
    printed = capsys.readouterr().out
    assert re.search(("error: " if error else "note: ") + ".*" + wanted.rstrip("$"), printed)


def test_check_folders_names_a_missing_camera(drawn_set, monkeypatch):
    _, error, wanted, example = DAMAGES["no camera"]
    original = dataset.ImageDataset.get_camera_from_path
    unknown = str(drawn_set / TEST / G)
    monkeypatch.setattr(
        dataset.ImageDataset, "get_camera_from_path", lambda self, path: 0 if path == unknown else original(self, path)
    )
    (finding,) = findings_of(drawn_set)
    assert finding.error == error and re.search(wanted, finding.what) and example in finding.examples[0]


def test_check_folders_half_a_set_has_no_error(drawn_set):
    shutil.copytree(drawn_set / TRAIN, drawn_set.parent / "train_only" / TRAIN)
    assert [finding.error for finding in findings_of(drawn_set.parent / "train_only")] == [False, False]
    with pytest.raises(InputError, match="holds neither bounding_box_train"):
        findings_of(drawn_set.parent)
    with pytest.raises(InputError, match="there is no folder .*peopl: name the one that holds bounding_box_train"):
        findings_of(drawn_set.parent / "peopl")


def checked(data_dir, capsys, *options):
    """The exit code and the last line of prepare.py --check."""
    with pytest.raises(SystemExit) as stop:
        prepare.main(prepare.parse_args(["--check", str(data_dir), *options]))
    return stop.value.code, capsys.readouterr().out.splitlines()[-1]


def test_prepare_check_ends_with_a_summary(drawn_set, capsys):
    assert checked(drawn_set, capsys) == (0, "no damage found")
    assert checked(drawn_set, capsys, "--skip_reading") == (0, "no damage found in the file names (images not read)")
    published = "but it is not the published set (11 differences above)"
    assert checked(drawn_set, capsys, "--kind=market1501") == (1, f"no damage found; {published}")
    (drawn_set / TEST / "notes.txt").touch()
    assert checked(drawn_set, capsys) == (0, "no errors, 1 note")
    assert checked(drawn_set, capsys, "--kind=market1501") == (1, f"no errors, 1 note; {published}")
    (drawn_set / TRAIN / A).write_bytes(b"")
    assert checked(drawn_set, capsys) == (1, "1 error, 1 note")
    (drawn_set / TRAIN / B).write_bytes(b"")
    finding = findings_of(drawn_set)[-1]
    assert finding.what == "2 images are empty"


def test_check_folders_five_examples_and_the_whole_count(drawn_set):
    for path in (drawn_set / TRAIN).iterdir():
        path.write_bytes(b"")
    (finding,) = [finding for finding in findings_of(drawn_set) if "empty" in finding.what]
    assert finding.what.startswith("48 ") and len(finding.examples) == 5


class Names:
    """An opened folder that needs no files."""

    def __init__(self, identities, cameras):
        self.folder = Path("folder")
        self.paths = [str(number) for number in range(len(identities))]
        self.identities = np.array(identities)
        self.cameras = np.array(cameras)

    def __len__(self):
        return len(self.paths)


def test_testing_findings_are_the_queries_that_the_evaluation_leaves_out():
    rng = np.random.default_rng(0)
    for _ in range(50):
        query = Names(rng.integers(1, 12, 9), rng.integers(1, 4, 9))
        gallery = Names(rng.integers(-1, 12, 14), rng.integers(1, 4, 14))
        embeddings = rng.normal(size=(23, 4)).astype(np.float32)
        findings = dataset_checks.testing_findings(query, gallery)
        try:
            figures = metrics.evaluate(
                metrics.LabelledSet(None, embeddings[:9], query.identities, query.cameras),
                metrics.LabelledSet(None, embeddings[9:], gallery.identities, gallery.cameras),
            )
            counted = sum(int(finding.what.split()[0]) for finding in findings)
            assert counted == figures["unmatched"] and not any(finding.error for finding in findings)
        except ValueError:
            assert [finding.error for finding in findings] == [True]


# ---- in the scripts ----


def test_training_prints_notes_and_refuses_errors(drawn_set, capsys):
    for path in (drawn_set / TRAIN).glob("0003_c2*"):
        path.unlink()
    train_id.split(drawn_set, 2, 1, seed=0)
    assert "note: 1 of 8 identities" in capsys.readouterr().out
    split_for_triplets(drawn_set, 2, seed=0)
    assert "seen by one camera only" in capsys.readouterr().out
    for path in (drawn_set / TRAIN).iterdir():
        if not path.name.startswith("0001"):
            path.unlink()
    for split, options in ((train_id.split, (2, 1, 0)), (split_for_triplets, (2, 0))):
        with pytest.raises(InputError, match="shows only one identity, such as .*0001.*: check that"):
            split(drawn_set, *options)


def test_testing_refuses_errors_before_it_embeds(drawn_set, monkeypatch):
    move(drawn_set / QUERY, Q, "0000_c1s1_000000_09.jpg")
    monkeypatch.setattr(test_reid, "find_models", lambda named: named)
    monkeypatch.setattr(test_reid, "open_model", lambda *_: Model("net", {}, None, None, pytest.fail))
    with pytest.raises(InputError, match="1 query in .* is junk .*0000_c1s1_000000_09.jpg"):
        test_reid.main(test_reid.parse_args([f"--data_dir={drawn_set}"]))


def test_check_quickly_opens_no_file(tmp_path, capsys):
    data_dir = draw_set(tmp_path / "set", identities=3, test_identities=2)
    for path in Path(data_dir).rglob("*.jpg"):
        path.write_bytes(b"")
    opened = [dataset.open_split(data_dir, split) for split in ("train", "query", "test")]
    dataset_checks.check_quickly(*opened)
    assert capsys.readouterr().out == ""
