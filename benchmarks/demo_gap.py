"""Who keeps the number when some seconds of the footage are missing: cut from the middle, or from several places.

    python3 -m benchmarks.demo_gap                      models/quick_run's networks, five seconds from the middle
    python3 -m benchmarks.demo_gap --cuts 12            also twelve cuts across the footage, since one holds few people

The demo's tracker sees the footage without those seconds, and does not know about the cut. People who are visible on
both sides, within --edge seconds of the cut, are looked up in the manual annotation (benchmarks/footage.py):

  kept    the number is the same on both sides
  taken   the number belonged to another annotated person before the cut
  new     the number is a new one
"""

import sys
from pathlib import Path

from utils.errors import InputError, run_main
from utils.options import add_old_name, file_to_write, fraction, make_parser, positive_float, positive_int


def parse_args(argv=None):
    parser = make_parser(__doc__)
    add = parser.add_argument
    # fmt: off
    add("--video", default="models/downloads/vtest.avi", help="the footage that was annotated")
    add("--detector", default="models/quick_run/frozen/obj", help="folder of the frozen detector")
    add("--reid", default="models/quick_run/frozen/reid", help="folder of the frozen re-id net")
    add("--seconds", type=positive_float, default=5.0, help="seconds to cut out")
    add("--edge", type=positive_float, default=2.0, help="seconds on either side of the cut to compare people in")
    add("--cuts", type=positive_int, default=1, help="number of cuts, each on its own; 1: the middle")
    add("--reembed_every", type=positive_int, default=16, help="frames, as in demo.py")
    add("--detection_threshold", type=fraction, default=0.5, help="minimum score of a person, 0 to 1, as in demo.py")
    add("--json", type=file_to_write, default=None, metavar="FILE", help="also write the figures to this file")
    # fmt: on
    add_old_name(parser, "--obj", "--detector")
    return parser.parse_args(argv)


ARGS = parse_args() if __name__ == "__main__" else None  # before TensorFlow is imported: --help answers at once

import numpy as np

from benchmarks import footage
from benchmarks.footage import frames
from utils.deploy.detector import Detector
from utils.deploy.reid_net import Embedder, crop_people
from utils.device import origin
from utils.files import write_json
from utils.live.identities import DEFAULT_THRESHOLD
from utils.live.tracks import LOW_SCORE
from utils.progress import Progress

OUTCOMES = ("kept", "taken", "new")


def embed_footage(args) -> tuple:
    """Runs the networks once for all cuts -> boxes [(N, 4)], scores [(N,)], embeddings [(N, E)], threshold."""
    detector = Detector(args.detector, args.detection_threshold)
    embedder = Embedder(args.reid)
    progress = Progress("processed", footage.frame_count(args.video) or 0, "frames")
    boxes = []
    scores = []
    embeddings = []
    for frame in frames(args.video):
        found = detector.detect(frame, LOW_SCORE)
        boxes.append(found[0])
        scores.append(found[1])
        embeddings.append(embedder.embed(crop_people(frame, boxes[-1], embedder.image_size)))
        progress.add()
    return boxes, scores, embeddings, embedder.manifest.get("threshold") or DEFAULT_THRESHOLD


def compare(rows: np.ndarray, cut: range, edge: int) -> dict:
    """Compares the numbers before and after a cut of frames.

    rows: (M, 3) of frame, person, number; edge: frames of each side. Returns {person: (number before, number after,
    outcome)}. A person without a number on a side does not count there.
    """
    known = rows[rows[:, 2] > 0]
    earlier = known[known[:, 0] < cut.start]
    before = earlier[earlier[:, 0] >= cut.start - edge]
    after = known[(known[:, 0] >= cut.stop) & (known[:, 0] < cut.stop + edge)]
    last = {person: number for _, person, number in before}
    first = {person: number for _, person, number in after[::-1]}
    owners = {number: person for _, person, number in earlier}
    found = {}
    for person in sorted(set(last) & set(first)):
        outcome = "kept"
        if last[person] != first[person]:
            outcome = "new" if owners.get(first[person], person) == person else "taken"
        found[int(person)] = int(last[person]), int(first[person]), outcome
    return found


def summary(counts: dict) -> str:
    kept, taken, new = (counts[outcome] for outcome in OUTCOMES)
    return f"{kept} of {kept + taken + new} people on both sides keep the number, {taken} took another's, {new} are new"


def main(args) -> None:
    footage.check(args.video, args.detector)
    if Path(args.video).name != Path(footage.FOOTAGE).name:
        raise InputError(f"--video {args.video} has no annotation of its people: only {footage.FOOTAGE} has one")
    fps = footage.frame_rate(args.video)
    boxes, scores, embeddings, threshold = embed_footage(args)
    length = round(args.seconds * fps)
    edge = round(args.edge * fps)
    if length + 2 * edge >= len(boxes):
        raise InputError(f"--seconds {args.seconds:g} leaves nothing of {args.video}: cut out less")
    starts = [(len(boxes) - length) // 2]
    if args.cuts > 1:
        starts += [round(start) for start in np.linspace(edge, len(boxes) - length - edge, args.cuts + 2)[1:-1]]
    people = footage.people_by_eye()
    report = []
    for start in starts:
        cut = range(start, start + length)
        seen = footage.replay(boxes, scores, embeddings, threshold, args.reembed_every, cut, fps)
        found = compare(footage.numbers_of(people, seen), cut, edge)
        outcomes = [outcome for _, _, outcome in found.values()]
        counts = {outcome: outcomes.count(outcome) for outcome in OUTCOMES}
        report.append({"start": start, "people": found, **counts})
        print(f"without frames {start} to {start + length - 1}: {summary(counts)}")
    if len(report) > 1:
        counts = {outcome: sum(cut[outcome] for cut in report[1:]) for outcome in OUTCOMES}
        print(f"{args.cuts} cuts together: {summary(counts)}")
    if args.json:
        write_json(args.json, {**origin(f"python3 {' '.join(sys.argv)}"), "cuts": report})


if __name__ == "__main__":
    run_main(main, ARGS)
