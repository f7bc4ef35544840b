"""Recognises people on cameras, in videos or in folders of images: each person keeps a number or a name.

    python3 demo.py                                         the camera, in a window
    python3 demo.py --source walk.mp4 --output people.mp4   a video, into a video; needs no screen
    python3 demo.py --source 0 --source 1 --gallery people  two cameras side by side, and people with known names
    python3 demo.py --source csi://0 --headless --serve 8080   no screen: watch in a browser
    python3 demo.py --source walk.mp4 --benchmark 200       where the time goes

Needs the networks that pipeline.py prepares: models/frozen/obj and models/frozen/reid. The label of a box is a number
or a name, and the similarity to how that person looked before; "unknown" is a person who was not seen well enough yet.
Keys of the window: Tab selects a person, n names and f forgets the selected one, q or Esc ends the demo. Ctrl-C and
SIGTERM end it cleanly too: files are completed and cameras released.
"""

from __future__ import annotations

from utils.errors import InputError, explained_imports, run_main
from utils.live.places import as_line, as_region, as_zone, check_places
from utils.options import (
    add_old_name,
    check_files,
    file_or_stdout,
    file_to_write,
    fraction,
    make_parser,
    non_negative_int,
    people_store,
    pixels,
    port,
    positive_float,
    positive_int,
)


def parse_args(argv=None):
    parser = make_parser(__doc__)
    # fmt: off
    add = parser.add_argument_group("cameras").add_argument
    add("--source", action="append", default=None,
        help="0 or /dev/video0, csi://0, rtsp://..., http://..., a video, a folder or pattern of images; default: "
             "csi://0 on a Jetson, else 0; repeat it for several cameras side by side with one set of people")
    add("--camera_width", type=pixels, default=None,
        help="width in pixels to request from a camera, together with --camera_height")
    add("--camera_height", type=pixels, default=None,
        help="height in pixels to request from a camera, together with --camera_width")
    add("--fps", type=positive_float, default=None, help="frames per second to request from a camera")
    add("--flip_method", type=int, choices=range(8), default=0, metavar="0..7",
        help="flips the image as nvvidconv's flip-method does: 0 none, 2 half a turn, 4 left-right, 6 top-bottom")
    add("--loop", action="store_true", help="start a video or folder again at its end, until Ctrl-C")
    add("--every", type=positive_int, default=1,
        help="use only every n-th frame of a file; times, events and the speed of --output stay those of the file")
    add("--ignore", type=as_region, action="append", default=[], metavar="x,y,x,y,...",
        help="region without people, with points as in --zone: boxes whose foot point is in it are dropped; "
             "@1:x,y,... is in the second --source; repeatable")
    add("--max_frames", type=non_negative_int, default=0, help="stop after this many frames; 0: at the end of a file")
    add = parser.add_argument_group("people").add_argument
    add("--detector", default="models/frozen/obj", help="folder of the frozen detector")
    add("--detections", default=None, metavar="FILE",
        help="boxes in MOTChallenge's text format instead of a detector, for one video or folder of images")
    add("--reid", default="models/frozen/reid", help="folder of the frozen re-id net")
    add("--detection_threshold", type=fraction, default=0.5,
        help="minimum score of a new person, 0 to 1; lower finds more people and more false detections; tracked people "
             "are followed down to 0.1")
    add("--similarity_threshold", type=fraction, default=None,
        help="minimum similarity to recognise a person, 0 to 1; raise it if two people get one number, lower it if one "
             "person gets several; default: the value measured in training, then learned from people seen together")
    add("--reembed_every", type=positive_int, default=16,
        help="frames after which a known person is embedded again; new people are embedded sooner; 1: every person in "
             "every frame, which is slow")
    add("--unnamed", choices=("number", "unknown"), default="number",
        help="the label of people without a name: a number each, or 'unknown'")
    add("--gallery", default=None, metavar="FOLDER",
        help="people to recognise from the start: a folder of image folders, one per person: people/Anna/1.jpg")
    add("--people", type=people_store, default=None, metavar="PLACE",
        help="keep the known people here, as numbers, names and embeddings: in a file such as people.npz, for the next "
             "start, or in a Redis server such as redis://host:6379/0, which several demos share; default: in memory "
             "only")
    add("--people_hours", type=positive_float, default=24.0,
        help="a person in --people is forgotten this many hours after the last sighting")
    add("--save_gallery", default=None, metavar="FOLDER",
        help="save crops of people with a name to this folder, in the layout of --gallery; default: save none")
    add = parser.add_argument_group("counting").add_argument
    add("--line", type=as_line, action="append", default=[], metavar="NAME:x0,y0,x1,y1",
        help="count the people who cross this line, from 0,0 (upper left) to 1,1 (lower right); looking from the first "
             "point to the second, in is a crossing to the right; NAME@1 is in the second --source; repeatable")
    add("--zone", type=as_zone, action="append", default=[], metavar="NAME:x,y,x,y,...",
        help="count the people in this polygon and how long they stay; two points are corners of a rectangle; "
             "repeatable")
    add = parser.add_argument_group("output").add_argument
    add("--output", default=None, metavar="FILE",
        help="video to write, .mp4 or .avi; browsers play it after ffmpeg -i people.mp4 -c:v libx264 web.mp4")
    add("--tracks", default=None, metavar="FILE",
        help="text file to write in MOTChallenge's format: frame, number, left, top, width, height, score, -1, -1, -1; "
             "without unknown people, gaps of up to 2 s filled; several cameras get tracks-0.txt, tracks-1.txt, ...")
    add("--events", type=file_or_stdout, default=None, metavar="FILE",
        help="append events to this file as JSON lines: people seen and left, lines crossed, zones entered and left, "
             "with the time; - is standard output, all other output then goes to standard error")
    add("--summary", type=file_to_write, default=None, metavar="FILE", help="JSON file for the figures of the run")
    add("--headless", action="store_true", help="no window, even if there is a screen")
    add("--serve", type=port, default=None, metavar="PORT",
        help="serve a page with the live image, where people can be named and forgotten; 0 takes any free port")
    add("--host", default="127.0.0.1",
        help="address to serve on; use 0.0.0.0 to accept connections from other machines")
    add("--token", type=str, default=None,
        help="password of the page; default: none on this machine, a random one for connections from other machines")
    add("--benchmark", type=non_negative_int, default=0, metavar="FRAMES",
        help="run this many frames, repeating a video, and print where the time goes; 0: no benchmark")
    # fmt: on
    add_old_name(parser, "--width", "--camera_width")
    add_old_name(parser, "--height", "--camera_height")
    add_old_name(parser, "--rate", "--fps")
    add_old_name(parser, "--flip", "--flip_method")
    add_old_name(parser, "--obj", "--detector")
    add_old_name(parser, "--strangers", "--unnamed")
    return parser.parse_args(argv)


