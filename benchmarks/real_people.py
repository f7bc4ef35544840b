"""Measures on real pedestrians what a network has learned elsewhere: cuts people out of footage, and asks who is who
some seconds later.

    python3 benchmarks/real_people.py models/id/m0 models/reid/m0     run folders or checkpoints, as many as wanted
    python3 benchmarks/real_people.py models/reid/m0 --json real_people.json

The SSD detector finds people in each frame; boxes that overlap from frame to frame make a track. So identity comes
from continuity alone and never from appearance, which is what is measured. Where two people could be mixed up (they
pass each other), the track ends; boxes that show two people are left out. Queries are the first second of each track,
the gallery is what comes later: at least --gap_seconds later for the query's own track. Two figures for each method:

  together  the gallery's other people are those that were in the picture at the same time as the query's person, so
            they are surely others
  all       every other track counts as another person. Someone who left and came back has two tracks (on vtest.avi 26
            tracks are a dozen people), so nobody can reach 100 % here: it asks for the same walk, and rewards what
            stays the same in a walk, such as direction and ground, which a re-id network learns to look through

Nothing is trained on the footage. Compared with: colour histograms of stripes (the classic that needs no learning),
and the network before any training. Differences of a few points are noise: the
table tells the standard error.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from utils.options import InputError, fraction, image_size, parser, positive_float, positive_int, run_main  # noqa: E402


def parse_args(argv=None):
    options = parser(__doc__)
    add = options.add_argument
    # fmt: off
    add("checkpoints", nargs="*",
        help="ID or re-id checkpoints or run folders; without any, only the histograms are measured")
    add("--video", default="models/downloads/vtest.avi", help="footage of people walking, one fixed camera")
    add("--detector", default="models/downloads/detector/saved_model",
        help="SavedModel of a COCO detector of the TensorFlow zoo's form")
    add("--min_score", type=fraction, default=0.5, help="detections below this score, 0 to 1, are dropped")
    add("--min_overlap", type=fraction, default=0.4, help="intersection over union by which a box continues a track")
    add("--alone", type=fraction, default=0.2,
        help="boxes that overlap another by more than this (intersection over union) show two people: no crop of them")
    add("--clear", type=fraction, default=0.5,
        help="a track ends where a second candidate overlaps by more than this share of the best")
    add("--query_seconds", type=positive_float, default=1.0, help="queries are taken from the first seconds of a track")
    add("--gap_seconds", type=positive_float, default=2.0,
        help="the query's own track counts from so many seconds after the query")
    add("--min_seconds", type=positive_float, default=3.0, help="shorter tracks are left out")
    add("--every", type=positive_int, default=2,
        help="every so many-th box of a track is used; neighbouring frames look alike")
    add("--image_size", type=image_size, default=None, metavar="HxW",
        help="pixels, for checkpoints that came without their .json")
    add("--crops", default=None, metavar="FOLDER",
        help="also write one strip of pictures per track there, to see what was measured")
    add("--json", default=None, metavar="FILE", help="also write the figures there")
    # fmt: on
    return options.parse_args(argv)


ARGS = parse_args() if __name__ == "__main__" else None  # before TensorFlow is imported: --help answers at once

import cv2  # noqa: E402
import numpy as np  # noqa: E402

from utils.device import origin  # noqa: E402
from utils.metrics import positive_ranks, score_query  # noqa: E402

CROP = (128, 64)  # pixels at which crops are kept for the histograms and the strips


# ---- tracks ----------------------------------------------------------------------------------------------------------


def frames(video):
    """Yields (H, W, 3) uint8 BGR; InputError if there is not a single frame."""
    capture, count = cv2.VideoCapture(str(video)), 0
    while True:
        there, frame = capture.read()
        if not there:
            break
        count += 1
        yield frame
    capture.release()
    if not count:
        raise InputError(
            f"--video {video} can't be read as video: run bash setup.sh for the sample footage, or name a file that "
            "OpenCV can decode"
        )


def detect(video, folder, min_score) -> list:
    """For each frame (N, 4) float32 boxes [ymin, xmin, ymax, xmax] in 0..1 of the people in it."""
    from utils.detector import Detector

    detector, found = Detector(folder, threshold=min_score, frozen=False), []
    for frame in frames(video):
        found.append(detector.detect(frame)[0])
        if len(found) % 200 == 0:
            print(f"  people looked for in {len(found)} frames", flush=True)
    return found


def overlap(boxes, others) -> np.ndarray:
    """(N, 4), (M, 4) -> (N, M) intersection over union."""
    low, high = np.maximum(boxes[:, None, :2], others[None, :, :2]), np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(-1)
    area, other_area = (boxes[:, 2:] - boxes[:, :2]).prod(-1), (others[:, 2:] - others[:, :2]).prod(-1)
    return shared / np.maximum(area[:, None] + other_area[None] - shared, 1e-9)


def expected(track, frame) -> np.ndarray:
    """(4,) where the track's box should be in this frame if it goes on as in its last six boxes."""
    (last, box), (first, before) = track[-1], track[max(0, len(track) - 6)]
    return box + (box - before) / max(1, last - first) * (frame - last)


