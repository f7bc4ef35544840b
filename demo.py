"""Recognises people on a camera, in a video or in a folder of pictures: each keeps a number as long as it is known.

    python3 demo.py                                         the camera, in a window (q or Esc ends it)
    python3 demo.py --source walk.mp4 --output people.mp4   a video, into a video; no screen needed
    python3 demo.py --source csi://0 --tracks tracks.txt    the boxes as numbers too

Needs what pipeline.py prepared: models/frozen/obj and models/frozen/reid. A box is labelled with its identity and the
similarity to what that person looked like before. Ctrl-C and SIGTERM end it cleanly: files are closed, the camera free.
"""

from __future__ import annotations

import signal

from utils.options import InputError, fraction, non_negative_int, parser, run_main


def parse_args():
    options = parser(__doc__)
    add = options.add_argument
    source = (
        "0 or /dev/video0, csi://0, rtsp://..., http://..., a video, a folder; if not given csi://0 on a Jetson, else 0"
    )
    add("--source", default=None, help=source)
    add("--obj", default="models/frozen/obj", help="frozen detector")
    add("--reid", default="models/frozen/reid", help="frozen re-id net; it says how many people it takes at once")
    add("--output", default=None, help="video to write, .mp4 or .avi")
    tracks = "text file to write in MOTChallenge's form: frame, identity, left, top, width, height, score, -1, -1, -1"
    add("--tracks", default=None, help=tracks)
    add("--summary", default=None, help="JSON file for the figures that are printed at the end")
    add("--max_frames", type=non_negative_int, default=0, help="stop after this many frames; 0: at the source's end")
    detection = "score from 0 to 1 below which a box is no person; lower finds more people, and more that are none"
    add("--detection_threshold", type=fraction, default=0.5, help=detection)
    similarity = (
        "below which a person is new, 0 to 1; raise it if two people get one number, lower it if one gets many;"
        " if not given, what training measured, and then what is learnt from people seen side by side"
    )
    add("--similarity_threshold", type=fraction, default=None, help=similarity)
    add("--headless", action="store_true", help="no window, even if there is a screen")
    return options.parse_args()


ARGS = parse_args() if __name__ == "__main__" else None  # before TensorFlow is imported: --help answers at once

import json  # noqa: E402
import time  # noqa: E402
from collections import deque  # noqa: E402
from pathlib import Path  # noqa: E402

import numpy as np  # noqa: E402

from utils import screen  # noqa: E402
from utils.camera import Camera, default_source  # noqa: E402
from utils.detector import Detector  # noqa: E402
from utils.draw import draw_people, draw_rate  # noqa: E402
from utils.frozen import let_gpu_memory_grow  # noqa: E402
from utils.identities import Identities  # noqa: E402
from utils.recorder import TracksFile, VideoFile  # noqa: E402
from utils.reid_net import Embedder, crop_people  # noqa: E402

PROGRESS_SECONDS = 5  # between two lines of progress
RATE_FRAMES = 30  # over which the rate in the picture is taken


class Stop:
    """Ctrl-C and SIGTERM end the loop between two frames; before the loop they end the script at once, as usual."""

    def __init__(self):
        self.asked, self.running = False, False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._heard)

    def _heard(self, *_):
        if not self.running or self.asked:  # a second one does not wait for a frame that never comes
            raise KeyboardInterrupt
        self.asked = True


class Figures:
    """Counts and rates of a run."""

    def __init__(self, length):
        self.length, self.frames, self.boxes = length, 0, 0
        self._recent = deque(maxlen=RATE_FRAMES)
        self._shown = self.begun = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.begun

    def count(self, boxes: int) -> float:
        """One frame more; returns frames a second over the last ones."""
        self.frames, self.boxes = self.frames + 1, self.boxes + boxes
        self._recent.append(time.monotonic())
        begun = self._recent[0] if len(self._recent) > 1 else self.begun
        return max(len(self._recent) - 1, 1) / max(self._recent[-1] - begun, 1e-6)

    def show_progress(self, rate: float) -> None:
        if time.monotonic() - self._shown < PROGRESS_SECONDS:
            return
        self._shown = time.monotonic()
        done = f"{self.frames}/{self.length}" if self.length else f"{self.frames}"
        left = f", {(self.length - self.frames) / rate:.0f} s left" if self.length else ""
        print(f"frame {done}, {rate:.1f} frames/s{left}", flush=True)


def know_people(asked, manifest) -> Identities:
    """Who is who by the threshold asked for, else by the one of the manifest, which the scene then refines."""
    if asked is not None:
        return Identities(asked)
    first, why = manifest.get("threshold"), manifest.get("threshold_from", "measured in training")
    if first is None:
        first, why = 0.6, "a guess, as the model came without a measured one"
    print(f"similarity threshold: {first:.3f}, {why}; then learnt from people seen side by side", flush=True)
    return Identities(first, learn=True)


