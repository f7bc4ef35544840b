"""Measures people who are known to several demos: do they get the same numbers, and what does it cost?

    python3 -m benchmarks.boards --detector models/frozen/obj --reid models/frozen/reid --json boards.json
    python3 -m benchmarks.boards --no_footage                  the costs alone, without networks

A redis-server of its own runs on this machine. Three parts:

footage: the first half of the video is one camera and the second half another. `one_process` is one demo.py with two
sources; `two_processes` are two at the same time, with one source each and --people redis://...; the people of both
halves are those of benchmarks/vtest_people.txt, and `same` is how many have the same number in both. `frame` is the
time per frame of one demo.py on the first half, by the place of --people.

stores: one board with so many people in the store, of whom 8 are visible at 10 frames per second and learned from every
16 frames. `frame` is the time that the camera loop spends on the store, `number` the time for somebody new.

boards: so many boards at once as above; bytes per second and board, and the share of one core that the server takes.
"""

import sys

from utils.errors import InputError, run_main
from utils.options import file_to_write, make_parser, non_negative_int, positive_float, positive_int


def parse_args(argv=None):
    parser = make_parser(__doc__)
    add = parser.add_argument
    # fmt: off
    add("--video", default="models/downloads/vtest.avi", help="footage of people walking, with the annotation above")
    add("--detector", default="models/quick_run/frozen/obj", help="folder of the frozen detector")
    add("--reid", default="models/quick_run/frozen/reid", help="folder of the frozen re-id net")
    add("--no_footage", action="store_true", help="leave out the first part")
    add("--max_frames", type=non_negative_int, default=0, help="frames of each half; 0: all")
    add("--repeats", type=positive_int, default=3, help="runs of the two processes, whose order of events varies")
    add("--people", type=positive_int, nargs="+", default=[100, 1000, 10000], help="numbers of people in the store")
    add("--boards", type=positive_int, nargs="+", default=[1, 2, 4, 8], help="numbers of boards at once")
    add("--embedding_size", type=positive_int, default=2048, help="numbers of an embedding, in the last two parts")
    add("--seconds", type=positive_float, default=20.0, help="seconds of each measurement of the last two parts")
    add("--json", type=file_to_write, default=None, metavar="FILE", help="also write the figures to this file")
    # fmt: on
    return parser.parse_args(argv)


ARGS = parse_args() if __name__ == "__main__" else None

import contextlib
import json
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from benchmarks import footage
from benchmarks.matching import draw
from benchmarks.tracking import read_tracks
from utils.device import origin
from utils.files import write_json
from utils.live.identities import Identities
from utils.live.people import Known, MemoryPeople
from utils.live.people_file import FilePeople
from utils.live.people_redis import RedisPeople
from utils.live.redis_link import CHUNK, RedisLink

ROOT = Path(__file__).resolve().parent.parent
VISIBLE = 8  # people in front of one board
FPS = 10.0
LEARN_EVERY = 16  # frames, the demo's --reembed_every
NEW_PEOPLE = 50  # who get a number each
NET = "0" * 16  # stands for the fingerprint of a re-id net
HOUR = 3600.0


