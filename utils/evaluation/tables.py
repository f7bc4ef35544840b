"""What test_reid.py prints: the figures of one model, or of several in columns, and rank-1 from camera to camera."""

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
WIDTH, NARROW = 14, 11  # characters of a column


def letters(count: int) -> list:
    """What several models are called in columns: A, B, ..., Z, A1, ...; one model needs no name."""
    names = [letter + number for number in ("", *string.digits[1:]) for letter in string.ascii_uppercase]
    return names[:count] if count > 1 else [""]


def print_figures(results: list, data_dir) -> None:
    """results: a dict a model as test_reid.py makes it, the figures of metrics.evaluate among its items."""
    several, names = len(results) > 1, letters(len(results))
    figures = results[0]  # what is counted is the same for all
    print(f"\n{len(results)} models on {data_dir}" if several else f"\n{figures['model']} on {data_dir}")
    print(
        f"{figures['queries']} queries ({figures['unmatched']} without a match in another camera, "
        "left out of all figures), "
        f"gallery of {figures['gallery']} with {figures['distractors']} distractors, {figures['junk']} junk ignored"
    )
    if several:
        for name, result in zip(names, results):
            print(f"  {name}  {result['model']}: {described(result)}")
    elif figures["kind"] == "frozen":
        print(f"{described(figures)}; what it was frozen from is not here to compare with")
    columns = []
    for name, result in zip(names, results):
        columns.append((name, result))
        if "rerank" in result:
            columns.append((f"{name} re-ranked".strip(), result["rerank"]))
    if len(columns) > 1:
        print(" " * 30 + "".join(f"{head:>{WIDTH}}" for head, _ in columns))
    for label, key in ROWS:
        cells = [f"{column[key]:.2f} %" for _, column in columns]
        print(f"  {label:<28}" + "".join(f"{cell:>{WIDTH}}" for cell in cells))
    for name, result in list(zip(names, results))[1:]:
        against = result["against"]
        other = names[[each["model"] for each in results].index(against["model"])]
        print(f"  {name} less {other}: {difference(against)}")


def described(result) -> str:
    height, width = result["image_size"]
    if result["kind"] == "checkpoint":
        return f"checkpoint, {height}x{width} pixels, read as in training"
    engine = "TF-TRT" if result["engine"] == "tf-trt" else "TensorFlow graph"
    return f"frozen, {engine} in {result['precision']}, {height}x{width} pixels, read and resized as in demo.py"


def difference(against) -> str:
    """The item "against" of a result in words."""
    words = f"rank-1 {against['rank1']:+.2f}, mAP {against['mAP']:+.2f} points"
    if "cosine_min" in against:
        words += f"; queries embedded to a cosine of {against['cosine_min']:.6f} at least"
        words += f", {against['cosine_mean']:.6f} in the mean"
    return words


def print_camera_pairs(name: str, pairs: list) -> None:
    """pairs: as metrics.evaluate returns them. A cell is rank-1 in percent and in brackets how many queries asked."""
    asking = sorted({pair["query_camera"] for pair in pairs})
    other = sorted({pair["gallery_camera"] for pair in pairs})
    cells = {(pair["query_camera"], pair["gallery_camera"]): pair for pair in pairs}
    print(f"\nrank-1 in one camera's pictures alone, % (queries){': ' if name else ''}{name}")
    print(f"  {'asked from':<12}" + "".join(f"{f'camera {camera}':>{NARROW}}" for camera in other))
    for camera in asking:
        line = f"  {f'camera {camera}':<12}"
        for gallery_camera in other:
            pair = cells.get((camera, gallery_camera))
            cell = f"{pair['rank1']:.1f} ({pair['queries']})" if pair else "-"
            line += f"{cell:>{NARROW}}"
        print(line)
