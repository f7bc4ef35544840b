"""The start of a re-id network: the layers of an ID model, and what its new embedding layer begins with."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from utils import checkpoint, resnet
from utils.embed import compile_embed


def start_from(net, id_model: str, with_head: bool, images, sample) -> str:
    """Sets the weights of a new training net from an ID model, and describes what was taken from it.

    net: of resnet.build_embedding_net, or of resnet.add_id_head. with_head: whether its classifier has the same
    identities as that of the ID model. images, sample: TrainingImages and the numbers of a sample of them.

    An embedding layer of the size of the pooled features starts as the identity, so that the neck and the classifier of
    the ID model still fit: such a network starts with the embeddings of the ID model.
    """
    heads = []
    same_size = net.get_layer(resnet.EMBEDDING_LAYER).units == net.get_layer(resnet.POOL_LAYER).output.shape[-1]
    has_neck = resnet.variant_of(net)["neck"]
    if same_size and has_neck:
        heads.append(resnet.NECK_LAYER)
    if same_size and with_head:
        heads.append(resnet.ID_LAYER)
    checkpoint.load_backbone(net, id_model, heads)
    if not (same_size and has_neck):
        _centre(net, images, sample, resnet.ID_LAYER in heads)
    return " and ".join(["the convolutions", *(f"the {layer}" for layer in heads)])


def _centre(net, images, sample, has_trained_head) -> None:
    """Sets the bias of the new embedding layer so that the mean embedding of the sample is zero.

    Pooled features are never negative and so have nearly the same direction. Without centring, all similarities would
    start close to 1, and the first steps would only remove what all embeddings have in common.
    """
    pooled = tf.keras.Model(net.input, net.get_layer(resnet.POOL_LAYER).output)
    features = images.embed(compile_embed(pooled), sample)  # (N, C)
    mean = features.mean(axis=0)  # (C,)
    layer = net.get_layer(resnet.EMBEDDING_LAYER)
    kernel, _ = layer.get_weights()  # (C, E)
    layer.set_weights([kernel, -mean @ kernel])
    if resnet.variant_of(net)["neck"]:
        neck = net.get_layer(resnet.NECK_LAYER)
        gamma, moving_mean, _ = neck.get_weights()
        neck.set_weights([gamma, moving_mean, np.var(features @ kernel, axis=0)])
    elif has_trained_head:
        head = net.get_layer(resnet.ID_LAYER)
        weights, bias = head.get_weights()  # (E, classes), (classes,)
        head.set_weights([weights, bias + mean @ kernel @ weights])
