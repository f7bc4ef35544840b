"""Folds the scales and shifts after the convolutions of a TensorFlow graph into their kernels and one BiasAdd each.

Graphs of the detection zoo multiply and add, or normalise, after each convolution. TensorFlow runs a convolution, a
BiasAdd and a ReLU as one operation, but not those.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

CONVOLUTIONS = ("Conv2D", "DepthwiseConv2dNative")


def fold_affine(graph_def):
    """A GraphDef that computes the same with fewer operations. A convolution keeps its name, as does what ends it."""
    folded = tf.compat.v1.GraphDef()
    folded.CopyFrom(graph_def)
    nodes = {node.name: node for node in folded.node}
    users = {}
    for node in folded.node:
        for source in node.input:
            users.setdefault(source_name(source), []).append(node)
    for convolution in [node for node in folded.node if node.op in CONVOLUTIONS]:
        kernel = constant_of(nodes, convolution.input[1])
        if kernel is None:
            continue
        chain = _affine_chain(nodes, users, convolution)
        if not chain:
            continue
        depthwise = convolution.op == "DepthwiseConv2dNative"
        channels = kernel.shape[2] * kernel.shape[3] if depthwise else kernel.shape[3]
        scale = np.ones(channels)
        shift = np.zeros(channels)
        for factor, addend, _ in chain:
            scale = scale * factor
            shift = shift * factor + addend
        shaped = scale.reshape(kernel.shape[2:]) if depthwise else scale
        convolution.input[1] = add_constant(folded, f"{convolution.name}/folded_kernel", kernel * shaped)
        last = chain[-1][2]
        bias = add_constant(folded, f"{convolution.name}/folded_bias", shift)
        kept = last.attr["T"].type
        last.op = "BiasAdd"
        last.ClearField("attr")
        last.attr["T"].type = kept
        last.attr["data_format"].s = b"NHWC"
        del last.input[:]
        last.input.extend([convolution.name, bias])
    return folded


def _affine_chain(nodes, users, convolution) -> list:
    """The (factor, addend, node) that follow the convolution one by one, with nothing else reading in between."""
    chain = []
    current = convolution
    while len(users.get(current.name, [])) == 1:
        following = users[current.name][0]
        found = _affine(nodes, following, current)
        if found is None:
            break
        chain.append((*found, following))
        current = following
    return chain


def _affine(nodes, node, source):
    """(factor, addend) if the node multiplies the source by a constant per channel and adds one; else None."""
    if node.op in ("Mul", "Add", "AddV2", "BiasAdd"):
        others = [name for name in node.input if source_name(name) != source.name]
        value = constant_of(nodes, others[0]) if len(others) == 1 else None
        if value is None or value.ndim != 1:
            return None
        return (value, 0.0) if node.op == "Mul" else (1.0, value)
    if node.op in ("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"):
        values = [constant_of(nodes, name) for name in node.input[1:5]]
        if (
            node.attr["is_training"].b
            or any(value is None for value in values)
            or source_name(node.input[0]) != source.name
        ):
            return None
        gamma, beta, mean, variance = values
        factor = gamma / np.sqrt(variance + node.attr["epsilon"].f)
        return factor, beta - mean * factor
    return None


def constant_of(nodes, name: str):
    """The float64 array of a constant, None for anything else."""
    node = nodes[source_name(name)]
    while node.op == "Identity":
        node = nodes[source_name(node.input[0])]
    return tf.make_ndarray(node.attr["value"].tensor).astype(np.float64) if node.op == "Const" else None


def add_constant(graph_def, name: str, value: np.ndarray, dtype=np.float32) -> str:
    """Adds a constant to a GraphDef and returns its name."""
    node = graph_def.node.add(name=name, op="Const")
    node.attr["dtype"].type = tf.as_dtype(dtype).as_datatype_enum
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value.astype(dtype)))
    return name


def source_name(source: str) -> str:
    """The name of the node that an input of a node comes from."""
    return source.split(":")[0].lstrip("^")
