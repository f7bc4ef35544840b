"""Draws the README's diagrams: Pipeline.PNG, Triplet.PNG, Similarity.PNG and Mining.PNG, with the quick run's networks.

    bash quick_run.sh                          # makes the drawn people and the networks that are shown
    python3 -m assets.diagrams                 # all of them
    python3 -m assets.diagrams Triplet.PNG     # one

Every number in an image is computed here, and printed as well.
"""

from __future__ import annotations

from pathlib import Path

from utils.errors import InputError, run_main
from utils.options import make_parser

NAMES = ("Pipeline.PNG", "Triplet.PNG", "Similarity.PNG", "Mining.PNG")


def parse_args():
    parser = make_parser(__doc__)
    add = parser.add_argument
    # fmt: off
    add("names", nargs="*", metavar="NAME", help=f"images to draw: {', '.join(NAMES)}; all if none is named")
    add("--models", default="models/quick_run", help="folder of the quick run: reid/m0 and frozen/ are taken from it")
    add("--data_dir", default="data/quick_run", help="the people that the quick run drew")
    add("--video", default="models/downloads/vtest.avi", help="the sample footage")
    # fmt: on
    args = parser.parse_args()
    unknown = sorted(set(args.names) - set(NAMES))
    if unknown:
        parser.error(f"there is no image {unknown[0]}: name one of {', '.join(NAMES)}")
    return args


ARGS = parse_args() if __name__ == "__main__" else None  # before TensorFlow is imported: --help answers at once

import cv2
import numpy as np

from assets.canvas import BLUE, FAINT, GREEN, INK, RED, Canvas
from utils import checkpoint
from utils.checkpoint_paths import find_checkpoint
from utils.dataset import open_split
from utils.evaluation.embed import compile_embed, embed_paths

MARGIN = 0.3  # quick_run.sh trains with it
FRAME = 130  # of the footage, in the pipeline image: several people, none of them close


