"""Every option of every script, walked: bad numbers, ~ and nothing are refused or understood. New options are covered.

Only the part of a script above its heavy imports runs, so that all parsers take a second.
"""

import argparse
import ast
import contextlib
import io
import math
import os

import pytest

from tests.helpers import ROOT
from utils import options

SCRIPTS = sorted(
    path
    for folder in (".", "data", "benchmarks", "assets", "utils/setup", "utils/deploy")
    for path in (ROOT / folder).glob("*.py")
    if "\ndef parse_args(" in path.read_text()
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
        assert error.message and "\n" not in error.message, (action.dest, text)
        assert "invalid" not in error.message or action.choices is not None, f"{action.dest}: {error.message}"
        return None
    return value


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_option_refuses_bad_values_or_understands_them(path):
    parser = parser_of(path)
    for action in values(parser):
        for text in NUMBERS:
            value = convert(parser, action, text)
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                assert math.isfinite(value) and 0 <= value <= 2**31, (action.dest, text)
            elif value is not None and not text.strip():
                assert action.type is str, f"{action.dest} takes nothing for a value"
        if action.type is None and action.choices is None:
            assert convert(parser, action, "~/a folder") == os.path.expanduser("~/a folder"), action.dest
        elif action.type is options.file_to_write:
            assert convert(parser, action, "~/file.json") == os.path.expanduser("~/file.json"), action.dest
            assert convert(parser, action, str(ROOT)) is None and convert(parser, action, "/nowhere/x") is None


def test_all_scripts_are_walked():
    names = {str(path.relative_to(ROOT)) for path in SCRIPTS}
    assert {"train_id.py", "demo.py", "data/prepare.py", "benchmarks/tracking.py", "utils/deploy/trt.py"} <= names
    assert len(names) >= 15


def test_a_user_of_another_name_is_expanded(monkeypatch):
    monkeypatch.setenv("HOME", "/home/of a person")
    assert options.as_path("~") == "/home/of a person"
    assert options.as_path("~/runs/*.jpg") == "/home/of a person/runs/*.jpg"
    assert options.as_path("~root/x") == os.path.expanduser("~root/x") != "~root/x"
    assert options.as_path("a~/~") == "a~/~" and options.as_path("~no_such_user/x") == "~no_such_user/x"
