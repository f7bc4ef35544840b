"""The network against tf.keras.applications, and the folded network against the one it came from."""

import numpy as np
import pytest
import tensorflow as tf

from utils import resnet
from utils.errors import InputError
from utils.resnet import EPSILON, MOMENTUM, FusedBatchNorm


def randomise_batchnorm(net, seed):
    """Gives each batch normalisation weights and statistics that keep the outputs above 0 and that differ."""
    rng = np.random.default_rng(seed)
    for layer in net.layers:
        if layer.name.endswith("_bn"):
            shape = layer.get_weights()[0].shape
            gamma, variance = rng.uniform(0.3, 0.6, shape), rng.uniform(0.5, 2, shape)
            beta, mean = rng.normal(0, 0.1, shape), rng.normal(0, 0.1, shape)
            layer.set_weights([gamma, beta, mean, variance])
        if layer.name == resnet.NECK_LAYER:
            shape = layer.get_weights()[0].shape
            layer.set_weights([rng.uniform(0.3, 0.6, shape), rng.normal(0, 0.1, shape), rng.uniform(0.5, 2, shape)])


@pytest.fixture(scope="module")
def keras_resnet():
    """Keras' own ResNet-50 with random weights and random statistics."""
    net = tf.keras.applications.ResNet50(weights=None, include_top=False, input_shape=(128, 64, 3))
    randomise_batchnorm(net, seed=0)
    return net


def random_images(count, seed=1):
    return np.random.default_rng(seed).integers(0, 256, (count, 128, 64, 3), dtype=np.uint8)


def test_equal_weights_give_the_outputs_of_keras(keras_resnet):
    net = resnet.build_pooled_net((128, 64), width=1.0)
    resnet.copy_backbone(keras_resnet, net)
    images = random_images(3)
    prepared = tf.keras.applications.resnet.preprocess_input(images.astype("float32"))
    pooled = keras_resnet(prepared, training=False).numpy().max(axis=(1, 2))
    ours = tf.keras.Model(net.input, net.get_layer(resnet.POOL_LAYER).output)(images, training=False).numpy()
    assert pooled.max() > 0.1  # a network that outputs zeros would agree with everything
    np.testing.assert_allclose(ours, pooled, atol=1e-4 * max(1, pooled.max()))
    np.testing.assert_allclose(net(images).numpy(), pooled / np.linalg.norm(pooled, axis=1, keepdims=True), atol=1e-4)


def test_a_full_width_network_has_the_weights_of_keras(keras_resnet):
    theirs = {layer.name: [w.shape for w in layer.get_weights()] for layer in keras_resnet.layers if layer.weights}
    net = resnet.build_pooled_net((128, 64))
    assert {layer.name: [w.shape for w in layer.get_weights()] for layer in net.layers if layer.weights} == theirs


def test_load_imagenet_weights_uses_the_loader_of_keras(monkeypatch, keras_resnet):
    asked = []

    def applications_resnet50(**options):
        asked.append(options)
        return keras_resnet

    monkeypatch.setattr(tf.keras.applications, "ResNet50", applications_resnet50)
    net = resnet.build_id_net(5, (64, 32))
    head = net.get_layer(resnet.ID_LAYER).get_weights()[0].copy()
    resnet.load_imagenet_weights(net)
    assert asked == [{"weights": "imagenet", "include_top": False}]
    ours, theirs = (network.get_layer("conv5_block3_3_conv").get_weights()[0] for network in (net, keras_resnet))
    np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(net.get_layer(resnet.ID_LAYER).get_weights()[0], head)


def test_load_imagenet_weights_that_cannot_be_loaded_is_one_sentence(monkeypatch):
    def applications_resnet50(**options):
        raise Exception("URL fetch failure on https://example.org/w.h5: None -- no route\nmore")

    with pytest.raises(InputError, match="width 1.0 only"):
        resnet.load_imagenet_weights(resnet.build_id_net(3, (64, 32), width=0.25))
    monkeypatch.setattr(tf.keras.applications, "ResNet50", applications_resnet50)
    with pytest.raises(InputError, match="no route.*pretrained=none") as error:
        resnet.load_imagenet_weights(resnet.build_id_net(3, (64, 32)))
    assert "\n" not in str(error.value)


