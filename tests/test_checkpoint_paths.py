"""From what a user names to a checkpoint, and the sentence when there is none."""

import json
import os
from pathlib import Path

import pytest

from utils.checkpoint import ID_PATTERN
from utils.checkpoint_paths import find_checkpoint, newest_checkpoint
from utils.errors import InputError


def test_newest_checkpoint_of_all_runs_goes_by_time(tmp_path):
    for time, run, step in ((100, "m0", 900), (300, "m1", 200), (200, "m1", 400)):
        (tmp_path / run).mkdir(exist_ok=True)
        path = tmp_path / run / f"reid_model-{step}.ckpt.index"
        path.touch()
        os.utime(path, (time, time))
    assert newest_checkpoint(tmp_path) == str(tmp_path / "m1" / "reid_model-200.ckpt")
    with pytest.raises(InputError, match="no checkpoint model.ckpt-<step> .*train_id.sh"):
        newest_checkpoint(tmp_path, ID_PATTERN)


def lay(*names):
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(f"{name}.index").touch()


def refused(path, pattern=""):
    with pytest.raises(InputError) as error:
        find_checkpoint(path, pattern)
    return str(error.value)


def test_find_checkpoint_suggests_what_exists(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    to_train = "train one first (bash train_id.sh{}), or name a checkpoint or run folder that exists"
    assert refused("models/id/m9", ID_PATTERN) == f"there is no models/id/m9: {to_train.format('')}"
    assert refused("x.ckpt") == f"there is no x.ckpt: {to_train.format(', then bash train_reid.sh')}"
    (tmp_path / "film.mp4").touch()
    assert refused("film.mp4").startswith("film.mp4 is not a checkpoint: train one")
    lay("models/quick_run/reid/m0/reid_model-700.ckpt", "models/quick_run/reid/m0/training_state-700")
    quick = "name one that exists, such as models/quick_run/reid/m0"
    assert refused("reid_model-200.ckpt") == f"there is no reid_model-200.ckpt: {quick}"
    wrong = "models/quick_run/reid/m0/reid_model-5.ckpt"
    assert refused(wrong) == f"there is no {wrong}: {quick}/reid_model-700.ckpt"
    lay(*(f"models/id/m{number}/model.ckpt-{number}" for number in range(2, 12)), "models/id/mine/foreign")
    latest = "name one that exists, such as " + ", ".join(f"models/id/m{number}" for number in range(7, 12))
    for pattern in (ID_PATTERN, ""):
        assert refused("models/id/m99", pattern) == f"there is no models/id/m99: {latest}"


def test_newest_checkpoint_mentions_the_quick_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models/reid").mkdir(parents=True)
    lay("models/quick_run/reid/m0/training_state-700")
    with pytest.raises(InputError, match="bash train_reid.sh, or name its path$"):
        newest_checkpoint()
    lay("models/quick_run/reid/m0/reid_model-700.ckpt")
    with pytest.raises(InputError, match="or name its path; the quick run wrote models/quick_run/reid/m0$"):
        newest_checkpoint()


def test_find_checkpoint_takes_the_suggested_one_of_a_run_folder(tmp_path):
    for step in (10, 20, 30):
        (tmp_path / f"model.ckpt-{step}.index").touch()
    assert find_checkpoint(tmp_path / "model.ckpt-10.index") == str(tmp_path / "model.ckpt-10")
    validation = {"suggested": {"step": 20, "checkpoint": "model.ckpt-20"}, "history": []}
    (tmp_path / "validation.json").write_text(json.dumps(validation))
    assert find_checkpoint(tmp_path) == str(tmp_path / "model.ckpt-20")
    (tmp_path / "model.ckpt-20.index").unlink()
    os.utime(tmp_path / "model.ckpt-30.index", (2e9, 2e9))
    assert find_checkpoint(tmp_path) == str(tmp_path / "model.ckpt-30")
