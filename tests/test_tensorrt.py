"""Plans of TensorRT: built, measured and run with a stand-in for its module and for the driver's memory.

The stand-in has the names and parameters of TensorRT 8.6, 10.13 and 11.4; none of them ran on a device.
"""

import importlib
import json
import sys

import numpy as np
import pytest

from tests.tensorrt_standin import Driver, compute, make
from utils.deploy import board, check, cuda, tensorrt_build
from utils.deploy.detector import Detector
from utils.deploy.manifest import write_manifest
from utils.deploy.reid_net import Embedder
from utils.device import device_name
from utils.errors import InputError

VERSIONS = ("8.5.2", "10.13.0.35", "11.4.0.106")
SIZE = (8, 4)
IMAGES = np.random.default_rng(0).integers(0, 256, (11, *SIZE, 3), dtype=np.uint8)
FP16 = board.BoardOptions(engine="tensorrt")


def embeddings(images) -> np.ndarray:
    """What the re-id net of the tests returns, (N, 6) of norm 1."""
    found = compute("embeddings", images, [-1, 6])
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def write_reid(folder, wanted=None):
    """A folder as --onnx writes it, with a model that the stand-in can parse."""
    folder.mkdir()
    model = {"input": ["images", [-1, *SIZE, 3]], "outputs": {"embeddings": [-1, 6]}, "half": False}
    (folder / "model.onnx").write_text(json.dumps(model))
    (folder / board.HALF).write_text(json.dumps({**model, "half": True}))
    about = {"kind": "reid", "engine": "onnxruntime", "precision": "FP32", "colour_order": "RGB", "format": 1}
    tensors = {
        "inputs": {"images": {"shape": [-1, *SIZE, 3], "dtype": "float32"}},
        "outputs": {"embeddings": {"shape": [-1, 6], "dtype": "float32"}},
    }
    write_manifest(folder, {**about, **tensors, "image_size": list(SIZE), "batches": [1, 2, 8], "built_for": {}})
    check.write_embeddings(folder, IMAGES, embeddings(IMAGES) if wanted is None else wanted)
    return folder


def in_this_process(module, words, *_) -> dict:
    """Takes the place of run_child, which costs a second or two."""
    args = tensorrt_build.parse_args(words)
    if args.what == "probe":
        return tensorrt_build.probe_here()
    tensorrt = importlib.import_module("tensorrt")
    try:
        return tensorrt_build.build_here(
            tensorrt, args.source, args.target, args.precision, args.batches, args.workspace
        )
    except InputError as error:
        return {"error": str(error)}


@pytest.fixture
def use(monkeypatch, tmp_path):
    """use(version) puts the stand-in in the place of TensorRT and of the driver; children: also in child processes."""
    driver = Driver()

    def put(version, children=False):
        if children:
            text = f"import sys\nfrom tests.tensorrt_standin import make\nsys.modules[__name__] = make({version!r})\n"
            (tmp_path / "tensorrt.py").write_text(text)
            monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        else:
            monkeypatch.setattr(tensorrt_build, "run_child", in_this_process)
        monkeypatch.setitem(sys.modules, "tensorrt", make(version, driver))
        monkeypatch.delitem(sys.modules, "utils.deploy.tensorrt_plan", raising=False)
        monkeypatch.setattr(cuda.ctypes, "CDLL", lambda name: driver)
        return driver

    yield put
    sys.modules.pop("utils.deploy.tensorrt_plan", None)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_plan_is_built_measured_and_run(version, use, tmp_path):
    driver = use(version, children=version == VERSIONS[1])
    manifest = board.prepare(write_reid(tmp_path / "onnx"), "reid", tmp_path / "reid", FP16)
    assert manifest == json.loads((tmp_path / "reid/manifest.json").read_text())
    assert (manifest["engine"], manifest["precision"], manifest["batches"]) == ("tensorrt", "FP16", [1, 2, 8])
    assert manifest["built_for"] == {"tensorrt": version, "device": device_name()}
    assert manifest["reason"] == f"TensorRT {version}" and set(manifest["milliseconds"]) == {"1", "2", "8"}
    assert 0.999 < manifest["parity"]["min"] < 1  # FP16, so not quite the same
    assert manifest["parity"]["images"] == 11 and manifest["parity"]["bound"] == {"min": 0.99}
    plan = json.loads((tmp_path / "reid/model.plan").read_text())
    assert plan["profiles"] == [[size, *SIZE, 3] for size in (1, 2, 8)] and plan["half"]
    assert plan["workspace"] == board.BoardOptions().workspace << 20

    driver.runs.clear()
    embedder = Embedder(tmp_path / "reid")
    assert not driver.runs and embedder.batches == [1, 2, 8]
    np.testing.assert_allclose(embedder.embed(IMAGES[:1]), embeddings(IMAGES[:1]), atol=1e-3)
    assert driver.runs == [(1, *SIZE, 3)]  # one person does not cost a batch of eight
    np.testing.assert_allclose(embedder.embed(IMAGES[:10]), embeddings(IMAGES[:10]), atol=1e-3)
    assert [shape[0] for shape in driver.runs[1:]] == [8, 2]
    assert sorted(map(len, driver.memory.values()))[-2:] == [8 * 8 * 4 * 3 * 4] * 2  # of the check and of this one


