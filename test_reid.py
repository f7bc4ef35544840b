"""Measures models on people they never saw: rank-1 to rank-20, mAP and mINP after the Market-1501 protocol.

    bash test_reid.sh                                             with the values at its top
    python3 test_reid.py --model=models/reid/m0/reid_model-200.ckpt
    python3 test_reid.py --model=models/id/m0/model.ckpt-1500    the pooled features of an ID model, L2-normalised
    python3 test_reid.py --model models/frozen/reid              what is deployed, beside the checkpoint it came from
    python3 test_reid.py --model models/reid/m0 models/reid/m1   several models side by side, on the same queries

Reads <data_dir>/bounding_box_test (the gallery) and bounding_box_query. Image size and width are those of the model. A
checkpoint sees the pictures as in training; a frozen model as in demo.py, through OpenCV.
"""

from utils.errors import InputError, explained_imports, run_main
from utils.options import as_image_size, boolean, file_to_write, fraction, make_parser, positive_int


def parse_args(argv=None):
    parser = make_parser(__doc__)
    # fmt: off
    add = parser.add_argument_group("what to measure").add_argument
    add("--model", nargs="+", default="newest",
        help="re-id or ID checkpoints, run folders (their suggested step), folders of frozen re-id nets, or newest for "
             "the newest checkpoint below models/reid; a frozen net's checkpoint is measured as well where it is there")
    add("--data_dir", default="data/Market-1501-v15.09.15",
        help="folder that holds bounding_box_test and bounding_box_query (or query)")
    add("--untrained", action="store_true",
        help="measure random weights in the model's shape instead: the floor to compare with")
    add("--flip", action="store_true",
        help="embed each picture mirrored as well and take the mean: twice the time, which a camera seldom has")
    add("--image_size", type=as_image_size, default=None, metavar="HxW",
        help="pixels; only for a checkpoint that came without its .json")
    add = parser.add_argument_group("re-ranking").add_argument
    add("--rerank", action="store_true",
        help="also rank by k-reciprocal neighbours (Zhong et al. 2017), which look at all queries and the whole "
             "gallery at once: minutes at Market-1501's size")
    add("--k1", type=positive_int, default=20,
        help="pictures are neighbours if each is among the other's k1 nearest; about as many as a person has pictures")
    add("--k2", type=positive_int, default=6, help="a picture's description is averaged over its k2 nearest; 1 is off")
    add("--rerank_weight", type=fraction, default=0.3,
        help="share of the embeddings' own distance in the re-ranked one, 0 to 1 (lambda in the paper)")
    add = parser.add_argument_group("output").add_argument
    add("--camera_pairs", action="store_true", help="also print rank-1 from each camera to each other one")
    add("--json", type=file_to_write, default=None, metavar="FILE", help="write the figures there as well")
    add = parser.add_argument_group("threshold and pictures").add_argument
    add("--threshold", type=boolean, nargs="?", const=True,
        help="measure from which similarity on two pictures show one person, and write that beside each checkpoint as "
             "<checkpoint>.threshold.json (pipeline.py takes it from there) and <checkpoint>.threshold.png")
    add("--threshold_at", choices=("far1", "far0.1", "eer"), action="append",
        help="asks for --threshold, and says which to suggest: where 1 %% (far1, also if not given) or 0.1 %% of the "
             "pairs of different people pass (false accepts), or at the equal error rate, where as many pairs of one "
             "person are refused as pairs of two people pass")
    add("--ranked", default=None, metavar="FILE.png",
        help="draw queries with the gallery pictures that the model finds most similar: green is right, red is wrong, "
             "grey is ignored; of the first model, if there are several")
    add("--ranked_queries", default="worst", metavar="WHICH",
        help="which queries to draw: worst (lowest average precision), random (the same each time), or file names "
             "with commas between")
    add("--ranked_count", type=positive_int, default=10, help="queries to draw, where they are worst or random")
    # fmt: on
    args = parser.parse_args(argv)
    chosen = args.threshold_at or []
    # test_reid.sh gives both with its own values first: what asks for a threshold there is a second --threshold_at.
    args.threshold = bool(args.threshold) or len(chosen) > (0 if args.threshold is None else 1)
    args.threshold_at = chosen[-1] if chosen else "far1"
    return args


ARGS = parse_args() if __name__ == "__main__" else None  # before TensorFlow is imported: --help answers at once

import functools
from pathlib import Path

with explained_imports():
    import numpy as np

    from utils import dataset_checks, metrics
    from utils.checkpoint import THRESHOLD_IMAGE_SUFFIX, THRESHOLD_SUFFIX
    from utils.dataset import check_images, decode_errors_named, open_split
    from utils.device import enable_memory_growth
    from utils.evaluation import ranked, threshold
    from utils.evaluation.models import find_models, open_model
    from utils.evaluation.rerank import rerank_blocks
    from utils.evaluation.similarity_histogram import similarity_chart
    from utils.evaluation.tables import ROWS, letters, print_camera_pairs, print_figures
    from utils.files import write_json
    from utils.image_grid import write_png


