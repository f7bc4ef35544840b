"""The tables of test_reid.py: the figures of one model or of several side by side, and rank-1 between cameras."""

from __future__ import annotations

import string

ROWS = (
    ("rank-1", "rank1"),
    ("rank-5", "rank5"),
    ("rank-10", "rank10"),
    ("rank-20", "rank20"),
    ("mAP (Market-1501, trapezoid)", "mAP"),
    ("mAP (step)", "mAP_step"),
    ("mINP", "mINP"),
)
LABEL_WIDTH = 28  # characters of the first column
FIGURE_WIDTH = 14  # characters of a column of figures
CAMERA_WIDTH = 14  # characters of a column of a camera


def letters(count: int) -> list:
    """Short names for the columns of several models: A, B, ..., Z, A1, ..., Z9. A single model has an empty name."""
    if count == 1:
        return [""]
    names = [letter + number for number in ("", *string.digits[1:]) for letter in string.ascii_uppercase]
    return names[:count]


def print_figures(results: list, data_dir) -> None:
    """Prints the figures of all models, one column per model.

    results: one dict per model with the figures of metrics.evaluate and the keys that test_reid.py adds.
    """
    names = letters(len(results))
    counts = results[0]  # the test set is the same for all models
    title = f"{len(results)} models" if len(results) > 1 else counts["model"]
    print(f"\n{title} on {data_dir}")
    print(
        f"{counts['queries']} queries ({counts['unmatched']} without a match in another camera, "
        "left out of all figures), "
        f"gallery of {counts['gallery']} with {counts['distractors']} distractors, {counts['junk']} junk ignored"
    )
    if len(results) > 1:
        for name, result in zip(names, results):
            print(f"  {name}  {result['model']}: {describe_model(result)}")
    elif counts["kind"] == "frozen":
        print(f"{describe_model(counts)}; its original is not there to compare with")
    print_columns(names, results)
    paths = [result["model"] for result in results]
    for name, result in list(zip(names, results))[1:]:
        other = names[paths.index(result["against"]["model"])]
        print(f"  {name} minus {other}: {describe_difference(result['against'])}")


def print_columns(names: list, results: list) -> None:
    """Prints ROWS of all models; a re-ranked model has a second column."""
    columns = []
    for name, result in zip(names, results):
        columns.append((name, result))
        if "rerank" in result:
            columns.append((f"{name} re-ranked".strip(), result["rerank"]))
    if len(columns) > 1:
        print(" " * (LABEL_WIDTH + 2) + "".join(f"{head:>{FIGURE_WIDTH}}" for head, _ in columns))
    for label, key in ROWS:
        cells = [f"{figures[key]:.2f} %" for _, figures in columns]
        print(f"  {label:<{LABEL_WIDTH}}" + "".join(f"{cell:>{FIGURE_WIDTH}}" for cell in cells))


def describe_model(result) -> str:
    """Kind, engine and image size of a model as text."""
    height, width = result["image_size"]
    if result["kind"] == "checkpoint":
        return f"checkpoint, {height}x{width} pixels, images read as in training"
    engine = "TF-TRT" if result["engine"] == "tf-trt" else "TensorFlow graph"
    return f"frozen, {engine} in {result['precision']}, {height}x{width} pixels, images read as in demo.py"


def describe_difference(against) -> str:
    """The item "against" of a result as text."""
    text = f"rank-1 {against['rank1']:+.2f}, mAP {against['mAP']:+.2f} points"
    if "cosine_min" in against:
        text += f"; cosines of the query embeddings: at least {against['cosine_min']:.6f}"
        text += f", mean {against['cosine_mean']:.6f}"
    return text


def print_camera_pairs(name: str, pairs: list) -> None:
    """Prints rank-1 in percent from each camera to each other one, with the number of queries in brackets.

    pairs: camera_pairs of metrics.evaluate.
    """
    query_cameras = sorted({pair["query_camera"] for pair in pairs})
    gallery_cameras = sorted({pair["gallery_camera"] for pair in pairs})
    by_cameras = {(pair["query_camera"], pair["gallery_camera"]): pair for pair in pairs}
    print(f"\nrank-1 between cameras, % (queries): {name}")
    print(f"  {'query':<12}" + "".join(f"{f'camera {camera}':>{CAMERA_WIDTH}}" for camera in gallery_cameras))
    for query_camera in query_cameras:
        line = f"  {f'camera {query_camera}':<12}"
        for gallery_camera in gallery_cameras:
            pair = by_cameras.get((query_camera, gallery_camera))
            cell = f"{pair['rank1']:.1f} ({pair['queries']})" if pair else "-"
            line += f"{cell:>{CAMERA_WIDTH}}"
        print(line)
