"""One training run: its folder models/<kind>/m<N>, args.json, TensorBoard curves, the step loop, saving, stopping and
going on.

A run folder holds the checkpoints, `args.json` (every option, and what the run started from), `validation.json` (one
row a validation, and the suggested step) and the TensorBoard runs `train` and `val`.
"""

from __future__ import annotations

import functools
import math
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path

import tensorflow as tf

from utils import checkpoint
from utils.errors import InputError
from utils.files import write_json
from utils.progress import clock
from utils.training import resume
from utils.training.step_table import step_table


class Run:
    """The folder of one run. `first_step` is 0 for a new run, else the step that was restored.

    kind: 'id' or 'reid', also the name of the folder; pattern: the name of its checkpoints; keep: how many of them
    stay, the suggested one aside.
    """

    def __init__(self, models_dir, kind: str, pattern: str, args: dict, keep: int):
        self.parent, self.pattern, self.keep = Path(models_dir) / kind, pattern, keep
        self.args = dict(args)
        self.given = dict(args)  # as the user gave them; args takes in what a script inherits
        self.first_step, self.history = 0, []
        self.folder = None

    # ---- starting ----

    def start_new(self, facts: dict) -> None:
        """Makes the next free folder m<N>.

        facts: what else belongs into args.json, such as where the weights came from.
        """
        try:
            self.parent.mkdir(parents=True, exist_ok=True)
            taken = [int(path.name[1:]) for path in self.parent.glob("m*") if path.name[1:].isdigit()]
            self.folder = self.parent / f"m{max(taken, default=-1) + 1}"
            self.folder.mkdir()  # fails rather than shares a folder with a run that was started this very moment
        except OSError as error:
            raise InputError(
                f"{self.parent} can't hold a new run ({error.strerror}): name another models_dir"
            ) from None
        self._open(facts)

    def find_restored(self) -> int:
        """The step to go on from in models/<kind>/m<id>.

        InputError if there is no such run or it was trained differently.
        """
        self.folder = self.parent / f"m{self.args['id']}"
        if not self.folder.is_dir():
            runs = ", ".join(sorted(path.name for path in self.parent.glob("m*"))) or "none yet"
            raise InputError(
                f"no run {self.folder} to restore (there is: {runs}): "
                "set id to one of them, or restore=False for a new run"
            )
        with_state = set(checkpoint.steps_in(self.folder, checkpoint.STATE_PATTERN))
        steps = [step for step in checkpoint.steps_in(self.folder, self.pattern) if step in with_state]
        if not steps:
            raise InputError(f"{self.folder} holds no checkpoint to go on from: start a new run with restore=False")
        before = checkpoint.read_args(self.prefix(steps[-1]))
        resume.check_unchanged(self.folder, before, self.args)
        resume.say_changes(before, self.args)
        history = checkpoint.read_validation(self.folder)["history"]
        self.history = [row for row in history if row["step"] <= steps[-1]]
        self.first_step = steps[-1]
        return self.first_step

    def restore(self, net, optimizer) -> None:
        """Loads weights and optimiser of the step that find_restored named."""
        checkpoint.load_weights(net, self.prefix(self.first_step))
        checkpoint.load_variables(optimizer_variables(optimizer), self._state(self.first_step))
        facts = checkpoint.read_args(self.prefix(self.first_step))
        of_the_step = ("step", "validation")
        self._open({name: value for name, value in facts.items() if name not in (*self.args, *of_the_step)})

    def _open(self, facts):
        facts = {**facts, "tensorflow": tf.__version__, "python": platform.python_version(), "git": git_state()}
        self.about = {**self.args, **facts}
        write_json(self.folder / checkpoint.ARGS_FILE, self.about)
        self.train_writer = tf.summary.create_file_writer(str(self.folder / "train"))
        rows = [f"| {name} | {value} |" for name, value in sorted(self.about.items())]
        with self.train_writer.as_default(step=self.first_step):
            tf.summary.text("options", "\n".join(["| option | value |", "| --- | --- |", *rows]))
        going_on = f", going on from step {self.first_step}" if self.first_step else ""
        print(f"run {self.folder}{going_on} (TensorFlow {tf.__version__})")

    # ---- during ----

    @functools.cached_property
    def val_writer(self):
        """Opened late: TensorBoard looks for the projector's files once, when it first meets a run."""
        return tf.summary.create_file_writer(str(self.folder / "val"))

    def prefix(self, step: int) -> str:
        """The checkpoint of a step, such as models/reid/m0/reid_model-200.ckpt."""
        return str(self.folder / self.pattern.format(step=step))

    def log(self, writer, step: int, values: dict) -> None:
        """Scalars into TensorBoard; writer is train_writer or val_writer."""
        with writer.as_default(step=step):
            for name, value in values.items():
                tf.summary.scalar(name, value)
        writer.flush()

    def show_picture(self, writer, name: str, step: int, picture) -> None:
        """A picture (H, W, 3) uint8 RGB into TensorBoard's images; writer is train_writer or val_writer."""
        with writer.as_default(step=step):
            tf.summary.image(name, picture[None])
        writer.flush()

    def save(self, net, optimizer, step: int, validation: dict, suggest) -> dict:
        """Writes the checkpoint of a step and its validation row; deletes older ones; returns the suggestion.

        What is among the newest `keep` or suggested stays. suggest: (all rows, steps with a checkpoint) -> (row, why),
        such as suggest_flat below.
        """
        about = {**self.about, "step": step, "validation": validation}
        checkpoint.save_weights(net, self.prefix(step), about)
        checkpoint.save_variables(optimizer_variables(optimizer), self._state(step))
        self.history.append({"step": step, **validation})
        saved = checkpoint.steps_in(self.folder, self.pattern)
        row, why = suggest(self.history, saved)
        suggestion = {"step": row["step"], "checkpoint": self.pattern.format(step=row["step"]), "why": why}
        content = {"suggested": suggestion, "history": self.history}
        write_json(self.folder / checkpoint.VALIDATION_FILE, content)
        for old in saved[: -self.keep]:
            if old != row["step"]:
                checkpoint.delete(self.prefix(old))
        for old in checkpoint.steps_in(self.folder, checkpoint.STATE_PATTERN)[:-1]:
            checkpoint.delete(self._state(old))  # going on needs the newest only
        return suggestion

    def _state(self, step):
        return str(self.folder / checkpoint.STATE_PATTERN.format(step=step))

    # ---- ending ----

    def print_end(self, suggested: dict, next_line: str, defaults: dict) -> None:
        """The saved checkpoints with their figures, and the command to run next, on this run's data set.

        defaults: the script's own value of each option; the next script has the same data_dir by default.
        """
        saved = checkpoint.steps_in(self.folder, self.pattern)
        print(f"checkpoints in {self.folder}:\n{step_table(self.history, saved, suggested)}")
        data_dir = self.args["data_dir"]
        given = "" if data_dir == defaults["data_dir"] else " " + resume.option("data_dir", data_dir)
        print(f"next: {next_line}{given}")

    def end_stopped(self, defaults: dict) -> None:
        """After Ctrl-C: says how training goes on, and ends with the exit code that tells a calling script."""
        number = self.folder.name[1:]
        print(
            f"stopped and saved. Go on with:\n  {resume.command(sys.argv[0], self.given, defaults, number)}\n"
            f"or set restore=True and id={number} in the launcher, which goes on with the values as they are there"
        )
        sys.exit(130)


