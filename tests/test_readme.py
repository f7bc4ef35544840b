"""What the documents claim is so: options, files, anchors, defaults, figures; and their commands run, in short."""

from __future__ import annotations

import importlib
import json
import re
import shlex
import subprocess
import sys

import pytest

from tests.helpers import ROOT

DOCS = tuple(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))
PAGES = ("README.md", *DOCS, "CONTRIBUTING.md", "data/README.md", "models/README.md")
SCRIPTS = ("train_id", "train_reid", "test_reid", "pipeline", "demo", "data/prepare", "data/sample", "data/harvest")
MADE = (
    "models/",
    "data/Market",
    "data/people",
    "data/drawn_people",
    "data/quick_run",
    "data/<name>",
)  # made by commands
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def text(page) -> str:
    return (ROOT / page).read_text()


def commands(page) -> list:
    """The lines of indented blocks that a user types, without their comments."""
    lines = re.findall(r"^    ((?:bash|python3|scp|tensorboard|cd|ssh|git) .*)$", text(page), re.M)
    return [re.sub(r"\s+#.*$", "", line).strip() for line in lines]


def script_of(words) -> str:
    """The file that a command runs: train_id.sh, data/prepare.py, benchmarks/demo_gap.py for -m benchmarks.demo_gap."""
    return words[2].replace(".", "/") + ".py" if words[1] == "-m" else words[1]


def options_of(script) -> set:
    """All options of a Python script, as its --help tells them."""
    command = [sys.executable, "-m", script.replace("/", ".").replace(".py", ""), "--help"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return set(re.findall(r"--[a-z][a-z0-9_]*", said.stdout))


@pytest.fixture(scope="module")
def options():
    found = {f"{script}.py": options_of(script) for script in (*SCRIPTS, "benchmarks/real_people")}
    launchers = {f"{name}.sh": found[f"{name}.py"] for name in ("train_id", "train_reid", "test_reid")}
    # Options after run_tests.sh are pytest's; quick_run.sh reads its own.
    return {**found, **launchers, "quick_run.sh": {"--seed", "--help"}}


@pytest.mark.parametrize("page", PAGES)
def test_every_command_names_a_script_that_is_there_and_options_that_it_has(page, options):
    for command in commands(page):
        words = shlex.split(command)
        if words[0] not in ("bash", "python3"):
            continue
        script = script_of(words)
        assert (ROOT / script).is_file(), command
        used = {word.split("=")[0] for word in words if word.startswith("--")}
        if used:
            known = options.get(script) or options_of(script)
            assert used <= known, f"{page}: {command}"


@pytest.mark.parametrize("page", PAGES)
def test_every_option_in_the_prose_is_one_of_some_script(page, options):
    known = set().union(*options.values())
    for word in re.findall(r"`(--[a-z][a-z0-9_]*)", text(page)):
        assert word in known, f"{page} speaks of {word}"


@pytest.mark.parametrize("page", PAGES)
def test_every_file_and_anchor_it_names_is_there(page):
    content = text(page)
    for target in re.findall(r'src="([^"]+)"', content):
        assert (ROOT / page).parent.joinpath(target).exists(), f"{page} points to {target}"
    for target, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", content):
        named = (ROOT / page).parent / target if target else ROOT / page
        assert named.exists(), f"{page} points to {target}"
        if anchor:
            anchors = {anchor_of(title) for title in re.findall(r"^#+ (.*)$", named.read_text(), re.M)}
            assert anchor in anchors, f"{page} points to {target}#{anchor}"
    for word in re.findall(r"`([\w.\-]+(?:/[\w.\-]+)+\.(?:py|sh|md|json))`", content):
        assert word.startswith((*MADE, "...")) or (ROOT / word).exists(), f"{page} names {word}"


def anchor_of(title) -> str:
    """How GitHub makes an anchor of a title."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def table_after(content, place) -> list:
    """The rows of cells of the first table behind a place in a page, without its head."""
    rows = []
    for line in content[place:].lstrip().splitlines():
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    assert len(rows) > 2, content[place : place + 100]
    return rows[2:]


def look_up(content, path):
    """The value at a path such as cuts.0.kept; cuts.1:.kept is the sum over all cuts from number 1 on."""
    for index, key in enumerate(path.split(".")):
        if key.endswith(":"):
            rest = ".".join(path.split(".")[index + 1 :])
            return sum(look_up(item, rest) for item in content[int(key[:-1]) :])
        content = content[int(key) if isinstance(content, list) else key]
    return content


def test_the_figures_of_tables_are_those_that_were_written_down():
    """`<!-- figures: FILE | rows a b | columns x y -->` before a table: cell (a, x) is the file's a.x, as rounded."""
    content, checked = "\n".join(text(page) for page in PAGES), 0
    for mark in re.finditer(r"<!-- figures: (\S+) \| rows ([^|]*) \| columns (.*?) -->\n", content):
        written = json.loads((ROOT / mark.group(1)).read_text())
        assert written["command"] and written["machine"], mark.group(1)
        rows, columns = mark.group(2).split(), mark.group(3).split()
        table = table_after(content, mark.end())
        assert len(table) == len(rows), mark.group(0)
        for key, cells in zip(rows, table):
            for column, cell in zip(columns, cells[1:]):
                shown = NUMBER.findall(cell.replace(",", ""))
                keys = [f"{key}.{part}" for part in column.split("+")]
                assert len(shown) >= len(keys), f"{mark.group(0)} {cell}"
                for number, path in zip(shown, keys):
                    decimals = len(number.partition(".")[2])
                    expected = f"{look_up(written, path):.{decimals}f}"
                    assert number == expected, f"{mark.group(1)}: {path} is {expected}, the documents say {number}"
                    checked += 1
    assert checked >= 20


def test_the_figures_in_prose_are_those_that_were_written_down():
    """`0.23<!-- figure: FILE path -->` is the file's value as rounded; path/1e6 divides it first."""
    content = "\n".join(text(page) for page in PAGES)
    marks = re.findall(r"([\d.]+)<!-- figure: (\S+) (\S+) -->", content)
    assert len(marks) == content.count("<!-- figure: ") >= 10
    for number, file, path in marks:
        path, _, divisor = path.partition("/")
        value = look_up(json.loads((ROOT / file).read_text()), path) / float(divisor or 1)
        decimals = len(number.partition(".")[2])
        assert number == f"{value:.{decimals}f}", f"{file}: {path} is {value}, the documents say {number}"


def test_the_defaults_in_tables_are_those_of_the_scripts():
    """`<!-- defaults: train_id.py -->` before a table of options."""
    content = text("docs/hyperparameters.md")
    marks = list(re.finditer(r"<!-- defaults: (\w+)\.py -->\n", content))
    assert {mark.group(1) for mark in marks} == {"train_id", "train_reid"}
    for mark in marks:
        defaults = vars(importlib.import_module(mark.group(1)).parse_args([]))
        for names, values, *_ in table_after(content, mark.end()):
            for name, value in zip(re.findall(r"`(\w+)`", names), values.split(", ")):
                default = defaults[name]
                default = "x".join(map(str, default)) if isinstance(default, list) else str(default)
                assert value == default, f"{mark.group(1)}: {name} is {default}, the documents say {value}"
