"""ResNet-50 v1 for re-identification: the network of tf.keras.applications with a width multiplier and two heads.

    images -> convolutions -> pooling -> (neck) -> logits                          ID network
    images -> convolutions -> pooling -> embedding layer -> (neck) -> norm 1       embedding network

Maths, layer names and weights are those of tf.keras.applications.ResNet50 (He et al. 2015, arXiv 1512.03385): equal
weights give equal outputs. The input is always uint8 RGB. The normalisation is the first layer, so it happens exactly
once in training, in testing and in every exported model.
"""

from __future__ import annotations

import tensorflow as tf

from utils.errors import InputError, first_line

# Name of the stage, filters of its 3x3 convolutions at width 1.0, number of blocks, stride of the first block.
STAGES = (("conv2", 64, 3, 1), ("conv3", 128, 4, 2), ("conv4", 256, 6, 2), ("conv5", 512, 3, 2))
STEM_FILTERS = 64
LAST_BLOCK = "conv5_block1"  # has the stride of the last stage
POOL_LAYER = "pool"
EMBEDDING_LAYER = "embedding"
NECK_LAYER = "neck"
ID_LAYER = "logits"
HEADS = (EMBEDDING_LAYER, NECK_LAYER, ID_LAYER)  # all layers with weights after the convolutions
POOLINGS = ("max", "average")

# Epsilon is that of Keras for this network. Its momentum of 0.99 is too slow: after a few hundred steps the moving
# statistics would still be far behind the weights, and embeddings in inference mode would look untrained.
EPSILON = 1.001e-5
MOMENTUM = 0.9

# The mean of ImageNet, 0..255, in the BGR order that the published weights were trained with.
IMAGENET_MEAN_BGR = (103.939, 116.779, 123.68)


class Normalise(tf.keras.layers.Layer):
    """(B, H, W, 3) uint8 RGB -> float32 BGR minus the ImageNet mean, as tf.keras.applications' preprocess_input."""

    def call(self, images):
        return tf.reverse(tf.cast(images, tf.float32), axis=[-1]) - tf.constant(IMAGENET_MEAN_BGR)

    def compute_output_shape(self, input_shape):
        return input_shape


class FusedBatchNorm(tf.keras.layers.BatchNormalization):
    """Keras' BatchNormalization, computed by TensorFlow's fused operation as in Keras 2.

    Keras 3 uses a dozen operations over the whole feature map instead, with which a training step on a CPU takes about
    1.3 times as long (benchmarks/train_step.py). The moving variance is the sample variance (n - 1) as in Keras 2;
    Keras 3 uses the variance of the batch (n). In mixed precision the statistics, scale and shift stay float32.
    """

    def __init__(self, **options):
        super().__init__(autocast=False, **options)

    def call(self, inputs, training=None, mask=None):
        learning = bool(training) and self.trainable
        empty = tf.zeros([0])  # in training, the operation computes the statistics of the batch
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=self.gamma,
            offset=self.beta,
            mean=empty if learning else self.moving_mean,
            variance=empty if learning else self.moving_variance,
            epsilon=self.epsilon,
            is_training=learning,
        )
        if learning:
            for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
                moving.assign(self.momentum * moving + (1 - self.momentum) * batch)
        return outputs


class UnitLength(tf.keras.layers.Layer):
    """(B, E) -> (B, E) with Euclidean norm 1 in each row, so that similarity is a dot product in [-1, 1]."""

    def call(self, vectors):
        return tf.math.l2_normalize(vectors, axis=-1)

    def compute_output_shape(self, input_shape):
        return input_shape


def build_id_net(
    num_classes: int, image_size=(256, 128), width: float = 1.0, batchnorm=FusedBatchNorm, **variant
) -> tf.keras.Model:
    """(B, H, W, 3) uint8 RGB -> (B, num_classes) float32 logits, one per training identity.

    image_size: (height, width) in pixels. width: factor on the number of filters of every convolution. batchnorm: the
    layer class after each convolution. variant: last_stride, pooling and neck as in build_embedding_net.
    """
    images, features = _pooled(image_size, width, batchnorm, **variant)
    return tf.keras.Model(images, _id_head(features, num_classes, variant.get("neck", False)), name="id_net")


def build_embedding_net(
    image_size=(256, 128), width: float = 1.0, embedding_size: int = 2048, last_stride=2, pooling="max", neck=False
) -> tf.keras.Model:
    """(B, H, W, 3) uint8 RGB -> (B, embedding_size) float32 embeddings of norm 1.

    last_stride: of the last stage: 2 as in the paper, or 1, which gives feature maps of twice the height and width.
    pooling: one of POOLINGS. neck: a batch normalisation before the norm (BNNeck of Luo et al. 2019, arXiv 1903.07071);
    fold_batchnorm makes it part of the embedding layer.
    """
    return _embedding_net(image_size, width, embedding_size, FusedBatchNorm, last_stride, pooling, neck)


