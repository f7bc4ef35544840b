"""From a video to a data set: crops by track, the list that names and drops them, and data/prepare.py behind it."""

import contextlib
import io
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from data import harvest
from data.track_crops import TrackCrops, are_whole, covered
from data.track_list import apply_list, read_list
from tests.helpers import refusal, run, write_video
from utils.errors import InputError

SIZE = 240, 320  # of the frames
COLORS = ((0, 0, 200), (0, 200, 0), (200, 0, 0))  # BGR, of three people


class Networks:
    """Detector and embedder of people in plain colors on gray: a box round each color, which is the embedding."""

    image_size = 8, 4
    threshold = 0.5
    manifest = {"threshold": 0.9}

    def detect(self, frame, threshold=None):
        boxes = []
        for color in COLORS:
            channel = int(np.argmax(color))
            rows, columns = np.nonzero((frame[..., channel] > 150) & (frame[..., channel - 1] < 80))
            if len(rows):
                box = [rows.min() / SIZE[0], columns.min() / SIZE[1]]
                boxes.append([*box, (rows.max() + 1) / SIZE[0], (columns.max() + 1) / SIZE[1]])
        return np.array(boxes, np.float32).reshape(-1, 4), np.full(len(boxes), 0.9, np.float32)

    def embed(self, images):
        vectors = images.reshape(len(images), -1, 3).mean(axis=1).astype(np.float32) ** 3
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def scene(*people):
    """(H, W, 3) uint8 BGR; people: (number, left), 40 pixels wide and 100 high; of those with True the edge is cut."""
    frame = np.full((*SIZE, 3), 128, np.uint8)
    for number, left in people:
        frame[100:200, max(left, 0) : left + 40] = COLORS[number]
    return frame


def walk(number, start, frames, step=3):
    return [scene((number, start + step * count)) for count in range(frames)]


def call(tmp_path, *words):
    args = harvest.parse_args([*map(str, words), "--output", str(tmp_path / "people")])
    networks = Networks()
    harvest.harvest(args, networks, networks)
    return tmp_path / "people"


@pytest.fixture(scope="module")
def harvested(tmp_path_factory):
    """Two people in one video, the first of them again in a second one: the folder, and what was printed."""
    place = tmp_path_factory.mktemp("harvested")
    write_video(place / "monday.avi", walk(0, 20, 30) + [scene()] * 35 + walk(1, 60, 20))
    write_video(place / "tuesday.avi", walk(0, 90, 20))
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        folder = call(place, place / "monday.avi", place / "tuesday.avi")
    return folder, printed.getvalue()


@pytest.fixture
def people(harvested, tmp_path):
    """A copy of the harvested folder."""
    return Path(shutil.copytree(harvested[0], tmp_path / "people"))


def images_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.jpg"))


