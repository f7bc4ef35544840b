"""Embeddings for TensorBoard's projector: each image is a point that shows the image itself.

`write_projector` fills the folder of a TensorBoard run, which must have an event file: TensorBoard reads no others.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from tensorboard.plugins import projector

from utils.errors import InputError
from utils.files import write_whole
from utils.image_grid import read_rgb

MAX_IMAGES = 1000  # PCA and t-SNE run in the browser
THUMBNAIL = 64  # pixels; 1000 thumbnails make a sprite of 2048 x 2048
NAME = "embeddings"
TENSOR = "embeddings.tsv"
METADATA = "metadata.tsv"
SPRITE = "sprite.png"


def write_projector(folder, embeddings, paths, identities, cameras) -> None:
    """Writes the four files of the projector into `folder`; older ones are replaced.

    embeddings: (N, E) float; paths: N image files; identities, cameras: (N,) int. Of more than MAX_IMAGES images, those
    of the first identities are shown. InputError if the folder cannot be written.
    """
    folder = Path(folder)
    shown = np.argsort(identities, kind="stable")[:MAX_IMAGES]
    # Labels are text, because TensorBoard would show plain numbers as a color scale and not as labels.
    rows = [f"person {identities[i]}\tcamera {cameras[i]}\t{_one_line(Path(paths[i]).name)}" for i in shown]
    vectors = ["\t".join(f"{value:.4g}" for value in embeddings[i]) for i in shown]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / TENSOR, _lines(vectors))
        write_whole(folder / METADATA, _lines(["identity\tcamera\tfile", *rows]))
        write_whole(folder / SPRITE, cv2.imencode(".png", sprite([paths[i] for i in shown]))[1].tobytes())
        projector.visualize_embeddings(str(folder), _config())  # last, because it names the others
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error.strerror}): make room, or name another place") from None


def _config() -> projector.ProjectorConfig:
    """The configuration that gives TensorBoard the names of the files."""
    config = projector.ProjectorConfig()
    entry = config.embeddings.add()
    entry.tensor_name = NAME
    entry.tensor_path = TENSOR
    entry.metadata_path = METADATA
    entry.sprite.image_path = SPRITE
    entry.sprite.single_image_dim.extend([THUMBNAIL, THUMBNAIL])
    return config


def sprite(paths) -> np.ndarray:
    """Square thumbnails of N images, row by row in a square sheet: (S, S, 4) uint8 BGRA, S a multiple of THUMBNAIL.

    TensorBoard draws each thumbnail as a square, so an upright image gets transparent sides.
    """
    columns = int(np.ceil(np.sqrt(len(paths))))
    sheet = np.zeros((columns * THUMBNAIL, columns * THUMBNAIL, 4), np.uint8)
    for number, path in enumerate(paths):
        image = cv2.cvtColor(read_rgb(path), cv2.COLOR_RGB2BGRA)  # (h, w, 4)
        scale = THUMBNAIL / max(image.shape[:2])
        height, width = (max(1, round(scale * length)) for length in image.shape[:2])
        row, column = divmod(number, columns)
        top = row * THUMBNAIL + (THUMBNAIL - height) // 2
        left = column * THUMBNAIL + (THUMBNAIL - width) // 2
        thumbnail = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        sheet[top : top + height, left : left + width] = thumbnail
    return sheet


def _lines(lines: list) -> bytes:
    return ("\n".join(lines) + "\n").encode(errors="backslashreplace")  # a name may be no UTF-8


def _one_line(text: str) -> str:
    return " ".join(text.split())
