"""Recognises people on cameras, in videos or in folders of pictures: each keeps a number as long as it is known.

    python3 demo.py                                         the camera, in a window
    python3 demo.py --source walk.mp4 --output people.mp4   a video, into a video; no screen needed
    python3 demo.py --source 0 --source 1 --gallery people  two cameras side by side, and people whose names are known
    python3 demo.py --source csi://0 --headless --serve 8080   no screen: look on in a browser
    python3 demo.py --source walk.mp4 --benchmark 200       where the time goes

Needs what pipeline.py prepared: models/frozen/obj and models/frozen/reid. A box is labelled with a number or a name and
the similarity to what that person looked like before; "unknown" is who was not seen well enough yet. Keys of the
window: Tab picks a person, n names and f forgets the one picked, q or Esc ends. Ctrl-C and SIGTERM end it cleanly as
well: files are closed, the cameras free.
"""

from __future__ import annotations

import signal

from utils.errors import InputError, explained_imports, run_main
from utils.options import file_to_write, fraction, make_parser, non_negative_int, positive_float, positive_int


def parse_args():
    parser = make_parser(__doc__)
    # fmt: off
    add = parser.add_argument_group("cameras").add_argument
    add("--source", action="append", default=None,
        help="0 or /dev/video0, csi://0, rtsp://..., http://..., a video, a folder or pattern of pictures; if not "
             "given csi://0 on a Jetson, else 0; several times: several cameras side by side with one set of people")
    add("--width", type=positive_int, default=None, help="pixels to ask a camera for, together with --height")
    add("--height", type=positive_int, default=None, help="pixels to ask a camera for, together with --width")
    add("--rate", type=positive_float, default=None, help="frames a second to ask a camera for")
    add("--flip", type=int, choices=range(8), default=0, metavar="0..7",
        help="turns the picture, as nvvidconv's flip-method does: 0 not, 2 by half a turn, 4 left-right, 6 top-bottom")
    add("--loop", action="store_true", help="begin a video or folder again at its end, until Ctrl-C")
    add("--max_frames", type=non_negative_int, default=0, help="stop after this many frames; 0: at the source's end")
    add = parser.add_argument_group("people").add_argument
    add("--obj", default="models/frozen/obj", help="frozen detector")
    add("--reid", default="models/frozen/reid", help="frozen re-id net; it says how many people it takes at once")
    add("--detection_threshold", type=fraction, default=0.5,
        help="score from 0 to 1 below which a box is no person; lower finds more people, and more that are none")
    add("--similarity_threshold", type=fraction, default=None,
        help="below which a person is not known, 0 to 1; raise it if two people get one number, lower it if one gets "
             "many; if not given, what training measured, and then what is learnt from people seen side by side")
    add("--reembed_every", type=positive_int, default=16,
        help="frames after which a person is looked at again though nothing is doubtful; who is new, doubtful or just "
             "recognised is looked at sooner; 1: everyone in every frame, which is slow")
    add("--strangers", choices=("number", "unknown"), default="number",
        help="what people without a name get: a number of their own, or just the word")
    add("--gallery", default=None, metavar="FOLDER",
        help="people to know from the start, a folder of pictures for each, named after them: people/Anna/1.jpg")
    add("--save_gallery", default=None, metavar="FOLDER",
        help="keep crops of those who have a name there, in the form of --gallery; without it none are stored")
    add = parser.add_argument_group("output").add_argument
    add("--output", default=None, help="video to write, .mp4 or .avi")
    add("--tracks", default=None,
        help="text file to write in MOTChallenge's form: frame, identity, left, top, width, height, score, -1, -1, -1; "
             "unknown people get no line; of several cameras tracks-0.txt, tracks-1.txt, ...")
    add("--summary", type=file_to_write, default=None, help="JSON file for the figures that are printed at the end")
    add("--headless", action="store_true", help="no window, even if there is a screen")
    add("--serve", type=non_negative_int, default=None, metavar="PORT",
        help="show all this on a web page, where people can be named and forgotten; 0 takes any free port")
    add("--host", default="127.0.0.1", help="address to serve on; others than this machine reach 0.0.0.0")
    add("--token", default=None,
        help="password of the page; if others reach it and none is given, one is made, and printed with the address")
    add("--benchmark", type=non_negative_int, default=0, metavar="FRAMES",
        help="run so many frames, a video again and again, and print where the time went; 0: no benchmark")
    # fmt: on
    return parser.parse_args()


