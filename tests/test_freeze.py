"""Frozen models return what the unfrozen ones do, describe themselves, and replace an old one only when complete."""

import hashlib
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from tests.fakes import noise, picture, write_tf1_detector, write_tf2_detector
from utils.deploy import freeze, reid_net, saved_model, trt
from utils.deploy import manifest as manifests
from utils.deploy.detector import Detector
from utils.deploy.freeze import FreezeOptions, freeze_detector, freeze_reid
from utils.deploy.reid_net import Embedder
from utils.device import device_name
from utils.errors import InputError

SIZE = (64, 32)
FRAMES = [picture([(30, 45, 90, 55)]), picture([(10, 102, 100, 118), (30, 45, 90, 55)]), picture([])]
NO_TENSORRT = {"version": None, "reason": "none in this test", "capability": None}


@pytest.fixture(autouse=True)
def no_tensorrt(monkeypatch):
    monkeypatch.setattr(trt, "probe", lambda: NO_TENSORRT)


@pytest.fixture(scope="module")
def reid(checkpoint, tmp_path_factory):
    """A frozen re-id net of batch 4 and the manifest that freezing returned."""
    folder = tmp_path_factory.mktemp("frozen") / "reid"
    return folder, freeze_reid(checkpoint[0], folder, noise, batch=4, options=FreezeOptions(engine="tensorflow"))


def test_the_fingerprint_is_that_of_the_weights_and_the_image_size(checkpoint, reid, tmp_path):
    """Not of the folder, the engine or the batch; a manifest of an earlier version does without the weights."""
    folder, manifest = reid
    weights = hashlib.sha256((folder.parent / f"{checkpoint[0]}.data-00000-of-00001").read_bytes()).hexdigest()
    assert manifest["source"]["sha256"] == weights
    own = manifests.fingerprint(folder, manifest)
    assert len(own) == 16 and set(own) <= set("0123456789abcdef")
    elsewhere = {**manifest, "engine": "tensorrt", "precision": "FP16", "batches": [8]}
    assert manifests.fingerprint(tmp_path, elsewhere) == own
    changes = ({"source": {"sha256": "0" * 64}}, {"image_size": [32, 64]}, {"preprocessing": {"channels": "BGR"}})
    assert len({own, *(manifests.fingerprint(folder, {**manifest, **change}) for change in changes)}) == 4
    old = {**manifest, "source": {"checkpoint": "x"}}
    before = manifests.fingerprint(folder, old)
    shutil.copy(folder / "saved_model.pb", tmp_path)
    assert manifests.fingerprint(tmp_path, old) == before
    with open(tmp_path / "saved_model.pb", "ab") as file:
        file.write(b"x")
    assert manifests.fingerprint(tmp_path, old) != before


def test_embed_equals_the_trained_net(checkpoint, reid):
    images = np.random.default_rng(2).integers(0, 256, (11, *SIZE, 3), dtype=np.uint8)  # two full batches and a part
    embedder = Embedder(reid[0])
    embeddings = embedder.embed(images)
    np.testing.assert_allclose(embeddings, checkpoint[1](images, training=False).numpy(), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)
    assert embedder.embed(images[:0]).shape == (0, 32)
    with pytest.raises(AssertionError):
        embedder.embed(images.astype(np.float32))


@pytest.mark.parametrize(
    "seconds",
    [
        {1: 1.001, 2: 1.002, 4: 1.004},  # before they are measured
        {1: 1.0, 2: 1.9, 4: 4.2},  # as on a CPU
        {1: 1.0, 2: 1.1, 4: 1.5},  # as on a GPU
        {1: 3.0, 2: 1.0, 4: 1.5},
        {3: 1.0},
    ],
)
def test_cheapest_batches_against_all_ways(seconds):
    for count in range(10):
        ways = [()]
        for _ in range(count):
            ways += [(*way, size) for way in ways if sum(way) < count for size in seconds]
        cost = min(sum(seconds[size] for size in way) for way in ways if sum(way) >= count)
        chosen = reid_net.cheapest_batches(count, seconds)
        assert sum(chosen) >= count and sum(seconds[size] for size in chosen) == pytest.approx(cost)
    assert reid_net.cheapest_batches(5, {1: 1.001, 2: 1.002, 4: 1.004}) == [4, 1]


def test_embed_takes_the_batches_that_fit(checkpoint, reid, monkeypatch):
    embedder = Embedder(reid[0])
    assert embedder.batches == [1, 2, 4]
    images = noise(SIZE)
    wanted = checkpoint[1](images, training=False)
    for batch in embedder.batches:
        np.testing.assert_allclose(embedder.embed_by(batch, images), wanted, atol=1e-5)
    clock = iter([0.0, 1.0, 10.0, 11.9, 20.0, 24.2])  # one image takes 1 s, two 1.9 s, four 4.2 s
    monkeypatch.setattr(reid_net.time, "perf_counter", lambda: next(clock))
    embedder.warm_up()
    runs = []
    run = embedder._run
    monkeypatch.setattr(embedder, "_run", lambda some, batch: runs.append((len(some), batch)) or run(some, batch))
    np.testing.assert_allclose(embedder.embed(images), wanted, atol=1e-5)
    assert runs == [(2, 2), (2, 2), (1, 1)]


