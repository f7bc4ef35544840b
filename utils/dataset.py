"""Data sets of person images: identity and camera from the file name, splits for validation, tf.data input.

A data set is three folders, `<data_dir>/bounding_box_train`, `bounding_box_test` (the gallery) and `bounding_box_query`
(Market-1501's own `query` is accepted too).
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from utils import folders, image_files
from utils.errors import InputError
from utils.files import IMAGE_SUFFIXES
from utils.metrics import DISTRACTOR, JUNK

UNKNOWN_CAMERA = 0

FOLDERS = {
    "train": ("bounding_box_train",),
    "test": ("bounding_box_test",),
    "query": ("bounding_box_query", "query"),
}
SUFFIXES = IMAGE_SUFFIXES

# 0002_c1s1_000451_03.jpg (Market-1501) · 0005_c2_f0046985.jpg (DukeMTMC-reID) · 0001_c1_1.png (CUHK03-NP)
# · 1425_cam1_f1223.jpg
# A longer number is none: an identity has 64 bits.
WITH_C = re.compile(r"(-?\d{1,18})_c(?:am)?(\d{1,9})(?!\d)")
# 0000_000_01_0303morning_0008_0.jpg (MSMT17): identity, running number, camera
MSMT17 = re.compile(r"(\d{1,18})_\d+_(\d{1,9})_\d{4}(?:morning|noon|afternoon)_")


class LabelledImages(NamedTuple):
    """N image files with their labels: (N,) str paths, (N,) int64 identities, (N,) int64 cameras."""

    paths: np.ndarray
    identities: np.ndarray
    cameras: np.ndarray

    def take(self, chosen) -> LabelledImages:
        """The images that `chosen` selects: (N,) bool, or (M,) int indices."""
        return LabelledImages(*(column[chosen] for column in self))


class ImageDataset:
    """The images of one folder, sorted by file name.

    `paths` is a list of str, `identities` and `cameras` are both (N,) int64.
    For other file names override get_class_from_path; for tests across cameras get_camera_from_path as well.
    InputError names the first file whose name does not parse.
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise InputError(
                f"no folder {folder}: unpack the data set there, or set data_dir to the folder that holds it "
                "(data/README.md describes the layout)"
            )
        self.paths = folders.list_images(self.folder)
        if not self.paths:
            raise InputError(
                f"no .jpg or .png image in {folder}: unpack the data set there (data/README.md describes the layout)"
            )
        self.identities = np.array([self.get_class_from_path(path) for path in self.paths], dtype=np.int64)  # (N,)
        self.cameras = np.array([self.get_camera_from_path(path) for path in self.paths], dtype=np.int64)  # (N,)

    def get_class_from_path(self, path) -> int:
        """The identity: 1425 for /path/to/1425_cam1_f1223.jpg, -1 for junk, 0 for a distractor.

        MSMT17 counts identities from 0, so 1 is added there.
        """
        parsed = self._parse(path)
        if parsed is None:
            raise InputError(
                f"cannot read the identity from the name of {path}: rename it like 0002_c1s1_000451_03.jpg, "
                "or override get_class_from_path in utils/dataset.py"
            )
        return parsed[0]

    def get_camera_from_path(self, path) -> int:
        """The camera: 1 for /path/to/1425_cam1_f1223.jpg, 15 for ..._c15s1_..., 0 if the name has no camera."""
        parsed = self._parse(path)
        return UNKNOWN_CAMERA if parsed is None else parsed[1]

    def _parse(self, path):
        """(identity, camera) from a file name, None if the name is of no known kind."""
        name = Path(path).name
        match = MSMT17.match(name)
        if match:
            return int(match.group(1)) + 1, int(match.group(2))
        match = WITH_C.match(name)
        return (max(int(match.group(1)), JUNK), int(match.group(2))) if match else None

    def require_cameras(self) -> None:
        """InputError if the camera of an image is unknown: then nothing can be tested across cameras."""
        unknown = np.flatnonzero(self.cameras == UNKNOWN_CAMERA)
        if len(unknown):
            raise InputError(
                f"cannot read the camera from the name of {self.paths[unknown[0]]}: rename it like "
                "0002_c1s1_000451_03.jpg, or override get_camera_from_path in utils/dataset.py"
            )

    def __len__(self):
        return len(self.paths)

    def people(self) -> np.ndarray:
        """Indices of the images that show a known identity: neither junk nor distractors."""
        return np.flatnonzero(self.identities > DISTRACTOR)


def open_split(data_dir, split: str, kind=ImageDataset) -> ImageDataset:
    """The data set of 'train', 'test' or 'query' below data_dir."""
    candidates = [Path(data_dir) / name for name in FOLDERS[split]]
    return kind(next((folder for folder in candidates if folder.is_dir()), candidates[0]))


# ---- splits for validation ----


