"""Draws the diagrams of the README with the networks of the quick run.

    bash quick_run.sh                          # makes the data set and the networks
    python3 -m assets.diagrams                 # Pipeline.PNG, Triplet.PNG, Similarity.PNG and Mining.PNG
    python3 -m assets.diagrams Triplet.PNG     # one of them

Every number in a diagram is computed here, and most are printed as well.
"""

from __future__ import annotations

from pathlib import Path

from utils.errors import InputError, run_main
from utils.options import make_parser

NAMES = ("Pipeline.PNG", "Triplet.PNG", "Similarity.PNG", "Mining.PNG")


def parse_args(argv=None):
    parser = make_parser(__doc__)
    add = parser.add_argument
    # fmt: off
    add("names", nargs="*", metavar="NAME", help=f"diagrams to draw: {', '.join(NAMES)}; all of them without a name")
    add("--models", default="models/quick_run", help="folder of the quick run with reid/m0 and frozen/")
    add("--data_dir", default="data/quick_run", help="data set of the quick run")
    add("--video", default="models/downloads/vtest.avi", help="the sample footage")
    # fmt: on
    args = parser.parse_args(argv)
    unknown = sorted(set(args.names) - set(NAMES))
    if unknown:
        parser.error(f"there is no diagram {unknown[0]}: choose from {', '.join(NAMES)}")
    return args


ARGS = parse_args() if __name__ == "__main__" else None  # before TensorFlow is imported: --help answers at once

import cv2
import numpy as np

from assets.canvas import BLUE, FAINT, GREEN, INK, RED, SAND, Canvas
from utils import checkpoint
from utils.checkpoint_paths import find_checkpoint
from utils.dataset import open_split
from utils.deploy.detector import Detector
from utils.deploy.reid_net import Embedder, crop_people
from utils.embed import compile_embed, embed_paths
from utils.image_grid import read_rgb

MARGIN = 0.3  # of quick_run.sh
HARDEST = 3  # sample_num in Mining.PNG
FRAME = 130  # of the footage, for Pipeline.PNG: several people, none of them close


