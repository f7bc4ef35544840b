"""Trains a ResNet-50 to classify the identities of the training set: the start for train_reid.py.

    bash train_id.sh                                   with the values at its top
    python3 train_id.py --data_dir=data/Market-1501-v15.09.15
    python3 train_id.py --restore=True --id=1          resumes models/id/m1

Reads <data_dir>/bounding_box_train, of several data sets if data_dir is given more than once. Writes models/id/m<N>/:
model.ckpt-<step>, args.json, validation.json (with the step where the validation loss became flat) and the TensorBoard
runs train and val.
"""

import sys
from typing import NamedTuple

from utils.errors import InputError, explained_imports, run_main
from utils.options import (
    AUGMENTATIONS,
    VAL_DISTRACTORS,
    VAL_IDENTITIES,
    add_augmentation_options,
    add_data_dir,
    add_hardware_options,
    add_run_options,
    as_image_size,
    as_width,
    boolean,
    fraction,
    make_parser,
    non_negative_float,
    non_negative_int,
    positive_float,
    positive_int,
    settle_data_dir,
)

# Options that a resumed run must keep: the weights would not fit otherwise, or the curves could not be compared.
FIXED_OPTIONS = (
    "image_size",
    "width",
    "last_stride",
    "pooling",
    "neck",
    "val_identities",
    "val_images",
    "val_distractors",
    "seed",
)


def parse_args(argv=None):
    parser = make_parser(__doc__)
    add_run_options(parser, "id", 12000, 500, "12000 steps of 64 images are 60 passes over Market-1501")
    # fmt: off
    add = parser.add_argument_group("data").add_argument
    add_data_dir(add)
    add("--val_images", type=positive_int, default=1,
        help="images of each identity held out for the validation loss; at least two of each stay in training")
    add("--val_identities", type=non_negative_int, default=VAL_IDENTITIES,
        help="identities held out from training: rank-1 and mAP are measured on them, here and in train_reid; "
             "0 trains on all identities")
    add("--val_distractors", type=non_negative_int, default=VAL_DISTRACTORS,
        help="training images in the gallery of the validation; with 0, rank-1 among a few identities reads too high")
    add_augmentation_options(parser)
    add = parser.add_argument_group("network").add_argument
    add("--pretrained", default="imagenet",
        help="initial weights: imagenet, none (random), or the path of a checkpoint of this project, "
             "whose convolutions are copied")
    add("--image_size", type=as_image_size, default="256x128", metavar="HxW",
        help="size in pixels, height first, to which all images are scaled")
    add("--width", type=as_width, default=1.0,
        help="factor on the number of filters; 0.25 is small enough for a CPU, ImageNet weights exist for 1.0 only")
    add("--last_stride", type=int, choices=(1, 2), default=2,
        help="stride of the last stage; 1 keeps finer features and needs 1.57 times the multiplications, here and on "
             "a device")
    add("--pooling", choices=("max", "average"), default="max",
        help="how the features of all places become one vector (original page: max; Bag of Tricks: average)")
    add("--neck", type=boolean, default=True,
        help="batch normalisation before the classifier (BNNeck of Bag of Tricks); a device does not pay for it, "
             "because it becomes part of the embedding layer; False is the network of the original page")
    add = parser.add_argument_group("optimization").add_argument
    add("--batch_size", type=positive_int, default=64, help="images per step; reduce it if GPU memory runs out")
    add("--learning_rate", type=positive_float, default=3.5e-4,
        help="highest learning rate of Adam (Bag of Tricks: 3.5e-4 with a batch of 64)")
    add("--warmup_steps", type=non_negative_int, default=2000,
        help="steps in which the learning rate rises from 0 (Bag of Tricks: 10 passes); then it falls along a cosine")
    add("--weight_decay", type=non_negative_float, default=5e-4,
        help="factor on half the sum of squared kernel weights, which is added to the loss; 0 is off")
    add("--label_smoothing", type=fraction, default=0.1,
        help="share of each target that is spread over all identities, 0 to 1; "
             "prevents an overconfident classifier; 0 is off")
    # fmt: on
    add_hardware_options(parser)
    return settle_data_dir(parser, parser.parse_args(argv))


ARGS = parse_args() if __name__ == "__main__" else None  # before TensorFlow is imported: --help answers at once

