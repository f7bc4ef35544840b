"""Kills the scripts (kill -9) at random moments, and checks that what was whole stays whole and that they go on.

    python3 -m benchmarks.kills                             fifty kills, of the five scripts in turn
    python3 -m benchmarks.kills --kills=4 --only=train_id   a few of one script

The networks are tiny and the images are drawn. Each script is killed after it has begun to write. A training is killed
again after it was resumed; lost steps are those between its last curve point and the step that it resumes from. At the
end each script runs once more without a kill. The benchmark stops at the first thing that is broken.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from utils.errors import run_main
from utils.options import as_seed, file_to_write, make_parser, positive_int

NAMES = ("train_id", "train_reid", "pipeline", "prepare", "demo")


def parse_args(argv=None):
    parser = make_parser(__doc__)
    # fmt: off
    add = parser.add_argument
    add("--kills", type=positive_int, default=50, help="number of kills")
    add("--only", choices=NAMES, default=None, help="kill this script only")
    add("--seed", type=as_seed, default=0, help="seed of the moments")
    add("--json", type=file_to_write, default=None, metavar="FILE", help="write the figures to this file as well")
    # fmt: on
    return parser.parse_args(argv)


ARGS = parse_args() if __name__ == "__main__" else None  # before TensorFlow is imported: --help answers at once

from collections import Counter

import numpy as np

from benchmarks.kill_victims import (
    SAVE_EVERY,
    SMALL,
    TRIPLETS,
    Demo,
    Pipeline,
    Prepare,
    Training,
    draw_people,
    require,
    write_models,
)
from data import sample
from utils.device import origin
from utils.files import write_json

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 600  # seconds; a script that takes longer hangs


def start_process(words, log) -> subprocess.Popen:
    """Starts a script of the project as a user does; its output goes to the file `log`."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with open(log, "wb") as output:
        command = [sys.executable, *map(str, words)]
        return subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, env=environment)


def read_log(log) -> str:
    return Path(log).read_text(errors="replace") if Path(log).exists() else ""


def wait_for(victim, process, log) -> None:
    """Waits until the part of the script has begun in which it is to be killed, or until it has ended."""
    end = time.monotonic() + LIMIT
    while process.poll() is None and not victim.has_begun(read_log(log)):
        require(time.monotonic() < end, f"{victim.name} hangs: {read_log(log)[-500:]}")
        time.sleep(0.01)


def kill_once(victim, rng, log, start=start_process):
    """Kills a script at a random moment and checks what it leaves; None if it ended before, else {figure: number}.

    victim: of benchmarks/kill_victims.py. start: (words, log) -> a process with poll, kill and wait.
    """
    victim.reset(rng)
    process = start(victim.words(), log)
    try:
        wait_for(victim, process, log)
        time.sleep(rng.uniform(0, victim.span))
    finally:
        process.kill()
        code = process.wait()
    require(code in (0, -9), f"{victim.name} ended by itself with {code}: {read_log(log)[-2000:]}")
    figures = victim.check(read_log(log))
    return figures if code == -9 else None


def run_last(victim, log, start=start_process) -> None:
    """Runs a script to its end, takes the time of the part to kill in, and checks the result."""
    victim.prepare_last()
    process = start(victim.words(), log)
    wait_for(victim, process, log)
    begun = time.monotonic()
    code = process.wait()
    victim.span = time.monotonic() - begun
    require(code == 0, f"{victim.name} ended with {code}: {read_log(log)[-2000:]}")
    victim.check(read_log(log))
    victim.check_last(read_log(log))


def make_victims(folder: Path, names) -> list:
    """The scripts with these names and their data, in a folder."""
    few = (
        "--identities=8",
        "--test_identities=2",
        "--image_size=64x32",
        "--distractors=0",
        "--junk=0",
        "--processes=1",
    )
    sample.main(sample.parse_args([f"--output={folder / 'set'}", *few]))
    data = f"--data_dir={folder / 'set'}"
    draw_people(folder / "people", 40, 40)
    id_model, prefixes, frozen = write_models(folder)
    shutil.copytree(frozen, folder / "frozen" / "reid")
    made = [
        Training("id", [data, *SMALL, "--val_identities=2"], folder / "models"),
        Training("reid", [data, *TRIPLETS, f"--id_model={id_model}"], folder / "models"),
        Pipeline(prefixes, folder / "frozen"),
        Prepare(folder / "people", folder / "prepared"),
        Demo(folder / "demo", frozen),
    ]
    victims = [victim for victim in made if victim.name in names]
    for victim in victims:
        if not isinstance(victim, Training):
            run_last(victim, folder / f"{victim.name}.log")  # to know how long it takes
    return victims


def main(args) -> None:
    rng = np.random.default_rng(args.seed)
    kills = Counter()
    old = Counter()
    lost = 0
    with tempfile.TemporaryDirectory() as place:
        victims = make_victims(Path(place), [args.only] if args.only else NAMES)
        for _ in range(2 * args.kills):  # attempts: some scripts end before they are killed
            if sum(kills.values()) == args.kills:
                break
            victim = victims[sum(kills.values()) % len(victims)]
            figures = kill_once(victim, rng, f"{place}/{victim.name}.log")
            if figures is None:
                continue
            kills[victim.name] += 1
            lost = max(lost, figures.get("lost", 0))
            old[victim.name] += figures.get("old", 0)
            print(f"kill {sum(kills.values())}: {victim.name} {figures}", flush=True)
        for victim in victims:
            run_last(victim, f"{place}/{victim.name}.log")
    print(f"{sum(kills.values())} kills: nothing is broken, at most {lost} steps are lost")
    if args.json:
        command = f"python3 -m benchmarks.kills {' '.join(sys.argv[1:])}".strip()
        scripts = {name: {"kills": kills[name], "old_stayed": old[name]} for name in kills}
        content = {"kills": sum(kills.values()), "save_every": SAVE_EVERY, "lost_steps": lost, "scripts": scripts}
        write_json(args.json, {**origin(command), **content})


if __name__ == "__main__":
    run_main(main, ARGS)