def link(detections, min_overlap, clear, patience=3) -> list:
    """Tracks, each a list of (frame, (4,) box). A track ends when it is lost for more than `patience` frames or no
    longer unmistakable.
    """
    ended, alive = [], []
    for frame, boxes in enumerate(detections):
        ended += [track for track in alive if frame - track[-1][0] > patience]
        alive = [track for track in alive if frame - track[-1][0] <= patience]
        free, going_on = np.ones(len(boxes), bool), []
        if alive and len(boxes):
            shared = overlap(np.array([expected(track, frame) for track in alive]), boxes)  # (T, N)
            for row, track in enumerate(alive):
                best = int(shared[row].argmax())
                if shared[row, best] < min_overlap:
                    going_on.append(track)  # not seen in this frame
                    continue
                rivals = np.append(np.delete(shared[row], best), np.delete(shared[:, best], row))
                if (rivals > clear * shared[row, best]).any():
                    ended.append(track)
                else:
                    track.append((frame, boxes[best]))
                    free[best] = False
                    going_on.append(track)
            alive = going_on
        alive += [[(frame, box)] for box in boxes[free]]
    return ended + alive


def cut(frame, box) -> np.ndarray:
    """The box's part of a frame (H, W, 3) BGR as RGB."""
    height, width = frame.shape[:2]
    top, left, bottom, right = (int(round(value)) for value in box * [height, width, height, width])
    return np.ascontiguousarray(frame[max(0, top) : max(top + 2, bottom), max(0, left) : max(left + 2, right), ::-1])


def crowded(box, boxes, alone) -> bool:
    """True where another of the frame's boxes overlaps `box` by more than `alone`."""
    return int((overlap(box[None], boxes) > alone).sum()) > 1  # it overlaps itself


def collect(video, tracks, detections, every, alone) -> tuple:
    """Crops of all tracks: list of (h, w, 3) uint8 RGB in track order, track numbers (N,), frame numbers (N,)."""
    wanted = [
        (number, frame, box)
        for number, track in enumerate(tracks)
        for frame, box in track[::every]
        if not crowded(box, detections[frame], alone)
    ]
    of_frame, crops = {}, [None] * len(wanted)
    for place, (_, frame, box) in enumerate(wanted):
        of_frame.setdefault(frame, []).append((place, box))
    for frame_number, frame in enumerate(frames(video)):
        for place, box in of_frame.get(frame_number, ()):
            crops[place] = cut(frame, box)
    return crops, np.array([number for number, _, _ in wanted]), np.array([frame for _, frame, _ in wanted])


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
    import tensorflow as tf

    from utils import checkpoint

    tf.keras.utils.set_random_seed(0)
    net, args = checkpoint.load_net(prefix, size, untrained=untrained)
    embed = tf.function(lambda images: net(images, training=False))
    pictures = scaled(crops, args["image_size"])
    vectors = np.concatenate(
        [embed(tf.constant(pictures[start : start + 64])).numpy() for start in range(0, len(pictures), 64)]
    )
    shape = f"width {args['width']:g}, {args['image_size'][0]}x{args['image_size'][1]}"
    return vectors, f"untrained network ({shape})" if untrained else str(prefix)


# ---- figures ---------------------------------------------------------------------------------------------------------


