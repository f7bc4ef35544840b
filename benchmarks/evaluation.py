"""Measures how long an evaluation at Market-1501's size takes, and how much memory, beside its similarity product.

    python3 -m benchmarks.evaluation                     3,368 queries, 15,913 gallery images, 2,048 numbers each
    python3 -m benchmarks.evaluation --rerank            re-ranking as well: a minute or two on two cores
    python3 -m benchmarks.evaluation --scale 0.1         a tenth of the queries and of the gallery

The embeddings are invented; identities and cameras are spread as in Market-1501 (750 people, six cameras, 2,798
distractors). The product is timed inside the evaluation, so that both meet the same load of the machine; the middle of
several rounds counts. Memory is what numpy holds at most beyond the embeddings; for re-ranking, the most that the whole
process took.
"""

import resource
import sys
import time
import tracemalloc

from utils.errors import run_main
from utils.options import as_seed, file_to_write, make_parser, positive_float, positive_int


def parse_args(argv=None):
    parser = make_parser(__doc__)
    add = parser.add_argument
    # fmt: off
    add("--scale", type=positive_float, default=1.0, help="share of Market-1501's queries, gallery and people")
    add("--embedding_size", type=positive_int, default=2048, help="numbers in an embedding")
    add("--rounds", type=positive_int, default=3, help="times that the evaluation is repeated")
    add("--rerank", action="store_true", help="time re-ranking as well, once")
    add("--seed", type=as_seed, default=0, help="of the invented embeddings")
    add("--json", type=file_to_write, default=None, metavar="FILE", help="also write the figures there")
    # fmt: on
    return parser.parse_args(argv)


ARGS = parse_args() if __name__ == "__main__" else None

import numpy as np

from utils import metrics
from utils.device import origin
from utils.evaluation import rerank
from utils.files import write_json

PEOPLE, QUERIES, GALLERY, DISTRACTORS, CAMERAS = 750, 3368, 15913, 2798, 6  # of Market-1501's test set
# Parts that a picture's embedding is made of, beside its person's mean: gives a rank-1 like a trained network's.
VIEW, NOISE = 0.5, 3.5


def invent(args):
    """Queries and gallery with random embeddings, two LabelledSets."""
    rng = np.random.default_rng(args.seed)
    people = max(2, round(PEOPLE * args.scale))
    means = rng.normal(size=(people + 1, args.embedding_size)).astype(np.float32)
    views = rng.normal(size=(CAMERAS + 1, args.embedding_size)).astype(np.float32)

    def pictures(identities, cameras):
        embeddings = rng.standard_normal((len(identities), args.embedding_size), np.float32)
        embeddings *= NOISE
        known = identities > 0  # a box on nobody is like nothing else
        embeddings[known] += means[identities[known]] + VIEW * views[cameras[known]]
        embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
        return metrics.LabelledSet(None, embeddings, identities, cameras)

    queries, gallery, nobody = (max(1, round(count * args.scale)) for count in (QUERIES, GALLERY, DISTRACTORS))
    asked = np.arange(queries) % people + 1
    shown = np.concatenate([np.zeros(nobody, int), rng.integers(1, people + 1, gallery - nobody)])
    # A person's queries come from one camera after the other, as in Market-1501: at most one each.
    asked_cameras = (np.arange(queries) // people + asked) % CAMERAS + 1
    return pictures(asked, asked_cameras), pictures(shown, rng.integers(1, CAMERAS + 1, gallery))


def timed(work):
    begun = time.perf_counter()
    result = work()
    return time.perf_counter() - begun, result


def timed_product(spent: list):
    """metrics.similarity_blocks, which adds to `spent` the seconds that each block took."""

    def blocks(*embeddings):
        products = metrics.similarity_blocks(*embeddings)
        while True:
            seconds, block = timed(lambda: next(products, None))
            if block is None:
                return
            spent.append(seconds)
            yield block

    return blocks


def peak(work) -> int:
    """The most bytes that numpy held at a time during `work`."""
    tracemalloc.start()
    work()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most


def measure_rerank(query, gallery, alone):
    """Times re-ranking with its evaluation once; alone: the product's seconds, to compare with."""

    def blocks(*embeddings):
        return rerank.rerank_blocks(*embeddings, desc="re-ranking")

    seconds, figures = timed(lambda: metrics.evaluate(query, gallery, blocks=blocks, desc="re-ranking"))
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in kilobytes
    matrix = 4 * (len(query.embeddings) + len(gallery.embeddings)) ** 2
    print(f"re-ranking takes {seconds:.0f} s, {seconds / alone:.0f} times the product's {alone:.2f} s")
    print(f"the whole process took {held / 1e6:.0f} MB at most; one matrix of all pairs would be {matrix / 1e6:.0f} MB")
    print("  " + said(figures))
    return {"seconds": seconds, "process_bytes": held, "all_pairs_bytes": matrix, "figures": figures}


def said(figures) -> str:
    return "  ".join(f"{name} {figures[name]:.2f} %" for name in ("rank1", "rank5", "mAP", "mAP_step", "mINP"))


def main(args):
    query, gallery = invent(args)
    counts = f"{len(query.embeddings)} queries, {len(gallery.embeddings)} gallery images"
    size = f"{counts}, {args.embedding_size} numbers each"
    print(f"{size}; numpy {np.__version__}", flush=True)

    rounds = []
    for _ in range(args.rounds):
        spent = []
        both, figures = timed(lambda spent=spent: metrics.evaluate(query, gallery, blocks=timed_product(spent)))
        rounds.append((sum(spent), both))
        print(f"  product {sum(spent):.2f} s, evaluation with its product {both:.2f} s", flush=True)
    alone, both = sorted(rounds, key=lambda pair: pair[1] / pair[0])[len(rounds) // 2]
    counting, held = both - alone, peak(lambda: metrics.evaluate(query, gallery))
    full, block = 4 * len(query.embeddings) * len(gallery.embeddings), 4 * metrics.BLOCK * len(gallery.embeddings)
    print(f"counting takes {counting:.2f} s, {counting / alone:.2f} times the product's {alone:.2f} s")
    print(f"memory {held / 1e6:.0f} MB: {held / block:.1f} blocks of {metrics.BLOCK} queries, {held / full:.1%} of all")
    print("  " + said(figures))
    result = origin(f"python3 {' '.join(sys.argv)}")
    result.update(size=size, product_seconds=alone, evaluation_seconds=both, ratio=counting / alone)
    result.update(memory_bytes=held, block_bytes=block, matrix_bytes=full, figures=figures)
    if args.rerank:
        result["rerank"] = measure_rerank(query, gallery, alone)
    if args.json:
        write_json(args.json, result)


if __name__ == "__main__":
    run_main(main, ARGS)
