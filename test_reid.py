"""Measures models on identities they never saw: rank-1 to rank-20, mAP and mINP by the Market-1501 protocol.

    bash test_reid.sh                                             with the values at its top
    python3 test_reid.py --model=models/reid/m0/reid_model-200.ckpt
    python3 test_reid.py --model=models/id/m0/model.ckpt-1500    an ID model, by its pooled features scaled to norm 1
    python3 test_reid.py --model models/frozen/reid              a frozen model beside the checkpoint it was made from
    python3 test_reid.py --model models/reid/m0 models/reid/m1   several models side by side, on the same queries
    python3 test_reid.py --compare a.jpg b.jpg                   how similar are two images, and is it one person?

Reads <data_dir>/bounding_box_test (the gallery) and bounding_box_query. Image size and width are those of the model. A
checkpoint reads images as in training, a frozen model as in demo.py, with OpenCV.
"""

import argparse

from utils.errors import InputError, explained_imports, run_main
from utils.options import (
    add_old_name,
    as_image_size,
    boolean,
    file_to_write,
    fraction,
    make_parser,
    positive_int,
)

OPERATING_POINTS = ("far1", "far0.1", "eer")


def as_operating_point(text: str):
    """The argparse type of --threshold: a name of OPERATING_POINTS, or True or False as launchers of version 1 pass."""
    if text in OPERATING_POINTS:
        return text
    try:
        return boolean(text)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(f"'{text}' is none of {', '.join(OPERATING_POINTS)}") from None


def choose_operating_point(threshold, threshold_at: list):
    """The operating point to measure a threshold at, None for no measurement.

    threshold: the value of --threshold, None if it is absent. threshold_at: the values of --threshold_at of version 1,
    which asks for a measurement by itself. Launchers of version 1 pass --threshold=True or False and one
    --threshold_at, so with them only a second --threshold_at comes from the user.
    """
    if threshold in OPERATING_POINTS:
        return threshold
    from_launcher = 0 if threshold is None else 1
    if threshold or len(threshold_at) > from_launcher:
        return threshold_at[-1] if threshold_at else "far1"
    return None


def parse_args(argv=None):
    parser = make_parser(__doc__)
    # fmt: off
    add = parser.add_argument_group("what to measure").add_argument
    add("--model", nargs="+", default="newest",
        help="re-id or ID checkpoints, run folders (their suggested step), folders of frozen re-id models, or newest "
             "for the newest checkpoint in models/reid; a frozen model is measured beside its checkpoint if that is "
             "there")
    add("--data_dir", default="data/Market-1501-v15.09.15",
        help="folder that holds bounding_box_test and bounding_box_query (or query)")
    add("--untrained", action="store_true",
        help="measure random weights in the shape of the model instead, as a baseline")
    add("--tta_flip", action="store_true",
        help="test-time augmentation: the mean embedding of each image and its mirror image, in twice the time")
    add("--image_size", type=as_image_size, default=None, metavar="HxW",
        help="pixels; only for a checkpoint that was copied without its .json")
    add = parser.add_argument_group("single images").add_argument
    add("--compare", nargs="+", default=None, metavar="IMAGE",
        help="print the similarity of each pair of these images instead, and whether it reaches the threshold that "
             "came with the model; a folder stands for all images in it")
    add("--embeddings", nargs=2, default=None, metavar=("FILE.npz", "FOLDER"),
        help="write the embeddings of all images in the folder instead: paths (N,), embeddings (N, E) of norm 1")
    add("--detect", nargs="?", const="models/frozen/obj", default=None, metavar="FROZEN_DETECTOR",
        help="find the person in each of these images first, with this detector (models/frozen/obj if none is named)")
    add = parser.add_argument_group("re-ranking").add_argument
    add("--rerank", action="store_true",
        help="also rank by k-reciprocal neighbours (Zhong et al. 2017); it uses all queries and the whole gallery "
             "jointly and takes minutes for Market-1501")
    add("--k1", type=positive_int, default=20,
        help="two images are neighbours if each is among the k1 nearest of the other; about the number of images of "
             "a person")
    add("--k2", type=positive_int, default=6, help="nearest images over which features are averaged; 1 is off")
    add("--rerank_weight", type=fraction, default=0.3,
        help="weight of the original distance, 0 to 1 (lambda in the paper)")
    add = parser.add_argument_group("output").add_argument
    add("--camera_pairs", action="store_true", help="also print rank-1 from each camera to each other one")
    add("--json", type=file_to_write, default=None, metavar="FILE", help="write the figures to this file as well")
    add("--threshold", nargs="?", type=as_operating_point, const=True, default=None, metavar="|".join(OPERATING_POINTS),
        help="measure the similarity from which two images show the same person, and write it beside each checkpoint "
             "as <checkpoint>.threshold.json, which pipeline.py reads, and <checkpoint>.threshold.png, or into the "
             "manifest of a frozen model that has no checkpoint here, such as a published network; far1 (if no value "
             "is given): 1 %% of the pairs of different people pass; far0.1: 0.1 %%; eer: equal error rate")
    add("--threshold_at", choices=OPERATING_POINTS, action="append", default=[], help=argparse.SUPPRESS)
    add = parser.add_argument_group("ranked results").add_argument
    add("--ranked", default=None, metavar="FILE.png",
        help="draw queries with the gallery images that the first model finds most similar: green is right, red is "
             "wrong, grey is ignored")
    add("--ranked_queries", type=str, default="worst", metavar="WHICH",
        help="queries to draw: worst (lowest average precision), random (always the same), or file names separated "
             "by commas")
    add("--ranked_count", type=positive_int, default=10, help="number of queries to draw, for worst and random")
    # fmt: on
    add_old_name(parser, "--flip", "--tta_flip")
    args = parser.parse_args(argv)
    args.threshold = choose_operating_point(args.threshold, args.threshold_at)
    if args.compare and args.embeddings:
        parser.error("--compare and --embeddings are two tasks: give one of them")
    return args


