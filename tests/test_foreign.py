"""Published networks in ONNX: what they are given and what is read from them, with small ones whose result is known."""

import argparse
import importlib.util
import json
import sys

import cv2
import numpy as np
import pytest

from tests.helpers import refusal, run, unit
from tests.test_onnx import WITHOUT_TENSORFLOW
from utils.deploy import board, foreign
from utils.deploy.detector import Detector
from utils.deploy.pixels import as_pixels
from utils.deploy.reid_net import Embedder
from utils.errors import InputError

pytestmark = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime")),
    reason="pip install tf2onnx onnxruntime",
)
HEIGHT, WIDTH = (16, 8)
WEIGHTS = np.random.default_rng(0).normal(size=(HEIGHT * WIDTH * 3, 5)).astype(np.float32)
PEOPLE = np.random.default_rng(1).integers(0, 256, (7, HEIGHT, WIDTH, 3), dtype=np.uint8)
FRAME = np.full((128, 64, 3), 90, np.uint8)


def save(path, inputs: dict, outputs: dict, nodes, constants: dict):
    """Writes an ONNX file: {name: shape} of float32 tensors, where a string stands for any size."""
    from onnx import TensorProto, helper, numpy_helper
    from onnx import save as save_model

    def described(tensors):
        return [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in tensors.items()]

    stored = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "net", described(inputs), described(outputs), stored)
    save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))
    return path


def write_reid(path, shape=("N", 3, HEIGHT, WIDTH), outputs=None):
    """A re-id net whose embedding is linear in its pixels."""
    from onnx import helper

    nodes = [helper.make_node("Flatten", ["pixels"], ["flat"]), helper.make_node("MatMul", ["flat", "weights"], ["v"])]
    outputs = outputs or {"v": [shape[0], 5]}
    if "v4" in outputs:
        nodes.append(helper.make_node("Unsqueeze", ["v", "axes"], ["v4"]))
    constants = {"weights": WEIGHTS, **({"axes": np.array([2, 3])} if "v4" in outputs else {})}
    return save(path, {"pixels": list(shape)}, outputs, nodes, constants)


def write_detector(path, size, **results):
    """A detector that returns the same for every frame; results: {output: array}."""
    from onnx import helper

    nodes = [
        helper.make_node("ReduceMax", ["frame"], ["one"], keepdims=0),
        helper.make_node("Mul", ["one", "zero"], ["none"]),
    ]
    for name in results:
        nodes.append(helper.make_node("Add", ["none", f"{name}_values"], [name]))
    constants = {"zero": np.float32(0), **{f"{name}_values": array for name, array in results.items()}}
    outputs = {name: array.shape for name, array in results.items()}
    return save(path, {"frame": [1, 3, *size]}, outputs, nodes, constants)