class Gallery:
    """The test images with their identities, cameras and embeddings."""

    def __init__(self, args):
        split = open_split(args.data_dir, "test")
        people = split.identities > 0  # no distractors, no junk
        self.paths = [path for path, wanted in zip(split.paths, people) if wanted]
        self.identities = split.identities[people]
        self.cameras = split.cameras[people]
        net, options = checkpoint.load_net(find_checkpoint(Path(args.models) / "reid/m0"))
        self.embeddings = embed_paths(compile_embed(net), self.paths, options["image_size"])  # (N, E)
        self.similarity = self.embeddings @ self.embeddings.T  # (N, N)
        same = self.identities[:, None] == self.identities[None]
        self.positive = same & (self.cameras[:, None] != self.cameras[None])
        self.negative = ~same

    def image(self, index) -> np.ndarray:
        return cv2.cvtColor(cv2.imread(str(self.paths[index])), cv2.COLOR_BGR2RGB)

    def typical(self, pairs) -> tuple:
        """The pair (i, j) whose similarity is the median of all such pairs."""
        rows, columns = np.nonzero(pairs)
        middle = np.argsort(self.similarity[rows, columns])[len(rows) // 2]
        return int(rows[middle]), int(columns[middle])


def similarity_example(gallery) -> Canvas:
    """Two images of one person and one of another: a median pair, and a median negative of it."""
    anchor, positive = gallery.typical(gallery.positive)
    row = np.zeros_like(gallery.negative)
    row[positive] = gallery.negative[positive]
    negative = gallery.typical(row)[1]
    near = gallery.similarity[anchor, positive]
    far = gallery.similarity[positive, negative]
    print(f"similarity: same person {near:.2f}, another person {far:.2f}; medians of all pairs across cameras")
    sheet = Canvas(560, 300)
    for x, index in ((30, anchor), (220, positive), (410, negative)):
        sheet.image(x, 24, gallery.image(index), 120, 240)
        sheet.text(x + 60, 284, f"camera {gallery.cameras[index]}", 12, FAINT, align="centre")
    for x, number, colour, words in ((185, near, GREEN, "same"), (375, far, RED, "other")):
        sheet.text(x, 126, f"{number:.2f}", 21, colour, bold=True, align="centre")
        sheet.arrow((x, 142), (x + 28, 142), colour)
        sheet.arrow((x, 142), (x - 28, 142), colour)
        sheet.text(x, 166, words, 13, colour, align="centre")
    return sheet


def triplet(gallery) -> Canvas:
    """An anchor, a positive and the negative that is too similar, with the loss worked out."""
    gap = np.where(gallery.positive.any(1), 0, np.inf)
    lowest = np.where(gallery.positive, gallery.similarity, np.inf).min(1)
    highest = np.where(gallery.negative, gallery.similarity, -np.inf).max(1)
    # A hard but not a hopeless triplet: the one whose loss is the median of those that have any.
    loss = np.maximum(0, MARGIN + highest - lowest) + gap
    order = np.argsort(loss)
    order = order[np.isfinite(loss[order]) & (loss[order] > 0)]
    anchor = int(order[len(order) // 2])
    positive = int(np.argmin(np.where(gallery.positive[anchor], gallery.similarity[anchor], np.inf)))
    negative = int(np.argmax(np.where(gallery.negative[anchor], gallery.similarity[anchor], -np.inf)))
    near = gallery.similarity[anchor, positive]
    far = gallery.similarity[anchor, negative]
    print(f"triplet: s(a, p) {near:.2f}, s(a, n) {far:.2f}, loss {max(0, MARGIN + far - near):.2f}")
    sheet = Canvas(640, 330)
    sheet.image(40, 70, gallery.image(anchor), 95, 190, BLUE)
    sheet.text(88, 52, "anchor", 15, BLUE, bold=True, align="centre")
    for y, index, number, colour, name in (
        (24, positive, near, GREEN, "positive"),
        (178, negative, far, RED, "negative"),
    ):
        sheet.image(300, y, gallery.image(index), 64, 128, colour)
        sheet.arrow((146, 165), (288, y + 64), colour)
        sheet.text(222, y + (58 if y < 100 else 84), f"{number:.2f}", 19, colour, bold=True, align="centre")
        sheet.text(378, y + 52, name, 15, colour, bold=True)
    sheet.text(378, 100, "the same person, another camera", 13)
    sheet.text(378, 254, "another person", 13)
    sheet.text(378, 150, f"loss = max(0, {MARGIN} + {far:.2f} - {near:.2f})", 15)
    sheet.text(378, 172, f"= {max(0, MARGIN + far - near):.2f}", 15, bold=True)
    return sheet


def mining(gallery) -> Canvas:
    """The five steps on a real pool: one query, its positives and the negatives, ranked by the network."""
    rng = np.random.default_rng(1)
    hard = [index for index in range(len(gallery.paths)) if gallery.positive[index].sum() >= 5]
    anchor = int(rng.choice(hard))
    similarity = gallery.similarity[anchor]
    positives = [i for i in np.argsort(similarity) if gallery.positive[anchor, i]][:5]
    negatives = [i for i in np.argsort(-similarity) if gallery.negative[anchor, i]][:5]
    sheet = Canvas(760, 372)
    sheet.text(24, 34, "1  draw N, embed", 14, bold=True)
    for number, index in enumerate(rng.choice(len(gallery.paths), 24, replace=False)):
        sheet.image(24 + number % 6 * 26, 48 + number // 6 * 50, gallery.image(index), 23, 46)
    sheet.arrow((190, 146), (226, 146))
    sheet.text(236, 34, "2  draw the queries", 14, bold=True)
    sheet.image(262, 78, gallery.image(anchor), 68, 136, BLUE)
    sheet.text(296, 236, "one of batch_size * k", 12, FAINT, align="centre")
    rows = (
        (78, positives, GREEN, "3  same person, least similar first"),
        (226, negatives, RED, "4  others, most similar first"),
    )
    for y, indices, colour, title in rows:
        sheet.arrow((344, 146), (396, y + 46), colour)
        sheet.text(404, y - 14, title, 14, colour, bold=True)
        for place, index in enumerate(indices):
            x = 408 + place * 66
            sheet.image(x, y, gallery.image(index), 46, 92, colour if place < 3 else None)
            sheet.text(x + 23, y + 108, f"{similarity[index]:.2f}", 13, colour if place < 3 else FAINT, align="centre")
    sheet.text(24, 318, "5  one positive and one negative", 14, bold=True)
    sheet.text(44, 340, "by lot from the sample_num (here 3)", 14)
    sheet.text(44, 360, "hardest of each: the frames in colour", 14)
    return sheet


def pipeline(args) -> Canvas:
    """A frame of the footage, the people found in it, and how alike each two of them are."""
    from utils.deploy.detector import Detector
    from utils.deploy.reid_net import Embedder, crop_people

    video = cv2.VideoCapture(args.video)
    video.set(cv2.CAP_PROP_POS_FRAMES, FRAME)
    read, frame = video.read()
    if not read:
        raise InputError(f"--video {args.video} cannot be read: run bash setup.sh footage")
    boxes, _ = Detector(Path(args.models) / "frozen/obj", 0.5).detect(frame)
    order = np.argsort(boxes[:, 1])[:5]  # from left to right
    boxes = boxes[order]
    net = Embedder(Path(args.models) / "frozen/reid")
    embeddings = net.embed(crop_people(frame, boxes, net.image_size))
    people = crop_people(frame, boxes, (128, 64))  # to look at; before the boxes are drawn
    colours = [BLUE, RED, GREEN, (150, 90, 160), (200, 120, 20)][: len(boxes)]
    height, width = frame.shape[:2]
    for (top, left, bottom, right), colour in zip(boxes, colours):
        corners = (int(left * width), int(top * height)), (int(right * width), int(bottom * height))
        cv2.rectangle(frame, *corners, colour[::-1], 4)
    sheet = Canvas(960, 270)
    sheet.text(20, 30, "camera frame, people found by the SSD", 14, bold=True)
    sheet.image(20, 44, cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), 272, 204)
    sheet.arrow((300, 146), (330, 146))
    sheet.text(340, 30, "crops of one size", 14, bold=True)
    for row, (person, colour) in enumerate(zip(people, colours)):
        sheet.image(344 + row % 3 * 56, 52 + row // 3 * 100, person, 42, 84, colour)
    sheet.arrow((516, 146), (546, 146))
    sheet.box(556, 106, 126, 80, edge=INK)
    sheet.text(619, 140, "ResNet-50", 16, bold=True, align="centre")
    sheet.text(619, 164, "re-id network", 13, align="centre")
    sheet.arrow((690, 146), (722, 146))
    sheet.text(736, 30, "similarity of each two", 14, bold=True)
    side = 36
    for row in range(len(boxes)):
        for column in range(len(boxes)):
            number = float(embeddings[row] @ embeddings[column])
            share = float(np.clip(number, 0, 1)) ** 2
            fill = tuple(int(250 * (1 - share) + part * share) for part in (120, 165, 220))
            x = 752 + column * side
            y = 62 + row * side
            sheet.box(x, y, side - 3, side - 3, fill=fill, radius=4)
            sheet.text(x + side / 2 - 1, y + 22, f"{number:.2f}", 11, align="centre")
        sheet.box(736, 70 + row * side, 10, 16, fill=colours[row], radius=2)
        sheet.box(760 + row * side, 46, 16, 10, fill=colours[row], radius=2)
    return sheet


def main(args) -> None:
    names = args.names or NAMES
    gallery = Gallery(args) if set(names) - {"Pipeline.PNG"} else None
    for name in names:
        if name == "Pipeline.PNG":
            sheet = pipeline(args)
        else:
            sheet = {"Triplet.PNG": triplet, "Similarity.PNG": similarity_example, "Mining.PNG": mining}[name](gallery)
        sheet.write(name)


if __name__ == "__main__":
    run_main(main, ARGS)
