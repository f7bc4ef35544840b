"""Retrains an ID model with triplet loss and batch-hard mining: embeddings of one person become similar, those of
different people dissimilar.

    bash train_reid.sh                                           with the values at its top
    python3 train_reid.py --id_model=models/id/m1                from the step that train_id suggests
    python3 train_reid.py --id_model=models/id/m1/model.ckpt-1500
    python3 train_reid.py --restore=True --id=0                  resumes models/reid/m0

Reads <data_dir>/bounding_box_train, of several data sets if data_dir is given more than once. Writes
models/reid/m<N>/: reid_model-<step>.ckpt, args.json, validation.json and the TensorBoard runs train and val. Step 0 is
the ID model itself, with the new layer. The image size and the shape of the network are those of the ID model.
"""

import argparse
import functools
import math
import sys

from utils.errors import explained_imports, run_main
from utils.options import (
    AUGMENTATIONS,
    VAL_DISTRACTORS,
    VAL_IDENTITIES,
    add_augmentation_options,
    add_data_dir,
    add_hardware_options,
    add_run_options,
    as_sample_num,
    boolean,
    make_parser,
    non_negative_float,
    non_negative_int,
    positive_float,
    positive_int,
    settle_data_dir,
)

# Options that a resumed run must keep: the weights would not fit otherwise, or the curves could not be compared.
FIXED_OPTIONS = ("embedding_size", "id_weight", "val_identities", "val_distractors", "seed")


def parse_args(argv=None):
    parser = make_parser(__doc__)
    add_run_options(
        parser, "reid", 25000, 200, "In Defense of the Triplet Loss (Hermans et al. 2017) trains 25000 steps"
    )
    # fmt: off
    add = parser.add_argument_group("data").add_argument
    add_data_dir(add)
    add("--val_identities", type=non_negative_int, default=None,
        help="identities held out for validation, 2 or more; default: those that the ID model held out "
             f"(its val_identities), or {VAL_IDENTITIES} if it held out none and so was trained on all")
    add("--val_distractors", type=non_negative_int, default=VAL_DISTRACTORS,
        help="training images in the gallery of the validation; with 0, rank-1 among a few identities reads too high")
    add_augmentation_options(parser)
    add = parser.add_argument_group("network").add_argument
    add("--id_model", default="models/id/m0",
        help="the ID model whose convolutions are used: a run folder (its suggested step) or a checkpoint such as "
             "models/id/m1/model.ckpt-1500")
    add("--embedding_size", type=positive_int, default=2048,
        help="length of an embedding; shorter ones make matching faster and slightly less accurate")
    add = parser.add_argument_group("triplets").add_argument
    add("--mining", choices=("offline", "online"), default="offline",
        help="offline: triplets are mined in a pool of num_images images, every k steps; online: in each batch of "
             "identities_per_batch x images_per_identity images, which costs no time")
    add("--margin", type=positive_float, default=0.3,
        help="how much more similar the positive must be than the negative, as a difference of cosines; increase it "
             "when most triplets have no loss, decrease it when the embeddings collapse (original page: 0.1)")
    add("--batch_size", type=positive_int, default=24,
        help="offline: triplets per step, three images each (24 triplets are the 72 images of Hermans et al. 2017); "
             "reduce it if GPU memory runs out")
    add("--num_images", type=positive_int, default=5000,
        help="offline: N, images embedded in each mining; more images give harder triplets and take longer "
             "(5000: re-implementations of 'Re-ID done right')")
    add("--k", type=positive_int, default=16,
        help="offline: steps between two minings; fewer keep the triplets hard for the current network, more save time")
    add("--sample_num", type=as_sample_num, default=0.005,
        help="offline: positive and negative are one of the sample_num hardest pairs of their anchor; below 1: this "
             "share of the pool (0.005 of 5000: 25 pairs, as re-implementations of 'Re-ID done right'); "
             "increase it if wrong labels or a collapse spoil the training, 1 takes the very hardest pair")
    add("--other_cameras", type=boolean, default=False,
        help="offline: take positives of another camera than the anchor's wherever the pool has one")
    add("--identities_per_batch", type=positive_int, default=16, help="online: P, identities in each batch")
    add("--images_per_identity", type=positive_int, default=4, help="online: K, images of each of them")
    add = parser.add_argument_group("classification").add_argument
    add("--id_weight", type=non_negative_float, default=1.0,
        help="factor on the cross-entropy over identities, which is added to the triplet loss (Bag of Tricks: 1); "
             "0 trains on triplets alone, as the original page does")
    add = parser.add_argument_group("optimization").add_argument
    add("--learning_rate", type=positive_float, default=3.5e-4,
        help="highest learning rate of Adam (Bag of Tricks: 3.5e-4); decrease it when the loss stays at the margin; "
             "triplets alone need a lower one, such as 1e-4")
    add("--warmup_steps", type=non_negative_int, default=500,
        help="steps in which the learning rate rises from 0, while the new layer settles")
    add("--decay_start", type=non_negative_int, default=15000,
        help="step from which the learning rate falls along a cosine to 0 at num_steps (Hermans et al.: 15000)")
    add("--weight_decay", type=non_negative_float, default=5e-4,
        help="factor on half the sum of squared kernel weights, which is added to the loss; "
             "0 is off (Hermans et al. train on triplets without it)")
    # fmt: on
    add_hardware_options(parser)
    return settle_data_dir(parser, parser.parse_args(argv))


