"""TensorFlow checkpoints that any TensorFlow from 2.12 (Keras 2) to 2.21 (Keras 3) writes and reads.

The keys are `<layer>/<weight>`, equal in every Keras version, unlike Keras' object paths, which changed with Keras 3.
A checkpoint is two files, `<prefix>.data-00000-of-00001` and `<prefix>.index`. The index is renamed into place last, so
a prefix with an index is complete. Two more files can lie beside them, which `scp <prefix>*` copies too:
`<prefix>.json`, the run's args.json with the validation figures of the step, and `<prefix>.threshold.json`, which
test_reid.py writes.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import tensorflow as tf

from utils import resnet
from utils.errors import InputError, first_line
from utils.files import WriteError, write_json, writing
from utils.json_files import mapping, number, one_of, one_or_several, optional, read_json, several, text, whole

ID_PATTERN = "model.ckpt-{step}"
REID_PATTERN = "reid_model-{step}.ckpt"
STATE_PATTERN = "training_state-{step}"  # optimizer variables: needed to resume a run, never on a device
ARGS_FILE = "args.json"
VALIDATION_FILE = "validation.json"

DATA_SUFFIX = ".data-00000-of-00001"
THRESHOLD_SUFFIX = ".threshold.json"
THRESHOLD_IMAGE_SUFFIX = ".threshold.png"
SUFFIXES = (".index", ".json", THRESHOLD_SUFFIX, THRESHOLD_IMAGE_SUFFIX)  # of what lies beside the data file

# Two facts of a network that its weights do not show, stored among them: <prefix>.json can get lost.
VARIANT = ("last_stride", "pooling", "neck")  # options of a network, beside image size and width
LAST_STRIDE = "variant/last_stride"
POOLING = "variant/pooling"  # index into resnet.POOLINGS

# What is read of the JSON files beside a checkpoint; see utils/json_files.py.
ARGS_FIELDS = {
    "image_size": optional(several(whole(32, 2**16), lengths=(2,))),
    "width": optional(number(0, 2**20)),
    "data_dir": optional(one_or_several(text)),
    "val_identities": optional(whole(0)),
    "num_classes": optional(whole(1)),
    "seed": optional(whole(0)),
    "split_seed": optional(whole(0)),
    "step": whole(0, 2**40),
    "validation": mapping({"threshold": optional(number(-1, 1))}),
}
ROW = mapping({"step": whole(0, 2**40), "loss": number(-1e30, 1e30), "mAP": optional(number(0, 100))}, ("step", "loss"))
VALIDATION_FIELDS = {
    "suggested": optional(mapping({"step": whole(0, 2**40), "checkpoint": text, "why": text}, ("step", "checkpoint"))),
    "history": several(ROW),
}
THRESHOLD_FIELDS = {
    "threshold": number(-1, 1),
    "suggested_at": one_of("far1", "far0.1", "eer"),
    "data_dir": text,
}

# Options that had another name when a checkpoint of an earlier version was written.
OLD_OPTIONS = {"pad_crop": "pad", "erase": "random_erasing", "jitter": "color_jitter"}


# ---- names on disk ----


def steps_in(folder, pattern: str) -> list:
    """The steps of the complete checkpoints in a folder, ascending."""
    name = re.compile(re.escape(pattern).replace(r"\{step\}", r"(\d+)") + r"\.index")
    matches = (name.fullmatch(path.name) for path in Path(folder).glob("*.index"))
    return sorted(int(match.group(1)) for match in matches if match)


def require_checkpoint(prefix, remedy: str = "name a checkpoint that exists") -> None:
    """InputError if there is no complete checkpoint of this prefix; remedy: the end of the sentence."""
    if Path(f"{prefix}.index").is_file():
        return
    if Path(f"{prefix}{DATA_SUFFIX}").is_file():
        raise InputError(f"checkpoint {prefix} lacks its {Path(prefix).name}.index: copy both of its files again")
    reason = f"{prefix} is not a checkpoint" if Path(prefix).exists() else f"there is no {prefix}"
    raise InputError(f"{reason}: {remedy}")


def strip_suffix(path) -> str:
    """The prefix from a prefix or from the name of one of its files, as a shell completes it."""
    return re.sub(r"\.(index|json|threshold\.json|threshold\.png|data-\d+-of-\d+)$", "", str(path))


def delete(prefix) -> None:
    """Removes a checkpoint, its index first, so that an interruption leaves nothing that looks complete."""
    beside = [Path(f"{prefix}{suffix}") for suffix in SUFFIXES]
    data = Path(prefix).parent.glob(Path(prefix).name + ".data-*")
    for path in [*beside, *data]:
        path.unlink(missing_ok=True)


# ---- variables <-> files ----


def named_weights(net: tf.keras.Model) -> dict:
    """{'<layer>/<weight>': tf.Variable}, in the order of the network."""
    weights = ((layer, weight) for layer in net.layers for weight in layer.weights)
    return {f"{layer.name}/{_base_name(weight)}": as_variable(weight) for layer, weight in weights}


def kernels(net: tf.keras.Model) -> list:
    """The tf.Variables of all convolution and dense kernels, in the order of the network."""
    return [variable for name, variable in named_weights(net).items() if name.endswith("/kernel")]


def _base_name(weight):
    return weight.name.split("/")[-1].split(":")[0]  # Keras 2 has 'conv1_conv/kernel:0' where Keras 3 has 'kernel'


def as_variable(weight) -> tf.Variable:
    """The tf.Variable of a weight: in Keras 2 the weight itself, in Keras 3 its value."""
    return weight if isinstance(weight, tf.Variable) else weight.value


def save_weights(net: tf.keras.Model, prefix, about=None) -> None:
    """Writes all weights of a network under `prefix`, completely or not at all.

    about: a dict that is written beside them as <prefix>.json.
    """
    described = Path(f"{prefix}.json")
    was_there = described.exists()
    if about is not None:
        write_json(described, about)
    variables = named_weights(net)
    if resnet.has_backbone(net):
        variant = resnet.variant_of(net)
        variables[LAST_STRIDE] = tf.Variable(variant["last_stride"])
        variables[POOLING] = tf.Variable(resnet.POOLINGS.index(variant["pooling"]))
    try:
        save_variables(variables, prefix)
    except InputError:
        if about is not None and not was_there:
            described.unlink()
        raise


def load_weights(net: tf.keras.Model, prefix) -> None:
    """Reads all weights of a network. InputError if one is missing or has another shape; then nothing is changed."""
    load_variables(named_weights(net), prefix)


def load_backbone(net: tf.keras.Model, prefix, heads=()) -> None:
    """Reads the convolutions and batch normalisations; other layers keep their weights. InputError as in load_weights.

    heads: names of layers of resnet.HEADS that are read as well.
    """
    kept = [layer for layer in resnet.HEADS if layer not in heads]
    load_variables({name: v for name, v in named_weights(net).items() if name.split("/")[0] not in kept}, prefix)


def save_variables(variables: dict, prefix) -> None:
    """Writes {name: tf.Variable} under `prefix` through temporary names; the index is renamed last.

    InputError if it cannot be written; a checkpoint that was there before then stays.
    """
    prefix = Path(prefix)
    half_written = prefix.with_name(f"half-written-{os.getpid()}-{prefix.name}")
    try:
        with writing(prefix, "; the checkpoints before it are safe"):
            prefix.parent.mkdir(parents=True, exist_ok=True)
            tf.train.Checkpoint(weights=dict(variables)).write(str(half_written))
            # When a step is written a second time, its old index must not stand beside the new data.
            Path(f"{prefix}.index").unlink(missing_ok=True)
            for suffix in (DATA_SUFFIX, ".index"):
                os.replace(f"{half_written}{suffix}", f"{prefix}{suffix}")
    except tf.errors.OpError as error:
        raise WriteError(
            f"{prefix} cannot be written ({first_line(error)}): make room, or name another place"
        ) from None
    finally:
        for left_over in prefix.parent.glob(half_written.name + "*"):  # TensorFlow leaves a folder after an error
            if left_over.is_dir():
                shutil.rmtree(left_over, ignore_errors=True)
            else:
                left_over.unlink(missing_ok=True)


def load_variables(variables: dict, prefix) -> None:
    """Reads {name: tf.Variable} from `prefix`. InputError if a name is missing or a shape differs."""
    _assign(variables, read_weights(prefix), prefix)


def _assign(variables: dict, stored: dict, prefix) -> None:
    """Assigns {name: array} to {name: tf.Variable} after checking all names and shapes; prefix: for the message."""
    for name, variable in variables.items():
        if name not in stored:
            raise InputError(f"checkpoint {prefix} has no weight {name}: it is of another kind of model")
        if stored[name].shape != tuple(variable.shape):
            raise InputError(
                f"checkpoint {prefix} does not fit: {name} is {_shape(stored[name].shape)} there and "
                f"{_shape(variable.shape)} here; width, embedding_size and the training identities must be those "
                "it was trained with"
            )
    for name, variable in variables.items():
        variable.assign(stored[name])


def read_weights(prefix) -> dict:
    """{'<layer>/<weight>': numpy array} of a checkpoint; InputError if it is missing, damaged or foreign."""
    require_checkpoint(prefix)
    before = "weights/"
    after = "/.ATTRIBUTES/VARIABLE_VALUE"
    stored = {}
    try:
        reader = tf.train.load_checkpoint(str(prefix))
        for key in reader.get_variable_to_shape_map():
            if key.startswith(before):
                escaped = key[len(before) : -len(after)]  # by TensorFlow
                stored[escaped.replace(".S", "/").replace("..", ".")] = reader.get_tensor(key)
    except (tf.errors.OpError, ValueError, RuntimeError, IndexError) as error:  # TensorFlow raises all four for damage
        reason = first_line(error)
        raise InputError(f"checkpoint {prefix} cannot be read ({reason}): copy both of its files again") from None
    if not stored:
        raise InputError(f"checkpoint {prefix} was not written by the training scripts of this project")
    return stored


def _shape(shape):
    return "x".join(str(size) for size in shape) or "a single number"


# ---- networks from files ----


def read_args(prefix) -> dict:
    """The options of the run that wrote a checkpoint, from <prefix>.json or else args.json; {} without either.

    Options of earlier versions get their present names.
    """
    for path in (Path(f"{prefix}.json"), Path(prefix).parent / ARGS_FILE):
        try:
            args = read_json(path, ARGS_FIELDS, "copy it again", wrong="is not valid JSON of a checkpoint")
        except FileNotFoundError:
            continue
        return {OLD_OPTIONS.get(name, name): value for name, value in args.items()}
    return {}


def read_shape(prefix, image_size=None) -> dict:
    """The args of a checkpoint with image_size [H, W] and the shape of its network filled in.

    That is width, last_stride, pooling, neck and, for a re-id model, embedding_size. They are read from the weights.
    The image size is read from <prefix>.json, or given if that file is missing. InputError if the two contradict each
    other, or the checkpoint holds no ResNet-50 of this project.
    """
    return _shape_args(prefix, read_weights(prefix), image_size)


def _shape_args(prefix, stored: dict, image_size) -> dict:
    """As read_shape, from the weights {name: array} that were read from `prefix`."""
    args = read_args(prefix)
    trained_at = args.get("image_size")
    if image_size and trained_at and list(image_size) != list(trained_at):
        raise InputError(
            f"checkpoint {prefix} was trained at {trained_at[0]}x{trained_at[1]} pixels, "
            f"not {image_size[0]}x{image_size[1]}: leave image_size out"
        )
    if not (image_size or trained_at):
        raise InputError(
            f"there is no {prefix}.json beside the checkpoint: copy it too, "
            "or give --image_size=256x128 (or what it was trained at) to test_reid.py or pipeline.py"
        )
    args["image_size"] = list(image_size or trained_at)
    if "conv1_conv/kernel" not in stored:
        raise InputError(
            f"checkpoint {prefix} holds no ResNet-50 of this project: "
            "name a model.ckpt-<step> or reid_model-<step>.ckpt"
        )
    args["width"] = stored["conv1_conv/kernel"].shape[-1] / resnet.STEM_FILTERS
    args["last_stride"] = int(stored.get(LAST_STRIDE, 2))  # earlier versions had one variant and did not store it
    args["pooling"] = resnet.POOLINGS[int(stored.get(POOLING, 0))]
    args["neck"] = f"{resnet.NECK_LAYER}/gamma" in stored
    args.pop("embedding_size", None)
    if f"{resnet.EMBEDDING_LAYER}/kernel" in stored:
        args["embedding_size"] = int(stored[f"{resnet.EMBEDDING_LAYER}/kernel"].shape[-1])
    return args


def load_net(prefix, image_size=None, untrained=False):
    """Builds the network that embeds images with the weights of any checkpoint: (net, args).

    net: (B, H, W, 3) uint8 RGB -> (B, E) float32 of norm 1. A re-id checkpoint gives its embedding network, an ID
    checkpoint its pooled features. args and errors are those of read_shape.
    untrained: the same network with random weights, as a baseline.
    """
    prefix = strip_suffix(prefix)
    stored = read_weights(prefix)
    args = _shape_args(prefix, stored, image_size)
    variant = {name: args[name] for name in VARIANT}
    if "embedding_size" in args:
        net = resnet.build_embedding_net(args["image_size"], args["width"], args["embedding_size"], **variant)
    else:
        net = resnet.build_pooled_net(args["image_size"], args["width"], **variant)
    if not untrained:
        _assign(named_weights(net), stored, prefix)
    return net, args


def load_embedding_net(prefix, image_size=None):
    """As load_net, but InputError if `prefix` is of an ID model."""
    net, args = load_net(prefix, image_size)
    require_reid(prefix, args)
    return net, args


def require_reid(prefix, args: dict) -> None:
    """InputError if `prefix` is of an ID model. args: as read_shape or load_net returns them."""
    if "embedding_size" not in args:
        raise InputError(
            f"checkpoint {prefix} is an ID model: train a re-id model from it with bash train_reid.sh first"
        )


# ---- what lies beside checkpoints ----


def read_validation(folder) -> dict:
    """validation.json of a run folder.

    {'suggested': {'step', 'checkpoint', 'why'} or None, 'history': [{'step', 'loss', ...}]}; nothing is suggested if
    there is no such file. InputError if it is damaged.
    """
    path = Path(folder) / VALIDATION_FILE
    remedy = "copy it again, or remove it, and then the newest checkpoint counts"
    try:
        return read_json(path, VALIDATION_FIELDS, remedy, tuple(VALIDATION_FIELDS), "is damaged")
    except (FileNotFoundError, NotADirectoryError):
        return {"suggested": None, "history": []}


def stored_threshold(prefix, args: dict) -> dict:
    """{'threshold': similarity or None, 'threshold_from': a description of its origin} of the checkpoint `prefix`.

    The threshold that test_reid.py measured comes first, then the one of the last validation in training (args: as
    read_args returns them). InputError if <prefix>.threshold.json is damaged.
    """
    path = Path(f"{prefix}{THRESHOLD_SUFFIX}")
    remedy = "measure it again with test_reid.py --threshold, or remove it"
    try:
        measured = read_json(path, THRESHOLD_FIELDS, remedy, tuple(THRESHOLD_FIELDS))
    except FileNotFoundError:
        return {"threshold": args.get("validation", {}).get("threshold"), "threshold_from": "measured in training"}
    origin = describe_threshold(measured["suggested_at"], measured["data_dir"])
    return {"threshold": float(measured["threshold"]), "threshold_from": origin}


def describe_threshold(suggested_at: str, data_dir: str) -> str:
    """The origin of a threshold in a manifest: 'far1' -> 'measured: 1 % false accepts on <data_dir>'."""
    return f"measured: {describe_rate(suggested_at)} on {data_dir}"


def describe_rate(suggested_at: str) -> str:
    """'far1' -> '1 % false accepts', 'eer' -> 'equal error rate'."""
    return "equal error rate" if suggested_at == "eer" else f"{suggested_at[len('far') :]} % false accepts"
