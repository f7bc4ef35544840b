"""Cuts people out of videos: a folder of good crops for each track, and a list to name, merge and drop tracks.

    python3 data/harvest.py monday.mp4 tuesday.mp4 --output people    a folder for each track
    (look at people/thumbnails, edit people/tracks.txt)
    python3 data/harvest.py --apply people                            a folder for each person
    python3 data/prepare.py people --kind own --output data/people    a data set

Uses the frozen networks of demo.py, and its tracker. A crop is taken where a person is whole, uncovered and sharp, one
in each --interval. Each video is a camera of its own; c1, c2, ... in the names of images say which. Nothing else is
stored: delete the images when they have served. The result of --apply is also a --gallery for demo.py.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

# So that `python3 data/harvest.py` finds the packages data and utils.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from utils.errors import InputError, explained_imports, run_main
from utils.options import fraction, make_parser, non_negative_int, positive_float, positive_int


def parse_args(argv=None) -> argparse.Namespace:
    parser = make_parser(__doc__)
    # fmt: off
    add = parser.add_argument
    add("videos", nargs="*", metavar="VIDEO", help="videos, or folders of frames")
    add("--output", default=None, metavar="FOLDER", help="a new folder for the tracks")
    add("--apply", default=None, metavar="FOLDER",
        help="carry out what tracks.txt in this folder says: images are put together by person, dropped ones deleted")
    add("--same_camera", action="store_true", help="all videos are by one camera; default: each is by its own")
    add("--every", type=positive_int, default=1, help="use only every n-th frame; below 5 frames/s tracks break up")
    add("--images", type=positive_int, default=8, help="most images of a track; of longer tracks the interval grows")
    add("--min_images", type=positive_int, default=2, help="fewest images of a track; others are left out")
    add("--interval", type=positive_float, default=0.5, help="seconds of which the sharpest crop is taken")
    add("--min_height", type=non_negative_int, default=80, help="lowest crop in pixels")
    add = parser.add_argument_group("networks").add_argument
    add("--detector", default="models/frozen/obj", help="folder of the frozen detector")
    add("--reid", default="models/frozen/reid", help="folder of the frozen re-id net, which proposes who is who")
    add("--detection_threshold", type=fraction, default=0.5, help="minimum score of a person who appears, 0 to 1")
    # fmt: on
    return parser.parse_args(argv)


ARGS = parse_args() if __name__ == "__main__" else None  # before the imports below: --help answers at once

with explained_imports():
    import cv2
    import numpy as np

    from data.track_crops import TrackCrops, are_whole
    from data.track_list import LIST, SHEETS, Row, apply_list, format_list
    from utils import image_grid
    from utils.deploy.detector import Detector
    from utils.deploy.reid_net import Embedder, crop_person
    from utils.files import atomic_folder
    from utils.live.camera import Camera
    from utils.live.counts import count_noun
    from utils.live.identities import DEFAULT_THRESHOLD, Identities
    from utils.live.recogniser import Recogniser
    from utils.live.walks import final_person
    from utils.progress import Progress, clock

OVER_SECONDS = 3.0  # without a box, after which a track has ended
SHEET_COLUMNS = 8
QUALITY = 95  # of JPEG, 0 to 100


class Harvest:
    """Writes the tracks of videos into a folder, one after another."""

    def __init__(self, folder: Path, images: int, min_images: int, interval: float, min_height: int):
        """folder: an empty one; the rest: as the options."""
        self.rows = []  # of tracks.txt
        self.images = 0
        self._folder = folder
        self._most = images
        self._fewest = min_images
        self._interval = interval
        self._min_height = min_height
        (folder / SHEETS).mkdir()

    def read(self, camera, recogniser, number: int) -> None:
        """Takes the tracks of a video. number: of the camera, from 1; recogniser: a new one."""
        running = {}  # Track -> TrackCrops
        progress = Progress(f"{camera.name}: read", camera.length or 0, "frames")
        for frame in camera:
            (result,) = recogniser.recognise([frame], [camera.seconds])
            good = are_whole(np.asarray(result.boxes, np.float64), camera.height, self._min_height)
            for track, box, is_good in zip(result.tracks, result.boxes, good):
                if track not in running:
                    running[track] = TrackCrops(track, camera.seconds, self._interval, self._most)
                crops = running[track]
                crops.last = camera.seconds
                if is_good:
                    crops.add(camera.seconds, camera.frame_number, crop_person(frame, box))
            for track, crops in list(running.items()):
                if track.decided and camera.seconds - crops.last > OVER_SECONDS:
                    self._write(running.pop(track), camera.name, number)
            progress.add()
        for crops in running.values():
            self._write(crops, camera.name, number)

    def _write(self, crops: TrackCrops, video: str, number: int) -> None:
        """Writes the images and the contact sheet of a track, if it has enough images."""
        best = crops.best()
        if len(best) < self._fewest:
            return
        name = f"{len(self.rows) + 1:04d}"
        place = self._folder / name
        place.mkdir()
        for crop in best:
            encoded = cv2.imencode(".jpg", crop.image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
            (place / f"c{number}_t{name}_{crop.frame:06d}.jpg").write_bytes(encoded.tobytes())
        image_grid.write_png(self._folder / SHEETS / f"{name}.png", contact_sheet(name, best))
        person = final_person(crops.track.shown_person())
        times = f"{clock(crops.begun)} to {clock(crops.last)}"
        about = f"{video.replace('#', '_')} {times}, {len(best)} images"
        self.rows.append(Row(name, f"person-{person.person_id}" if person else f"track-{name}", about))
        self.images += len(best)


def contact_sheet(name: str, crops) -> np.ndarray:
    """The crops of a track with their times, (H, W, 3) uint8 RGB."""
    tiles = [image_grid.tile(crop.image, clock(crop.seconds), image_grid.INK) for crop in crops]
    blank = np.full_like(tiles[0], image_grid.PAPER[0])
    columns = min(len(tiles), SHEET_COLUMNS)
    tiles += [blank] * (-len(tiles) % columns)
    rows = [np.hstack(tiles[start : start + columns]) for start in range(0, len(tiles), columns)]
    head = np.full((20, rows[0].shape[1], 3), image_grid.PAPER, np.uint8)
    image_grid.put_text(head, name, (2, 14), within=head.shape[1])
    return np.vstack([head, *rows])


def harvest(args, detector, embedder) -> None:
    """Makes --output from the videos."""
    output = Path(args.output)
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise InputError(f"--output {output} is there already: name a new folder, so that nothing is lost")
    threshold = embedder.manifest.get("threshold")
    identities = Identities(DEFAULT_THRESHOLD if threshold is None else threshold, learn=True)
    with atomic_folder(output) as folder:
        harvested = Harvest(folder, args.images, args.min_images, args.interval, args.min_height)
        for index, video in enumerate(args.videos):
            with Camera(video, every=args.every) as camera:
                if camera.live:
                    raise InputError(f"{video} is a live camera: record a video first, with demo.py --output")
                recogniser = Recogniser(detector, embedder, identities, [camera.name], 16)
                harvested.read(camera, recogniser, 1 if args.same_camera else index + 1)
        if not harvested.rows:
            raise InputError(
                f"no track has {args.min_images} good images: lower --min_images, --min_height (now "
                f"{args.min_height}) or --detection_threshold (now {args.detection_threshold})"
            )
        (folder / LIST).write_text(format_list(harvested.rows, output), encoding="utf-8")
    people = count_noun(len({row.name for row in harvested.rows}))
    print(f"{output}: {len(harvested.rows)} tracks, {harvested.images} images, perhaps of {people}")
    print(f"next: look at {output / SHEETS}, edit {output / LIST}, and run python3 data/harvest.py --apply {output}")


def main(args) -> None:
    if args.apply is not None:
        if args.videos or args.output:
            raise InputError("--apply changes one folder: leave the videos and --output out")
        counts, dropped = apply_list(Path(args.apply))
        print(f"{args.apply}: {sum(counts.values())} images of {count_noun(len(counts))}, tracks deleted: {dropped}")
        print(f"next: python3 data/prepare.py {args.apply} --kind own --output data/people")
        return
    if not args.videos or not args.output:
        raise InputError("give videos and --output, or --apply FOLDER (see --help)")
    harvest(args, Detector(args.detector, args.detection_threshold), Embedder(args.reid))


if __name__ == "__main__":
    run_main(main, ARGS)
