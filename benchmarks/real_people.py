"""Measures on real pedestrians what a network has learned elsewhere: cuts people out of footage, and asks who is who
some seconds later.

    python3 -m benchmarks.real_people models/id/m0 models/reid/m0     run folders or checkpoints, as many as wanted
    python3 -m benchmarks.real_people models/reid/m0 --json real_people.json

The SSD detector finds people in each frame; boxes that overlap from frame to frame make a track, so that identity comes
from continuity alone and never from appearance, which is what is measured. Where two people could be mixed up (they
pass each other), the track ends; boxes that show two people are left out. Queries are the first second of each track,
the gallery is what comes later: at least --gap_seconds later for the query's own track.

  together  the gallery's other people are those that were in the picture at the same time as the query's person, so
            they are surely others
  all       every other track counts as another person. Someone who left and came back has two tracks (on vtest.avi 26
            tracks are a dozen people), so nobody can reach 100 % here: it asks for the same walk, and rewards what
            stays the same in a walk, such as direction and ground, which a re-id network learns to look through

For vtest.avi there also is a list of who is who, told apart by eye (benchmarks/footage.py). Every box is a query:

  by_eye    the gallery is everybody, at least --gap_seconds earlier or later
  again     the same without the query's own walk: to be known again after BACK_SECONDS and more out of sight, which
            mostly is behind other people, now and then out of the picture

Nothing is trained on the footage. Compared with: colour histograms of stripes (the classic that needs no learning),
and the network before any training. The crops of one track or person are no independent trials, so the standard errors
in the tables are those of tracks or people drawn anew; `ahead` is the difference to the histograms on the same queries.
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
    add("--video", default="models/downloads/vtest.avi", help="footage of people walking, one fixed camera")
    add("--detector", default="models/downloads/detector/saved_model",
        help="SavedModel of a COCO detector of the TensorFlow zoo's form")
    add("--gap_seconds", type=positive_float, default=2.0,
        help="pictures of the query's own walk count from so many seconds away, and by eye so do all others")
    add("--image_size", type=as_image_size, default=None, metavar="HxW",
        help="pixels, for checkpoints that came without their .json")
    add("--strips", default=None, metavar="FOLDER",
        help="also write one strip of pictures per track there, to see what was measured")
    add("--json", type=file_to_write, default=None, metavar="FILE", help="also write the figures there")
    add = parser.add_argument_group("tracks, for together and all").add_argument
    add("--min_score", type=fraction, default=0.5, help="detections below this score, 0 to 1, are dropped")
    add("--min_overlap", type=fraction, default=0.4, help="intersection over union by which a box continues a track")
    add("--alone", type=fraction, default=0.2,
        help="boxes that overlap another by more than this (intersection over union) show two people: no crop of them")
    add("--clear", type=fraction, default=0.5,
        help="a track ends where a second candidate overlaps by more than this share of the best")
    add("--query_seconds", type=positive_float, default=1.0, help="queries are taken from the first seconds of a track")
    add("--min_seconds", type=positive_float, default=3.0, help="shorter tracks are left out")
    add("--every", type=positive_int, default=2,
        help="every so many-th box of a track is used; neighbouring frames look alike")
    # fmt: on
    return parser.parse_args(argv)


ARGS = parse_args() if __name__ == "__main__" else None  # before TensorFlow is imported: --help answers at once

import cv2
import numpy as np
import tensorflow as tf

from benchmarks import footage
from benchmarks.footage import frames, link
from utils import checkpoint
from utils.boxes import iou
from utils.checkpoint_paths import find_checkpoint
from utils.deploy.detector import Detector
from utils.deploy.reid_net import crop_person
from utils.device import origin
from utils.evaluation.embed import BATCH, compile_embed, embed_batches
from utils.files import write_json
from utils.metrics import positive_ranks, score_query

CROP = (128, 64)  # pixels at which crops are kept for the histograms and the strips
BACK_SECONDS = 3.0  # out of sight for so long, somebody starts a new walk


# ---- tracks ----------------------------------------------------------------------------------------------------------


def detect(video, folder, min_score) -> list:
    """For each frame (N, 4) float32 boxes [ymin, xmin, ymax, xmax] in 0..1 of the people in it."""
    detector, found = Detector(folder, threshold=min_score, frozen=False), []
    for frame in frames(video):
        found.append(detector.detect(frame)[0])
        if len(found) % 200 == 0:
            print(f"  people looked for in {len(found)} frames", flush=True)
    return found


def crowded(box, boxes, alone) -> bool:
    """True where another of the frame's boxes overlaps `box` by more than `alone`."""
    return int((iou(box[None], boxes) > alone).sum()) > 1  # it overlaps itself


