"""Measures how fast both trainings run, beside the bare training step and beside plain Keras, in one process.

    python3 -m benchmarks.training --data_dir=data/quick_run                        the size of quick_run.sh
    python3 -m benchmarks.training --data_dir=data/Market-1501-v15.09.15 --image_size=128x64 --width=1

All parts take turns, so that the ratios also hold on a busy machine:

    bare step      the step of train_id on one batch that stays in memory
    from memory    train_id with decoded images in memory
    from files     train_id with images that are decoded each time
    keras fit      tf.keras' own fit of the same network, loss and optimizer, images in memory, no augmentation
    reid offline   train_reid: mining, then k steps; images of the steps by the time of both
    reid online    train_reid with mining=online
"""

import sys
import time

from utils.errors import run_main
from utils.options import PRECISIONS, as_image_size, as_width, file_to_write, make_parser, positive_int


def parse_args(argv=None):
    parser = make_parser(__doc__)
    # fmt: off
    add = parser.add_argument
    add("--data_dir", required=True, help="folder that contains bounding_box_train")
    add("--image_size", type=as_image_size, default="96x48", metavar="HxW", help="image size in pixels, height first")
    add("--width", type=as_width, default=0.25, help="factor on the number of ResNet-50's filters")
    add("--precision", choices=PRECISIONS, default="float32", help="of the convolutions")
    add("--turns", type=positive_int, default=3, help="how often each part runs, after one turn that is not timed")
    add("--num_images", type=positive_int, default=1536, help="images embedded in each mining")
    add("--k", type=positive_int, default=16, help="steps in each turn of each part, so also between two minings")
    add("--json", type=file_to_write, default=None, metavar="FILE", help="write the figures to this file")
    # fmt: on
    return parser.parse_args(argv)


ARGS = parse_args() if __name__ == "__main__" else None  # before TensorFlow is imported: --help answers at once

import functools
import itertools

import numpy as np
import tensorflow as tf

import train_id
import train_reid
from utils import resnet
from utils.dataset import shuffled_batches
from utils.device import origin
from utils.embed import compile_embed
from utils.files import write_json
from utils.training.hardware import prepare
from utils.training.images import BatchFeed, TrainingImages
from utils.training.rounds import Mining, identity_batches, mine_round, mined_batches, online_batches
from utils.training.split import split_identities

BATCH = 64  # images per step of train_id, the default
TRIPLETS = 24  # per step of train_reid, the default
EVERYTHING = 1e15  # bytes: enough to keep all images in memory


def id_parts(train, labels, args) -> dict:
    """{name: function that makes k steps and returns the number of images} for the parts of train_id."""
    num_classes = int(labels.max()) + 1
    net = resnet.build_id_net(num_classes, args.image_size, args.width)
    optimizer = tf.keras.optimizers.Adam(1e-4)
    optimizer.build(net.trainable_variables)
    train_step = train_id.build_train_step(net, optimizer, train_id.parse_args([]))
    in_memory = TrainingImages(train.paths, args.image_size, EVERYTHING)
    from_files = TrainingImages(train.paths, args.image_size, 0)
    batches = {
        "from memory": iter(shuffled_batches(in_memory.read, labels, BATCH, 0, {})),
        "from files": iter(shuffled_batches(from_files.read, labels, BATCH, 0, {})),
        "bare step": itertools.repeat(next(iter(shuffled_batches(in_memory.read, labels, BATCH, 0, {})))),
    }

    def run(name):
        for images, batch_labels in itertools.islice(batches[name], args.k):
            train_step(images, batch_labels)[0].numpy()
        return args.k * BATCH

    plain = resnet.build_id_net(num_classes, args.image_size, args.width)
    smoothed = tf.keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)
    plain.compile(optimizer=tf.keras.optimizers.Adam(1e-4), loss=smoothed)
    rng = np.random.default_rng(0)

    def keras_fit():
        numbers = rng.choice(len(labels), args.k * BATCH)
        images = np.stack([in_memory.read(number) for number in numbers])
        begun = time.perf_counter()
        plain.fit(images, tf.one_hot(labels[numbers], num_classes), batch_size=BATCH, verbose=0)
        return args.k * BATCH, time.perf_counter() - begun

    parts = {name: functools.partial(run, name) for name in ("bare step", "from memory", "from files")}
    return {**parts, "keras fit": keras_fit}


def offline_batches(net, images, train, feed, args):
    """The batches of train_reid with mining=offline, without end."""
    how = Mining(args.num_images, 0.005, TRIPLETS, args.k, other_cameras=False, seed=0)
    return mined_batches(functools.partial(mine_round, compile_embed(net), images, train, how), feed, 1)


def reid_parts(train, labels, feeds, args) -> dict:
    """As id_parts, for train_reid. feeds: a dict that the BatchFeeds are put into, to be closed at the end."""
    images = TrainingImages(train.paths, args.image_size, EVERYTHING)
    feeds["offline"] = BatchFeed(images, 3 * TRIPLETS, {})
    feeds["online"] = BatchFeed(images, BATCH, {})

    def build(mining):
        net = resnet.build_embedding_net(args.image_size, args.width)
        optimizer = tf.keras.optimizers.Adam(1e-5)
        optimizer.build(net.trainable_variables)
        train_step = train_reid.build_train_step(net, optimizer, train_reid.parse_args([f"--mining={mining}"]))
        if mining == "offline":
            batches = offline_batches(net, images, train, feeds[mining], args)
        else:
            batches = online_batches(identity_batches(train.identities, 16, 4, 0), feeds[mining], 1, 0)

        def run():
            seen = 0
            for batch in itertools.islice(batches, args.k):
                train_step(batch.images, labels[batch.numbers])["loss"].numpy()
                seen += len(batch.numbers)
            return seen

        return run

    return {f"reid {mining}": build(mining) for mining in feeds}


def main(args) -> None:
    prepare(0, args.precision, deterministic=False)
    train = split_identities(args.data_dir, 0, 0).train
    labels = np.unique(train.identities, return_inverse=True)[1].astype(np.int32)  # (N,) 0..C-1
    feeds = {}
    parts = {**id_parts(train, labels, args), **reid_parts(train, labels, feeds, args)}
    rates = {name: [] for name in parts}
    for turn in range(args.turns + 1):
        for name, part in parts.items():
            begun = time.perf_counter()
            done = part()
            images, seconds = done if isinstance(done, tuple) else (done, time.perf_counter() - begun)
            if turn:
                rates[name].append(images / seconds)
    for feed in feeds.values():
        feed.close()
    medians = {name: float(np.median(values)) for name, values in rates.items()}
    for name, rate in medians.items():
        share = 100 * rate / medians["bare step"]
        print(f"{name:<14}{rate:>8.1f} images/s  {share:>4.0f} % of the bare step (median of {args.turns} turns)")
    if args.json:
        figures = {name.replace(" ", "_"): rate for name, rate in medians.items()}
        write_json(args.json, {**origin(f"python3 {' '.join(sys.argv)}"), "images_per_second": figures})


if __name__ == "__main__":
    run_main(main, ARGS)
