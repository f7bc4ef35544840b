"""Every option of every script, walked: bad numbers, places and paths, ~ and nothing are refused or understood.

New options are covered by themselves. TRIES=1000 tries more random texts for each script.

Only the part of a script above its heavy imports runs, so that all parsers take a second.
"""

import argparse
import ast
import contextlib
import io
import math
import os
import random

import pytest

from tests.helpers import ROOT, TRIES
from utils import options
from utils.live.places import Place, area, as_line, as_region, as_zone

SCRIPTS = sorted(
    path
    for folder in (".", "data", "benchmarks", "assets", "utils/setup", "utils/deploy")
    for path in (ROOT / folder).glob("*.py")
    if "\ndef parse_args(" in path.read_text()
)
# What random texts are made of: numbers, the signs of places (door@1:0,0,1,1) and sizes, and what is in paths.
PIECES = (
    *"-+.,:;@x/~% 0159",
    "nan",
    "inf",
    "1e99",
    "0.5",
    "0,0,1,1",
    "door",
    "\n",
    "\udcff",
    "é",
    "...",
    "a" * 300,
)
NUMBERS = ("-1", "0", "nan", "inf", "-inf", "1e99", "1e-99", str(2**31), str(2**63), "9" * 400, "", " ", "ten", "1,5")


def parser_of(path) -> argparse.ArgumentParser:
    """The parser that a script makes, without running the script."""
    made = []

    def make_parser(docstring):
        made.append(options.make_parser(docstring))
        return made[-1]

    body = ast.parse(path.read_text()).body
    end = next(number for number, node in enumerate(body) if getattr(node, "name", "") == "parse_args")
    space = {"__name__": "walked", "__file__": str(path)}
    exec(compile(ast.Module(body[: end + 1], []), str(path), "exec"), space)
    space["make_parser"] = make_parser
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        space["parse_args"](["--help"])
    return made[0]


def values(parser):
    """The options that take a value."""
    return [action for action in parser._actions if action.nargs != 0 and action.dest != "help"]


def convert(parser, action, text):
    """The value that argparse makes of a text; None if it is refused in one sentence."""
    try:
        value = parser._get_value(action, text)
        parser._check_value(action, value)
    except argparse.ArgumentError as error:
        shown = io.StringIO()
        with contextlib.redirect_stderr(shown), contextlib.suppress(SystemExit):
            parser.error(str(error))
        assert error.message and shown.getvalue().count("\n") == 1, (action.dest, text)
        assert "invalid" not in error.message or action.choices is not None, f"{action.dest}: {error.message}"
        return None
    return value


def check_value(action, text, value):
    """What was understood is of use: numbers are finite and not too large, places lie in the frame."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        assert math.isfinite(value) and 0 <= value <= 2**31, (action.dest, text)
    elif isinstance(value, Place):
        assert all(0 <= number <= 1 for point in value.points for number in point), (action.dest, text)
        assert 0 <= value.source < 1000 and value.name.strip() and value.name.isprintable(), (action.dest, text)
        assert len(set(value.points)) == 2 if len(value.points) == 2 else area(value.points), (action.dest, text)
    elif value is not None and not text.strip():
        assert action.type is str, f"{action.dest} takes nothing for a value"


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_option_refuses_random_texts_or_understands_them(path):
    parser = parser_of(path)
    actions = values(parser)
    if not actions:
        return  # a script without options, which refuses every text
    draw = random.Random(str(path.relative_to(ROOT)))
    taken = 0
    for number in range(TRIES):
        action = actions[number % len(actions)]
        text = "".join(draw.choices(PIECES, k=draw.randint(0, 8)))
        value = convert(parser, action, text)
        taken += value is not None
        check_value(action, text, value)
    print(f"{path.relative_to(ROOT)}: {TRIES} texts tried, {TRIES - taken} refused in one sentence, no traceback")


PLACES = ("", ":", "door", "door:", "door:0,0", "door:0,0,0", "door:0,0,0,0", "door:nan,0,1,1", "door:0,0,1e99,1",
          "door:0,0,-1,1", "door:0,0,1,1.01", "@1:0,0,1,1", "door@-1:0,0,1,1", "door@9999:0,0,1,1", "a:b:0,0,1,1",
          "door:0,0,1,1,", "door:0,0,0.5,0.5,1,1", f"{'d' * 31}:0,0,1,1", "do\tor:0,0,1,1", "door;0;0;1;1")  # fmt: skip


@pytest.mark.parametrize("kind", [as_line, as_zone, as_region])
def test_places_that_are_none_are_refused(kind):
    for text in PLACES:
        if (kind, text) == (as_region, "@1:0,0,1,1"):
            assert kind(text).source == 1
            continue
        with pytest.raises(argparse.ArgumentTypeError) as refusal:
            kind(text)
        assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_option_refuses_bad_values_or_understands_them(path):
    parser = parser_of(path)
    for action in values(parser):
        for text in NUMBERS:
            check_value(action, text, convert(parser, action, text))
        if action.type is None and action.choices is None:
            assert convert(parser, action, "~/a folder") == os.path.expanduser("~/a folder"), action.dest
        elif action.type is options.file_to_write:
            assert convert(parser, action, "~/file.json") == os.path.expanduser("~/file.json"), action.dest
            assert convert(parser, action, str(ROOT)) is None and convert(parser, action, "/nowhere/x") is None


def test_all_scripts_are_walked():
    names = {str(path.relative_to(ROOT)) for path in SCRIPTS}
    assert {"train_id.py", "demo.py", "data/prepare.py", "benchmarks/tracking.py", "utils/deploy/trt.py"} <= names
    assert len(names) >= 15
    found = {name for path in SCRIPTS for action in values(parser_of(path)) for name in action.option_strings}
    assert {"--compare", "--line", "--zone", "--ignore", "--events", "--every", "--reid_onnx", "--data_dir"} <= found


def test_a_user_of_another_name_is_expanded(monkeypatch):
    monkeypatch.setenv("HOME", "/home/of a person")
    assert options.as_path("~") == "/home/of a person"
    assert options.as_path("~/runs/*.jpg") == "/home/of a person/runs/*.jpg"
    assert options.as_path("~root/x") == os.path.expanduser("~root/x") != "~root/x"
    assert options.as_path("a~/~") == "a~/~" and options.as_path("~no_such_user/x") == "~no_such_user/x"
