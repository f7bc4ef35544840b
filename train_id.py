"""Trains a ResNet-50 to tell the identities of the training set apart: the start for train_reid.py.

    bash train_id.sh                                   with the values at its top
    python3 train_id.py --data_dir=data/Market-1501-v15.09.15
    python3 train_id.py --restore=True --id=1          goes on with models/id/m1

Reads <data_dir>/bounding_box_train. Writes models/id/m<N>/: model.ckpt-<step>, args.json, validation.json (with the
step at which the validation loss flattened) and the TensorBoard runs train and val.
"""

import time

from utils.errors import InputError, explained_imports, run_main
from utils.options import (
    VAL_IDENTITIES,
    add_augmentation_options,
    add_run_options,
    as_image_size,
    as_width,
    augmentation,
    fraction,
    make_parser,
    non_negative_float,
    non_negative_int,
    positive_float,
    positive_int,
)


def parse_args(argv=None):
    parser = make_parser(__doc__)
    add_run_options(parser, "id", 12000, 500, "12000 of 64 pictures are 60 passes over Market-1501")
    # fmt: off
    add = parser.add_argument_group("data").add_argument
    add("--data_dir", default="data/Market-1501-v15.09.15", help="folder that holds bounding_box_train")
    add("--val_images", type=positive_int, default=1,
        help="pictures of each identity held out for the validation loss (an identity keeps at least two)")
    add("--val_identities", type=non_negative_int, default=VAL_IDENTITIES,
        help="identities held out altogether: rank-1 and mAP are measured on them here and in train_reid, "
             "so nothing may have seen them; 0 trains on all")
    add_augmentation_options(parser)
    add = parser.add_argument_group("network").add_argument
    add("--pretrained", default="imagenet",
        help="imagenet, none (random weights) or the path of one of this project's checkpoints, "
             "whose convolutions are taken")
    add("--image_size", type=as_image_size, default=[256, 128], metavar="HxW",
        help="pixels, height first; every picture is scaled to it")
    add("--width", type=as_width, default=1.0,
        help="factor on the number of filters; 0.25 trains on a CPU, ImageNet weights exist for 1.0 only")
    add = parser.add_argument_group("optimisation").add_argument
    add("--batch_size", type=positive_int, default=64, help="pictures a step; less if the GPU's memory ends")
    add("--learning_rate", type=positive_float, default=3.5e-4,
        help="highest rate of Adam (Bag of Tricks: 3.5e-4 at batch 64)")
    add("--warmup_steps", type=non_negative_int, default=2000,
        help="steps over which the rate rises from 0 (Bag of Tricks: 10 passes); then it falls along a cosine")
    add("--weight_decay", type=non_negative_float, default=5e-4,
        help="factor on half the squared kernels, added to the loss")
    add("--label_smoothing", type=fraction, default=0.1,
        help="share of each target spread over all identities; keeps the network from growing over-sure")
    # fmt: on
    return parser.parse_args(argv)


ARGS = parse_args() if __name__ == "__main__" else None  # before TensorFlow is imported: --help answers at once

with explained_imports():
    import numpy as np
    import tensorflow as tf

    from utils import checkpoint, dataset, dataset_checks, resnet
    from utils.evaluation.embed import embed_paths, embedder, evaluate_within
    from utils.losses import id_loss, weight_decay
    from utils.training.run import Run, Steps, build_schedule, check_finite, suggest_flat


def initialise(net, pretrained) -> str:
    """Fills the convolutions of a new network and says with what; no other place decides that."""
    if pretrained == "imagenet":
        resnet.load_imagenet_weights(net)
        return "ImageNet weights of tf.keras.applications"
    if pretrained == "none":
        return "random weights"
    prefix = checkpoint.find_checkpoint(pretrained)
    checkpoint.load_backbone(net, prefix)
    return f"the convolutions of {prefix}"


def split(data_dir, val_identities, val_images, seed):
    """The pictures of bounding_box_train: (paths, labels) to train on, (paths, labels) held out, number of classes.

    And of the identities left out altogether (paths, identities, cameras).
    """
    data = dataset.open_split(data_dir, "train")
    dataset.check_images(data.paths)
    dataset_checks.check_quickly(train=data)
    shown = data.people()
    paths, identities, cameras = np.array(data.paths)[shown], data.identities[shown], data.cameras[shown]  # (N,) each
    left_out = dataset.hold_out_identities(identities, val_identities, seed)
    strangers = paths[left_out], identities[left_out], cameras[left_out]
    paths, identities = paths[~left_out], identities[~left_out]
    classes, labels = np.unique(identities, return_inverse=True)  # (C,), (N,) 0..C-1
    held_out = dataset.hold_out_images(identities, val_images, seed)
    if not held_out.any():
        raise InputError(
            f"no identity in {data.folder} has three pictures, so none can be held out for validation: add pictures"
        )
    print(
        f"{data.folder}: {np.sum(~held_out)} pictures of {len(classes)} identities to train on, "
        f"{held_out.sum()} held out; {val_identities} identities left to train_reid's validation, "
        f"{len(data) - len(shown)} junk or distractors left out"
    )
    return (paths[~held_out], labels[~held_out]), (paths[held_out], labels[held_out]), len(classes), strangers