@pytest.mark.parametrize(
    "pixels, layout, batches",
    [
        (None, "NCHW", [1, 2, 4]),
        ("unit", "NHWC", [1, 2, 4]),
        ("BGR:100,110,120:50,60,70", "NCHW", [2]),
    ],
)
def test_a_reid_net_gets_the_pixels_that_it_was_trained_on(pixels, layout, batches, tmp_path):
    first = "N" if len(batches) > 1 else batches[0]
    sizes = (3, HEIGHT, WIDTH) if layout == "NCHW" else (HEIGHT, WIDTH, 3)
    outputs = {"v4": [first, 5, 1, 1]} if layout == "NHWC" else None
    path = write_reid(tmp_path / "net.onnx", (first, *sizes), outputs)
    given = as_pixels(pixels) if pixels else None
    about = foreign.take_reid(path, tmp_path / "onnx", given, lambda size: PEOPLE, "noise", batch=4)
    assert (about["image_size"], about["batches"]) == ([HEIGHT, WIDTH], batches)
    assert about["parity"]["min"] > 0.99999
    board.prepare(tmp_path / "onnx", "reid", tmp_path / "reid", board.BoardOptions("onnxruntime"))

    images = PEOPLE.astype(np.float64)
    if pixels is None:
        images = (images / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    elif pixels == "unit":
        images = images / 255
    else:
        images = (images[..., ::-1] - [100, 110, 120]) / [50, 60, 70]
    images = images.transpose(0, 3, 1, 2) if layout == "NCHW" else images
    wanted = unit(images.reshape(len(PEOPLE), -1) @ WEIGHTS)
    np.testing.assert_allclose(Embedder(tmp_path / "reid").embed(PEOPLE), wanted, atol=1e-5)


def test_test_reid_measures_a_published_net(tmp_path):
    from utils.evaluation import models

    foreign.take_reid(write_reid(tmp_path / "net.onnx"), tmp_path / "reid", None, lambda size: PEOPLE, "noise")
    paths = [str(tmp_path / f"{number}.png") for number in range(3)]
    for path, image in zip(paths, PEOPLE):
        cv2.imwrite(path, image[..., ::-1])
    assert models.find_models([tmp_path / "reid"]) == [str(tmp_path / "reid")]
    model = models.open_model(tmp_path / "reid")
    assert (model.about["engine"], model.original) == ("onnxruntime", None)
    np.testing.assert_allclose(model.embed_paths(paths), Embedder(tmp_path / "reid").embed(PEOPLE[:3]), atol=1e-6)


def test_the_threshold_of_a_published_net_goes_into_its_manifest(tmp_path, tiny_set):
    folder = tmp_path / "reid"
    foreign.take_reid(write_reid(tmp_path / "net.onnx"), folder, None, lambda size: PEOPLE, "noise")
    before = Embedder(folder).manifest
    assert "threshold" not in before
    finished = run("test_reid.py", f"--model={folder}", f"--data_dir={tiny_set}", "--threshold=eer")
    assert finished.returncode == 0, finished.stderr
    after = Embedder(folder).manifest
    assert f"{after['threshold']:.3f}" in finished.stdout and -1 < after["threshold"] < 1
    assert {name for name in after if after[name] != before.get(name)} == {"threshold", "threshold_from"}
    assert after["threshold_from"] == f"measured: equal error rate on {tiny_set}"
    assert cv2.imread(str(folder / "threshold.png")).shape == (560, 1000, 3)


def yolox_result(classes=80, person=0):
    """(1, 84, 5 + classes) of YOLOX for 64x64: a person of 16x32 pixels at x 24, y 36, and a doubtful one beside."""
    found = np.zeros((1, 84, 5 + classes), np.float32)
    cell = 64 + 2 * 4 + 1  # stride 16, row 2, column 1
    found[0, cell] = 0
    found[0, cell, :4] = [0.5, 0.25, 0, np.log(2)]
    found[0, cell, [4, 5 + person]] = [0.9, 0.8]
    found[0, cell + 1, :4] = [-0.5, 0.25, 0, np.log(2)]  # the same box from the next column: suppressed
    found[0, cell + 1, [4, 5 + person]] = [0.9, 0.7]
    found[0, 3, [4, 5 + person]] = [0.9, 0.2]
    found[0, 5, [4, 5 + person + 1]] = [0.9, 0.9]  # of another class
    return found


def decoded_result():
    """The same person as YOLOX exports it with --decode_in_inference: pixels."""
    found = np.zeros((1, 84, 85), np.float32)
    found[0, :, :2] = 60
    found[0, 7, :4] = [24, 36, 16, 32]
    found[0, 7, [4, 5]] = [0.9, 0.8]
    return found


# 64x64 pixels hold the frame of 128x64 in its left half: y 20..52 of 64, x 16..32 of 32.
LETTERBOXED = [20 / 64, 16 / 32, 52 / 64, 32 / 32]


@pytest.mark.parametrize(
    "form, results, person_class, box, score",
    [
        ("yolox", {"output": yolox_result()}, None, LETTERBOXED, 0.72),
        ("yolox", {"output": yolox_result(7, 3)}, 3, LETTERBOXED, 0.72),
        ("yolo", {"output": decoded_result()}, None, LETTERBOXED, 0.72),
        (
            "detr",
            {
                "labels": 12 * np.eye(2, 91, dtype=np.float32)[np.newaxis] - 9,  # the second box is a person
                "dets": np.array([[[0.9, 0.9, 0.1, 0.1], [0.5, 0.25, 0.4, 0.3]]], np.float32),
            },
            None,
            [0.1, 0.3, 0.4, 0.7],
            1 / (1 + np.exp(-3)),
        ),
    ],
)
def test_a_detector_finds_the_box_that_it_means(form, results, person_class, box, score, tmp_path):
    path = write_detector(tmp_path / "net.onnx", (64, 64), **results)
    about = foreign.take_detector(path, tmp_path / "onnx", None, person_class, [FRAME], "grey")
    assert about["form"] == form and about["parity"]["boxes"] == 1
    assert about["preprocessing"]["channels"] == ("RGB" if form == "detr" else "BGR")
    board.prepare(tmp_path / "onnx", "obj", tmp_path / "obj", board.BoardOptions("onnxruntime"))
    boxes, scores = Detector(tmp_path / "obj").detect(FRAME)
    np.testing.assert_allclose(boxes, [box], atol=1e-5)
    np.testing.assert_allclose(scores, [score], atol=1e-5)


def test_a_letterboxed_frame_keeps_its_proportions(tmp_path):
    path = write_detector(tmp_path / "net.onnx", (64, 64), output=yolox_result())
    foreign.take_detector(path, tmp_path / "obj", None, None, [FRAME], "grey")
    wide = np.full((30, 120, 3), 200, np.uint8)
    taken = Detector(tmp_path / "obj").as_input(wide)
    assert taken.shape == (1, 64, 64, 3)
    assert (taken[0, :16] == 200).all() and (taken[0, 16:] == 114).all()


def refused(take, *arguments) -> str:
    with pytest.raises(InputError) as error:
        take(*arguments)
    return str(error.value)


def test_what_is_no_reid_net_is_refused(tmp_path):
    def take(path):
        said = refused(foreign.take_reid, path, tmp_path / "reid", None, lambda size: PEOPLE, "noise")
        assert not (tmp_path / "reid").exists()
        return said

    assert "there is no file" in take(tmp_path / "gone.onnx")
    (tmp_path / "text.onnx").write_text("no model")
    assert "text.onnx is not an ONNX model that onnxruntime can read" in take(tmp_path / "text.onnx")
    said = take(write_reid(tmp_path / "any.onnx", ("N", 3, "H", WIDTH)))
    assert "does not take images of one size (pixels float32 [-1, 3, -1, 8]): export it with height and width" in said
    two = write_detector(tmp_path / "two.onnx", (64, 64), a=np.ones((1, 5), "f4"), b=np.ones((1, 6), "f4"))
    assert "does not return one vector per image: its outputs are a [1, 5], b [1, 6]" in take(two)
    nothing = write_detector(tmp_path / "zero.onnx", (HEIGHT, WIDTH), v=np.zeros((1, 5), np.float32))
    assert "returns vectors that are zero or not numbers: name its pixels with --reid_pixels" in take(nothing)


def test_what_is_no_detector_is_refused(tmp_path):
    def take(person_class=None, **results):
        path = write_detector(tmp_path / "net.onnx", (64, 64), **results)
        return refused(foreign.take_detector, path, tmp_path / "obj", None, person_class, [FRAME], "grey")

    known = "not (1, boxes, 5 + classes) as YOLOX or (1, boxes, 4) and (1, boxes, classes) as RF-DETR and D-FINE"
    said = take(output0=np.zeros((1, 300, 6), np.float32))
    assert said.endswith(f"net.onnx is no detector of a known form: it returns output0 [1, 300, 6], {known}")
    assert "has 7 classes: name that of a person with --person_class, from 0" in take(output=yolox_result(7))
    assert "has 7 classes" in take(7, output=yolox_result(7))


def test_pixels_that_cannot_be_read_are_refused():
    assert as_pixels("RGB:1,2,3:4,5,8") == {"channels": "RGB", "mean": [1, 2, 3], "scale": [0.25, 0.2, 0.125]}
    for text in ("imagenett", "RGB:1,2:3,4", "RGB:1,2,3:4,5,0", "GBR:1,2,3:4,5,6", "RGB:1,2,3"):
        with pytest.raises(argparse.ArgumentTypeError, match="is not one of imagenet, unit, rgb, bgr, or like RGB:"):
            as_pixels(text)


def test_the_scripts_take_published_networks_without_tensorflow(tmp_path):
    script = [sys.executable, "-c", WITHOUT_TENSORFLOW]
    reid = write_reid(tmp_path / "reid.onnx")
    detector = write_detector(tmp_path / "yolox.onnx", (64, 64), output=yolox_result())
    words = ["--reid_onnx", reid, "--detector_onnx", detector, "--output", tmp_path / "frozen", "--engine=onnxruntime"]
    made = run(*script, "pipeline.py", *words)
    assert made.returncode == 0, made.stderr
    assert board.find_models(tmp_path / "frozen/onnx").keys() == {"obj", "reid"}
    cv2.imwrite(str(tmp_path / "frame.png"), FRAME)
    words = ["--source", tmp_path / "frame.png", "--headless", "--detector", tmp_path / "frozen/obj"]
    words += ["--reid", tmp_path / "frozen/reid", "--summary", tmp_path / "summary.json"]
    played = run(*script, "demo.py", *words)
    assert played.returncode == 0, played.stderr
    assert json.loads((tmp_path / "summary.json").read_text())["boxes"] == 1
    said = refusal(run(*script, "pipeline.py", "obj", "--reid_onnx", reid))
    assert "--reid_onnx and --detector_onnx need a command of their own" in said