def hold_out_identities(identities: np.ndarray, count: int, seed: int) -> np.ndarray:
    """(N,) bool: True for the images of `count` identities that no training may see.

    Equal sets and seeds give equal results. InputError if fewer than two identities would remain.
    """
    known = np.unique(identities)
    if count > len(known) - 2:
        raise InputError(
            f"val_identities={count} leaves fewer than two of the {len(known)} training identities: "
            + fitting_val_identities(len(known))
        )
    return np.isin(identities, np.random.default_rng(seed).permutation(known)[:count])


def fitting_val_identities(known: int) -> str:
    """The end of a sentence: which val_identities fit `known` training identities."""
    if known < 4:
        return "add people, because training needs two and validation two others"
    return "give --val_identities=2" + (f" to {known - 2}" if known > 4 else "")


def hold_out_images(identities: np.ndarray, per_identity: int, seed: int) -> np.ndarray:
    """(N,) bool: True for `per_identity` random images of each identity; at least two of each remain for training."""
    held_out = np.zeros(len(identities), bool)
    rng = np.random.default_rng(seed)
    for identity in np.unique(identities):
        images = np.flatnonzero(identities == identity)
        spare = min(per_identity, len(images) - 2)
        if spare > 0:
            held_out[rng.choice(images, spare, replace=False)] = True
    return held_out


# ---- images for the network ----


def decode(content):
    """The image in the bytes of a JPEG or PNG file, turned upright as its EXIF says: (H, W, 3) uint8 RGB."""
    image = tf.io.decode_jpeg(content, channels=3, dct_method="INTEGER_ACCURATE")  # reads PNG as well
    head = tf.strings.substr(content, 0, image_files.HEAD)
    has_exif = tf.strings.regex_full_match(head, r"\C*(Exif|eXIf)\C*")  # \C is any byte: most images need no Python
    return tf.cond(has_exif, lambda: _upright(image, head), lambda: image)


def _orientation(head) -> np.int64:
    """The EXIF orientation in the head of a file, as TensorFlow passes it: bytes, in an array or alone."""
    return np.int64(image_files.orientation(head if isinstance(head, bytes) else head.item()))


def _upright(image, head):
    """An image (H, W, 3) turned as the EXIF in the head of its file says."""
    orientation = tf.numpy_function(_orientation, [head], tf.int64, stateful=False)
    transposed, left_right, top_bottom = zip(*(image_files.turns(value) for value in range(9)))
    image = tf.cond(tf.gather(transposed, orientation), lambda: tf.transpose(image, (1, 0, 2)), lambda: image)
    image = tf.cond(tf.gather(left_right, orientation), lambda: image[:, ::-1], lambda: image)
    return tf.cond(tf.gather(top_bottom, orientation), lambda: image[::-1], lambda: image)


def decode_and_resize(path, image_size):
    """The image of a file: (H, W, 3) float32 RGB, 0..255. path: bytes, or a scalar string tensor.

    Exact JPEG decoding and plain bilinear sampling give what image_files.read_bgr and OpenCV's resize(INTER_LINEAR)
    give, so that the crops of the demo look to the network like its training images.
    """
    image = tf.image.resize(decode(tf.io.read_file(path)), image_size)
    return tf.ensure_shape(image, (*image_size, 3))


def as_tensor(paths) -> tf.Tensor:
    """(N,) string tensor of N paths, also of names that are no UTF-8."""
    return tf.constant([os.fsencode(path) for path in paths], tf.string)


def augment(image, seed, flip=True, pad=10, random_erasing=0.5, color_jitter=0.0):
    """A random change of one training image, (H, W, 3) float32 RGB, 0..255; the result has the same shape and range.

    seed: (2,) int32. Equal seeds give equal images.
    flip: mirror half of the images.
    pad: pixels of black added on each side before a random crop of the original size.
    random_erasing: the share of images in which a rectangle of 2 to 40 % of the area becomes grey (Zhong et al. 2017,
    arXiv 1708.04896).
    color_jitter: the largest relative change of brightness, contrast and saturation; 0 leaves colors as they are.
    """
    seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 8))
    if flip:
        image = tf.image.stateless_random_flip_left_right(image, seeds[0])
    if color_jitter:
        lower = 1 - color_jitter
        upper = 1 + color_jitter
        image = image * tf.random.stateless_uniform((), seeds[1], lower, upper)
        image = tf.image.stateless_random_contrast(image, lower, upper, seeds[2])
        image = tf.image.stateless_random_saturation(tf.clip_by_value(image, 0, 255), lower, upper, seeds[3])
    if pad:
        height, width, _ = image.shape
        image = tf.pad(image, [[pad, pad], [pad, pad], [0, 0]])
        image = tf.image.stateless_random_crop(image, (height, width, 3), seeds[4])
    if random_erasing:
        image = _erase_rectangle(image, seeds[5:8], random_erasing)
    return tf.clip_by_value(image, 0, 255)


