"""Rebuilds a TensorFlow.js graph model of an SSD as a SavedModel with the signature of TensorFlow's detection zoo.

The model is a TensorFlow graph as JSON (model.json) and files ("shards") with the weights of its Const nodes, one after
the other. The graph ends at the decoded boxes and scores of all anchors; non-maximum suppression is added here.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np

from utils.errors import InputError

BOXES = "Postprocessor/ExpandDims_1"  # (B, A, 1, 4) for A anchors
SCORES = "Postprocessor/Slice"  # (B, A, 90), without the background class
RESIZED = "Preprocessor/map/TensorArrayStack/TensorArrayGatherV3"  # (B, 300, 300, 3), resized one by one in a loop
IMAGE = "image_tensor"
RESIZED_SIZE = (300, 300)
# The zoo's settings, except for the score threshold: with theirs, 1e-8, there are always a hundred boxes.
IOU_THRESHOLD = 0.6
SCORE_THRESHOLD = 0.01
MAX_BOXES = 100


def rebuild(folder: Path, target: Path) -> None:
    """Reads `folder`/model.json and its shards, and writes the SavedModel `target`; InputError if it is not that SSD.

    Signature: `input_tensor` uint8 (1, H, W, 3) RGB of any size -> float32 `detection_boxes` (1, 100, 4) as
    [ymin, xmin, ymax, xmax] in 0..1, `detection_scores` and `detection_classes` (1, 100), `num_detections` (1,);
    a person is class 1.
    """
    import tensorflow as tf

    try:
        model = json.loads((folder / "model.json").read_text())
        nodes = _bypass_resize_loop(model["modelTopology"]["node"])
        graph = _graph_def(tf, nodes, _read_weights(folder, model["weightsManifest"]))
    except (KeyError, ValueError, OSError) as error:
        raise InputError(f"{folder} is not the TensorFlow.js graph of an SSD ({error}): fetch it again") from None

    @tf.function(input_signature=[tf.TensorSpec([1, None, None, 3], tf.uint8, name="input_tensor")])
    def detect(input_tensor):  # (1, H, W, 3) uint8 RGB
        # The graph was trained with this operation; tf.image.resize places the pixel centres differently.
        resized = tf.raw_ops.ResizeBilinear(images=tf.cast(input_tensor, tf.float32), size=RESIZED_SIZE)
        boxes, scores = tf.graph_util.import_graph_def(
            graph, input_map={f"{IMAGE}:0": resized}, return_elements=[f"{BOXES}:0", f"{SCORES}:0"], name=""
        )
        boxes, scores, classes, count = tf.image.combined_non_max_suppression(
            boxes, scores, MAX_BOXES, MAX_BOXES, IOU_THRESHOLD, SCORE_THRESHOLD, clip_boxes=True
        )
        # The suppression numbers classes from 0, the zoo from 1, where 0 is the background.
        return {
            "detection_boxes": boxes,
            "detection_scores": scores,
            "detection_classes": classes + 1.0,
            "num_detections": tf.cast(count, tf.float32),
        }

    module = tf.Module()
    module.detect = detect
    tf.saved_model.save(module, str(target), signatures=detect)


def _bypass_resize_loop(nodes: list) -> list:
    """The nodes that the outputs need, with resized float32 images as input.

    The graph resizes images one by one in a loop of TensorFlow 1, which optimisers cannot improve; it is cut off here.
    """
    by_name = {node["name"]: dict(node) for node in nodes}
    for node in by_name.values():
        node["input"] = [IMAGE if name == RESIZED else name for name in node.get("input", [])]
    by_name[IMAGE]["attr"] = {"dtype": {"type": 1}}  # float32
    needed = set()
    waiting = [BOXES, SCORES]
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting += [source.split(":")[0].lstrip("^") for source in by_name[name]["input"]]
    return [node for name, node in by_name.items() if name in needed]


def _read_weights(folder: Path, manifest: list) -> dict:
    """{name of a Const node: its array}; ValueError if the shards do not fit the manifest."""
    weights = {}
    for group in manifest:
        data = b"".join((folder / path).read_bytes() for path in group["paths"])
        offset = 0
        for entry in group["weights"]:
            if "quantization" in entry:
                raise ValueError(f"{entry['name']} is quantised")
            dtype = np.dtype(entry["dtype"]).newbyteorder("<")
            count = int(np.prod(entry["shape"], dtype=np.int64))
            weights[entry["name"]] = np.frombuffer(data, dtype, count, offset).reshape(entry["shape"])
            offset += count * dtype.itemsize
        if offset != len(data):
            raise ValueError(f"the weights take {offset} bytes, the shards hold {len(data)}")
    return weights


def _graph_def(tf, nodes: list, weights: dict):
    """The GraphDef of nodes in JSON form, with the weights in its Const nodes."""
    graph = tf.compat.v1.GraphDef()
    for node in nodes:
        added = graph.node.add(name=node["name"], op=node["op"], input=node.get("input", []))
        for key, value in node.get("attr", {}).items():
            if node["op"] == "Const" and key == "value":
                added.attr[key].tensor.CopyFrom(tf.make_tensor_proto(weights[node["name"]]))
            else:
                _set_attribute(added.attr[key], value)
    return graph


def _set_attribute(target, value: dict) -> None:
    """Fills an AttrValue from its JSON form, where integers are strings, and bytes are base64 or lists of numbers."""
    [(kind, content)] = value.items()
    if kind == "s":
        target.s = _bytes(content)
    elif kind == "i":
        target.i = int(content)
    elif kind == "shape":
        _set_shape(target.shape, content)
    elif kind == "list":
        target.list.SetInParent()
        target.list.i.extend(int(number) for number in content.get("i", []))
        target.list.f.extend(content.get("f", []))
        target.list.s.extend(_bytes(text) for text in content.get("s", []))
        target.list.type.extend(content.get("type", []))
    elif kind in ("f", "b", "type"):
        setattr(target, kind, content)
    else:
        raise ValueError(f"an attribute of kind '{kind}'")


def _set_shape(target, content: dict) -> None:
    target.unknown_rank = bool(content.get("unknownRank", False))
    for dimension in content.get("dim", []):
        target.dim.add(size=int(dimension["size"]))


def _bytes(content) -> bytes:
    return bytes(content) if isinstance(content, list) else base64.b64decode(content)