ARGS = parse_args() if __name__ == "__main__" else None  # before TensorFlow is imported: --help answers at once

with explained_imports():
    import numpy as np
    import tensorflow as tf

    from utils import checkpoint, dataset, losses, resnet
    from utils.checkpoint_paths import find_checkpoint
    from utils.embed import compile_embed, pick_queries
    from utils.evaluation.ranked import choose_queries, rank, ranked_grid
    from utils.evaluation.threshold import training_threshold
    from utils.folders import data_dirs, same_folders
    from utils.metrics import score_queries
    from utils.mining import draw_pool, mine_triplets
    from utils.training.hardware import prepare
    from utils.training.images import BatchFeed, TrainingImages
    from utils.training.projector import write_projector
    from utils.training.rounds import MinedRound, Mining, identity_batches, mine_round, mined_batches, online_batches
    from utils.training.run import Run, best_map, differing_options, find_resume_point, resume_advice
    from utils.training.schedule import build_schedule
    from utils.training.split import split_for_triplets
    from utils.training.start import start_from
    from utils.training.steps import Steps, check_finite
    from utils.training.validation import Validation
    from utils.training.watch import Watch

SHOWN_QUERIES = 5  # with their ranked gallery images in TensorBoard
SHOWN_VALIDATIONS = 20  # per run: the images of one validation take about a megabyte
HEAD = f"{resnet.ID_LAYER}/"  # weights that are for training only: they are stored with the optimizer's state


# ---- options and data ----


def inherit_options(args, before):
    """A copy of args with image_size, the shape of the network, label_smoothing, val_identities and split_seed.

    before: the options of the ID model, or of the run that is resumed.
    """
    val_identities = args.val_identities
    if val_identities is None:
        inherited = before.get("val_identities", 0)
        val_identities = inherited if inherited >= 2 else VAL_IDENTITIES
    # The ID model held out identities by its own seed; another seed would validate on identities it was trained on.
    split_seed = before.get("split_seed", before.get("seed", args.seed))
    inherited = {name: before[name] for name in ("image_size", "width", *checkpoint.VARIANT)}
    inherited.update(label_smoothing=before.get("label_smoothing", 0.1))
    inherited.update(val_identities=val_identities, split_seed=split_seed)
    return argparse.Namespace(**{**vars(args), **inherited})