def _erase_rectangle(image, seeds, share):
    """In this share of the images a random rectangle becomes grey."""
    height, width, _ = image.shape
    area = tf.random.stateless_uniform((), seeds[0], 0.02, 0.4) * height * width
    # Height to width, uniform in its logarithm: tall rectangles are as likely as wide ones.
    aspect = tf.exp(tf.random.stateless_uniform((), seeds[1], tf.math.log(0.3), tf.math.log(1 / 0.3)))
    happens, top, left = tf.unstack(tf.random.stateless_uniform((3,), seeds[2]))
    tall = tf.minimum(tf.sqrt(area * aspect), height)
    wide = tf.minimum(tf.sqrt(area / aspect), width)
    rows = tf.range(height, dtype=tf.float32) - top * (height - tall)  # (H,), 0 in the first row of the rectangle
    columns = tf.range(width, dtype=tf.float32) - left * (width - wide)  # (W,)
    inside = ((rows >= 0) & (rows < tall))[:, None] & ((columns >= 0) & (columns < wide))[None, :]  # (H, W)
    grey = tf.constant([123.68, 116.779, 103.939])  # the ImageNet mean: zero after normalisation
    return tf.where(inside[..., None] & (happens < share), grey, image)


def load_image(path, image_size):
    """The image of a file: (H, W, 3) uint8 RGB, the one type that all networks take, in training and on the device."""
    return tf.cast(tf.round(decode_and_resize(path, image_size)), tf.uint8)


def augmented(image, seed, augmentation):
    """`augment` for (H, W, 3) uint8 -> uint8. augmentation: its keyword arguments; seed: (2,) int."""
    seed = tf.cast(seed % (2**31), tf.int32)
    return tf.cast(tf.round(augment(tf.cast(image, tf.float32), seed, **augmentation)), tf.uint8)


def shuffled_batches(read, labels, batch_size, seed, augmentation, first_batch=0):
    """Endless batches of ((B, H, W, 3) uint8 RGB, (B,) int32 labels), in a new order in each pass, augmented.

    read: image number -> (H, W, 3) uint8 RGB, as tensors; labels: (N,), of the images 0..N-1. Each batch depends only
    on `seed` and its number. first_batch: number of the first batch, to resume as if the batches before it had been
    drawn. augmentation: keyword arguments of `augment`.
    """
    indices = tf.data.Dataset.range(len(labels))
    indices = indices.shuffle(len(labels), seed=seed, reshuffle_each_iteration=True).repeat()
    # Skipping happens before decoding, so that resuming at batch 10,000 takes a moment.
    numbered = indices.enumerate().skip(first_batch * batch_size)
    labels = tf.constant(labels, tf.int32)

    def load(number, index):
        return augmented(read(index), tf.stack([tf.cast(seed, tf.int64), number]), augmentation), labels[index]

    loaded = numbered.map(load, tf.data.AUTOTUNE)
    return loaded.batch(batch_size, drop_remainder=True).prefetch(tf.data.AUTOTUNE)


def image_batches(paths, image_size, batch_size):
    """One pass in the given order, without augmentation: (B, H, W, 3) uint8 RGB; the last batch may be shorter."""

    def load(path):
        return load_image(path, image_size)

    loaded = tf.data.Dataset.from_tensor_slices(as_tensor(paths)).map(load, tf.data.AUTOTUNE)
    return loaded.batch(batch_size).prefetch(tf.data.AUTOTUNE)


# ---- files that are not images ----


def check_images(paths) -> None:
    """InputError if a file is empty, cut short, or neither JPEG nor PNG; the message names the file.

    It takes about 50 us per file: only files without the last bytes of their format are decoded, because some writers
    append a few bytes of their own.
    """
    for path in paths:
        try:
            with open(path, "rb") as file:
                head = file.read(8)
                size = file.seek(0, 2)
                file.seek(max(0, size - 12))
                tail = file.read()
        except OSError as error:
            if os.path.islink(path):
                raise InputError(
                    f"{path} cannot be read: a link that leads nowhere; is {os.readlink(path)} there?"
                ) from None
            raise InputError(f"{path} cannot be read ({error.strerror}): copy it again or remove it") from None
        if not head:
            raise InputError(f"{path} is empty: copy it again or remove it")
        if not (head.startswith(b"\xff\xd8\xff") or head == b"\x89PNG\r\n\x1a\n"):
            raise InputError(f"{path} is not a JPEG or PNG image: copy it again or remove it")
        if not tail.endswith(b"\xff\xd9") and b"IEND" not in tail and find_unreadable([path]):
            raise InputError(f"{path} cannot be decoded, it may be cut short: copy it again or remove it")


@contextlib.contextmanager
def decode_errors_named(paths):
    """Turns a decoding error inside the block, which tf.data raises without a name, into an InputError with the file.

    paths: the files that the block reads.
    """
    try:
        yield
    except (tf.errors.InvalidArgumentError, tf.errors.NotFoundError):
        path = find_unreadable(paths)
        if path:
            raise InputError(f"{path} cannot be decoded (any more): copy it again or remove it") from None
        raise


def find_unreadable(paths):
    """The first path that cannot be decoded, or None."""
    for path in paths:
        try:
            decode_and_resize(os.fsencode(path), (32, 32))
        except tf.errors.OpError:
            return path
    return None