ARGS = parse_args() if __name__ == "__main__" else None  # before TensorFlow is imported: --help answers at once

import functools
from pathlib import Path

with explained_imports():
    import numpy as np

    from utils import dataset_checks, metrics
    from utils.checkpoint import THRESHOLD_IMAGE_SUFFIX, THRESHOLD_SUFFIX, describe_threshold
    from utils.dataset import check_images, decode_errors_named, open_split
    from utils.deploy.detector import Detector
    from utils.deploy.manifest import MANIFEST, read_manifest, write_manifest
    from utils.device import enable_memory_growth
    from utils.evaluation import pairs, ranked, threshold
    from utils.evaluation.models import find_models, is_frozen, open_model
    from utils.evaluation.rerank import rerank_blocks
    from utils.evaluation.similarity_histogram import similarity_chart
    from utils.evaluation.tables import ROWS, letters, print_camera_pairs, print_figures
    from utils.files import AtomicFile, real_path, write_json
    from utils.image_grid import write_png
    from utils.metrics import LabelledSet


def main(args):
    check_output_options(args)
    enable_memory_growth()
    paths = find_models([args.model] if isinstance(args.model, str) else args.model)
    if args.compare or args.embeddings:
        measure_images(args, paths[-1])
        return
    models = [open_model(path, args.image_size, args.untrained) for path in paths]
    query, gallery = open_test_set(args)

    # Each model embeds and ranks the same images.
    results = []
    labelled = []  # (queries, gallery) of each model, LabelledSets
    for letter, model in zip(letters(len(models)), models):
        with decode_errors_named([*query.paths, *gallery.paths]):
            query_set = embed_images(model, query, f"{letter} query".strip(), args.tta_flip)
            gallery_set = embed_images(model, gallery, f"{letter} gallery".strip(), args.tta_flip)
        try:
            figures = measure(args, query_set, gallery_set)
        except ValueError as error:
            raise InputError(
                f"{error}: check that {query.folder} and {gallery.folder} show the same people, "
                "each from two cameras or more (the camera is read from the file name, as in 0002_c1s1_000451_03.jpg)"
            ) from None
        results.append({"model": model.name, **model.about, **figures})
        labelled.append((query_set, gallery_set))
    query_embeddings = {model.name: query_set.embeddings for model, (query_set, _) in zip(models, labelled)}
    for model, result in list(zip(models, results))[1:]:
        result["against"] = compare(model, result, results, query_embeddings)

    # Output.
    print_figures(results, args.data_dir)
    if args.camera_pairs:
        for result in results:
            print_camera_pairs(result["model"], result["camera_pairs"])
    if args.json:
        content = results[0] if len(models) == 1 else {"models": results}
        write_json(args.json, {"data_dir": args.data_dir, **content})
    if args.ranked:
        draw_ranked(args, models[0].name, *labelled[0])
    if args.threshold:
        for model, sets in zip(models, labelled):
            if model.original is None or is_frozen(model.original):  # else pipeline.py takes that of the checkpoint
                measure_threshold(args, model, *sets)


def check_output_options(args) -> None:
    """InputError if --ranked or --threshold cannot be carried out, before minutes of work."""
    if args.threshold and args.untrained:
        raise InputError("--threshold belongs to a trained model: leave --untrained out")
    if args.ranked:
        if not args.ranked.lower().endswith(".png"):
            raise InputError(f"--ranked {args.ranked}: the image is written as PNG: use a name that ends in .png")
        if not real_path(args.ranked).parent.is_dir():
            raise InputError(f"--ranked {args.ranked}: there is no such folder: make it, or use another path")


