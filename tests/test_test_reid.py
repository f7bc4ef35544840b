"""test_reid.py on checkpoints and frozen models: frozen models are measured beside the checkpoints they came from."""

import functools
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import tensorflow as tf

import test_reid
from tests.fakes import write_model
from tests.helpers import ROOT, as_sets, draw_set, run
from utils import checkpoint, metrics
from utils.checkpoint_paths import find_checkpoint
from utils.errors import InputError
from utils.evaluation import models as models_module

SIZE = (64, 32)  # of the nets; the images are larger, so both ways of reading must resize them
TRAINED = ROOT / "models" / "quick_run"
KEYS = ("rank1", "rank5", "rank10", "rank20", "mAP", "mAP_step", "mINP")


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    return draw_set(tmp_path_factory.mktemp("people") / "set", size=(150, 70))


@pytest.fixture(scope="module", autouse=True)
def models_open_once():
    """Each model is opened once for all tests, because building and tracing a net takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(test_reid, "open_model", functools.lru_cache(lambda path, *_: models_module.open_model(path)))
        yield


def measure(people, tmp_path, *options):
    """The JSON that test_reid.py writes."""
    output = tmp_path / "figures.json"
    test_reid.main(test_reid.parse_args([*map(str, options), f"--data_dir={people}", f"--json={output}"]))
    return json.loads(output.read_text())


# ---- the two ways of reading images ----


def read_both_ways(paths, size):
    """The files as a checkpoint reads them and as a frozen model does, (N, H, W, 3) uint8 each."""
    training = np.concatenate([batch.numpy() for batch in models_module.image_batches(paths, size, 8)])
    return training, np.stack([models_module.read_person(path, size) for path in paths])


def least_cosine(embed, some, others) -> float:
    """The smallest cosine after subtracting the mean, because the embeddings of an untrained net are very similar."""
    some = embed(some)
    others = embed(others)
    mean = some.mean(axis=0)
    some, others = ((each - mean) / np.linalg.norm(each - mean, axis=1, keepdims=True) for each in (some, others))
    return float(np.sum(some * others, axis=1).min())


def write_images(people, size, folder):
    """Writes JPEGs of `size` (height, width) of the drawn people, with noise that reveals careless resizing."""
    paths = []
    for number, path in enumerate(sorted(Path(people, "bounding_box_train").iterdir())[:16]):
        grain = np.random.default_rng(number).normal(0, 10, (*size, 3))
        image = np.clip(cv2.resize(cv2.imread(str(path)), size[::-1]) + grain, 0, 255).astype(np.uint8)
        paths.append(str(folder / f"{number}.jpg"))
        cv2.imwrite(paths[-1], image)
    return paths


@pytest.mark.parametrize("size", [(128, 64), (200, 90), (50, 27), (64, 32)])
def test_both_ways_of_reading_give_similar_embeddings(size, people, models, tmp_path):
    paths = write_images(people, size, tmp_path)
    embed = test_reid.open_model(models[0]).embed
    training, demo = read_both_ways(paths, SIZE)
    assert np.abs(training.astype(int) - demo).max() <= 2
    assert least_cosine(embed, training, demo) > 0.999
    # The threshold is sharp: swapped colours, and a shift by one pixel, do not pass.
    assert least_cosine(embed, training, demo[..., ::-1]) < 0.999
    assert least_cosine(embed, training, np.roll(demo, 1, axis=2)) < 0.999


@pytest.mark.skipif(not (TRAINED / "reid" / "m0").is_dir(), reason="quick_run.sh has not run here")
def test_both_ways_of_reading_give_similar_embeddings_of_a_trained_net(people, tmp_path):
    model = test_reid.open_model(find_checkpoint(TRAINED / "reid" / "m0"))
    for size in ((128, 64), (200, 90), (400, 180)):
        training, demo = read_both_ways(write_images(people, size, tmp_path), model.about["image_size"])
        assert np.sum(model.embed(training) * model.embed(demo), axis=1).min() > 0.999, size


def test_exif_orientation_is_followed_in_both_ways_of_reading(people, tmp_path):
    path = write_images(people, (64, 32), tmp_path)[0]
    content = Path(path).read_bytes()
    # Orientation 6 is a rotation by 90 degrees.
    tags = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    turned = tmp_path / "turned.jpg"
    turned.write_bytes(content[:2] + b"\xff\xe1" + (len(tags) + 2).to_bytes(2, "big") + tags + content[2:])
    upright = cv2.imread(str(turned))  # OpenCV rotates it by default
    assert upright.shape == (32, 64, 3)
    training, demo = read_both_ways([str(turned)], SIZE)
    np.testing.assert_array_equal(demo[0], cv2.resize(upright, SIZE[::-1])[..., ::-1])
    assert np.abs(training.astype(int) - demo).max() <= 3  # TensorFlow resizes it with a rounding of its own


# ---- figures ----


def test_frozen_model_beside_its_checkpoint(people, models, tmp_path, capsys):
    figures = measure(people, tmp_path, "--model", models[1])
    original, frozen = figures["models"]
    assert [original["model"], frozen["model"]] == [models[0], str(models[1])]
    assert [original["kind"], frozen["kind"]] == ["checkpoint", "frozen"]
    assert original["rank1"] > 20  # high enough to fall
    assert abs(original["rank1"] - frozen["rank1"]) < 0.1
    assert frozen["against"]["model"] == models[0] and frozen["against"]["cosine_min"] > 0.999
    assert frozen["against"]["mAP"] == pytest.approx(frozen["mAP"] - original["mAP"])
    printed = capsys.readouterr().out
    assert "frozen, TensorFlow graph in FP32, 64x32 pixels, images read as in demo.py" in printed
    line = next(line for line in printed.splitlines() if "rank-1 " in line)
    assert line.split()[1:] == [f"{original['rank1']:.2f}", "%", f"{frozen['rank1']:.2f}", "%"]
    assert "B minus A: rank-1 +0.00" in printed


def test_several_frozen_models_are_compared_with_the_original(people, models, tmp_path, capsys):
    # A different embedding that claims to be INT8, as after a failed calibration.
    matrix = tf.constant(np.random.default_rng(0).normal(size=(SIZE[0] * SIZE[1] * 3, 32)), tf.float32)

    def serve(images):
        flat = tf.reshape(tf.cast(images, tf.float32) - 128, (4, -1))
        return {"embeddings": tf.nn.l2_normalize(flat @ matrix, axis=1)}

    spoilt = tmp_path / "int8"
    write_model(spoilt, serve, tf.TensorSpec([4, *SIZE, 3], tf.uint8, name="images"))
    manifest = json.loads((models[1] / "manifest.json").read_text())
    manifest["batches"] = [4]  # the spoilt model has only the main signature
    (spoilt / "manifest.json").write_text(json.dumps({**manifest, "precision": "INT8"}))
    figures = measure(people, tmp_path, "--model", models[1], Path(models[0]).parent, spoilt)["models"]
    assert [result["model"] for result in figures] == [models[0], str(models[1]), str(spoilt)]
    assert "against" not in figures[0] and figures[2]["precision"] == "INT8"
    assert figures[1]["against"]["cosine_min"] > 0.999 > figures[2]["against"]["cosine_min"]
    assert figures[2]["against"]["mAP"] == pytest.approx(figures[2]["mAP"] - figures[0]["mAP"])
    assert figures[2]["against"]["mAP"] != 0
    assert "C minus A: rank-1" in capsys.readouterr().out


def test_frozen_model_without_its_checkpoint(people, models, tmp_path, capsys):
    lonely = tmp_path / "lonely"
    shutil.copytree(models[1], lonely)
    manifest = json.loads((lonely / "manifest.json").read_text())
    manifest["source"]["checkpoint"] = "not/copied"
    (lonely / "manifest.json").write_text(json.dumps(manifest))
    alone = measure(people, tmp_path, "--model", lonely)
    assert alone["model"] == str(lonely) and alone["kind"] == "frozen" and "models" not in alone
    assert "its original is not there to compare with" in capsys.readouterr().out
    shutil.copytree(models[1], lonely / "plain")
    assert models_module.find_models([lonely]) == [str(lonely / "plain"), str(lonely)]


def test_json_of_one_model_is_flat_and_has_camera_pairs(people, models, tmp_path, capsys):
    figures = measure(people, tmp_path, "--model", models[0], "--camera_pairs")
    assert figures["model"] == models[0] and figures["data_dir"] == people and set(KEYS) < set(figures)
    pairs = {(pair["query_camera"], pair["gallery_camera"]): pair for pair in figures["camera_pairs"]}
    assert set(pairs) == {(1, 2), (2, 1)}
    # With two cameras, every query has a positive in the other one.
    assert all(pair["queries"] == 6 for pair in pairs.values())
    printed = capsys.readouterr().out.splitlines()
    row = next(line for line in printed if line.startswith("  camera 1 "))
    assert row.split() == ["camera", "1", "-", f"{pairs[1, 2]['rank1']:.1f}", "(6)"]


def test_rerank_adds_a_column(people, models, tmp_path, capsys):
    plain = measure(people, tmp_path, "--model", models[0])
    both = measure(people, tmp_path, "--model", models[0], "--rerank", "--k1=5", "--k2=2", "--rerank_weight=0.2")
    again = both.pop("rerank")
    assert both == plain
    assert (again["k1"], again["k2"], again["weight"]) == (5, 2, 0.2)
    assert again["mAP"] != plain["mAP"] and again["queries"] == plain["queries"]
    own = measure(people, tmp_path, "--model", models[0], "--rerank", "--rerank_weight=1")
    for key in KEYS:  # weight 1 is the original distance
        assert own["rerank"][key] == pytest.approx(plain[key])
    line = next(line for line in capsys.readouterr().out.splitlines() if "re-ranked" in line)
    assert line.split() == ["re-ranked"]


def test_tta_flip_is_the_mean_of_an_image_and_its_mirror_image(people, models):
    paths = sorted(str(path) for path in Path(people, "query").parent.glob("bounding_box_query/*"))
    for path in models:
        model = test_reid.open_model(path)
        images = np.concatenate(list(model.read(paths)))
        both = model.embed(images) + model.embed(np.ascontiguousarray(images[:, :, ::-1]))
        expected = both / np.linalg.norm(both, axis=1, keepdims=True)
        assert model.embed_paths(paths, flip=True) == pytest.approx(expected, abs=1e-4)


def test_figures_agree_with_embeddings_computed_by_keras_and_opencv(people, models, tmp_path):
    net, _ = checkpoint.load_net(models[0])
    sets = []
    for folder in ("bounding_box_query", "bounding_box_test"):
        paths = sorted(Path(people, folder).iterdir())
        images = np.stack([cv2.resize(cv2.imread(str(path)), SIZE[::-1])[..., ::-1] for path in paths])
        embeddings = net(images, training=False).numpy()
        names = [path.name.split("_") for path in paths]
        sets += [embeddings, np.array([int(n[0]) for n in names]), np.array([int(n[1][1]) for n in names])]
    expected = metrics.evaluate(*as_sets(sets))
    figures = measure(people, tmp_path, "--model", models[0])
    for key in KEYS:
        assert figures[key] == pytest.approx(expected[key], abs=0.1)


@pytest.mark.skipif(not (TRAINED / "frozen" / "reid").is_dir(), reason="quick_run.sh has not run here")
def test_frozen_model_of_quick_run_is_as_accurate_as_the_trained_one(tmp_path):
    figures = measure(
        ROOT / "data" / "quick_run", tmp_path, "--model", TRAINED / "reid" / "m0", TRAINED / "frozen/reid"
    )
    original, frozen = figures["models"]
    assert original["rank1"] > 50 and abs(original["rank1"] - frozen["rank1"]) <= 0.1


# ---- options ----


@pytest.mark.parametrize("edited, passed", [
    ("", []),
    ("threshold=eer", ["--threshold=eer"]),
])  # fmt: skip
def test_launcher_passes_a_threshold_only_if_it_is_set(edited, passed, tmp_path):
    (tmp_path / ".venv/bin").mkdir(parents=True)
    python = tmp_path / ".venv/bin/python"
    python.write_text('#!/usr/bin/env bash\nprintf "%s\\n" "$@"\n')
    python.chmod(0o755)
    launcher = (ROOT / "test_reid.sh").read_text()
    assert "\nthreshold= " in launcher
    (tmp_path / "test_reid.sh").write_text(launcher.replace("\nthreshold= ", f"\n{edited or 'threshold='} "))
    script, *options = run("bash", tmp_path / "test_reid.sh", "--rerank").stdout.splitlines()
    assert script == "test_reid.py"
    assert options == ["--model=newest", "--data_dir=data/Market-1501-v15.09.15", *passed, "--rerank"]
    assert test_reid.parse_args(options).rerank


def test_old_name_of_tta_flip():
    assert test_reid.parse_args(["--flip"]).tta_flip
    assert not test_reid.parse_args([]).tta_flip


# ---- mistakes ----


def test_user_mistakes(people, models, tmp_path):
    with pytest.raises(InputError, match="is a frozen model: name a checkpoint"):
        models_module.open_model(models[1], untrained=True)
    with pytest.raises(InputError, match="there is no models/reid/none: "):
        measure(people, tmp_path, "--model", models[1], "models/reid/none")
    with pytest.raises(
        InputError, match="there is no frozen model .*frozen/gone: freeze a re-id model with python3 pipeline.py"
    ):
        measure(people, tmp_path, "--model", tmp_path / "frozen" / "gone")
    detector = tmp_path / "obj"
    shutil.copytree(models[1], detector)
    manifest = json.loads((detector / "manifest.json").read_text())
    (detector / "manifest.json").write_text(json.dumps({**manifest, "kind": "obj"}))
    with pytest.raises(InputError, match="is a frozen detector, not a re-id net"):
        measure(people, tmp_path, "--model", detector)
    assert not (tmp_path / "figures.json").exists()


def test_unreadable_image_is_named(people, models, tmp_path):
    broken = tmp_path / "0001_c1s1_000001_01.jpg"
    broken.write_bytes(b"\xff\xd8\xff not an image \xff\xd9")  # has the markers of a JPEG
    with pytest.raises(InputError, match="0001_c1s1_000001_01.jpg cannot be decoded"):
        test_reid.open_model(models[1]).embed_paths([str(broken)])


def test_embeddings_that_are_not_numbers_are_refused(people, models):
    paths = [str(path) for path in Path(people, "bounding_box_query").iterdir()]
    model = test_reid.open_model(models[0])
    broken = model._replace(embed=lambda images: model.embed(images) * np.nan)
    with pytest.raises(InputError, match="not numbers"):
        broken.embed_paths(paths)