def test_fp32_and_what_has_no_half_file(use, tmp_path):
    use("11.4.0.106")
    source = write_reid(tmp_path / "onnx")
    (source / board.HALF).unlink()
    manifest = board.prepare(source, "reid", tmp_path / "reid", FP16)
    assert manifest["precision"] == "FP32" and manifest["parity"]["min"] > 0.999999
    assert not json.loads((tmp_path / "reid/model.plan").read_text())["half"]


def test_an_inaccurate_plan_replaces_nothing(use, tmp_path):
    use("10.13.0.35")
    source = write_reid(tmp_path / "onnx", wanted=embeddings(IMAGES)[::-1])
    (tmp_path / "reid").mkdir()
    (tmp_path / "reid/old").touch()
    with pytest.raises(InputError, match="smallest cosine .*; nothing was replaced; try --precision FP32"):
        board.prepare(source, "reid", tmp_path / "reid", FP16)
    assert [path.name for path in (tmp_path / "reid").iterdir()] == ["old"]


def test_a_detector_has_one_shape(use, tmp_path):
    """It finds the box that its check says: that of the anchor with the best score, not those below the threshold."""
    driver = use("10.13.0.35")
    source = tmp_path / "onnx"
    source.mkdir()
    model = {"input": ["images", [1, *SIZE, 3]], "outputs": {"boxes": [1, 5, 4], "scores": [1, 5]}, "half": False}
    (source / "model.onnx").write_text(json.dumps(model))
    about = {"kind": "obj", "engine": "onnxruntime", "precision": "FP32", "colour_order": "RGB", "format": 1}
    inputs = {"images": {"shape": [1, *SIZE, 3], "dtype": "float32"}}
    outputs = {name: {"shape": shape, "dtype": "float32"} for name, shape in model["outputs"].items()}
    more = {"form": "anchors", "image_size": list(SIZE), "batches": [1], "built_for": {}}
    write_manifest(source, {**about, "inputs": inputs, "outputs": outputs, **more})
    image = IMAGES[:1]
    boxes = np.clip(compute("boxes", image, [1, 5, 4])[0], 0, 1)
    scores = compute("scores", image, [1, 5])[0]
    best = [int(scores.argmax())]
    check.write_people(source, image, [(boxes[best], scores[best])])
    manifest = board.prepare(source, "obj", tmp_path / "obj", FP16._replace(precision="FP32"))
    assert manifest["engine"] == "tensorrt" and set(driver.runs) == {(1, *SIZE, 3)}
    found, found_scores = Detector(tmp_path / "obj").find(image[0, ..., ::-1], float(scores.max()) - 1e-3)
    np.testing.assert_allclose(found, boxes[best], atol=1e-5)
    np.testing.assert_allclose(found_scores, scores[best], atol=1e-5)


@pytest.fixture
def plan(use, tmp_path):
    """A folder with a plan for 10.13 that was made elsewhere; the driver."""
    driver = use("10.13.0.35")
    source = write_reid(tmp_path / "onnx")
    board.prepare(source, "reid", tmp_path / "reid", FP16)
    return tmp_path / "reid", driver, use


