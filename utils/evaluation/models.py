"""Opens the models that test_reid.py measures: checkpoints and frozen models.

A checkpoint reads images as in training, a frozen model as in demo.py. The figures of a frozen model thus include its
precision, its fixed batch size, and decoding and resizing by OpenCV.
"""

from __future__ import annotations

from pathlib import Path
from typing import Callable, NamedTuple

import numpy as np
import tensorflow as tf

from utils import checkpoint
from utils.checkpoint_paths import find_checkpoint, newest_checkpoint
from utils.dataset import image_batches
from utils.deploy.manifest import MANIFEST, read_manifest
from utils.deploy.reid_net import Embedder, read_person
from utils.embed import BATCH, compile_embed, embed_batches
from utils.errors import InputError
from utils.files import real_path


class Model(NamedTuple):
    """A model to measure.

    name: its path, or a description. about: kind ('checkpoint' or 'frozen'), engine, precision, image_size [H, W].
    original: the path of the model that a frozen one was made from, None if it does not exist. embed: (B, H, W, 3)
    uint8 RGB of image_size -> (B, E) float32 of norm 1. read: paths -> yields such batches. reid: False for an ID
    model, which can be measured but not frozen.
    """

    name: str
    about: dict
    original: str | None
    embed: Callable
    read: Callable
    reid: bool = True

    def embed_paths(self, paths, desc=None, flip=False) -> np.ndarray:
        """(N, E) float32, the embeddings of N files in their order.

        desc: the name on the progress line, None for silence. flip: take the mean of the embeddings of each image and
        of its mirror image, scaled to norm 1. InputError if an embedding is not finite.
        """
        embed = self.embed_with_mirror if flip else self.embed
        embeddings = embed_batches(embed, self.read(paths), len(paths), desc)
        if not np.isfinite(embeddings.sum()):
            raise InputError(f"{self.name} returns embeddings that are not numbers: use an earlier checkpoint")
        return embeddings

    def embed_with_mirror(self, images) -> np.ndarray:
        """(B, H, W, 3) uint8 RGB -> (B, E) float32 of norm 1."""
        embeddings = self.embed(images) + self.embed(images[:, :, ::-1])
        return embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)


def is_frozen(path) -> bool:
    """True if the path is a folder with the manifest of a frozen model."""
    return (Path(path) / MANIFEST).is_file()


def find_models(names) -> list:
    """The paths of the models that a user names, each once; the original of a frozen model comes before it.

    names: checkpoints, run folders (their suggested step), folders of frozen re-id models, or 'newest'.
    InputError for a name that is none of these.
    """
    found = {}
    for name in names:
        if is_frozen(name):
            paths = [find_original(name), str(name)]
        elif name == "newest":
            paths = [newest_checkpoint()]
        else:
            paths = [find_trained(name)]
        for path in filter(None, paths):
            found.setdefault(real_path(path), path)
    return list(found.values())


def find_trained(name) -> str:
    """The checkpoint that `name` stands for, as find_checkpoint; InputError also for a missing frozen model."""
    if "frozen" in Path(name).parts and not Path(name).exists():
        raise InputError(
            f"there is no frozen model {name}: freeze a re-id model with python3 pipeline.py first, or name a "
            "checkpoint"
        )
    return find_checkpoint(name)


def find_original(folder) -> str | None:
    """The model that a frozen re-id model was made from, None if it does not exist.

    That is a checkpoint, or the TensorFlow graph in <folder>/plain from which the engines of TF-TRT were built.
    """
    source = read_manifest(folder, "reid").get("source", {}).get("checkpoint")
    if source and Path(f"{source}.index").is_file():
        return source
    plain = Path(folder) / "plain"
    return str(plain) if is_frozen(plain) else None


def open_model(path, image_size=None, untrained=False) -> Model:
    """Opens a model that find_models found.

    image_size: [H, W], only for a checkpoint that was copied without its .json. untrained: use random weights in the
    shape of the checkpoint. InputError if the model cannot be used on this machine, or is frozen and `untrained`.
    """
    if not is_frozen(path):
        return open_checkpoint(path, image_size, untrained)
    if untrained:
        raise InputError(f"random weights need the shape of a checkpoint; {path} is a frozen model: name a checkpoint")
    return open_frozen(path)


def open_checkpoint(prefix, image_size, untrained) -> Model:
    """A checkpoint as a Model; arguments as in open_model."""
    tf.keras.utils.set_random_seed(0)
    net, args = checkpoint.load_net(prefix, image_size, untrained)
    size = args["image_size"]

    def read(paths):
        return (images.numpy() for images in image_batches(paths, size, BATCH))

    name = f"random weights in the shape of {prefix}" if untrained else prefix
    about = {"kind": "checkpoint", "engine": "tensorflow", "precision": "FP32", "image_size": list(size)}
    return Model(name, about, None, compile_embed(net), read, "embedding_size" in args)


def open_frozen(folder) -> Model:
    """A frozen re-id model as a Model."""
    frozen = Embedder(folder)

    def read(paths):
        for start in range(0, len(paths), BATCH):
            yield np.stack([read_person(path, frozen.image_size) for path in paths[start : start + BATCH]])

    about = {
        "kind": "frozen",
        "engine": frozen.manifest["engine"],
        "precision": frozen.manifest["precision"],
        "image_size": list(frozen.image_size),
    }
    return Model(str(folder), about, find_original(folder), frozen.embed, read)
