"""Cuts a detector of TensorFlow's detection zoo before its suppression, and after its resizing.

An SSD of the zoo resizes the whole frame in a loop and suppresses boxes of 90 classes on the CPU, which takes longer
than its convolutions. What is left between the two is a plain network of one input size that every engine can run.
"""

from __future__ import annotations

from typing import Callable, NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from utils.deploy.detections import find_people
from utils.deploy.fold import fold_affine
from utils.deploy.one_class import keep_class
from utils.deploy.parity import CERTAIN, compare_detections
from utils.errors import first_line

RAW_OUTPUTS = ("raw_detection_boxes", "raw_detection_scores")  # of TF2 exports; scores with the background first
RAW_NODES = ("Postprocessor/ExpandDims_1", "Postprocessor/Slice")  # of TF1 exports; scores without it
MAX_RESIDUAL = 1e-3  # of the linear preprocessing, in the values that the network takes


class NotCut(Exception):
    """The detector has another structure than the zoo's SSDs; it works as a whole."""


class Cut(NamedTuple):
    """A detector without its suppression.

    function: a concrete function, `images` (1, H, W, 3) uint8 RGB -> {"boxes": (1, A, 4), "scores": (1, A)}, as in the
    form "anchors". detect: the same, of float32 images of 0..255. size: [H, W].
    """

    function: Callable
    detect: Callable
    size: list


def cut_detector(signature, frames: list, wanted: list, person_class: int) -> Cut:
    """Cuts the detector with this signature; NotCut with the reason if that fails.

    frames: (1, H, W, 3) uint8 RGB to try it on, with people. wanted: the people in them, as Detector.find returns.
    """
    whole = convert_variables_to_constants_v2(signature, lower_control_flow=False)
    try:
        boxes, scores = _raw_tensors(whole, signature)
        picture = _network_input(boxes)
        probe = whole.prune(whole.inputs, [picture, boxes, scores])
        part = whole.prune([picture], [boxes, scores])
    except Exception as error:  # TensorFlow has several kinds for boxes that need more than the picture
        raise NotCut(first_line(error)) from None
    size = [int(side) for side in probe(tf.constant(frames[0]))[0].shape[1:3]]
    scale, shift = _fit_preprocessing(probe, size)
    column = _person_column(probe, frames, wanted, person_class)
    taken = part.inputs[0].name
    returned = [tensor.name for tensor in part.outputs]
    graph = _without_control(part.graph.as_graph_def(), returned)
    graph, returned[1], column = keep_class(graph, returned[1], column)
    graph = fold_affine(_without_control(graph, returned))

    def detect(images):
        found, chances = tf.graph_util.import_graph_def(
            graph, input_map={taken: images * scale + shift}, return_elements=returned, name=""
        )
        return {"boxes": tf.reshape(found, [1, -1, 4]), "scores": chances[..., column]}

    @tf.function(input_signature=[tf.TensorSpec([1, *size, 3], tf.uint8, name="images")])
    def serve(images):
        return detect(tf.cast(images, tf.float32))

    return Cut(serve.get_concrete_function(), detect, size)


def _without_control(graph_def, returned):
    """The nodes that the returned tensors are computed from; control edges would tie them to a loop of TensorFlow 1."""
    nodes = {node.name: node for node in graph_def.node}
    needed = set()
    waiting = [name.split(":")[0] for name in returned]
    while waiting:
        name = waiting.pop()
        if name in needed:
            continue
        needed.add(name)
        kept = [source for source in nodes[name].input if not source.startswith("^")]
        del nodes[name].input[:]
        nodes[name].input.extend(kept)
        waiting += [source.split(":")[0] for source in kept]
    result = tf.compat.v1.GraphDef(versions=graph_def.versions)
    result.node.extend(node for node in graph_def.node if node.name in needed)
    return result


def _raw_tensors(whole, signature):
    """The boxes and scores of all anchors: (1, A, 4) or (1, A, 1, 4), and (1, A, classes)."""
    names = sorted(signature.structured_outputs)  # the order in which TensorFlow flattens a dict
    if all(name in names for name in RAW_OUTPUTS):
        return [whole.outputs[names.index(name)] for name in RAW_OUTPUTS]
    found = []
    for node in RAW_NODES:
        operations = [op for op in whole.graph.get_operations() if op.name == node or op.name.endswith(f"/{node}")]
        if len(operations) != 1:
            raise NotCut("it has no boxes before its suppression under a known name")
        found.append(operations[0].outputs[0])
    return found


def _network_input(boxes):
    """The tensor that enters the first convolution, before its padding."""
    found = {}  # the convolutions before each operation

    def first_convolutions(start):
        stack = [start]
        entered = {start.name}
        while stack:
            operation = stack[-1]
            before = [tensor.op for tensor in operation.inputs]
            waiting = [op for op in before if op.name not in entered]
            if waiting:
                entered.add(waiting[0].name)
                stack.append(waiting[0])
                continue
            stack.pop()
            earlier = set().union(*(found.get(op.name, ()) for op in before))  # none yet: a loop of TensorFlow 1
            is_convolution = operation.type in ("Conv2D", "DepthwiseConv2dNative")
            found[operation.name] = {operation.name} if is_convolution and not earlier else earlier
        return found[start.name]

    first = first_convolutions(boxes.op)
    if len(first) != 1:
        raise NotCut(f"{len(first)} convolutions read its input")
    picture = boxes.graph.get_operation_by_name(first.pop()).inputs[0]
    while picture.op.type in ("Pad", "PadV2", "Identity"):
        picture = picture.op.inputs[0]
    return picture


def _fit_preprocessing(probe, size):
    """(scale, shift) per channel, float32: what the network takes is pixels * scale + shift. Measured, not guessed."""
    pixels = np.random.default_rng(0).integers(0, 256, (1, *size, 3), dtype=np.uint8)
    taken = probe(tf.constant(pixels))[0].numpy()
    if taken.shape != pixels.shape:
        raise NotCut("its input size depends on the frame")
    scale = np.empty(3)
    shift = np.empty(3)
    for channel in range(3):
        scale[channel], shift[channel] = np.polyfit(
            pixels[..., channel].ravel().astype(float), taken[..., channel].ravel().astype(float), 1
        )
    if np.abs(pixels * scale + shift - taken).max() > MAX_RESIDUAL:
        raise NotCut("its preprocessing is not a scale and a shift of the pixels")
    return scale.astype(np.float32), shift.astype(np.float32)


def _person_column(probe, frames, wanted, person_class) -> int:
    """The column of the raw scores that is the person's, counted from the end (-1 is the last). Tried on frames.

    There may be one for the background or not.
    """
    if not sum(len(boxes) for boxes, _ in wanted):
        raise NotCut("there is nobody in the frames to compare it on")
    raw = [[tensor.numpy() for tensor in probe(tf.constant(frame))[1:]] for frame in frames]
    agreement = {}
    for column in (person_class, person_class - 1):
        if column < raw[0][1].shape[-1]:
            found = [
                find_people({"boxes": boxes.reshape(1, -1, 4), "scores": scores[..., column]}, "anchors", CERTAIN / 2)
                for boxes, scores in raw
            ]
            agreement[column] = compare_detections(wanted, found)["mean"]
    return max(agreement, key=agreement.get) - raw[0][1].shape[-1]
