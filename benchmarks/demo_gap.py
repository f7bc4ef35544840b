"""Who keeps the number when some seconds of the footage are missing: cut out of its middle, and elsewhere.

    python3 -m benchmarks.demo_gap                      models/quick_run's networks, five seconds out of the middle
    python3 -m benchmarks.demo_gap --cuts 12            and twelve cuts over the footage, since one holds few people

The demo's chain sees the footage without those seconds, and is not told. People who are in the picture on both sides,
within --edge seconds of the cut, are looked up by eye's list of who is who (benchmarks/footage.py):

  kept    the number is the same on both sides
  other's it is one that somebody else of the list had before the cut
  new     it is another one
"""

import sys
from pathlib import Path

from utils.errors import InputError, run_main
from utils.options import file_to_write, fraction, make_parser, positive_float, positive_int


def parse_args(argv=None):
    parser = make_parser(__doc__)
    add = parser.add_argument
    # fmt: off
    add("--video", default="models/downloads/vtest.avi", help="the footage that the list speaks of")
    add("--obj", default="models/quick_run/frozen/obj", help="frozen detector")
    add("--reid", default="models/quick_run/frozen/reid", help="frozen re-id net")
    add("--seconds", type=positive_float, default=5.0, help="length of the cut")
    add("--edge", type=positive_float, default=2.0, help="seconds before and after the cut that count as its sides")
    add("--cuts", type=positive_int, default=1, help="how many cuts to try, each alone; 1: the middle")
    add("--reembed_every", type=positive_int, default=16, help="frames, as in demo.py")
    add("--detection_threshold", type=fraction, default=0.5, help="as in demo.py")
    add("--json", type=file_to_write, default=None, metavar="FILE", help="also write the figures there")
    # fmt: on
    return parser.parse_args(argv)


ARGS = parse_args() if __name__ == "__main__" else None  # before TensorFlow is imported: --help answers at once

import numpy as np

from benchmarks import footage
from benchmarks.footage import frames
from utils.deploy.detector import Detector
from utils.deploy.reid_net import Embedder, crop_people
from utils.device import origin
from utils.files import write_json
from utils.live.identities import FIRST_THRESHOLD

WORDS = ("kept", "other's", "new")


def look_once(args) -> tuple:
    """Boxes and embeddings of every frame, so that each cut costs no network: [(N, 4)], [(N, E)], first threshold."""
    detector, embedder = Detector(args.obj, args.detection_threshold), Embedder(args.reid)
    boxes, embeddings = [], []
    for frame in frames(args.video):
        boxes.append(detector.detect(frame)[0])
        embeddings.append(embedder.embed(crop_people(frame, boxes[-1], embedder.image_size)))
        if len(boxes) % 100 == 0:
            print(f"  {len(boxes)} frames looked at", flush=True)
    return boxes, embeddings, embedder.manifest.get("threshold") or FIRST_THRESHOLD


def compare(rows: np.ndarray, cut: range, edge: int) -> dict:
    """rows (M, 3) of frame, person, number: {person: (number before, number after, "kept", "other's" or "new")}.

    People without a number on a side are not counted on it.
    """
    known = rows[rows[:, 2] > 0]
    before = known[(known[:, 0] < cut.start) & (known[:, 0] >= cut.start - edge)]
    after = known[(known[:, 0] >= cut.stop) & (known[:, 0] < cut.stop + edge)]
    had = {person: number for _, person, number in before}  # the last one
    got = {person: number for _, person, number in after[::-1]}  # the first one
    earlier = known[known[:, 0] < cut.start]
    taken = {number: person for _, person, number in earlier}
    found = {}
    for person in sorted(set(had) & set(got)):
        word = "kept" if had[person] == got[person] else "new"
        if word == "new" and taken.get(got[person], person) != person:
            word = "other's"
        found[int(person)] = int(had[person]), int(got[person]), word
    return found


def told(counts: dict) -> str:
    kept, taken, new = (counts[word] for word in WORDS)
    return f"{kept} of {kept + taken + new} people on both sides keep the number, {taken} took another's, {new} are new"


def main(args) -> None:
    footage.check(args.video, args.obj)
    if Path(args.video).name != Path(footage.FOOTAGE).name:
        raise InputError(f"--video {args.video}: nobody told apart its people; this works for {footage.FOOTAGE} alone")
    rate = footage.frame_rate(args.video)
    boxes, embeddings, threshold = look_once(args)
    length, edge = round(args.seconds * rate), round(args.edge * rate)
    if length + 2 * edge >= len(boxes):
        raise InputError(f"--seconds {args.seconds:g} leaves nothing of {args.video}: cut out less")
    middle = (len(boxes) - length) // 2
    starts = [middle] + [round(start) for start in np.linspace(edge, len(boxes) - length - edge, args.cuts + 2)[1:-1]]
    people, report = footage.people_by_eye(), []
    for start in starts[: 1 if args.cuts == 1 else None]:
        cut = range(start, start + length)
        seen = footage.replay(boxes, embeddings, threshold, args.reembed_every, without=cut)
        found = compare(footage.numbers_of(people, seen), cut, edge)
        counts = {name: [word for _, _, word in found.values()].count(name) for name in WORDS}
        report.append({"start": start, "people": found, **counts})
        print(f"without frames {start} to {start + length - 1}: {told(counts)}")
    if len(report) > 1:
        counts = {word: sum(some[word] for some in report[1:]) for word in WORDS}
        print(f"{args.cuts} cuts together: {told(counts)}")
    if args.json:
        content = {**origin(f"python3 {' '.join(sys.argv)}"), "cuts": report}
        write_json(args.json, content)


if __name__ == "__main__":
    run_main(main, ARGS)
