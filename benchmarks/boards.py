"""Measures people who are known to several boards: do they get the same numbers, and what does it cost?

    python3 -m benchmarks.boards --detector models/frozen/obj --reid models/frozen/reid --json boards.json
    python3 -m benchmarks.boards --no_footage                  the costs alone, without networks

A redis-server of its own runs on this machine. Three parts:

footage: the first half of the video is one camera and the second half another, at the same time. Detector and re-id net
run once for all boxes; the demo's trackers then play both halves at the speed of the video: in `one_process` with one
set of people, in `two_processes` with a store in Redis each. The truth is benchmarks/vtest_people.txt: `same` is how
many of the people in both halves have the same number there.

stores: one board with so many people in the store, of whom 8 are visible at 10 frames per second and learned from every
16 frames. `frame_ms` is what a frame spends on the store, `number_ms` what somebody new takes.

boards: so many boards at once as above; KB per second and board, and the share of one core that the server takes.
"""

import sys

from utils.errors import run_main
from utils.options import file_to_write, make_parser, positive_float, positive_int


def parse_args(argv=None):
    parser = make_parser(__doc__)
    add = parser.add_argument
    # fmt: off
    add("--video", default="models/downloads/vtest.avi", help="footage of people walking, with the annotation above")
    add("--detector", default="models/quick_run/frozen/obj", help="folder of the frozen detector")
    add("--reid", default="models/quick_run/frozen/reid", help="folder of the frozen re-id net")
    add("--no_footage", action="store_true", help="leave out the first part")
    add("--every", type=positive_int, default=1, help="use only every n-th frame of the video")
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
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks import footage
from benchmarks.matching import draw
from benchmarks.redis_server import RedisServer
from utils.device import origin
from utils.files import write_json
from utils.live.identities import DEFAULT_THRESHOLD, Identities
from utils.live.people import Known, Later, MemoryPeople
from utils.live.people_file import FilePeople
from utils.live.people_redis import RedisPeople
from utils.live.redis_link import CHUNK, RedisLink
from utils.live.tracks import LOW_SCORE, Tracker
from utils.progress import Progress

VISIBLE = 8  # people in front of one board
FPS = 10.0
HIGH_SCORE = 0.5  # of a detection that starts a track, the demo's --detection_threshold
START_SECONDS = 5.0  # for the two processes to be ready
LEARN_EVERY = 16  # frames, the demo's --reembed_every
NEW_PEOPLE = 50  # who get a number each
NET = "0" * 16  # stands for the fingerprint of a re-id net
HOUR = 3600.0


@contextlib.contextmanager
def redis_server():
    """Runs a redis-server that keeps nothing, and gives its address."""
    with tempfile.TemporaryDirectory() as folder, RedisServer(folder) as server:
        yield server.url


# ---- footage ---------------------------------------------------------------------------------------------------------


class Look(NamedTuple):
    """What the networks find in one frame."""

    frame: int  # from 0
    boxes: np.ndarray  # (N, 4)
    scores: np.ndarray  # (N,)
    embeddings: np.ndarray  # (N, E)


def look(args) -> tuple:
    """[Look] of the frames of the video, and the threshold of the re-id net."""
    from utils.deploy.detector import Detector
    from utils.deploy.reid_net import Embedder, crop_people

    embedder = Embedder(args.reid)
    detector = Detector(args.detector, HIGH_SCORE)
    progress = Progress("embedded", footage.frame_count(args.video) or 0, "frames")
    looks = []
    for index, frame in enumerate(footage.frames(args.video)):
        progress.add()
        if index % args.every:
            continue
        boxes, scores = detector.detect(frame, LOW_SCORE)
        looks.append(Look(index, boxes, scores, embedder.embed(crop_people(frame, boxes, embedder.image_size))))
    return looks, embedder.manifest.get("threshold") or DEFAULT_THRESHOLD


class Camera:
    """The demo's tracker of one camera, and what it showed: {frame: (boxes (N, 4), numbers (N,))}."""

    def __init__(self, identities, name: str, fps: float):
        self.tracker = Tracker(identities, LEARN_EVERY, name, HIGH_SCORE)
        self.fps = fps
        self.shown = {}

    def show(self, seen: Look) -> None:
        association = self.tracker.associate(seen.boxes, seen.scores, seen.frame / self.fps)
        due = association.indices[association.due]
        numbers, _ = self.tracker.update(association, seen.embeddings[due])
        self.shown[seen.frame] = association.boxes, numbers


