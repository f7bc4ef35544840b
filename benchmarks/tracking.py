"""Scores the tracks of the demo against true identities: IDF1, IDP, IDR, MOTA, HOTA, ID switches, merges and splits.

    python3 demo.py --source models/downloads/vtest.avi --tracks tracks.txt
    python3 -m benchmarks.tracking tracks.txt --truth truth.csv

The truth is a CSV file with the columns frame, id, x, y, w, h; frames count from 1, boxes are in pixels. Only frames
with a line there count. The figures are those of TrackEval (pip install trackeval), at an overlap of 0.5. `merges` is
the number of true people per number, `splits` that of numbers per true person; 1 is perfect.

The truth of PETS09-S2L1 gives a new identity to a person who leaves the image and comes back, so a recognised person
counts as an error there. --same 19=1 says that two of its identities are one person.
"""

import contextlib
import csv
import sys

from utils.errors import InputError, run_main
from utils.options import file_to_write, make_parser


def parse_args(argv=None):
    parser = make_parser(__doc__)
    add = parser.add_argument
    # fmt: off
    add("tracks", help="file in MOTChallenge's text form, as demo.py --tracks writes it")
    add("--truth", required=True, help="CSV file of the true boxes")
    add("--same", type=str, action="append", default=[], metavar="A=B",
        help="two identities of the truth that are one person")
    add("--json", type=file_to_write, default=None, metavar="FILE", help="also write the figures to this file")
    # fmt: on
    return parser.parse_args(argv)


ARGS = parse_args() if __name__ == "__main__" else None

import numpy as np

from utils.boxes import assign, iou
from utils.device import origin
from utils.files import write_json

HIT = 0.5  # minimum IoU to show the same person


def corners(rows) -> np.ndarray:
    """[(left, top, width, height)] -> (N, 4) [ymin, xmin, ymax, xmax]."""
    left, top, width, height = np.array(rows, np.float64).reshape(-1, 4).T
    return np.stack([top, left, top + height, left + width], axis=1)


@contextlib.contextmanager
def readable(path, wanted: str):
    """Turns errors of reading a file into an InputError; wanted: what the file should hold."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): name a file {wanted}") from None
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{path} is of another form: name a file {wanted}") from None


def read_truth(path, same=()) -> dict:
    """{frame: [(identity, (left, top, width, height))]}; same: "A=B" for two identities of one person."""
    renamed = dict(pair.split("=") for pair in same)
    truth = {}
    with readable(path, "with the columns frame, id, x, y, w, h"), open(path, newline="") as file:
        for row in csv.DictReader(file):
            box = tuple(float(row[key]) for key in "xywh")
            truth.setdefault(int(row["frame"]), []).append((renamed.get(row["id"], row["id"]), box))
    return truth


def read_tracks(path) -> dict:
    """{frame: [(number, (left, top, width, height))]} of a MOTChallenge file, whose pixels count from 1."""
    found = {}
    with readable(path, "as demo.py --tracks writes it"), open(path) as lines:
        for line in lines:
            frame, number, left, top, width, height = (float(word) for word in line.split(",")[:6])
            found.setdefault(int(frame), []).append((int(number), (left - 1, top - 1, width, height)))
    return found


def judge(truth: dict, found: dict) -> dict:
    """All figures; truth and found as read_truth and read_tracks return them."""
    try:
        from trackeval.metrics import CLEAR, HOTA, Identity
    except ImportError:
        raise InputError("TrackEval is not installed: pip install trackeval") from None
    frames = sorted(truth)
    people = sorted({name for frame in frames for name, _ in truth[frame]})
    numbers = sorted({number for frame in frames for number, _ in found.get(frame, [])})
    data = {"gt_ids": [], "tracker_ids": [], "similarity_scores": []}
    together = np.zeros((len(people), len(numbers)), int)  # frames in which a number is on a person
    for frame in frames:
        rows = np.array([people.index(name) for name, _ in truth[frame]], int)
        columns = np.array([numbers.index(number) for number, _ in found.get(frame, [])], int)
        overlap = iou(corners([box for _, box in truth[frame]]), corners([box for _, box in found.get(frame, [])]))
        for row, column in enumerate(assign(np.where(overlap >= HIT, overlap, -np.inf))):
            if column >= 0:
                together[rows[row], columns[column]] += 1
        data["gt_ids"].append(rows)
        data["tracker_ids"].append(columns)
        data["similarity_scores"].append(overlap)
    data.update(num_timesteps=len(frames), num_gt_ids=len(people), num_tracker_ids=len(numbers))
    data.update(num_gt_dets=sum(map(len, data["gt_ids"])), num_tracker_dets=sum(map(len, data["tracker_ids"])))
    identity = Identity({"PRINT_CONFIG": False}).eval_sequence(data)
    clear = CLEAR({"PRINT_CONFIG": False}).eval_sequence(data)
    figures = {name: float(identity[name]) for name in ("IDF1", "IDP", "IDR")}
    figures.update(MOTA=float(clear["MOTA"]), HOTA=float(np.mean(HOTA().eval_sequence(data)["HOTA"])))
    on = together > 0
    figures.update(switches=int(clear["IDSW"]), people=len(people), numbers=len(numbers))
    figures["merges"] = float(on.sum(axis=0)[on.any(axis=0)].mean()) if on.any() else 0.0
    figures["splits"] = float(on.sum(axis=1)[on.any(axis=1)].mean()) if on.any() else 0.0
    return figures


def main(args) -> None:
    figures = judge(read_truth(args.truth, args.same), read_tracks(args.tracks))
    for name, value in figures.items():
        print(f"{name:<10}{value:>8.3f}" if isinstance(value, float) else f"{name:<10}{value:>8}")
    if args.json:
        command = f"python3 -m benchmarks.tracking {' '.join(sys.argv[1:])}"
        write_json(args.json, {**origin(command), **figures})


if __name__ == "__main__":
    run_main(main, ARGS)