def measure_images(args, path) -> None:
    """Carries out --compare and --embeddings with the model at `path`, which is the frozen one if one was named."""
    images = pairs.list_images(args.compare or args.embeddings[1:])
    if args.compare and len(images) < 2:
        raise InputError("--compare needs two images or more")
    model = open_model(path, args.image_size, args.untrained)
    detector = Detector(args.detect) if args.detect else None
    embeddings = pairs.embed_files(model, images, detector)  # (N, E)
    if args.embeddings:
        with AtomicFile(args.embeddings[0]) as path, open(path, "wb") as file:
            np.savez(file, paths=np.array(images), embeddings=embeddings)
        print(f"{len(images)} embeddings: {args.embeddings[0]}")
        return
    similarity = pairs.threshold_of(path)
    print("\n".join(pairs.describe_pairs(images, embeddings, similarity)))
    if similarity is None:
        print(f"{path} has no threshold: measure one with --threshold on a labelled set")
    else:
        print(f"threshold of {path}: {similarity:.3f}")


def open_test_set(args) -> tuple:
    """The query and gallery images of data_dir as two ImageDatasets, checked. InputError if they cannot be used."""
    query = open_split(args.data_dir, "query")
    gallery = open_split(args.data_dir, "test")
    query.require_cameras()
    gallery.require_cameras()
    if args.ranked:
        ranked.check_queries(args.ranked_queries, query.paths)
    check_images([*query.paths, *gallery.paths])
    dataset_checks.check_quickly(query=query, gallery=gallery)
    return query, gallery


def embed_images(model, data, desc, flip) -> LabelledSet:
    """The images of an ImageDataset with their embeddings; desc and flip as in Model.embed_paths."""
    embeddings = model.embed_paths(data.paths, desc, flip)  # (N, E)
    return LabelledSet(np.array(data.paths), embeddings, data.identities, data.cameras)


def measure(args, queries, gallery) -> dict:
    """The figures of one model as metrics.evaluate returns them; "rerank" holds those of --rerank."""
    figures = metrics.evaluate(queries, gallery, desc="figures")
    if args.rerank:
        settings = {"k1": args.k1, "k2": args.k2, "weight": args.rerank_weight}
        blocks = functools.partial(rerank_blocks, **settings, desc="re-ranking")
        figures["rerank"] = {**settings, **metrics.evaluate(queries, gallery, blocks, desc="re-ranking")}
    return figures


def draw_ranked(args, name, queries, gallery) -> None:
    """Writes the image of --ranked."""
    precisions = metrics.score_queries(queries, gallery).average_precision  # (Q,)
    chosen = ranked.choose_queries(args.ranked_queries, args.ranked_count, queries, precisions)
    rows = ranked.rank(queries, gallery, chosen, precisions)
    write_png(args.ranked, ranked.ranked_grid(rows, queries, gallery, f"{name} on {args.data_dir}"))
    print(f"{len(rows)} queries with their ranked results: {args.ranked}")


def measure_threshold(args, model, queries, gallery) -> None:
    """Prints the thresholds of one model, and writes them to a JSON file and an image.

    Those of a checkpoint are written beside it. The threshold of a frozen model goes into its manifest.
    """
    prefix = model.name
    same, different = threshold.pair_histograms(queries, gallery)
    figures = threshold.operating_points(same, different, args.threshold)
    rows = threshold.format_points(figures)
    print(f"\nsimilarity of two images from different cameras, {prefix} on {args.data_dir}")
    for label, value in rows:
        print(f"  {label:<30}{value}")
    title = "How similar are two images from different cameras?"
    image = similarity_chart(same, different, figures, rows, title, f"{prefix} on {args.data_dir}")
    if model.about["kind"] == "frozen":
        write_png(Path(prefix) / "threshold.png", image)
        origin = describe_threshold(figures["suggested_at"], args.data_dir)
        write_manifest(
            prefix, {**read_manifest(prefix, "reid"), "threshold": figures["threshold"], "threshold_from": origin}
        )
        print(f"written to {Path(prefix) / MANIFEST}, which demo.py reads, and threshold.png")
        return
    write_png(f"{prefix}{THRESHOLD_IMAGE_SUFFIX}", image)
    write_json(f"{prefix}{THRESHOLD_SUFFIX}", {"model": prefix, "data_dir": args.data_dir, **figures})
    reader = " (pipeline.py reads it)" if model.reid else ""  # pipeline.py refuses ID models
    print(f"written to {prefix}{THRESHOLD_SUFFIX}{reader} and {THRESHOLD_IMAGE_SUFFIX}")


def compare(model, result, results, embeddings) -> dict:
    """The gain of a model in points over its original, or over the first model if it has none.

    If it has an original, also the cosines between their embeddings of the queries. result: of this model; results: of
    all models; embeddings: {model name: (Q, E)} of the queries.
    """
    measured = {real_path(each["model"]): each for each in results}
    original = measured.get(real_path(model.original)) if model.original else None
    other = original or results[0]
    found = {"model": other["model"], **{key: result[key] - other[key] for _, key in ROWS}}
    if original:
        cosines = np.sum(embeddings[model.name] * embeddings[other["model"]], axis=1)  # (Q,)
        found.update(cosine_min=float(cosines.min()), cosine_mean=float(cosines.mean()))
    return found


if __name__ == "__main__":
    run_main(main, ARGS)
