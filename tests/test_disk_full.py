"""A disk that fills up while something is written: one sentence, what was whole stays whole, nothing half-written.

A limit on the size of files stands for the disk: the system then refuses to write, as a full disk does.
"""

import contextlib
import os
import resource
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from data import sample
from tests.drawn_layouts import arrange, prepared
from tests.helpers import write_video
from tests.test_recorder import read_rows, sighting, track_of
from utils.files import WriteError, room_for, temporary_folder, write_json
from utils.live.gallery import save_people
from utils.live.recorder import Outputs, VideoFile
from utils.live.tracks_file import TracksFile

CAMERA = SimpleNamespace(width=320, height=240, fps=10, live=False, frame_number=0, seconds=0.0, repeats=0)


@contextlib.contextmanager
def disk_of(size: int):
    """No file may become longer than `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def noise(number):
    return np.random.default_rng(number).integers(0, 256, (240, 320, 3), np.uint8)


def length_of(path):
    video = cv2.VideoCapture(str(path))
    count = 0
    while video.read()[0]:
        count += 1
    return count


@pytest.mark.parametrize("name", ["people.avi", "people.mp4"])
@pytest.mark.parametrize("older", [False, True])
def test_a_recording_keeps_what_fits_and_an_older_one_stays(tmp_path, name, older):
    target = tmp_path / name
    tracks = tmp_path / "tracks.txt"
    if older:
        target.write_bytes(b"an older video")
    written = 0
    with disk_of(2 * 2**20), pytest.raises(WriteError) as stop, Outputs([CAMERA], target, tracks) as outputs:
        for number in range(1000):
            outputs.write_video(noise(number), 0.0)
            camera = {**vars(CAMERA), "frame_number": number + 1, "seconds": number / 10}
            outputs._cameras = [SimpleNamespace(**camera)]
            outputs.write_tracks([sighting([[0, 0, 1, 1]], [track_of(1)])])
            written += 1
    kept = tmp_path / f"people-unfinished{target.suffix}" if older else target
    assert f"{target} cannot grow (the disk is full): make room; what was recorded so far is kept in {kept}" in str(
        stop.value
    )
    assert 5 < written == length_of(kept) and len(read_rows(tracks)) in (written, written + 1)
    assert not older or target.read_bytes() == b"an older video"
    assert sorted(os.listdir(tmp_path)) == sorted({name, kept.name, "tracks.txt"})


def test_a_disk_that_is_full_at_the_start_is_the_reason(tmp_path):
    with disk_of(1000), pytest.raises(WriteError, match="v.mp4 cannot be written .the disk is full.: make room"):
        VideoFile(tmp_path / "v.mp4", (320, 240), 10, False)
    assert os.listdir(tmp_path) == []


def test_a_video_that_cannot_be_opened_replaces_nothing(tmp_path):
    """Something else filled the disk: OpenCV wrote a file without an end, and reported nothing."""
    (tmp_path / "v.mp4").write_bytes(b"an older video")
    video = VideoFile(tmp_path / "v.mp4", (320, 240), 10, False)
    with disk_of(3000):
        video._room = lambda: 10**9
        for number in range(3):
            video.write(noise(number), 0.0)
        with pytest.raises(WriteError, match="could not be completed .is the disk full"):
            video.commit()
    assert os.listdir(tmp_path) == ["v.mp4"] and (tmp_path / "v.mp4").read_bytes() == b"an older video"


def test_tracks_end_with_a_whole_line(tmp_path):
    tracks = TracksFile(tmp_path / "t.txt", (100, 100))
    with disk_of(1000):
        with pytest.raises(WriteError, match="t.txt cannot be written .File too large.: make room"):
            for number in range(1, 500):
                tracks.write(number, number / 10, sighting([[0, 0, 1, 1]], [track_of(1)]))
        tracks.commit()
    rows = read_rows(tmp_path / "t.txt")
    assert [row[0] for row in rows] == list(range(1, len(rows) + 1)) and len(rows) > 20
    assert all(len(row) == 10 for row in rows)


def test_layouts_json_and_models_on_a_full_disk(drawn, tmp_path):
    import tensorflow as tf

    from utils.checkpoint import save_variables, save_weights

    root = arrange("dukemtmc", tmp_path / "source", drawn)
    write_json(tmp_path / "figures.json", [1])
    save_variables({"a/b": tf.Variable([1.0])}, tmp_path / "run" / "m-1")
    before = sorted(os.listdir(tmp_path / "run"))
    net = tf.keras.Sequential([tf.keras.layers.Input((99,)), tf.keras.layers.Dense(99, name="logits")])
    module = tf.Module()
    module.weights = tf.Variable(tf.ones(10000))
    with disk_of(600):
        with pytest.raises(WriteError, match="/set cannot be written .File too large.: make room"):
            prepared(root, tmp_path / "set", "--link=copy")
        with pytest.raises(WriteError, match="figures.json cannot be written"):
            write_json(tmp_path / "figures.json", list(range(1000)))
        with pytest.raises(WriteError, match="m-2 cannot be written .*; the checkpoints before it are safe"):
            save_weights(net, tmp_path / "run" / "m-2", about={"step": 2})
        with pytest.raises(WriteError, match="net cannot be written"), temporary_folder(tmp_path / "net") as folder:
            tf.saved_model.save(module, str(folder))
    assert (tmp_path / "figures.json").read_text() == "[\n  1\n]\n"
    assert sorted(os.listdir(tmp_path / "run")) == before
    assert sorted(os.listdir(tmp_path)) == ["figures.json", "run", "source"]


def test_harvest_on_a_full_disk(tmp_path):
    from tests.test_harvest import call, walk

    write_video(tmp_path / "monday.avi", walk(0, 20, 20))
    with disk_of(100), pytest.raises(WriteError, match="people.* cannot be written .File too large.: make room"):
        call(tmp_path, tmp_path / "monday.avi")
    assert os.listdir(tmp_path) == ["monday.avi"]


def test_drawn_people_and_saved_crops_on_a_full_disk(tmp_path):
    options = ["--identities=2", "--test_identities=2", f"--output={tmp_path}/drawn"]
    anna = SimpleNamespace(name="Anna", last_seen=0.0, crops=[(1.0, noise(0))] * 3)
    gallery = tmp_path / "gallery" / "Anna"
    gallery.mkdir(parents=True)
    (gallery / "seen-0.jpg").write_bytes(b"an older crop")
    with disk_of(600):
        with pytest.raises(WriteError, match="drawn cannot be written .File too large.: make room"):
            sample.main(sample.parse_args(options))
        with pytest.raises(WriteError, match="Anna/seen-0.jpg cannot be written .File too large.: make room"):
            save_people(tmp_path / "gallery", [anna])
    assert (gallery / "seen-0.jpg").read_bytes() == b"an older crop"
    assert os.listdir(tmp_path) == ["gallery"] and os.listdir(gallery) == ["seen-0.jpg"]


def test_a_run_on_a_full_disk_keeps_its_checkpoints(tmp_path):
    """Its curves, args.json and validation.json; a new run is refused."""
    from tests.test_run import TinyNet, built_optimizer, new_run, resume_point
    from utils import checkpoint
    from utils.training.run import first_plateau

    net = TinyNet()
    optimizer = built_optimizer(net)
    run = new_run(tmp_path)
    run.save(net, optimizer, 3, {"loss": 1.0}, first_plateau)
    size = max(path.stat().st_size for path in (run.folder / "train").iterdir())
    with disk_of(size + 50):  # the curves cannot grow
        with pytest.raises(WriteError, match="m0 cannot be written .*: make room, or name another place"):
            for step in range(4, 40):
                run.log("train", step, {"loss": 1.0})
        with pytest.raises(WriteError, match="cannot be written"):
            run.save(net, optimizer, 6, {"loss": 0.5, "why": "x" * 10000}, first_plateau)
        with pytest.raises(WriteError, match="cannot be written"):
            new_run(tmp_path, more="x" * 10000)
    assert not list(tmp_path.rglob("*half-written*"))
    assert resume_point(tmp_path).step == 3 and checkpoint.read_validation(run.folder)["suggested"]["step"] == 3


def test_room_is_that_of_the_disk_or_of_the_limit(tmp_path):
    (tmp_path / "file").write_bytes(bytes(400))
    assert room_for(tmp_path / "file") > 10**6
    with disk_of(1000):
        assert room_for(tmp_path / "file") == 600
