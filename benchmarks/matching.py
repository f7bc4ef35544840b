"""Times the search for the people of a frame among all known people, beside the bare product of the same matrices.

    python3 -m benchmarks.matching

`bare` is the time of (looks, E) @ (E, people) in float32 and nothing else; `search` is that of Identities.similarity,
which centers the embeddings, and above COARSE_FROM people compares a projection first. `rank-1` is the share of looks
whose own person is the most similar one, `exact` is the same without the projection. Embeddings are Gaussian with the
similarities of the quick run's net on drawn people (benchmarks/simulation.py). Both run in turn; each figure is the
median of --repeats runs.
"""

import sys

from utils.errors import run_main
from utils.options import file_to_write, make_parser, positive_int


def parse_args(argv=None):
    parser = make_parser(__doc__)
    add = parser.add_argument
    # fmt: off
    add("--people", type=positive_int, nargs="+", default=[10, 100, 1000, 10000, 100000],
        help="numbers of known people; 100000 of 2048 numbers take 2 GB of memory")
    add("--looks", type=positive_int, default=8, help="embeddings of a frame that are searched for")
    add("--embedding_size", type=positive_int, default=2048, help="numbers of an embedding")
    add("--repeats", type=positive_int, default=15, help="runs of each")
    add("--json", type=file_to_write, default=None, metavar="FILE", help="also write the figures to this file")
    # fmt: on
    return parser.parse_args(argv)


ARGS = parse_args() if __name__ == "__main__" else None

import time

import numpy as np

from benchmarks.simulation import DIFFERENT, DIMENSIONS, SAME_PERSON
from utils.device import origin
from utils.files import write_json
from utils.live import identities as store
from utils.live.identities import Identities
from utils.progress import Progress

RANKED = 256  # looks whose rank-1 is counted


def draw(count: int, looks: int, size: int) -> tuple:
    """(P, E) people and (N, E) later looks of the last ones of them, of norm 1, float32."""
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.normal(size=(size, min(DIMENSIONS, size))))[0].astype(np.float32)  # (E, D)
    spread = np.float32(1 / np.sqrt(basis.shape[1]))
    common = rng.normal(size=basis.shape[1]) * spread * np.sqrt(DIFFERENT)
    centers = common + rng.normal(size=(count, basis.shape[1])) * spread * np.sqrt(SAME_PERSON - DIFFERENT)
    shown = np.concatenate([centers, centers[-looks:]])
    shown = shown + rng.normal(size=shown.shape) * spread * np.sqrt(1 - SAME_PERSON)
    shown = (shown / np.linalg.norm(shown, axis=1, keepdims=True)).astype(np.float32) @ basis.T
    return shown[:count], shown[count:]


def measure(people: np.ndarray, looks: np.ndarray, frame: np.ndarray, repeats: int) -> dict:
    """people: (P, E); looks: (N, E) for rank-1; frame: (M, E) looks that are timed. Milliseconds, and shares."""
    identities = Identities()
    for person in people:
        identities.add(person[np.newaxis])
    bare = []
    search = []
    for _ in range(repeats):
        begun = time.perf_counter()
        frame @ people.T
        between = time.perf_counter()
        identities.similarity(frame)
        search.append(time.perf_counter() - between)
        bare.append(between - begun)
    return {
        "bare_ms": 1000 * float(np.median(bare)),
        "search_ms": 1000 * float(np.median(search)),
        "times": float(np.median(search) / np.median(bare)),
        **agreement(identities, looks),
    }


def agreement(identities: Identities, looks: np.ndarray) -> dict:
    """The rank-1 of looks (N, E) of the last people, with the search as it is and with all similarities exact."""
    own = np.arange(len(identities.people) - len(looks), len(identities.people))
    found = identities.similarity(looks).argmax(axis=1)
    coarse_from = store.COARSE_FROM
    store.COARSE_FROM = np.inf
    exact = identities.similarity(looks).argmax(axis=1)
    store.COARSE_FROM = coarse_from
    return {"rank1": float((found == own).mean()), "rank1_exact": float((exact == own).mean())}


def main(args) -> None:
    results = {}
    print(f"{'people':>10}{'bare, ms':>12}{'search, ms':>12}{'times':>8}{'rank-1':>10}{'exact':>10}")
    progress = Progress("searched", sum(args.people), "people")
    for count in args.people:
        people, looks = draw(count, min(RANKED, count), args.embedding_size)
        own = measure(people, looks, np.resize(looks, (args.looks, looks.shape[1])), args.repeats)
        results[f"people{count}"] = own
        progress.add(count)
        print(
            f"{count:>10}{own['bare_ms']:>12.3f}{own['search_ms']:>12.3f}{own['times']:>8.2f}"
            f"{own['rank1']:>10.3f}{own['rank1_exact']:>10.3f}",
            flush=True,
        )
    if args.json:
        command = f"python3 -m benchmarks.matching {' '.join(sys.argv[1:])}"
        write_json(args.json, {**origin(command), "looks": args.looks, **results})


if __name__ == "__main__":
    run_main(main, ARGS)