ARGS = parse_args() if __name__ == "__main__" else None  # before the imports below: --help answers at once

import sys
from contextlib import ExitStack, redirect_stdout

with explained_imports():
    import numpy as np

    from utils.deploy.detector import Detector
    from utils.deploy.reid_net import Embedder
    from utils.device import device_name, power_mode
    from utils.files import write_json
    from utils.live import window
    from utils.live.boxes_file import BoxesFile
    from utils.live.camera import Camera, default_source
    from utils.live.counts import Counts
    from utils.live.events import STDOUT, Events
    from utils.live.gallery import check_writable, enrol, save_people
    from utils.live.identities import DEFAULT_THRESHOLD, Identities
    from utils.live.page.page import Page
    from utils.live.page.server import PageServer
    from utils.live.people import open_people
    from utils.live.recogniser import Recogniser
    from utils.live.recorder import Outputs, tracks_paths
    from utils.live.requests import execute, follow
    from utils.live.stop import StopSignal
    from utils.live.timing import RunStats, expected_frames, format_table
    from utils.live.view import View

WAIT_SECONDS = 0.5  # to wait for a frame of the only camera; Ctrl-C is noticed after that
GLANCE_SECONDS = 0.02  # to wait for a frame of each of several cameras, so that a silent one does not delay the others
WARM_UP_FRAMES = 10  # of a benchmark, before its measurement