def build_pooled_net(image_size=(256, 128), width: float = 1.0, **variant) -> tf.keras.Model:
    """(B, H, W, 3) uint8 RGB -> (B, 2048 * width) float32: the features of an ID network, scaled to norm 1.

    variant: last_stride, pooling and neck as in build_embedding_net.
    """
    images, features = _pooled(image_size, width, FusedBatchNorm, **variant)
    return tf.keras.Model(images, UnitLength(name="unit_length", dtype="float32")(features), name="pooled_net")


def add_id_head(net: tf.keras.Model, num_classes: int) -> tf.keras.Model:
    """The embedding network with a second output, for training: (B, H, W, 3) -> (B, E) and logits (B, num_classes)."""
    has_neck = variant_of(net)["neck"]
    features = net.get_layer(NECK_LAYER if has_neck else EMBEDDING_LAYER).output  # (B, E)
    return tf.keras.Model(net.input, [net.output, _id_head(features, num_classes, has_neck)], name="training_net")


def fold_batchnorm(net: tf.keras.Model) -> tf.keras.Model:
    """The same function as the given embedding network, without batch normalisation layers.

    In inference a batch normalisation is a fixed scale and shift per channel. The scale, gamma / sqrt(variance +
    epsilon), goes into the kernel of the convolution or the embedding layer before it, the shift into its bias.
    """
    variant = {**variant_of(net), "neck": False}
    folded = _embedding_net(net.input_shape[1:3], width_of(net), net.output_shape[-1], batchnorm=None, **variant)
    for layer in folded.layers:
        if isinstance(layer, tf.keras.layers.Conv2D):
            _fold(net.get_layer(layer.name), net.get_layer(layer.name.replace("_conv", "_bn")), layer)
        elif layer.name == EMBEDDING_LAYER and variant_of(net)["neck"]:
            _fold(net.get_layer(EMBEDDING_LAYER), net.get_layer(NECK_LAYER), layer)
        elif layer.weights:
            layer.set_weights(net.get_layer(layer.name).get_weights())
    return folded


def _fold(layer, batchnorm, target):
    """Sets the weights of `target` to those of `layer` with the batch normalisation after it."""
    kernel, bias = layer.get_weights()
    *gamma_beta, mean, variance = batchnorm.get_weights()
    scale = gamma_beta[0] / (variance + EPSILON) ** 0.5  # (filters,)
    shift = gamma_beta[1] if len(gamma_beta) == 2 else 0.0
    target.set_weights([kernel * scale, (bias - mean) * scale + shift])


def width_of(net: tf.keras.Model) -> float:
    """The width multiplier that a network was built with."""
    return net.get_layer("conv1_conv").filters / STEM_FILTERS


def has_backbone(net: tf.keras.Model) -> bool:
    """Whether a network is one of this module."""
    return any(layer.name == f"{LAST_BLOCK}_1_conv" for layer in net.layers)


def variant_of(net: tf.keras.Model) -> dict:
    """{'last_stride', 'pooling', 'neck'} that a network was built with."""
    classes = {tf.keras.layers.GlobalMaxPooling2D: "max", tf.keras.layers.GlobalAveragePooling2D: "average"}
    return {
        "last_stride": net.get_layer(f"{LAST_BLOCK}_1_conv").strides[0],
        "pooling": classes[type(net.get_layer(POOL_LAYER))],
        "neck": any(layer.name == NECK_LAYER for layer in net.layers),
    }


def load_imagenet_weights(net: tf.keras.Model) -> None:
    """Copies the ImageNet convolutions of tf.keras.applications into a network of width 1.0; its head stays as it is.

    Keras downloads the weights once (94 MB, into ~/.keras/models) and checks them. InputError if it cannot.
    """
    if width_of(net) != 1.0:
        raise InputError(
            f"ImageNet weights exist for width 1.0 only, not {width_of(net):g}: set width=1.0 or pretrained=none"
        )
    try:
        source = tf.keras.applications.ResNet50(weights="imagenet", include_top=False)
    except Exception as error:  # Keras raises bare Exception for a failed download
        reason = first_line(error)
        raise InputError(
            f"the ImageNet weights cannot be loaded ({reason}): connect once and run bash setup.sh imagenet, or put "
            "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5 of the Keras releases into ~/.keras/models, "
            "or start from random weights with pretrained=none"
        ) from None
    copy_backbone(source, net)


def copy_backbone(source: tf.keras.Model, target: tf.keras.Model) -> None:
    """Copies all convolutions and batch normalisations by layer name; both networks must have the same width."""
    for layer in target.layers:
        if layer.weights and layer.name not in HEADS:
            layer.set_weights(source.get_layer(layer.name).get_weights())