def test_embed_with_a_manifest_of_an_older_version(checkpoint, reid, tmp_path):
    """Its manifest has other names for its second signature and for what was measured."""
    shutil.copytree(reid[0], tmp_path / "reid")
    old = {key: value for key, value in reid[1].items() if key != "batches"}
    old.update(batch=4, few={"batch": 1}, seconds={"serving_default": 0.01, "few": 0.004})
    old["parity"] = {"of": "cosine", "min": 1.0, "mean": 1.0, "pictures": 5, "bound": 0.99, "pictures_from": "here"}
    manifests.write_manifest(tmp_path / "reid", old)
    images = np.random.default_rng(2).integers(0, 256, (5, *SIZE, 3), dtype=np.uint8)
    embedder = Embedder(tmp_path / "reid")
    assert embedder.batches == [4]
    embeddings = embedder.embed(images)
    np.testing.assert_allclose(embeddings, checkpoint[1](images, training=False).numpy(), atol=1e-5)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"image_size": [128, 64]}, "does not have the fixed input that its manifest.json describes"),
        ({"colour_order": "BGR"}, "takes BGR images, but this version passes RGB"),
        ({"inputs": {"images": {"shape": [4, 128, 64, 3], "dtype": "uint8"}}}, "does not hold the model that its"),
        ({"batches": [3, 4]}, "does not take the batches that its manifest.json describes"),
    ],
)
def test_embedder_refuses_a_manifest_that_does_not_fit(reid, tmp_path, change, words):
    shutil.copytree(reid[0], tmp_path / "reid")
    manifests.write_manifest(tmp_path / "reid", {**reid[1], **change})
    with pytest.raises(InputError, match=f"{words}.*: run python3 pipeline.py here"):
        Embedder(tmp_path / "reid")


def test_freeze_reid_writes_what_was_built_into_the_manifest(checkpoint, reid):
    folder, manifest = reid
    assert manifest == json.loads((folder / "manifest.json").read_text())
    assert manifest["inputs"] == {"images": {"shape": [4, *SIZE, 3], "dtype": "uint8"}}
    assert manifest["outputs"] == {"embeddings": {"shape": [4, 32], "dtype": "float32"}}
    assert (manifest["batches"], manifest["image_size"], manifest["colour_order"]) == ([1, 2, 4], list(SIZE), "RGB")
    assert (manifest["engine"], manifest["precision"], manifest["reason"]) == ("tensorflow", "FP32", "as requested")
    here = {"tensorflow": tf.__version__, "tensorrt": None, "gpu": saved_model.gpu_name(), "device": device_name()}
    assert manifest["built_for"] == here
    assert manifest["source"]["checkpoint"] == checkpoint[0]
    assert 0.99999 < manifest["parity"]["min"] <= manifest["parity"]["mean"] < 1.00001
    assert (manifest["parity"]["images"], manifest["parity"]["bound"]) == (5, {"min": 0.99})


def test_freeze_reid_folds_batchnorm_and_variables(reid):
    model = SavedModel.FromString((reid[0] / "saved_model.pb").read_bytes())
    functions = model.meta_graphs[0].graph_def.library.function
    operations = [node.op for function in functions for node in function.node_def]
    assert "Conv2D" in operations
    assert not [name for name in operations if "BatchNorm" in name or "ReadVariable" in name]


@pytest.mark.parametrize("write, name", [(write_tf1_detector, "inputs"), (write_tf2_detector, "input_tensor")])
def test_freeze_detector_of_both_zoos(write, name, tmp_path):
    write(tmp_path / "zoo" / "saved_model")
    (tmp_path / "zoo" / "source.json").write_text('{"name": "a stand-in"}')
    manifest = freeze_detector(tmp_path / "zoo" / "saved_model", tmp_path / "obj", FRAMES)
    assert list(manifest["inputs"]) == [name] and manifest["kind"] == "obj"
    assert manifest["source"]["note"] == {"name": "a stand-in"}
    assert manifest["parity"]["min"] == 1.0 and manifest["parity"]["boxes"] == 3
    assert manifest["form"] == "zoo" and manifest["not_cut"]
    shutil.rmtree(tmp_path / "zoo")
    detector = Detector(tmp_path / "obj")
    boxes, _ = detector.detect(picture([(20, 62, 70, 78)], size=(100, 240)))
    np.testing.assert_allclose(boxes, [[0.2, 62 / 240, 0.7, 78 / 240]], atol=1e-6)


def test_freeze_detector_with_too_little_parity_replaces_nothing(tmp_path, monkeypatch):
    write_tf2_detector(tmp_path / "zoo")
    target = tmp_path / "frozen" / "obj"
    manifest = freeze_detector(tmp_path / "zoo", target, FRAMES)
    monkeypatch.setattr(freeze, "OVERLAP_BOUND", {"min": 1.1})
    with pytest.raises(InputError, match="smallest overlap .* is 1.0000, below 1.1; nothing was replaced"):
        freeze_detector(tmp_path / "zoo", target, FRAMES)
    assert json.loads((target / "manifest.json").read_text()) == manifest
    assert [path.name for path in target.parent.iterdir()] == ["obj"]  # no temporary folder stays


def test_freeze_detector_to_a_place_that_cannot_be_written(tmp_path):
    write_tf2_detector(tmp_path / "zoo")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file/obj cannot be written"):
        freeze_detector(tmp_path / "zoo", tmp_path / "file" / "obj", FRAMES)