def test_embeddings_have_norm_one_and_a_new_layer_keeps_the_ranking():
    pooled_net = resnet.build_pooled_net((128, 64), width=0.125)
    net = resnet.build_embedding_net((128, 64), width=0.125, embedding_size=512)
    randomise_batchnorm(pooled_net, seed=2)
    resnet.copy_backbone(pooled_net, net)
    images = random_images(6)
    embeddings, pooled = net(images).numpy(), pooled_net(images).numpy()
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(embeddings @ embeddings.T, pooled @ pooled.T, atol=1e-4)


@pytest.mark.parametrize("pooling, by_hand", [("max", np.max), ("average", np.mean)])
def test_pooling_by_hand(pooling, by_hand):
    net = resnet.build_pooled_net((64, 32), 0.125, pooling=pooling)
    layers = [net.get_layer("conv5_block3_out").output, net.get_layer(resnet.POOL_LAYER).output]
    features, pooled = tf.keras.Model(net.input, layers)(
        np.random.default_rng(3).integers(0, 256, (2, 64, 32, 3), np.uint8)
    )
    np.testing.assert_allclose(pooled, by_hand(features.numpy(), axis=(1, 2)), rtol=1e-5)


def test_last_stride_1_gives_twice_the_height_and_width():
    for last_stride, size in ((2, (4, 2)), (1, (8, 4))):
        net = resnet.build_embedding_net((128, 64), 0.125, 64, last_stride=last_stride)
        assert tuple(net.get_layer("conv5_block3_out").output.shape[1:3]) == size


@pytest.mark.parametrize("last_stride, pooling, neck", [(2, "max", False), (1, "average", True)])
def test_fold_batchnorm_keeps_the_outputs(last_stride, pooling, neck):
    net = resnet.build_embedding_net((64, 32), 0.125, 64, last_stride, pooling, neck)
    randomise_batchnorm(net, seed=2)
    folded = resnet.fold_batchnorm(net)
    assert not [layer for layer in folded.layers if isinstance(layer, tf.keras.layers.BatchNormalization)]
    images = random_images(4)[:, :64, :32]
    np.testing.assert_allclose(folded(images).numpy(), net(images, training=False).numpy(), atol=1e-5)


def test_normalise_by_hand():
    images = np.array([[[[10, 20, 30]]]], dtype=np.uint8)  # RGB
    expected = [30 - 103.939, 20 - 116.779, 10 - 123.68]  # BGR
    np.testing.assert_allclose(resnet.Normalise()(images).numpy()[0, 0, 0], expected, atol=1e-4)


def test_fused_batchnorm_is_that_of_keras_in_training_too():
    rng = np.random.default_rng(0)
    inputs = rng.normal(3, 2, (5, 4, 3, 6)).astype(np.float32)
    settings = {"epsilon": EPSILON, "momentum": MOMENTUM}
    fused, keras = FusedBatchNorm(**settings), tf.keras.layers.BatchNormalization(**settings)
    for layer in (fused, keras):
        layer.build(inputs.shape)
        layer.gamma.assign(np.linspace(0.5, 1.5, 6))
        layer.beta.assign(np.linspace(-1, 1, 6))
    np.testing.assert_allclose(fused(inputs, training=True), keras(inputs, training=True), atol=1e-5)
    mean, variance = inputs.mean((0, 1, 2)), inputs.var((0, 1, 2), ddof=1)  # of a sample, as Keras 2 keeps it
    np.testing.assert_allclose(fused.moving_mean, (1 - MOMENTUM) * mean, rtol=1e-4)
    np.testing.assert_allclose(fused.moving_variance, MOMENTUM + (1 - MOMENTUM) * variance, rtol=1e-4)
    keras.set_weights(fused.get_weights())
    np.testing.assert_allclose(fused(inputs, training=False), keras(inputs, training=False), atol=1e-5)
    fused.trainable = keras.trainable = False  # as Keras has it, a frozen layer uses its statistics and keeps them
    before = fused.get_weights()
    np.testing.assert_allclose(fused(inputs, training=True), keras(inputs, training=True), atol=1e-5)
    for old, new in zip(before, fused.get_weights()):
        np.testing.assert_array_equal(old, new)


def test_fused_batchnorm_has_the_gradients_of_keras():
    inputs = tf.constant(np.random.default_rng(1).normal(size=(4, 3, 2, 5)), tf.float32)
    gradients = []
    for layer in (FusedBatchNorm(), tf.keras.layers.BatchNormalization()):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            loss = tf.reduce_sum(tf.sin(3 * layer(inputs, training=True)))
        gradients.append(tape.gradient(loss, [inputs, layer.gamma, layer.beta]))
    for fused, keras in zip(*gradients):
        np.testing.assert_allclose(fused, keras, atol=1e-4)
