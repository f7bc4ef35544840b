"""Measures the time and memory of an evaluation at Market-1501's size, relative to its similarity product.

    python3 -m benchmarks.evaluation                     3,368 queries, 15,913 gallery images, embeddings of 2,048
    python3 -m benchmarks.evaluation --rerank            also re-ranking, which takes a minute or two on two cores
    python3 -m benchmarks.evaluation --scale 0.1         a tenth of the queries and of the gallery

Embeddings are random; identities and cameras are distributed as in Market-1501 (750 identities, six cameras, 2,798
distractors). The product is timed within the evaluation, so both run under the same load. The median of several rounds
is reported. Memory is the maximum that numpy allocates in addition to the embeddings; for re-ranking it is the maximum
of the whole process.
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
    add("--scale", type=positive_float, default=1.0,
        help="size of the test set as a multiple of Market-1501's queries, gallery and identities")
    add("--embedding_size", type=positive_int, default=2048, help="length of an embedding")
    add("--rounds", type=positive_int, default=3, help="number of times that the evaluation is repeated")
    add("--rerank", action="store_true", help="also time re-ranking, once")
    add("--seed", type=as_seed, default=0, help="seed of the random embeddings")
    add("--json", type=file_to_write, default=None, metavar="FILE", help="write the figures to this file as well")
    # fmt: on
    return parser.parse_args(argv)


ARGS = parse_args() if __name__ == "__main__" else None  # before NumPy is imported: --help answers at once

import numpy as np

from utils import metrics
from utils.device import origin
from utils.evaluation import rerank
from utils.files import write_json

# Of Market-1501's test set.
IDENTITIES = 750
QUERIES = 3368
GALLERY = 15913
DISTRACTORS = 2798
CAMERAS = 6
# Weights of the camera and of noise in an embedding, relative to its identity: rank-1 is like that of a trained net.
CAMERA_WEIGHT = 0.5
NOISE_WEIGHT = 3.5


def draw_test_set(args) -> tuple:
    """Queries and gallery with random embeddings, two LabelledSets."""
    rng = np.random.default_rng(args.seed)
    num_identities = max(2, round(IDENTITIES * args.scale))
    identity_means = rng.normal(size=(num_identities + 1, args.embedding_size)).astype(np.float32)
    camera_means = rng.normal(size=(CAMERAS + 1, args.embedding_size)).astype(np.float32)

    def draw_set(identities, cameras):
        embeddings = rng.standard_normal((len(identities), args.embedding_size), np.float32)
        embeddings *= NOISE_WEIGHT
        known = identities > metrics.DISTRACTOR
        embeddings[known] += identity_means[identities[known]] + CAMERA_WEIGHT * camera_means[cameras[known]]
        embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
        return metrics.LabelledSet(None, embeddings, identities, cameras)

    num_queries, num_gallery, num_distractors = (
        max(1, round(count * args.scale)) for count in (QUERIES, GALLERY, DISTRACTORS)
    )
    query_identities = np.arange(num_queries) % num_identities + 1
    # As in Market-1501, an identity has at most one query per camera.
    query_cameras = (np.arange(num_queries) // num_identities + query_identities) % CAMERAS + 1
    gallery_identities = rng.integers(1, num_identities + 1, num_gallery - num_distractors)
    gallery_identities = np.concatenate([np.full(num_distractors, metrics.DISTRACTOR), gallery_identities])
    queries = draw_set(query_identities, query_cameras)
    return queries, draw_set(gallery_identities, rng.integers(1, CAMERAS + 1, num_gallery))


def timed(work) -> tuple:
    """Calls work() and returns (seconds, its result)."""
    begun = time.perf_counter()
    result = work()
    return time.perf_counter() - begun, result


def timed_evaluation(queries, gallery) -> tuple:
    """Evaluates once: (seconds of the similarity product, seconds of everything, figures)."""
    spent = []

    def timed_blocks(*embeddings):
        products = metrics.similarity_blocks(*embeddings)
        while True:
            seconds, block = timed(lambda: next(products, None))
            if block is None:
                return
            spent.append(seconds)
            yield block

    seconds, figures = timed(lambda: metrics.evaluate(queries, gallery, timed_blocks))
    return sum(spent), seconds, figures


def peak_memory(work) -> int:
    """The maximum number of bytes that numpy allocates during work()."""
    tracemalloc.start()
    work()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most


def measure_rerank(queries, gallery, product_seconds) -> dict:
    """Times re-ranking and its evaluation once; product_seconds: of the similarity product, to compare with."""

    def blocks(*embeddings):
        return rerank.rerank_blocks(*embeddings, desc="re-ranking")

    seconds, figures = timed(lambda: metrics.evaluate(queries, gallery, blocks, desc="re-ranking"))
    process_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in kilobytes
    all_pairs_bytes = 4 * (len(queries.embeddings) + len(gallery.embeddings)) ** 2
    print(f"re-ranking takes {seconds:.0f} s, {seconds / product_seconds:.0f} times the product")
    print(
        f"the process used at most {process_bytes / 1e6:.0f} MB; "
        f"one matrix of all pairs would be {all_pairs_bytes / 1e6:.0f} MB"
    )
    print(format_figures(figures))
    return {"seconds": seconds, "process_bytes": process_bytes, "all_pairs_bytes": all_pairs_bytes, "figures": figures}


def format_figures(figures) -> str:
    return "  " + "  ".join(f"{name} {figures[name]:.2f} %" for name in ("rank1", "rank5", "mAP", "mAP_step", "mINP"))


def main(args):
    queries, gallery = draw_test_set(args)
    num_queries = len(queries.embeddings)
    num_gallery = len(gallery.embeddings)
    size = f"{num_queries} queries, {num_gallery} gallery images, embeddings of {args.embedding_size}"
    print(f"{size}; numpy {np.__version__}", flush=True)

    rounds = []
    for _ in range(args.rounds):
        product, evaluation, figures = timed_evaluation(queries, gallery)
        rounds.append((evaluation / product, product, evaluation))
        print(f"  product {product:.2f} s, evaluation including the product {evaluation:.2f} s", flush=True)
    _, product, evaluation = sorted(rounds)[len(rounds) // 2]
    ratio = (evaluation - product) / product
    memory_bytes = peak_memory(lambda: metrics.evaluate(queries, gallery))
    matrix_bytes = 4 * num_queries * num_gallery
    block_bytes = 4 * metrics.BLOCK * num_gallery
    print(f"counting takes {evaluation - product:.2f} s, {ratio:.2f} times the product's {product:.2f} s")
    print(
        f"memory {memory_bytes / 1e6:.0f} MB: {memory_bytes / block_bytes:.1f} blocks of {metrics.BLOCK} queries, "
        f"{memory_bytes / matrix_bytes:.1%} of all similarities"
    )
    print(format_figures(figures))

    result = {
        **origin(f"python3 {' '.join(sys.argv)}"),
        "size": size,
        "product_seconds": product,
        "evaluation_seconds": evaluation,
        "ratio": ratio,
        "memory_bytes": memory_bytes,
        "block_bytes": block_bytes,
        "matrix_bytes": matrix_bytes,
        "figures": figures,
    }
    if args.rerank:
        result["rerank"] = measure_rerank(queries, gallery, product)
    if args.json:
        write_json(args.json, result)


if __name__ == "__main__":
    run_main(main, ARGS)
