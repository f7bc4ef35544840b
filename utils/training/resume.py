"""How a run is gone on with: what must stay as it was, what may differ, and the command to type.

Options are written as they are typed, so that a line can be pasted. Nothing here knows a script: options come as dicts
{name: value}, given ones and a script's own defaults.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

from utils.errors import InputError

# Options that must stay when a run is continued: else the weights would no longer fit, or the curves not be comparable.
SHAPES = ("image_size", "width", "embedding_size", "val_identities", "val_images", "seed")


def option(name: str, value) -> str:
    """image_size, [96, 48] -> '--image_size=96x48', quoted for a shell where it must be."""
    written = "x".join(str(part) for part in value) if isinstance(value, (list, tuple)) else value
    return shlex.quote(f"--{name}={written}")


def command(script: str, given: dict, defaults: dict, number) -> str:
    """The line that goes on with run `number`: each option once, and only where it differs from the script's own."""
    differing = [
        option(name, value)
        for name, value in given.items()
        if name not in ("restore", "id") and value != defaults.get(name)
    ]
    words = [shlex.quote(interpreter()), shlex.quote(script), "--restore=True", f"--id={number}", *differing]
    return " ".join(words)


def interpreter() -> str:
    """'python3' where a shell finds the Python that runs this by that name, else its path.

    The launchers take .venv/bin/python without the .venv being active, and the system's python3 lacks the packages.
    """
    found, here = shutil.which("python3"), Path(sys.executable)
    if found and Path(found).parent == here.parent:
        return "python3"
    inside = here.parts[: len(Path.cwd().parts)] == Path.cwd().parts
    return os.path.relpath(here) if inside else str(here)


def check_unchanged(folder, before: dict, asked: dict) -> None:
    """Refuses to go on where options that must stay differ; the message names all of them as they were.

    before: the options that the run was trained with; asked: today's, None where the script inherits.
    """
    differing = [
        name for name in SHAPES if asked.get(name) is not None and before.get(name, asked[name]) != asked[name]
    ]
    if differing:
        were = " ".join(option(name, before[name]) for name in differing)
        raise InputError(
            f"{folder} was trained with {were}: give exactly that again, or start a new run with restore=False"
        )


def say_changes(before: dict, asked: dict) -> None:
    """One line on the options that may differ and do."""
    changed = [
        f"{name}: {before.get(name)} -> {value}"
        for name, value in sorted(asked.items())
        if value is not None and before.get(name) != value and name not in ("restore", "id")
    ]
    if changed:
        print("options that differ from before: " + "; ".join(changed))
