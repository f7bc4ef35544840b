"""Embeddings for TensorBoard's projector: every picture a point that shows the picture itself.

`write_projector` fills the folder of a TensorBoard run (one with an event file: TensorBoard looks nowhere else).
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from tensorboard.plugins import projector

from utils.errors import InputError
from utils.files import write_whole
from utils.image_grid import read_rgb

MOST = 1000  # pictures: TensorBoard's own computations (PCA, t-SNE) run in the browser
THUMBNAIL = 64  # pixels; 1000 of them make a sprite of 2048 x 2048
NAME = "embeddings"
TENSOR, METADATA, SPRITE = "embeddings.tsv", "metadata.tsv", "sprite.png"


def write_projector(folder, embeddings, paths, identities, cameras) -> None:
    """(N, E) float, N paths, (N,) and (N,) int -> the projector's four files in `folder`; older ones are replaced.

    Of more than MOST pictures those of the first identities. InputError if the folder can't be written.
    """
    folder, shown = Path(folder), np.argsort(identities, kind="stable")[:MOST]
    config = projector.ProjectorConfig()
    entry = config.embeddings.add()
    entry.tensor_name, entry.tensor_path, entry.metadata_path = NAME, TENSOR, METADATA
    entry.sprite.image_path = SPRITE
    entry.sprite.single_image_dim.extend([THUMBNAIL, THUMBNAIL])
    # In words, for TensorBoard would take bare numbers for amounts: no label of a point, and a colour scale.
    rows = [f"person {identities[i]}\tcamera {cameras[i]}\t{_one_line(Path(paths[i]).name)}" for i in shown]
    lines = ["\t".join(map("{:.4g}".format, embeddings[i])) for i in shown]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / TENSOR, ("\n".join(lines) + "\n").encode())
        write_whole(folder / METADATA, ("\n".join(["identity\tcamera\tfile", *rows]) + "\n").encode())
        png = cv2.imencode(".png", sprite([paths[i] for i in shown]))[1]
        write_whole(folder / SPRITE, png.tobytes())
        projector.visualize_embeddings(str(folder), config)  # last: it names the others
    except OSError as error:
        raise InputError(f"{folder} can't be written ({error.strerror}): make room, or name another place") from None


def sprite(paths) -> np.ndarray:
    """Square thumbnails of N pictures, row by row in a square sheet: (S, S, 4) uint8 BGRA, S a multiple of THUMBNAIL.

    TensorBoard draws each thumbnail as a square, so an upright picture gets transparent sides.
    """
    side = int(np.ceil(np.sqrt(len(paths))))
    sheet = np.zeros((side * THUMBNAIL, side * THUMBNAIL, 4), np.uint8)
    for number, path in enumerate(paths):
        picture = cv2.cvtColor(read_rgb(path), cv2.COLOR_RGB2BGRA)
        scale = THUMBNAIL / max(picture.shape[:2])
        height, width = (max(1, round(scale * length)) for length in picture.shape[:2])
        top = number // side * THUMBNAIL + (THUMBNAIL - height) // 2
        left = number % side * THUMBNAIL + (THUMBNAIL - width) // 2
        sheet[top : top + height, left : left + width] = cv2.resize(
            picture, (width, height), interpolation=cv2.INTER_AREA
        )
    return sheet


def _one_line(text: str) -> str:
    return " ".join(text.split())
