"""Checkpoints: what is written is what is read, and nothing incomplete or unfitting is ever loaded."""

import os

import numpy as np
import pytest
import tensorflow as tf

from utils import checkpoint, resnet
from utils.errors import InputError

SIZE = (64, 32)
IMAGES = np.random.default_rng(0).integers(0, 256, (3, *SIZE, 3), dtype=np.uint8)


def embedding_net(width=0.125, embedding_size=32):
    return resnet.build_embedding_net(SIZE, width, embedding_size)


@pytest.fixture(scope="module")
def trained():
    """A re-id net that no test changes."""
    return embedding_net()


@pytest.fixture
def saved(trained, tmp_path):
    """(prefix, net): a re-id checkpoint with its json, and the net that wrote it."""
    prefix = str(tmp_path / "reid_model-200.ckpt")
    args = {"image_size": list(SIZE), "width": 0.125, "embedding_size": 32, "step": 200}
    checkpoint.save_weights(trained, prefix, args)
    return prefix, trained


def test_everything_a_checkpoint_needs_has_its_prefix(saved, tmp_path):
    prefix, net = saved
    suffixes = [".data-00000-of-00001", ".index", ".json"]
    assert sorted(os.listdir(tmp_path)) == [f"reid_model-200.ckpt{suffix}" for suffix in suffixes]
    loaded, args = checkpoint.load_embedding_net(prefix)
    assert args["image_size"] == list(SIZE) and args["width"] == 0.125 and args["embedding_size"] == 32
    np.testing.assert_array_equal(loaded(IMAGES), net(IMAGES))


def test_keys_are_layer_and_weight(saved):
    prefix, net = saved
    stored = checkpoint.read_weights(prefix)
    assert {"conv1_conv/kernel", "conv1_bn/moving_mean", "conv5_block3_3_bn/gamma", "embedding/bias"} <= set(stored)
    assert len(stored) == len(net.weights) + 2  # and the two facts of the network that no weight shows


def test_without_its_json_a_checkpoint_needs_the_image_size_only(saved, tmp_path):
    prefix, net = saved
    os.unlink(f"{prefix}.json")
    with pytest.raises(InputError, match="there is no .*reid_model-200.ckpt.json beside the checkpoint.*image_size"):
        checkpoint.load_embedding_net(prefix)
    loaded, args = checkpoint.load_embedding_net(prefix + ".index", image_size=SIZE)
    variant = {"last_stride": 2, "pooling": "max", "neck": False}
    assert args == {"image_size": list(SIZE), "width": 0.125, "embedding_size": 32, **variant}
    np.testing.assert_array_equal(loaded(IMAGES), net(IMAGES))


@pytest.mark.parametrize("pooling", resnet.POOLINGS)
def test_the_variant_of_a_network_is_read_from_its_weights(tmp_path, pooling):
    net = resnet.build_embedding_net(SIZE, 0.125, 32, last_stride=1, pooling=pooling, neck=True)
    prefix = str(tmp_path / "reid_model-1.ckpt")
    checkpoint.save_weights(net, prefix)
    loaded, args = checkpoint.load_embedding_net(prefix, image_size=SIZE)
    assert (args["last_stride"], args["pooling"], args["neck"]) == (1, pooling, True)
    np.testing.assert_array_equal(loaded(IMAGES), net(IMAGES))


def test_another_image_size_than_trained_is_refused(saved):
    with pytest.raises(InputError, match="trained at 64x32 pixels, not 128x64"):
        checkpoint.load_net(saved[0], image_size=(128, 64))


@pytest.mark.parametrize("other, reason", [
    (lambda: embedding_net(width=0.25), "does not fit: conv1_conv/kernel is 7x7x3x8 there and 7x7x3x16 here"),
    (lambda: embedding_net(embedding_size=48), "does not fit: embedding/kernel"),
    (lambda: resnet.build_id_net(5, SIZE, 0.125), "has no weight logits/kernel"),
])  # fmt: skip
def test_load_weights_refuses_what_does_not_fit_and_changes_nothing(saved, other, reason):
    net = other()
    before = [weight.copy() for weight in net.get_weights()]
    with pytest.raises(InputError, match=reason):
        checkpoint.load_weights(net, saved[0])
    for old, new in zip(before, net.get_weights()):
        np.testing.assert_array_equal(old, new)