def note_seen_identities(args, id_options) -> None:
    """Prints a note if the ID model may have been trained on identities that validation uses."""
    another_set = not same_folders(id_options.get("data_dir", args.data_dir), args.data_dir)
    if another_set or args.val_identities > id_options.get("val_identities", 0):
        print(
            "note: the ID model held out fewer identities, or those of another data set, so it may have been trained "
            "on some of those used for validation: the validation figures are then too high"
        )


# ---- training ----


def build_train_step(net, optimizer, args):
    """One step of triplet loss, and of cross-entropy if id_weight asks for it, as a TensorFlow graph."""
    kernels = checkpoint.kernels(net)

    @tf.function(reduce_retracing=True)
    def train_step(images, labels):
        """(B, H, W, 3) uint8, (B,) int32 -> {tag: scalar}; offline: T anchors, then T positives, then T negatives."""
        with tf.GradientTape() as tape:
            outputs = net(images, training=True)
            embeddings = outputs[0] if args.id_weight else outputs  # (B, E)
            if args.mining == "offline":
                positive, negative = losses.mined_similarities(embeddings)  # (T,) each
            else:
                positive, negative = losses.batch_hard_similarities(embeddings, labels)  # (B,) each
            triplet_losses = losses.triplet_loss(positive, negative, args.margin)
            loss = tf.reduce_mean(triplet_losses)
            total = loss
            figures = {"loss": loss}
            if args.id_weight:
                figures["id_loss"] = losses.id_loss(labels, outputs[1], args.label_smoothing)
                total += args.id_weight * figures["id_loss"]
            if args.weight_decay:
                total += args.weight_decay * losses.weight_decay(kernels)
        optimizer.apply_gradients(zip(tape.gradient(total, net.trainable_variables), net.trainable_variables))
        figures["mining/active_triplets"] = tf.reduce_mean(tf.cast(triplet_losses > 0, tf.float32))
        figures["batch/positive_similarity"] = tf.reduce_mean(positive)
        figures["batch/negative_similarity"] = tf.reduce_mean(negative)
        return figures

    return train_step


# ---- validation ----


def validate(embed, validation, args) -> tuple:
    """(held-out images with embeddings, their figures).

    The loss of triplets mined among them, rank-1 and mAP with one query per camera, and the demo's first threshold.
    """
    images = validation.embed(embed)
    rng = np.random.default_rng(args.seed)
    count = len(images.identities)
    anchors, positives, negatives = mine_triplets(images.embeddings, images.identities, count, args.sample_num, rng)
    triplets = images.embeddings[np.concatenate([anchors, positives, negatives])]  # (3 * M, E)
    loss = losses.triplet_loss(*losses.mined_similarities(triplets), args.margin)  # (M,)
    figures = {"loss": float(np.mean(loss)), **validation.evaluate(embed, images)}
    return images, {**figures, "threshold": training_threshold(images)}


def show_validation(run, step, images, seed) -> None:
    """Writes the held-out images to TensorBoard: as points of the projector, and ranked for a few queries.

    The queries are the same in every validation. images: a metrics.LabelledSet.
    """
    write_projector(run.folder / "val", images.embeddings, images.paths, images.identities, images.cameras)
    queries, gallery = pick_queries(images)
    precisions = score_queries(queries, gallery).average_precision  # (Q,)
    rows = rank(queries, gallery, choose_queries("random", SHOWN_QUERIES, queries, precisions, seed), precisions)
    run.log_image("val", "val/ranked", step, ranked_grid(rows, queries, gallery, f"step {step}, held-out identities"))


