"""Every path option of the scripts, walked with paths that are none: one sentence, and nothing is lost or left over.

New options are covered by themselves. Each script runs with other options that are sound as far as that takes no time.
"""

import argparse
import contextlib
import io
import shutil
import signal
from pathlib import Path

import cv2
import numpy as np
import pytest

import demo
import pipeline
import test_reid
import train_id
import train_reid
from data import harvest, prepare
from tests.test_options_walk import parser_of, values
from utils import options
from utils.errors import STOP_SIGNALS, InputError

# No path that can be read or written as a file or folder of the right kind. A link that leads to itself cannot be
# opened by anybody; a file without the permission to read it can be, by the user root.
BAD = ("missing", "missing/below", "empty", "empty/below", "folder", "loop", "dangling", "binary", "text.txt", "a.avi")
MADE_AT_ONCE = ("events", "save_gallery")  # when the run begins, to know that they can be written
PATHS = (None, options.file_to_write, options.file_or_stdout)  # types of options


@pytest.fixture
def place(tmp_path):
    (tmp_path / "walk").mkdir()
    cv2.imwrite(str(tmp_path / "walk" / "1.png"), np.zeros((120, 240, 3), np.uint8))
    (tmp_path / "boxes.txt").write_text("1,-1,5,5,50,90,1,-1,-1,-1\n")
    return tmp_path


def make_bad(folder):
    """The paths of BAD, new in an empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "folder").mkdir(parents=True)
    (folder / "empty").touch()
    (folder / "binary").write_bytes(bytes(range(256)) * 50)
    (folder / "text.txt").write_text("hello\n")
    (folder / "loop").symlink_to("loop")
    (folder / "dangling").symlink_to("gone")


def contents(folder) -> dict:
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def path_options(script):
    """The actions of a script that take paths."""
    actions = values(parser_of(Path(script.__file__)))
    visible = [action for action in actions if action.help is not argparse.SUPPRESS and action.choices is None]
    return [action for action in visible if action.type in PATHS]


def run(script, words) -> str:
    """What the script says when it refuses; "" if it accepts."""
    shown = io.StringIO()
    try:
        with contextlib.redirect_stderr(shown), contextlib.redirect_stdout(io.StringIO()):
            script.main(script.parse_args(words))
    except InputError as error:
        return f"{error}\n"
    except SystemExit as ended:
        assert ended.code not in (0, None, 1), words
        return shown.getvalue()
    return ""


def sound_words(script, place) -> list:
    """Options with which a script refuses something at the latest before it loads a network."""
    gone = place / "gone"
    return {
        train_id: ["--data_dir", gone, "--models_dir", gone],
        train_reid: ["--data_dir", gone, "--models_dir", gone],
        test_reid: ["--model", gone, "--data_dir", gone],
        pipeline: [f"{gone}.ckpt", "--output", gone],
        demo: ["--source", place / "walk", "--headless", "--detections", place / "boxes.txt", "--reid", gone],
        prepare: [gone, "--output", place / "out"],
        harvest: [gone, "--output", place / "out", "--detector", gone],
    }[script]


@pytest.fixture
def handlers():
    """Restores the signal handlers, which the demo sets."""
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("script", [train_id, train_reid, test_reid, pipeline, demo, prepare, harvest])
def test_paths_that_are_none(script, place, handlers):
    bad = place / "bad"
    tried = 0
    accepted = 0
    for action in path_options(script):
        for name in BAD:
            make_bad(bad)
            before = contents(bad)
            given = [str(bad / name)] * (action.nargs if isinstance(action.nargs, int) else 1)
            words = sound_words(script, place)
            if action.option_strings:
                option = action.option_strings[0]
                if option in words:
                    words = [word for at, word in enumerate(words) if option not in (word, words[at - 1])]
                words = [*words, option, *given]
            else:
                words = [*given, *(words[1:] if not str(words[0]).startswith("--") else words)]
            sentence = run(script, [str(word) for word in words])
            tried += 1
            accepted += not sentence
            assert sentence.count("\n") in (0, 1), f"{words}: {sentence}"
            left = contents(bad)
            assert not [path for path in left if "half-" in path], words
            if sentence and action.dest not in MADE_AT_ONCE:
                assert left == before, words
    print(f"{script.__name__}: {tried} paths tried, {tried - accepted} refused in one sentence, {accepted} accepted")
    assert tried - accepted > 10