def test_load_backbone_leaves_the_head_alone(saved):
    prefix, net = saved
    id_net = resnet.build_id_net(5, SIZE, 0.125)
    head = id_net.get_layer(resnet.ID_LAYER).get_weights()[0]
    checkpoint.load_backbone(id_net, prefix)
    ours, theirs = (network.get_layer("conv4_block2_2_conv").get_weights()[0] for network in (id_net, net))
    np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(id_net.get_layer(resnet.ID_LAYER).get_weights()[0], head)


def test_load_net_of_an_id_checkpoint_gives_the_pooled_features(tmp_path):
    id_net = resnet.build_id_net(5, SIZE, 0.125)
    prefix = str(tmp_path / "model.ckpt-7")
    checkpoint.save_weights(id_net, prefix)
    net, _ = checkpoint.load_net(prefix, SIZE)
    pooled = tf.keras.Model(id_net.input, id_net.get_layer(resnet.POOL_LAYER).output)(IMAGES).numpy()
    np.testing.assert_allclose(net(IMAGES), pooled / np.linalg.norm(pooled, axis=1, keepdims=True), atol=1e-6)
    with pytest.raises(InputError, match="is an ID model"):
        checkpoint.load_embedding_net(prefix, SIZE)


def test_load_net_untrained_has_random_weights_of_the_same_shapes(saved):
    net, _ = checkpoint.load_net(saved[0], untrained=True)
    assert net.output_shape == (None, 32)
    assert not np.allclose(net(IMAGES), saved[1](IMAGES))


def test_missing_damaged_and_foreign_checkpoints_are_refused(saved, tmp_path):
    with pytest.raises(InputError, match="there is no .*-300.ckpt: name a checkpoint that exists$"):
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


def test_read_args_names_a_broken_file(saved, tmp_path):
    (tmp_path / "reid_model-200.ckpt.json").write_text('{"image_size": [64, ')
    with pytest.raises(InputError, match="reid_model-200.ckpt.json is not valid JSON"):
        checkpoint.load_net(saved[0])


def test_options_of_earlier_versions_get_their_present_names(saved, tmp_path):
    (tmp_path / "reid_model-200.ckpt.json").write_text('{"erase": 0.2, "jitter": 0.1, "pad_crop": 5, "margin": 0.3}')
    expected = {"random_erasing": 0.2, "color_jitter": 0.1, "pad": 5, "margin": 0.3}
    assert checkpoint.read_args(saved[0]) == expected


def test_load_net_reads_the_weights_once(saved, monkeypatch):
    read = []
    original = checkpoint.read_weights
    monkeypatch.setattr(checkpoint, "read_weights", lambda prefix: read.append(prefix) or original(prefix))
    checkpoint.load_net(saved[0])
    assert read == [saved[0]]


def test_args_json_of_the_run_is_read_if_the_checkpoint_has_no_json(saved, tmp_path):
    os.rename(f"{saved[0]}.json", tmp_path / "args.json")
    assert checkpoint.load_net(saved[0])[1]["image_size"] == list(SIZE)


def test_save_weights_that_fails_leaves_the_old_checkpoint_alone(saved, tmp_path, monkeypatch):
    prefix, net = saved
    before = checkpoint.read_weights(prefix)
    names = sorted(os.listdir(tmp_path))
    monkeypatch.setattr(tf.train.Checkpoint, "write", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(InputError, match="reid_model-200.ckpt cannot be written .disk full"):
        checkpoint.save_weights(embedding_net(), prefix)
    assert sorted(os.listdir(tmp_path)) == names
    np.testing.assert_array_equal(checkpoint.read_weights(prefix)["embedding/kernel"], before["embedding/kernel"])


def test_steps_in_finds_complete_checkpoints_only(tmp_path):
    whole = ("reid_model-20.ckpt.index", "reid_model-100.ckpt.index", "model.ckpt-7.index", "training_state-9.index")
    half = ("reid_model-300.ckpt.data-00000-of-00001", "half-written-1-reid_model-400.ckpt.index")
    for name in whole + half:
        (tmp_path / name).touch()
    assert checkpoint.steps_in(tmp_path, checkpoint.REID_PATTERN) == [20, 100]
    assert checkpoint.steps_in(tmp_path, checkpoint.ID_PATTERN) == [7]