def collect(video, wanted) -> tuple:
    """wanted: [(frame, identity, box (4,))] -> list of N crops (h, w, 3) uint8 RGB, frames (N,), identities (N,)."""
    of_frame, crops = {}, [None] * len(wanted)
    for place, (frame, _, box) in enumerate(wanted):
        of_frame.setdefault(frame, []).append((place, box))
    for number, picture in enumerate(frames(video)):
        for place, box in of_frame.get(number, ()):
            crops[place] = crop_person(picture, box)
    return crops, np.array([frame for frame, _, _ in wanted]), np.array([identity for _, identity, _ in wanted])


# ---- what makes vectors of crops -------------------------------------------------------------------------------------


def scaled(crops, size) -> np.ndarray:
    """(N, H, W, 3) uint8, with the interpolation that the demo uses."""
    return np.stack([cv2.resize(crop, (size[1], size[0]), interpolation=cv2.INTER_LINEAR) for crop in crops])


def histograms(crops, stripes=8) -> np.ndarray:
    """(N, E) of norm 1: in each of 8 horizontal stripes hue x saturation (12 x 4) and value (12), the margins at both
    sides left out.

    Square roots make the dot product the Bhattacharyya coefficient, the usual measure between histograms.
    """
    vectors = []
    for picture in scaled(crops, CROP):
        hsv, parts = cv2.cvtColor(picture, cv2.COLOR_RGB2HSV), []
        for stripe in np.split(hsv[:, CROP[1] // 8 : -CROP[1] // 8], stripes):
            stripe = np.ascontiguousarray(stripe)
            parts.append(cv2.calcHist([stripe], [0, 1], None, [12, 4], [0, 180, 0, 256]).ravel())
            parts.append(cv2.calcHist([stripe], [2], None, [12], [0, 256]).ravel())
        vectors.append(np.sqrt(np.concatenate(parts)))
    vectors = np.array(vectors)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def network_vectors(crops, prefix, size, untrained) -> tuple:
    """((N, E) of norm 1, what the network is called)."""
    tf.keras.utils.set_random_seed(0)
    net, args = checkpoint.load_net(prefix, size, untrained=untrained)
    images = scaled(crops, args["image_size"])  # (N, H, W, 3) uint8
    batches = (images[start : start + BATCH] for start in range(0, len(images), BATCH))
    vectors = embed_batches(compile_embed(net), batches, len(images))  # (N, E)
    shape = f"width {args['width']:g}, {args['image_size'][0]}x{args['image_size'][1]}"
    return vectors, f"untrained network ({shape})" if untrained else str(prefix)


# ---- figures ---------------------------------------------------------------------------------------------------------


def later_in_the_walk(tracks_of, frames_of, early, gap, together=None):
    """Yields (query, its positives (N,) bool, its negatives (N,) bool) over the crops of walks.

    together (T, T) bool: tracks seen in one frame, or None to count every other track as another person.
    """
    for query in np.flatnonzero(early):
        own = tracks_of[query]
        negative = ~early & (tracks_of != own)
        if together is not None:
            negative &= together[own, tracks_of]
        yield query, ~early & (tracks_of == own) & (frames_of >= frames_of[query] + gap), negative


def at_another_time(people_of, walks_of, frames_of, gap, same_walk: bool):
    """The same over the crops of people told apart by eye: whoever is there `gap` frames before or after.

    same_walk: whether pictures of the query's own walk count, or only those of the person's other walks, earlier ones
    and later ones.
    """
    for query in range(len(people_of)):
        apart = np.abs(frames_of - frames_of[query]) >= gap
        if not same_walk:
            apart &= walks_of != walks_of[query]
        own = people_of == people_of[query]
        yield query, apart & own, apart & ~own


class Scores(NamedTuple):
    """Of Q queries, in percent: right at rank 1, right among the first 5, and average precision."""

    values: np.ndarray  # (Q, 3)
    identities: np.ndarray  # (Q,) of the queries
    candidates: float  # identities to choose from, on average


def score(vectors, identities, questions) -> Scores:
    """One method's scores. identities (N,): tracks or people; questions: what the two functions above yield.

    A query without a positive or without a negative does not count; an InputError where none counts.
    """
    values, asked, candidates = [], [], []
    for query, positive, negative in questions:
        if positive.any() and negative.any():
            similarity = vectors @ vectors[query]
            first, _, precision, _ = score_query(positive_ranks(similarity[positive], similarity[negative]))
            values.append((first < 1, first < 5, precision))
            asked.append(identities[query])
            candidates.append(1 + len(np.unique(identities[negative])))
    if not values:
        raise InputError(
            "no query has both another picture of the same person and one of somebody else to compare with: use longer "
            "footage or lower --gap_seconds"
        )
    return Scores(100 * np.array(values, float), np.array(asked), float(np.mean(candidates)))


def clustered_error(values, owners) -> float:
    """Standard error of the mean of values (Q,) whose owners (Q,) are drawn anew, each with all of its values."""
    names, owner = np.unique(owners, return_inverse=True)
    if len(names) < 2:
        return 0.0  # nothing is known of it
    sums = np.bincount(owner, values - values.mean())
    return float((len(names) / (len(names) - 1) * (sums**2).sum()) ** 0.5 / len(values))


def figures_of(scores: Scores, histograms: Scores) -> dict:
    """Means and their standard errors, also of the difference to the histograms on the same queries."""
    figures = {"queries": len(scores.values), "identities": len(np.unique(scores.identities))}
    figures["candidates"] = scores.candidates
    for name, own, theirs in zip(("rank1", "rank5", "mAP"), scores.values.T, histograms.values.T):
        figures[name], figures[f"{name}_error"] = float(own.mean()), clustered_error(own, scores.identities)
        figures[f"{name}_ahead"] = float((own - theirs).mean())
        figures[f"{name}_ahead_error"] = clustered_error(own - theirs, scores.identities)
    return figures


class Crops(NamedTuple):
    """N pictures of people, and the questions asked of them."""

    pictures: list  # of (h, w, 3) uint8 RGB
    identities: np.ndarray  # (N,) tracks or people
    questions: dict  # name of the protocol -> list of (query, positives (N,), negatives (N,))


def crops_of_walks(args, rate: float) -> Crops:
    """Of the people that the detector finds, with their tracks for identities."""
    detections = detect(args.video, args.detector, args.min_score)
    tracks = link(detections, args.min_overlap, args.clear)
    tracks = [track for track in tracks if track[-1][0] - track[0][0] >= args.min_seconds * rate]
    if len(tracks) < 2:
        raise InputError(
            f"{args.video} gives {len(tracks)} tracks of {args.min_seconds:g} s or more, and a comparison needs 2: "
            "lower --min_seconds"
        )
    wanted = [
        (frame, number, box)
        for number, track in enumerate(tracks)
        for frame, box in track[:: args.every]
        if not crowded(box, detections[frame], args.alone)
    ]
    pictures, frames_of, tracks_of = collect(args.video, wanted)
    seen = [{frame for frame, _ in track} for track in tracks]
    together = np.array([[bool(one & other) for other in seen] for one in seen])  # (T, T)
    starts = np.array([track[0][0] for track in tracks])
    early = frames_of - starts[tracks_of] < args.query_seconds * rate
    asked = tracks_of, frames_of, early, args.gap_seconds * rate
    questions = {"together": list(later_in_the_walk(*asked, together)), "all": list(later_in_the_walk(*asked))}
    print(f"{args.video}: {len(tracks)} tracks of {args.min_seconds:g} s or more, {len(pictures)} crops")
    return Crops(pictures, tracks_of, questions)


def crops_by_eye(args, rate: float) -> Crops:
    """Of the people of the sample footage that were told apart by eye."""
    people = footage.people_by_eye()
    wanted = [(frame, person, box) for frame, some in people.items() for person, box in some]
    pictures, frames_of, people_of = collect(args.video, wanted)
    walks_of = footage.walks_by_eye(people_of, frames_of, BACK_SECONDS * rate)
    asked = people_of, walks_of, frames_of, args.gap_seconds * rate
    questions = {
        "by_eye": list(at_another_time(*asked, same_walk=True)),
        "again": list(at_another_time(*asked, same_walk=False)),
    }
    print(f"{len(np.unique(people_of))} people told apart by eye, {walks_of.max() + 1} walks, {len(pictures)} crops")
    return Crops(pictures, people_of, questions)


def methods_of(prefixes, image_size, pictures):
    """Yields (name, (N, E) of norm 1) of each method over the pictures."""
    yield "colour histograms, 8 stripes", histograms(pictures)
    for number, prefix in enumerate(prefixes):
        for untrained in (True, False) if number == 0 else (False,):
            vectors, name = network_vectors(pictures, prefix, image_size, untrained)
            yield name, vectors


def show(protocol: str, methods) -> None:
    first = methods[0][protocol]
    print(
        f"\n{protocol}: {first['queries']} queries of {first['identities']}, "
        f"{first['candidates']:.1f} to choose from on average; standard errors in brackets"
    )
    print(f"{'method':<50}{'rank-1':>14}{'ahead':>14}{'mAP':>14}{'ahead':>14}")
    for method in methods:
        row = method[protocol]
        cells = [(row[name], row[f"{name}_error"]) for name in ("rank1", "rank1_ahead", "mAP", "mAP_ahead")]
        print(f"{method['name']:<50}" + "".join(f"{value:>7.1f} ({error:4.1f})" for value, error in cells))


def write_strips(crops, folder) -> None:
    """One picture per track, ten crops in a row, so that a reader can check that a track is one person."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    for track in np.unique(crops.identities):
        places = np.flatnonzero(crops.identities == track)
        chosen = places[np.linspace(0, len(places) - 1, 10).astype(int)]
        cv2.imwrite(
            str(Path(folder) / f"track_{track:03d}.png"),
            np.hstack(scaled([crops.pictures[place] for place in chosen], CROP))[..., ::-1],
        )


def main(args):
    for option, path in (("--video", args.video), ("--detector", args.detector)):
        if not Path(path).exists():
            raise InputError(f"{option} {path} does not exist: run bash setup.sh, or name the place")
    prefixes = [find_checkpoint(path) for path in args.checkpoints]  # before minutes of looking for people
    if args.strips and Path(args.strips).exists() and not Path(args.strips).is_dir():
        raise InputError(f"--strips {args.strips} is a file: name a folder")
    rate = footage.frame_rate(args.video)
    sources = [crops_of_walks(args, rate)]
    if Path(args.video).name == Path(footage.FOOTAGE).name:
        sources.append(crops_by_eye(args, rate))
    if args.strips:
        write_strips(sources[0], args.strips)
    methods = {}  # name -> figures of each protocol
    for crops in sources:
        histogram_scores = {}
        for name, vectors in methods_of(prefixes, args.image_size, crops.pictures):
            row = methods.setdefault(name, {"name": name})
            for protocol, questions in crops.questions.items():
                scores = score(vectors, crops.identities, questions)
                row[protocol] = figures_of(scores, histogram_scores.setdefault(protocol, scores))
    methods = list(methods.values())
    for protocol in [protocol for crops in sources for protocol in crops.questions]:
        show(protocol, methods)
    if args.json:
        report = {**origin(f"python3 {' '.join(sys.argv)}"), "video": args.video, "methods": methods}
        write_json(args.json, report)


if __name__ == "__main__":
    run_main(main, ARGS)