def test_tracks_become_folders_sheets_and_a_list(people, harvested):
    assert "3 tracks, 14 images, perhaps of 2 people" in harvested[1]
    assert sorted(path.name for path in people.iterdir()) == ["0001", "0002", "0003", "thumbnails", "tracks.txt"]
    rows = read_list(people)
    assert [row.folder for row in rows] == ["0001", "0002", "0003"]
    assert rows[0].name == rows[2].name != rows[1].name  # a proposal by re-identification, across videos
    first = images_in(people / "0001")
    frames = [int(re.fullmatch(r"c1_t0001_(\d{6}).jpg", name)[1]) for name in first]
    assert len(frames) == 6 and [(frame - 1) // 5 for frame in frames] == list(range(6))  # one in each half second
    assert all(name.startswith("c2_t0003_") for name in images_in(people / "0003"))
    image = cv2.imread(str(people / "0001" / first[0]))
    assert image.shape[0] == pytest.approx(100, abs=3) and image.shape[1] == pytest.approx(40, abs=3)
    assert np.abs(image[50, 20].astype(int) - COLORS[0]).max() < 30
    sheet = cv2.imread(str(people / "thumbnails" / "0001.png"))
    assert sheet.shape[1] == 6 * (64 + 4)
    text = (people / "tracks.txt").read_text()
    assert "# monday.avi 0:00 to 0:03, 6 images" in text and f"--apply {harvested[0]}" in text


def test_the_list_names_merges_and_drops(people, tmp_path):
    before = {name: (people / name).read_bytes() for name in images_in(people)}
    lines = ["0001 Anna Maria  # first", "0003   Anna Maria", "", "# a remark", "0002 - # a poster"]
    (people / "tracks.txt").write_text("\n".join(lines))
    done = run("data/harvest.py", "--apply", people)  # as a user runs it
    assert done.returncode == 0, done.stderr
    assert "10 images of 1 person, tracks deleted: 1" in done.stdout
    assert sorted(path.name for path in people.iterdir()) == ["Anna Maria"]
    after = {path.name: path.read_bytes() for path in (people / "Anna Maria").iterdir()}
    assert after == {name.split("/")[1]: content for name, content in before.items() if not name.startswith("0002")}
    assert [path.name for path in tmp_path.iterdir() if "people" in path.name] == ["people"]  # nothing is left beside
    assert "tracks.txt cannot be read" in refusal(run("data/harvest.py", "--apply", people))


def test_prepare_takes_the_result(tmp_path):
    rng = np.random.default_rng(0)
    for camera in (1, 2):
        for name in ("Anna", "Bert", "Cleo", "Dora"):
            for number in range(2):
                track = tmp_path / "people" / f"{name}{camera}"
                track.mkdir(parents=True, exist_ok=True)
                noise = rng.integers(0, 256, (64, 32, 3), np.uint8)
                cv2.imwrite(str(track / f"c{camera}_t0001_{number:06d}.jpg"), noise)
    folders = sorted(path.name for path in (tmp_path / "people").iterdir())
    (tmp_path / "people" / "thumbnails").mkdir()
    (tmp_path / "people" / "tracks.txt").write_text("".join(f"{name} {name[:-1]}\n" for name in folders))
    counts, dropped = apply_list(tmp_path / "people")
    assert counts == {"Anna": 4, "Bert": 4, "Cleo": 4, "Dora": 4} and dropped == 0
    from data import prepare  # imports TensorFlow

    words = [tmp_path / "people", "--kind", "own", "--output", tmp_path / "set"]
    prepare.main(prepare.parse_args(list(map(str, words))))
    names = [path.name for path in (tmp_path / "set").rglob("*.jpg")]
    assert len(names) == 16 and {name.split("s1")[0][-2:] for name in names} == {"c1", "c2"}


@pytest.mark.parametrize(
    "lines, sentence",
    [
        (["0001 Anna", "0002 Bert"], "has no line for 0003"),
        (["0001 Anna", "0002", "0003 -"], "line 2: 0002 has no name"),
        (["0001 Anna", "0001 Bert"], "line 2: 0001 has a line already"),
        (["0004 Anna"], "there is no folder"),
        (["../people Anna"], "there is no folder"),
        (["thumbnails Anna"], "there is no folder"),
        (["0001 a/b"], "cannot start with a dot or contain a slash"),
        (["0001 thumbnails"], "stands for no person"),
        (["0001 7"], "A name cannot be a number"),
        (["0001 -", "0002 -", "0003 -"], "drops every track"),
    ],
)
def test_a_wrong_list_changes_nothing(people, lines, sentence):
    (people / "tracks.txt").write_text("\n".join(lines))
    before = {str(path): path.is_dir() or path.read_bytes() for path in people.rglob("*")}
    with pytest.raises(InputError, match=re.escape(sentence)):
        apply_list(people)
    assert {str(path): path.is_dir() or path.read_bytes() for path in people.rglob("*")} == before


def test_files_of_the_user_are_not_lost(people):
    (people / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"notes.txt is not of this script and would be lost"):
        apply_list(people)
    assert (people / "notes.txt").read_text() == "mine"


def test_covered_cut_and_small_people_are_left_out():
    boxes = np.array(
        [
            [0.2, 0.1, 0.8, 0.3],  # whole
            [0.2, 0.5, 0.8, 0.7],  # a third of it is covered by the next
            [0.3, 0.6, 0.7, 0.8],
            [0.2, 0.0, 0.8, 0.05],  # at the edge
            [0.1, 0.9, 0.2, 0.95],  # small
        ]
    )
    np.testing.assert_allclose(covered(boxes), [0, 0.04 / 0.12, 0.04 / 0.08, 0, 0], atol=1e-12)
    assert are_whole(boxes, 240, 80).tolist() == [True, False, False, False, False]
    assert are_whole(boxes, 240, 0).tolist() == [True, False, False, False, True]
    assert are_whole(np.zeros((0, 4)), 240, 80).tolist() == []


def test_the_sharpest_crop_of_each_interval_is_kept_and_memory_is_bounded():
    rng = np.random.default_rng(0)
    contrasts = rng.permutation(np.linspace(10, 120, 400))
    pattern = rng.choice([-1, 1], (64, 32, 3))
    crops = TrackCrops(None, 0.0, 0.5, 8)
    for number, contrast in enumerate(contrasts):  # 40 s at 10 frames/s
        crops.add(number / 10, number + 1, (128 + contrast * pattern).astype(np.uint8))
        assert len(crops._crops) <= 16
    best = crops.best()
    frames = [crop.frame for crop in best]
    assert 4 <= len(best) <= 8 and frames == sorted(frames)
    for place, frame in enumerate(frames):  # the interval is 8 s at the end
        within = contrasts[80 * place : 80 * place + 80]
        assert (frame - 1) // 80 == place and int(contrasts[frame - 1]) == int(
            within.max()
        )  # images have whole numbers


def test_refusals(tmp_path):
    write_video(tmp_path / "v.avi", walk(0, 20, 12))
    with pytest.raises(InputError, match="no track has 9 good images: lower --min_images"):
        call(tmp_path, tmp_path / "v.avi", "--min_images", 9)
    assert [path.name for path in tmp_path.iterdir()] == ["v.avi"]
    (tmp_path / "people").mkdir()
    (tmp_path / "people" / "mine").write_text("mine")
    with pytest.raises(InputError, match="is there already: name a new folder"):
        call(tmp_path, tmp_path / "v.avi")
    for words, sentence in (
        ([], "give videos and --output"),
        (["v.avi"], "give videos and --output"),
        (["v.avi", "--apply", "x"], "--apply changes one folder"),
    ):
        with pytest.raises(InputError, match=sentence):
            harvest.main(harvest.parse_args(words))


def test_people_at_the_edge_or_covered_give_no_crops(tmp_path):
    behind = scene((0, 100), (0, 140), (1, 120))  # a wide person with another one in front
    write_video(tmp_path / "v.avi", [scene((0, -10))] * 20 + [behind] * 20)
    with pytest.raises(InputError, match="no track has 1 good images"):
        call(tmp_path, tmp_path / "v.avi", "--min_images", 1)
