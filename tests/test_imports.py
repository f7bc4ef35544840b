"""Imports run one way: the rooms of the project, read from the import statements of every file."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.helpers import ROOT

GROUND = ("errors", "options", "files", "json_files", "folders", "image_files", "progress", "device", "boxes", "unpack")
RECIPE = ("dataset", "resnet", "losses", "mining", "metrics")
MIDDLE = ("checkpoint", "checkpoint_paths", "dataset_checks", "embed", "image_grid")
# What each room may import besides itself; scripts, benchmarks and tests may import everything.
ALLOWED = {
    "ground": (),
    "recipe": ("ground",),
    "middle": ("ground", "recipe"),
    "setup": ("ground",),
    "deploy": ("ground", "recipe", "middle"),
    "training": ("ground", "recipe", "middle"),
    "evaluation": ("ground", "recipe", "middle", "deploy"),
    "live": ("ground", "recipe", "middle", "deploy"),
    "data": ("ground", "recipe", "middle"),
    "harvest": ("ground", "middle", "deploy", "live"),
}
HARVEST = ("harvest", "track_crops", "track_list")  # modules of data/ that run the demo's networks on videos
SCRIPTS = ("train_id", "train_reid", "test_reid", "pipeline", "demo")
FILES = sorted(path for folder in ("utils", "data") for path in (ROOT / folder).rglob("*.py"))


def room_of(module: str):
    """The room of a dotted module of the project, None for any other."""
    parts = module.split(".")
    if parts[0] in SCRIPTS or parts[0] in ("benchmarks", "tests", "assets"):
        return "scripts"
    if parts[0] == "data" and parts[-1] != "data" and parts[1] in HARVEST:
        return "harvest"
    if parts[0] == "data":
        return "data"
    if parts[0] != "utils" or len(parts) == 1:
        return None
    for room, modules in (("ground", GROUND), ("recipe", RECIPE), ("middle", MIDDLE)):
        if parts[1] in modules:
            return room
    return parts[1]


def imported_by(source: str) -> set:
    """The dotted names that a source imports anywhere, `from a import b` as a and a.b."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def wrong_imports(module: str, source: str) -> list:
    """The imports of a module that lead to a room which its own may not use."""
    room = room_of(module)
    allowed = (room, None, *ALLOWED[room])
    return sorted(name for name in imported_by(source) if room_of(name) not in allowed)


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_a_module_imports_from_its_own_room_and_from_lower_ones(path):
    module = module_of(path)
    if module == "utils.__init__":
        return
    assert room_of(module) in ALLOWED, f"{path} lies in no room: name its room in this test and in CONTRIBUTING.md"
    assert wrong_imports(module, path.read_text()) == []


@pytest.mark.parametrize(
    "module, source",
    [
        ("utils.metrics", "from utils import checkpoint"),
        ("utils.files", "from utils.dataset import SUFFIXES"),
        ("utils.training.run", "from utils.evaluation.models import compile_embed"),
        ("utils.live.tracks", "def f():\n    import utils.training.run"),
        ("utils.deploy.parity", "from data import sample"),
        ("utils.live.view", "from demo import main"),
        ("data.prepare", "from utils.live import camera"),
        ("data.prepare", "from data.harvest import main"),
        ("data.harvest", "from utils.training import run"),
    ],
)
def test_an_import_from_a_higher_room_is_found(module, source):
    assert wrong_imports(module, source)


def test_the_rooms_stand_in_the_guide():
    """CONTRIBUTING.md shows every room, and every module at the front door."""
    guide = (ROOT / "CONTRIBUTING.md").read_text()
    for name in (*GROUND, *RECIPE, *MIDDLE, "training/", "evaluation/", "deploy/", "live/", "setup/"):
        assert name in guide, name
