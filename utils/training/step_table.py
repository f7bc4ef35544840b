"""What a training script prints at its end: its saved checkpoints, what validation said of each, the suggested one."""

from __future__ import annotations

# (heading, key of a validation row, format); a column that no row has is left out
COLUMNS = (
    ("validation loss", "loss", "{:.4f}"),
    ("accuracy", "accuracy", "{:.3f}"),
    ("rank-1", "rank1", "{:.1f} %"),
    ("mAP", "mAP", "{:.1f} %"),
)


def step_table(history: list, saved: list, suggested: dict) -> str:
    """One line for each saved step of the validation history, the suggested one marked, under a line of headings.

    history and suggested: as in validation.json; saved: the steps whose checkpoint is on disk.
    """
    rows = [row for row in history if row["step"] in saved]
    columns = [column for column in COLUMNS if any(column[1] in row for row in rows)]
    table = [["step", *(heading for heading, _, _ in columns)]]
    table += [[str(row["step"]), *(_cell(row, key, form) for _, key, form in columns)] for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(*table)]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(cells, widths)) for cells in table]
    marked = [row["step"] == suggested["step"] for row in rows]
    mark = f"  <- suggested: {suggested['why']}"
    return "\n".join(line + (mark if here else "") for line, here in zip(lines, [False, *marked]))


def _cell(row, key, form) -> str:
    return form.format(row[key]) if row.get(key) is not None else "-"
