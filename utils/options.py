"""Command-line options: argparse types that refuse a bad value in one sentence, and the option groups of the trainings.

Nothing here imports TensorFlow, so a script can answer --help at once.
"""

from __future__ import annotations

import argparse
from pathlib import Path

VAL_IDENTITIES = 50  # held out by both trainings where nothing else is asked


def _number(kind, accepts, wanted):
    def parse(text):
        try:
            value = kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"'{text}' is not {wanted}") from None
        if not accepts(value):
            raise argparse.ArgumentTypeError(f"{text} is not {wanted}")
        return value

    return parse


positive_int = _number(int, lambda value: value > 0, "a whole number above 0")
non_negative_int = _number(int, lambda value: value >= 0, "a whole number of 0 or more")
positive_float = _number(float, lambda value: 0 < value < float("inf"), "a number above 0")
non_negative_float = _number(float, lambda value: 0 <= value < float("inf"), "a number of 0 or more")
fraction = _number(float, lambda value: 0 <= value <= 1, "a number from 0 to 1")
as_seed = _number(int, lambda value: 0 <= value < 2**31, "a whole number from 0 to 2147483647")
# ResNet-50 has multiples of 64 filters everywhere, so these widths scale all of them without a remainder.
as_width = _number(
    float, lambda value: 0 < value < 2**20 and 64 * value % 1 == 0, "a multiple of 1/64 above 0, such as 0.25"
)


def boolean(text: str) -> bool:
    """True/False as the launchers write them; also 1/0 and yes/no, in any case."""
    word = text.strip().lower()
    if word in ("true", "1", "yes"):
        return True
    if word in ("false", "0", "no"):
        return False
    raise argparse.ArgumentTypeError(f"'{text}' is neither True nor False")


def file_to_write(text: str) -> str:
    """A path in a folder that is there: said at the start rather than after minutes of work."""
    if not Path(text).resolve().parent.is_dir():
        raise argparse.ArgumentTypeError(f"{text}: there is no such folder: make it, or name another place")
    if Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"{text} is a folder: name a file")
    return text


def as_image_size(text: str) -> list:
    """'256x128' -> [256, 128]: height first, as in the re-id literature.

    Both are at least 32 pixels, the stride of the network.
    """
    try:
        height, width = (int(part) for part in text.lower().split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not HEIGHTxWIDTH in pixels, such as 256x128") from None
    if height < 32 or width < 32:
        raise argparse.ArgumentTypeError(f"{text}: height and width must be 32 pixels or more")
    return [height, width]


def make_parser(docstring: str) -> argparse.ArgumentParser:
    """A parser whose --help opens with the script's own docstring and shows each option's default."""

    class Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
        def _get_help_string(self, action):
            return action.help if action.default is None else super()._get_help_string(action)

    return argparse.ArgumentParser(description=docstring, formatter_class=Formatter, allow_abbrev=False)


def add_old_name(parser, old: str, new: str) -> None:
    """Accepts the option `old`, whose name has become `new`; --help shows `new` alone.

    parser: where `new` was added; both are written with their dashes.
    """
    action = parser._option_string_actions[new]
    kept = {name: getattr(action, name) for name in ("nargs", "const", "type", "choices") if hasattr(action, name)}
    if isinstance(action, argparse._StoreTrueAction):
        kept = {"action": "store_true"}
    elif isinstance(action, argparse._AppendAction):
        kept["action"] = "append"
    parser.add_argument(old, dest=action.dest, default=argparse.SUPPRESS, help=argparse.SUPPRESS, **kept)


def add_run_options(parser, kind: str, num_steps: int, save_every: int, num_steps_help: str) -> None:
    """The options that both training scripts share: where a run lies, how long it goes, how often it saves."""
    # fmt: off
    add = parser.add_argument_group("run").add_argument
    add("--restore", type=boolean, default=False,
        help=f"True goes on with models/{kind}/m<id>; False starts the next free m<N>")
    add("--id", type=non_negative_int, default=0, help="number of the run to restore; a new run does not use it")
    add("--models_dir", default="models", help=f"folder that holds {kind}/m0, {kind}/m1, ...")
    add("--num_steps", type=positive_int, default=num_steps,
        help=f"steps in all, restored ones included; {num_steps_help}")
    add("--save_every", type=positive_int, default=save_every,
        help="steps between two checkpoints, each with a validation")
    add("--keep", type=positive_int, default=5, help="newest checkpoints to keep; the suggested one stays as well")
    add("--log_every", type=positive_int, default=20, help="steps between two points of the training curves")
    add("--seed", type=as_seed, default=0,
        help="of splits, order, mining, augmentation and first weights; parallel sums still differ in their last bits")
    # fmt: on


def add_augmentation_options(parser) -> None:
    """How training pictures are changed at random; the names are the arguments of utils.dataset.augment."""
    # fmt: off
    add = parser.add_argument_group("augmentation").add_argument
    add("--flip", type=boolean, default=True, help="mirror every other picture")
    add("--pad_crop", type=non_negative_int, default=10,
        help="pixels added on each side before the old size is cut out at random "
             "(Bag of Tricks, Luo et al. 2019: 10 at 256x128); 0 is off")
    add("--erase", type=fraction, default=0.5,
        help="share of pictures with a random rectangle erased (+4 points of mAP on Market-1501 in Bag of Tricks); "
             "0 is off")
    add("--jitter", type=fraction, default=0.0,
        help="largest change of brightness, contrast and saturation, as a share: "
             "turn it up if test cameras differ from training ones; 0 is off")
    # fmt: on


def augmentation(args) -> dict:
    """The keyword arguments of utils.dataset.augment from parsed options."""
    return {name: getattr(args, name) for name in ("flip", "pad_crop", "erase", "jitter")}