ARGS = parse_args() if __name__ == "__main__" else None  # before TensorFlow is imported: --help answers at once

from contextlib import ExitStack
from pathlib import Path

with explained_imports():
    import numpy as np

    from utils.deploy.detector import Detector
    from utils.deploy.reid_net import Embedder
    from utils.device import enable_memory_growth
    from utils.files import write_json
    from utils.live import window
    from utils.live.camera import Camera, default_source
    from utils.live.draw import side_by_side
    from utils.live.gallery import check_place, enrol, save_people
    from utils.live.identities import FIRST_THRESHOLD, Identities
    from utils.live.recogniser import Chain
    from utils.live.recorder import TracksFile, VideoFile
    from utils.live.timing import Figures, table
    from utils.live.view import View

WAIT = 0.5  # seconds for which the only camera is waited for; Ctrl-C is not kept waiting longer
GLANCE = 0.02  # and each of several, so that a silent one does not hold the others up
WARM_UP = 10  # frames before a benchmark counts


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


def main(args) -> None:
    stop = Stop()
    enable_memory_growth()
    show_window = not (args.headless or args.benchmark) and window.has_screen()
    silent = args.headless or args.benchmark or args.serve is not None
    if not (show_window or silent or args.output or args.tracks):
        raise InputError("there is no screen for a window: write a video with --output people.mp4, or add --headless")
    keep_sources(args)
    if args.save_gallery:
        check_place(args.save_gallery)
    with ExitStack() as stack:
        cameras = [stack.enter_context(camera) for camera in open_cameras(args)]
        detector, embedder = Detector(args.obj, args.detection_threshold), Embedder(args.reid)
        identities = know_people(args, embedder.manifest)
        if args.gallery:
            print("\n".join(enrol(args.gallery, detector, embedder, identities)), flush=True)
        chain = Chain(detector, embedder, identities, [camera.name for camera in cameras], args.reembed_every)
        warm_up(cameras, detector, embedder)
        page = stack.enter_context(open_page(args)) if args.serve is not None else None
        outputs = open_outputs(args, cameras)
        try:
            view = View(cameras, chain, show_window, page, args.save_gallery)
            figures = recognise(args, cameras, chain, view, outputs, stop)
        except BaseException:
            for output in outputs:
                output.discard()
            raise
        for output in outputs:
            output.finish()
        if args.save_gallery:
            save_people(args.save_gallery, identities.people)
        if show_window:
            window.close()
        report(args, cameras, chain, figures, stop)


def keep_sources(args) -> None:
    """Writing would replace a recording that is read, perhaps somebody's only one."""
    for option, path in (("--output", args.output), ("--tracks", args.tracks), ("--summary", args.summary)):
        for source in args.source or []:
            if path and Path(source).is_file() and Path(path).resolve() == Path(source).resolve():
                raise InputError(f"{option} {path} is the --source as well and would be lost: name another file")


def open_cameras(args):
    """Yields the cameras asked for, in their order; a benchmark plays files again and again."""
    asked = {"width": args.width, "height": args.height, "rate": args.rate, "flip": args.flip}
    for source in args.source or [default_source()]:
        yield Camera(source, loop=args.loop or args.benchmark > 0, **asked)


def know_people(args, manifest) -> Identities:
    """Who is who by the threshold asked for, else by the one of the manifest, which the scene then refines."""
    if args.similarity_threshold is not None:
        return Identities(args.similarity_threshold, strangers=args.strangers)
    first, why = manifest.get("threshold"), manifest.get("threshold_from", "measured in training")
    if first is None:
        first, why = FIRST_THRESHOLD, "a guess, as the model came without a measured one"
    print(f"similarity threshold: {first:.3f}, {why}; then learnt from people seen side by side", flush=True)
    return Identities(first, learn=True, strangers=args.strangers)


def warm_up(cameras, detector, embedder) -> None:
    """The first run of a network takes seconds; it is not to be the first frame's."""
    for size in {(camera.height, camera.width) for camera in cameras}:
        detector.detect(np.zeros((*size, 3), np.uint8))
    embedder.warm_up()


def open_page(args):
    from utils.live.page.page import Page

    page = Page(args.serve, host=args.host, token=args.token)
    print(f"page: {page.url}", flush=True)
    return page


