"""The scripts that benchmarks/kills.py and tests/test_kills.py kill: how each is started, and what must hold after."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import tensorflow as tf

from utils import checkpoint, resnet
from utils.deploy.freeze import FreezeOptions, freeze_reid
from utils.deploy.reid_net import Embedder

SIZE = (64, 32)  # height and width of the images
SAVE_EVERY = 3  # steps
FRAMES = 60  # of the video
SMALL = ("--image_size=64x32", "--width=0.125", "--pretrained=none", "--batch_size=12", "--warmup_steps=2")
TRIPLETS = ("--batch_size=4", "--k=4", "--num_images=30", "--warmup_steps=2", "--embedding_size=64")


class Broken(Exception):
    """What a kill has broken."""


def require(holds, what) -> None:
    if not holds:
        raise Broken(what)


# Each class below has: name; words(), the command to start; has_begun(output so far), whether the part has begun in
# which it is to be killed; span, the seconds that this part takes; reset(rng), before each kill; check(output), after
# each; prepare_last() and check_last(output), for a last run without a kill.


class Training:
    """A run of train_id.py or train_reid.py without an end, which is resumed after each kill."""

    span = 2.0  # seconds after the checkpoint that was waited for

    def __init__(self, kind: str, options, models_dir):
        """kind: id or reid; options: of a new run."""
        self.name = f"train_{kind}"
        self.num_steps = 10**6
        self.folder = Path(models_dir) / kind / "m0"
        self._pattern = {"id": checkpoint.ID_PATTERN, "reid": checkpoint.REID_PATTERN}[kind]
        self._options = [*options, f"--models_dir={models_dir}", f"--save_every={SAVE_EVERY}", "--log_every=1"]
        self._saves = 1  # checkpoints after which it is killed
        self._began_at = 0  # step

    def reset(self, rng) -> None:
        self._saves = rng.integers(0, 4)

    def words(self) -> list:
        restore = self.resumable() is not None
        if not restore:
            shutil.rmtree(self.folder, ignore_errors=True)
        return [f"{self.name}.py", *self._options, f"--restore={restore}", "--id=0", f"--num_steps={self.num_steps}"]

    def has_begun(self, text: str) -> bool:
        return f"run {self.folder}" in text and text.count("; saved ") >= self._saves

    def resumable(self):
        """The newest step with weights and the state of the optimizer; None without."""
        with_state = checkpoint.steps_in(self.folder, checkpoint.STATE_PATTERN)
        return max(set(with_state) & set(checkpoint.steps_in(self.folder, self._pattern)), default=None)

    def check(self, text: str) -> dict:
        """Every checkpoint and JSON file is whole; at most SAVE_EVERY steps are lost, and none that was said saved."""
        steps = checkpoint.steps_in(self.folder, self._pattern)
        prefixes = [self.folder / self._pattern.format(step=step) for step in steps]
        for step, prefix in zip(steps, prefixes):
            require(checkpoint.read_args(prefix).get("step") == step, f"{prefix}.json is not of step {step}")
        for step in checkpoint.steps_in(self.folder, checkpoint.STATE_PATTERN):
            prefixes.append(self.folder / checkpoint.STATE_PATTERN.format(step=step))
        for prefix in prefixes:
            values = checkpoint.read_weights(prefix).values()
            require(all(np.isfinite(value).all() for value in values), f"{prefix} is damaged")
        validation = checkpoint.read_validation(self.folder)
        if validation["suggested"]:
            require(validation["suggested"]["step"] in steps, f"the suggested checkpoint is not in {self.folder}")
        validated = [row["step"] for row in validation["history"]]
        require(set(steps) <= {*validated, *steps[-1:]}, f"a validation is missing in {self.folder}")
        resumable = self.resumable() or 0
        said = [int(line.split(":")[0].split()[1]) for line in text.splitlines() if "; saved " in line]
        require(max(said, default=0) <= resumable, f"{self.folder}: step {max(said, default=0)} was saved, and is gone")
        lost = max(0, last_curve_point(self.folder / "train") - resumable)
        require(lost <= SAVE_EVERY, f"{self.folder}: {lost} steps are lost")
        return {"lost": lost}

    def prepare_last(self) -> None:
        """The next start is to resume the run to its end, two steps later."""
        self._began_at = self.resumable() or 0
        self.num_steps = self._began_at + 2

    def check_last(self, text: str) -> None:
        require(not self._began_at or f"resumed at step {self._began_at}" in text, f"{self.name} did not resume")
        require(self.resumable() == self.num_steps, f"{self.folder} did not reach step {self.num_steps}")
        require(not list(self.folder.rglob("*half-written*")), f"something half-written is left in {self.folder}")


def last_curve_point(folder) -> int:
    """The last step in the newest TensorBoard file of a folder; its last record may be cut."""
    files = sorted(Path(folder).glob("events*"), key=os.path.getmtime)
    step = 0
    try:
        for record in tf.compat.v1.io.tf_record_iterator(str(files[-1])) if files else ():
            step = max(step, tf.compat.v1.Event.FromString(record).step)
    except tf.errors.DataLossError:
        pass
    return step


class Pipeline:
    """Freezes two checkpoints in turn over each other."""

    name = "pipeline"
    span = 2.0

    def __init__(self, prefixes, output):
        """prefixes: of two re-id checkpoints; output: a folder in which reid/ may be there already, of one of them."""
        self._prefixes = prefixes
        self._output = Path(output)
        self._turn = 0
        self._images = np.random.default_rng(1).integers(0, 256, (3, *SIZE, 3), dtype=np.uint8)
        expected = {prefix: checkpoint.load_net(prefix)[0](self._images).numpy() for prefix in set(prefixes)}
        self._expected = [expected[prefix] for prefix in prefixes]

    def reset(self, rng) -> None:
        self._turn += 1

    def words(self) -> list:
        prefix = self._prefixes[self._turn % 2]
        return ["pipeline.py", prefix, f"--output={self._output}", "--engine=tensorflow", "--batch=2"]

    def has_begun(self, text: str) -> bool:
        return "reid: freezing" in text

    def check(self, text: str) -> dict:
        """The frozen model loads, and is of one checkpoint or of the other."""
        found = Embedder(self._output / "reid").embed(self._images)
        differences = [np.abs(found - expected).max() for expected in self._expected]
        require(min(differences) < 1e-3, f"{self._output}/reid is of neither checkpoint: {differences}")
        return {"old": int(np.argmin(differences) != self._turn % 2)}

    def prepare_last(self) -> None:
        self._turn += 1

    def check_last(self, text: str) -> None:
        require(not self.check(text)["old"], "the model was not replaced")
        require(os.listdir(self._output) == ["reid"], f"something is left in {self._output}")


class Prepare:
    """Copies people into the layout; nothing is there before."""

    name = "prepare"
    span = 0.5

    def __init__(self, source, output):
        """source: a folder of people; output: a folder of its own."""
        self._source = source
        self._output = Path(output)
        self._whole = None  # {path: bytes} of the finished layout

    def reset(self, rng) -> None:
        shutil.rmtree(self._output / "set", ignore_errors=True)

    def words(self) -> list:
        self._output.mkdir(exist_ok=True)
        return ["data/prepare.py", self._source, f"--output={self._output}/set", "--link=copy", "--skip_reading"]

    def has_begun(self, text: str) -> bool:
        return any(self._output.iterdir())

    def check(self, text: str) -> dict:
        """The layout is there with all its files, or not at all."""
        place = self._output / "set"
        files = {str(path.relative_to(place)): path.read_bytes() for path in place.rglob("*") if path.is_file()}
        if place.exists():
            self._whole = self._whole or files
            require(files == self._whole, f"{place} is not whole")
        return {"old": int(not place.exists())}

    def prepare_last(self) -> None:
        self.reset(None)

    def check_last(self, text: str) -> None:
        require(os.listdir(self._output) == ["set"], f"something is left in {self._output}")


class Demo:
    """Writes a video, tracks, events and a summary over older ones."""

    name = "demo"
    span = 2.0

    def __init__(self, folder, reid):
        """folder: a folder of its own; reid: a frozen re-id net."""
        self._folder = Path(folder)
        self._out = self._folder / "out"
        self._reid = reid
        self._folder.mkdir(exist_ok=True)
        draw_walk(self._folder / "walk.avi", self._folder / "walk.txt")

    def reset(self, rng) -> None:
        shutil.rmtree(self._out, ignore_errors=True)
        self._out.mkdir()
        for name in ("people.avi", "tracks.txt", "summary.json"):
            (self._out / name).write_text("older")
        (self._out / "events.jsonl").write_text('{"event": "older"}\n')

    def words(self) -> list:
        names = {"output": "people.avi", "tracks": "tracks.txt", "events": "events.jsonl", "summary": "summary.json"}
        outputs = [f"--{option}={self._out / name}" for option, name in names.items()]
        source = [f"--source={self._folder}/walk.avi", f"--detections={self._folder}/walk.txt"]
        return ["demo.py", *source, f"--reid={self._reid}", "--headless", *outputs]

    def has_begun(self, text: str) -> bool:
        return any(path.name.startswith(".half-written") for path in self._out.iterdir()) or "video: " in text

    def check(self, text: str) -> dict:
        """Each file is the older one or whole; every event is a whole line, and the older ones are still there."""
        lines = (self._out / "events.jsonl").read_text().splitlines(keepends=True)
        require(lines[0] == '{"event": "older"}\n' and lines[-1].endswith("\n"), "events are lost or cut")
        for line in lines:
            json.loads(line)
        replaced = [name for name in ("people.avi", "tracks.txt", "summary.json") if self._is_new(name)]
        if "summary.json" in replaced:
            require(json.loads((self._out / "summary.json").read_text())["frames"] == FRAMES, "the summary is cut")
            require(len(replaced) == 3, "the summary is written, and the video or the tracks are not")
        if "people.avi" in replaced:
            require(count_frames(self._out / "people.avi") == FRAMES, "the video is cut")
        if "tracks.txt" in replaced:
            rows = (self._out / "tracks.txt").read_text().splitlines()
            require(int(rows[-1].split(",")[0]) == FRAMES, "the tracks are cut")
        return {"old": int(not replaced)}

    def _is_new(self, name: str) -> bool:
        return (self._out / name).read_bytes() != b"older"

    def prepare_last(self) -> None:
        self.reset(None)

    def check_last(self, text: str) -> None:
        require(self._is_new("people.avi") and self._is_new("summary.json"), "the demo wrote nothing")


# ---- what they work on ----


def draw_walk(video, boxes) -> None:
    """A video of a red rectangle that walks, and its boxes in MOTChallenge's form."""
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter_fourcc(*"MJPG"), 10, (240, 120))
    lines = []
    for number in range(FRAMES):
        frame = np.full((120, 240, 3), 128, np.uint8)
        frame[20:100, 10 + number : 40 + number] = (0, 0, 255)
        writer.write(frame)
        lines.append(f"{number + 1},-1,{11 + number},21,30,80,1,-1,-1,-1\n")
    writer.release()
    Path(boxes).write_text("".join(lines))