def save_step(run, nets, optimizer, step, figures, mined) -> dict:
    """Logs and saves a validated step, and returns the suggested checkpoint. nets: see build_nets."""
    net, training_net = nets
    state = {name: v for name, v in checkpoint.named_weights(training_net).items() if name.startswith(HEAD)}
    if mined:
        state.update(mined.arrays())
    run.log("val", step, figures)
    suggested = run.save(net, optimizer, step, figures, best_map, state)
    print(
        f"step {step}: validation loss {figures['loss']:.4f}, rank-1 {figures['rank1']:.1f} %, "
        f"mAP {figures['mAP']:.1f} %; saved {run.prefix(step)}"
    )
    return suggested


# ---- the script ----


def find_start(args) -> tuple:
    """Where the weights come from: (all options, ResumePoint of the run to resume or None, ID checkpoint or None)."""
    if args.restore:
        options = (vars(args), FIXED_OPTIONS)
        point = find_resume_point(args.models_dir, "reid", checkpoint.REID_PATTERN, args.id, *options)
        shape = {**checkpoint.read_shape(point.prefix), **point.about}
        return inherit_options(args, shape), point, None
    id_model = find_checkpoint(args.id_model, checkpoint.ID_PATTERN)
    id_options = checkpoint.read_shape(id_model)
    args = inherit_options(args, id_options)
    note_seen_identities(args, id_options)
    return args, None, id_model


def build_nets(num_classes, args) -> tuple:
    """The embedding network, which is saved, and the network that is trained: the same one, or with an ID head."""
    variant = {name: getattr(args, name) for name in checkpoint.VARIANT}
    net = resnet.build_embedding_net(args.image_size, args.width, args.embedding_size, **variant)
    return net, resnet.add_id_head(net, num_classes) if args.id_weight else net


def start_run(training_net, images, train, id_model, args) -> Run:
    """A new run, which starts with the weights of the ID model."""
    options = checkpoint.read_args(id_model)
    same_sets = same_folders(options.get("data_dir"), args.data_dir)
    same_identities = same_sets and options.get("num_classes") == len(np.unique(train.identities))
    sample = draw_pool(train.identities, args.num_images, np.random.default_rng(args.seed))
    taken = start_from(training_net, id_model, bool(args.id_weight) and same_identities, images, sample)
    about = {**vars(args), "started_from": id_model}
    run = Run.new(args.models_dir, "reid", checkpoint.REID_PATTERN, about, args.keep)
    print(f"starting from {taken} of {id_model}")
    return run


def resume_run(nets, optimizer, point, args) -> Run:
    """The run of `point`, with the weights, the optimizer's variables and the mined triplets of that step."""
    net, training_net = nets
    run = Run.resume(point, net, optimizer, vars(args), args.keep)
    for name, variable in checkpoint.named_weights(training_net).items():
        if name.startswith(HEAD):
            variable.assign(run.state[name])
    return run


def build_batches(embed, images, feed, train, run, args):
    """Batches (rounds.Batch) from the step after the run's first_step on, without end."""
    step = run.first_step + 1
    if args.mining == "online":
        shape = (args.identities_per_batch, args.images_per_identity)
        return online_batches(identity_batches(train.identities, *shape, args.seed), feed, step, args.seed)
    mining = Mining(args.num_images, args.sample_num, args.batch_size, args.k, args.other_cameras, args.seed)
    resumed = MinedRound.from_arrays(run.state)
    if resumed and resumed.triplets.shape[1] != args.batch_size * args.k:
        resumed = None  # batch_size or k has changed since
    return mined_batches(functools.partial(mine_round, embed, images, train, mining), feed, step, resumed)


