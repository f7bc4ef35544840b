"""pipeline.py as a user runs it, on a stand-in detector and an untrained net."""

import json
from types import SimpleNamespace

import pytest

from pipeline import find_reid
from tests.conftest import refusal, run
from tests.standins import write_checkpoint, write_tf1_detector
from utils.device import device_name


def test_both_are_prepared(tmp_path, tiny_set):
    write_tf1_detector(tmp_path / "zoo")
    checkpoint, _ = write_checkpoint(tmp_path / "m0")
    command = ["pipeline.py", "obj", checkpoint, "--detector", tmp_path / "zoo", "--output", tmp_path / "frozen"]
    done = run(*command, "--batch=3", "--pictures", tiny_set)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"device: {device_name()}")
    for kind in ("obj", "reid"):
        manifest = json.loads((tmp_path / "frozen" / kind / "manifest.json").read_text())
        assert manifest["kind"] == kind
        said = [line for line in done.stdout.splitlines() if line.startswith(f"{kind}: ")]
        engine = {"tensorflow": "a frozen TensorFlow graph", "tf-trt": "TF-TRT"}[manifest["engine"]]
        assert f"{kind}: {engine}, {manifest['precision']} ({manifest['reason']})" in said[1]  # which, and why
        assert said[-1].startswith(f"{kind}: {tmp_path / 'frozen' / kind} is ready")
    assert manifest["batch"] == 3 and manifest["parity"]["min"] > 0.9999 and manifest["parity"]["pictures"] == 39
    source = f"{tiny_set}/bounding_box_query and {tiny_set}/bounding_box_test, seed 0"
    assert manifest["parity"]["pictures_from"] == source and f"39 pictures ({source})" in done.stdout
    assert "reid: a run of 3 at once " in done.stdout
    assert f"min {manifest['parity']['min']:.6f}" in done.stdout


def test_pictures_are_those_of_the_training_where_they_are_here(tmp_path, tiny_set):
    checkpoint, _ = write_checkpoint(tmp_path / "m0")
    asked = SimpleNamespace(checkpoints=[checkpoint], pictures=None, seed=0)
    settings = json.loads((tmp_path / "m0/args.json").read_text())
    for data_dir, source in ((tiny_set, f"{tiny_set}/bounding_box_query"), (str(tmp_path / "gone"), "drawn people")):
        (tmp_path / "m0/args.json").write_text(json.dumps({**settings, "data_dir": data_dir}))
        assert find_reid(asked)[1].source.startswith(source)
    asked.pictures = f"{tiny_set}/bounding_box_train"
    assert find_reid(asked)[1].source == f"{tiny_set}/bounding_box_train, seed 0"


def test_what_is_missing_is_said_for_both(tmp_path):
    done = run(
        "pipeline.py", "obj", tmp_path / "gone.ckpt", "--detector", tmp_path / "gone", "--output", tmp_path / "f"
    )
    sentence = refusal(done)
    assert f"no detector in {tmp_path / 'gone'}: run bash setup.sh detector" in sentence
    assert f"no checkpoint {tmp_path / 'gone.ckpt'}" in sentence
    assert not (tmp_path / "f").exists()


@pytest.mark.parametrize("words", [["obj", "a.ckpt", "b.ckpt"], ["obj", "obj"], ["--batch=0"], ["--precision=INT4"]])
def test_command_lines_that_are_none(words):
    assert refusal(run("pipeline.py", *words)).startswith("pipeline.py: error: ")