def suggest_flat(history: list, saved: list) -> tuple:
    """Where the validation loss flattened, among the rows whose checkpoint is saved.

    That is the first of them that has made 98 % of the way from the very first loss to the lowest.
    """
    lowest = min(row["loss"] for row in history)
    enough = lowest + 0.02 * (history[0]["loss"] - lowest)
    rows = [row for row in history if row["step"] in saved]
    row = next((row for row in rows if row["loss"] <= enough), min(rows, key=lambda row: row["loss"]))
    return row, f"validation loss {row['loss']:.4f}, flat from there on: the lowest was {lowest:.4f}"


def suggest_map(history: list, saved: list) -> tuple:
    """The saved row with the highest validation mAP.

    Rank-1 looks at one picture a query and jumps with the few queries of a validation; mAP looks at whole rankings.
    """
    row = max((row for row in history if row["step"] in saved), key=lambda row: (row["mAP"], -row["loss"]))
    return row, f"highest validation mAP, {row['mAP']:.1f} %"


def build_schedule(args, decay_start: int):
    """The learning rate of args.learning_rate, args.warmup_steps, decay_start and args.num_steps.

    A run too short for its warm-up or its decay gets both in proportion, which is said.
    """
    warmup_steps = args.warmup_steps
    if warmup_steps >= args.num_steps or decay_start >= args.num_steps:
        warmup_steps, decay_start = args.num_steps // 6, args.num_steps * 3 // 5
        print(
            f"note: {args.num_steps} steps are too few for the warm-up or the decay asked for: "
            f"the learning rate rises until step {warmup_steps} and falls from step {decay_start}"
        )
    return WarmupCosine(args.learning_rate, warmup_steps, decay_start, args.num_steps)


