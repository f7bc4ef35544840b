"""Tests networks trained elsewhere on real pedestrians: crops people from a video, and searches them in that video.

    python3 -m benchmarks.real_people models/id/m0 models/reid/m0     any number of run folders or checkpoints
    python3 -m benchmarks.real_people models/reid/m0 --json real_people.json

An SSD detector finds the people in each frame. Boxes that overlap from frame to frame form a track, so identity comes
from continuity alone and never from appearance, which is what is measured. A track ends where two people could be mixed
up, and boxes that show two people are left out. The queries are the first second of each track, the gallery is what
comes later; images of the query's own track count only if they are at least --gap_seconds later.

  together  the negatives are people who were in a frame with the query's person, so they are certainly others
  all       every other track counts as another person. A person who leaves and comes back has two tracks (vtest.avi
            has 26 tracks of a dozen people), so 100 % is out of reach. Methods gain from what is constant within a
            track, such as direction and background, which a re-id network learns to ignore

For vtest.avi there is also a manual annotation (benchmarks/footage.py). Every annotated box is a query:

  by_eye    the gallery is everything that is at least --gap_seconds earlier or later
  again     the same without the query's own walk, so the person must be recognised after BACK_SECONDS or more out of
            sight, mostly behind other people

Nothing is trained on the video. The baselines are colour histograms of horizontal stripes, which need no learning, and
the untrained network. Crops of one track or person are not independent, so standard errors are clustered by track or
person. The columns `ahead` are the lead over the histograms on the same queries.
"""

import sys
from pathlib import Path
from typing import NamedTuple

from utils.errors import InputError, run_main
from utils.options import as_image_size, file_to_write, fraction, make_parser, positive_float, positive_int


def parse_args(argv=None):
    parser = make_parser(__doc__)
    add = parser.add_argument
    # fmt: off
    add("checkpoints", nargs="*",
        help="ID or re-id checkpoints or run folders; without any, only the histograms are measured")
    add("--video", default="models/downloads/vtest.avi", help="video of people walking, from one fixed camera")
    add("--detector", default="models/downloads/detector/saved_model",
        help="SavedModel of a COCO detector with the signature of TensorFlow's detection zoo")
    add("--gap_seconds", type=positive_float, default=2.0,
        help="smallest time in seconds between a query and its positives; in by_eye and again also its negatives")
    add("--image_size", type=as_image_size, default=None, metavar="HxW",
        help="pixels; only for checkpoints that were copied without their .json")
    add("--strips", default=None, metavar="FOLDER",
        help="also write one strip of crops per track to this folder, to check the tracks")
    add("--json", type=file_to_write, default=None, metavar="FILE", help="write the figures to this file as well")
    add = parser.add_argument_group("tracks, for together and all").add_argument
    add("--min_score", type=fraction, default=0.5, help="smallest score of a detection, 0 to 1")
    add("--min_overlap", type=fraction, default=0.4,
        help="smallest intersection over union with the predicted box to continue a track, 0 to 1")
    add("--alone", type=fraction, default=0.2,
        help="largest intersection over union with another box, 0 to 1; boxes above it may show two people and are not "
             "cropped")
    add("--clear", type=fraction, default=0.5,
        help="a track ends where a second box has more than this share of the best overlap, 0 to 1")
    add("--query_seconds", type=positive_float, default=1.0, help="seconds at the start of a track that are queries")
    add("--min_seconds", type=positive_float, default=3.0, help="shortest track that is used, in seconds")
    add("--every", type=positive_int, default=2,
        help="use one of this many boxes of a track, because neighbouring frames look alike")
    # fmt: on
    return parser.parse_args(argv)


ARGS = parse_args() if __name__ == "__main__" else None  # before TensorFlow is imported: --help answers at once

import cv2
import numpy as np
import tensorflow as tf

from benchmarks import footage
from benchmarks.searches import figures_of, score, search_later, search_other_times
from utils import checkpoint
from utils.boxes import iou
from utils.checkpoint_paths import find_checkpoint
from utils.deploy.detector import Detector
from utils.deploy.reid_net import crop_person
from utils.device import origin
from utils.embed import compile_embed, embed_batches
from utils.files import write_json
from utils.image_grid import write_png
from utils.metrics import row_blocks
from utils.progress import Progress

CROP_SIZE = (128, 64)  # height and width of crops in histograms and strips, pixels
BACK_SECONDS = 3.0  # out of sight for longer, a person starts a new walk


