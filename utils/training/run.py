"""One training run: its folder models/<kind>/m<N>, TensorBoard curves, checkpoints, and how it is resumed.

A run folder holds the checkpoints, `args.json` (all options, and what the run started from), `validation.json` (one row
per validation, and the suggested step) and the TensorBoard runs `train` and `val`.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import tensorflow as tf

from utils import checkpoint
from utils.device import compute_device
from utils.errors import InputError
from utils.files import lock_folder, remove_half_written, write_json, writing
from utils.training.steps import step_table

OF_A_STEP = ("step", "validation")  # keys of <prefix>.json that args.json does not have
OF_A_RESUME = ("restore", "id")  # options that name the run


class Run:
    """A run whose folder exists and whose curves are open: made by Run.new or Run.resume.

    first_step: 0 in a new run, else the step from which it was resumed.
    """

    def __init__(self, folder: Path, pattern: str, about: dict, keep: int, first_step: int = 0, history=()):
        """Writes args.json and opens the TensorBoard run `train`; use Run.new or Run.resume.

        pattern: the name of its checkpoints; about: the content of args.json; keep: how many of the newest checkpoints
        stay; history: the rows of validation.json up to first_step.
        """
        self.folder = folder
        self.pattern = pattern
        self.keep = keep
        self.first_step = first_step
        self.history = list(history)
        self.state = {}  # {name: array} that was saved beside the optimizer's variables, after a resume
        versions = {"tensorflow": tf.__version__, "python": platform.python_version(), "git": git_state()}
        versions["device"] = compute_device()
        self.about = {**about, **versions}
        self._writers = {}
        write_json(folder / checkpoint.ARGS_FILE, self.about)
        rows = [f"| {name} | {value} |" for name, value in sorted(self.about.items())]
        with self._writer("train").as_default(step=first_step):
            tf.summary.text("options", "\n".join(["| option | value |", "| --- | --- |", *rows]))
        resumed = f", resumed at step {first_step}" if first_step else ""
        print(f"run {folder}{resumed} (TensorFlow {tf.__version__})")

    @classmethod
    def new(cls, models_dir, kind: str, pattern: str, about: dict, keep: int) -> Run:
        """A run in the next free folder models_dir/<kind>/m<N>, which is made; InputError if it cannot be made.

        kind: 'id' or 'reid'; the others as in __init__.
        """
        parent = Path(models_dir) / kind
        try:
            parent.mkdir(parents=True, exist_ok=True)
            taken = [int(path.name[1:]) for path in parent.glob("m*") if path.name[1:].isdecimal()]
            folder = parent / f"m{max(taken, default=-1) + 1}"
            folder.mkdir()  # fails if another run takes the same number at this moment
        except OSError as error:
            raise InputError(f"{parent} cannot hold a new run ({error.strerror}): name another models_dir") from None
        lock_folder(folder)
        return cls(folder, pattern, about, keep)

    @classmethod
    def resume(cls, point: ResumePoint, net, optimizer, options: dict, keep: int) -> Run:
        """The run of `point`, after loading the weights and the optimizer's variables of its step.

        options: today's, for args.json; what the run started from is kept. optimizer: built. InputError if the weights
        do not fit `net`.
        """
        checkpoint.load_weights(net, point.prefix)
        variables = optimizer_variables(optimizer)
        state = _state_prefix(point.folder, point.step)
        checkpoint.load_variables(variables, state)
        facts = {name: value for name, value in point.about.items() if name not in (*options, *OF_A_STEP)}
        run = cls(point.folder, point.pattern, {**options, **facts}, keep, point.step, point.history)
        run.state = {name: value for name, value in checkpoint.read_weights(state).items() if name not in variables}
        return run

    def prefix(self, step: int) -> str:
        """The checkpoint of a step, such as models/reid/m0/reid_model-200.ckpt."""
        return str(self.folder / self.pattern.format(step=step))

    # ---- TensorBoard ----

    def _writer(self, part: str):
        """The writer of 'train' or 'val', which is opened when it is first used.

        TensorBoard looks for the files of the projector once, when it finds a run. So they must be there before the
        first event of `val`.
        """
        if part not in self._writers:
            self._writers[part] = tf.summary.create_file_writer(str(self.folder / part))
        return self._writers[part]

    def log(self, part: str, step: int, figures: dict) -> None:
        """Writes {tag: number} to the TensorBoard run `part`, 'train' or 'val'."""
        with writing(self.folder):
            with self._writer(part).as_default(step=step):
                for tag, value in figures.items():
                    tf.summary.scalar(tag, value)
            self._writer(part).flush()

    def log_image(self, part: str, tag: str, step: int, image) -> None:
        """Writes an image (H, W, 3) uint8 RGB to the TensorBoard run `part`, 'train' or 'val'."""
        with writing(self.folder):
            with self._writer(part).as_default(step=step):
                tf.summary.image(tag, image[None])
            self._writer(part).flush()

    # ---- checkpoints ----

    def save(self, net, optimizer, step: int, validation: dict, choose, state=None) -> dict:
        """Writes the checkpoint and the validation row of a step, deletes old checkpoints, returns the suggestion.

        The newest `keep` checkpoints and the suggested one stay. choose: (all rows, steps with a checkpoint) -> (row,
        reason), such as first_plateau or best_map. state: {name: array} that a resumed run gets back as its `state`.
        Returns {'step', 'checkpoint', 'why'}.
        """
        about = {**self.about, "step": step, "validation": validation}
        checkpoint.save_weights(net, self.prefix(step), about)
        kept = {name: tf.Variable(array) for name, array in (state or {}).items()}
        checkpoint.save_variables({**optimizer_variables(optimizer), **kept}, _state_prefix(self.folder, step))
        self.history.append({"step": step, **validation})
        saved = checkpoint.steps_in(self.folder, self.pattern)
        row, why = choose(self.history, saved)
        suggested = {"step": row["step"], "checkpoint": self.pattern.format(step=row["step"]), "why": why}
        content = {"suggested": suggested, "history": self.history}
        write_json(self.folder / checkpoint.VALIDATION_FILE, content)
        for old in saved[: -self.keep]:
            if old != row["step"]:
                checkpoint.delete(self.prefix(old))
        for old in checkpoint.steps_in(self.folder, checkpoint.STATE_PATTERN)[:-1]:
            checkpoint.delete(_state_prefix(self.folder, old))  # resuming needs the newest only
        return suggested

    def table(self, suggested: dict) -> str:
        """The saved checkpoints and their figures as a table; suggested: as save returned it."""
        saved = checkpoint.steps_in(self.folder, self.pattern)
        return f"checkpoints in {self.folder}:\n{step_table(self.history, saved, suggested)}"


def optimizer_variables(optimizer) -> dict:
    """{name: tf.Variable} of a built optimizer, by position: Keras 2 and 3 have different names for them."""
    return {f"optimizer/{index:04d}": checkpoint.as_variable(v) for index, v in enumerate(optimizer.variables)}


def _state_prefix(folder, step: int) -> str:
    """The checkpoint of the optimizer's variables."""
    return str(Path(folder) / checkpoint.STATE_PATTERN.format(step=step))


