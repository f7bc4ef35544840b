"""Going on with a run: what must stay, and the command that is printed."""

import argparse
import shlex
import sys

import pytest

import train_id
import train_reid
from utils import checkpoint
from utils.errors import InputError
from utils.training import resume
from utils.training.run import Run

# As train_id.sh passes its own values before those that were typed.
LAUNCHED = ["--restore=False", "--id=0", "--image_size=256x128", "--width=1.0", "--learning_rate=0.00035"]
TYPED = ["--data_dir=data/my set", "--image_size=64x32", "--image_size=96x48", "--width=0.25", "--val_identities=2"]


def go_on(script, words, number="0"):
    return shlex.split(resume.command("x.py", vars(script.parse_args(words)), vars(script.parse_args([])), number))


def test_the_command_has_each_option_once_and_no_default():
    words = go_on(train_id, [*LAUNCHED, *TYPED], number="3")
    assert words[1:4] == ["x.py", "--restore=True", "--id=3"]
    expected = ["--data_dir=data/my set", "--image_size=96x48", "--width=0.25", "--val_identities=2"]
    assert sorted(words[4:]) == sorted(expected)
    before, after = (vars(train_id.parse_args(options)) for options in ([*LAUNCHED, *TYPED], words[2:]))
    assert {**before, "restore": True, "id": 3} == after
    assert go_on(train_id, [*words[2:], "--id=3"], number="3") == words  # and it can be stopped and gone on with again


def test_values_of_the_launchers_alone_need_no_option():
    assert go_on(train_id, LAUNCHED)[2:] == ["--restore=True", "--id=0"]
    assert go_on(train_reid, ["--erase=0.5", "--flip=False"])[4:] == ["--flip=False"]


def test_what_a_script_inherits_is_not_in_the_command(tmp_path, monkeypatch, capsys):
    args = train_reid.parse_args(["--margin=0.3"])
    run = Run(tmp_path, "reid", checkpoint.REID_PATTERN, vars(args), 1)
    run.folder = tmp_path / "reid/m2"
    args.image_size, args.val_identities, args.split_seed = [64, 32], 7, 0  # as inherit does
    run.args.update(vars(args))
    monkeypatch.setattr(sys, "argv", ["train_reid.py", "--models_dir=elsewhere"])
    with pytest.raises(SystemExit) as stop:
        run.end_stopped(vars(train_reid.parse_args([])))
    assert stop.value.code == 130
    first, command, hint = capsys.readouterr().out.splitlines()
    assert "Go on with" in first and command.endswith(" train_reid.py --restore=True --id=2 --margin=0.3")
    assert "restore=True and id=2 in the launcher" in hint and "values as they are there" in hint


def test_the_interpreter_is_one_that_has_the_packages(tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin/python3"
    python.write_text("")
    python.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(sys, "executable", str(python))
    assert resume.interpreter() == "python3"
    monkeypatch.setattr(sys, "executable", str(tmp_path / ".venv/bin/python"))
    monkeypatch.chdir(tmp_path)
    assert resume.interpreter() == ".venv/bin/python"
    monkeypatch.chdir(tmp_path / "bin")
    assert resume.interpreter() == str(tmp_path / ".venv/bin/python")


def test_all_that_must_stay_is_said_at_once_and_can_be_pasted():
    before = vars(train_id.parse_args(TYPED))
    with pytest.raises(InputError) as error:
        resume.check_unchanged("models/id/m0", before, vars(train_id.parse_args(LAUNCHED)))
    options = "--image_size=96x48 --width=0.25 --val_identities=2"
    assert f"models/id/m0 was trained with {options}: give exactly that again" in str(error.value)
    resume.check_unchanged("models/id/m0", before, vars(train_id.parse_args([*LAUNCHED, *shlex.split(options)])))


def test_what_is_inherited_or_was_not_written_down_is_no_difference():
    asked = vars(argparse.Namespace(val_identities=None, seed=3, width=0.5))
    resume.check_unchanged("m0", {"val_identities": 2, "width": 0.5}, asked)
