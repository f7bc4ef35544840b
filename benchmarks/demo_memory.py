"""Tests whether the memory of demo.py stays constant: loops footage for an hour, and compares two sizes.

    python3 -m benchmarks.demo_memory                   an hour; the first size is taken after five minutes
    python3 -m benchmarks.demo_memory --minutes 2       the first size is then taken after a twelfth of two minutes

demo.py runs as a user starts it (--loop --headless), in its own process, whose size is read from /proc every second.
Exit code 1 if the last size exceeds the first by more than --tolerance. Now and then people get a new number, even in
an hour of the same footage, so galleries fill up and are forgotten as they are with a camera.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from utils.device import origin
from utils.errors import InputError, run_main
from utils.files import write_json
from utils.options import add_old_name, file_to_write, fraction, make_parser, positive_float

ROOT = Path(__file__).resolve().parent.parent
STOP_SECONDS = 120  # for demo.py to end
NOTE_SECONDS = 30  # between two progress lines
FIRST = 1 / 12  # of the time, after which the first size is taken: five minutes of an hour
MAX_SIZES = 120  # in the JSON file


def parse_args(argv=None):
    parser = make_parser(__doc__)
    add = parser.add_argument
    # fmt: off
    add("--video", default="models/downloads/vtest.avi", help="footage to loop")
    add("--detector", default="models/quick_run/frozen/obj", help="folder of the frozen detector")
    add("--reid", default="models/quick_run/frozen/reid", help="folder of the frozen re-id net")
    add("--minutes", type=positive_float, default=60.0, help="minutes to run, after the first frames")
    add("--tolerance", type=fraction, default=0.05, help="accepted growth from the first size to the last, as a share")
    add("--json", type=file_to_write, default=None, metavar="FILE",
        help=f"also write the figures to this file, with the size in MB at up to {MAX_SIZES} moments")
    # fmt: on
    add_old_name(parser, "--obj", "--detector")
    return parser.parse_args(argv)


def resident(pid: int) -> float:
    """The memory that a process holds now, in MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise InputError("demo.py ended by itself: run it by hand to see why")


def measure(command, seconds: float, interval: float = 1.0) -> list:
    """Runs demo.py for `seconds` after its first progress line -> its size in MB every `interval` seconds."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment)
    try:
        if not any(line.startswith(b"frame ") for line in process.stdout):
            raise InputError("demo.py ended before its first frames: run it by hand to see why")
        os.set_blocking(process.stdout.fileno(), False)
        sizes = []
        begun = time.monotonic()
        last_line = begun
        while time.monotonic() - begun < seconds:
            sizes.append(resident(process.pid))
            process.stdout.read()  # demo.py would wait for a full pipe
            if time.monotonic() - last_line > NOTE_SECONDS:
                last_line = time.monotonic()
                print(f"  {(last_line - begun) / 60:.1f} of {seconds / 60:.1f} minutes, {sizes[-1]:.0f} MB", flush=True)
            time.sleep(interval)
        process.send_signal(signal.SIGTERM)
        process.wait(STOP_SECONDS)
    finally:
        process.kill()
        process.stdout.close()
    return sizes


def growth_of(sizes: list) -> tuple:
    """Sizes in MB -> (first size, last size, growth as a share of the first)."""
    first = sizes[int(FIRST * len(sizes))]
    return first, sizes[-1], sizes[-1] / first - 1


def main(args) -> None:
    for option, path in (("--video", args.video), ("--detector", args.detector), ("--reid", args.reid)):
        if not Path(path).exists():
            raise InputError(f"{option} {path} does not exist: run bash quick_run.sh, or name another path")
    command = [sys.executable, "demo.py", "--source", args.video, "--loop", "--headless"]
    command += ["--detector", args.detector, "--reid", args.reid]
    sizes = measure(command, 60 * args.minutes)
    first, last, growth = growth_of(sizes)
    print(
        f"{first:.0f} MB after {FIRST * args.minutes:.1f} minutes, {last:.0f} MB after {args.minutes:g},"
        f" {max(sizes):.0f} MB at most: {100 * growth:+.1f} %"
    )
    if args.json:
        figures = {"first": first, "last": last, "growth": growth, "growth_percent": 100 * growth}
        step = -(-len(sizes) // MAX_SIZES)
        figures["sizes"] = [round(size, 1) for size in sizes[::step]]
        write_json(args.json, {**origin(f"python3 {' '.join(sys.argv)}"), **figures})
    if growth > args.tolerance:
        sys.exit(f"that is more than {100 * args.tolerance:.0f} %")


if __name__ == "__main__":
    run_main(main, parse_args())