def main(args) -> None:
    """Opens everything, runs the loop, and reports; whatever was opened is closed in any case."""
    stop = StopSignal()
    show_window = not (args.headless or args.benchmark) and window.has_screen()
    has_output = args.output or args.tracks or args.events or args.serve is not None
    if not (show_window or has_output or args.headless or args.benchmark):
        raise InputError("there is no screen for a window: write a video with --output people.mp4, or add --headless")
    check_outputs(args)
    if args.save_gallery:
        check_writable(args.save_gallery)
    with ExitStack() as stack:
        if args.events == STDOUT:
            stack.enter_context(redirect_stdout(sys.stderr))
        cameras = [stack.enter_context(camera) for camera in open_cameras(args)]
        events = stack.enter_context(Events(args.events, cameras, stop.ask))
        detector = open_detector(args, cameras)
        embedder = Embedder(args.reid)
        people = stack.enter_context(open_people(args.people, args.reid, embedder.manifest, args.people_hours))
        identities = make_identities(args, embedder.manifest, people)
        if args.gallery:
            print("\n".join(enrol(args.gallery, detector, embedder, identities)), flush=True)
        names = [camera.name for camera in cameras]
        recogniser = Recogniser(detector, embedder, identities, names, args.reembed_every, ignore=args.ignore)
        warm_up(args, cameras, recogniser)
        page = None
        if args.serve is not None:
            page = Page()
            server = stack.enter_context(PageServer(page, args.serve, args.host, args.token))
            print(f"page: {server.url}", flush=True)
        counts = Counts(cameras, args.line, args.zone, events.write)
        view = View(cameras, identities, show_window, page, counts)
        with Outputs(cameras, args.output, args.tracks) as outputs:
            stats = run(args, cameras, recogniser, view, outputs, stop)
        if args.save_gallery:
            save_people(args.save_gallery, identities.people)
        if show_window:
            window.close()
        report(args, cameras, recogniser, stats, stop, counts)


def check_outputs(args) -> None:
    """Raises InputError if an output would replace a recording that is read, or another output."""
    if args.benchmark and args.tracks:
        raise InputError("--benchmark repeats frames and leaves some out, so --tracks cannot be written: leave one out")
    inputs = {"the --source": args.source or [], "--detections": [args.detections] if args.detections else []}
    outputs = [("--output", args.output), ("--summary", args.summary), ("--people", args.people)]
    if args.events != STDOUT:
        outputs.append(("--events", args.events))
    if args.tracks:
        outputs += [("--tracks", path) for path in tracks_paths(args.tracks, len(args.source or [0]))]
    places = [("--line", place) for place in args.line] + [("--zone", place) for place in args.zone]
    places += [("--ignore", place) for place in args.ignore]
    check_places(places, len(args.source or [0]))
    check_files(inputs, outputs)


def open_cameras(args):
    """Yields the cameras in the order of the options; a benchmark repeats files. One of several may be off for now."""
    names = args.source or [default_source()]
    waiting = 0
    for source in names:
        camera = Camera(
            source,
            width=args.camera_width,
            height=args.camera_height,
            fps=args.fps,
            flip_method=args.flip_method,
            loop=args.loop or args.benchmark > 0,
            patient=len(names) > 1,
            every=args.every,
        )
        waiting += camera.waiting
        yield camera
    if waiting == len(names):
        raise InputError("none of the cameras gives a frame (see above): switch one on, or name another --source")


def open_detector(args, cameras):
    """The detector, or the boxes of --detections."""
    if args.detections is None:
        return Detector(args.detector, args.detection_threshold)
    if len(cameras) > 1:
        raise InputError("--detections holds the boxes of one source: name one --source")
    return BoxesFile(args.detections, cameras[0], args.detection_threshold)


def make_identities(args, manifest, store) -> Identities:
    """The people of the store, with the threshold of the option, else the manifest's, else the default."""
    if args.similarity_threshold is not None:
        return Identities(args.similarity_threshold, unnamed=args.unnamed, store=store)
    threshold = manifest.get("threshold")
    origin = manifest.get("threshold_from", "measured in training")
    if threshold is None:
        threshold = DEFAULT_THRESHOLD
        origin = "a guess, since the model has no measured one"
    print(f"similarity threshold: {threshold:.3f}, {origin}; then learned from people seen together", flush=True)
    return Identities(threshold, learn=True, unnamed=args.unnamed, store=store)


def warm_up(args, cameras, recogniser) -> None:
    """Runs the networks before the loop, since the first run takes seconds; for a benchmark also on real frames."""
    for size in {(camera.height, camera.width) for camera in cameras}:
        recogniser.detector.detect(np.zeros((*size, 3), np.uint8))
    recogniser.embedder.warm_up()
    for _ in range(WARM_UP_FRAMES if args.benchmark else 0):
        recogniser.recognise(read_frames(cameras), times(cameras))