def main(given):
    prepare(given.seed, given.precision, given.deterministic)
    args, point, id_model = find_start(given)
    if point and point.step >= args.num_steps:
        print(f"{point.folder} has already run its {point.step} steps: increase num_steps to continue")
        return

    # Data: validation uses held-out identities, because the network must recognise people it was not trained on.
    train, held_out = split_for_triplets(args.data_dir, args.val_identities, args.split_seed)
    classes, labels = np.unique(train.identities, return_inverse=True)  # (C,), (N,) 0..C-1
    used = [*train.paths, *held_out.paths]
    with dataset.decode_errors_named(used):
        images = TrainingImages(train.paths, args.image_size, args.cache_gb * 1e9)
    validation = Validation(held_out, images, args.val_distractors, args.split_seed)
    print(f"validation: {validation.describe()}")

    # Network and optimizer.
    nets = build_nets(len(classes), args)
    net, training_net = nets
    schedule = build_schedule(args.learning_rate, args.warmup_steps, args.decay_start, args.num_steps)
    optimizer = tf.keras.optimizers.Adam(schedule)
    optimizer.build(training_net.trainable_variables)
    with dataset.decode_errors_named(used):
        if point:
            run = resume_run(nets, optimizer, point, args)
        else:
            run = start_run(training_net, images, train, id_model, args)
    train_step = build_train_step(training_net, optimizer, args)
    embed = compile_embed(net)

    # Training: mine, train on k batches, mine again; or batches of identities with several images each.
    augmentation = {name: getattr(args, name) for name in AUGMENTATIONS}
    batch_size = 3 * args.batch_size
    if args.mining == "online":
        batch_size = args.identities_per_batch * args.images_per_identity
    show_every = math.ceil(args.num_steps / args.save_every / SHOWN_VALIDATIONS)  # validations
    watch = Watch(args.k)
    with dataset.decode_errors_named(used), BatchFeed(images, batch_size, augmentation) as feed:
        batches = build_batches(embed, images, feed, train, run, args)
        if not point:
            embedded, figures = validate(embed, validation, args)
            show_validation(run, 0, embedded, args.seed)
            suggested = save_step(run, nets, optimizer, 0, figures, None)
        with Steps(run.first_step, args.num_steps, batch_size) as steps:
            for step, batch in zip(steps, batches):  # images: (B, H, W, 3) uint8
                results = train_step(batch.images, labels[batch.numbers])
                figures = {name: float(value) for name, value in results.items()}
                mined = batch.mined
                steps.record_time(excluding=mined.seconds if mined and step == mined.first_step else 0.0)
                check_finite(figures["loss"] + figures.get("id_loss", 0.0), step, run.folder)
                active = figures["mining/active_triplets"]
                watch.add(step, active, figures["batch/negative_similarity"])
                steps.show(loss=figures["loss"], active=active)
                if step % args.log_every == 0 or steps.is_last:
                    figures.update(learning_rate=schedule(step - 1), images_per_second=steps.images_per_second)
                    figures.update(mined.figures() if mined else {})
                    figures["time/training_s"] = args.k * steps.seconds_per_step
                    run.log("train", step, figures)
                if step % args.save_every == 0 or steps.is_last:
                    embedded, figures = validate(embed, validation, args)
                    if steps.is_last or (step // args.save_every - 1) % show_every == 0:
                        show_validation(run, step, embedded, args.seed)
                        if mined:
                            run.log_image("train", "mining/hardest_triplets", step, mined.hardest_image(train.paths))
                    suggested = save_step(run, nets, optimizer, step, figures, mined)
    finish(run, suggested, steps, given)


def finish(run, suggested, steps, given) -> None:
    """Prints the table of steps and the next command; exits after Ctrl-C."""
    defaults = vars(parse_args([]))
    if steps.stopped:
        print(resume_advice(sys.argv[0], run.folder, vars(given), defaults))
        sys.exit(130)
    best = run.prefix(suggested["step"])
    print(run.table(suggested))
    tested_on = data_dirs(given.data_dir)[0]  # a test has one data set
    print(f"next: bash test_reid.sh --model={best}{differing_options({'data_dir': tested_on}, defaults)}")
    print(f"  or to the device: scp {best}* USER@JETSON:")
    if suggested["step"] == 0:
        print("note: no step is better than the ID model: lower learning_rate, or train longer")


if __name__ == "__main__":
    run_main(main, ARGS)
