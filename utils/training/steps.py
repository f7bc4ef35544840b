"""The loop over the steps of a run: progress, a clean stop, and the table of saved steps at its end."""

from __future__ import annotations

import math
import time

from utils.errors import InputError
from utils.progress import StopRequest, clock, line_interval

FORGETTING = 0.98  # per step: the mean step time follows the last 50 steps or so

# (heading, key of a validation row, format); a column without any value is left out
COLUMNS = (
    ("validation loss", "loss", "{:.4f}"),
    ("accuracy", "accuracy", "{:.3f}"),
    ("rank-1", "rank1", "{:.1f} %"),
    ("mAP", "mAP", "{:.1f} %"),
)


class Steps:
    """Yields the steps first + 1 ... last, prints progress, and ends early after Ctrl-C or SIGTERM.

        with Steps(0, 12000, 64) as steps:
            for step in steps:
                loss = train_step(...)
                steps.record_time()        # once in each body, right after the training computation
                if steps.is_last:
                    save()

    record_time decides whether the step is the last one, and is_last then holds for the rest of the body. A first
    Ctrl-C before record_time ends the run with this step, a later one with the next step. In both cases is_last is True
    in the last step. A second Ctrl-C raises KeyboardInterrupt at once.
    """

    def __init__(self, first: int, last: int, images_per_step: int):
        """first: steps made before; last: the number of the last step; images_per_step: for the rate."""
        self.first = first
        self.last = last
        self.images_per_step = images_per_step
        self.step = first
        self._stop = StopRequest("finishing this step and saving; press Ctrl-C again to stop at once")
        self._is_last = None  # of the step under way; None until it is decided
        self._begun = 0.0  # when the step under way began
        self._second_begun = 0.0  # when the second step began, after the compilation in the first
        self._line_printed = 0.0
        self._seconds = 0.0  # sum of step times, old ones forgotten
        self._count = 0.0  # number of step times in that sum

    def __enter__(self) -> Steps:
        self._stop.__enter__()
        return self

    def __exit__(self, *error) -> None:
        self._stop.__exit__(*error)

    def __iter__(self):
        while self.step < self.last:
            self.step += 1
            self._is_last = None
            self._begun = time.monotonic()
            yield self.step
            if self._is_last is None:  # the body did not record its time, so it knows nothing of is_last either
                self._decide()
            if self._is_last:
                return

    def _decide(self) -> None:
        self._is_last = self._stop.requested or self.step >= self.last

    @property
    def is_last(self) -> bool:
        """Whether the step under way is the last one, for whatever reason. RuntimeError before record_time."""
        if self._is_last is None:
            raise RuntimeError("record_time decides is_last: call it first")
        return self._is_last

    @property
    def stopped(self) -> bool:
        """Whether the run was stopped before its last step."""
        return self._stop.requested and self.step < self.last

    def record_time(self, excluding: float = 0.0) -> None:
        """Records the time since the step began, and decides is_last.

        excluding: seconds of it that were not training, such as mining. The first step, which includes the compilation,
        does not count.
        """
        self._decide()
        now = time.monotonic()
        if self.step == self.first + 1:
            self._second_begun = now
            return
        self._seconds = FORGETTING * self._seconds + now - self._begun - excluding
        self._count = FORGETTING * self._count + 1

    @property
    def seconds_per_step(self) -> float:
        """Mean seconds of the last steps, without mining and validation; 0 if none was recorded yet."""
        return self._seconds / self._count if self._count else 0.0

    @property
    def images_per_second(self) -> float:
        """Mean training speed of the last steps, without mining and validation; 0 if unknown."""
        return self.images_per_step / self.seconds_per_step if self.seconds_per_step else 0.0

    def show(self, **values) -> None:
        """Prints a progress line with these values, at most one every few seconds and one for the last step.

        The remaining time includes mining and validation.
        """
        now = time.monotonic()
        if now - self._line_printed < line_interval() and not self.is_last:
            return
        self._line_printed = now
        line = f"step {self.step}/{self.last}  " + "  ".join(f"{name} {value:.3f}" for name, value in values.items())
        if self.images_per_second:
            seconds = (now - self._second_begun) / (self.step - self.first - 1)
            line += f"  {self.images_per_second:.0f} images/s  {clock((self.last - self.step) * seconds)} left"
        print(line, flush=True)


def check_finite(loss: float, step: int, folder) -> None:
    """InputError if the loss is not finite, so that no broken checkpoint is written; folder: of the run."""
    if not math.isfinite(loss):
        raise InputError(
            f"the loss of step {step} is {loss}: lower learning_rate; "
            f"the checkpoints in {folder} are older and not affected"
        )


def step_table(history: list, saved: list, suggested: dict) -> str:
    """One line per saved step of the validation history under a line of headings; the suggested step is marked.

    history, suggested: as in validation.json; saved: the steps whose checkpoint is on disk.
    """
    rows = [row for row in history if row["step"] in saved]
    columns = [column for column in COLUMNS if any(column[1] in row for row in rows)]
    table = [["step", *(heading for heading, _, _ in columns)]]
    for row in rows:
        table.append([str(row["step"]), *(_cell(row, key, pattern) for _, key, pattern in columns)])
    widths = [max(len(cell) for cell in column) for column in zip(*table)]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(cells, widths)) for cells in table]
    for number, row in enumerate(rows, start=1):
        if row["step"] == suggested["step"]:
            lines[number] += f"  <- suggested: {suggested['why']}"
    return "\n".join(lines)


def _cell(row, key, pattern) -> str:
    return pattern.format(row[key]) if row.get(key) is not None else "-"
