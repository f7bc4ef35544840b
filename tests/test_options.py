"""Options of the scripts and their launchers: values refused at once, --help, defaults."""

import re
import shlex
import sys

import pytest

import demo
import test_reid
import train_id
import train_reid
from tests.helpers import ROOT, refusal, run


@pytest.mark.parametrize(
    "script, option, sentence",
    [
        (train_id, "--unknown=1", "unrecognized"),
        (train_id, "--num_steps=0", "0 is not a whole number above 0"),
        (train_id, "--num_steps=ten", "'ten' is not a whole number above 0"),
        (train_id, "--image_size=256", "'256' is not HEIGHTxWIDTH"),
        (train_id, "--image_size=16x16", "32 pixels or more"),
        (train_id, "--random_erasing=1.5", "1.5 is not a number from 0 to 1"),
        (train_id, "--restore=maybe", "'maybe' is neither True nor False"),
        (train_id, "--width=-1", "-1 is not a multiple of 1/64"),
        (train_id, "--width=0.3", "0.3 is not a multiple of 1/64"),
        (train_id, "--seed=5000000000", "from 0 to 2147483647"),
        (train_id, "--learning_rate=nan", "nan is not a number above 0"),
        (train_reid, "--margin=0", "0 is not a number above 0"),
        (train_reid, "--k=0", "0 is not a whole number above 0"),
        (train_reid, "--sample_num=-1", "-1 is not a whole number, or a share between 0 and 1"),
        (test_reid, "--image_size=axb", "'axb' is not HEIGHTxWIDTH"),
    ],
)
def test_bad_values_are_refused_at_once(script, option, sentence, capsys):
    with pytest.raises(SystemExit) as stop:
        script.parse_args([option])
    assert stop.value.code == 2
    printed = capsys.readouterr().err
    assert option.split("=")[0] in printed and sentence in printed


SCRIPTS = [
    "train_id.py",
    "train_reid.py",
    "test_reid.py",
    "pipeline.py",
    "demo.py",
    "data/prepare.py",
    "data/sample.py",
    "data/harvest.py",
]


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_answers_without_tensorflow_and_explains_every_option(script, tmp_path):
    # A tensorflow that can't be imported stands first on the path: --help must not need it.
    (tmp_path / "tensorflow.py").write_text("raise SystemExit('tensorflow was imported')")
    finished = run(script, "--help", PYTHONPATH=str(tmp_path))
    assert finished.returncode == 0, finished.stderr + finished.stdout
    options = finished.stdout[finished.stdout.index("show this help message") :]
    blocks = re.split(r"\n  (?=--)", options)[1:]
    assert len(blocks) > 3
    for block in blocks:  # the words behind the option's name and its placeholder
        described = re.sub(r"^--\S+( \S+)?", "", block).split()
        assert len(described) >= 3 and "None" not in described, block


@pytest.mark.parametrize("script", [train_id, train_reid])
def test_old_names_of_training_options_are_accepted_and_hidden(script, capsys):
    args = script.parse_args(["--erase=0.25", "--jitter=0.125", "--pad_crop=3"])
    assert (args.random_erasing, args.color_jitter, args.pad) == (0.25, 0.125, 3)
    assert {"erase", "jitter", "pad_crop"}.isdisjoint(vars(args))
    with pytest.raises(SystemExit):
        script.parse_args(["--help"])
    described = capsys.readouterr().out
    assert "--random_erasing" in described and not re.search(r"--(erase|jitter|pad_crop)", described)


def test_every_option_of_a_launcher_is_one_of_its_script():
    for name in ("train_id", "train_reid", "test_reid"):
        text = (ROOT / f"{name}.sh").read_text()
        parsed = vars({"train_id": train_id, "train_reid": train_reid, "test_reid": test_reid}[name].parse_args([]))
        given = [line.split("=")[0].strip().lstrip("-") for line in text.splitlines() if line.startswith("  --")]
        assert given and set(given) <= set(parsed)
        for option in given:  # the launcher shows the script's own default
            value = next(line for line in text.splitlines() if line.startswith(f"{option}=")).split("=")[1].split()[0]
            default = parsed[option]
            shown = "x".join(map(str, default)) if isinstance(default, list) else default
            assert value == str(shown) or float(value) == float(shown), (name, option, value, default)


def words_of_launcher(name, recipe, folder):
    """What a launcher with that recipe passes to its script: a fake Python prints it."""
    python = folder / ".venv/bin/python"
    python.parent.mkdir(parents=True, exist_ok=True)
    python.write_text('#!/usr/bin/env bash\nprintf "%s\\n" "$@"\n')
    python.chmod(0o755)
    text = (ROOT / f"{name}.sh").read_text()
    (folder / f"{name}.sh").write_text(text.replace("\nrecipe=default ", f"\nrecipe={recipe} "))
    return run("bash", folder / f"{name}.sh", "--seed=4")


@pytest.mark.parametrize(
    "script, original",
    [
        (train_id, {"neck": False}),
        (train_reid, {"id_weight": 0, "margin": 0.1, "learning_rate": 1e-4, "weight_decay": 0}),
    ],
)
def test_the_original_recipe_differs_in_these_options_only(script, original, tmp_path):
    expected = {**vars(script.parse_args([])), "seed": 4}
    words = words_of_launcher(script.__name__, "default", tmp_path).stdout.splitlines()
    assert vars(script.parse_args(words[1:])) == expected
    words = words_of_launcher(script.__name__, "original", tmp_path).stdout.splitlines()
    assert vars(script.parse_args(words[1:])) == {**expected, **original}
    sentence = refusal(words_of_launcher(script.__name__, "orignal", tmp_path))
    assert sentence == f"error: recipe=orignal in {script.__name__}.sh is neither default nor original"


@pytest.mark.parametrize(
    "words",
    [
        ["train_id.py"],
        ["train_reid.py"],
        ["test_reid.py"],
        ["demo.py"],
        ["pipeline.py"],
        ["data/prepare.py", "a folder"],
        ["data/sample.py", "--output=gone"],
        ["data/harvest.py", "walk.mp4", "--output=gone"],
    ],
)
def test_a_python_without_the_packages_is_told_which_one_has_them(words):
    sentence = refusal(run(sys.executable, "-S", *words))  # -S: the standard library alone
    assert re.fullmatch(
        r"error: No module named '\w+': run bash setup.sh, and start the scripts with .venv/bin/python.*", sentence
    )


def test_an_error_comes_behind_what_was_printed_before_it():
    main = "def main(args):\n    print('a note')\n    raise InputError('a mistake')\n"
    script = f"from utils.errors import InputError, run_main\n{main}run_main(main, None)"
    done = run("bash", "-c", f"{shlex.quote(sys.executable)} -c {shlex.quote(script)} 2>&1 | cat", PYTHONUNBUFFERED="")
    assert done.stdout == "a note\nerror: a mistake\n"


def test_a_pattern_that_a_shell_wrote_out_is_named(tmp_path, capsys, monkeypatch):
    for name in ("1.png", "2.png", "3.png"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    for words, sentence in (
        (["--source", "1.png", "2.png", "3.png"], "put it in quotes"),
        (["--sorce", "1.png"], "--sorce"),
    ):
        with pytest.raises(SystemExit) as stop:
            demo.parse_args(words)
        printed = capsys.readouterr().err
        assert stop.value.code == 2 and printed.count("\n") == 1 and sentence in printed
        assert ("quotes" in printed) == (sentence == "put it in quotes")
