"""The closing messages of data/prepare.py: a summary of its checks, a remedy, and the next command."""

from __future__ import annotations

import shlex
from pathlib import Path

from utils.dataset_checks import count_noun
from utils.json_files import each, one_of, read_json, several, text
from utils.options import VAL_IDENTITIES

PREPARED = "prepared.json"  # the source and the options of a layout
NAMES = "names.json"  # the new numbers and file names of a custom data set, with the original ones
# Keys in files of older versions, and their names today.
OLD_KEYS = {"kind found": "detected_kind", "pictures are": "placed_as", "pictures": "images"}
NOTE_FIELDS = {  # of both files; see utils/json_files.py
    "source": text,
    "stamp": text,
    "detected_kind": text,
    "kind found": text,
    "placed_as": text,
    "pictures are": text,
    "problems": several(text),
    "single_camera": one_of(True, False),
    "identities": each(text),
    "cameras": each(text),
    "images": each(text),
    "pictures": each(text),
}
UNPACKED = "unpacked from the archive"
ENOUGH_IDENTITIES = 3 * VAL_IDENTITIES  # for training, with the usual number held out


def read_note(data_dir: Path, name: str) -> dict:
    """The content of PREPARED or NAMES; {} if data/prepare.py did not make the folder. InputError if it is damaged."""
    remedy = f"remove it to use {data_dir} without it, or remove {data_dir} and prepare it again"
    try:
        note = read_json(data_dir / name, NOTE_FIELDS, remedy, wrong="is damaged")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return {OLD_KEYS.get(key, key): value for key, value in note.items()}


def format_example(example: str, originals: dict) -> str:
    """An example of a finding, with the original name behind each path.

    example: one path, or several with " = " between them. originals: {name in the layout: original name}.
    """
    paths = []
    for path in example.split(" = "):
        original = originals.get(Path(path).name)
        paths.append(f"{path} (from {original})" if original else path)
    return " = ".join(paths)


def format_summary(findings: list, differences: int, read: bool) -> str:
    """The last line about a data set.

    differences: from the published set. read: whether every image was read.
    """
    errors = sum(finding.error for finding in findings)
    notes = len(findings) - errors
    if not findings:
        summary = "no damage found"
    else:
        summary = count_noun(errors, "error", "errors") if errors else "no errors"
        if notes:
            summary += ", " + count_noun(notes, "note", "notes")
    if not read:
        summary += " in the file names (images not read)"
    if differences:
        listed = count_noun(differences, "difference", "differences")
        summary += f"; but it is not the published set ({listed} above)"
    return summary


def format_remedy(data_dir: Path, prepared: dict) -> str:
    """Advice on correcting errors in a layout that was made from a folder; "" for any other layout."""
    if not prepared.get("source") or prepared.get("placed_as") == UNPACKED:
        return ""
    return (
        f"to correct it: repair or remove the images in {prepared['source']}, remove {data_dir}, "
        "and run the same data/prepare.py command again"
    )


def next_command(data_dir: Path, identities: int) -> str:
    """The command that trains on a set of `identities`; with few of them, fewer are held out for validation."""
    command = f"bash train_id.sh --data_dir={shlex.quote(str(data_dir))}"
    if identities >= ENOUGH_IDENTITIES:
        return command
    if identities < 4:  # train_reid.sh trains on two and holds two out
        note = f"train_reid.sh needs 4 or more training identities, this set has {identities}"
        return f"{command} --val_identities=0\nnote: {note}"
    return f"{command} --val_identities={max(2, min(VAL_IDENTITIES, identities // 3))}"
