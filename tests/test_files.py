"""Files of figures: whole or as they were."""

import json
import os
import subprocess

import pytest

from utils.errors import InputError
from utils.files import AtomicFile, atomic_folder, remove_half_written, write_json


def test_files_are_written_whole_or_not_at_all(tmp_path):
    place = tmp_path / "figures.json"
    write_json(place, {"rank1": 1.0})
    assert json.loads(place.read_text()) == {"rank1": 1.0}
    with pytest.raises(TypeError):
        write_json(place, {("no", "key"): 1})
    assert json.loads(place.read_text()) == {"rank1": 1.0}
    with pytest.raises(InputError, match="cannot be written"):
        write_json(place / "below a file.json", {})
    os.mkfifo(tmp_path / "pipe")  # like /dev/stdout, not to be replaced by a file
    reader = subprocess.Popen(["cat", str(tmp_path / "pipe")], stdout=subprocess.PIPE)
    write_json(tmp_path / "pipe", [1])
    assert json.loads(reader.communicate(timeout=20)[0]) == [1] and (tmp_path / "pipe").is_fifo()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["figures.json", "pipe"]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "video.avi"
    target.write_text("old")
    with pytest.raises(ZeroDivisionError), AtomicFile(target) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    with pytest.raises(InputError, match="video.avi cannot be written .disk full.: make room"), AtomicFile(target):
        raise OSError(28, "disk full")
    assert target.read_text() == "old" and os.listdir(tmp_path) == ["video.avi"]
    with AtomicFile(target) as temporary:
        assert temporary.suffix == ".avi"  # OpenCV takes the format from it
        temporary.write_text("new")
    assert target.read_text() == "new" and os.listdir(tmp_path) == ["video.avi"]


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path):
    target = tmp_path / "frozen"
    target.mkdir()
    (target / "old").touch()
    with pytest.raises(ZeroDivisionError), atomic_folder(target) as folder:
        (folder / "half").touch()
        raise ZeroDivisionError
    assert os.listdir(tmp_path) == ["frozen"] and os.listdir(target) == ["old"]
    with atomic_folder(target) as folder:
        (folder / "new").touch()
    assert os.listdir(tmp_path) == ["frozen"] and os.listdir(target) == ["new"]
    (tmp_path / "link").symlink_to("frozen")
    with atomic_folder(tmp_path / "link") as folder:
        (folder / "newer").touch()
    assert (tmp_path / "link").is_symlink() and os.listdir(target) == ["newer"]
    assert sorted(os.listdir(tmp_path)) == ["frozen", "link"]
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file/frozen cannot be written"), atomic_folder(tmp_path / "file" / "frozen"):
        pass


def test_atomic_folder_refuses_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"^\. is the current folder, which cannot be replaced"), atomic_folder("."):
        pass
    assert not os.listdir(tmp_path)


def a_dead_process():
    done = subprocess.Popen(["true"])
    done.wait()
    return done.pid


def test_what_a_killed_process_left_is_removed_and_a_replacement_is_ended(tmp_path):
    dead = a_dead_process()
    running = os.getppid()
    for name in (f".half-written-{dead}-set", f".half-written-{running}-set", f".half-written-{dead}-my-set"):
        (tmp_path / name / "images").mkdir(parents=True)
    (tmp_path / f".half-written-{dead}-set.mp4").write_text("a recording is not removed")
    (tmp_path / f".old-{dead}-set").mkdir()
    (tmp_path / f".old-{dead}-set" / "whole").touch()
    with pytest.raises(ZeroDivisionError), atomic_folder(tmp_path / "set"):
        # The process was killed after it had moved the old folder away: it is in its place again.
        assert os.listdir(tmp_path / "set") == ["whole"]
        raise ZeroDivisionError
    left = {f".half-written-{running}-set", f".half-written-{dead}-my-set", f".half-written-{dead}-set.mp4", "set"}
    assert set(os.listdir(tmp_path)) == left
    (tmp_path / f".old-{dead}-set").mkdir()
    with atomic_folder(tmp_path / "set") as folder:
        (folder / "new").touch()
    assert os.listdir(tmp_path / "set") == ["new"] and set(os.listdir(tmp_path)) == left


def test_what_is_left_by_an_earlier_process_of_the_same_number_is_removed(tmp_path):
    """As in a container, which counts its processes anew at each start."""
    for kind in ("half-written", "old"):
        (tmp_path / f".{kind}-{os.getpid()}-set").mkdir()
        (tmp_path / f".{kind}-{os.getpid()}-set" / "left").touch()
    (tmp_path / "set").mkdir()
    with atomic_folder(tmp_path / "set") as folder:
        (folder / "new").touch()
    assert os.listdir(tmp_path) == ["set"] and os.listdir(tmp_path / "set") == ["new"]


def test_a_locked_folder_is_cleared_of_half_written_files(tmp_path):
    (tmp_path / "val").mkdir()
    for name in ("half-written-7-model.ckpt-1.index", "val/.half-written-7-sprite.png", "model.ckpt-1.index"):
        (tmp_path / name).touch()
    (tmp_path / "half-written-7-model.ckpt-1_temp").mkdir()
    remove_half_written(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["model.ckpt-1.index", "val"] and not os.listdir(tmp_path / "val")
