"""Times a training step of the ID network with utils.resnet.FusedBatchNorm and with Keras' own BatchNormalization.

    python3 -m benchmarks.train_step                                  the network of quick_run.sh
    python3 -m benchmarks.train_step --image_size 256x128 --width 1 --batch_size 64 --steps 5

Both run alternately in one process on the same images, so that the ratio also holds on a busy machine.
"""

import sys
import time

from utils.errors import run_main
from utils.options import as_image_size, as_width, file_to_write, make_parser, positive_int


def parse_args(argv=None):
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("--image_size", type=as_image_size, default="96x48", metavar="HxW", help="image size in pixels, height first")
    add("--width", type=as_width, default=0.25, help="factor on the number of ResNet-50's filters")
    add("--batch_size", type=positive_int, default=64, help="images per step")
    add("--steps", type=positive_int, default=40, help="timed steps of each, after two that are not timed")
    add("--json", type=file_to_write, default=None, metavar="FILE", help="write the figures to this file")
    return parser.parse_args(argv)


ARGS = parse_args() if __name__ == "__main__" else None  # before TensorFlow is imported: --help answers at once

import numpy as np
import tensorflow as tf

from utils import resnet
from utils.device import origin
from utils.files import write_json
from utils.losses import id_loss

CLASSES = 650  # about as many as quick_run.sh trains on


def build_step(batchnorm, image_size, width):
    """A function of (B, H, W, 3) uint8 and (B,) int32 that makes one training step; batchnorm: the layer class."""
    net = resnet.build_id_net(CLASSES, image_size, width, batchnorm)
    optimizer = tf.keras.optimizers.Adam(1e-3)
    optimizer.build(net.trainable_variables)

    @tf.function
    def step(images, labels):
        with tf.GradientTape() as tape:
            loss = id_loss(labels, net(images, training=True), 0.1)
        optimizer.apply_gradients(zip(tape.gradient(loss, net.trainable_variables), net.trainable_variables))
        return loss

    return step


def main(args) -> None:
    rng = np.random.default_rng(0)
    images = tf.constant(rng.integers(0, 256, (args.batch_size, *args.image_size, 3), dtype=np.uint8))
    labels = tf.constant(rng.integers(0, CLASSES, args.batch_size, dtype=np.int32))
    steps = {
        "fused": build_step(resnet.FusedBatchNorm, args.image_size, args.width),
        "keras": build_step(tf.keras.layers.BatchNormalization, args.image_size, args.width),
    }
    seconds = {name: [] for name in steps}
    for number in range(args.steps + 2):
        for name, step in steps.items():
            begun = time.perf_counter()
            step(images, labels).numpy()
            if number > 1:
                seconds[name].append(time.perf_counter() - begun)
    medians = {name: float(np.median(values)) for name, values in seconds.items()}
    for name, median in medians.items():
        print(f"{name:<6}{1000 * median:>8.1f} ms per step (median of {args.steps})")
    print(f"Keras' own takes {medians['keras'] / medians['fused']:.2f} times as long")
    if args.json:
        figures = {f"{name}_ms": 1000 * median for name, median in medians.items()}
        figures["times"] = medians["keras"] / medians["fused"]
        write_json(args.json, {**origin(f"python3 {' '.join(sys.argv)}"), **figures})


if __name__ == "__main__":
    run_main(main, ARGS)
