"""Data sets of person pictures: who and which camera from the file name, splits, and the tf.data input of the scripts.

A data set is three folders, `<data_dir>/bounding_box_train`, `bounding_box_test` (the gallery) and `bounding_box_query`
(Market-1501's own `query` is accepted too). The identity and the camera stand in each file name.
"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import numpy as np
import tensorflow as tf

from utils.errors import InputError
from utils.files import IMAGE_SUFFIXES
from utils.metrics import DISTRACTOR

UNKNOWN_CAMERA = 0

FOLDERS = {
    "train": ("bounding_box_train",),
    "test": ("bounding_box_test",),
    "query": ("bounding_box_query", "query"),
}
SUFFIXES = IMAGE_SUFFIXES

# 0002_c1s1_000451_03.jpg (Market-1501) · 0005_c2_f0046985.jpg (DukeMTMC-reID) · 0001_c1_1.png (CUHK03-NP)
# · 1425_cam1_f1223.jpg
WITH_C = re.compile(r"(-?\d+)_c(?:am)?(\d+)(?!\d)")
# 0000_000_01_0303morning_0008_0.jpg (MSMT17): identity, running number, camera
MSMT17 = re.compile(r"(\d+)_\d+_(\d+)_\d{4}(?:morning|noon|afternoon)_")


class ImageDataset:
    """The pictures of one folder, sorted by file name.

    `paths` is a list of str, `identities` and `cameras` are both (N,) int64.
    For other file names override get_class_from_path; for testing across cameras get_camera_from_path as well.
    InputError names the first file that does not parse.
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise InputError(
                f"no folder {folder}: unpack the data set there, or set data_dir to the folder that holds it "
                "(data/README.md tells the layout)"
            )
        self.paths = sorted(str(path) for path in self.folder.iterdir() if path.suffix.lower() in SUFFIXES)
        if not self.paths:
            raise InputError(
                f"no .jpg or .png picture in {folder}: unpack the data set there (data/README.md tells the layout)"
            )
        self.identities = np.array([self.get_class_from_path(path) for path in self.paths], dtype=np.int64)  # (N,)
        self.cameras = np.array([self.get_camera_from_path(path) for path in self.paths], dtype=np.int64)  # (N,)

    def get_class_from_path(self, path) -> int:
        """The identity: 1425 for /path/to/1425_cam1_f1223.jpg, -1 for junk, 0 for a distractor.

        MSMT17 counts people from 0: one is added.
        """
        parsed = self._parse(path)
        if parsed is None:
            raise InputError(
                f"can't tell the identity from the name of {path}: rename it like 0002_c1s1_000451_03.jpg, "
                "or override get_class_from_path in utils/dataset.py"
            )
        return parsed[0]

    def get_camera_from_path(self, path) -> int:
        """The camera's number: 1 for /path/to/1425_cam1_f1223.jpg, 15 for ..._c15s1_..., 0 where no camera is named."""
        parsed = self._parse(path)
        return UNKNOWN_CAMERA if parsed is None else parsed[1]

    def _parse(self, path):
        name = Path(path).name
        match = MSMT17.match(name)
        if match:
            return int(match.group(1)) + 1, int(match.group(2))
        match = WITH_C.match(name)
        return (int(match.group(1)), int(match.group(2))) if match else None

    def require_cameras(self) -> None:
        """InputError if a picture's camera is not known, without which nothing can be tested across cameras."""
        unknown = np.flatnonzero(self.cameras == UNKNOWN_CAMERA)
        if len(unknown):
            raise InputError(
                f"can't tell the camera from the name of {self.paths[unknown[0]]}: rename it like "
                "0002_c1s1_000451_03.jpg, or override get_camera_from_path in utils/dataset.py"
            )

    def __len__(self):
        return len(self.paths)

    def people(self) -> np.ndarray:
        """Indices of the pictures that show a known identity: neither junk nor distractor."""
        return np.flatnonzero(self.identities > DISTRACTOR)


def open_split(data_dir, split: str, kind=ImageDataset) -> ImageDataset:
    """The data set of 'train', 'test' or 'query' below data_dir."""
    candidates = [Path(data_dir) / name for name in FOLDERS[split]]
    return kind(next((folder for folder in candidates if folder.is_dir()), candidates[0]))