with explained_imports():
    import numpy as np
    import tensorflow as tf

    from utils import checkpoint, dataset, resnet
    from utils.checkpoint_paths import find_checkpoint
    from utils.embed import compile_embed
    from utils.losses import id_loss, weight_decay
    from utils.training.hardware import prepare
    from utils.training.images import TrainingImages
    from utils.training.run import Run, differing_options, find_resume_point, first_plateau, resume_advice
    from utils.training.schedule import build_schedule
    from utils.training.split import split_identities
    from utils.training.steps import Steps, check_finite
    from utils.training.validation import Validation


class Split(NamedTuple):
    """The images of bounding_box_train in three parts.

    paths (N,), labels (N,) int 0..C-1: to train on. val_paths (M,), val_labels (M,): other images of the same
    identities. held_out: the images of held-out identities. num_classes: C.
    """

    paths: np.ndarray
    labels: np.ndarray
    val_paths: np.ndarray
    val_labels: np.ndarray
    held_out: dataset.LabelledImages
    num_classes: int


def initialise(net, pretrained) -> str:
    """Sets the convolutions of a new network as the option --pretrained says, and describes their origin."""
    if pretrained == "imagenet":
        resnet.load_imagenet_weights(net)
        return "ImageNet weights of tf.keras.applications"
    if pretrained == "none":
        return "random weights"
    prefix = find_checkpoint(pretrained)
    checkpoint.load_backbone(net, prefix)
    return f"the convolutions of {prefix}"


def split(data_dir, val_identities, val_images, seed) -> Split:
    """Reads bounding_box_train and splits it; InputError if no image can be held out for validation."""
    identities = split_identities(data_dir, val_identities, seed)
    train = identities.train
    classes, labels = np.unique(train.identities, return_inverse=True)  # (C,), (N,) 0..C-1
    held_out = dataset.hold_out_images(train.identities, val_images, seed)  # (N,) bool
    if not held_out.any():
        raise InputError(
            f"no identity in {identities.folder} has three images, so none can be held out for validation: add images"
        )
    print(
        f"{identities.folder}: {np.sum(~held_out)} images of {len(classes)} identities to train on, "
        f"{held_out.sum()} images of them and {val_identities} other identities held out for validation, "
        f"{identities.left_out} junk images or distractors left out"
    )
    return Split(
        train.paths[~held_out],
        labels[~held_out],
        train.paths[held_out],
        labels[held_out],
        identities.held_out,
        len(classes),
    )


def build_train_step(net, optimizer, args):
    """One step of label-smoothed cross-entropy on the ID net, as a TensorFlow graph."""
    kernels = checkpoint.kernels(net)

    @tf.function
    def train_step(images, labels):
        """(B, H, W, 3) uint8, (B,) int32 -> cross-entropy and accuracy before the step, scalars."""
        with tf.GradientTape() as tape:
            logits = net(images, training=True)  # (B, C)
            loss = id_loss(labels, logits, args.label_smoothing)
            total = loss + args.weight_decay * weight_decay(kernels)
        optimizer.apply_gradients(zip(tape.gradient(total, net.trainable_variables), net.trainable_variables))
        correct = tf.argmax(logits, -1, tf.int32) == labels  # (B,)
        return loss, tf.reduce_mean(tf.cast(correct, tf.float32))

    return train_step


def validate(predict, data: Split, args) -> dict:
    """Mean cross-entropy and accuracy on the held-out images of the training identities, without augmentation."""
    loss = 0.0
    correct = 0
    seen = 0
    for images in dataset.image_batches(data.val_paths, args.image_size, args.batch_size):
        labels = data.val_labels[seen : seen + len(images)]  # (B,)
        logits = predict(images)  # (B, C)
        loss += len(labels) * float(id_loss(labels, logits, args.label_smoothing))
        correct += int(np.sum(np.argmax(logits, axis=-1) == labels))
        seen += len(labels)
    return {"loss": loss / seen, "accuracy": correct / seen}


def validate_held_out(embed, validation: Validation) -> dict:
    """Rank-1 and mAP of the features that train_reid starts from; {} if no held-out identity has two images."""
    return validation.evaluate(embed, validation.embed(embed)) if validation.is_possible else {}


