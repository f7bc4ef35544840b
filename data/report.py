"""What data/prepare.py says after it looked at a data set: a verdict, how to mend it, and the command to go on with."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from utils.dataset_checks import count_noun
from utils.options import VAL_IDENTITIES

MADE_BY = "prepared.json"
NAMES = "names.json"
UNPACKED = "unpacked from the archive"
ENOUGH = 3 * VAL_IDENTITIES  # people to train on, of whom that many can be spared


def read_note(data_dir: Path, name: str) -> dict:
    """MADE_BY or NAMES of a layout; {} of a folder that was not made here."""
    try:
        note = json.loads((data_dir / name).read_text())
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}


def with_original(example: str, originals: dict) -> str:
    """An example of a finding, one path or several with ' = ' between, each with the name that the user knows it by."""
    told = []
    for path in example.split(" = "):
        original = originals.get(Path(path).name)
        told.append(f"{path} (from {original})" if original else path)
    return " = ".join(told)


def verdict(findings, differences: int, read: bool) -> str:
    """The last word on a set. differences: how many were named above; read: every picture was looked at."""
    errors = sum(finding.error for finding in findings)
    said = [count_noun(errors, "error", "errors") if errors else "no errors"]
    if len(findings) > errors:
        said.append(count_noun(len(findings) - errors, "note", "notes"))
    words = (", ".join(said) if findings else "no damage found") + ("" if read else " by the names alone")
    if differences:
        named = count_noun(differences, "difference", "differences")
        words += f"; but it is not the set that was published ({named} above)"
    return words


def how_to_mend(data_dir: Path, about: dict) -> str:
    """What to do with errors in a layout that was made from a folder; '' for any other."""
    if not about.get("source") or about.get("pictures are") == UNPACKED:
        return ""
    return (
        f"to mend it: repair or remove the pictures in {about['source']}, remove {data_dir}, "
        "and run data/prepare.py again as before"
    )


def next_command(data_dir: Path, people: int) -> str:
    """How to train on a set of so many people. With few of them, fewer than usual can be spared for validation."""
    command = f"bash train_id.sh --data_dir={shlex.quote(str(data_dir))}"
    if people >= ENOUGH:
        return command
    if people < 4:  # training takes two, and validation two others
        return (
            f"{command} --val_identities=0\nnote: train_reid.sh takes 4 people or more to train on, here are {people}"
        )
    return f"{command} --val_identities={max(2, min(VAL_IDENTITIES, people // 3))}"
