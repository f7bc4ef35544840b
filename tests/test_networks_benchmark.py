"""The benchmark of the networks: operations counted by hand, and the script in a short run."""

import json

import pytest
import tensorflow as tf

from benchmarks import networks


def test_operations_counted_by_hand():
    layers = tf.keras.layers
    net = tf.keras.Sequential(
        [
            tf.keras.Input((16, 8, 3)),
            layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.GlobalMaxPooling2D(),
            layers.Dense(5),
        ]
    )
    assert networks.gflops(net) * 1e9 == pytest.approx(2 * (3 * 3 * 3 * 8) * (8 * 4) + 2 * 8 * 5)


def test_a_short_run(tmp_path, capsys):
    words = ["--width", "0.125", "--image_size", "64x32", "32x32", "--embedding_size", "16", "--runs", "1"]
    networks.main(networks.parse_args([*words, "--json", str(tmp_path / "n.json")]))
    found = json.loads((tmp_path / "n.json").read_text())
    small = found["32x32_width0_125"]
    large = found["64x32_width0_125"]
    assert small["million_weights"] == large["million_weights"] < 1
    assert large["gflops"] == pytest.approx(2 * small["gflops"], rel=0.05)
    assert large["images_per_second"] == pytest.approx(8000 / large["milliseconds_8"])
    assert "64x32_width0_125" in capsys.readouterr().out
