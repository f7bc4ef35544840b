"""The files of the projector, and a real TensorBoard that serves them and the ranked images of a run it watches."""

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import cv2
import numpy as np
import pytest

import train_reid
from utils import checkpoint
from utils.dataset import LabelledImages, open_split
from utils.errors import InputError
from utils.metrics import LabelledSet
from utils.training import projector
from utils.training.run import Run

SIDE = projector.THUMBNAIL


def write_images(folder, count, size=(96, 48)):
    """Files of one colour each, (paths, colours as RGB)."""
    folder.mkdir()
    colours = np.random.default_rng(0).integers(0, 256, (count, 3))
    paths = [str(folder / f"{number}.png") for number in range(count)]
    for path, colour in zip(paths, colours):
        cv2.imwrite(path, np.full((*size, 3), colour[::-1], np.uint8))
    return paths, colours


def test_write_projector_rows_labels_and_thumbnails_belong_together(tmp_path, monkeypatch):
    monkeypatch.setattr(projector, "MAX_IMAGES", 5)
    paths, colours = write_images(tmp_path / "images", 7)
    identities, cameras = np.array([9, 2, 9, 5, 2, 5, 9]), np.arange(7) + 1
    embeddings = np.random.default_rng(1).normal(size=(7, 3)).astype(np.float32)
    projector.write_projector(tmp_path / "val", embeddings, paths, identities, cameras)
    shown = [1, 4, 3, 5, 0]  # by identity, the first five
    tensor = np.loadtxt(tmp_path / "val" / "embeddings.tsv", delimiter="\t")
    np.testing.assert_allclose(tensor, embeddings[shown], rtol=1e-3)
    labels = [line.split("\t") for line in (tmp_path / "val" / "metadata.tsv").read_text().splitlines()]
    assert labels[0] == ["identity", "camera", "file"]
    assert labels[1:] == [[f"person {identities[i]}", f"camera {cameras[i]}", f"{i}.png"] for i in shown]
    sheet = cv2.imread(str(tmp_path / "val" / "sprite.png"), cv2.IMREAD_UNCHANGED)
    assert sheet.shape == (3 * SIDE, 3 * SIDE, 4)
    for place, number in enumerate(shown):
        top, left = place // 3 * SIDE, place % 3 * SIDE
        thumbnail = sheet[top : top + SIDE, left : left + SIDE]
        assert tuple(thumbnail[SIDE // 2, SIDE // 2]) == (*colours[number][::-1], 255)
        alpha = thumbnail[..., 3]  # an upright image stays upright: half as wide as high
        assert (alpha[:, : SIDE // 4] == 0).all() and (alpha[:, -SIDE // 4 :] == 0).all()
        assert (alpha[:, SIDE // 4 : -SIDE // 4] == 255).all()
    assert (sheet[2 * SIDE :, :, 3] == 0).all()
    assert {path.name for path in (tmp_path / "val").iterdir()} == {
        "embeddings.tsv", "metadata.tsv", "sprite.png", "projector_config.pbtxt"
    }  # fmt: skip


def test_sprite_is_never_larger_than_browsers_show():
    assert np.ceil(np.sqrt(projector.MAX_IMAGES)) * SIDE <= 8192


def test_write_projector_names_a_place_that_cannot_be_written(tmp_path):
    paths, _ = write_images(tmp_path / "images", 2)
    (tmp_path / "val").write_text("a file, no folder")
    with pytest.raises(InputError, match="val cannot be written"):
        projector.write_projector(tmp_path / "val", np.eye(2), paths, np.arange(2), np.arange(2))


@pytest.fixture
def tensorboard(tmp_path):
    """A TensorBoard over tmp_path/models that is up before anything lies there; a function that asks it."""
    (tmp_path / "models").mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tensorboard.main", "--logdir=.", "--host=127.0.0.1", f"--port={port}"]
    process = subprocess.Popen(
        [*command, "--reload_interval=1"], cwd=tmp_path / "models", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )

    def ask(path, **query):
        address = f"http://127.0.0.1:{port}/data/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(address, timeout=20) as answer:
            return answer.read()

    def until(wanted, path):
        ends = time.monotonic() + 90
        while time.monotonic() < ends:
            try:
                if wanted(json.loads(ask(path))):
                    return
            except (urllib.error.URLError, ConnectionError):
                assert process.poll() is None, "TensorBoard ended"
            time.sleep(0.3)
        raise AssertionError(f"TensorBoard's {path} did not become what was expected")

    ask.until = until
    yield ask
    process.terminate()
    process.wait(20)


def test_tensorboard_shows_the_first_validation_of_a_run_it_watches(tensorboard, tiny_set, tmp_path):
    run = Run.new(tmp_path / "models", "reid", checkpoint.REID_PATTERN, {}, keep=1)
    run.log("train", 1, {"loss": 1.0})
    tensorboard.until(lambda runs: runs == ["reid/m0/train"], "runs")
    assert json.loads(tensorboard("plugin/projector/runs")) == []

    data = open_split(tiny_set, "train")
    held_out = LabelledImages(np.array(data.paths), data.identities, data.cameras)
    paths, identities, _ = held_out
    embeddings = np.random.default_rng(0).normal(size=(len(paths), 6)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    train_reid.show_validation(run, 200, LabelledSet(paths, embeddings, *held_out[1:]), seed=0)
    run.log("val", 200, {"mAP": 5.0})

    tensorboard.until(lambda runs: runs == ["reid/m0/val"], "plugin/projector/runs")
    (info,) = json.loads(tensorboard("plugin/projector/info", run="reid/m0/val"))["embeddings"]
    assert info["tensorShape"] == [len(paths), 6] and info["sprite"]["singleImageDim"] == [SIDE, SIDE]
    asked = {"run": "reid/m0/val", "name": info["tensorName"]}
    tensor = np.frombuffer(tensorboard("plugin/projector/tensor", **asked), np.float32).reshape(-1, 6)
    np.testing.assert_allclose(tensor, embeddings[np.argsort(identities, kind="stable")], rtol=1e-3)
    rows = tensorboard("plugin/projector/metadata", **asked).decode().splitlines()
    assert len(rows) == len(paths) + 1 and rows[1].split("\t")[0] == f"person {identities.min()}"
    sprite = cv2.imdecode(np.frombuffer(tensorboard("plugin/projector/sprite_image", **asked), np.uint8), -1)
    assert sprite.shape[0] == SIDE * np.ceil(np.sqrt(len(paths)))

    tensorboard.until(lambda tags: "val/ranked" in tags.get("reid/m0/val", {}), "plugin/images/tags")
    (shown,) = json.loads(tensorboard("plugin/images/images", run="reid/m0/val", tag="val/ranked", sample=0))
    assert shown["step"] == 200
    image = tensorboard("plugin/images/individualImage?" + shown["query"] + "&x=")
    assert cv2.imdecode(np.frombuffer(image, np.uint8), 1).shape[0] > train_reid.SHOWN_QUERIES * 128
