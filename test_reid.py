"""Measures a model on people it never saw: rank-1, rank-5, rank-10 and mAP after the Market-1501 protocol.

    bash test_reid.sh                                             with the values at its top
    python3 test_reid.py --model=models/reid/m0/reid_model-200.ckpt
    python3 test_reid.py --model=models/id/m0/model.ckpt-1500    the pooled features of an ID model, L2-normalised

Reads <data_dir>/bounding_box_test (the gallery) and bounding_box_query. Image size and width are those of the model.
"""

from utils.options import InputError, boolean, image_size, parser, positive_int, run_main


def parse_args(argv=None):
    options = parser(__doc__)
    # fmt: off
    add = options.add_argument_group("what to measure").add_argument
    add("--model", default="newest",
        help="a re-id or ID checkpoint, a run folder (its suggested step), or newest for the newest below models/reid")
    add("--data_dir", default="data/Market-1501-v15.09.15",
        help="folder that holds bounding_box_test and bounding_box_query (or query)")
    add("--untrained", action="store_true",
        help="measure random weights in the model's shape instead: the floor to compare with")
    add("--image_size", type=image_size, default=None, metavar="HxW",
        help="pixels; only for a checkpoint that came without its .json")
    add("--json", default=None, metavar="FILE", help="write the figures there as well")
    add = options.add_argument_group("threshold and pictures").add_argument
    add("--threshold", type=boolean, nargs="?", const=True, default=False,
        help="measure from which similarity on two pictures show one person, and write that beside the "
             "checkpoint as <model>.threshold.json (pipeline.py takes it from there) and <model>.threshold.png")
    add("--threshold_at", choices=("far1", "far0.1", "eer"), default="far1",
        help="the threshold to suggest: where 1 %% or 0.1 %% of the pairs of different people pass (false accepts), or "
             "at the equal error rate, where as many pairs of one person are refused as pairs of two people pass")
    add("--ranked", default=None, metavar="FILE.png",
        help="draw queries with the gallery pictures that the model finds most similar: green is right, red is wrong, "
             "grey is ignored")
    add("--ranked_queries", default="worst", metavar="WHICH",
        help="which queries to draw: worst (lowest average precision), random (the same each time), or file names "
             "with commas between")
    add("--ranked_count", type=positive_int, default=10, help="queries to draw, where they are worst or random")
    # fmt: on
    return options.parse_args(argv)


ARGS = parse_args() if __name__ == "__main__" else None  # before TensorFlow is imported: --help answers at once

from pathlib import Path  # noqa: E402

import tensorflow as tf  # noqa: E402

from utils import checkpoint, doctor, metrics, ranked, threshold  # noqa: E402
from utils.chart import similarity_chart  # noqa: E402
from utils.dataset import check_images, naming_unreadable, open_split  # noqa: E402
from utils.embed import embed_paths, embedder  # noqa: E402
from utils.grid import write_png  # noqa: E402

ROWS = (
    ("rank-1", "rank1"),
    ("rank-5", "rank5"),
    ("rank-10", "rank10"),
    ("mAP (Market-1501, trapezoid)", "mAP"),
    ("mAP (step)", "mAP_step"),
    ("mINP", "mINP"),
)


def load_model(model, size, untrained):
    """The network to measure, its image size and what to call it."""
    prefix = checkpoint.newest_checkpoint() if model == "newest" else checkpoint.find_checkpoint(model)
    tf.keras.utils.set_random_seed(0)
    net, args = checkpoint.load_net(prefix, size, untrained)
    name = f"random weights in the shape of {prefix}" if untrained else prefix
    return net, args["image_size"], name