def main(args):
    check_pictures_asked(args)
    enable_memory_growth()
    named = [args.model] if isinstance(args.model, str) else args.model
    models = [open_model(path, args.image_size, args.untrained) for path in find_models(named)]
    query, gallery = open_split(args.data_dir, "query"), open_split(args.data_dir, "test")
    query.require_cameras()
    gallery.require_cameras()
    if args.ranked:
        ranked.check_queries(args.ranked_queries, query.paths)
    check_images([*query.paths, *gallery.paths])
    dataset_checks.check_quickly(query=query, gallery=gallery)
    results, embeddings, pictures = [], {}, []
    for letter, model in zip(letters(len(models)), models):
        with decode_errors_named([*query.paths, *gallery.paths]):
            query_embeddings = model.embed_paths(query.paths, f"{letter} query".strip(), args.flip)  # (Q, E)
            gallery_embeddings = model.embed_paths(gallery.paths, f"{letter} gallery".strip(), args.flip)  # (G, E)
        asked = (query_embeddings, query.identities, query.cameras)
        answers = (gallery_embeddings, gallery.identities, gallery.cameras)
        try:
            figures = measure(args, asked, answers)
        except ValueError as error:
            raise InputError(
                f"{error}: check that {query.folder} and {gallery.folder} show the same people, "
                "each from two cameras or more (the camera is read from the file name, as in 0002_c1s1_000451_03.jpg)"
            ) from None
        results.append({"model": model.name, **model.about, **figures})
        embeddings[model.name] = query_embeddings
        pictures.append((ranked.Pictures(query.paths, *asked), ranked.Pictures(gallery.paths, *answers)))
    for model, result in list(zip(models, results))[1:]:
        result["against"] = compare(model, result, results, embeddings)
    print_figures(results, args.data_dir)
    if args.camera_pairs:
        for result in results:
            print_camera_pairs(result["model"], result["camera_pairs"])
    if args.json:
        several = {"data_dir": args.data_dir, "models": results}
        content = several if len(models) > 1 else {"data_dir": args.data_dir, **results[0]}
        write_json(Path(args.json), content)
    if args.ranked:
        draw_ranked(args, models[0].name, *pictures[0])
    if args.threshold:
        for model, (queries, answering) in zip(models, pictures):
            if model.about["kind"] == "checkpoint":
                measure_threshold(args, model, queries, answering)


def check_pictures_asked(args) -> None:
    """Refuses what --ranked and --threshold can't do, before minutes of work."""
    if args.threshold and args.untrained:
        raise InputError("--threshold and --threshold_at belong to a trained model: leave --untrained out")
    if args.ranked:
        if not args.ranked.lower().endswith(".png"):
            raise InputError(f"--ranked {args.ranked}: the picture is a PNG: let its name end with .png")
        if not Path(args.ranked).resolve().parent.is_dir():
            raise InputError(f"--ranked {args.ranked}: there is no such folder: make it, or name another place")


def draw_ranked(args, name, queries, gallery) -> None:
    """The picture that --ranked asks for. queries, gallery: utils.evaluation.ranked.Pictures."""
    precisions = ranked.average_precisions(queries, gallery)
    chosen = ranked.choose_queries(args.ranked_queries, args.ranked_count, queries, precisions)
    rows = ranked.rank(queries, gallery, chosen, precisions)
    write_png(args.ranked, ranked.ranked_grid(rows, queries, gallery, f"{name} on {args.data_dir}"))
    print(f"{len(rows)} queries and what they found: {args.ranked}")


def measure_threshold(args, model, queries, gallery) -> None:
    """Prints what --threshold asks for, and leaves it beside the checkpoint as JSON and as a picture."""
    prefix = model.name
    same, different = threshold.count_pairs(*queries[1:], *gallery[1:])
    figures = threshold.read_off(same, different, args.threshold_at)
    words = threshold.lines(figures)
    print(f"\nsimilarity of two pictures from different cameras, {prefix} on {args.data_dir}")
    for what, value in words:
        print(f"  {what:<30}{value}")
    title, subtitle = "How similar are two pictures from different cameras?", f"{prefix} on {args.data_dir}"
    picture = similarity_chart(same, different, figures, words, title, subtitle)
    write_png(f"{prefix}{THRESHOLD_IMAGE_SUFFIX}", picture)
    write_json(f"{prefix}{THRESHOLD_SUFFIX}", {"model": prefix, "data_dir": args.data_dir, **figures})
    taken = " (pipeline.py takes it from there)" if model.reid else ""  # it refuses ID models
    print(f"written to {prefix}{THRESHOLD_SUFFIX}{taken} and {THRESHOLD_IMAGE_SUFFIX}")


def measure(args, asked, answers) -> dict:
    """The figures of one model as metrics.evaluate returns them; under "rerank" those of re-ranking, if asked for."""
    figures = metrics.evaluate(*asked, *answers, desc="figures")
    if args.rerank:
        settings = {"k1": args.k1, "k2": args.k2, "weight": args.rerank_weight}
        blocks = functools.partial(rerank_blocks, **settings, desc="re-ranking")
        reranked = metrics.evaluate(*asked, *answers, blocks=blocks, desc="re-ranking")
        figures["rerank"] = {**settings, **reranked}
    return figures


def compare(model, result, results, embeddings) -> dict:
    """What a model gains or loses in points against its original, or against the first model where it has none.

    Where it has one, also how nearly both embed the queries alike. results: those of all models; embeddings: {name: (Q,
    E)}.
    """
    measured = {Path(each["model"]).resolve(): each for each in results}
    original = measured.get(Path(model.original).resolve()) if model.original else None
    other = original or results[0]
    found = {"model": other["model"], **{key: result[key] - other[key] for _, key in ROWS}}
    if original:
        cosines = np.sum(embeddings[model.name] * embeddings[other["model"]], axis=1)  # (Q,)
        found.update(cosine_min=float(cosines.min()), cosine_mean=float(cosines.mean()))
    return found


if __name__ == "__main__":
    run_main(main, ARGS)
