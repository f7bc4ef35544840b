"""The steps of train_reid.py alone: mining, the order of a batch, a new embedding layer, a collapse."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import train_id
import train_reid
from utils import checkpoint, dataset, mining, resnet
from utils.training.run import Run


def test_mined_triplets_reach_the_network_in_their_order(tiny_set):
    args = train_reid.parse_args(["--batch_size=3", "--k=2", "--flip=False", "--pad_crop=0", "--erase=0"])
    args.image_size = [32, 32]
    paths = np.array(sorted(str(path) for path in Path(tiny_set, "bounding_box_train").iterdir()))
    embeddings = np.random.default_rng(0).normal(size=(len(paths), 4))
    triplets = mining.mine_triplets(embeddings, np.arange(len(paths)) // 6, 6, 2, np.random.default_rng(1))
    batches = list(train_reid.triplet_batches(paths, triplets, args, seed=0))
    assert len(batches) == 2
    unchanged = dict(flip=False, pad_crop=0, erase=0)
    for number, batch in enumerate(batches):
        for role in range(3):
            for place in range(3):
                path = paths[triplets[role][number * 3 + place]]
                expected = dataset.training_batches([path], [0], (32, 32), 1, 0, unchanged, shuffle=False)
                np.testing.assert_array_equal(batch[role * 3 + place], next(iter(expected))[0][0])


def test_a_new_embedding_layer_starts_centred(tiny_set):
    paths = np.array(sorted(str(path) for path in Path(tiny_set, "bounding_box_train").iterdir()))
    args = train_reid.parse_args(["--num_images=1000"])
    args.image_size = [64, 32]
    net = resnet.build_embedding_net(args.image_size, 0.125, 512)
    before_norm = tf.keras.Model(net.input, net.get_layer(resnet.EMBEDDING_LAYER).output)
    train_reid.centre_embedding(net, paths, args)
    vectors = before_norm(np.stack([dataset.decode_and_resize(path, args.image_size) for path in paths])).numpy()
    assert np.abs(vectors.mean(axis=0)).max() < 0.05 * np.abs(vectors).max()


def test_mining_returns_places_in_the_training_set_and_not_in_the_pool(tiny_set):
    paths = np.array(sorted(str(path) for path in Path(tiny_set, "bounding_box_train").iterdir()))
    identities = np.array([int(Path(path).name[:4]) for path in paths])
    args = train_reid.parse_args(["--batch_size=6", "--k=5", "--num_images=25"])
    args.image_size = [32, 32]
    picture_means = tf.function(
        lambda images: tf.math.l2_normalize(tf.reduce_mean(tf.cast(images, tf.float32), (1, 2)), -1)
    )
    train_set = (paths, identities, None)
    (anchors, positives, negatives), figures, picture = train_reid.mine(
        picture_means, train_set, args, np.random.default_rng(0)
    )
    assert len(anchors) == 30 and (anchors != positives).all()
    assert (identities[anchors] == identities[positives]).all() and (identities[anchors] != identities[negatives]).all()
    assert max(anchors.max(), negatives.max()) >= 25 and 0 <= figures["embedding_spread"] <= 1
    assert picture.ndim == 3 and picture.dtype == np.uint8


def test_a_collapse_is_said_in_words(capsys):
    train_reid.warn_of_collapse(spread=0.2, active=1.0, step=5)
    train_reid.warn_of_collapse(spread=0.001, active=0.1, step=5)
    assert capsys.readouterr().out == ""
    train_reid.warn_of_collapse(spread=0.001, active=0.99, step=5)
    assert "step 5: the embeddings are collapsing" in capsys.readouterr().out


@pytest.mark.parametrize("left_out, taken", [(7, 7), (2, 2), (1, 50), (0, 50)])
def test_validation_is_done_on_those_that_the_id_model_left_out_or_on_fifty(tmp_path, monkeypatch, left_out, taken):
    before = {"image_size": [64, 32], "width": 0.125, "val_identities": left_out, "seed": 3}
    monkeypatch.setattr(checkpoint, "read_shape", lambda prefix: before)
    (tmp_path / "model.ckpt-1.index").touch()
    args = train_reid.parse_args([f"--id_model={tmp_path}/model.ckpt-1"])
    train_reid.inherit(args, Run(tmp_path, "reid", checkpoint.REID_PATTERN, vars(args), 1))
    assert args.val_identities == taken and args.split_seed == 3


@pytest.mark.parametrize("left_out, identities, said", [(50, 751, ""), (0, 751, ""), (0, 8, "2"), (1, 40, "10")])
def test_the_line_to_run_after_train_id_names_val_identities_where_it_must(left_out, identities, said):
    assert train_id.of_reid(left_out, identities) == (f" --val_identities={said}" if said else "")
