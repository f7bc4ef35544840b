"""Whether demo.py's memory stays constant: footage looped for an hour, its size after five minutes and at the end.

    python3 -m benchmarks.demo_memory                   an hour
    python3 -m benchmarks.demo_memory --minutes 2       the first size is then taken after a twelfth of it

demo.py runs as a user starts it (--loop --headless), in a process of its own whose size is read from /proc each second.
Exit code 1 if the end is more than --tolerance above the first size. People who come by are new ones now and then, in
an hour of the same footage too, so that galleries fill and are forgotten as on a camera.
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
from utils.options import file_to_write, fraction, make_parser, positive_float

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 120  # for TensorFlow and two networks on a slow machine
FIRST = 1 / 12  # of the time: five minutes of an hour
SIZES = 120


def parse_args(argv=None):
    parser = make_parser(__doc__)
    add = parser.add_argument
    # fmt: off
    add("--video", default="models/downloads/vtest.avi", help="footage to loop")
    add("--obj", default="models/quick_run/frozen/obj", help="frozen detector")
    add("--reid", default="models/quick_run/frozen/reid", help="frozen re-id net")
    add("--minutes", type=positive_float, default=60.0, help="how long to run once it runs")
    add("--tolerance", type=fraction, default=0.05, help="share by which the end may be above the first size")
    add("--json", type=file_to_write, default=None, metavar="FILE",
        help=f"also write the figures there, and the size in MB at up to {SIZES} moments")
    # fmt: on
    return parser.parse_args(argv)


def resident(pid: int) -> float:
    """MB of memory that a process holds now."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise InputError("demo.py ended by itself: run it by hand to see why")


def measure(command, seconds: float) -> list:
    """Runs demo.py for so long -> its size in MB at every second, from when its first frames are through."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment)
    try:
        for line in process.stdout:  # the first line of progress says that it runs
            if line.startswith(b"frame "):
                break
        else:
            raise InputError("demo.py ended before its first frames: run it by hand to see why")
        os.set_blocking(process.stdout.fileno(), False)
        sizes, begun, shown = [], time.monotonic(), time.monotonic()
        while time.monotonic() - begun < seconds:
            sizes.append(resident(process.pid))
            process.stdout.read()  # or the pipe fills and demo.py waits for it
            if time.monotonic() - shown > 30:
                shown = time.monotonic()
                print(f"  {(shown - begun) / 60:.1f} of {seconds / 60:.1f} minutes, {sizes[-1]:.0f} MB", flush=True)
            time.sleep(1)
        process.send_signal(signal.SIGTERM)
        process.wait(START_SECONDS)
    finally:
        process.kill()
        process.stdout.close()
    return sizes


def main(args) -> None:
    for option, path in (("--video", args.video), ("--obj", args.obj), ("--reid", args.reid)):
        if not Path(path).exists():
            raise InputError(f"{option} {path} does not exist: run bash quick_run.sh, which makes it, or name another")
    command = [sys.executable, "demo.py", "--source", args.video, "--loop", "--headless", "--obj", args.obj]
    sizes = measure([*command, "--reid", args.reid], 60 * args.minutes)
    first, last = sizes[int(FIRST * len(sizes))], sizes[-1]
    growth = last / first - 1
    print(
        f"{first:.0f} MB after {FIRST * args.minutes:.1f} minutes, {last:.0f} MB after {args.minutes:g},"
        f" {max(sizes):.0f} MB at most: {100 * growth:+.1f} %"
    )
    if args.json:
        figures = {"first": first, "last": last, "growth": growth, "growth_percent": 100 * growth}
        few = [round(size, 1) for size in sizes[:: -(-len(sizes) // SIZES)]]
        write_json(args.json, {**origin(f"python3 {' '.join(sys.argv)}"), **figures, "sizes": few})
    if growth > args.tolerance:
        sys.exit(f"that is more than {100 * args.tolerance:.0f} %")


if __name__ == "__main__":
    run_main(main, parse_args())