# ---- splits for validation ----


def hold_out_identities(identities: np.ndarray, count: int, seed: int) -> np.ndarray:
    """(N,) bool: True where a picture shows one of `count` identities kept out of all training.

    The same for the same set and seed.
    """
    known = np.unique(identities)
    if count > len(known) - 2:
        raise InputError(
            f"val_identities={count} leaves fewer than two of the {len(known)} training identities: "
            + fitting_val_identities(len(known))
        )
    return np.isin(identities, np.random.default_rng(seed).permutation(known)[:count])


def fitting_val_identities(known: int) -> str:
    """What to do where val_identities does not fit `known` training identities, as the end of a sentence."""
    if known < 4:
        return "add people, for training takes two and validation two others"
    return "give --val_identities=2" + (f" to {known - 2}" if known > 4 else "")


def hold_out_images(identities: np.ndarray, per_identity: int, seed: int) -> np.ndarray:
    """(N,) bool: True for `per_identity` pictures of each identity, taken at random.

    An identity keeps at least two for training.
    """
    held_out = np.zeros(len(identities), bool)
    rng = np.random.default_rng(seed)
    for identity in np.unique(identities):
        pictures = np.flatnonzero(identities == identity)
        spare = min(per_identity, len(pictures) - 2)
        if spare > 0:
            held_out[rng.choice(pictures, spare, replace=False)] = True
    return held_out


# ---- pictures for the network ----


def decode_and_resize(path, image_size):
    """A file's picture: (H, W, 3) float32 RGB, 0..255.

    Exact JPEG decoding and plain bilinear sampling give what OpenCV's imread and resize(INTER_LINEAR) give, so that the
    demo's crops look to the network like its training pictures.
    """
    image = tf.io.decode_jpeg(tf.io.read_file(path), channels=3, dct_method="INTEGER_ACCURATE")  # reads PNG as well
    image = tf.image.resize(image, image_size)
    return tf.ensure_shape(image, (*image_size, 3))


def augment(image, seed, flip=True, pad_crop=10, erase=0.5, jitter=0.0):
    """One training picture (H, W, 3) float32 RGB, 0..255, changed at random as `seed`, (2,) int32, says.

    The same seed, the same picture.
    flip: mirror every other picture.
    pad_crop: pixels of black added on each side before cutting the old size out again.
    erase: the share of pictures in which a rectangle of 2 to 40 % of the area becomes grey (Zhong et al. 2017,
    arXiv 1708.04896).
    jitter: the largest change of brightness, contrast and saturation, as a share; 0 leaves colours alone.
    """
    seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 8))
    if flip:
        image = tf.image.stateless_random_flip_left_right(image, seeds[0])
    if jitter:
        image = image * tf.random.stateless_uniform((), seeds[1], 1 - jitter, 1 + jitter)
        image = tf.image.stateless_random_contrast(image, 1 - jitter, 1 + jitter, seeds[2])
        image = tf.image.stateless_random_saturation(tf.clip_by_value(image, 0, 255), 1 - jitter, 1 + jitter, seeds[3])
    if pad_crop:
        height, width = image.shape[0], image.shape[1]
        image = tf.pad(image, [[pad_crop, pad_crop], [pad_crop, pad_crop], [0, 0]])
        image = tf.image.stateless_random_crop(image, (height, width, 3), seeds[4])
    if erase:
        image = _erase_rectangle(image, seeds[5:8], erase)
    return tf.clip_by_value(image, 0, 255)