class Crops(NamedTuple):
    """N crops of people, and the searches among them."""

    images: list  # of (h, w, 3) uint8 RGB
    identities: np.ndarray  # (N,) tracks or people
    searches: dict  # name of the protocol -> list of (query, positives (N,) bool, negatives (N,) bool)


# ---- crops -----------------------------------------------------------------------------------------------------------


def detect(video, folder, min_score) -> list:
    """The people in each frame, (N, 4) float32 boxes [ymin, xmin, ymax, xmax] in 0..1."""
    detector = Detector(folder, threshold=min_score, frozen=False)
    progress = Progress("detected people in", footage.frame_count(video) or 0, "frames")
    found = []
    for frame in footage.frames(video):
        found.append(detector.detect(frame)[0])
        progress.add()
    return found


def is_crowded(box, boxes, alone) -> bool:
    """True if another one of the frame's boxes overlaps `box` by more than `alone`."""
    return int((iou(box[None], boxes) > alone).sum()) > 1  # a box overlaps itself


def collect(video, wanted) -> tuple:
    """Crops [(frame, identity, box (4,))] from a video: N images (h, w, 3) uint8 RGB, frames (N,), identities (N,)."""
    by_frame = {}
    for index, (frame, _, box) in enumerate(wanted):
        by_frame.setdefault(frame, []).append((index, box))
    images = [None] * len(wanted)
    for number, frame in enumerate(footage.frames(video)):
        for index, box in by_frame.get(number, ()):
            images[index] = crop_person(frame, box)
    return images, np.array([frame for frame, _, _ in wanted]), np.array([identity for _, identity, _ in wanted])


def crops_of_tracks(args, fps: float) -> Crops:
    """Crops of the people that the detector finds; the identities are tracks."""
    detections = detect(args.video, args.detector, args.min_score)
    tracks = footage.link(detections, args.min_overlap, args.clear)
    tracks = [track for track in tracks if track[-1][0] - track[0][0] >= args.min_seconds * fps]
    if len(tracks) < 2:
        raise InputError(
            f"{args.video} has {len(tracks)} tracks of {args.min_seconds:g} s or more, and a comparison needs 2: "
            "decrease --min_seconds"
        )
    wanted = [
        (frame, number, box)
        for number, track in enumerate(tracks)
        for frame, box in track[:: args.every]
        if not is_crowded(box, detections[frame], args.alone)
    ]
    images, frames, identities = collect(args.video, wanted)
    seen = [{frame for frame, _ in track} for track in tracks]
    together = np.array([[bool(one & other) for other in seen] for one in seen])  # (T, T)
    starts = np.array([track[0][0] for track in tracks])
    early = frames - starts[identities] < args.query_seconds * fps
    gap = args.gap_seconds * fps
    searches = {
        "together": list(search_later(identities, frames, early, gap, together)),
        "all": list(search_later(identities, frames, early, gap)),
    }
    print(f"{args.video}: {len(tracks)} tracks of {args.min_seconds:g} s or more, {len(images)} crops")
    return Crops(images, identities, searches)


def crops_by_eye(args, fps: float) -> Crops:
    """Crops of the annotated people of the sample video."""
    people = footage.people_by_eye()
    wanted = [(frame, person, box) for frame, boxes in people.items() for person, box in boxes]
    images, frames, identities = collect(args.video, wanted)
    walks = footage.walks_by_eye(identities, frames, BACK_SECONDS * fps)
    gap = args.gap_seconds * fps
    searches = {
        "by_eye": list(search_other_times(identities, walks, frames, gap, same_walk=True)),
        "again": list(search_other_times(identities, walks, frames, gap, same_walk=False)),
    }
    print(f"{len(np.unique(identities))} annotated people, {walks.max() + 1} walks, {len(images)} crops")
    return Crops(images, identities, searches)


# ---- methods ---------------------------------------------------------------------------------------------------------


def resize_all(crops, size) -> np.ndarray:
    """(N, H, W, 3) uint8, with the interpolation that the demo uses."""
    return np.stack([cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_LINEAR) for image in crops])


