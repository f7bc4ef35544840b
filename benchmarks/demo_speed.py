"""What it gains to look only at whom it must: the demo's chain twice in one process, on the same frames, in turn.

    python3 -m benchmarks.demo_speed                 on two CPU cores some eight minutes
    python3 -m benchmarks.demo_speed --frames 100    a first idea

  everyone   --reembed_every 1: every person of every frame, one by one
  as needed  the demo's default: who is new, doubtful or due again, all of a frame in one go

Each decodes, detects, crops, embeds and matches every frame; decoding is done once and counted for both. No trained
network of the size that is deployed comes with this repository. So a full ResNet-50 with random weights runs for every
person that is embedded, which takes the time that a trained one takes, and the answer is the trained small network's,
whose time is left out, so that identities and the work they cause are real. What is counted of them:

  by eye  people told apart by eye (benchmarks/footage.py; only for vtest.avi)
  walks   boxes that certainly are one person by continuity alone, for any footage

A switch is when somebody's number is another than at last sight. Who is mixed up with whom hangs on trifles, so the
same is replayed without networks from --starts first frames, spread over the first third. Given are the mean and the
standard deviation, of replays that share most of their frames: it tells what trifles do, not what other footage would.
"""

import sys
import tempfile
import time
from pathlib import Path

from utils.errors import run_main
from utils.options import as_image_size, as_width, file_to_write, fraction, make_parser, non_negative_int, positive_int


def parse_args(argv=None):
    parser = make_parser(__doc__)
    add = parser.add_argument
    # fmt: off
    add("--video", default="models/downloads/vtest.avi", help="footage of people walking")
    add("--obj", default="models/quick_run/frozen/obj", help="frozen detector")
    add("--reid", default="models/quick_run/frozen/reid", help="trained frozen re-id net, for who is who")
    add("--image_size", type=as_image_size, default=[256, 128], metavar="HxW", help="of the network timed, in pixels")
    add("--width", type=as_width, default=1.0, help="of the network timed; 1 is ResNet-50 as deployed")
    add("--frames", type=non_negative_int, default=0, help="stop after so many; 0: at the end of the footage")
    add("--reembed_every", type=positive_int, default=16, help="frames, as in demo.py, of the chain that does less")
    add("--starts", type=positive_int, default=12, help="first frames from which the switches are counted again")
    add("--detection_threshold", type=fraction, default=0.5, help="as in demo.py")
    add("--json", type=file_to_write, default=None, metavar="FILE", help="also write the figures there")
    # fmt: on
    return parser.parse_args(argv)


ARGS = parse_args() if __name__ == "__main__" else None  # before TensorFlow is imported: --help answers at once

import cv2
import numpy as np
import tensorflow as tf

from benchmarks import footage
from benchmarks.footage import frames
from utils import checkpoint
from utils.deploy.detector import Detector
from utils.deploy.freeze import freeze_reid
from utils.deploy.reid_net import Embedder
from utils.device import origin
from utils.files import write_json
from utils.live.identities import FIRST_THRESHOLD, Identities
from utils.live.recogniser import Chain
from utils.live.timing import Figures
from utils.resnet import build_embedding_net

STAGES = ("detect", "crop", "embed", "match")


class Deployed:
    """An Embedder that takes the time of `timed` and answers as `trained` does; one_by_one: person for person."""

    def __init__(self, timed, trained, one_by_one: bool):
        self._timed, self._trained, self._one_by_one = timed, trained, one_by_one
        self.image_size, self.last = trained.image_size, None
        self.timer, self.left_out = None, 0.0  # left_out: seconds that only the benchmark needs

    def embed(self, images: np.ndarray) -> np.ndarray:
        height, wide = self._timed.image_size
        step = 1 if self._one_by_one else len(images)
        for start in range(0, len(images), step):
            some = images[start : start + step]
            self._timed.embed(np.stack([cv2.resize(image, (wide, height)) for image in some]))
        self.timer.lap("embed")
        begun = time.perf_counter()
        self.last = self._trained.embed(images)
        self.left_out += time.perf_counter() - begun
        self.timer.lap("draw")  # a stage that the chain does not have
        return self.last


def freeze_random(args, folder: Path) -> Embedder:
    """A network of the size that is deployed, frozen as pipeline.py does it; its weights are random."""
    tf.keras.utils.set_random_seed(0)
    net = build_embedding_net(tuple(args.image_size), args.width)
    checkpoint.save_weights(net, folder / "reid_model-0.ckpt")
    about = {"image_size": args.image_size, "width": args.width, "embedding_size": net.output_shape[1]}
    write_json(folder / "args.json", about)
    noise = np.random.default_rng(0).integers(0, 256, (4, *args.image_size, 3), dtype=np.uint8)
    freeze_reid(str(folder / "reid_model-0.ckpt"), folder / "reid", lambda size: noise)
    return Embedder(folder / "reid")


def make_chains(args, timed: Embedder) -> dict:
    detector, trained = Detector(args.obj, args.detection_threshold), Embedder(args.reid)
    for embedder in (timed, trained):
        embedder.warm_up()
    chains = {}
    for name, every in (("everyone", 1), ("as_needed", args.reembed_every)):
        identities = Identities(trained.manifest.get("threshold") or FIRST_THRESHOLD, learn=True)
        embedder = Deployed(timed, trained, one_by_one=every == 1)
        chains[name] = Chain(detector, embedder, identities, [Path(args.video).name], every)
    return chains


