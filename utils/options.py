"""Command-line options: argparse types with one-sentence errors, and the option groups that both trainings share.

Nothing here imports TensorFlow, so that a script answers --help at once.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from utils.errors import InputError
from utils.files import real_path

PRECISIONS = ("float32", "mixed_bfloat16")
VAL_DISTRACTORS = 4000  # training images in the gallery of the validation by default
DATA_DIR = "data/Market-1501-v15.09.15"  # of both trainings by default
VAL_IDENTITIES = 50  # identities that both trainings hold out for validation by default
AUGMENTATIONS = ("flip", "pad", "random_erasing", "color_jitter")  # options, and arguments of utils.dataset.augment


LARGEST = 10**9  # of any number without another limit: more is a slip, and float32 and int32 can hold this
LARGEST_SIDE = 8192  # pixels of a frame; a camera of 8K has 7680
LONGEST_NAME = 255  # bytes of a file's name, on every usual disk
LARGEST_INPUT = 4096  # pixels, height or width of a network's input


def _number(kind, accepts, wanted, largest=LARGEST):
    def parse(text):
        try:
            value = kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"'{text}' is not {wanted}") from None
        if not accepts(value):
            raise argparse.ArgumentTypeError(f"{text} is not {wanted}")
        if value > largest:
            raise argparse.ArgumentTypeError(f"{text} is too large: give {largest:,} at most")
        return value

    return parse


positive_int = _number(int, lambda value: value > 0, "a whole number above 0")
non_negative_int = _number(int, lambda value: value >= 0, "a whole number of 0 or more")
pixels = _number(int, lambda value: value > 0, "a whole number of pixels above 0", LARGEST_SIDE)
port = _number(int, lambda value: 0 <= value < 2**16, "a port from 0 to 65535")
positive_float = _number(float, lambda value: 0 < value < float("inf"), "a number above 0")
non_negative_float = _number(float, lambda value: 0 <= value < float("inf"), "a number of 0 or more")
fraction = _number(float, lambda value: 0 <= value <= 1, "a number from 0 to 1")
as_seed = _number(int, lambda value: 0 <= value < 2**31, "a whole number from 0 to 2147483647", 2**31)
as_sample_num = _number(
    float, lambda value: 0 < value < 1 or (value >= 1 and value % 1 == 0), "a whole number, or a share between 0 and 1"
)
# ResNet-50 has multiples of 64 filters everywhere, so these widths scale all of them without a remainder.
as_width = _number(
    float, lambda value: 0 < value < 2**20 and 64 * value % 1 == 0, "a multiple of 1/64 above 0, such as 0.25", 16
)


def boolean(text: str) -> bool:
    """True/False as the launchers write them; also 1/0 and yes/no, in any case."""
    word = text.strip().lower()
    if word in ("true", "1", "yes"):
        return True
    if word in ("false", "0", "no"):
        return False
    raise argparse.ArgumentTypeError(f"'{text}' is neither True nor False")


def as_path(text: str) -> str:
    """A path with ~ and ~user expanded: a shell leaves them in --option=~/file. Nothing is not a path."""
    if not text.strip():
        raise argparse.ArgumentTypeError("nothing is given: name a file or folder, or leave it out")
    path = os.path.expanduser(text)
    if "://" not in path and max(map(len, map(os.fsencode, path.split("/")))) > LONGEST_NAME:
        raise argparse.ArgumentTypeError(f"a name in it is longer than {LONGEST_NAME} bytes: use a shorter one")
    return path


def file_to_write(text: str) -> str:
    """The path of a file in an existing folder. It is checked at the start, before minutes of work."""
    text = as_path(text)
    if not real_path(text).parent.is_dir():
        raise argparse.ArgumentTypeError(f"{text}: there is no such folder: make it, or use another path")
    if Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"{text} is a folder: name a file")
    if not os.access(real_path(text).parent, os.W_OK | os.X_OK):
        raise argparse.ArgumentTypeError(f"{text}: its folder cannot be written: use another path")
    return text


def file_or_stdout(text: str) -> str:
    """As file_to_write, or - for standard output."""
    return text if text == "-" else file_to_write(text)


def people_store(text: str) -> str:
    """The address of a Redis server, or the path of a .npz file in an existing folder."""
    scheme, is_address, rest = text.partition("://")
    if is_address and (scheme not in ("redis", "rediss", "unix") or not rest):
        raise argparse.ArgumentTypeError(f"'{text.split('@')[-1]}' is not an address such as redis://host:6379/0")
    if is_address:
        return text
    if not text.endswith(".npz"):
        raise argparse.ArgumentTypeError(
            f"'{text}' is neither a file that ends in .npz nor an address such as redis://host:6379/0"
        )
    return file_to_write(text)


def check_files(inputs: dict, outputs: list) -> None:
    """InputError if an output would replace a file that is read, or another output.

    inputs: {what it is: [paths]}; outputs: [(option, path or None)].
    """
    taken = {real_path(path): name for name, paths in inputs.items() for path in paths if Path(path).is_file()}
    for option, path in outputs:
        if path is None:
            continue
        other = taken.setdefault(real_path(path), option)
        if other in inputs:
            raise InputError(f"{option} {path} is also {other} and would be lost: name another file")
        if other != option:
            raise InputError(f"{option} and {other} are the same file {path}: name two")


def as_image_size(text: str) -> list:
    """'256x128' -> [256, 128], height first as in the re-id literature; both at least 32 pixels, the net's stride."""
    try:
        height, width = (int(part) for part in text.lower().split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not HEIGHTxWIDTH in pixels, such as 256x128") from None
    if height < 32 or width < 32:
        raise argparse.ArgumentTypeError(f"{text}: height and width must be 32 pixels or more")
    if height > LARGEST_INPUT or width > LARGEST_INPUT:
        raise argparse.ArgumentTypeError(f"{text}: height and width must be {LARGEST_INPUT} pixels or less")
    return [height, width]


def make_parser(docstring: str) -> argparse.ArgumentParser:
    """A parser whose --help starts with the script's docstring and shows the default of each option.

    An option without a type is a path, see as_path; give type=str to one that is a text.
    """

    class Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
        def _get_help_string(self, action):
            return action.help if action.default is None else super()._get_help_string(action)

    class Parser(argparse.ArgumentParser):
        def error(self, message):
            """One sentence instead of the usage, which takes twenty lines."""
            extra = message.partition("unrecognized arguments: ")[2].split()
            if extra and all(map(os.path.exists, extra)):
                message += ': if they come from a pattern, put it in quotes, as in --source "walk/*.jpg"'
            message = " ".join(message.splitlines())  # of a value with line breaks
            self.exit(2, f"{self.prog}: error: {message} (see --help)\n")

    parser = Parser(description=docstring, formatter_class=Formatter, allow_abbrev=False)
    parser.register("type", None, as_path)
    return parser


def add_old_name(parser, old: str, new: str) -> None:
    """Accepts `old` as a hidden name of the option `new`; --help shows only `new`.

    parser: the parser that has `new`; both names include their dashes.
    """
    action = parser._option_string_actions[new]
    kept = {name: getattr(action, name) for name in ("nargs", "const", "type", "choices") if hasattr(action, name)}
    if isinstance(action, argparse._StoreTrueAction):
        kept = {"action": "store_true"}
    elif isinstance(action, argparse._AppendAction):
        kept["action"] = "append"
    parser.add_argument(old, dest=action.dest, default=argparse.SUPPRESS, help=argparse.SUPPRESS, **kept)


def add_run_options(parser, kind: str, num_steps: int, save_every: int, num_steps_help: str) -> None:
    """Adds the options that both training scripts share: the folder of the run, its length, and how often it saves."""
    # fmt: off
    add = parser.add_argument_group("run").add_argument
    add("--restore", type=boolean, default=False,
        help=f"True resumes models/{kind}/m<id>; False starts a new run in the next free m<N>")
    add("--id", type=non_negative_int, default=0, help="number of the run to resume; ignored by a new run")
    add("--models_dir", default="models", help=f"folder that holds the runs {kind}/m0, {kind}/m1, ...")
    add("--num_steps", type=positive_int, default=num_steps,
        help=f"training steps in total, including those before a resume; {num_steps_help}")
    add("--save_every", type=positive_int, default=save_every,
        help="steps between two checkpoints; each checkpoint is validated")
    add("--keep", type=positive_int, default=5,
        help="number of newest checkpoints to keep; the suggested checkpoint is always kept")
    add("--log_every", type=positive_int, default=20, help="steps between two points of the training curves")
    add("--seed", type=as_seed, default=0,
        help="seed of splits, image order, mining, augmentation and initial weights; "
             "results of equal seeds differ by rounding only")
    # fmt: on


def add_data_dir(add) -> None:
    """Adds --data_dir, which a training takes once for each data set; pass the parsed options to settle_data_dir.

    add: add_argument of the parser or of a group.
    """
    add("--data_dir", action="append",
        help="folder that contains bounding_box_train; give the option again for each further data set, whose "
             f"identities and cameras are kept apart (default: {DATA_DIR})")  # fmt: skip


def settle_data_dir(parser, args: argparse.Namespace) -> argparse.Namespace:
    """Makes args.data_dir a path, or a list of several. A folder that is given twice ends the script."""
    given = args.data_dir or [DATA_DIR]
    seen = set()
    for folder in given:
        place = real_path(folder)
        if place in seen:
            parser.error(f"argument --data_dir: {folder} is given twice: name each data set once")
        seen.add(place)
    args.data_dir = given[0] if len(given) == 1 else given
    return args


def add_hardware_options(parser) -> None:
    """Adds the options that decide how fast a training runs, and whether it is repeatable to the last bit."""
    # fmt: off
    add = parser.add_argument_group("hardware").add_argument
    add("--precision", choices=PRECISIONS, default="float32",
        help="precision of the convolutions; mixed_bfloat16 is faster on a CPU with AVX512_BF16, untried on a GPU; "
             "weights, batch statistics and losses stay float32")
    add("--cache_gb", type=non_negative_float, default=4.0,
        help="memory in GB for decoded training images; images that need more are decoded each time they are used")
    add("--deterministic", type=boolean, default=False,
        help="True uses only operations of TensorFlow that give equal results each time; "
             "needed on a GPU, and untried there, for weights that are equal to the last bit")
    # fmt: on


def add_augmentation_options(parser) -> None:
    """Adds the options for the random changes of training images. Their names are in AUGMENTATIONS."""
    # fmt: off
    add = parser.add_argument_group("augmentation").add_argument
    add("--flip", type=boolean, default=True, help="mirror half of the images")
    add("--pad", type=non_negative_int, default=10,
        help="pixels of black added on each side before a random crop of the original size "
             "(Bag of Tricks, Luo et al. 2019: 10 at 256x128); 0 is off")
    add("--random_erasing", type=fraction, default=0.5,
        help="share of images in which a random rectangle is erased, 0 to 1 "
             "(+4 points of mAP on Market-1501 in Bag of Tricks); 0 is off")
    add("--color_jitter", type=fraction, default=0.0,
        help="largest relative change of brightness, contrast and saturation, 0 to 1; "
             "increase it if the test cameras differ from the training cameras; 0 is off")
    # fmt: on
    add_old_name(parser, "--pad_crop", "--pad")
    add_old_name(parser, "--erase", "--random_erasing")
    add_old_name(parser, "--jitter", "--color_jitter")
