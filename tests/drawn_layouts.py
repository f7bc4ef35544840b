"""Small drawn copies of the published layouts, named as each set names its files, and data/prepare.py run on them."""

from pathlib import Path

import cv2

from data import prepare
from data.drawn import draw_people
from data.layouts import Counts
from utils import dataset

# What arrange() writes for each set: 4 training and 4 test identities, 6 images each.
SMALL = {
    "market1501": {"train": Counts(24, 4, 3, 0, 0), "test": Counts(15, 4, 3, 1, 2), "query": Counts(12, 4, 3, 0, 0)},
    "dukemtmc": {"train": Counts(24, 4, 3, 0, 0), "test": Counts(13, 5, 3, 0, 0), "query": Counts(12, 4, 3, 0, 0)},
    "msmt17": {"train": Counts(24, 4, 3, 0, 0), "test": Counts(12, 4, 3, 0, 0), "query": Counts(12, 4, 3, 0, 0)},
    "cuhk03-detected": {
        "train": Counts(24, 4, 2, 0, 0),
        "test": Counts(16, 4, 2, 0, 0),
        "query": Counts(8, 4, 2, 0, 0),
    },
}
MARKET_FOLDERS = {"train": "bounding_box_train", "test": "bounding_box_test", "query": "query"}


def draw(size=(40, 20), people=9, images=6):
    """{(identity from 0, number, suffix): content of the file}; all images differ."""
    contents = {}
    number = {}
    for identity, _, image in draw_people(people, images, image_size=size, seed=5):
        number[identity] = number.get(identity, -1) + 1
        for suffix in (".jpg", ".png"):
            contents[identity, number[identity], suffix] = cv2.imencode(suffix, image[..., ::-1])[1].tobytes()
    return contents


def arrange(kind: str, folder: Path, drawn: dict) -> Path:
    """Writes one set below `folder` as its archive unpacks; returns the root of the set."""
    if kind == "msmt17":
        return _msmt17(folder, drawn)
    if kind == "cuhk03-detected":
        return _cuhk03(folder, drawn)
    return _market(kind, folder, drawn)


def put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def prepared(source, output, *options) -> int:
    """Runs the main of data/prepare.py; returns its exit code."""
    try:
        prepare.main(prepare.parse_args([str(source), "--output", str(output), *options]))
    except SystemExit as stop:
        return stop.code
    return 0


def images(folder):
    return sorted(path for path in Path(folder).rglob("*") if path.suffix in dataset.SUFFIXES)


def first(root, folder, number=0):
    return sorted(path for path in (root / folder).iterdir() if path.suffix in dataset.SUFFIXES)[number]


def _split(identity, number, queries):
    if identity < 4:
        return "train"
    return "query" if number < queries else "test"


def _market(kind, folder, drawn):
    root = folder / {"market1501": "Market-1501-v15.09.15", "dukemtmc": "DukeMTMC-reID"}[kind]
    name = {"market1501": "{:04d}_c{}s1_{:06d}_01.jpg", "dukemtmc": "{:04d}_c{}_f{:07d}.jpg"}[kind]
    for identity in range(8):
        for number in range(6):
            split = _split(identity, number, queries=3)
            named = name.format(identity + 1, number % 3 + 1, number)
            put(root / MARKET_FOLDERS[split] / named, drawn[identity, number, ".jpg"])
    if kind == "market1501":
        for number, named in enumerate(("-1_c1s1_000001_00", "0000_c2s1_000002_00", "0000_c3s1_000003_00")):
            put(root / "bounding_box_test" / f"{named}.jpg", drawn[8, number, ".jpg"])
        put(root / "gt_bbox" / "0001_c1s1_000000_00.jpg", drawn[8, 3, ".jpg"])
    else:  # a gallery identity that a single camera saw
        put(root / "bounding_box_test" / name.format(99, 2, 7), drawn[8, 0, ".jpg"])
    put(root / "bounding_box_train" / "Thumbs.db", b"windows")
    return root


def _cuhk03(folder, drawn):
    for half in ("detected", "labeled"):
        for identity in range(8):
            for number in range(6):
                split = _split(identity, number, queries=2)
                named = f"{identity + 1:04d}_c{number % 2 + 1}_{number}.png"
                put(folder / "cuhk03-np" / half / MARKET_FOLDERS[split] / named, drawn[identity, number, ".png"])
    return folder / "cuhk03-np" / "detected"


def _msmt17(folder, drawn):
    """Both parts count their identities from 0; only the lists separate queries from gallery."""
    root = folder / "MSMT17_V1"
    lines = {"train": [], "val": [], "query": [], "gallery": []}
    for identity in range(8):
        for number in range(6):
            part = "train" if identity < 4 else "test"
            person = f"{identity % 4:04d}"
            named = f"{person}/{person}_{number:03d}_{number % 3 + 1:02d}_0303morning_{number:04d}_0.jpg"
            put(root / part / named, drawn[identity, number, ".jpg"])
            if part == "train":
                listed = "val" if number == 5 else "train"
            else:
                listed = "query" if number < 3 else "gallery"
            lines[listed].append(f"{named} {int(person)}")
    for listed, rows in lines.items():
        (root / f"list_{listed}.txt").write_text("\n".join(rows) + "\n")
    return root
