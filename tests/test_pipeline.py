"""pipeline.py with a fake detector and an untrained net."""

import json
import re
import shutil
from pathlib import Path

import pytest

import pipeline
from tests.fakes import noise, write_tf1_detector
from utils.checkpoint import save_weights
from utils.deploy import trt
from utils.deploy.reid_net import Embedder
from utils.device import device_name
from utils.errors import InputError
from utils.resnet import build_id_net

NO_TENSORRT = {"version": None, "reason": "none in this test", "capability": None}


@pytest.fixture(autouse=True)
def no_tensorrt(monkeypatch):
    monkeypatch.setattr(trt, "probe", lambda: NO_TENSORRT)


def pipeline_main(*words):
    pipeline.main(pipeline.parse_args([str(word) for word in words]))


def test_main_freezes_both(checkpoint, tmp_path, tiny_set, capsys):
    write_tf1_detector(tmp_path / "zoo")
    places = ("--detector", tmp_path / "zoo", "--output", tmp_path / "frozen")
    pipeline_main("obj", checkpoint[0], *places, "--batch=1", "--images", tiny_set, "--precision=INT8")
    printed = capsys.readouterr().out
    assert printed.startswith(f"device: {device_name()}")
    for kind in ("obj", "reid"):
        manifest = json.loads((tmp_path / "frozen" / kind / "manifest.json").read_text())
        assert (manifest["kind"], manifest["engine"], manifest["reason"]) == (kind, "tensorflow", "none in this test")
        lines = [line for line in printed.splitlines() if line.startswith(f"{kind}: ")]
        assert f"{kind}: a frozen TensorFlow graph, FP32 (none in this test)" in lines[1]
        assert f"{kind}: --precision=INT8 needs TensorRT and was not applied: this is FP32" in lines
        assert lines[-1].startswith(f"{kind}: {tmp_path / 'frozen' / kind} is ready")
    source = f"{tiny_set}/bounding_box_query and {tiny_set}/bounding_box_test, seed 0"
    assert manifest["batches"] == [1]
    assert Embedder(tmp_path / "frozen" / "reid").embed(noise((64, 32))).shape == (5, 32)
    assert manifest["parity"]["min"] > 0.9999
    assert (manifest["parity"]["images"], manifest["parity"]["images_from"]) == (39, source)
    assert f"min {manifest['parity']['min']:.6f}, mean" in printed and f"39 images ({source})" in printed


def test_find_people_prefers_the_training_set_if_it_is_there(tmp_path, tiny_set):
    checkpoint = str(tmp_path / "reid_model-1.ckpt")
    args = pipeline.parse_args([checkpoint])
    gone = str(tmp_path / "gone")
    queries = f"{tiny_set}/bounding_box_query"
    several = ([gone, tiny_set], queries)  # trained on several sets: the first that is there
    for data_dir, source in ((tiny_set, queries), (gone, "drawn people"), several):
        (tmp_path / "args.json").write_text(json.dumps({"data_dir": data_dir}))
        assert pipeline.find_people(args, checkpoint).source.startswith(source)
    args = pipeline.parse_args([checkpoint, "--images", f"{tiny_set}/bounding_box_train"])
    assert pipeline.find_people(args, checkpoint).source == f"{tiny_set}/bounding_box_train, seed 0"


def test_main_names_everything_that_is_missing(tmp_path):
    gone = tmp_path / "gone"
    with pytest.raises(InputError) as error:
        pipeline_main("obj", f"{gone}.ckpt", "--detector", gone, "--output", tmp_path / "frozen")
    sentence = str(error.value)
    assert f"there is no detector in {gone}: run bash setup.sh detector" in sentence
    assert f"; and there is no {gone}.ckpt: " in sentence
    assert not (tmp_path / "frozen").exists()


def test_main_goes_on_after_a_part_that_failed(tmp_path, monkeypatch):
    (tmp_path / "saved_model.pb").touch()
    frozen = []
    monkeypatch.setattr(pipeline, "find_reid", lambda args: "source")
    monkeypatch.setattr(pipeline, "prepare_reid", lambda args, reid: frozen.append(reid))
    with pytest.raises(InputError, match=f"^{tmp_path} cannot be loaded by TensorFlow"):
        pipeline_main("--detector", tmp_path, "--output", tmp_path / "frozen")
    assert frozen == ["source"]


def test_main_replaces_nothing_if_an_argument_is_wrong(checkpoint, tmp_path, monkeypatch):
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
        with pytest.raises(InputError) as error:
            pipeline_main("obj", prefix, "--output", tmp_path / "frozen", "--detector", tmp_path / "zoo", *options)
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


@pytest.mark.parametrize(
    "words, sentence",
    [
        (["obj", "a.ckpt", "b.ckpt"], "name 'obj', one re-id checkpoint, or both"),
        (["obj", "obj"], "name 'obj', one re-id checkpoint, or both"),
        (["obj", "--engine=tensorrt"], "--engine tensorrt is not for obj"),
        (["--batch=0"], "--batch: 0 is not a whole number above 0"),
        (["--precision=INT4"], "--precision: invalid choice: 'INT4'"),
    ],
)
def test_parse_args_refuses(words, sentence, capsys):
    with pytest.raises(SystemExit) as ended:
        pipeline.parse_args(words)
    assert ended.value.code == 2 and sentence in capsys.readouterr().err