def open_outputs(args, cameras) -> list:
    """The video, if any, and then the tracks of each camera; if one cannot be had, the others are not left behind."""
    outputs = []
    try:
        if args.output:
            height = min(camera.height for camera in cameras)
            width = side_by_side([np.zeros((camera.height, camera.width, 3), np.uint8) for camera in cameras]).shape[1]
            rate, live = max(camera.rate for camera in cameras), any(camera.live for camera in cameras)
            outputs.append(VideoFile(args.output, (width, height), rate, live))
        if args.tracks:
            outputs += [TracksFile(path) for path in tracks_paths(args.tracks, len(cameras))]
    except InputError:
        for output in outputs:
            output.discard()
        raise
    return outputs


def tracks_paths(path, cameras: int) -> list:
    """One file for each camera: tracks.txt, or of several tracks-0.txt, tracks-1.txt, ..."""
    path = Path(path)
    return [path] if cameras == 1 else [path.with_name(f"{path.stem}-{n}{path.suffix}") for n in range(cameras)]


def recognise(args, cameras, chain, view, outputs, stop) -> Figures:
    """The loop: look, draw, show, write; until the sources, the number of frames or the user end it."""
    steps = args.benchmark or args.max_frames
    lengths = [camera.length for camera in cameras]
    figures = Figures(steps if None in lengths else min(max(lengths), steps or max(lengths)))
    chain.timer, warming, drawn = figures.timer, WARM_UP if args.benchmark else 0, bool(view.shown or args.output)
    stop.running = True
    while not stop.asked and (not steps or figures.frames < steps):
        frames = [camera.read(WAIT if len(cameras) == 1 else GLANCE) for camera in cameras]  # (H, W, 3) uint8 BGR
        if all(camera.ended for camera in cameras):
            break
        figures.timer.lap("capture")
        anything = any(frame is not None for frame in frames)
        seen = chain.look(frames)
        rate = figures.count(seen) if anything else 0.0
        if drawn or args.benchmark:
            picture = view.draw(frames, seen, rate)
            if anything and args.output:
                outputs[0].write(picture, figures.seconds)
            stop.asked |= not view.show(picture, seen)
            figures.timer.lap("draw")
        if args.tracks:
            for tracks, camera, some in zip(outputs[-len(cameras) :], cameras, seen):
                if some is not None:
                    size = camera.width, camera.height
                    tracks.write(figures.frames, size, some.boxes, some.numbers, some.scores)
        if anything:
            figures.timer.next_frame()
            figures.show_progress(rate)
        if warming and figures.frames == warming:
            warming, figures = 0, Figures(figures.length)
            chain.timer = figures.timer
    stop.running = False
    return figures


def report(args, cameras, chain, figures, stop) -> None:
    """Prints the figures and writes --summary."""
    identities, manifests = chain.identities, (chain.detector.manifest, chain.embedder.manifest)
    rate, share = figures.frames / max(figures.seconds, 1e-6), 100 * figures.share_embedded
    if args.benchmark:
        print(table(figures, machine(manifests)))
    print(
        f"{figures.frames} frames in {figures.seconds:.1f} s: {rate:.1f} frames a second;"
        f" {figures.boxes} boxes of {identities.count_seen()} identities, {share:.0f} % of them embedded"
        f" (threshold {identities.threshold:.3f} at the end)"
    )
    if args.output:
        print(f"video: {args.output}")
    if args.tracks:
        print("tracks: " + ", ".join(str(path) for path in tracks_paths(args.tracks, len(cameras))))
    if args.summary:
        content = {"frames": figures.frames, "seconds": round(figures.seconds, 3), "fps": round(rate, 3)}
        content.update(boxes=figures.boxes, embedded=figures.embedded, identities=identities.count_seen())
        content["names"] = {person.number: person.name for person in identities.people if person.name}
        content.update(threshold=round(identities.threshold, 4), milliseconds=figures.timer.milliseconds())
        content.update(video=args.output, tracks=args.tracks, **machine(manifests))
        write_json(args.summary, content)
    for camera in [] if stop.asked or args.max_frames else cameras:
        if camera.length and figures.frames < 0.95 * camera.length and camera.length == figures.length:
            print(f"note: {camera.name} breaks off after {figures.frames} of {camera.length} frames")


def machine(manifests) -> dict:
    """What the figures were measured on."""
    from utils.device import device_name, power_mode

    networks = [f"{manifest['engine']} {manifest['precision']}" for manifest in manifests]
    words = {"device": device_name(), "power mode": power_mode() or "not a Jetson's"}
    return {**words, "detector": networks[0], "re-id net": networks[1]}


if __name__ == "__main__":
    run_main(main, ARGS)