def main(args) -> None:
    stop = Stop()
    let_gpu_memory_grow()
    window = not args.headless and screen.has_screen()
    if not (window or args.headless or args.output or args.tracks):
        raise InputError("there is no screen for a window: write a video with --output people.mp4, or add --headless")
    with Camera(args.source or default_source()) as camera:
        detector = Detector(args.obj, args.detection_threshold)
        embedder = Embedder(args.reid)
        identities = know_people(args.similarity_threshold, embedder.manifest)
        warm_up(camera, detector, embedder)
        length = camera.length and min(camera.length, args.max_frames or camera.length)
        outputs = open_outputs(args, camera)
        try:
            figures = recognise(args, camera, (detector, embedder, identities), outputs, window, stop, Figures(length))
        except BaseException:
            for output in outputs.values():
                output.discard()
            raise
        for output in outputs.values():
            output.finish()
        if window:
            screen.close()
        source_ended = not stop.asked and figures.frames != args.max_frames
        report(args, camera, figures, identities, source_ended)


def warm_up(camera, detector, embedder) -> None:
    """The first run of a network takes seconds; it is not to be the first frame's."""
    detector.detect(np.zeros((camera.height, camera.width, 3), np.uint8))
    embedder.warm_up()


def open_outputs(args, camera) -> dict:
    """The files asked for, {"video": ..., "tracks": ...}; if one cannot be had, the other is not left behind."""
    outputs = {}
    try:
        if args.output:
            outputs["video"] = VideoFile(args.output, (camera.width, camera.height), camera.rate, camera.live)
        if args.tracks:
            outputs["tracks"] = TracksFile(args.tracks)
    except InputError:
        for output in outputs.values():
            output.discard()
        raise
    return outputs


def recognise(args, camera, parts, outputs, window, stop, figures) -> Figures:
    """The loop: detect, embed, identify, draw; until the source, max_frames or the user ends it."""
    detector, embedder, identities = parts
    size = camera.width, camera.height
    stop.running = True
    while not (stop.asked or camera.ended):
        frame = camera.read(timeout=0.5)  # (H, W, 3) uint8 BGR; a silent camera does not keep Ctrl-C waiting
        if frame is None:
            continue
        boxes, scores = detector.detect(frame)  # (N, 4), (N,)
        embeddings = embedder.embed(crop_people(frame, boxes, embedder.image_size))  # (N, E)
        numbers, similarities = identities.assign(boxes, embeddings)  # (N,), (N,)
        rate = figures.count(len(boxes))
        if window or args.output:
            frame = frame.copy()
            draw_people(frame, boxes, numbers, similarities)
            draw_rate(frame, rate)
        if "video" in outputs:
            outputs["video"].write(frame, figures.seconds)
        if "tracks" in outputs:
            outputs["tracks"].write(figures.frames, size, boxes, numbers, scores)
        figures.show_progress(rate)
        if (window and not screen.show(frame)) or stop.asked or figures.frames == args.max_frames:
            stop.asked = stop.asked or figures.frames != args.max_frames
            break
    stop.running = False
    return figures


def report(args, camera, figures, identities, source_ended) -> None:
    """Prints the figures and writes --summary; a camera that fell silent is an error, once all is kept."""
    seconds = figures.seconds
    rate = figures.frames / max(seconds, 1e-6)
    print(
        f"{figures.frames} frames in {seconds:.1f} s: {rate:.1f} frames a second;"
        f" {figures.boxes} boxes of {identities.count} identities (threshold {identities.threshold:.3f} at the end)"
    )
    for name, path in (("video", args.output), ("tracks", args.tracks)):
        if path:
            print(f"{name}: {path}")
    if args.summary:
        content = {
            "frames": figures.frames,
            "seconds": round(seconds, 3),
            "fps": round(rate, 3),
            "boxes": figures.boxes,
        }
        content.update(identities=identities.count, threshold=round(identities.threshold, 4))
        content.update(video=args.output, tracks=args.tracks)
        try:
            Path(args.summary).write_text(json.dumps(content, indent=2) + "\n")
        except OSError as error:
            raise InputError(f"--summary {args.summary} cannot be written ({error.strerror}): name another") from None
    if source_ended and camera.live:
        raise InputError(f"{camera.name} gives no more pictures after {figures.frames} frames: is it still connected?")
    if source_ended and camera.length and figures.frames < 0.95 * camera.length:
        print(f"note: {camera.name} breaks off after {figures.frames} of {camera.length} frames")


if __name__ == "__main__":
    run_main(main, ARGS)
