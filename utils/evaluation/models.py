"""The models that test_reid.py measures: a checkpoint, on pictures read as in training, or a frozen one, as in demo.py.

So a frozen model's figures are those of what is deployed: its rounding, its own batch, OpenCV's decoding and resizing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Callable, NamedTuple

import cv2
import numpy as np
import tensorflow as tf

from utils import checkpoint
from utils.checkpoint_paths import find_checkpoint, newest_checkpoint
from utils.dataset import image_batches
from utils.deploy.reid_net import Embedder, crop_people
from utils.deploy.saved_model import MANIFEST, read_manifest
from utils.errors import InputError
from utils.evaluation.embed import BATCH, embedder
from utils.progress import Progress

WHOLE = np.array([[0.0, 0.0, 1.0, 1.0]])  # the box of a person who fills the picture


class Model(NamedTuple):
    """A model to measure.

    name: its path, or what else to call it; about: kind ('checkpoint' or 'frozen'), engine, precision, image_size
    [H, W]; original: the path of what a frozen one was made from, if that is at hand; embed: (B, H, W, 3) uint8 RGB of
    that size -> (B, E) float32 of norm 1; pictures: paths -> yields such batches, as this model gets to see them; reid:
    False for an ID model, which can be measured but not frozen.
    """

    name: str
    about: dict
    original: str | None
    embed: Callable
    pictures: Callable
    reid: bool = True

    def embed_paths(self, paths, desc=None, flip=False) -> np.ndarray:
        """(N, E) float32, the embeddings of N files in their order.

        desc: what to call them on the progress line, None for silence. flip: the mean of each picture's embedding
        and its mirrored one's, brought back to norm 1. InputError if the model returns anything but numbers.
        """
        embeddings, progress = [], Progress(desc and f"{desc}: embedded", len(paths))
        for images in self.pictures(paths):  # (B, H, W, 3) uint8
            found = self.embed(images)  # (B, E)
            if flip:
                found = found + self.embed(images[:, :, ::-1])
                found /= np.linalg.norm(found, axis=1, keepdims=True)
            embeddings.append(found)
            progress.add(len(images))
        embeddings = np.concatenate(embeddings)
        if not np.isfinite(embeddings.sum()):
            raise InputError(f"{self.name} returns embeddings that are no numbers: it is broken, name an earlier one")
        return embeddings


def is_frozen(path) -> bool:
    return (Path(path) / MANIFEST).is_file()


def find_models(named) -> list:
    """The paths of the models that a user names, and before each frozen one that of its original if that is at hand.

    named: checkpoints, run folders (their suggested step), folders of frozen re-id nets, or 'newest'.
    """
    found = {}
    for name in named:
        if is_frozen(name):
            paths = [find_original(name), str(name)]
        else:
            paths = [newest_checkpoint() if name == "newest" else find_trained(name)]
        for path in filter(None, paths):
            found.setdefault(Path(path).resolve(), path)  # each but once, however it was named
    return list(found.values())


def find_trained(name) -> str:
    """As find_checkpoint; where a frozen model was meant that is not there, says how to make one."""
    if "frozen" in Path(name).parts and not Path(name).exists():  # as pipeline.py calls its folder
        raise InputError(f"there is no {name}: freeze a re-id net with python3 pipeline.py first, or name a checkpoint")
    return find_checkpoint(name)


def find_original(folder):
    """The checkpoint that a frozen re-id net was made from, or the plain graph that TF-TRT's engines were built from.

    None where neither is at hand.
    """
    source = read_manifest(folder, "reid").get("source", {}).get("checkpoint")
    if source and Path(f"{source}.index").is_file():
        return source
    plain = Path(folder) / "plain"
    return str(plain) if is_frozen(plain) else None


def open_model(path, image_size=None, untrained=False) -> Model:
    """A model that find_models found; InputError if it can't be used here.

    image_size: [H, W], only for a checkpoint that came without its .json. untrained: random weights in the shape of the
    checkpoint instead.
    """
    if not is_frozen(path):
        return open_checkpoint(path, image_size, untrained)
    if untrained:
        raise InputError(f"--untrained is for checkpoints, and {path} is a frozen model: name a checkpoint")
    return open_frozen(path)


def open_checkpoint(prefix, image_size, untrained) -> Model:
    tf.keras.utils.set_random_seed(0)
    net, args = checkpoint.load_net(prefix, image_size, untrained)
    size, embed = args["image_size"], embedder(net)

    def pictures(paths):
        return (images.numpy() for images in image_batches(paths, size, BATCH))

    name = f"random weights in the shape of {prefix}" if untrained else prefix
    about = {"kind": "checkpoint", "engine": "tensorflow", "precision": "FP32", "image_size": list(size)}
    return Model(name, about, None, lambda images: embed(images).numpy(), pictures, "embedding_size" in args)


def open_frozen(folder) -> Model:
    frozen = Embedder(folder)

    def pictures(paths):
        for start in range(0, len(paths), BATCH):
            crops = (read_as_demo(path, frozen.image_size) for path in paths[start : start + BATCH])
            yield np.concatenate(list(crops))

    about = {name: frozen.manifest[name] for name in ("engine", "precision")}
    about = {"kind": "frozen", **about, "image_size": list(frozen.image_size)}
    return Model(str(folder), about, find_original(folder), frozen.embed, pictures)


def read_as_demo(path, image_size) -> np.ndarray:
    """A file's picture as demo.py cuts a person out of a frame, here out of all of it: (1, H, W, 3) uint8 RGB."""
    # A frame has no note of how the camera was held, and training does not heed it either.
    frame = cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if frame is None:
        raise InputError(f"{path} can't be decoded: copy it again or remove it")
    return crop_people(frame, WHOLE, image_size)