class Gallery:
    """The test identities of the data set, embedded by the re-id net of the quick run.

    paths; identities and cameras (N,) int; similarity (N, N); positive (N, N) bool: one identity from two cameras;
    negative (N, N) bool: two identities.
    """

    def __init__(self, args):
        split = open_split(args.data_dir, "test")
        people = split.people()  # without distractors and junk
        self.paths = np.array(split.paths)[people]
        self.identities = split.identities[people]
        self.cameras = split.cameras[people]
        net, options = checkpoint.load_net(find_checkpoint(Path(args.models) / "reid/m0"))
        embeddings = embed_paths(compile_embed(net), self.paths, options["image_size"])  # (N, E)
        self.similarity = embeddings @ embeddings.T
        same = self.identities[:, None] == self.identities[None]
        self.positive = same & (self.cameras[:, None] != self.cameras[None])
        self.negative = ~same

    def image(self, index) -> np.ndarray:
        """(H, W, 3) uint8 RGB."""
        return read_rgb(self.paths[index])

    def median_pair(self, pairs) -> tuple:
        """The pair (i, j) with the median similarity among the pairs (N, N) bool."""
        rows, columns = np.nonzero(pairs)
        middle = np.argsort(self.similarity[rows, columns])[len(rows) // 2]
        return int(rows[middle]), int(columns[middle])


def draw_similarity(gallery) -> Canvas:
    """Two images of one person and one of another: the median positive pair, and the median negative of its second."""
    anchor, positive = gallery.median_pair(gallery.positive)
    pairs = np.zeros_like(gallery.negative)
    pairs[positive] = gallery.negative[positive]
    negative = gallery.median_pair(pairs)[1]
    near = gallery.similarity[anchor, positive]
    far = gallery.similarity[positive, negative]
    print(f"similarity: same person {near:.2f}, another person {far:.2f}; medians of all pairs across cameras")
    sheet = Canvas(560, 300)
    for x, index in ((30, anchor), (220, positive), (410, negative)):
        sheet.image(x, 24, gallery.image(index), 120, 240)
        sheet.text(x + 60, 284, f"camera {gallery.cameras[index]}", 12, FAINT, align="centre")
    for x, similarity, colour, label in ((185, near, GREEN, "same"), (375, far, RED, "other")):
        sheet.text(x, 126, f"{similarity:.2f}", 21, colour, bold=True, align="centre")
        sheet.arrow((x, 142), (x + 28, 142), colour)
        sheet.arrow((x, 142), (x - 28, 142), colour)
        sheet.text(x, 166, label, 13, colour, align="centre")
    return sheet


def hard_triplet(gallery) -> tuple:
    """The hardest (anchor, positive, negative) of the anchor whose loss is the median of all losses above 0."""
    lowest = np.where(gallery.positive, gallery.similarity, np.inf)  # (N, N)
    highest = np.where(gallery.negative, gallery.similarity, -np.inf)  # (N, N)
    loss = np.maximum(0, MARGIN + highest.max(1) - lowest.min(1))  # (N,)
    loss = np.where(gallery.positive.any(1), loss, np.inf)
    order = np.argsort(loss)
    order = order[np.isfinite(loss[order]) & (loss[order] > 0)]
    anchor = int(order[len(order) // 2])
    return anchor, int(np.argmin(lowest[anchor])), int(np.argmax(highest[anchor]))


def draw_triplet(gallery) -> Canvas:
    """A triplet with loss, and the loss worked out."""
    anchor, positive, negative = hard_triplet(gallery)
    near = gallery.similarity[anchor, positive]
    far = gallery.similarity[anchor, negative]
    loss = max(0, MARGIN + far - near)
    print(f"triplet: s(a, p) {near:.2f}, s(a, n) {far:.2f}, loss {loss:.2f}")
    sheet = Canvas(640, 330)
    sheet.image(40, 70, gallery.image(anchor), 95, 190, BLUE)
    sheet.text(88, 52, "anchor", 15, BLUE, bold=True, align="centre")
    rows = (
        (24, 82, positive, near, GREEN, "positive"),
        (178, 262, negative, far, RED, "negative"),
    )
    for y, text_y, index, similarity, colour, name in rows:
        sheet.image(300, y, gallery.image(index), 64, 128, colour)
        sheet.arrow((146, 165), (288, y + 64), colour)
        sheet.text(222, text_y, f"{similarity:.2f}", 19, colour, bold=True, align="centre")
        sheet.text(378, y + 52, name, 15, colour, bold=True)
    sheet.text(378, 100, "the same person, another camera", 13)
    sheet.text(378, 254, "another person", 13)
    sheet.text(378, 150, f"loss = max(0, {MARGIN} + {far:.2f} - {near:.2f})", 15)
    sheet.text(378, 172, f"= {loss:.2f}", 15, bold=True)
    return sheet


def draw_mining(gallery) -> Canvas:
    """The five steps of mining: one query, its positives and its negatives, ranked by the network."""
    rng = np.random.default_rng(1)
    queries = np.flatnonzero(gallery.positive.sum(axis=1) >= 5)
    anchor = int(rng.choice(queries))
    similarity = gallery.similarity[anchor]  # (N,)
    positives = [index for index in np.argsort(similarity) if gallery.positive[anchor, index]][:5]
    negatives = [index for index in np.argsort(-similarity) if gallery.negative[anchor, index]][:5]
    hardness = similarity[negatives][np.newaxis, :] - similarity[positives][:, np.newaxis]  # (5, 5)
    chosen = np.unravel_index(np.argsort(-hardness, axis=None)[:HARDEST], hardness.shape)  # rows, columns
    sheet = Canvas(760, 530)
    sheet.text(24, 34, "1  draw N, embed", 14, bold=True)
    for place, index in enumerate(rng.choice(len(gallery.paths), 18, replace=False)):
        sheet.image(24 + place % 6 * 26, 73 + place // 6 * 50, gallery.image(index), 23, 46)
    sheet.arrow((190, 146), (226, 146))
    sheet.text(236, 34, "2  draw the queries", 14, bold=True)
    sheet.image(262, 78, gallery.image(anchor), 68, 136, BLUE)
    sheet.text(296, 236, "one of batch_size * k", 12, FAINT, align="centre")
    rows = (
        (78, positives, chosen[0], GREEN, "3  same person, least similar first"),
        (226, negatives, chosen[1], RED, "4  others, most similar first"),
    )
    for y, indices, used, colour, title in rows:
        sheet.arrow((344, 146), (396, y + 46), colour)
        sheet.text(404, y - 14, title, 14, colour, bold=True)
        for place, index in enumerate(indices):
            x = 408 + place * 66
            edge = colour if place in used else None
            sheet.image(x, y, gallery.image(index), 46, 92, edge)
            sheet.text(x + 23, y + 108, f"{similarity[index]:.2f}", 13, edge or FAINT, align="centre")
    sheet.text(24, 376, "5  one pair, at random from the hardest", 14, bold=True)
    sheet.text(44, 400, "a pair is hard if its negative is more similar", 14)
    sheet.text(44, 422, "than its positive: s(negative) - s(positive)", 14)
    sheet.text(44, 444, f"coloured: the sample_num (here {HARDEST}) hardest pairs", 14)
    draw_pairs(sheet, hardness, chosen)
    return sheet


def draw_pairs(sheet, hardness, chosen) -> None:
    """The hardness of each pair as a table: a row for each positive, a column for each negative."""
    marked = set(zip(*chosen))
    for row, values in enumerate(hardness):
        sheet.box(392, 374 + row * 30, 6, 24, fill=GREEN, radius=2)
        for column, value in enumerate(values):
            x = 408 + column * 66
            if row == 0:
                sheet.box(x, 360, 58, 6, fill=RED, radius=2)
            is_marked = (row, column) in marked
            sheet.box(x, 372 + row * 30, 58, 26, fill=(205, 222, 240) if is_marked else SAND, radius=4)
            colour = BLUE if is_marked else FAINT
            sheet.text(x + 29, 390 + row * 30, f"{value:+.2f}", 13, colour, bold=is_marked, align="centre")


def read_frame(path) -> np.ndarray:
    """Frame FRAME of a video, (H, W, 3) uint8 BGR."""
    video = cv2.VideoCapture(path)
    video.set(cv2.CAP_PROP_POS_FRAMES, FRAME)
    there, frame = video.read()
    video.release()
    if not there:
        raise InputError(f"--video {path} cannot be read: run bash setup.sh footage")
    return frame


def draw_pipeline(args) -> Canvas:
    """A frame of the footage, the people found in it, and the similarity of each pair of them."""
    frame = read_frame(args.video)
    boxes, _ = Detector(Path(args.models) / "frozen/obj", 0.5).detect(frame)
    boxes = boxes[np.argsort(boxes[:, 1])[:5]]  # (N, 4), from left to right
    net = Embedder(Path(args.models) / "frozen/reid")
    embeddings = net.embed(crop_people(frame, boxes, net.image_size))  # (N, E)
    crops = crop_people(frame, boxes, (128, 64))  # before the boxes are drawn
    colours = [BLUE, RED, GREEN, (150, 90, 160), (200, 120, 20)][: len(boxes)]
    height, width = frame.shape[:2]
    for (top, left, bottom, right), colour in zip(boxes, colours):
        corner = (int(left * width), int(top * height))
        opposite = (int(right * width), int(bottom * height))
        cv2.rectangle(frame, corner, opposite, colour[::-1], 4)
    sheet = Canvas(960, 270)
    sheet.text(20, 30, "camera frame, people found by the SSD", 14, bold=True)
    sheet.image(20, 44, cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), 272, 204)
    sheet.arrow((300, 146), (330, 146))
    sheet.text(340, 30, "crops of one size", 14, bold=True)
    for place, (crop, colour) in enumerate(zip(crops, colours)):
        sheet.image(344 + place % 3 * 56, 52 + place // 3 * 100, crop, 42, 84, colour)
    sheet.arrow((516, 146), (546, 146))
    sheet.box(556, 106, 126, 80, edge=INK)
    sheet.text(619, 140, "ResNet-50", 16, bold=True, align="centre")
    sheet.text(619, 164, "re-id network", 13, align="centre")
    sheet.arrow((690, 146), (722, 146))
    draw_matrix(sheet, embeddings @ embeddings.T, colours)
    return sheet


def draw_matrix(sheet, similarity, colours) -> None:
    """A table of the similarities (N, N) of people, each marked with a colour."""
    sheet.text(736, 30, "similarity of each pair", 14, bold=True)
    side = 36
    for row, colour in enumerate(colours):
        for column, value in enumerate(similarity[row]):
            share = float(np.clip(value, 0, 1)) ** 2
            fill = tuple(int(250 * (1 - share) + part * share) for part in (120, 165, 220))
            x = 752 + column * side
            y = 62 + row * side
            sheet.box(x, y, side - 3, side - 3, fill=fill, radius=4)
            sheet.text(x + side / 2 - 1, y + 22, f"{value:.2f}", 11, align="centre")
        sheet.box(736, 70 + row * side, 10, 16, fill=colour, radius=2)
        sheet.box(760 + row * side, 46, 16, 10, fill=colour, radius=2)


def main(args) -> None:
    names = args.names or NAMES
    gallery = Gallery(args) if set(names) - {"Pipeline.PNG"} else None
    of_gallery = {"Triplet.PNG": draw_triplet, "Similarity.PNG": draw_similarity, "Mining.PNG": draw_mining}
    for name in names:
        sheet = draw_pipeline(args) if name == "Pipeline.PNG" else of_gallery[name](gallery)
        sheet.write(name)


if __name__ == "__main__":
    run_main(main, ARGS)