@contextlib.contextmanager
def redis_server():
    """Runs a redis-server that keeps nothing, and gives its address."""
    program = shutil.which("redis-server")
    if program is None:
        raise InputError("redis-server is not installed: apt-get install redis-server")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        command = [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", ""]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            url = f"redis://127.0.0.1:{port}/0"
            deadline = time.monotonic() + 10
            while not answers(url):
                if time.monotonic() > deadline:
                    raise InputError("redis-server does not start: run it by hand to see why")
            yield url
        finally:
            process.kill()
            process.wait()


def answers(url: str) -> bool:
    link = RedisLink(url, NET, HOUR)
    try:
        return link.redis.ping()
    except link.errors.RedisError:
        time.sleep(0.05)
        return False


# ---- footage ---------------------------------------------------------------------------------------------------------


def write_halves(video, folder, limit: int) -> tuple:
    """Writes the two halves of a video; returns their paths, and the index of the first frame of each."""
    count = footage.frame_count(video) or sum(1 for _ in footage.frames(video))
    begins = [0, count // 2]
    length = min(count // 2, limit) if limit else count // 2
    paths = [Path(folder) / f"half{number}.avi" for number in range(2)]
    writers = None
    for index, frame in enumerate(footage.frames(video)):
        if writers is None:
            codec = cv2.VideoWriter_fourcc(*"MJPG")
            fps = footage.frame_rate(video)
            writers = [cv2.VideoWriter(str(path), codec, fps, frame.shape[1::-1]) for path in paths]
        for writer, begin in zip(writers, begins):
            if begin <= index < begin + length:
                writer.write(frame)
    for writer in writers or []:
        writer.release()
    return paths, begins


def demo(args, folder, name: str, sources, people=None):
    """Starts demo.py; its summary is <name>.json and its tracks <name>.txt in the folder."""
    command = [sys.executable, "demo.py", "--headless", "--detector", args.detector, "--reid", args.reid]
    for source in sources:
        command += ["--source", source]
    command += ["--tracks", Path(folder) / f"{name}.txt", "--summary", Path(folder) / f"{name}.json"]
    if people is not None:
        command += ["--people", people]
    return subprocess.Popen([str(word) for word in command], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=sys.stderr)


def finish(processes) -> None:
    """Waits for demos; InputError if one fails."""
    if any([process.wait() for process in processes]):
        raise InputError("demo.py failed, see above")


def score(tracks, begins) -> dict:
    """Figures of both halves from the files of tracks: those of footage.judge, and people with one number in both."""
    people = footage.people_by_eye()
    width, height = footage.SIZE
    rows = []  # (M, 3) frame, person, number of each half
    for path, begin in zip(tracks, begins):
        seen = {}
        for frame, found in read_tracks(path).items():
            left, top, box_width, box_height = np.array([box for _, box in found], float).T
            corners = [top / height, left / width, (top + box_height) / height, (left + box_width) / width]
            numbers = np.array([number for number, _ in found])
            seen[begin + frame - 1] = (np.stack(corners, axis=1), numbers)
        rows.append(footage.numbers_of(people, seen))
    own = [usual_numbers(found) for found in rows]
    in_both = sorted(set(own[0]) & set(own[1]))
    figures = footage.judge(np.concatenate(rows))
    return {**figures, "in_both": len(in_both), "same": sum(own[0][person] == own[1][person] for person in in_both)}


def usual_numbers(rows: np.ndarray) -> dict:
    """{person: the number on most of the person's boxes} from (M, 3) frame, person, number."""
    usual = {}
    for person in np.unique(rows[:, 1]):
        given = rows[(rows[:, 1] == person) & (rows[:, 2] > 0), 2]
        if len(given):
            usual[int(person)] = int(np.bincount(given).argmax())
    return usual


def measure_footage(args, folder) -> dict:
    footage.check(args.video, args.detector)
    halves, begins = write_halves(args.video, folder, args.max_frames)
    finish([demo(args, folder, "one", halves)])
    one = score([Path(folder) / "one-0.txt", Path(folder) / "one-1.txt"], begins)
    print(f"one process: {one['same']} of {one['in_both']} people have one number in both halves", flush=True)
    two = []
    for _ in range(args.repeats):
        with redis_server() as url:
            finish([demo(args, folder, f"half{number}", [half], url) for number, half in enumerate(halves)])
        two.append(score([Path(folder) / "half0.txt", Path(folder) / "half1.txt"], begins))
        print(f"two processes: {two[-1]['same']} of {two[-1]['in_both']}", flush=True)
    frame = {}
    with redis_server() as url:
        for name, people in (("memory", None), ("file", Path(folder) / "people.npz"), ("redis", url)):
            finish([demo(args, folder, name, halves[:1], people)])
            times = json.loads((Path(folder) / f"{name}.json").read_text())["milliseconds"]
            frame[name] = {"match": times["match"], "all": times["all"]}
            print(f"{name}: {times['match']['median']:.2f} ms to match, of {times['all']['median']:.1f}", flush=True)
    return {"one_process": one, "two_processes": two, "frame": frame}


# ---- stores ----------------------------------------------------------------------------------------------------------


def fill(url: str, people: np.ndarray) -> None:
    """Puts people (P, E) into an empty server."""
    link = RedisLink(url, NET, HOUR)
    link.redis.flushall()
    added = link.pull().added
    until = link.now() + HOUR
    for start in range(0, len(people), CHUNK):
        some = [Known(0, mean, 1, until=until) for mean in people[start : start + CHUNK]]
        link.add(some, added)
        added += len(some)


def run_boards(boards, seconds: float) -> np.ndarray:
    """Milliseconds (frames, boards) that the camera loop spends on the store; each board sees VISIBLE people."""
    rows = []
    begun = time.monotonic()
    while time.monotonic() - begun < seconds:
        row = []
        for place, identities in enumerate(boards):
            start = time.perf_counter()
            identities.store.sync()
            for offset in range(VISIBLE):
                person = identities.people[(place * VISIBLE + offset) % len(identities.people)]
                identities.mark_seen(person, "camera")
                if (len(rows) + 2 * offset) % LEARN_EVERY == 0:
                    identities.learn(person, person.mean)
            row.append(1000 * (time.perf_counter() - start))
        rows.append(row)
        time.sleep(max(begun + len(rows) / FPS - time.monotonic(), 0.0))
    return np.array(rows)


def quantiles(values) -> dict:
    return {
        "median": float(np.median(values)),
        "p99": float(np.percentile(values, 99)),
        "max": float(np.max(values)),
    }


def measure_store(make, looks: np.ndarray, seconds: float) -> dict:
    """The times of one store; make: returns the store, which holds the people; looks: (N, E) of new ones."""
    begun = time.perf_counter()
    store = make()
    identities = Identities(store=store)
    figures = {"start_s": time.perf_counter() - begun}
    figures["frame_ms"] = quantiles(run_boards([identities], seconds))
    times = []
    for look in looks:
        begun = time.perf_counter()
        identities.add(look[np.newaxis])
        times.append(1000 * (time.perf_counter() - begun))
    figures["number_ms"] = quantiles(times)
    begun = time.perf_counter()
    store.close()
    figures["close_s"] = time.perf_counter() - begun
    return figures


class Memory(MemoryPeople):
    """Memory with people in it from the start, to compare with."""

    def __init__(self, people):
        self._people = people

    def start(self, identities) -> None:
        super().start(identities)
        for number, mean in enumerate(self._people, 1):
            identities.restore(Known(number, mean, 1), None)
        identities.last_id = len(self._people)


def measure_stores(args, folder) -> dict:
    results = {}
    with redis_server() as url:
        client = RedisLink(url, NET, HOUR).redis
        for count in args.people:
            people, looks = draw(count, NEW_PEOPLE, args.embedding_size)
            path = Path(folder) / f"people{count}.npz"
            client.flushall()
            empty = client.info("memory")["used_memory"]
            fill(url, people)
            own = {"redis_mb": (client.info("memory")["used_memory"] - empty) / 2**20}
            with FilePeople(path, NET, HOUR) as store:
                Identities(store=store)
                for number, mean in enumerate(people, 1):
                    store.take_in(Known(number, mean, 1))
                store.identities.last_id = count
            own["file_mb"] = path.stat().st_size / 2**20
            own["memory"] = measure_store(lambda shown=people: Memory(shown), looks, args.seconds)
            own["file"] = measure_store(lambda shown=path: FilePeople(shown, NET, HOUR), looks, args.seconds)
            own["redis"] = measure_store(lambda: RedisPeople(url, NET, HOUR), looks, args.seconds)
            results[f"people{count}"] = own
            for name in ("memory", "file", "redis"):
                frame = own[name]["frame_ms"]
                print(
                    f"{count:>8} people, {name:<7} start {own[name]['start_s']:>6.2f} s, a frame {frame['median']:.3f} "
                    f"ms (99 % {frame['p99']:.2f}), a number {own[name]['number_ms']['median']:.2f} ms",
                    flush=True,
                )
    return results


def measure_boards(args) -> dict:
    results = {}
    with redis_server() as url:
        client = RedisLink(url, NET, HOUR).redis
        for count in args.boards:
            people, _ = draw(max(VISIBLE * count, 100), 1, args.embedding_size)
            fill(url, people)
            with contextlib.ExitStack() as stack:
                stores = [stack.enter_context(RedisPeople(url, NET, HOUR)) for _ in range(count)]
                boards = [Identities(store=store) for store in stores]
                before = client.info()
                begun = time.monotonic()
                times = run_boards(boards, args.seconds)
                after = client.info()
                elapsed = time.monotonic() - begun
            spent = {key: after[key] - before[key] for key in after if key.startswith(("used_cpu_", "total_net_"))}
            results[f"boards{count}"] = {
                "frame_ms": quantiles(times),
                "sent_kb_per_s": spent["total_net_input_bytes"] / elapsed / count / 1024,
                "received_kb_per_s": spent["total_net_output_bytes"] / elapsed / count / 1024,
                "server_percent": 100 * (spent["used_cpu_user"] + spent["used_cpu_sys"]) / elapsed,
            }
            own = results[f"boards{count}"]
            print(
                f"{count:>8} boards: each sends {own['sent_kb_per_s']:.0f} KB/s and receives "
                f"{own['received_kb_per_s']:.0f} KB/s; the server takes {own['server_percent']:.1f} % of a core",
                flush=True,
            )
    return results


def main(args) -> None:
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        if not args.no_footage:
            results["footage"] = measure_footage(args, folder)
        results["stores"] = measure_stores(args, folder)
    results["boards"] = measure_boards(args)
    if args.json:
        command = f"python3 -m benchmarks.boards {' '.join(sys.argv[1:])}"
        write_json(args.json, {**origin(command), **results})


if __name__ == "__main__":
    run_main(main, ARGS)
