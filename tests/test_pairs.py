"""test_reid.py --compare and --embeddings: single images instead of a labelled set."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

import test_reid
from tests.helpers import draw_set
from utils import checkpoint
from utils.dataset import image_batches, load_image
from utils.deploy.reid_net import crop_person
from utils.errors import InputError
from utils.evaluation import pairs
from utils.evaluation.models import open_model

SIZE = (64, 32)  # of the nets of the fixture `models`


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = Path(draw_set(tmp_path_factory.mktemp("people") / "set", size=SIZE)) / "bounding_box_test"
    return sorted(str(path) for path in folder.iterdir())[:3]


def ask(*options):
    test_reid.main(test_reid.parse_args([str(option) for option in options]))


def write_threshold(prefix, value):
    content = {"threshold": value, "suggested_at": "far1", "data_dir": "somewhere"}
    Path(f"{prefix}{checkpoint.THRESHOLD_SUFFIX}").write_text(json.dumps(content))


def test_compare_prints_the_similarity_of_each_pair_and_whether_it_reaches_the_threshold(models, images, capsys):
    net, _ = checkpoint.load_net(models[0])
    embeddings = net(np.stack([load_image(path, SIZE) for path in images]), training=False).numpy()
    similarity = embeddings @ embeddings.T
    expected = sorted([similarity[0, 1], similarity[0, 2], similarity[1, 2]])
    write_threshold(models[0], float(expected[0] + expected[1]) / 2)
    ask("--model", models[0], "--compare", *images)
    lines = capsys.readouterr().out.splitlines()
    for first, second in ((0, 1), (0, 2), (1, 2)):
        words = next(line for line in lines if images[first] in line and images[second] in line).split()
        assert float(words[2]) == pytest.approx(similarity[first, second], abs=6e-4)
        assert words[3:] == (
            ["different", "people"] if similarity[first, second] == expected[0] else ["same", "person"]
        )
    assert lines[-1].startswith(f"threshold of {models[0]}: ")


def test_compare_without_a_threshold_prints_similarities_alone(models, images, capsys):
    ask("--model", models[1], "--compare", *images[:2])  # it was frozen before a threshold was measured
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == f"{models[1]} has no threshold: measure one with --threshold on a labelled set"
    assert len(lines[-2].split()) == 3


def test_embeddings_are_written_with_their_paths(models, images, tmp_path):
    ask("--model", models[1], "--embeddings", tmp_path / "out.npz", Path(images[0]).parent)
    written = np.load(tmp_path / "out.npz")
    paths = list(written["paths"])
    assert paths == sorted(paths) and set(images) <= set(paths)
    again = open_model(models[1]).embed_paths(paths[-1:])
    assert np.allclose(written["embeddings"][-1], again[0], atol=1e-6)


class SecondIsBest:
    """A detector that finds two people: the right half first, then the left half; or nobody in a black frame."""

    def detect(self, frame):
        boxes = np.array([[0, 0.5, 1, 1], [0, 0, 1, 0.5]], np.float32)
        return (boxes, np.array([0.9, 0.6])) if frame.any() else (boxes[:0], np.zeros(0))


def test_detect_embeds_the_most_certain_person(models, images, tmp_path):
    person = cv2.imread(images[0])
    other = cv2.imread(images[2])
    cv2.imwrite(str(tmp_path / "two.png"), np.concatenate([other, person], axis=1))
    model = open_model(models[1])
    found = pairs.embed_files(model, [tmp_path / "two.png"], SecondIsBest())
    alone = model.embed(crop_person(person, np.array([0, 0, 1, 1]), SIZE)[np.newaxis])
    assert float(found[0] @ alone[0]) > 0.9999
    cv2.imwrite(str(tmp_path / "black.png"), np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(InputError, match="finds nobody in .*black.png"):
        pairs.embed_files(model, [tmp_path / "black.png"], SecondIsBest())


def test_mistakes_are_one_sentence(models, images, tmp_path):
    with pytest.raises(InputError, match="there is no image gone.jpg"):
        ask("--model", models[0], "--compare", images[0], "gone.jpg")
    with pytest.raises(InputError, match="two images or more"):
        ask("--model", models[0], "--compare", images[0])
    with pytest.raises(InputError, match="holds no .jpg or .png image"):
        ask("--model", models[0], "--compare", images[0], tmp_path)


def test_a_folder_stands_for_its_images_and_those_of_linked_folders(tmp_path):
    for name in ("all/a.jpg", "all/deep/b.PNG", "all/._a.jpg", "all/.small/a.jpg", "all/notes.txt", "other/c.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "all" / "linked").symlink_to(tmp_path / "other")
    (tmp_path / "all" / "loop").symlink_to(tmp_path / "all")
    found = [str(Path(path).relative_to(tmp_path)) for path in pairs.list_images([tmp_path / "all"])]
    assert found == ["all/a.jpg", "all/deep/b.PNG", "all/linked/c.jpg"]


def test_an_image_that_cannot_be_decoded_is_named(tmp_path):
    class Reader:
        def embed_paths(self, paths, desc):
            return list(image_batches(paths, (64, 32), 4))

    (tmp_path / "empty.jpg").touch()
    with pytest.raises(InputError, match="empty.jpg cannot be decoded"):
        pairs.embed_files(Reader(), [str(tmp_path / "empty.jpg")] * 2)
