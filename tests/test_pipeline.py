"""pipeline.py as a user runs it, on a stand-in detector and an untrained net."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

import pipeline
from pipeline import find_reid
from tests.conftest import refusal, run
from tests.fakes import write_checkpoint, write_tf1_detector
from utils.checkpoint import save_weights
from utils.deploy import trt
from utils.device import device_name
from utils.errors import InputError
from utils.resnet import build_id_net


def test_both_are_prepared(tmp_path, tiny_set):
    write_tf1_detector(tmp_path / "zoo")
    checkpoint, _ = write_checkpoint(tmp_path / "m0")
    command = ["pipeline.py", "obj", checkpoint, "--detector", tmp_path / "zoo", "--output", tmp_path / "frozen"]
    done = run(*command, "--batch=3", "--pictures", tiny_set, "--precision=INT8")
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
    refused = f"{kind}: --precision=INT8 needs TensorRT and was not applied: this is FP32\n"
    assert (refused in done.stdout) == (manifest["engine"] == "tensorflow")
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
    assert f"there is no {tmp_path / 'gone.ckpt'}: " in sentence
    assert not (tmp_path / "f").exists()


class Asked(SimpleNamespace):
    """What parse_args returns for both models, and for what a test names."""

    def __init__(self, folder, checkpoint, **others):
        common = {"output": str(folder / "frozen"), "detector": str(folder / "zoo"), "onnx": False, "seed": 0}
        wishes = {"precision": "FP16", "engine": "tensorflow", "min_parity": 0.9, "workspace": 64, "batch": 2}
        chosen = {"what": ["obj", checkpoint], "checkpoints": [checkpoint], "pictures": None, "image_size": None}
        super().__init__(**{**common, **wishes, **chosen, "precision_asked": None, **others})


def test_a_refused_command_replaces_nothing(checkpoint, tmp_path, monkeypatch):
    (tmp_path / "zoo").mkdir()
    (tmp_path / "zoo" / "saved_model.pb").touch()  # all that is looked at before the work
    monkeypatch.setattr(pipeline, "freeze_detector", lambda *_, **__: pytest.fail("the detector is frozen"))
    broken = tmp_path / "people" / "broken.jpg"
    broken.parent.mkdir()
    broken.write_bytes(b"no picture")
    id_model = tmp_path / "model.ckpt-7"
    save_weights(build_id_net(5, (64, 32), 0.125), id_model, {"image_size": [64, 32]})
    whole, pictures = str(tmp_path / "m0" / "reid_model-1.ckpt"), {"pictures": str(tmp_path / "gone")}
    shutil.copytree(Path(checkpoint[0]).parent, tmp_path / "m0")
    for asked, sentence in (
        (Asked(tmp_path, "reid_model-200.ckpt"), "there is no reid_model-200.ckpt: "),
        (Asked(tmp_path, str(tmp_path / "m7")), "there is no .*m7: name one that exists, such as .*m0"),
        (Asked(tmp_path, "objj"), "^objj is neither obj nor a checkpoint: "),
        (Asked(tmp_path, str(id_model)), "is an ID model"),
        (Asked(tmp_path, whole, **pictures), "no folder .*gone: name one that holds pictures"),
        (Asked(tmp_path, whole, pictures=str(broken.parent)), "broken.jpg can't be decoded"),
        (Asked(tmp_path, whole, image_size=[128, 64]), "trained at 64x32"),
    ):
        with pytest.raises(InputError, match=sentence):
            pipeline.main(asked)
    Path(f"{whole}.threshold.json").write_text("{")
    with pytest.raises(InputError, match="threshold.json can't be read"):
        pipeline.main(Asked(tmp_path, whole))
    assert not (tmp_path / "frozen").exists()


def test_int8_without_pictures_is_refused_before_anything_is_replaced(checkpoint, monkeypatch):
    monkeypatch.setattr(trt, "probe", lambda: {"version": "8.5.2", "reason": "", "capability": [8, 7]})
    asked = Asked(Path("nowhere"), checkpoint[0], engine="auto", precision="INT8")
    with pytest.raises(InputError, match="INT8 needs pictures of people"):
        pipeline.check_reid(asked)
    asked.precision = "FP16"
    pipeline.check_reid(asked)


def test_a_precision_that_was_not_asked_for_is_not_missed(tmp_path, capsys):
    parity = {"of": "cosine", "min": 1.0, "mean": 1.0, "pictures": 1, "pictures_from": "here"}
    manifest = {"engine": "tensorflow", "precision": "FP32", "reason": "", "inputs": {}, "parity": parity}
    for asked, said in ((None, False), ("FP32", False), ("FP16", True)):
        pipeline.report("obj", tmp_path, manifest, 0, asked)
        assert ("--precision=FP16 needs TensorRT and was not applied" in capsys.readouterr().out) == said


@pytest.mark.parametrize("words", [["obj", "a.ckpt", "b.ckpt"], ["obj", "obj"], ["--batch=0"], ["--precision=INT4"]])
def test_command_lines_that_are_none(words):
    assert refusal(run("pipeline.py", *words)).startswith("pipeline.py: error: ")