def build_train_step(net, optimizer, args):
    """One step of label-smoothed cross-entropy on the ID net, as a TensorFlow graph."""
    kernels = [weight for name, weight in checkpoint.named_weights(net).items() if name.endswith("/kernel")]

    @tf.function
    def train_step(images, labels):
        """(B, H, W, 3) uint8, (B,) int32 -> cross-entropy and share of right answers before the step."""
        with tf.GradientTape() as tape:
            logits = net(images, training=True)  # (B, C)
            loss = id_loss(labels, logits, args.label_smoothing)
            total = loss + args.weight_decay * weight_decay(kernels)
        optimizer.apply_gradients(zip(tape.gradient(total, net.trainable_variables), net.trainable_variables))
        return loss, tf.reduce_mean(tf.cast(tf.argmax(logits, -1, tf.int32) == labels, tf.float32))

    return train_step


def validate(predict, paths, labels, args) -> dict:
    """Mean cross-entropy and accuracy on the held-out pictures, nothing augmented."""
    losses, right = [], []
    for number, images in enumerate(dataset.image_batches(paths, args.image_size, args.batch_size)):
        first = number * args.batch_size
        truth = labels[first : first + len(images)]  # (B,)
        logits = predict(images)  # (B, C)
        losses.append(float(id_loss(truth, logits, args.label_smoothing)) * len(truth))
        right.append(np.sum(np.argmax(logits, axis=-1) == truth))
    return {"loss": sum(losses) / len(labels), "accuracy": float(sum(right) / len(labels))}


def validate_strangers(embed, strangers, args) -> dict:
    """Rank-1 and mAP of the pooled features on the identities left out altogether, with one query a camera.

    They tell what train_reid will start from; {} where no two pictures show one of them.
    """
    paths, identities, cameras = strangers
    if len(np.unique(identities)) == len(identities):
        return {}
    figures = evaluate_within(embed_paths(embed, paths, args.image_size), identities, cameras)
    return {"rank1": figures["rank1"], "mAP": figures["mAP"]}


def of_reid(val_identities, num_classes) -> str:
    """The option that train_reid needs where no identities were left to it and its own number would be too many."""
    fitting = max(2, num_classes // 4)
    return f" --val_identities={fitting}" if val_identities < 2 and fitting < VAL_IDENTITIES else ""


def main(args):
    tf.keras.utils.set_random_seed(args.seed)
    run = Run(args.models_dir, "id", checkpoint.ID_PATTERN, vars(args), args.keep)
    if args.restore and run.find_restored() >= args.num_steps:
        print(f"{run.folder} has made its {run.first_step} steps already: raise num_steps to go on")
        return

    # Data: every identity is a class; one picture of each tells when the network stops learning and starts memorising.
    (paths, labels), held_out, num_classes, strangers = split(
        args.data_dir, args.val_identities, args.val_images, args.seed
    )
    batch_size = min(args.batch_size, len(paths))
    batches = dataset.training_batches(
        paths, labels, args.image_size, batch_size, args.seed, augmentation(args), first_batch=run.first_step
    )
    batches = iter(batches)

    # Network and optimiser.
    net = resnet.build_id_net(num_classes, args.image_size, args.width)
    schedule = build_schedule(args, decay_start=args.warmup_steps)
    optimizer = tf.keras.optimizers.Adam(schedule)
    optimizer.build(net.trainable_variables)
    if args.restore:
        run.restore(net, optimizer)
    else:
        started_from = initialise(net, args.pretrained)
        run.start_new({"started_from": started_from, "num_classes": num_classes})
        print(f"starting from {started_from}")
    train_step = build_train_step(net, optimizer, args)
    predict = tf.function(lambda images: net(images, training=False))
    unit_length = resnet.UnitLength(name="unit_length")
    embed = embedder(tf.keras.Model(net.input, unit_length(net.get_layer(resnet.POOL_LAYER).output)))

    # Training.
    used = [*paths, *held_out[0], *strangers[0]]
    with dataset.naming_unreadable(used), Steps(run.first_step, args.num_steps, batch_size) as steps:
        for step in steps:
            begun = time.monotonic()
            images, truth = next(batches)  # (B, H, W, 3) uint8, (B,) int32
            loss, accuracy = (float(value) for value in train_step(images, truth))
            steps.took(time.monotonic() - begun)
            check_finite(loss, step, run)
            steps.show(loss=loss, accuracy=accuracy)
            if step % args.log_every == 0 or steps.ending:
                figures = {"loss": loss, "accuracy": accuracy, "learning_rate": schedule(step)}
                run.log(run.train_writer, step, {**figures, "images_per_second": steps.images_per_second})
            if step % args.save_every == 0 or steps.ending:
                figures = {**validate(predict, *held_out, args), **validate_strangers(embed, strangers, args)}
                run.log(run.val_writer, step, figures)
                suggested = run.save(net, optimizer, step, figures, suggest_flat)
                print(
                    f"step {step}: validation loss {figures['loss']:.4f}, accuracy {figures['accuracy']:.3f}; "
                    f"saved {run.prefix(step)}"
                )
    defaults = vars(parse_args([]))
    if steps.stopped:
        run.end_stopped(defaults)
    next_line = f"bash train_reid.sh --id_model={run.prefix(suggested['step'])}"
    run.print_end(suggested, next_line + of_reid(args.val_identities, num_classes), defaults)


if __name__ == "__main__":
    run_main(main, ARGS)
