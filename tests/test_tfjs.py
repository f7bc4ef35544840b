"""A detector rebuilt from TensorFlow.js computes what its original does."""

import numpy as np
import pytest
import tensorflow as tf

from utils.errors import InputError
from utils.setup import tfjs


def test_graph_def_computes_what_the_original_graph_does(tmp_path):
    """The original is written as JSON by protobuf itself, with the weights in shards as TensorFlow.js keeps them."""
    from google.protobuf.json_format import MessageToDict

    rng = np.random.default_rng(0)
    graph = tf.Graph()
    with graph.as_default():
        images = tf.compat.v1.placeholder(tf.float32, [None, 8, 8, 3], name="images")
        kernel = tf.constant(rng.normal(size=(3, 3, 3, 4)).astype(np.float32), name="kernel")
        convolved = tf.nn.conv2d(images, kernel, strides=[1, 2, 2, 1], padding="SAME")
        tf.reshape(convolved, tf.constant([-1, 64], name="shape"), name="result")
    nodes = MessageToDict(graph.as_graph_def())["node"]
    types = {"DT_FLOAT": 1, "DT_INT32": 3}
    for node in nodes:
        node["attr"] = {key: value for key, value in node["attr"].items() if not key.startswith("_")}
        for value in node["attr"].values():
            if "type" in value:
                value["type"] = types[value["type"]]
    constants = {"kernel": kernel, "shape": np.array([-1, 64], np.int32)}
    with tf.compat.v1.Session(graph=graph) as session:
        values = rng.normal(size=(2, 8, 8, 3)).astype(np.float32)
        wanted = session.run("result:0", {"images:0": values})
        constants["kernel"] = session.run(kernel)
    data = b"".join(value.tobytes() for value in constants.values())
    (tmp_path / "shard1").write_bytes(data[:100])
    (tmp_path / "shard2").write_bytes(data[100:])
    entries = [{"name": n, "shape": list(v.shape), "dtype": v.dtype.name} for n, v in constants.items()]
    weights = tfjs._read_weights(tmp_path, [{"paths": ["shard1", "shard2"], "weights": entries}])
    rebuilt = tfjs._graph_def(tf, nodes, weights)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.graph_util.import_graph_def(rebuilt, name="")
        np.testing.assert_allclose(session.run("result:0", {"images:0": values}), wanted, rtol=1e-6)


def test_rebuild_refuses_another_model(tmp_path):
    with pytest.raises(InputError, match="not the TensorFlow.js graph of an SSD"):
        tfjs.rebuild(tmp_path, tmp_path / "saved_model")
    (tmp_path / "model.json").write_text('{"modelTopology": {"node": []}, "weightsManifest": []}')
    with pytest.raises(InputError, match="not the TensorFlow.js graph of an SSD"):
        tfjs.rebuild(tmp_path, tmp_path / "saved_model")
