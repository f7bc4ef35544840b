"""pipeline.py as a user runs it, on a stand-in detector and an untrained net."""

import json
import re
import shutil
from pathlib import Path

import pytest

import pipeline
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
    done = run(*command, "--batch=3", "--images", tiny_set, "--precision=INT8")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"device: {device_name()}")
    for kind in ("obj", "reid"):
        manifest = json.loads((tmp_path / "frozen" / kind / "manifest.json").read_text())
        assert manifest["kind"] == kind
        said = [line for line in done.stdout.splitlines() if line.startswith(f"{kind}: ")]
        engine = {"tensorflow": "a frozen TensorFlow graph", "tf-trt": "TF-TRT"}[manifest["engine"]]
        assert f"{kind}: {engine}, {manifest['precision']} ({manifest['reason']})" in said[1]  # which, and why
        assert said[-1].startswith(f"{kind}: {tmp_path / 'frozen' / kind} is ready")
    assert manifest["batch"] == 3 and manifest["parity"]["min"] > 0.9999 and manifest["parity"]["images"] == 39
    source = f"{tiny_set}/bounding_box_query and {tiny_set}/bounding_box_test, seed 0"
    assert manifest["parity"]["images_from"] == source and f"39 images ({source})" in done.stdout
    refused = f"{kind}: --precision=INT8 needs TensorRT and was not applied: this is FP32\n"
    assert (refused in done.stdout) == (manifest["engine"] == "tensorflow")
    assert f"min {manifest['parity']['min']:.6f}" in done.stdout


def test_find_people_prefers_the_training_set_where_it_is_there(tmp_path, tiny_set):
    checkpoint, _ = write_checkpoint(tmp_path / "m0")
    args = pipeline.parse_args([checkpoint])
    settings = json.loads((tmp_path / "m0/args.json").read_text())
    for data_dir, source in ((tiny_set, f"{tiny_set}/bounding_box_query"), (str(tmp_path / "gone"), "drawn people")):
        (tmp_path / "m0/args.json").write_text(json.dumps({**settings, "data_dir": data_dir}))
        assert pipeline.find_people(args, checkpoint).source.startswith(source)
    args = pipeline.parse_args([checkpoint, "--images", f"{tiny_set}/bounding_box_train"])
    assert pipeline.find_people(args, checkpoint).source == f"{tiny_set}/bounding_box_train, seed 0"


def test_what_is_missing_is_said_for_both(tmp_path):
    done = run(
        "pipeline.py", "obj", tmp_path / "gone.ckpt", "--detector", tmp_path / "gone", "--output", tmp_path / "f"
    )
    sentence = refusal(done)
    assert f"there is no detector in {tmp_path / 'gone'}: run bash setup.sh detector" in sentence
    assert f"there is no {tmp_path / 'gone.ckpt'}: " in sentence
    assert not (tmp_path / "f").exists()


def test_a_refused_command_replaces_nothing(checkpoint, tmp_path, monkeypatch):
    (tmp_path / "zoo").mkdir()
    (tmp_path / "zoo" / "saved_model.pb").touch()  # all that is checked before the work
    monkeypatch.setattr(pipeline, "freeze_detector", lambda *_, **__: pytest.fail("the detector is frozen"))
    broken = tmp_path / "people" / "broken.jpg"
    broken.parent.mkdir()
    broken.write_bytes(b"no image")
    id_model = tmp_path / "model.ckpt-7"
    save_weights(build_id_net(5, (64, 32), 0.125), id_model, {"image_size": [64, 32]})
    whole = str(tmp_path / "m0" / "reid_model-1.ckpt")
    shutil.copytree(Path(checkpoint[0]).parent, tmp_path / "m0")

    def refused(prefix, *options):
        places = ["--output", str(tmp_path / "frozen"), "--detector", str(tmp_path / "zoo"), "--engine=tensorflow"]
        with pytest.raises(InputError) as error:
            pipeline.main(pipeline.parse_args(["obj", str(prefix), *places, *options]))
        return str(error.value)

    assert "there is no reid_model-200.ckpt: " in refused("reid_model-200.ckpt")
    assert re.search("there is no .*m7: name one that exists, such as .*m0", refused(tmp_path / "m7"))
    assert refused("objj").startswith("objj is neither obj nor a checkpoint: ")
    assert "is an ID model" in refused(id_model)
    assert f"there is no folder {tmp_path / 'gone'}" in refused(whole, f"--images={tmp_path / 'gone'}")
    assert "broken.jpg cannot be decoded" in refused(whole, f"--images={broken.parent}")
    assert "trained at 64x32" in refused(whole, "--image_size=128x64")
    Path(f"{whole}.threshold.json").write_text("{")
    assert "threshold.json cannot be read" in refused(whole)
    assert not (tmp_path / "frozen").exists()


def test_find_reid_refuses_int8_without_images(checkpoint, monkeypatch):
    monkeypatch.setattr(trt, "probe", lambda: {"version": "8.5.2", "reason": "", "capability": [8, 7]})
    with pytest.raises(InputError, match="INT8 needs images of people"):
        pipeline.find_reid(pipeline.parse_args([checkpoint[0], "--precision=INT8"]))
    assert pipeline.find_reid(pipeline.parse_args([checkpoint[0]])).checkpoint == checkpoint[0]


def test_old_option_names_still_work():
    args = pipeline.parse_args(["--pictures=people", "--calibration_pictures=7"])
    assert (args.images, args.calibration_images) == ("people", 7)


def test_report_names_a_precision_that_was_not_applied(tmp_path, capsys):
    parity = {"measure": "cosine", "min": 1.0, "mean": 1.0, "images": 1, "images_from": "here"}
    manifest = {"engine": "tensorflow", "precision": "FP32", "reason": "", "inputs": {}, "parity": parity}
    for asked, printed in ((None, False), ("FP32", False), ("FP16", True)):
        pipeline.report("obj", tmp_path, manifest, asked, 0)
        assert ("--precision=FP16 needs TensorRT and was not applied" in capsys.readouterr().out) == printed


@pytest.mark.parametrize("words", [["obj", "a.ckpt", "b.ckpt"], ["obj", "obj"], ["--batch=0"], ["--precision=INT4"]])
def test_command_lines_that_are_none(words):
    assert refusal(run("pipeline.py", *words)).startswith("pipeline.py: error: ")