def measure(vectors, tracks_of, frames_of, early, together, gap) -> dict:
    """One method's figures. together (T, T) bool: tracks seen in one frame, or None to count every other track as
    another person.
    """
    scores, owners, people = [], [], []
    for query in np.flatnonzero(early):
        own = tracks_of[query]
        positive = ~early & (tracks_of == own) & (frames_of >= frames_of[query] + gap)
        negative = ~early & (tracks_of != own)
        if together is not None:
            negative &= together[own, tracks_of]
        if positive.any() and negative.any():
            similarity = vectors @ vectors[query]
            first, _, precision, _ = score_query(positive_ranks(similarity[positive], similarity[negative]))
            scores.append((first < 1, first < 5, precision))
            owners.append(own)
            people.append(1 + len(np.unique(tracks_of[negative])))
    if not scores:
        raise InputError(
            "no query has both a later picture of its own track and another track to compare with: use longer footage "
            "or lower --min_seconds"
        )
    scores, owners = 100 * np.array(scores, float), np.array(owners)
    of_track = np.array(
        [scores[owners == own, 0].mean() for own in np.unique(owners)]
    )  # neighbouring frames are no independent trials
    return dict(
        rank1=scores[:, 0].mean(),
        rank5=scores[:, 1].mean(),
        mAP=scores[:, 2].mean(),
        rank1_error=of_track.std() / len(of_track) ** 0.5,
        queries=len(scores),
        identities=len(of_track),
        candidates=float(np.mean(people)),
    )


def write_strips(crops, tracks_of, folder) -> None:
    """One picture per track, ten crops in a row, so that a reader can check that a track is one person."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    for track in np.unique(tracks_of):
        places = np.flatnonzero(tracks_of == track)
        chosen = places[np.linspace(0, len(places) - 1, 10).astype(int)]
        cv2.imwrite(
            str(Path(folder) / f"track_{track:03d}.png"),
            np.hstack(scaled([crops[place] for place in chosen], CROP))[..., ::-1],
        )


def main(args):
    for option, path in (("--video", args.video), ("--detector", args.detector)):
        if not Path(path).exists():
            raise InputError(f"{option} {path} does not exist: run bash setup.sh, or name the place")
    capture = cv2.VideoCapture(args.video)
    rate = capture.get(cv2.CAP_PROP_FPS) or 10.0  # frames a second; some files do not tell
    capture.release()

    # People, tracks, queries and gallery.
    detections = detect(args.video, args.detector, args.min_score)
    tracks = link(detections, args.min_overlap, args.clear)
    tracks = [track for track in tracks if track[-1][0] - track[0][0] >= args.min_seconds * rate]
    if len(tracks) < 2:
        raise InputError(
            f"{args.video} gives {len(tracks)} tracks of {args.min_seconds:g} s or more, and a comparison needs 2: "
            "lower --min_seconds"
        )
    crops, tracks_of, frames_of = collect(args.video, tracks, detections, args.every, args.alone)
    seen = [{frame for frame, _ in track} for track in tracks]
    together = np.array([[bool(one & other) for other in seen] for one in seen])  # (T, T)
    starts = np.array([track[0][0] for track in tracks])
    early = frames_of - starts[tracks_of] < args.query_seconds * rate
    if args.crops:
        write_strips(crops, tracks_of, args.crops)

    # Methods.
    methods = [("colour histograms, 8 stripes", histograms(crops))]
    for number, path in enumerate(args.checkpoints):
        from utils import checkpoint

        prefix = checkpoint.find_checkpoint(path)
        for untrained in (True, False) if number == 0 else (False,):
            vectors, name = network_vectors(crops, prefix, args.image_size, untrained)
            methods.append((name, vectors))

    # Table.
    report = {
        **origin(f"python3 {' '.join(sys.argv)}"),
        "video": args.video,
        "tracks": len(tracks),
        "crops": len(crops),
    }
    report["methods"] = []
    for name, vectors in methods:
        row = {"name": name}
        row["together"] = measure(vectors, tracks_of, frames_of, early, together, args.gap_seconds * rate)
        row["all"] = measure(vectors, tracks_of, frames_of, early, None, args.gap_seconds * rate)
        report["methods"].append(row)
    print(f"{args.video}: {len(tracks)} tracks of {args.min_seconds:g} s or more, {len(crops)} crops")
    for protocol in ("together", "all"):
        first = report["methods"][0][protocol]
        print(
            f"\n{protocol}: {first['queries']} queries of {first['identities']} tracks, "
            f"{first['candidates']:.1f} tracks to choose from on average"
        )
        print(f"{'method':<50} rank-1 (std. error)  rank-5     mAP")
        for method in report["methods"]:
            row = method[protocol]
            print(
                f"{method['name']:<50} {row['rank1']:6.1f} ({row['rank1_error']:4.1f})       {row['rank5']:6.1f}  "
                f"{row['mAP']:6.1f}"
            )
    if args.json:
        Path(args.json).write_text(json.dumps(report, indent=2, default=float) + "\n")


if __name__ == "__main__":
    run_main(main, ARGS)