def change_manifest(folder, **changes):
    write_manifest(folder, {**json.loads((folder / "manifest.json").read_text()), **changes})


def test_a_plan_that_does_not_fit_is_refused_in_a_sentence(plan):
    folder, driver, use = plan
    here = device_name()

    def refused():
        with pytest.raises(InputError) as error:
            Embedder(folder)
        assert str(error.value).endswith(": run python3 pipeline.py here"), error.value
        return str(error.value)

    use("10.3.0")
    assert f"{folder} was built for TensorRT 10.13.0.35, but this machine has 10.3.0" in refused()
    use("10.13.0.35")
    change_manifest(folder, built_for={"tensorrt": "10.13.0.35", "device": "NVIDIA Jetson AGX Orin"})
    assert f"built for another device (NVIDIA Jetson AGX Orin; here: {here})" in refused()
    change_manifest(folder, built_for={"tensorrt": "10.13.0.35", "device": here}, batches=[1, 8])
    assert "takes other batches than its manifest.json describes" in refused()
    change_manifest(folder, batches=[1, 2, 4])
    assert f"this plan does not take an input of [4, {SIZE[0]}, {SIZE[1]}, 3]" in refused()
    change_manifest(folder, batches=[1, 2, 8], inputs={"pixels": {"shape": [-1, *SIZE, 3], "dtype": "float32"}})
    assert "does not hold the model that its manifest.json describes" in refused()
    (folder / "model.plan").write_bytes(b"\x00 no plan")
    assert "TensorRT 10.13.0.35 cannot load this plan" in refused()


def test_a_driver_that_is_missing_or_fails_is_a_sentence(plan, monkeypatch):
    folder, driver, _ = plan
    driver.codes["cuMemAlloc_v2"] = 2
    with pytest.raises(InputError, match="^cuMemAlloc_v2 of the CUDA driver failed with code 2: free memory, or"):
        Embedder(folder)
    monkeypatch.undo()  # the real ctypes.CDLL; here is no driver
    monkeypatch.setitem(sys.modules, "tensorrt", make("10.13.0.35", driver))
    monkeypatch.setattr(cuda, "LIBRARY", "libcuda-missing.so.1")
    with pytest.raises(InputError, match="^there is no CUDA driver here .*libcuda-missing.*: run this on the Jetson"):
        Embedder(folder)


@pytest.mark.parametrize(
    "module, words",
    [
        (None, "tensorrt cannot be imported here"),
        ("raise ImportError('libnvinfer.so.10: cannot open shared object file')", "libnvinfer.so.10: cannot open"),
    ],
)
def test_a_machine_without_tensorrt_is_a_sentence(plan, module, words, monkeypatch, tmp_path):
    folder, _, _ = plan
    monkeypatch.delitem(sys.modules, "utils.deploy.tensorrt_plan", raising=False)
    monkeypatch.delitem(sys.modules, "tensorrt")
    broken = tmp_path / "broken"
    broken.mkdir()
    monkeypatch.syspath_prepend(str(broken))
    if module is None:
        monkeypatch.setitem(sys.modules, "tensorrt", None)
    (broken / "tensorrt.py").write_text(module or "raise ModuleNotFoundError('No module named tensorrt')")
    with pytest.raises(InputError, match=f"{folder} runs in tensorrt, but .*{words}.*python3-libnvinfer"):
        Embedder(folder)
    with pytest.raises(InputError, match="^--engine tensorrt: there is no tensorrt module .*python3-libnvinfer"):
        board.choose_engine("tensorrt")


def test_an_old_tensorrt_is_refused_and_a_bad_model_named(use, tmp_path):
    use("8.4.1")
    assert board.choose_engine("onnxruntime") == ("onnxruntime", None, "as requested")
    with pytest.raises(InputError, match="TensorRT 8.4.1 is too old, this needs 8.5: update to JetPack 5.1"):
        board.choose_engine("tensorrt")
    (tmp_path / "model.onnx").write_bytes(b"no model")
    with pytest.raises(InputError, match="TensorRT cannot build .*model.onnx .*it cannot read the model: Expecting"):
        tensorrt_build.build(tmp_path / "model.onnx", tmp_path / "model.plan", "FP16", [1], 64)
    assert not (tmp_path / "model.plan").exists()
