"""TensorFlow checkpoints that any TensorFlow from 2.12 (Keras 2) to 2.21 (Keras 3) writes and reads.

The keys are `<layer>/<weight>`, the same under every Keras, and not Keras' object paths, which changed with Keras 3.
A checkpoint is two files, `<prefix>.data-00000-of-00001` and `<prefix>.index`. The index appears last and by a rename,
so a prefix with an index is whole. `<prefix>.json` beside them is the run's args.json and the step's validation figures
once more: what later scripts inherit, in a file that `scp <prefix>*` takes along, and so is `<prefix>.threshold.json`,
which test_reid.py writes.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import tensorflow as tf

from utils import resnet
from utils.errors import InputError, first_line
from utils.files import write_json

ID_PATTERN = "model.ckpt-{step}"
REID_PATTERN = "reid_model-{step}.ckpt"
STATE_PATTERN = "training_state-{step}"  # optimiser and step counter: for going on with a run, never needed on a device
ARGS_FILE = "args.json"
VALIDATION_FILE = "validation.json"


# ---- names on disk ----


def steps_in(folder, pattern: str) -> list:
    """The steps of the whole checkpoints in a folder, ascending."""
    name = re.compile(re.escape(pattern).replace(r"\{step\}", r"(\d+)") + r"\.index")
    matches = (name.fullmatch(path.name) for path in Path(folder).glob("*.index"))
    return sorted(int(match.group(1)) for match in matches if match)


def newest_checkpoint(folder="models/reid", pattern: str = REID_PATTERN) -> str:
    """The prefix of the checkpoint that was written last in `folder` or in a run folder m<N> below it."""
    found = []
    for run in [Path(folder), *Path(folder).glob("m*")]:
        for step in steps_in(run, pattern):
            prefix = run / pattern.format(step=step)
            found.append((prefix.with_name(prefix.name + ".index").stat().st_mtime_ns, step, str(prefix)))
    if not found:
        name = pattern.format(step="<step>")
        script = "train_id.sh" if pattern == ID_PATTERN else "train_reid.sh"
        quick = nameable(Path(folder).parent / "quick_run" / Path(folder).name, pattern)
        also = f"; there is the quick run's: {' or '.join(quick)}" if quick else ""
        raise InputError(f"no checkpoint {name} in {folder}: train one with bash {script}, or name its path{also}")
    return max(found)[2]


def nameable(folder, pattern: str = "", most: int = 5) -> list:
    """The paths in a folder that a user can name: its checkpoints and the runs m<N> that hold any, the last of each.

    pattern: the kind of checkpoint; both kinds if empty. Never a run's training_state, which is no model.
    """
    kinds = [pattern] if pattern else [REID_PATTERN, ID_PATTERN]
    own = [kind.format(step=step) for kind in kinds for step in steps_in(folder, kind)[-most:]]
    runs = [run.name for run in Path(folder).glob("m*") if any(steps_in(run, kind) for kind in kinds)]
    runs = sorted(runs, key=lambda name: (len(name), name))[-most:]  # m9 before m10
    return [str(Path(folder, name)) for name in own + runs]


def require_checkpoint(prefix, pattern: str = "") -> None:
    """InputError if there is no whole checkpoint of that prefix."""
    if Path(f"{prefix}.index").is_file():
        return
    if Path(f"{prefix}.data-00000-of-00001").is_file():
        raise InputError(f"checkpoint {prefix} lacks its {Path(prefix).name}.index: copy both of its files again")
    found = f"{prefix} is no checkpoint" if Path(prefix).exists() else f"there is no {prefix}"
    raise InputError(f"{found}: {what_to_name(prefix, pattern)}")


def what_to_name(prefix, pattern: str = "") -> str:
    """What to do for want of the checkpoint `prefix`: name one beside it or in the usual places, or train one."""
    kind = "id" if pattern == ID_PATTERN else "reid"
    usual = (Path("models", kind), Path("models", "quick_run", kind))
    places = ((Path(prefix).parent, pattern), *((folder, pattern or REID_PATTERN) for folder in usual))
    found = next(filter(None, (nameable(*place) for place in places)), [])
    if found:
        return f"name one that is there, such as {', '.join(found)}"
    scripts = "bash train_id.sh" if kind == "id" else "bash train_id.sh, then bash train_reid.sh"
    return f"train one first ({scripts}), or name a checkpoint or run folder that is there"


def find_checkpoint(path, pattern: str = "") -> str:
    """The prefix that a user means by the path of a checkpoint or a run folder; InputError if it is not there.

    Of a run folder it is the suggested checkpoint, or else the newest.
    pattern: the kind of checkpoint to look for in a folder; both kinds if empty.
    """
    if not Path(path).is_dir():
        prefix = strip_suffix(path)
        require_checkpoint(prefix, pattern)
        return prefix
    suggested = read_validation(path)["suggested"]
    if suggested and Path(path, suggested["checkpoint"] + ".index").is_file():
        return str(Path(path, suggested["checkpoint"]))
    patterns = [pattern] if pattern else [kind for kind in (REID_PATTERN, ID_PATTERN) if steps_in(path, kind)]
    return newest_checkpoint(path, *patterns[:1])


def strip_suffix(path) -> str:
    """A prefix from whatever a user names: the prefix itself, or one of its files as a shell completes it."""
    return re.sub(r"\.(index|json|threshold\.json|threshold\.png|data-\d+-of-\d+)$", "", str(path))


def delete(prefix) -> None:
    """Removes a checkpoint, its index first, so that what an interruption leaves behind is never taken for whole."""
    data = Path(prefix).parent.glob(Path(prefix).name + ".data-*")
    beside = [Path(f"{prefix}{suffix}") for suffix in (".index", ".json", ".threshold.json", ".threshold.png")]
    for path in [*beside, *data]:
        path.unlink(missing_ok=True)


# ---- variables <-> files ----


def named_weights(net: tf.keras.Model) -> dict:
    """{'<layer>/<weight>': tf.Variable}, in the network's own order."""
    weights = ((layer, weight) for layer in net.layers for weight in layer.weights)
    return {f"{layer.name}/{_base_name(weight)}": as_variable(weight) for layer, weight in weights}


