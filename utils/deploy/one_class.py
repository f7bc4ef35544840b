"""Keeps a single class in the predictors of an SSD, whose others would be computed for nothing."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from utils.deploy.fold import add_constant, constant_of, source_name

PASSED = ("Identity", "Slice", "StridedSlice")  # between the scores of all classes and what is called scores
SUMS = ("BiasAdd", "Add", "AddV2")


def keep_class(graph_def, scores: str, column: int) -> tuple:
    """(GraphDef, name of its scores, column of the class in them); the arguments if the structure is another one.

    scores: the name of a tensor (1, A, classes) that joins the outputs of convolutions, or the sigmoid of that; slices
    may have dropped leading classes. column: of the class, counted from the end: -1 is the last.
    """
    kept = tf.compat.v1.GraphDef()
    kept.CopyFrom(graph_def)
    nodes = {node.name: node for node in kept.node}
    last = _before(nodes, scores, PASSED)
    joined = _before(nodes, last.input[0]) if last.op == "Sigmoid" else last
    if joined.op != "ConcatV2":
        return graph_def, scores, column
    predictors = [_predictor(nodes, source) for source in joined.input[:-1]]
    if None in predictors:
        return graph_def, scores, column
    for convolution, bias, reshape, classes in predictors:
        kernel = constant_of(nodes, convolution.input[1])  # (kh, kw, channels, anchors * classes)
        own = np.arange(kernel.shape[3]) % classes == classes + column
        convolution.input[1] = add_constant(kept, f"{convolution.name}/one_kernel", kernel[..., own])
        bias.input[1] = add_constant(kept, f"{bias.name}/one_bias", constant_of(nodes, bias.input[1])[own])
        reshape.input[1] = add_constant(kept, f"{reshape.name}/one_shape", np.array([1, -1, 1]), np.int32)
        reshape.attr["Tshape"].type = tf.int32.as_datatype_enum
    return kept, f"{last.name}:0", 0


def _predictor(nodes, source: str):
    """(convolution, its bias, its reshape to (1, A, classes), classes) that give a tensor; None for anything else."""
    reshape = _before(nodes, source)
    if reshape.op != "Reshape":
        return None
    bias = _before(nodes, reshape.input[0])
    if bias.op not in SUMS:
        return None
    convolution = _before(nodes, bias.input[0])
    classes = _last_size(nodes, reshape.input[1])
    if convolution.op != "Conv2D" or classes is None:
        return None
    kernel = constant_of(nodes, convolution.input[1])
    biases = constant_of(nodes, bias.input[1])
    if kernel is None or biases is None or kernel.shape[3] % classes or biases.shape != kernel.shape[3:]:
        return None
    return convolution, bias, reshape, classes


def _last_size(nodes, source: str):
    """The last entry of a shape, if it is a constant of 1 or more; else None."""
    shape = _before(nodes, source)
    if shape.op == "Pack":
        shape = _before(nodes, shape.input[-1])
    if shape.op != "Const":
        return None
    size = int(np.ravel(tf.make_ndarray(shape.attr["value"].tensor))[-1])
    return size if size > 0 else None


def _before(nodes, source: str, passed=("Identity",)):
    """The node that gives a tensor, beyond nodes of the kinds that are passed."""
    node = nodes[source_name(source)]
    while node.op in passed:
        node = nodes[source_name(node.input[0])]
    return node