def histograms(crops, stripes=8) -> np.ndarray:
    """(N, E) of norm 1: histograms of hue x saturation (12 x 4) and of value (12) in each horizontal stripe.

    The margins at both sides are left out. The dot product of square roots is the Bhattacharyya coefficient, the usual
    similarity of histograms.
    """
    vectors = []
    margin = CROP_SIZE[1] // 8
    for image in resize_all(crops, CROP_SIZE):
        hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
        parts = []
        for stripe in np.split(hsv[:, margin:-margin], stripes):
            stripe = np.ascontiguousarray(stripe)
            parts.append(cv2.calcHist([stripe], [0, 1], None, [12, 4], [0, 180, 0, 256]).ravel())
            parts.append(cv2.calcHist([stripe], [2], None, [12], [0, 256]).ravel())
        vectors.append(np.sqrt(np.concatenate(parts)))
    vectors = np.array(vectors)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def embed_crops(crops, prefix, image_size, untrained) -> tuple:
    """The embeddings of a checkpoint, (N, E) of norm 1, and its name in the tables."""
    tf.keras.utils.set_random_seed(0)
    net, options = checkpoint.load_net(prefix, image_size, untrained=untrained)
    height, width = options["image_size"]
    images = resize_all(crops, (height, width))  # (N, H, W, 3) uint8
    batches = (images[rows] for rows in row_blocks(len(images)))
    vectors = embed_batches(compile_embed(net), batches, len(images))  # (N, E)
    name = f"untrained network (width {options['width']:g}, {height}x{width})" if untrained else str(prefix)
    return vectors, name


def methods_of(prefixes, image_size, crops):
    """Yields (name, (N, E) of norm 1) of each method; the untrained network has the shape of the first checkpoint."""
    yield "colour histograms, 8 stripes", histograms(crops)
    for number, prefix in enumerate(prefixes):
        if number == 0:
            vectors, name = embed_crops(crops, prefix, image_size, untrained=True)
            yield name, vectors
        vectors, name = embed_crops(crops, prefix, image_size, untrained=False)
        yield name, vectors


# ---- output ----------------------------------------------------------------------------------------------------------


def print_table(protocol: str, methods) -> None:
    """Prints the figures of all methods for one protocol; methods: dicts as main makes them."""
    first = methods[0][protocol]
    print(
        f"\n{protocol}: {first['queries']} queries of {first['identities']} identities, "
        f"{first['candidates']:.1f} to choose from on average; standard errors in brackets"
    )
    print(f"{'method':<50}{'rank-1':>14}{'ahead':>14}{'mAP':>14}{'ahead':>14}")
    for method in methods:
        row = method[protocol]
        cells = [(row[name], row[f"{name}_error"]) for name in ("rank1", "rank1_ahead", "mAP", "mAP_ahead")]
        print(f"{method['name']:<50}" + "".join(f"{value:>7.1f} ({error:4.1f})" for value, error in cells))


def write_strips(crops: Crops, folder) -> None:
    """Writes one image per track with ten of its crops in a row."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    for track in np.unique(crops.identities):
        members = np.flatnonzero(crops.identities == track)
        chosen = members[np.linspace(0, len(members) - 1, 10).astype(int)]
        strip = np.hstack(resize_all([crops.images[index] for index in chosen], CROP_SIZE))
        write_png(Path(folder) / f"track_{track:03d}.png", strip)


def main(args):
    for option, path in (("--video", args.video), ("--detector", args.detector)):
        if not Path(path).exists():
            raise InputError(f"{option} {path} does not exist: run bash setup.sh, or name another path")
    if args.strips and Path(args.strips).exists() and not Path(args.strips).is_dir():
        raise InputError(f"--strips {args.strips} is a file: name a folder")
    prefixes = [find_checkpoint(path) for path in args.checkpoints]
    fps = footage.frame_rate(args.video)
    sources = [crops_of_tracks(args, fps)]
    if Path(args.video).name == Path(footage.FOOTAGE).name:
        sources.append(crops_by_eye(args, fps))
    if args.strips:
        write_strips(sources[0], args.strips)
    methods = {}  # name -> its figures for each protocol
    for crops in sources:
        baselines = {}  # protocol -> Scores of the histograms, which are the first method
        for name, vectors in methods_of(prefixes, args.image_size, crops.images):
            row = methods.setdefault(name, {"name": name})
            for protocol, searches in crops.searches.items():
                scores = score(vectors, crops.identities, searches)
                row[protocol] = figures_of(scores, baselines.setdefault(protocol, scores))
    rows = list(methods.values())
    for crops in sources:
        for protocol in crops.searches:
            print_table(protocol, rows)
    if args.json:
        write_json(args.json, {**origin(f"python3 {' '.join(sys.argv)}"), "video": args.video, "methods": rows})


if __name__ == "__main__":
    run_main(main, ARGS)