def val_identities_hint(val_identities, num_classes) -> str:
    """The option that train_reid needs if no identities were held out and its default is too many; '' otherwise."""
    fitting = max(2, num_classes // 4)
    return f" --val_identities={fitting}" if val_identities < 2 and fitting < VAL_IDENTITIES else ""


def main(args):
    prepare(args.seed, args.precision, args.deterministic)
    point = None
    if args.restore:
        point = find_resume_point(args.models_dir, "id", checkpoint.ID_PATTERN, args.id, vars(args), FIXED_OPTIONS)
        if point.step >= args.num_steps:
            print(f"{point.folder} has already run its {point.step} steps: increase num_steps to continue")
            return
    first_step = point.step if point else 0

    # Data: every identity is a class; one image of each shows when the network stops learning and starts memorising.
    data = split(args.data_dir, args.val_identities, args.val_images, args.seed)
    batch_size = min(args.batch_size, len(data.paths))
    used = [*data.paths, *data.val_paths, *data.held_out.paths]
    with dataset.decode_errors_named(used):
        images = TrainingImages(data.paths, args.image_size, args.cache_gb * 1e9)
    validation = Validation(data.held_out, images, args.val_distractors, args.seed)
    if validation.is_possible:
        print(f"rank-1 and mAP are measured on {validation.describe()}")
    augmentation = {name: getattr(args, name) for name in AUGMENTATIONS}
    batches = dataset.shuffled_batches(
        images.read, data.labels, batch_size, args.seed, augmentation, first_batch=first_step
    )

    # Network and optimizer.
    variant = {name: getattr(args, name) for name in checkpoint.VARIANT}
    net = resnet.build_id_net(data.num_classes, args.image_size, args.width, **variant)
    schedule = build_schedule(args.learning_rate, args.warmup_steps, args.warmup_steps, args.num_steps)
    optimizer = tf.keras.optimizers.Adam(schedule)
    optimizer.build(net.trainable_variables)
    if point:
        run = Run.resume(point, net, optimizer, vars(args), args.keep)
    else:
        started_from = initialise(net, args.pretrained)
        about = {**vars(args), "started_from": started_from, "num_classes": data.num_classes}
        run = Run.new(args.models_dir, "id", checkpoint.ID_PATTERN, about, args.keep)
        print(f"starting from {started_from}")
    train_step = build_train_step(net, optimizer, args)
    predict = tf.function(lambda images: net(images, training=False))
    features = net.get_layer(resnet.NECK_LAYER if args.neck else resnet.POOL_LAYER).output  # (B, C)
    unit_length = resnet.UnitLength(name="unit_length", dtype="float32")
    embed = compile_embed(tf.keras.Model(net.input, unit_length(features)))

    # Training.
    with dataset.decode_errors_named(used), Steps(first_step, args.num_steps, batch_size) as steps:
        for step, (images, labels) in zip(steps, batches):  # (B, H, W, 3) uint8, (B,) int32
            loss, accuracy = (float(value) for value in train_step(images, labels))
            steps.record_time()
            check_finite(loss, step, run.folder)
            steps.show(loss=loss, accuracy=accuracy)
            if step % args.log_every == 0 or steps.is_last:
                figures = {"loss": loss, "accuracy": accuracy, "learning_rate": schedule(step - 1)}
                run.log("train", step, {**figures, "images_per_second": steps.images_per_second})
            if step % args.save_every == 0 or steps.is_last:
                figures = {**validate(predict, data, args), **validate_held_out(embed, validation)}
                run.log("val", step, figures)
                suggested = run.save(net, optimizer, step, figures, first_plateau)
                print(
                    f"step {step}: validation loss {figures['loss']:.4f}, accuracy {figures['accuracy']:.3f}"
                    + (f", rank-1 {figures['rank1']:.1f} %, mAP {figures['mAP']:.1f} %" if "mAP" in figures else "")
                    + f"; saved {run.prefix(step)}"
                )
    defaults = vars(parse_args([]))
    if steps.stopped:
        print(resume_advice(sys.argv[0], run.folder, vars(args), defaults))
        sys.exit(130)
    print(run.table(suggested))
    options = val_identities_hint(args.val_identities, data.num_classes)
    options += differing_options({"data_dir": args.data_dir}, defaults)
    print(f"next: bash train_reid.sh --id_model={run.prefix(suggested['step'])}{options}")


if __name__ == "__main__":
    run_main(main, ARGS)