def _base_name(weight):
    return weight.name.split("/")[-1].split(":")[0]  # Keras 2 says 'conv1_conv/kernel:0' where Keras 3 says 'kernel'


def as_variable(weight) -> tf.Variable:
    """The tf.Variable behind a weight of Keras 2 (itself) or Keras 3 (its value)."""
    return weight if isinstance(weight, tf.Variable) else weight.value


def save_weights(net: tf.keras.Model, prefix, about=None) -> None:
    """Writes all weights of a network under `prefix`, whole or not at all.

    about: a dict to lie beside them as <prefix>.json.
    """
    if about is not None:
        write_json(f"{prefix}.json", about)
    save_variables(named_weights(net), prefix)


def load_weights(net: tf.keras.Model, prefix) -> None:
    """Reads all weights of a network; InputError if one is missing or of another shape, then nothing was changed."""
    load_variables(named_weights(net), prefix)


def load_backbone(net: tf.keras.Model, prefix) -> None:
    """Reads the convolutions and BatchNorms alone; the head keeps its own weights. InputError as in load_weights."""
    heads = (f"{resnet.EMBEDDING_LAYER}/", f"{resnet.ID_LAYER}/")
    load_variables({name: v for name, v in named_weights(net).items() if not name.startswith(heads)}, prefix)


def save_variables(variables: dict, prefix) -> None:
    """Writes {name: tf.Variable} under `prefix` through temporary names; the index is renamed last."""
    prefix = Path(prefix)
    prefix.parent.mkdir(parents=True, exist_ok=True)
    half_written = prefix.with_name(f"half-written-{os.getpid()}-{prefix.name}")
    try:
        tf.train.Checkpoint(weights=dict(variables)).write(str(half_written))
        # Where this step is written a second time, its old index must not vouch for the new data.
        Path(f"{prefix}.index").unlink(missing_ok=True)
        for suffix in (".data-00000-of-00001", ".index"):
            os.replace(f"{half_written}{suffix}", f"{prefix}{suffix}")
    except (tf.errors.OpError, OSError) as error:
        raise InputError(f"{prefix} can't be written ({first_line(error)}): make room, or name another place") from None
    finally:
        for left_over in prefix.parent.glob(half_written.name + "*"):
            left_over.unlink()