def _erase_rectangle(image, seeds, share):
    height, width = image.shape[0], image.shape[1]
    area = tf.random.stateless_uniform((), seeds[0], 0.02, 0.4) * height * width
    # Height to width, as likely upright as lying.
    aspect = tf.exp(tf.random.stateless_uniform((), seeds[1], tf.math.log(0.3), tf.math.log(1 / 0.3)))
    happens, top, left = tf.unstack(tf.random.stateless_uniform((3,), seeds[2]))
    tall = tf.minimum(tf.sqrt(area * aspect), height)
    wide = tf.minimum(tf.sqrt(area / aspect), width)
    rows = tf.range(height, dtype=tf.float32) - top * (height - tall)  # (H,), 0 at the rectangle's first row
    columns = tf.range(width, dtype=tf.float32) - left * (width - wide)  # (W,)
    inside = ((rows >= 0) & (rows < tall))[:, None] & ((columns >= 0) & (columns < wide))[None, :]  # (H, W)
    grey = tf.constant([123.68, 116.779, 103.939])  # the ImageNet mean: after normalisation, zero
    return tf.where(inside[..., None] & (happens < share), grey, image)


def training_batches(paths, labels, image_size, batch_size, seed, augmentation, shuffle=True, first_batch=0):
    """Endless batches of ((B, H, W, 3) uint8 RGB, (B,) int32 labels), augmented.

    Each is a function of `seed` and the batch's number alone. first_batch: where to go on, as if the batches before it
    had been drawn. shuffle=False keeps the given order (mined triplets) and ends after one pass. augmentation: the
    keyword arguments of `augment`.
    """
    indices = tf.data.Dataset.range(len(paths))
    if shuffle:
        indices = indices.shuffle(len(paths), seed=seed, reshuffle_each_iteration=True).repeat()
    # Skipping before decoding: going on at batch 10,000 costs a moment.
    numbered = indices.enumerate().skip(first_batch * batch_size)
    paths, labels = tf.constant(paths), tf.constant(labels, tf.int32)

    def load(number, index):
        image = decode_and_resize(paths[index], image_size)
        seeds = tf.stack([tf.cast(seed, tf.int32), tf.cast(number % (2**31), tf.int32)])
        image = augment(image, seeds, **augmentation)
        return tf.cast(tf.round(image), tf.uint8), labels[index]

    loaded = numbered.map(load, tf.data.AUTOTUNE)
    return loaded.batch(batch_size, drop_remainder=shuffle).prefetch(tf.data.AUTOTUNE)


def image_batches(paths, image_size, batch_size):
    """One pass in the given order, nothing changed: (B, H, W, 3) uint8 RGB, the last batch as short as it comes."""

    def load(path):
        return tf.cast(tf.round(decode_and_resize(path, image_size)), tf.uint8)

    loaded = tf.data.Dataset.from_tensor_slices(list(paths)).map(load, tf.data.AUTOTUNE)
    return loaded.batch(batch_size).prefetch(tf.data.AUTOTUNE)


# ---- files that are no pictures ----


def check_images(paths) -> None:
    """Refuses files that are empty, cut short or no JPEG or PNG at all, before anything long starts.

    That takes about 50 us a file: only one that lacks its format's last bytes is decoded, because some writers append a
    few of their own. InputError names the file.
    """
    for path in paths:
        try:
            with open(path, "rb") as file:
                head = file.read(8)
                size = file.seek(0, 2)
                file.seek(max(0, size - 12))
                tail = file.read()
        except OSError as error:
            raise InputError(f"{path} can't be read ({error.strerror}): copy it again or remove it") from None
        if not head:
            raise InputError(f"{path} is empty: copy it again or remove it")
        if not (head.startswith(b"\xff\xd8\xff") or head == b"\x89PNG\r\n\x1a\n"):
            raise InputError(f"{path} is no JPEG or PNG picture: copy it again or remove it")
        if not tail.endswith(b"\xff\xd9") and b"IEND" not in tail and find_unreadable([path]):
            raise InputError(f"{path} can't be decoded, it may be cut short: copy it again or remove it")


@contextlib.contextmanager
def naming_unreadable(paths):
    """Around work on pictures: a decoding error, which tf.data leaves nameless, becomes an InputError with the name."""
    try:
        yield
    except (tf.errors.InvalidArgumentError, tf.errors.NotFoundError):
        path = find_unreadable(paths)
        if path:
            raise InputError(f"{path} can't be decoded (any more): copy it again or remove it") from None
        raise


def find_unreadable(paths):
    """The first path that can't be decoded, or None."""
    for path in paths:
        try:
            decode_and_resize(path, (32, 32))
        except tf.errors.OpError:
            return path
    return None
