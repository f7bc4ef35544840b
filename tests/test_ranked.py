"""Ranked results against cases by hand and the brute-force search, and the images of them."""

import cv2
import numpy as np
import pytest

import test_reid
from tests.helpers import unit
from utils import image_grid
from utils.errors import InputError
from utils.evaluation import ranked
from utils.evaluation.models import Model
from utils.evaluation.ranked import IGNORED, RIGHT, WRONG
from utils.metrics import LabelledSet


def labelled(similarities, identities, cameras, paths=None):
    """A set whose images have the given similarities to the embedding (1, 0)."""
    similarities = np.array(similarities)
    embeddings = np.stack([similarities, np.sqrt(1 - similarities**2)], axis=1)
    paths = paths or [f"g{number}.jpg" for number in range(len(similarities))]
    return LabelledSet(np.array(paths, object), embeddings, np.array(identities), np.array(cameras))


def test_rank_by_hand():
    query = labelled([1.0], [3], [1], ["q.jpg"])
    # right .9 in the query's own camera, junk .8, wrong .7, right .6, distractor .5, another of junk .95, itself 1.0
    gallery = labelled([0.9, 0.8, 0.7, 0.6, 0.5, 0.95, 1.0], [3, -1, 2, 3, 0, -1, 3], [1, 2, 1, 2, 1, 1, 1])
    gallery.paths[6] = "q.jpg"
    (row,) = ranked.rank(query, gallery, [0], np.array([50.0]))
    places = [(index, kind) for index, _, kind in row.answers]
    assert places == [(5, IGNORED), (0, IGNORED), (1, IGNORED), (2, WRONG), (3, RIGHT), (4, WRONG)]
    assert [similarity for _, similarity, _ in row.answers] == pytest.approx([0.95, 0.9, 0.8, 0.7, 0.6, 0.5])
    assert row.query == 0 and row.precision == 50


def test_rank_limits_valid_and_ignored_answers():
    rng = np.random.default_rng(0)
    query = labelled([1.0], [1], [1], ["q.jpg"])
    similarities = np.sort(rng.uniform(-1, 1, 60))[::-1]
    gallery = labelled(similarities, [-1, 1, 2] * 20, [1] * 60)
    (row,) = ranked.rank(query, gallery, [0], np.array([np.nan]))
    counted = [index for index, _, kind in row.answers if kind != IGNORED]
    ignored = [index for index, _, kind in row.answers if kind == IGNORED]
    assert counted == list(range(2, 32, 3)) and ignored == [0, 1, 3, 4]


def test_choose_queries():
    queries = labelled([0.1] * 6, [1] * 6, [1] * 6, [f"folder/{name}.jpg" for name in "abcdef"])
    precisions = np.array([50, np.nan, 10, 90, 30, 20.0])
    assert list(ranked.choose_queries("worst", 3, queries, precisions)) == [2, 5, 4]
    assert list(ranked.choose_queries("worst", 99, queries, precisions)) == [2, 5, 4, 0, 3]
    drawn = [tuple(ranked.choose_queries("random", 3, queries, precisions, seed)) for seed in (0, 0, 1, 2, 3)]
    assert drawn[0] == drawn[1] and len(set(drawn)) > 1
    assert all(len(set(some)) == 3 and 1 not in some for some in drawn)
    assert list(ranked.choose_queries("e.jpg, b", 1, queries, precisions)) == [4, 1]
    with pytest.raises(InputError, match="there is no query 'x.jpg': use worst, random, or names .* a.jpg"):
        ranked.choose_queries("a,x.jpg", 3, queries, precisions)


def test_ranked_grid_shows_each_file_in_its_frame(tmp_path):
    colours = [(250, 0, 250), (0, 250, 250), (250, 250, 0), (90, 90, 250)]
    paths = []
    for number, colour in enumerate(colours):
        paths.append(str(tmp_path / f"{number}.png"))
        cv2.imwrite(paths[-1], np.full((64, 32, 3), colour[::-1], np.uint8))
    queries = labelled([1.0], [1], [1], paths[:1])
    gallery = labelled([0.5, 0.7, 0.9], [1, 2, 1], [2, 2, 1], paths[1:])
    rows = ranked.rank(queries, gallery, [0], np.array([12.3]))
    image = ranked.ranked_grid(rows, queries, gallery, "a title that is a good deal wider than the four images")
    height, width = image_grid.TILE
    top = ranked.HEADER
    expected = [(0, image_grid.BLUE), (3, image_grid.GREY), (2, image_grid.RED), (1, image_grid.GREEN)]
    for place, (number, frame) in enumerate(expected):
        left = ranked.LABEL + place * (width + image_grid.GAP)
        tile = image[top : top + height, left : left + width]
        assert tuple(tile[height // 2, width // 2]) == colours[number]
        assert (tile[0] == frame).all() and (tile[-1] == frame).all() and (tile[:, 0] == frame).all()
        under = image[top + height : top + height + image_grid.CAPTION, left : left + width]
        assert (under != image_grid.PAPER).any(), "no caption"
    assert (image[: ranked.HEADER, -3:] == image_grid.PAPER).all(), "the title is cut"
    assert (image[top:, : ranked.LABEL] != image_grid.PAPER).any()


@pytest.fixture
def model_of_colours(monkeypatch):
    """test_reid.py measures a model that embeds the mean colours of the upper and the lower half of an image."""

    def read(paths):
        yield np.stack([cv2.imread(path) for path in paths])

    def embed(images):
        halves = [part.mean(axis=(1, 2)) for part in np.split(images, 2, axis=1)]
        return unit(np.concatenate(halves, axis=1) - 128)

    about = {"kind": "checkpoint", "image_size": [64, 32]}
    model = Model("m0", about, None, embed, read)
    monkeypatch.setattr(test_reid, "find_models", lambda names: names)
    monkeypatch.setattr(test_reid, "open_model", lambda *_: model)


def test_option_ranked(model_of_colours, tiny_set, tmp_path, capsys):
    drawn = tmp_path / "worst.png"
    options = [f"--data_dir={tiny_set}", f"--ranked={drawn}"]
    test_reid.main(test_reid.parse_args([*options, "--ranked_count=3"]))
    row = image_grid.TILE[0] + image_grid.CAPTION + image_grid.GAP
    assert cv2.imread(str(drawn)).shape[0] == ranked.HEADER + 3 * row
    assert "3 queries with their ranked results" in capsys.readouterr().out


def test_option_ranked_is_checked_first(model_of_colours, tiny_set, tmp_path):
    drawn = tmp_path / "worst.png"
    drawn.write_text("precious")
    for wrong, sentence in (
        ([f"--ranked={tmp_path}/new/worst.png"], "there is no such folder"),
        ([f"--ranked={tmp_path}/worst.jpg"], "use a name that ends in .png"),
        ([f"--ranked={drawn}", "--ranked_queries=nobody.jpg"], "there is no query 'nobody.jpg'"),
    ):
        with pytest.raises(InputError, match=sentence):
            test_reid.main(test_reid.parse_args([f"--data_dir={tiny_set}", *wrong]))
    assert drawn.read_text() == "precious" and list(tmp_path.iterdir()) == [drawn]
