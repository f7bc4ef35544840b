"""The threshold against loops over all pairs, its image, and its way from test_reid.py to the demo."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

import demo
import test_reid
from tests.fakes import write_checkpoint
from tests.helpers import as_sets, unit
from utils import checkpoint, metrics
from utils.dataset import open_split
from utils.deploy.freeze import FreezeOptions, freeze_reid
from utils.errors import InputError
from utils.evaluation import similarity_histogram as chart
from utils.evaluation import threshold
from utils.evaluation.models import Model
from utils.live.people import MemoryPeople
from utils.metrics import LabelledSet
from utils.resnet import build_id_net

FINE = 2 / threshold.BINS


def all_pairs(query, query_ids, query_cams, gallery, gallery_ids, gallery_cams):
    """The similarities of the same and of different people across cameras, one pair at a time."""
    same = []
    different = []
    for q in range(len(query)):
        for g in range(len(gallery)):
            if -1 in (query_ids[q], gallery_ids[g]) or query_cams[q] == gallery_cams[g]:
                continue
            if query_ids[q] != gallery_ids[g]:
                different.append(float(np.dot(query[q], gallery[g])))
            elif query_ids[q] != 0:
                same.append(float(np.dot(query[q], gallery[g])))
    return np.array(same), np.array(different)


def random_case(seed, queries=60, entries=120):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(12, 6))
    sides = []
    for count in (queries, entries):
        identities = rng.integers(-1, 10, count)
        vectors = centres[identities] + rng.normal(size=(count, 6))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        sides += [vectors, identities, rng.integers(1, 4, count)]
    return sides


@pytest.mark.parametrize("seed", range(5))
def test_operating_points_agree_with_loops_over_all_pairs(seed, monkeypatch):
    case = random_case(seed)
    monkeypatch.setattr(metrics, "BLOCK", 7)
    figures = threshold.operating_points(*threshold.pair_histograms(*as_sets(case)))
    same, different = all_pairs(*case)
    assert (figures["same_pairs"], figures["different_pairs"]) == (len(same), len(different))
    assert 1000 <= len(different) < 10000  # enough for 1 %, too few for 0.1 %
    suggested = figures["threshold"]
    one_percent, tenth = figures["operating_points"]
    assert suggested == one_percent["threshold"] and figures["suggested_at"] == "far1"
    assert np.mean(different >= suggested) <= 0.01 < np.mean(different >= suggested - FINE)
    assert one_percent["tar"] == pytest.approx(100 * np.mean(same >= suggested), abs=1e-9)
    assert tenth == {"name": "far0.1", "far": 0.1, "threshold": None, "tar": None}
    gaps = [abs(np.mean(same < t) - np.mean(different >= t)) for t in np.concatenate([same, different])]
    here = figures["eer_threshold"]
    refused = np.mean(same < here)
    passed = np.mean(different >= here)
    assert abs(refused - passed) <= min(gaps) + 1e-9
    assert figures["eer"] == pytest.approx(50 * (refused + passed), abs=1e-9)


def counts(*pairs):
    """A histogram (BINS,): counts((0.5, 3)) has three pairs at similarity 0.5."""
    found = np.zeros(threshold.BINS, np.int64)
    for similarity, number in pairs:
        found[int(round((similarity + 1) / FINE))] += number
    return found


def test_operating_points_by_hand():
    same = counts((0.2, 10), (0.6, 30), (0.9, 60))
    different = counts((-0.5, 98800), (0.4, 1100), (0.7, 100))
    figures = threshold.operating_points(same, different, "far0.1")
    # 1.2 % of the different pairs lie at 0.4 or above, 0.1 % at 0.7: just above 0.4 only these pass.
    one_percent, tenth = figures["operating_points"]
    assert one_percent["threshold"] == pytest.approx(0.4 + FINE) == tenth["threshold"] == figures["threshold"]
    assert one_percent["tar"] == tenth["tar"] == pytest.approx(90)
    # Between -0.5 and 0.2: 1.2 % pass, none is refused. Between 0.4 and 0.6: 0.1 % pass, 10 % are refused.
    assert figures["eer"] == pytest.approx(0.6) and -0.5 < figures["eer_threshold"] < 0.2
    assert threshold.operating_points(same, different, "eer")["threshold"] == figures["eer_threshold"]


def test_operating_points_of_separated_people_are_in_the_middle():
    figures = threshold.operating_points(counts((0.8, 20)), counts((0.2, 20)), "eer")
    assert figures["eer"] == 0 and figures["threshold"] == pytest.approx(0.5, abs=2 * FINE)


def test_operating_points_of_equal_embeddings():
    figures = threshold.operating_points(counts((0.99, 5000)), counts((0.99, 50000)))
    assert figures["eer"] == 50 and [point["tar"] for point in figures["operating_points"]] == [0, 0]


def test_operating_points_of_too_few_pairs():
    some = counts((0.9, 50))
    with pytest.raises(InputError, match="999 pairs .* 1 % .it takes 1000.*or choose eer"):
        threshold.operating_points(some, counts((0, 999)))
    with pytest.raises(InputError, match="0.1 % .it takes 10000.*or choose far1"):
        threshold.operating_points(some, counts((0, 9999)), "far0.1")
    with pytest.raises(InputError, match="too few pairs across cameras.* 9 of one person and 9999 of two"):
        threshold.operating_points(counts((0.9, 9)), counts((0, 9999)))
    figures = threshold.operating_points(some, counts((0, 1000)))
    assert ("true accepts at 0.1 % false", "too few pairs") in threshold.format_points(figures)


# ---- the image ----


def draw(same, different, title="How similar?"):
    figures = threshold.operating_points(same, different, "eer")
    return chart.similarity_chart(same, different, figures, threshold.format_points(figures), title, title)


def test_similarity_chart_has_the_histograms_at_their_similarities():
    same = counts((0.795, 30), (0.805, 30))
    different = counts((0.095, 30), (0.105, 30))
    low, high = chart._range(same, different, 0.5)
    top, left, bottom, right = (value // chart.LARGER for value in chart.PLOT)
    plot = draw(same, different).astype(int)[top + 5 : bottom - 5, left:right]
    scale = (high - low) / (right - left)
    for similarity, colour in ((0.8, chart.SAME), (0.1, chart.DIFFERENT)):
        filled = chart.OPACITY * np.array(colour) + (1 - chart.OPACITY) * np.array(chart.PAPER)
        columns = np.argwhere(np.abs(plot - filled).max(axis=2) < 6)[:, 1]
        assert len(columns) > 200
        assert np.abs(low + scale * columns - similarity).max() < 0.03
    dark = np.flatnonzero((plot < 60).all(axis=2).any(axis=0))
    assert np.abs(low + scale * dark - 0.45).max() < 0.01, "the line of the threshold is elsewhere"


def test_similarity_chart_cuts_no_text():
    rng = np.random.default_rng(0)
    sides = [np.bincount(rng.integers(low, threshold.BINS, 200_000), minlength=threshold.BINS) for low in (9, 100_000)]
    image = draw(*sides[::-1], title="models/" + 40 * "a long name " + "reid_model-25000.ckpt")
    height, width = (side // chart.LARGER for side in chart.SIZE)
    assert image.shape == (height, width, 3) and image.dtype == np.uint8
    for margin in (image[2:-2, 2:8], image[2:-2, -10:-2], image[2:8, 2:-2], image[-8:-2, 2:-2]):
        assert (np.abs(margin.astype(int) - chart.PAPER) <= 3).all(), "something reaches the edge"
    assert len(cv2.imencode(".png", image)[1]) < 300_000


# ---- from test_reid.py to the demo ----


@pytest.fixture(scope="module")
def measured(tiny_set, tmp_path_factory):
    """The prefix of a checkpoint that test_reid.py measured, its figures, and the embeddings of query and gallery."""
    prefix, _ = write_checkpoint(tmp_path_factory.mktemp("measured") / "m0")
    options = [f"--model={prefix}", f"--data_dir={tiny_set}", "--threshold=eer"]
    embedded = []
    with pytest.MonkeyPatch.context() as patch:
        embed = Model.embed_paths
        patch.setattr(Model, "embed_paths", lambda *a, **b: embedded.append(embed(*a, **b)) or embedded[-1])
        test_reid.main(test_reid.parse_args(options))
    return prefix, json.loads(Path(prefix + checkpoint.THRESHOLD_SUFFIX).read_text()), embedded


def test_threshold_file_agrees_with_loops_over_all_pairs(measured, tiny_set):
    prefix, figures, embedded = measured
    case = []
    for split, embeddings in zip(("query", "test"), embedded):
        data = open_split(tiny_set, split)
        case += [embeddings, data.identities, data.cameras]
    same, different = all_pairs(*case)
    assert (figures["same_pairs"], figures["different_pairs"]) == (len(same), len(different))
    here = figures["threshold"]
    assert figures["eer"] == pytest.approx(50 * (np.mean(same < here) + np.mean(different >= here)), abs=1e-6)
    assert figures["data_dir"] == tiny_set and figures["model"] == prefix
    assert cv2.imread(prefix + checkpoint.THRESHOLD_IMAGE_SUFFIX).shape == (560, 1000, 3)


def test_manifest_and_demo_use_the_measured_threshold(measured, tmp_path, capsys):
    prefix, figures, _ = measured
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 32, 3), np.uint8)
    manifest = freeze_reid(
        prefix, tmp_path / "frozen", lambda size: images, batch=2, options=FreezeOptions(engine="tensorflow")
    )
    assert manifest["threshold"] == figures["threshold"]
    assert json.loads((tmp_path / "frozen" / "manifest.json").read_text())["threshold"] == figures["threshold"]
    asked = SimpleNamespace(similarity_threshold=None, unnamed="number")
    assert demo.make_identities(asked, manifest, MemoryPeople()).threshold == figures["threshold"]
    assert "measured: equal error rate on " in capsys.readouterr().out


def test_stored_threshold_prefers_the_measured_one(tmp_path):
    prefix = tmp_path / "reid_model-1.ckpt"
    args = {"validation": {"threshold": 0.25}}
    assert checkpoint.stored_threshold(prefix, args) == {"threshold": 0.25, "threshold_from": "measured in training"}
    assert checkpoint.stored_threshold(prefix, {})["threshold"] is None
    beside = tmp_path / "reid_model-1.ckpt.threshold.json"  # copied by `scp reid_model-1.ckpt*`
    beside.write_text(json.dumps({"threshold": 0.75, "suggested_at": "far1", "data_dir": "data/shop"}))
    found = checkpoint.stored_threshold(prefix, args)
    assert found == {"threshold": 0.75, "threshold_from": "measured: 1 % false accepts on data/shop"}
    for damaged in ("{", "{}", "[]", '{"threshold": null, "suggested_at": "eer", "data_dir": ""}'):
        beside.write_text(damaged)
        with pytest.raises(InputError, match="reid_model-1.ckpt.threshold.json cannot be read"):
            checkpoint.stored_threshold(prefix, args)


def test_threshold_files_belong_to_the_checkpoint(measured, tmp_path):
    for path in Path(measured[0]).parent.iterdir():
        shutil.copy(path, tmp_path)
    prefix = tmp_path / "reid_model-1.ckpt"
    for suffix in (checkpoint.THRESHOLD_SUFFIX, checkpoint.THRESHOLD_IMAGE_SUFFIX):
        assert checkpoint.strip_suffix(f"{prefix}{suffix}") == str(prefix)
    assert len(list(tmp_path.glob("reid_model-1.ckpt*"))) == 4
    checkpoint.delete(prefix)
    assert not list(tmp_path.glob("reid_model-1.ckpt*"))


@pytest.mark.parametrize(
    "options, expected",
    [
        ([], None),
        (["--threshold"], "far1"),
        (["--threshold=eer"], "eer"),
        (["--threshold", "far0.1"], "far0.1"),
        # the two options of version 1
        (["--threshold_at=eer"], "eer"),
        (["--threshold", "--threshold_at=eer"], "eer"),
        # a launcher of version 1, which passes both options before those of the user
        (["--threshold=False", "--threshold_at=far1"], None),
        (["--threshold=False", "--threshold_at=eer"], None),
        (["--threshold=true", "--threshold_at=eer"], "eer"),
        (["--threshold=False", "--threshold_at=eer", "--threshold"], "eer"),
        (["--threshold=False", "--threshold_at=far1", "--threshold_at=eer"], "eer"),
        (["--threshold=False", "--threshold_at=far1", "--threshold=eer"], "eer"),
    ],
)
def test_parse_args_threshold(options, expected):
    assert test_reid.parse_args(options).threshold == expected


def test_parse_args_refuses_an_unknown_operating_point(capsys):
    with pytest.raises(SystemExit):
        test_reid.parse_args(["--threshold=far2"])
    assert "'far2' is none of far1, far0.1, eer" in capsys.readouterr().err


@pytest.mark.parametrize("num_cameras", [3, 1])
def test_training_threshold_counts_all_pairs(num_cameras):
    rng = np.random.default_rng(4)
    embeddings = unit(rng.normal(size=(60, 5)))
    identities = np.arange(60) % 12 + 1
    cameras = rng.integers(1, num_cameras + 1, 60)
    found = threshold.training_threshold(LabelledSet(None, embeddings, identities, cameras))
    different = np.array([
        embeddings[one] @ embeddings[other]
        for one in range(60)
        for other in range(60)
        if identities[one] != identities[other] and (num_cameras == 1 or cameras[one] != cameras[other])
    ])  # fmt: skip
    assert np.mean(different >= found) <= 0.01 < np.mean(different >= found - FINE)


def test_training_threshold_of_a_single_pair():
    images = LabelledSet(None, np.array([[1.0, 0.0], [0.6, 0.8]]), np.array([1, 2]), np.array([1, 1]))
    assert threshold.training_threshold(images) == pytest.approx(0.6, abs=2 * FINE)


def test_threshold_of_an_id_model_does_not_name_pipeline(tiny_set, tmp_path, capsys):
    prefix = tmp_path / "model.ckpt-7"
    checkpoint.save_weights(build_id_net(5, (64, 32), 0.125), prefix, {"image_size": [64, 32]})
    test_reid.main(test_reid.parse_args([f"--model={prefix}", f"--data_dir={tiny_set}", "--threshold=eer"]))
    printed = capsys.readouterr().out
    assert (
        f"written to {prefix}{checkpoint.THRESHOLD_SUFFIX} and {checkpoint.THRESHOLD_IMAGE_SUFFIX}" in printed
        and "pipeline.py" not in printed
    )


def test_threshold_is_refused_for_random_weights(measured, tiny_set):
    options = [f"--model={measured[0]}", f"--data_dir={tiny_set}", "--threshold=True", "--untrained"]
    with pytest.raises(InputError, match="leave --untrained out"):
        test_reid.main(test_reid.parse_args(options))
