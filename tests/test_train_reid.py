"""The parts of train_reid.py: mined rounds, the order of a batch, a new embedding layer, inherited options."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

import train_id
import train_reid
from utils import checkpoint, dataset, resnet
from utils.dataset import LabelledImages
from utils.errors import InputError
from utils.training.images import BatchFeed, TrainingImages
from utils.training.rounds import MinedRound, Mining, identity_batches, mine_round, mined_batches, online_batches
from utils.training.start import start_from
from utils.training.watch import Watch

SIZE = (32, 32)
UNCHANGED = {"flip": False, "pad": 0, "random_erasing": 0, "color_jitter": 0}


@pytest.fixture(scope="module")
def train(tiny_set):
    data = dataset.open_split(tiny_set, "train")
    return LabelledImages(np.array(data.paths), data.identities, data.cameras)


@pytest.fixture(scope="module")
def images(train):
    return TrainingImages(train.paths, SIZE, cache_bytes=1e9)


def mean_colours(images) -> np.ndarray:
    """(B, H, W, 3) uint8 -> (B, 3) float32 of norm 1, instead of a network."""
    means = np.asarray(images, np.float32).mean(axis=(1, 2))
    return means / np.linalg.norm(means, axis=1, keepdims=True)


def a_mining(num_images=30, sample_num=3, batch_size=2, k=3, seed=0):
    return Mining(num_images, sample_num, batch_size, k, other_cameras=False, seed=seed)


def decoded(path):
    (image,) = dataset.image_batches([path], SIZE, 1)
    return image[0]


def test_training_images_are_the_same_from_memory_and_from_files(train, images):
    from_files = TrainingImages(train.paths, SIZE, cache_bytes=0)
    assert images.is_cached and not from_files.is_cached
    numbers = np.array([5, 0, len(train.paths) - 1])
    for number in numbers:
        np.testing.assert_array_equal(images.read(tf.constant(number)), decoded(train.paths[number]))
        np.testing.assert_array_equal(from_files.read(tf.constant(number)), decoded(train.paths[number]))
    np.testing.assert_array_equal(images.embed(mean_colours, numbers), from_files.embed(mean_colours, numbers))


def test_batches_of_a_round_hold_anchors_then_positives_then_negatives(train, images):
    mined = mine_round(mean_colours, images, train, a_mining(40, 2, batch_size=3, k=2, seed=1), step=1)
    with BatchFeed(images, 9, UNCHANGED) as feed:
        batches = list(itertools.islice(mined_batches(lambda step: mined, feed, 1), 2))
    for number, batch in enumerate(batches):
        for role in range(3):
            for place in range(3):
                expected = mined.triplets[role][number * 3 + place]
                assert batch.numbers[role * 3 + place] == expected
                np.testing.assert_array_equal(batch.images[role * 3 + place], decoded(train.paths[expected]))


def test_mine_round_returns_indices_into_the_training_set(train, images):
    mined = mine_round(mean_colours, images, train, a_mining(25, 5, batch_size=6, k=5), step=11)
    anchors, positives, negatives = mined.triplets
    assert (mined.first_step, mined.last_step) == (11, 15) and len(anchors) == 30 and (anchors != positives).all()
    assert (train.identities[anchors] == train.identities[positives]).all()
    assert (train.identities[anchors] != train.identities[negatives]).all()
    embeddings = mean_colours([decoded(path) for path in train.paths])
    expected = np.sum(embeddings[anchors] * embeddings[positives], axis=1)
    np.testing.assert_allclose(mined.positive_similarity, expected, rtol=1e-5)
    assert max(anchors.max(), negatives.max()) >= 25  # an index into the pool would be smaller
    image = mined.hardest_image(train.paths)
    assert image.ndim == 3 and image.dtype == np.uint8


def test_mine_round_without_a_triplet_names_the_option(train, images):
    alone = LabelledImages(train.paths[:3], np.arange(3), train.cameras[:3])
    with pytest.raises(InputError, match="no triplet among 3 images .* increase num_images"):
        mine_round(mean_colours, images, alone, a_mining(), step=1)


def test_mined_batches_mine_every_k_steps_with_the_network_of_that_moment(train, images):
    """The recipe of the README: mine, train k steps, mine again."""
    events = []

    def mine(step):
        events.append("mine")
        return mine_round(mean_colours, images, train, a_mining(), step)

    with BatchFeed(images, 6, UNCHANGED) as feed:
        for batch in itertools.islice(mined_batches(mine, feed, 5), 7):
            events.append((batch.mined.first_step, batch.mined.last_step))
            assert batch.images.shape == (6, *SIZE, 3)
    assert events == ["mine", *[(5, 7)] * 3, "mine", *[(8, 10)] * 3, "mine", (11, 13)]


def test_mined_batches_continue_inside_a_round_with_the_same_images(train, images):
    """The augmentation is on, so that images are equal only if their seeds are."""

    def mine(step):
        return mine_round(mean_colours, images, train, a_mining(), step)

    with BatchFeed(images, 6, {}) as feed:
        whole = list(itertools.islice(mined_batches(mine, feed, 1), 6))
    stored = {name: np.asarray(array) for name, array in whole[1].mined.arrays().items()}
    with BatchFeed(images, 6, {}) as feed:
        resumed = list(itertools.islice(mined_batches(mine, feed, 3, MinedRound.from_arrays(stored)), 4))
    for before, after in zip(whole[2:], resumed):
        np.testing.assert_array_equal(before.images, after.images)
        np.testing.assert_array_equal(before.numbers, after.numbers)
    assert MinedRound.from_arrays({}) is None


def test_identity_batches_hold_p_identities_with_k_images_each_and_use_all():
    identities = np.array([1] * 5 + [2] * 2 + [3] * 3 + [4] * 4 + [5])
    batches = list(itertools.islice(identity_batches(identities, 2, 3, seed=0), 20))
    for batch in batches:
        found, counts = np.unique(identities[batch], return_counts=True)
        assert len(found) == 2 and (counts == 3).all() and 5 not in found  # 5 has a single image
        for identity in set(found) - {2}:  # 2 has only two images
            assert len(np.unique(batch[identities[batch] == identity])) == 3
    for first, second in zip(batches[::2], batches[1::2]):  # a pass is two batches
        assert set(identities[first]) | set(identities[second]) == {1, 2, 3, 4}
    with pytest.raises(InputError, match="4 identities have two images or more: lower identities_per_batch"):
        next(identity_batches(identities, 5, 2, seed=0))


def test_online_batches_continue_where_they_stopped(train, images):
    def batches(first, count):
        with BatchFeed(images, 6, {}) as feed:
            numbers = identity_batches(train.identities, 3, 2, seed=4)
            return list(itertools.islice(online_batches(numbers, feed, first, seed=4), count))

    for before, after in zip(batches(1, 8)[5:], batches(6, 3)):
        np.testing.assert_array_equal(before.images, after.images)
        np.testing.assert_array_equal(before.numbers, after.numbers)


def an_id_model(tmp_path, neck):
    """An ID net of 7 classes whose weights are all random, saved: (net, its checkpoint)."""
    net = resnet.build_id_net(7, (64, 32), 0.125, neck=neck)
    rng = np.random.default_rng(0)
    for layer in net.layers:
        layer.set_weights([weight + rng.uniform(0, 0.1, weight.shape) for weight in layer.get_weights()])
    checkpoint.save_weights(net, tmp_path / "model.ckpt-1", {"image_size": [64, 32]})
    return net, str(tmp_path / "model.ckpt-1")


def decoded_at(train, size):
    return np.stack([dataset.load_image(path, size) for path in train.paths[:20]])


@pytest.mark.parametrize("neck", [True, False])
def test_a_start_from_an_id_model_keeps_its_logits(train, tmp_path, neck):
    id_net, prefix = an_id_model(tmp_path, neck)
    images = TrainingImages(train.paths, (64, 32), 1e9)
    net = resnet.add_id_head(resnet.build_embedding_net((64, 32), 0.125, 256, neck=neck), 7)
    start_from(net, prefix, True, images, np.arange(20))
    batch = decoded_at(train, (64, 32))
    embeddings, logits = net(batch)
    np.testing.assert_allclose(logits, id_net(batch), rtol=1e-3, atol=1e-3)
    if neck:
        expected = checkpoint.load_net(prefix)[0](batch)
        np.testing.assert_allclose(embeddings, expected, atol=1e-5)


@pytest.mark.parametrize("neck", [True, False])
def test_a_new_embedding_layer_starts_centred(train, tmp_path, neck):
    _, prefix = an_id_model(tmp_path, neck)
    images = TrainingImages(train.paths, (64, 32), 1e9)
    net = resnet.build_embedding_net((64, 32), 0.125, 64, neck=neck)
    start_from(net, prefix, False, images, np.arange(20))
    last = net.get_layer(resnet.NECK_LAYER if neck else resnet.EMBEDDING_LAYER).output
    vectors = tf.keras.Model(net.input, last)(decoded_at(train, (64, 32))).numpy()
    assert np.abs(vectors.mean(axis=0)).max() < 0.01 * np.abs(vectors).max()
    if neck:
        np.testing.assert_allclose(vectors.std(axis=0), 1.0, atol=0.05)


def test_watch_warns_once_of_a_collapse_and_once_of_starvation(capsys):
    watch = Watch(period=2)
    for step, active, similarity in ((1, 1.0, 0.5), (2, 1.0, 0.9), (3, 0.5, 0.999), (4, 0.06, 0.1), (5, 0.06, 0.1)):
        watch.add(step, active, similarity)
    assert capsys.readouterr().out == ""
    for step in (6, 7, 8):
        watch.add(step, 0.99, 0.995)
    assert capsys.readouterr().out.count("the embeddings are collapsing") == 1
    for step in (9, 10, 11):
        watch.add(step, 0.02, 0.1)
    assert capsys.readouterr().out.count("step 10: only 2.0 % of the triplets have loss") == 1


@pytest.mark.parametrize("held_out, taken", [(7, 7), (2, 2), (1, 50), (0, 50)])
def test_inherit_options_takes_the_held_out_identities_of_the_id_model_or_fifty(held_out, taken):
    before = {"image_size": [64, 32], "width": 0.125, "last_stride": 1, "pooling": "average", "neck": True}
    before.update(val_identities=held_out, seed=3)
    args = train_reid.inherit_options(train_reid.parse_args([]), before)
    assert (args.val_identities, args.split_seed, args.image_size) == (taken, 3, [64, 32])
    assert train_reid.inherit_options(train_reid.parse_args(["--val_identities=5"]), before).val_identities == 5


@pytest.mark.parametrize("held_out, identities, number", [(50, 751, ""), (0, 751, ""), (0, 8, "2"), (1, 40, "10")])
def test_val_identities_hint_only_where_the_default_is_too_many(held_out, identities, number):
    expected = f" --val_identities={number}" if number else ""
    assert train_id.val_identities_hint(held_out, identities) == expected
