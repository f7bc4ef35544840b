"""Checkpoints: what is written is what is read, and nothing half-written or unfitting is ever taken."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from utils import checkpoint, resnet
from utils.checkpoint_paths import find_checkpoint, newest_checkpoint
from utils.errors import InputError

SIZE = (64, 32)
PICTURES = np.random.default_rng(0).integers(0, 256, (3, *SIZE, 3), dtype=np.uint8)


def embedding_net(width=0.125, embedding_size=32):
    return resnet.build_embedding_net(SIZE, width, embedding_size)


@pytest.fixture
def saved(tmp_path):
    """A re-id checkpoint with its args.json, and the network that wrote it."""
    net = embedding_net()
    prefix = str(tmp_path / "reid_model-200.ckpt")
    checkpoint.save_weights(net, prefix, {"image_size": list(SIZE), "width": 0.125, "embedding_size": 32, "step": 200})
    return prefix, net


def test_all_that_a_checkpoint_needs_carries_its_prefix(saved, tmp_path):
    prefix, net = saved
    suffixes = [".data-00000-of-00001", ".index", ".json"]
    assert sorted(os.listdir(tmp_path)) == [f"reid_model-200.ckpt{suffix}" for suffix in suffixes]
    loaded, args = checkpoint.load_embedding_net(prefix)
    assert args["image_size"] == list(SIZE) and args["width"] == 0.125 and args["embedding_size"] == 32
    np.testing.assert_array_equal(loaded(PICTURES), net(PICTURES))


def test_keys_are_layer_and_weight_and_nothing_else(saved):
    prefix, net = saved
    stored = checkpoint.read_weights(prefix)
    assert {"conv1_conv/kernel", "conv1_bn/moving_mean", "conv5_block3_3_bn/gamma", "embedding/bias"} <= set(stored)
    assert len(stored) == len(net.weights)


def test_without_its_json_a_checkpoint_needs_the_image_size_and_nothing_else(saved, tmp_path):
    prefix, net = saved
    os.unlink(f"{prefix}.json")
    with pytest.raises(InputError, match="reid_model-200.ckpt.json beside the checkpoint: copy it too.*image_size"):
        checkpoint.load_embedding_net(prefix)
    loaded, args = checkpoint.load_embedding_net(prefix + ".index", image_size=SIZE)
    assert args == {"image_size": list(SIZE), "width": 0.125, "embedding_size": 32}
    np.testing.assert_array_equal(loaded(PICTURES), net(PICTURES))


def test_another_image_size_than_trained_is_refused(saved):
    with pytest.raises(InputError, match="trained at 64x32 pixels, not 128x64"):
        checkpoint.load_net(saved[0], image_size=(128, 64))


@pytest.mark.parametrize("other, reason", [
    (lambda: embedding_net(width=0.25), "does not fit: conv1_conv/kernel is 7x7x3x8 there and 7x7x3x16 here"),
    (lambda: embedding_net(embedding_size=48), "does not fit: embedding/kernel"),
    (lambda: resnet.build_id_net(5, SIZE, 0.125), "has no weight logits/kernel"),
])  # fmt: skip
def test_what_does_not_fit_is_refused_and_changes_nothing(saved, other, reason):
    net = other()
    before = [weight.copy() for weight in net.get_weights()]
    with pytest.raises(InputError, match=reason):
        checkpoint.load_weights(net, saved[0])
    for old, new in zip(before, net.get_weights()):
        np.testing.assert_array_equal(old, new)


def test_the_convolutions_alone_go_into_another_head(saved):
    prefix, net = saved
    id_net = resnet.build_id_net(5, SIZE, 0.125)
    head = id_net.get_layer(resnet.ID_LAYER).get_weights()[0]
    checkpoint.load_backbone(id_net, prefix)
    ours, theirs = (network.get_layer("conv4_block2_2_conv").get_weights()[0] for network in (id_net, net))
    np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(id_net.get_layer(resnet.ID_LAYER).get_weights()[0], head)


def test_an_id_checkpoint_embeds_with_its_pooled_features_but_is_no_reid_model(tmp_path):
    id_net = resnet.build_id_net(5, SIZE, 0.125)
    prefix = str(tmp_path / "model.ckpt-7")
    checkpoint.save_weights(id_net, prefix)
    net, _ = checkpoint.load_net(prefix, SIZE)
    pooled = tf.keras.Model(id_net.input, id_net.get_layer(resnet.POOL_LAYER).output)(PICTURES).numpy()
    np.testing.assert_allclose(net(PICTURES), pooled / np.linalg.norm(pooled, axis=1, keepdims=True), atol=1e-6)
    with pytest.raises(InputError, match="is an ID model"):
        checkpoint.load_embedding_net(prefix, SIZE)


def test_untrained_means_random_weights_in_the_same_shape(saved):
    net, _ = checkpoint.load_net(saved[0], untrained=True)
    assert net.output_shape == (None, 32)
    assert not np.allclose(net(PICTURES), saved[1](PICTURES))


def test_missing_damaged_and_foreign_checkpoints_are_refused(saved, tmp_path):
    with pytest.raises(InputError, match="there is no .*-300.ckpt: name a checkpoint that exists"):
        checkpoint.load_net(tmp_path / "reid_model-300.ckpt")
    tf.train.Checkpoint(v=tf.Variable(1.0)).write(str(tmp_path / "foreign.ckpt"))
    with pytest.raises(InputError, match="not written by the training scripts of this project"):
        checkpoint.load_net(tmp_path / "foreign.ckpt")
    data = tmp_path / "reid_model-200.ckpt.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:1000])
    with pytest.raises(InputError, match="cannot be read.*copy both of its files again"):
        checkpoint.load_net(saved[0])
    index = tmp_path / "reid_model-200.ckpt.index"
    index.rename(tmp_path / "kept")
    with pytest.raises(InputError, match="reid_model-200.ckpt lacks its reid_model-200.ckpt.index: copy both"):
        checkpoint.load_net(saved[0])
    (tmp_path / "kept").rename(index)
    data.unlink()
    with pytest.raises(InputError, match="cannot be read"):
        checkpoint.load_net(saved[0])


def test_broken_args_are_named(saved, tmp_path):
    (tmp_path / "reid_model-200.ckpt.json").write_text('{"image_size": [64, ')
    with pytest.raises(InputError, match="reid_model-200.ckpt.json is not valid JSON"):
        checkpoint.load_net(saved[0])


def test_args_json_of_the_run_serves_where_the_checkpoint_has_none_of_its_own(saved, tmp_path):
    os.rename(f"{saved[0]}.json", tmp_path / "args.json")
    assert checkpoint.load_net(saved[0])[1]["image_size"] == list(SIZE)


def test_a_write_that_fails_leaves_the_old_checkpoint_alone(saved, tmp_path, monkeypatch):
    prefix, net = saved
    before = checkpoint.read_weights(prefix)
    names = sorted(os.listdir(tmp_path))
    monkeypatch.setattr(tf.train.Checkpoint, "write", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(InputError, match="reid_model-200.ckpt cannot be written .disk full"):
        checkpoint.save_weights(embedding_net(), prefix)
    assert sorted(os.listdir(tmp_path)) == names
    np.testing.assert_array_equal(checkpoint.read_weights(prefix)["embedding/kernel"], before["embedding/kernel"])


def test_only_whole_checkpoints_are_found(tmp_path):
    whole = ("reid_model-20.ckpt.index", "reid_model-100.ckpt.index", "model.ckpt-7.index", "training_state-9.index")
    half = ("reid_model-300.ckpt.data-00000-of-00001", "half-written-1-reid_model-400.ckpt.index")
    for name in whole + half:
        (tmp_path / name).touch()
    assert checkpoint.steps_in(tmp_path, checkpoint.REID_PATTERN) == [20, 100]
    assert checkpoint.steps_in(tmp_path, checkpoint.ID_PATTERN) == [7]


def test_the_newest_of_all_runs_is_found_by_its_time(tmp_path):
    for time, run, step in ((100, "m0", 900), (300, "m1", 200), (200, "m1", 400)):
        (tmp_path / run).mkdir(exist_ok=True)
        path = tmp_path / run / f"reid_model-{step}.ckpt.index"
        path.touch()
        os.utime(path, (time, time))
    assert newest_checkpoint(tmp_path) == str(tmp_path / "m1" / "reid_model-200.ckpt")
    with pytest.raises(InputError, match="no checkpoint model.ckpt-<step> .*train_id.sh"):
        newest_checkpoint(tmp_path, checkpoint.ID_PATTERN)


def lay(*names):
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(f"{name}.index").touch()


def refused(path, pattern=""):
    with pytest.raises(InputError) as error:
        find_checkpoint(path, pattern)
    return str(error.value)


def test_a_name_that_is_not_there_is_answered_by_what_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    to_train = "train one first (bash train_id.sh{}), or name a checkpoint or run folder that exists"
    assert refused("models/id/m9", checkpoint.ID_PATTERN) == f"there is no models/id/m9: {to_train.format('')}"
    assert refused("x.ckpt") == f"there is no x.ckpt: {to_train.format(', then bash train_reid.sh')}"
    (tmp_path / "film.mp4").touch()
    assert refused("film.mp4").startswith("film.mp4 is no checkpoint: train one")
    lay("models/quick_run/reid/m0/reid_model-700.ckpt", "models/quick_run/reid/m0/training_state-700")
    quick = "name one that exists, such as models/quick_run/reid/m0"
    assert refused("reid_model-200.ckpt") == f"there is no reid_model-200.ckpt: {quick}"
    wrong = "models/quick_run/reid/m0/reid_model-5.ckpt"
    assert refused(wrong) == f"there is no {wrong}: {quick}/reid_model-700.ckpt"
    lay(*(f"models/id/m{number}/model.ckpt-{number}" for number in range(2, 12)), "models/id/mine/foreign")
    latest = "name one that exists, such as " + ", ".join(f"models/id/m{number}" for number in range(7, 12))
    for pattern in (checkpoint.ID_PATTERN, ""):
        assert refused("models/id/m99", pattern) == f"there is no models/id/m99: {latest}"


def test_where_nothing_but_the_quick_run_was_trained_its_run_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models/reid").mkdir(parents=True)
    lay("models/quick_run/reid/m0/training_state-700")
    with pytest.raises(InputError, match="bash train_reid.sh, or name its path$"):
        newest_checkpoint()
    lay("models/quick_run/reid/m0/reid_model-700.ckpt")
    with pytest.raises(InputError, match="or name its path; the quick run wrote models/quick_run/reid/m0$"):
        newest_checkpoint()


def test_a_run_folder_means_its_suggested_checkpoint(tmp_path):
    for step in (10, 20, 30):
        (tmp_path / f"model.ckpt-{step}.index").touch()
    assert find_checkpoint(tmp_path / "model.ckpt-10.index") == str(tmp_path / "model.ckpt-10")
    validation = {"suggested": {"step": 20, "checkpoint": "model.ckpt-20"}, "history": []}
    (tmp_path / "validation.json").write_text(json.dumps(validation))
    assert find_checkpoint(tmp_path) == str(tmp_path / "model.ckpt-20")
    (tmp_path / "model.ckpt-20.index").unlink()
    os.utime(tmp_path / "model.ckpt-30.index", (2e9, 2e9))
    assert find_checkpoint(tmp_path) == str(tmp_path / "model.ckpt-30")