def run(chains: dict, video, most: int) -> dict:
    """Both chains over the frames in turn -> {name: {"seconds", "figures", "embeddings", "seen"}}.

    embeddings: [(D, E)], of each frame's people who were due; seen: {frame: (boxes (N, 4), numbers (N,))}.
    """
    found = {name: {"seconds": 0.0, "figures": Figures(), "seen": {}, "embeddings": []} for name in chains}
    progress, begun = Figures(most or footage.frame_count(video)), time.perf_counter()
    for name, chain in chains.items():
        chain.timer = chain.embedder.timer = found[name]["figures"].timer
    for number, picture in enumerate(frames(video)):
        decoding = time.perf_counter() - begun
        for name in list(chains)[:: 1 if number % 2 else -1]:  # neither has the warmer cache throughout
            chain, some, begun = chains[name], found[name], time.perf_counter()
            chain.timer.lap("draw")  # what lies between two of its frames is not the chain's
            (seen,) = chain.look([picture])
            chain.timer.next_frame()
            some["seconds"] += decoding + time.perf_counter() - begun
            some["seconds"] -= chain.embedder.left_out
            chain.embedder.left_out = 0.0
            some["figures"].count([seen])
            some["seen"][number] = seen.boxes, seen.numbers
            some["embeddings"].append(chain.embedder.last if len(seen.boxes) else np.zeros((0, 1), np.float32))
        progress.show_progress(progress.count([]))
        if number + 1 == most:
            break
        begun = time.perf_counter()
    return found


def judge(args, found, threshold: float) -> dict:
    """{name: {"fps", "embedded", "milliseconds", "shared", "walks": ..., "by_eye": ...}}."""
    boxes = [boxes for boxes, _ in found["everyone"]["seen"].values()]
    people = {"walks": footage.walks(boxes, footage.frame_rate(args.video))}
    if Path(args.video).name == Path(footage.FOOTAGE).name:
        people["by_eye"] = footage.people_by_eye()
    judged = {}
    for name, some in found.items():
        times = some["figures"].timer.milliseconds()
        judged[name] = {
            "fps": some["figures"].frames / some["seconds"],
            "embedded": some["figures"].share_embedded,
            "embedded_percent": 100 * some["figures"].share_embedded,
            "people": some["figures"].people_a_frame,
            "milliseconds": {stage: times[stage] for stage in STAGES},
            "shared": footage.shared(some["seen"]),
            **{by: footage.judge(footage.numbers_of(who, some["seen"])) for by, who in people.items()},
        }
    for name, every in (("everyone", 1), ("as_needed", args.reembed_every)):
        for start in np.linspace(0, len(boxes) // 3, args.starts).astype(int):
            seen = footage.replay(boxes, found["everyone"]["embeddings"], threshold, every, without=range(start))
            for by, who in people.items():
                switches = footage.judge(footage.numbers_of(who, seen))["switches"]
                judged[name][by].setdefault("replayed", []).append(switches)
        for by in people:
            replayed = judged[name][by]["replayed"]
            judged[name][by].update(replayed_mean=float(np.mean(replayed)), replayed_spread=float(np.std(replayed)))
    judged["as_needed"]["times_as_fast"] = judged["as_needed"]["fps"] / judged["everyone"]["fps"]
    return judged


def show(judged: dict) -> None:
    """Prints both tables."""
    print(f"\n{'':<12}{'frames/s':>10}{'embedded':>10}" + "".join(f"{stage + ' ms':>11}" for stage in STAGES))
    for name, row in judged.items():
        times = "".join(f"{row['milliseconds'][stage]['median']:>11.1f}" for stage in STAGES)
        print(f"{name.replace('_', ' '):<12}{row['fps']:>10.2f}{100 * row['embedded']:>9.0f}%{times}")
    print(f"{judged['as_needed']['times_as_fast']:.2f} times as many frames a second;", end=" ")
    print(f"{judged['everyone']['people']:.1f} people a frame; milliseconds are medians\n")
    for by in [by for by in ("by_eye", "walks") if by in judged["everyone"]]:
        who = {"by_eye": "people told apart by eye", "walks": "walks of certain continuity"}[by]
        print(f"{judged['everyone'][by]['people']} {who}:")
        print(f"{'':<12}{'switches':>10}{'numbers':>10}{'own number':>12}{'unknown':>10}   switches, other starts")
        for name, row in judged.items():
            some = row[by]
            print(
                f"{name.replace('_', ' '):<12}{some['switches']:>10}{some['numbers']:>10}{100 * some['own']:>11.1f}%"
                f"{100 * some['unknown']:>9.1f}%   {some['replayed_mean']:.1f} ({some['replayed_spread']:.1f})"
            )
    twice = [str(row["shared"]) for row in judged.values()]
    print(f"boxes that share a number with another of their frame: {' and '.join(twice)}")


def main(args) -> None:
    footage.check(args.video, args.obj)
    with tempfile.TemporaryDirectory() as folder:
        height, wide = args.image_size
        print(f"freezing a network of {height}x{wide}, width {args.width:g}, random weights", flush=True)
        timed = freeze_random(args, Path(folder))
        chains = make_chains(args, timed)
        threshold = chains["everyone"].identities.threshold  # before the scene changes it
        found = run(chains, args.video, args.frames)
    judged = judge(args, found, threshold)
    show(judged)
    if args.json:
        write_json(args.json, {**origin(f"python3 {' '.join(sys.argv)}"), **judged})


if __name__ == "__main__":
    run_main(main, ARGS)