def count_frames(path) -> int:
    video = cv2.VideoCapture(str(path))
    count = 0
    while video.read()[0]:
        count += 1
    video.release()
    return count


def draw_people(folder, people: int, images: int) -> None:
    """A folder for each person, with images by two cameras."""
    rng = np.random.default_rng(0)
    for person in range(people):
        place = Path(folder) / f"person {person}"
        place.mkdir(parents=True)
        for number in range(images):
            image = rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8)
            cv2.imwrite(str(place / f"{number}_c{number % 2 + 1}.png"), image)


def write_models(folder) -> tuple:
    """Networks with random weights: (prefix of an ID model, prefixes of two re-id models, the first of them frozen)."""
    about = {"image_size": list(SIZE), "width": 0.125, "val_identities": 2}
    id_model = Path(folder) / "id" / "model.ckpt-1"
    checkpoint.save_weights(resnet.build_id_net(6, SIZE, 0.125), id_model, about)
    prefixes = [Path(folder) / f"reid{number}" / "reid_model-1.ckpt" for number in range(2)]
    for prefix in prefixes:
        checkpoint.save_weights(resnet.build_embedding_net(SIZE, 0.125, 32), prefix, about)
    people = np.random.default_rng(0).integers(0, 256, (2, *SIZE, 3), dtype=np.uint8)
    frozen = Path(folder) / "frozen_reid"
    freeze_reid(prefixes[0], frozen, lambda size: people, batch=2, options=FreezeOptions(engine="tensorflow"))
    return str(id_model), list(map(str, prefixes)), frozen