def load_variables(variables: dict, prefix) -> None:
    """Reads {name: tf.Variable} from `prefix`, after checking that every name is there in the right shape."""
    stored = read_weights(prefix)
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
    """{'<layer>/<weight>': numpy array} of a checkpoint; InputError if it is not there, half-written or foreign."""
    require_checkpoint(prefix)
    try:
        reader = tf.train.load_checkpoint(str(prefix))
        stored = {}
        before, after = "weights/", "/.ATTRIBUTES/VARIABLE_VALUE"
        for key in reader.get_variable_to_shape_map():
            if key.startswith(before):
                escaped = key[len(before) : -len(after)]  # by TensorFlow
                stored[escaped.replace(".S", "/").replace("..", ".")] = reader.get_tensor(key)
    except (tf.errors.OpError, ValueError, RuntimeError, IndexError) as error:  # TensorFlow raises all four for damage
        reason = first_line(error)
        raise InputError(f"checkpoint {prefix} can't be read ({reason}): copy both of its files again") from None
    if not stored:
        raise InputError(f"checkpoint {prefix} was not written by this project's training scripts")
    return stored


def _shape(shape):
    return "x".join(str(size) for size in shape) or "a single number"


# ---- networks from files ----


def read_args(prefix) -> dict:
    """The options of the run that wrote a checkpoint, from <prefix>.json or else args.json.

    {} where neither came along.
    """
    for path in (Path(f"{prefix}.json"), Path(prefix).parent / ARGS_FILE):
        try:
            return json.loads(path.read_text())
        except FileNotFoundError:
            continue
        except ValueError as error:
            raise InputError(f"{path} is not valid JSON ({error}): copy it again") from None
    return {}


def read_shape(prefix, image_size=None) -> dict:
    """The args of a checkpoint with image_size [H, W], width and, for a re-id model, embedding_size filled in.

    Width and embedding size are read off the weights; the image size stands in <prefix>.json, or is given where that
    did not come along. InputError where they contradict each other, or the checkpoint holds no ResNet-50 of ours.
    """
    stored, args = read_weights(prefix), read_args(prefix)
    trained_at = args.get("image_size")
    if image_size and trained_at and list(image_size) != list(trained_at):
        raise InputError(
            f"checkpoint {prefix} was trained at {trained_at[0]}x{trained_at[1]} pixels, "
            f"not {image_size[0]}x{image_size[1]}: leave image_size out"
        )
    if not (image_size or trained_at):
        raise InputError(
            f"{prefix}.json did not come along with the checkpoint: copy it too, "
            "or give --image_size=256x128 (or what it was trained at) to test_reid.py or pipeline.py"
        )
    args["image_size"] = list(image_size or trained_at)
    if "conv1_conv/kernel" not in stored:
        raise InputError(
            f"checkpoint {prefix} holds no ResNet-50 of this project: "
            "name a model.ckpt-<step> or reid_model-<step>.ckpt"
        )
    args["width"] = stored["conv1_conv/kernel"].shape[-1] / resnet.STEM_FILTERS
    args.pop("embedding_size", None)
    if f"{resnet.EMBEDDING_LAYER}/kernel" in stored:
        args["embedding_size"] = int(stored[f"{resnet.EMBEDDING_LAYER}/kernel"].shape[-1])
    return args


def load_net(prefix, image_size=None, untrained=False):
    """The network of any checkpoint, as something that embeds, and its args.

    net: (B, H, W, 3) uint8 RGB -> (B, E) float32 of norm 1. A re-id checkpoint gives its embedding network; an ID
    checkpoint its pooled features. args and errors as in read_shape.
    untrained: the same network with random weights instead, the floor that a figure is compared with.
    """
    prefix = strip_suffix(prefix)
    args = read_shape(prefix, image_size)
    if "embedding_size" in args:
        net = resnet.build_embedding_net(args["image_size"], args["width"], args["embedding_size"])
    else:
        net = resnet.build_pooled_net(args["image_size"], args["width"])
    if not untrained:
        load_weights(net, prefix)
    return net, args


def load_embedding_net(prefix, image_size=None):
    """As load_net, for re-id checkpoints only: what pipeline.py freezes."""
    net, args = load_net(prefix, image_size)
    require_reid(prefix, args)
    return net, args


def require_reid(prefix, args: dict) -> None:
    """InputError if `prefix` is of an ID model. args: as read_shape or load_net returns them."""
    if "embedding_size" not in args:
        raise InputError(
            f"checkpoint {prefix} is an ID model: train a re-id model from it with bash train_reid.sh first"
        )


def read_validation(folder) -> dict:
    """validation.json of a run folder.

    {'suggested': {'step', 'checkpoint', 'why'} or None, 'history': [{'step', 'loss', ...}]}
    """
    try:
        return json.loads((Path(folder) / VALIDATION_FILE).read_text())
    except (FileNotFoundError, ValueError):
        return {"suggested": None, "history": []}