class WarmupCosine(tf.keras.optimizers.schedules.LearningRateSchedule):
    """Learning rate: linear from 0 to `peak` over warmup_steps, then `peak`, then half a cosine down.

    The cosine begins at decay_start and ends with 0 at num_steps.
    """

    def __init__(self, peak, warmup_steps, decay_start, num_steps):
        self.peak, self.warmup_steps, self.decay_start, self.num_steps = peak, warmup_steps, decay_start, num_steps

    def __call__(self, step):
        step = tf.cast(step, tf.float32)
        rise = tf.minimum(1.0, (step + 1) / max(1, self.warmup_steps))
        fallen = tf.clip_by_value((step - self.decay_start) / max(1, self.num_steps - self.decay_start), 0.0, 1.0)
        return self.peak * rise * 0.5 * (1 + tf.cos(math.pi * fallen))

    def get_config(self):
        return {
            "peak": self.peak,
            "warmup_steps": self.warmup_steps,
            "decay_start": self.decay_start,
            "num_steps": self.num_steps,
        }


def optimizer_variables(optimizer) -> dict:
    """{name: tf.Variable} of a built optimiser, by position: Keras 2 and 3 name them differently."""
    return {f"optimizer/{index:04d}": checkpoint.as_variable(v) for index, v in enumerate(optimizer.variables)}


class Steps:
    """Yields first + 1 ... last; shows progress with rate and time left.

    Ctrl-C or SIGTERM end it after the step under way, a second Ctrl-C stops at once. Written as
    `with Steps(...) as steps: for step in steps:`; `steps.ending` is True in the body of the last step, whatever ended
    the steps.
    """

    def __init__(self, first: int, last: int, images_per_step: int):
        self.first, self.last, self.images_per_step = first, last, images_per_step
        self.step, self.stopped, self.said_ending = first, False, False
        self.seconds, self.counted = 0.0, 0  # spent in steps, without validation and mining

    def __enter__(self):
        self.handlers = {number: signal.signal(number, self._stop) for number in (signal.SIGINT, signal.SIGTERM)}
        self.shown = 0.0
        return self

    def __exit__(self, *_):
        for number, handler in self.handlers.items():
            signal.signal(number, handler)

    def _stop(self, number, frame):
        if self.stopped:
            raise KeyboardInterrupt
        self.stopped = True
        print("\nfinishing this step and saving; once more to stop at once", flush=True)

    @property
    def ending(self):
        self.said_ending = self.stopped or self.step >= self.last
        return self.said_ending

    @property
    def images_per_second(self):
        return self.counted * self.images_per_step / self.seconds if self.seconds else 0.0

    def __iter__(self):
        # Only a body that has seen `ending` was the last one: a Ctrl-C right behind its checks costs one more step.
        while not self.said_ending and self.step < self.last:
            self.step += 1
            yield self.step

    def took(self, seconds: float) -> None:
        """Reports the time of one training step.

        The rate is a mean that forgets old steps, the first one (compilation) at once.
        """
        if self.step == self.first + 1:
            self.second_step = time.monotonic()
            return
        self.seconds, self.counted = 0.98 * self.seconds + seconds, 0.98 * self.counted + 1

    def show(self, **values) -> None:
        """A progress line, at most one in two seconds on a terminal and one in ten in a log.

        The last step is always shown.
        """
        now, terminal = time.monotonic(), sys.stdout.isatty()
        if now - self.shown < (2 if terminal else 10) and not self.ending:
            return
        self.shown = now
        line = f"step {self.step}/{self.last}  " + "  ".join(f"{name} {value:.3f}" for name, value in values.items())
        rate = self.images_per_second
        if rate:
            a_step = (now - self.second_step) / max(1, self.step - self.first - 1)  # with validation and mining
            line += f"  {rate:.0f} images/s  {clock((self.last - self.step) * a_step)} left"
        print(line, flush=True)


def check_finite(loss: float, step: int, run: Run) -> None:
    """Ends a run whose loss is no longer a number, before a broken checkpoint is written."""
    if not math.isfinite(loss):
        raise InputError(
            f"the loss of step {step} is {loss}: lower learning_rate; "
            f"the checkpoints in {run.folder} are from before and are sound"
        )


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