def git_state() -> str:
    """'<commit>' or '<commit> with changes' of this working copy, 'unknown' outside git."""

    def git(*words):
        folder = Path(__file__).resolve().parents[2]
        finished = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True)
        return finished.stdout.strip()

    try:
        commit = git("rev-parse", "HEAD")
        dirty = git("status", "--porcelain", "-uno")
        return commit + (" with changes" if dirty else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


# ---- which step to suggest ----


def first_plateau(history: list, saved: list) -> tuple:
    """(row, reason): the first saved row where the validation loss is flat.

    That is where it has come 98 % of the way from the first loss to the lowest; the lowest saved row if there is none.
    """
    lowest = min(row["loss"] for row in history)
    enough = lowest + 0.02 * (history[0]["loss"] - lowest)
    rows = [row for row in history if row["step"] in saved]
    row = next((row for row in rows if row["loss"] <= enough), min(rows, key=lambda row: row["loss"]))
    return row, f"validation loss {row['loss']:.4f}, flat from there on: the lowest was {lowest:.4f}"


def best_map(history: list, saved: list) -> tuple:
    """(row, reason): the saved row with the highest validation mAP.

    Rank-1 depends on one image per query and is noisy with few queries; mAP depends on whole rankings.
    """
    row = max((row for row in history if row["step"] in saved), key=lambda row: (row.get("mAP") or 0.0, -row["loss"]))
    return row, f"highest validation mAP, {row.get('mAP') or 0.0:.1f} %"


# ---- resuming ----


class ResumePoint(NamedTuple):
    """Where a run can be resumed: its newest step with weights and optimizer variables.

    about: the options and facts of that checkpoint; history: the rows of validation.json up to the step.
    """

    folder: Path
    pattern: str
    step: int
    about: dict
    history: list

    @property
    def prefix(self) -> str:
        return str(self.folder / self.pattern.format(step=self.step))


def find_resume_point(models_dir, kind: str, pattern: str, number: int, asked: dict, fixed) -> ResumePoint:
    """The newest step of the run models_dir/<kind>/m<number>; a note is printed about options that have changed.

    asked: today's options by name, None if the script inherits one; fixed: the names of those that must not change.
    InputError if there is no such run, it has no checkpoint, or a fixed option differs.
    """
    folder = Path(models_dir) / kind / f"m{number}"
    if not folder.is_dir():
        runs = ", ".join(sorted(path.name for path in folder.parent.glob("m*"))) or "none"
        raise InputError(
            f"there is no run {folder} to resume (existing runs: {runs}): "
            "set id to one of them, or restore=False for a new run"
        )
    with_state = set(checkpoint.steps_in(folder, checkpoint.STATE_PATTERN))
    steps = [step for step in checkpoint.steps_in(folder, pattern) if step in with_state]
    if not steps:
        raise InputError(f"{folder} has no checkpoint to resume from: start a new run with restore=False")
    lock_folder(folder)  # a run that is still training deletes what would be read here
    remove_half_written(folder)
    step = steps[-1]
    about = checkpoint.read_args(folder / pattern.format(step=step))
    history = [row for row in checkpoint.read_validation(folder)["history"] if row["step"] <= step]
    if "loss" in about.get("validation", {}) and step not in [row["step"] for row in history]:
        history.append({"step": step, **about["validation"]})  # killed between the checkpoint and validation.json
    point = ResumePoint(folder, pattern, step, about, history)
    check_unchanged(point, asked, fixed)
    changes = describe_changes(point, asked)
    if changes:
        print(changes)
    return point


def check_unchanged(point: ResumePoint, asked: dict, fixed) -> None:
    """InputError if an option of `fixed` differs; the message lists all of them as they were.

    asked, fixed: as in find_resume_point.
    """
    before = point.about
    differing = [name for name in fixed if asked.get(name) is not None and before.get(name, asked[name]) != asked[name]]
    if differing:
        options = " ".join(format_option(name, before[name]) for name in differing)
        raise InputError(
            f"{point.folder} was trained with {options}: give the same values, or start a new run with restore=False"
        )


def describe_changes(point: ResumePoint, asked: dict) -> str:
    """One line about the options that differ from those of the run, '' if none does; asked: as in find_resume_point."""
    changed = [
        f"{name}: {point.about.get(name)} -> {value}"
        for name, value in sorted(asked.items())
        if value is not None and point.about.get(name) != value and name not in OF_A_RESUME
    ]
    return "options that differ from before: " + "; ".join(changed) if changed else ""


def resume_advice(script: str, folder, given: dict, defaults: dict) -> str:
    """The command that resumes the run of a folder m<N>, as a message.

    script: its path; given: the options by name as the user gave them; defaults: those of the script. Only options that
    differ are named.
    """
    number = Path(folder).name[1:]
    command = f"{shlex.quote(interpreter())} {shlex.quote(script)} --restore=True --id={number}"
    options = {name: value for name, value in given.items() if name not in OF_A_RESUME}
    return (
        f"stopped and saved. To resume:\n  {command}{differing_options(options, defaults)}\n"
        f"or set restore=True and id={number} in the launcher, which uses the values at its top"
    )


def differing_options(given: dict, defaults: dict) -> str:
    """' --name=value' for each option whose value is not its default, to append to a command."""
    return "".join(f" {format_option(name, value)}" for name, value in given.items() if value != defaults.get(name))


def format_option(name: str, value) -> str:
    """image_size, [96, 48] -> '--image_size=96x48', quoted for a shell if necessary.

    A list of texts is an option that was given several times: data_dir, ['a', 'b'] -> '--data_dir=a --data_dir=b'.
    """
    if isinstance(value, (list, tuple)) and value and all(isinstance(part, str) for part in value):
        return " ".join(format_option(name, part) for part in value)
    text = "x".join(str(part) for part in value) if isinstance(value, (list, tuple)) else value
    return shlex.quote(f"--{name}={text}")


def interpreter() -> str:
    """'python3' if a shell finds the running Python by that name, else its path.

    The launchers use .venv/bin/python without activating .venv, and the system's python3 lacks the packages.
    """
    found = shutil.which("python3")
    here = Path(sys.executable)
    if found and Path(found).parent == here.parent:
        return "python3"
    inside = here.parts[: len(Path.cwd().parts)] == Path.cwd().parts
    return os.path.relpath(here) if inside else str(here)
