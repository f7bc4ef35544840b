"""The parts of train_reid.py: mined rounds, the order of a batch, a new embedding layer, inherited options."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

import train_id
import train_reid
from utils import dataset, resnet
from utils.dataset import LabelledImages
from utils.errors import InputError
from utils.training.rounds import Mining, mine_round, mined_batches, round_batches

UNCHANGED = {"flip": False, "pad": 0, "random_erasing": 0, "color_jitter": 0}


@pytest.fixture(scope="module")
def train(tiny_set):
    data = dataset.open_split(tiny_set, "train")
    return LabelledImages(np.array(data.paths), data.identities, data.cameras)


def mean_colours(paths) -> np.ndarray:
    """(N, 3) float32 of norm 1, instead of a network."""
    images = np.stack([dataset.decode_and_resize(path, (32, 32)).numpy() for path in paths])
    means = images.mean(axis=(1, 2))
    return means / np.linalg.norm(means, axis=1, keepdims=True)


def test_round_batches_hold_anchors_then_positives_then_negatives(train):
    mining = Mining(num_images=40, sample_num=2, batch_size=3, k=2, seed=1)
    mined = mine_round(mean_colours, train, mining, step=1)
    batches = list(round_batches(mined, train.paths, 3, (32, 32), UNCHANGED))
    assert len(batches) == 2
    for number, batch in enumerate(batches):
        for role in range(3):
            for place in range(3):
                path = train.paths[mined.triplets[role][number * 3 + place]]
                (expected,) = dataset.image_batches([path], (32, 32), 1)
                np.testing.assert_array_equal(batch[role * 3 + place], expected[0])


def test_mine_round_returns_indices_into_the_training_set(train):
    mining = Mining(num_images=25, sample_num=5, batch_size=6, k=5, seed=0)
    mined = mine_round(mean_colours, train, mining, step=11)
    anchors, positives, negatives = mined.triplets
    assert (mined.first_step, mined.last_step) == (11, 15) and len(anchors) == 30 and (anchors != positives).all()
    assert (train.identities[anchors] == train.identities[positives]).all()
    assert (train.identities[anchors] != train.identities[negatives]).all()
    embeddings = mean_colours(train.paths)
    expected = np.sum(embeddings[anchors] * embeddings[positives], axis=1)
    np.testing.assert_allclose(mined.positive_similarity, expected, rtol=1e-5)
    assert max(anchors.max(), negatives.max()) >= 25  # an index into the pool would be smaller
    image = mined.hardest_image(train.paths)
    assert image.ndim == 3 and image.dtype == np.uint8


def test_mine_round_without_a_triplet_names_the_option(train):
    alone = LabelledImages(train.paths[:3], np.arange(3), train.cameras[:3])
    with pytest.raises(InputError, match="no triplet among 3 images .* increase num_images"):
        mine_round(mean_colours, alone, Mining(3, 5, 2, 2, 0), step=1)


def test_mined_batches_mine_every_k_steps_with_the_network_of_that_moment(train):
    """The recipe of the README: mine, train k steps, mine again."""
    events = []

    def embed(paths):
        events.append("mine")
        return mean_colours(paths)

    batches = mined_batches(embed, train, Mining(30, 3, 2, 3, 0), 5, (32, 32), UNCHANGED)
    for mined, images in itertools.islice(batches, 7):
        events.append((mined.first_step, mined.last_step))
        assert images.shape == (6, 32, 32, 3)
    assert events == ["mine", *[(5, 7)] * 3, "mine", *[(8, 10)] * 3, "mine", (11, 13)]


def test_a_new_embedding_layer_starts_centred(train):
    args = train_reid.parse_args(["--num_images=1000"])
    args.image_size = [64, 32]
    net = resnet.build_embedding_net(args.image_size, 0.125, 512)
    before_norm = tf.keras.Model(net.input, net.get_layer(resnet.EMBEDDING_LAYER).output)
    train_reid.centre_embedding(net, train.paths, args)
    vectors = before_norm(np.stack([dataset.decode_and_resize(path, args.image_size) for path in train.paths])).numpy()
    assert np.abs(vectors.mean(axis=0)).max() < 0.05 * np.abs(vectors).max()


def test_warn_of_collapse_needs_equal_embeddings_and_active_triplets(capsys):
    train_reid.warn_of_collapse(spread=0.2, active=1.0, step=5)
    train_reid.warn_of_collapse(spread=0.001, active=0.1, step=5)
    assert capsys.readouterr().out == ""
    train_reid.warn_of_collapse(spread=0.001, active=0.99, step=5)
    assert "step 5: the embeddings are collapsing" in capsys.readouterr().out


@pytest.mark.parametrize("held_out, taken", [(7, 7), (2, 2), (1, 50), (0, 50)])
def test_inherit_options_takes_the_held_out_identities_of_the_id_model_or_fifty(held_out, taken):
    before = {"image_size": [64, 32], "width": 0.125, "val_identities": held_out, "seed": 3}
    args = train_reid.inherit_options(train_reid.parse_args([]), before)
    assert (args.val_identities, args.split_seed, args.image_size) == (taken, 3, [64, 32])
    assert train_reid.inherit_options(train_reid.parse_args(["--val_identities=5"]), before).val_identities == 5


@pytest.mark.parametrize("held_out, identities, number", [(50, 751, ""), (0, 751, ""), (0, 8, "2"), (1, 40, "10")])
def test_val_identities_hint_only_where_the_default_is_too_many(held_out, identities, number):
    expected = f" --val_identities={number}" if number else ""
    assert train_id.val_identities_hint(held_out, identities) == expected
