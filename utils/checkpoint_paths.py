"""Finds the checkpoint that a user names: by run folder, by path, or the newest; suggests others if it is missing.

This module knows where the launchers write: models/<kind>/m<N>, and models/quick_run/<kind>/m0.
"""

from __future__ import annotations

from pathlib import Path

from utils.checkpoint import ID_PATTERN, REID_PATTERN, read_validation, require_checkpoint, steps_in, strip_suffix
from utils.errors import InputError

MOST_NAMES = 5  # in a message


def find_checkpoint(path, pattern: str = "") -> str:
    """The prefix of the checkpoint that `path` names; InputError if there is none.

    path: a prefix, one of its files, or a run folder, which means its suggested checkpoint, or else its newest.
    pattern: the kind of checkpoint to look for in a folder; both kinds if empty.
    """
    if not Path(path).is_dir():
        prefix = strip_suffix(path)
        require_checkpoint(prefix, suggest_checkpoints(prefix, pattern))
        return prefix
    suggested = read_validation(path)["suggested"]
    if suggested and Path(path, suggested["checkpoint"] + ".index").is_file():
        return str(Path(path, suggested["checkpoint"]))
    patterns = [pattern] if pattern else [kind for kind in (REID_PATTERN, ID_PATTERN) if steps_in(path, kind)]
    return newest_checkpoint(path, *patterns[:1])


def newest_checkpoint(folder="models/reid", pattern: str = REID_PATTERN) -> str:
    """The prefix of the checkpoint that was written last in `folder` or in a run folder m<N> in it.

    InputError if there is none.
    """
    found = []
    for run in [Path(folder), *Path(folder).glob("m*")]:
        for step in steps_in(run, pattern):
            prefix = run / pattern.format(step=step)
            found.append((prefix.with_name(prefix.name + ".index").stat().st_mtime_ns, step, str(prefix)))
    if not found:
        name = pattern.format(step="<step>")
        script = "train_id.sh" if pattern == ID_PATTERN else "train_reid.sh"
        quick_run = list_checkpoints(Path(folder).parent / "quick_run" / Path(folder).name, pattern)
        hint = f"; the quick run wrote {' or '.join(quick_run)}" if quick_run else ""
        raise InputError(f"no checkpoint {name} in {folder}: train one with bash {script}, or name its path{hint}")
    return max(found)[2]


def list_checkpoints(folder, pattern: str = "") -> list:
    """The paths in a folder that a user can name: its checkpoints and its runs m<N> with checkpoints, the last of each.

    pattern: the kind of checkpoint; both kinds if empty. A run's training_state is not a model and is never listed.
    """
    kinds = [pattern] if pattern else [REID_PATTERN, ID_PATTERN]
    own = [kind.format(step=step) for kind in kinds for step in steps_in(folder, kind)[-MOST_NAMES:]]
    runs = [run.name for run in Path(folder).glob("m*") if any(steps_in(run, kind) for kind in kinds)]
    runs = sorted(runs, key=lambda name: (len(name), name))[-MOST_NAMES:]  # m9 before m10
    return [str(Path(folder, name)) for name in own + runs]


def suggest_checkpoints(prefix, pattern: str = "") -> str:
    """The end of a sentence about the missing checkpoint `prefix`: which one to name, or how to train one."""
    kind = "id" if pattern == ID_PATTERN else "reid"
    beside = (Path(prefix).parent, pattern)
    usual = [(folder, pattern or REID_PATTERN) for folder in (f"models/{kind}", f"models/quick_run/{kind}")]
    for folder, wanted in (beside, *usual):
        found = list_checkpoints(folder, wanted)
        if found:
            return f"name one that exists, such as {', '.join(found)}"
    scripts = "bash train_id.sh" if kind == "id" else "bash train_id.sh, then bash train_reid.sh"
    return f"train one first ({scripts}), or name a checkpoint or run folder that exists"
