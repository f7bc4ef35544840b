"""Size and speed of the re-id network for several widths and image sizes, all timed in turn in one run.

    python3 -m benchmarks.networks
    python3 -m benchmarks.networks --width 0.5 1 --image_size 256x128

A GFLOP is a billion operations, two for each multiplication with its addition. Milliseconds are the median of embedding
1 and 8 images with TensorFlow, on random weights: neither depends on them.
"""

import sys
import time

from utils.errors import run_main
from utils.options import as_image_size, as_width, file_to_write, make_parser, positive_int


def parse_args(argv=None):
    parser = make_parser(__doc__)
    add = parser.add_argument
    # fmt: off
    add("--width", type=as_width, nargs="+", default=[0.25, 0.5, 1.0], help="factors on ResNet-50's filters")
    add("--image_size", type=as_image_size, nargs="+", default=[[128, 64], [256, 128]], metavar="HxW",
        help="image sizes in pixels, height first")
    add("--last_stride", type=int, choices=(1, 2), default=2, help="as in train_id.py")
    add("--embedding_size", type=positive_int, default=2048, help="length of an embedding")
    add("--runs", type=positive_int, default=30, help="timed calls of each, after two that are not timed")
    add("--json", type=file_to_write, default=None, metavar="FILE", help="also write the figures to this file")
    # fmt: on
    return parser.parse_args(argv)


ARGS = parse_args() if __name__ == "__main__" else None  # before TensorFlow is imported: --help answers at once

import numpy as np

from utils.device import origin
from utils.embed import compile_embed
from utils.files import write_json
from utils.progress import Progress
from utils.resnet import build_embedding_net

BATCHES = (1, 8)  # images per call
WARM_UP = 2  # calls that are not timed


def gflops(net) -> float:
    """Billions of operations of the convolutions and fully connected layers for one image."""
    count = 0
    for layer in net.layers:
        kernel = getattr(layer, "kernel", None)
        if kernel is not None:
            places = np.prod(layer.output.shape[1:-1])  # of a convolution: height * width; of a vector: 1
            count += 2 * np.prod(kernel.shape) * places
    return float(count) / 1e9


def measure(embed: dict, sizes: dict, runs: int) -> dict:
    """{name: {batch: median milliseconds}}; the networks take turns. embed, sizes: of each name."""
    rng = np.random.default_rng(0)
    images = {name: rng.integers(0, 256, (max(BATCHES), *size, 3), dtype=np.uint8) for name, size in sizes.items()}
    seconds = {(name, batch): [] for name in embed for batch in BATCHES}
    progress = Progress("timed", runs + WARM_UP, "rounds")
    for number in range(runs + WARM_UP):
        for name, batch in seconds:
            begun = time.perf_counter()
            embed[name](images[name][:batch])
            if number >= WARM_UP:
                seconds[name, batch].append(time.perf_counter() - begun)
        progress.add(1)
    return {name: {batch: 1000 * float(np.median(seconds[name, batch])) for batch in BATCHES} for name in embed}


def main(args) -> None:
    nets = {}
    sizes = {}
    for width in args.width:
        for size in args.image_size:
            name = f"{size[0]}x{size[1]}_width{width:g}".replace(".", "_")  # a key of the results has no dot
            nets[name] = build_embedding_net(size, width, args.embedding_size, last_stride=args.last_stride)
            sizes[name] = size
    times = measure({name: compile_embed(net) for name, net in nets.items()}, sizes, args.runs)
    print(f"{'network':<20}{'million weights':>16}{'GFLOPs':>10}{'ms for 1':>10}{'ms for 8':>10}{'images/s':>10}")
    results = {}
    for name, net in nets.items():
        one, eight = times[name].values()
        results[name] = {
            "million_weights": net.count_params() / 1e6,
            "gflops": gflops(net),
            "milliseconds_1": one,
            "milliseconds_8": eight,
            "images_per_second": 8000 / eight,
        }
        print(f"{name:<20}" + "{:>16.1f}{:>10.2f}{:>10.1f}{:>10.1f}{:>10.0f}".format(*results[name].values()))
    if args.json:
        write_json(args.json, {**origin(f"python3 -m benchmarks.networks {' '.join(sys.argv[1:])}"), **results})


if __name__ == "__main__":
    run_main(main, ARGS)