def main(args):
    if args.json and not Path(args.json).resolve().parent.is_dir():  # said now rather than after minutes of work
        raise InputError(f"--json {args.json}: there is no such folder: make it, or name another place")
    check_pictures_asked(args)
    net, size, name = load_model(args.model, args.image_size, args.untrained)
    query, gallery = open_split(args.data_dir, "query"), open_split(args.data_dir, "test")
    query.require_cameras()
    gallery.require_cameras()
    if args.ranked:
        ranked.check_queries(args.ranked_queries, query.paths)
    check_images([*query.paths, *gallery.paths])
    doctor.check_quickly(query=query, gallery=gallery)
    embed = embedder(net)
    with naming_unreadable([*query.paths, *gallery.paths]):
        query_embeddings = embed_paths(embed, query.paths, size, said_as="query")  # (Q, E)
        gallery_embeddings = embed_paths(embed, gallery.paths, size, said_as="gallery")  # (G, E)
    asked = (query_embeddings, query.identities, query.cameras)
    answers = (gallery_embeddings, gallery.identities, gallery.cameras)
    try:
        figures = metrics.evaluate(*asked, *answers)
    except ValueError as error:
        raise InputError(
            f"{error}: check that {query.folder} and {gallery.folder} show the same people, "
            "each from two cameras or more (the camera is read from the file name, as in 0002_c1s1_000451_03.jpg)"
        ) from None
    print_table(name, args.data_dir, figures)
    if args.json:
        checkpoint.write_json(Path(args.json), {"model": name, "data_dir": args.data_dir, **figures})
    queries, answering = ranked.Pictures(query.paths, *asked), ranked.Pictures(gallery.paths, *answers)
    if args.ranked:
        draw_ranked(args, name, queries, answering)
    if args.threshold:
        measure_threshold(args, name, queries, answering)


def check_pictures_asked(args) -> None:
    """Refuses what --ranked and --threshold can't do, before minutes of work."""
    if args.threshold and args.untrained:
        raise InputError("--threshold belongs to a trained model: leave --untrained out")
    if args.ranked:
        if not args.ranked.lower().endswith(".png"):
            raise InputError(f"--ranked {args.ranked}: the picture is a PNG: let its name end with .png")
        if not Path(args.ranked).resolve().parent.is_dir():
            raise InputError(f"--ranked {args.ranked}: there is no such folder: make it, or name another place")


def draw_ranked(args, name, queries, gallery) -> None:
    """The picture that --ranked asks for. queries, gallery: utils.ranked.Pictures."""
    precisions = ranked.average_precisions(queries, gallery)
    chosen = ranked.choose_queries(args.ranked_queries, args.ranked_count, queries, precisions)
    rows = ranked.rank(queries, gallery, chosen, precisions)
    write_png(args.ranked, ranked.ranked_grid(rows, queries, gallery, f"{name} on {args.data_dir}"))
    print(f"{len(rows)} queries and what they found: {args.ranked}")


def measure_threshold(args, prefix, queries, gallery) -> None:
    """Prints what --threshold asks for, and leaves it beside the checkpoint as JSON and as a picture."""
    same, different = threshold.count_pairs(*queries[1:], *gallery[1:])
    figures = threshold.read_off(same, different, args.threshold_at)
    words = threshold.lines(figures)
    print(f"\nsimilarity of two pictures from different cameras, {prefix} on {args.data_dir}")
    for what, value in words:
        print(f"  {what:<30}{value}")
    title, subtitle = "How similar are two pictures from different cameras?", f"{prefix} on {args.data_dir}"
    picture = similarity_chart(same, different, figures, words, title, subtitle)
    write_png(f"{prefix}{threshold.PICTURE}", picture)
    checkpoint.write_json(f"{prefix}{threshold.SUFFIX}", {"model": prefix, "data_dir": args.data_dir, **figures})
    print(f"written to {prefix}{threshold.SUFFIX} (pipeline.py takes it from there) and {threshold.PICTURE}")


def print_table(name, data_dir, figures):
    print(f"\n{name} on {data_dir}")
    print(
        f"{figures['queries']} queries ({figures['unmatched']} without a match in another camera, "
        "left out of all figures), "
        f"gallery of {figures['gallery']} with {figures['distractors']} distractors, {figures['junk']} junk ignored"
    )
    for label, key in ROWS:
        print(f"  {label:<30}{figures[key]:6.2f} %")


if __name__ == "__main__":
    run_main(main, ARGS)
