"""What a model is measured on, anywhere and in any process: images and the float32 results of the original.

They are in check.npz:

re-id net  images (N, H, W, 3) uint8 RGB, embeddings (N, E) of norm 1
detector   images (N, h, w, 3) uint8 RGB, of frames in the size of the net; people (M, 6): the number of the frame,
           ymin, xmin, ymax, xmax in 0..1 and the score of each person with a score of at least CERTAIN

python3 -m utils.deploy.check FOLDER obj|reid CHECK.npz
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from utils.deploy.child import answer, run_child
from utils.deploy.detector import Detector
from utils.deploy.manifest import KINDS
from utils.deploy.parity import CERTAIN, OVERLAP_BOUND, check_parity, compare_detections, compare_embeddings
from utils.deploy.reid_net import Embedder
from utils.errors import InputError, first_line, run_main
from utils.options import make_parser

CHECK = "check.npz"
MODULE = "utils.deploy.check"
SECONDS = 600
# An engine of TF-TRT that cannot run is an error while it is measured, and not replaced by what it was made from.
STRICT = {"TF_TRT_ALLOW_ENGINE_NATIVE_SEGMENT_EXECUTION": "0"}


def parse_args(argv=None):
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("folder", help="folder of the frozen model")
    add("kind", choices=sorted(KINDS), help="what it is")
    add("check", help="check.npz to measure it by")
    return parser.parse_args(argv)


def write_embeddings(folder, images: np.ndarray, embeddings: np.ndarray) -> None:
    """Writes check.npz of a re-id net into its folder."""
    np.savez_compressed(Path(folder) / CHECK, images=images, embeddings=embeddings)


def write_people(folder, images: np.ndarray, people: list) -> None:
    """Writes check.npz of a detector; people: (boxes (N, 4), scores (N,)) per image."""
    rows = [np.zeros((0, 6), np.float32)]
    for number, (boxes, scores) in enumerate(people):
        rows.append(np.column_stack([np.full(len(boxes), number), boxes, scores]).astype(np.float32))
    np.savez_compressed(Path(folder) / CHECK, images=images, people=np.concatenate(rows))


def measure(folder, kind: str, check) -> dict:
    """The parity of the frozen model in `folder` with the results in `check`, the path of a check.npz.

    Every batch size of a re-id net is measured. InputError if the check does not fit the model.
    """
    try:
        with np.load(check) as arrays:
            images = arrays["images"]
            wanted = arrays["embeddings" if kind == "reid" else "people"]
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{check} cannot be read ({first_line(error)}): write it again with --onnx") from None
    if kind == "reid":
        embedder = Embedder(folder)
        if images.shape[1:] != (*embedder.image_size, 3) or wanted.shape != (len(images), embedder.embedding_size):
            raise InputError(f"{check} is of another model than {folder}: write both again with --onnx")
        found = [embedder.embed_by(size, images) for size in embedder.batches]
        parity = compare_embeddings(np.concatenate([wanted] * len(found)), np.concatenate(found))
        return {**parity, "images": len(images)}
    detector = Detector(folder)
    people = [(rows[:, 1:5], rows[:, 5]) for rows in (wanted[wanted[:, 0] == number] for number in range(len(images)))]
    return compare_detections(people, [detector.find(image[..., ::-1], CERTAIN / 2) for image in images])


def measure_in_child(folder, kind: str, check) -> dict:
    """As measure, in a process of its own, so that this one needs no GPU; {"error": why} if that fails."""
    places = [str(Path(path).resolve()) for path in (folder, check)]
    return run_child(MODULE, [places[0], kind, places[1]], SECONDS, environment=STRICT)


def require(parity: dict, kind: str, min_parity: float, consequence: str = "") -> dict:
    """The bound for a kind of model, after check_parity; min_parity: the smallest cosine of a re-id net."""
    bound = {"min": min_parity} if kind == "reid" else OVERLAP_BOUND
    check_parity(parity, bound, consequence)
    return bound


def main(args) -> None:
    answer(measure(args.folder, args.kind, args.check))


if __name__ == "__main__":
    run_main(main, parse_args())