def read_frames(cameras) -> list:
    """A new frame (H, W, 3) uint8 BGR per camera, None for a camera that has none."""
    timeout = WAIT_SECONDS if len(cameras) == 1 else GLANCE_SECONDS
    return [camera.read(timeout) for camera in cameras]


def times(cameras) -> list:
    """The time of each camera's newest frame, in seconds."""
    return [camera.seconds for camera in cameras]


def run(args, cameras, recogniser, view, outputs, stop) -> RunStats:
    """The loop: read, recognise, draw, show, write; until the end of the sources, the limit or the user's stop."""
    limit = args.benchmark or args.max_frames
    draws = view.is_shown or args.output or args.benchmark
    timer = recogniser.timer
    timer.restart()
    stats = RunStats(expected_frames([camera.length for camera in cameras], limit))
    stop.running = True
    while not stop.asked and (not limit or stats.frames < limit):
        frames = read_frames(cameras)
        if all(camera.ended for camera in cameras):
            break
        timer.lap("capture")
        for line in follow(recogniser.identities, args.save_gallery):
            print(line, flush=True)
        timer.lap("match")
        results = recogniser.recognise(frames, times(cameras))  # a FrameResult per camera, None without a frame
        view.counts.update(times(cameras), results)
        has_frame = any(frame is not None for frame in frames)
        fps = stats.count(results) if has_frame else 0.0
        if draws:
            image = view.draw(frames, results, fps)
            if has_frame:
                outputs.write_video(image, stats.seconds)
            for request in view.show(image, results):
                if request.action == "quit":
                    stop.asked = True
                    continue
                line = execute(request, recogniser, args.save_gallery, args.gallery)
                if line:
                    print(line, flush=True)
            timer.lap("draw")
        if has_frame:
            outputs.write_tracks(results)
            timer.next_frame()
            stats.show_progress(fps)
    view.counts.finish()
    stop.running = False
    return stats


def report(args, cameras, recogniser, stats, stop, counts) -> None:
    """Prints the figures of the run and writes --summary."""
    identities = recogniser.identities
    machine = describe_run(recogniser)
    if args.benchmark:
        print(format_table(recogniser.timer, stats, machine))
    print(
        f"{stats.frames} frames in {stats.seconds:.1f} s: {stats.mean_fps:.1f} frames/s;"
        f" {stats.boxes} boxes of {identities.count_seen()} people, {100 * stats.share_embedded:.0f} % of them embedded"
        f" (threshold {identities.threshold:.3f} at the end)"
    )
    if args.output:
        print(f"video: {args.output}")
    if args.tracks:
        print("tracks: " + ", ".join(str(path) for path in tracks_paths(args.tracks, len(cameras))))
    print("".join(f"{line}\n" for line in counts.lines()), end="")
    if args.events not in (None, STDOUT):
        print(f"events: {args.events}")
    if args.summary:
        content = {
            "frames": stats.frames,
            "seconds": round(stats.seconds, 3),
            "fps": round(stats.mean_fps, 3),
            "boxes": stats.boxes,
            "embedded": stats.embedded,
            "identities": identities.count_seen(),
            "names": {person.person_id: person.name for person in identities.people if person.name},
            "threshold": round(identities.threshold, 4),
            "milliseconds": recogniser.timer.milliseconds(),
            "video": args.output,
            "tracks": args.tracks,
            "places": counts.summary(),
            **machine,
        }
        write_json(args.summary, content)
    for camera in cameras:
        if camera.unreadable:
            frames = "frame" if camera.unreadable == 1 else "frames"
            print(f"note: {camera.unreadable} {frames} of {camera.name} cannot be decoded and were stepped over")
    if stop.asked or args.max_frames:
        return
    for camera in cameras:
        read = stats.frames + camera.unreadable
        if camera.length == stats.length and camera.length and read < 0.95 * camera.length:
            print(f"note: {camera.name} ended after {read} of {camera.length} frames")


def describe_run(recogniser) -> dict:
    """The machine and the networks that the figures were measured with."""
    detector = recogniser.detector.manifest
    reid = recogniser.embedder.manifest
    return {
        "device": device_name(),
        "power_mode": power_mode() or "not a Jetson",
        "detector": f"{detector['engine']} {detector['precision']}",
        "reid_net": f"{reid['engine']} {reid['precision']}",
    }


if __name__ == "__main__":
    run_main(main, ARGS)
