"""Prints the table of quick_run.sh and writes it as JSON, from the files of its steps.

python3 -m benchmarks.quick_run_table --folder=models/quick_run --json=models/quick_run.json --seconds=480
"""

import json
from pathlib import Path

from utils.device import origin
from utils.errors import run_main
from utils.files import write_json
from utils.options import make_parser, positive_int

ROWS = (
    ("untrained", "random weights"),
    ("id", "after ID training (pooled features)"),
    ("reid", "after re-id training (embeddings)"),
)
FIGURES = ("rank1", "rank5", "mAP")


def parse_args(argv=None):
    parser = make_parser(__doc__)
    parser.add_argument("--folder", default="models/quick_run", help="folder that the steps of quick_run.sh wrote to")
    parser.add_argument("--json", default="models/quick_run.json", help="file to write")
    parser.add_argument("--seconds", type=positive_int, required=True, help="duration of the whole run in seconds")
    return parser.parse_args(argv)


def read_json(path):
    """The content of a JSON file, None if there is no such file."""
    return json.loads(Path(path).read_text()) if Path(path).is_file() else None


def main(args):
    folder = Path(args.folder)
    result = {}
    print("\nheld-out identities, across cameras         rank-1   rank-5     mAP")
    for name, label in ROWS:
        figures = read_json(folder / f"{name}.json")
        result[name] = {figure: figures[figure] for figure in FIGURES}
        print(f"  {label:<40}" + "".join(f"{figures[figure]:7.1f} %" for figure in FIGURES))
    manifest = read_json(folder / "frozen" / "reid" / "manifest.json")
    result["parity"] = {name: manifest["parity"][name] for name in ("min", "mean")} if manifest else None
    if manifest:
        print("cosine of frozen and trained embeddings: at least {min:.6f}, mean {mean:.6f}".format(**result["parity"]))
    else:
        print("cosine of frozen and trained embeddings: not measured, the re-id model was not frozen")
    demo = read_json(folder / "demo.json")
    result["demo"] = {"fps": demo["fps"], "video": demo["video"]} if demo else None
    if demo:
        print(f"demo: {demo['fps']:.1f} frames/s, {demo['identities']} identities; video: {demo['video']}")
    else:
        print("demo: skipped (see above)")
    result["seconds"] = args.seconds
    result.update(origin("bash quick_run.sh"))
    print(f"duration: {args.seconds // 60} min {args.seconds % 60} s; figures: {args.json}")
    write_json(args.json, result)


if __name__ == "__main__":
    run_main(main, parse_args())