def _embedding_net(image_size, width, embedding_size, batchnorm, last_stride, pooling, neck):
    images, pooled = _backbone(image_size, width, batchnorm, last_stride, pooling)
    # Both keep the angles between pooled features: the new layer starts with the ranking of the ID network. The
    # identity also keeps the features themselves, so that a neck and a classifier trained on them still fit.
    same_size = embedding_size == pooled.shape[-1]
    initial = tf.keras.initializers.Identity() if same_size else tf.keras.initializers.Orthogonal()
    dense = tf.keras.layers.Dense(embedding_size, kernel_initializer=initial, name=EMBEDDING_LAYER, dtype="float32")
    embeddings = dense(pooled)  # (B, E)
    if neck:
        embeddings = _neck(embeddings)
    return tf.keras.Model(images, UnitLength(name="unit_length", dtype="float32")(embeddings), name="embedding_net")


def _pooled(image_size, width, batchnorm, last_stride=2, pooling="max", neck=False):
    """The features of an ID network before its head: the input and the output tensor, (B, C)."""
    images, pooled = _backbone(image_size, width, batchnorm, last_stride, pooling)
    return images, _neck(pooled) if neck else pooled


def _neck(features):
    """Batch normalisation without a shift, as published: (B, C) -> (B, C) float32."""
    options = {"momentum": MOMENTUM, "epsilon": EPSILON, "center": False, "dtype": "float32"}
    return tf.keras.layers.BatchNormalization(**options, name=NECK_LAYER)(features)


def _id_head(features, num_classes, has_neck):
    """(B, C) -> (B, num_classes) float32 logits; after a neck without bias, as published."""
    # With small weights the first steps train the classifier and leave the pretrained convolutions nearly unchanged.
    small = tf.keras.initializers.RandomNormal(stddev=0.001 if has_neck else 0.01)
    options = {"kernel_initializer": small, "use_bias": not has_neck, "dtype": "float32"}
    return tf.keras.layers.Dense(num_classes, **options, name=ID_LAYER)(features)


def _backbone(image_size, width, batchnorm, last_stride, pooling):
    """The convolutions and global pooling: (B, H, W, 3) uint8 -> (B, 2048 * width) float32, 0 or more.

    batchnorm: the layer class after each convolution, None for none. Returns the input and the output tensor.
    """
    layers = tf.keras.layers
    images = layers.Input((*image_size, 3), dtype="uint8", name="images")
    x = Normalise(name="normalise")(images)  # (B, H, W, 3) float32 BGR, about -124..151
    x = layers.ZeroPadding2D(3, name="conv1_pad")(x)
    x = _convolve(x, int(STEM_FILTERS * width), 7, 2, "conv1", batchnorm, padding="valid")
    x = layers.ReLU(name="conv1_relu")(x)  # (B, H/2, W/2, 64 * width)
    x = layers.ZeroPadding2D(1, name="pool1_pad")(x)
    x = layers.MaxPooling2D(3, strides=2, name="pool1_pool")(x)  # (B, H/4, W/4, 64 * width)
    for stage, filters, blocks, stride in (*STAGES[:-1], (*STAGES[-1][:-1], last_stride)):
        for block in range(1, blocks + 1):
            first = block == 1
            name = f"{stage}_block{block}"
            x = _bottleneck(x, int(filters * width), stride if first else 1, name, batchnorm, shortcut=first)
    return images, _pool(x, pooling)  # (B, H/32, W/32, C), or twice as high and wide -> (B, C), C = 2048 * width


def _pool(features, pooling):
    layers = {"max": tf.keras.layers.GlobalMaxPooling2D, "average": tf.keras.layers.GlobalAveragePooling2D}
    return layers[pooling](name=POOL_LAYER, dtype="float32")(features)


def _bottleneck(x, filters, stride, name, batchnorm, shortcut):
    """One residual block: 1x1, 3x3 and 1x1 convolutions plus a shortcut; the first 1x1 has the stride, as in Keras."""
    layers = tf.keras.layers
    straight = _convolve(x, 4 * filters, 1, stride, f"{name}_0", batchnorm) if shortcut else x
    x = layers.ReLU(name=f"{name}_1_relu")(_convolve(x, filters, 1, stride, f"{name}_1", batchnorm))
    x = layers.ReLU(name=f"{name}_2_relu")(_convolve(x, filters, 3, 1, f"{name}_2", batchnorm))
    # With gamma 0 each block starts as its shortcut alone, so that a network with random weights learns within a few
    # hundred steps.
    x = _convolve(x, 4 * filters, 1, 1, f"{name}_3", batchnorm, gamma="zeros")
    return layers.ReLU(name=f"{name}_out")(layers.Add(name=f"{name}_add")([straight, x]))


def _convolve(x, filters, kernel, stride, name, batchnorm, padding="same", gamma="ones"):
    layers = tf.keras.layers
    options = {"strides": stride, "padding": padding, "kernel_initializer": "he_normal"}
    x = layers.Conv2D(filters, kernel, **options, name=f"{name}_conv")(x)
    if batchnorm:
        options = {"momentum": MOMENTUM, "epsilon": EPSILON, "gamma_initializer": gamma}
        x = batchnorm(**options, name=f"{name}_bn")(x)
    return x