def play_together(halves, threshold: float, fps: float) -> list:
    """What the cameras of one process show; halves: two lists of Look."""
    identities = Identities(threshold, learn=True)
    cameras = [Camera(identities, f"half {number}", fps) for number in range(len(halves))]
    for row in zip(*halves):
        for camera, seen in zip(cameras, row):
            camera.show(seen)
    return [camera.shown for camera in cameras]


def play_alone(url: str, half: list, threshold: float, fps: float, begin: float) -> dict:
    """What the camera of a board shows that begins at a time and plays at the speed of the video."""
    with RedisPeople(url, NET, HOUR) as store:
        identities = Identities(threshold, learn=True, store=store)
        camera = Camera(identities, "board", fps)
        for seen in half:
            time.sleep(max(begin + (seen.frame - half[0].frame) / fps - time.time(), 0.0))
            store.sync()
            camera.show(seen)
    return camera.shown


def score(shown) -> dict:
    """The figures of footage.judge over both halves, and how many people have one number in both."""
    people = footage.people_by_eye()
    rows = [footage.numbers_of(people, seen) for seen in shown]  # (M, 3) frame, person, number
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


def measure_footage(args) -> dict:
    footage.check(args.video, args.detector)
    looks, threshold = look(args)
    fps = footage.frame_rate(args.video)
    middle = len(looks) // 2
    halves = [looks[:middle], looks[middle : 2 * middle]]
    results = {"one_process": score(play_together(halves, threshold, fps)), "two_processes": []}
    print(f"one process: {describe(results['one_process'])}", flush=True)
    for _ in range(args.repeats):
        with redis_server() as url, ProcessPoolExecutor(len(halves), get_context("spawn")) as pool:
            begin = time.time() + START_SECONDS
            boards = [pool.submit(play_alone, url, half, threshold, fps, begin) for half in halves]
            results["two_processes"].append(score([board.result() for board in boards]))
        print(f"two processes: {describe(results['two_processes'][-1])}", flush=True)
    for key in ("same", "numbers", "own", "switches"):
        results[f"mean_{key}"] = float(np.mean([figures[key] for figures in results["two_processes"]]))
    return results


def describe(figures: dict) -> str:
    return (
        f"{figures['same']} of the {figures['in_both']} people in both halves have one number there; "
        f"{figures['people']} people got {figures['numbers']} numbers, and {100 * figures['own']:.0f} % of their boxes "
        "their own"
    )


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
    return {"median": float(np.median(values)), "p99": float(np.percentile(values, 99)), "max": float(np.max(values))}


def remember(identities, people) -> None:
    """Adds people (P, E) with the numbers 1 to P, without the store."""
    for number, mean in enumerate(people, 1):
        identities.restore(Known(number, mean, 1), None)
    identities.last_id = max(identities.last_id, len(people))


def measure_store(make, looks: np.ndarray, seconds: float, people=()) -> dict:
    """The times of the store that `make` returns; looks: (N, E) of new people; people: (P, E) to begin with."""
    begun = time.perf_counter()
    store = make()
    identities = Identities(store=store)
    remember(identities, people)
    figures = {"start_s": time.perf_counter() - begun}
    figures["frame_ms"] = quantiles(run_boards([identities], seconds))
    times = []
    for look in looks:
        begun = time.perf_counter()
        add_patiently(identities, look)
        times.append(1000 * (time.perf_counter() - begun))
    figures["number_ms"] = quantiles(times)
    begun = time.perf_counter()
    store.close()
    figures["close_s"] = time.perf_counter() - begun
    return figures


def add_patiently(identities, look: np.ndarray) -> None:
    """Adds somebody new with a look (E,), as soon as the store gives a number."""
    while True:
        try:
            identities.add(look[np.newaxis])
            return
        except Later:
            identities.store.sync()


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
                remember(Identities(store=store), people)
            own["file_mb"] = path.stat().st_size / 2**20
            own["memory"] = measure_store(MemoryPeople, looks, args.seconds, people)
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
    if not args.no_footage:
        results["footage"] = measure_footage(args)
    with tempfile.TemporaryDirectory() as folder:
        results["stores"] = measure_stores(args, folder)
    results["boards"] = measure_boards(args)
    if args.json:
        command = f"python3 -m benchmarks.boards {' '.join(sys.argv[1:])}"
        write_json(args.json, {**origin(command), **results})


if __name__ == "__main__":
    run_main(main, ARGS)
