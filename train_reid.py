"""Retrains an ID model with triplet loss and offline batch-hard mining: embeddings of one person become similar, those
of different people dissimilar.

    bash train_reid.sh                                           with the values at its top
    python3 train_reid.py --id_model=models/id/m1                from the step that train_id suggests
    python3 train_reid.py --id_model=models/id/m1/model.ckpt-1500
    python3 train_reid.py --restore=True --id=0                  resumes models/reid/m0

Reads <data_dir>/bounding_box_train. Writes models/reid/m<N>/: reid_model-<step>.ckpt, args.json, validation.json and
the TensorBoard runs train and val. Image size and width are those of the ID model.
"""

import argparse
import functools
import math
import sys
from pathlib import Path

from utils.errors import InputError, explained_imports, run_main
from utils.options import (
    AUGMENTATIONS,
    VAL_IDENTITIES,
    add_augmentation_options,
    add_run_options,
    make_parser,
    non_negative_float,
    non_negative_int,
    positive_float,
    positive_int,
)

# Options that a resumed run must keep: the weights would not fit otherwise, or the curves could not be compared.
FIXED_OPTIONS = ("embedding_size", "val_identities", "seed")


def parse_args(argv=None):
    parser = make_parser(__doc__)
    add_run_options(
        parser, "reid", 25000, 200, "In Defense of the Triplet Loss (Hermans et al. 2017) trains 25000 steps"
    )
    # fmt: off
    add = parser.add_argument_group("data").add_argument
    add("--data_dir", default="data/Market-1501-v15.09.15", help="folder that contains bounding_box_train")
    add("--val_identities", type=non_negative_int, default=None,
        help="identities held out for validation, 2 or more; default: those that the ID model held out "
             f"(its val_identities), or {VAL_IDENTITIES} if it held out none and so was trained on all")
    add_augmentation_options(parser)
    add = parser.add_argument_group("network").add_argument
    add("--id_model", default="models/id/m0",
        help="the ID model whose convolutions are used: a run folder (its suggested step) or a checkpoint such as "
             "models/id/m1/model.ckpt-1500")
    add("--embedding_size", type=positive_int, default=2048,
        help="length of an embedding; shorter ones make matching faster and slightly less accurate")
    add = parser.add_argument_group("triplets").add_argument
    add("--margin", type=positive_float, default=0.1,
        help="how much more similar the positive must be than the negative, as a difference of cosines; "
             "increase it (0.3) when most triplets have no loss, decrease it when the embeddings collapse")
    add("--num_images", type=positive_int, default=5000,
        help="N, images embedded in each mining; more images give harder triplets and take longer "
             "(5000: re-implementations of 'Re-ID done right')")
    add("--k", type=positive_int, default=16,
        help="steps between two minings; fewer keep the triplets hard for the current network, more save time")
    add("--sample_num", type=positive_int, default=30,
        help="positive and negative are each drawn from this many hardest images; increase it if wrong labels "
             "or a collapse spoil the training, 1 takes the very hardest")
    add("--batch_size", type=positive_int, default=24,
        help="triplets per step, three images each (24 triplets are the 72 images of Hermans et al. 2017); "
             "reduce it if GPU memory runs out")
    add = parser.add_argument_group("optimization").add_argument
    add("--learning_rate", type=positive_float, default=1e-4,
        help="highest learning rate of Adam; decrease it when the loss stays at the margin "
             "(Hermans et al. use 3e-4 from ImageNet weights; an ID model is closer to its goal)")
    add("--warmup_steps", type=non_negative_int, default=500,
        help="steps in which the learning rate rises from 0, while the new layer settles")
    add("--decay_start", type=non_negative_int, default=15000,
        help="step from which the learning rate falls along a cosine to 0 at num_steps (Hermans et al.: 15000)")
    add("--weight_decay", type=non_negative_float, default=0.0,
        help="factor on half the sum of squared kernel weights, which is added to the loss; "
             "0 is off (Hermans et al.: off)")
    # fmt: on
    return parser.parse_args(argv)


ARGS = parse_args() if __name__ == "__main__" else None  # before TensorFlow is imported: --help answers at once

with explained_imports():
    import numpy as np
    import tensorflow as tf

    from utils import checkpoint, dataset, resnet
    from utils.checkpoint_paths import find_checkpoint
    from utils.device import enable_memory_growth
    from utils.evaluation.embed import compile_embed, embed_paths, evaluate_single_set, pick_queries
    from utils.evaluation.ranked import choose_queries, rank, ranked_grid
    from utils.evaluation.threshold import training_threshold
    from utils.losses import triplet_loss, weight_decay
    from utils.metrics import LabelledSet, score_queries
    from utils.mining import draw_pool, mine_triplets
    from utils.training.projector import write_projector
    from utils.training.rounds import Mining, mined_batches
    from utils.training.run import Run, best_map, differing_options, find_resume_point, resume_advice
    from utils.training.schedule import build_schedule
    from utils.training.split import split_identities
    from utils.training.steps import Steps, check_finite

SHOWN_QUERIES = 5  # with their ranked gallery images in TensorBoard
SHOWN_VALIDATIONS = 20  # per run: the images of one validation take about a megabyte


# ---- options and data ----


def inherit_options(args, before):
    """A copy of args with image_size, width, val_identities and split_seed.

    before: the options of the ID model, or of the run that is resumed.
    """
    val_identities = args.val_identities
    if val_identities is None:
        inherited = before.get("val_identities", 0)
        val_identities = inherited if inherited >= 2 else VAL_IDENTITIES
    # The ID model held out identities by its own seed; another seed would validate on identities it was trained on.
    split_seed = before.get("split_seed", before.get("seed", args.seed))
    inherited = {"image_size": before["image_size"], "width": before["width"]}
    inherited.update(val_identities=val_identities, split_seed=split_seed)
    return argparse.Namespace(**{**vars(args), **inherited})


def note_seen_identities(args, id_options) -> None:
    """Prints a note if the ID model may have been trained on identities that validation uses."""
    another_set = Path(id_options.get("data_dir", args.data_dir)).resolve() != Path(args.data_dir).resolve()
    if another_set or args.val_identities > id_options.get("val_identities", 0):
        print(
            "note: the ID model held out fewer identities, or those of another data set, so it may have been trained "
            "on some of those used for validation: the validation figures are then too high"
        )


def split(data_dir, val_identities, seed) -> tuple:
    """The images of bounding_box_train as two dataset.LabelledImages: to train on, and of held-out identities.

    InputError if either part is too small for triplets.
    """
    identities = split_identities(data_dir, val_identities, seed)
    train = identities.train
    held_out = identities.held_out
    num_train = len(np.unique(train.identities))
    num_held_out = len(np.unique(held_out.identities))
    if val_identities < 2:
        raise InputError(
            f"val_identities={val_identities} is too few, because validation compares identities with each other: "
            + dataset.fitting_val_identities(num_train + num_held_out)
        )
    if num_train == len(train.identities):
        raise InputError(f"no identity in {identities.folder} has two images, so there are no triplets: add images")
    print(
        f"{identities.folder}: {len(train.paths)} images of {num_train} identities to train on, "
        f"{len(held_out.paths)} images of {num_held_out} other identities for validation"
    )
    if num_held_out == len(held_out.identities):
        raise InputError("no identity held out for validation has two images: increase val_identities, or add images")
    return train, held_out


# ---- training ----


def centre_embedding(net, paths, args) -> None:
    """Sets the bias of the new embedding layer so that the mean embedding of num_images images is zero.

    Pooled features are never negative and so have nearly the same direction. Without centring, all similarities would
    start close to 1, and the first steps would only remove what all embeddings have in common.
    """
    pooled = tf.keras.Model(net.input, net.get_layer(resnet.POOL_LAYER).output)
    pool = draw_pool(len(paths), args.num_images, np.random.default_rng(args.seed))
    mean = embed_paths(compile_embed(pooled), paths[pool], args.image_size).mean(axis=0)  # (C,)
    layer = net.get_layer(resnet.EMBEDDING_LAYER)
    kernel, _ = layer.get_weights()  # (C, E)
    layer.set_weights([kernel, -mean @ kernel])


def build_train_step(net, optimizer, args):
    """One step of triplet loss on the embedding net, as a TensorFlow graph."""
    kernels = checkpoint.kernels(net)

    @tf.function(reduce_retracing=True)
    def train_step(images):
        """(3 * T, H, W, 3) uint8: T anchors, then T positives, then T negatives -> loss, similarities, all (T,)."""
        with tf.GradientTape() as tape:
            embeddings = net(images, training=True)  # (3 * T, E)
            losses, positive, negative = triplet_loss(*tf.split(embeddings, 3), args.margin)
            total = tf.reduce_mean(losses)
            if args.weight_decay:
                total += args.weight_decay * weight_decay(kernels)
        optimizer.apply_gradients(zip(tape.gradient(total, net.trainable_variables), net.trainable_variables))
        return losses, positive, negative

    return train_step


def warn_of_collapse(spread, active, step) -> None:
    """Prints a warning if all embeddings move to one point: the loss then stays at the margin.

    spread: of the mining; active: the share of triplets with loss.
    """
    if spread < 0.02 and active > 0.9:
        print(
            f"step {step}: the embeddings are collapsing (any two images have a similarity of {1 - spread:.3f}, "
            f"{100 * active:.0f} % of the triplets have loss): stop, "
            "and start again with a lower learning_rate, a larger sample_num or a smaller margin"
        )


# ---- validation ----


def validate(embeddings, held_out, args) -> dict:
    """Figures of the held-out identities from their embeddings, (M, E).

    The loss of triplets mined among them, rank-1 and mAP with one query per camera, and the demo's first threshold.
    """
    rng = np.random.default_rng(args.seed)
    anchors, positives, negatives = mine_triplets(
        embeddings, held_out.identities, len(held_out.paths), args.sample_num, rng
    )
    losses, _, _ = triplet_loss(embeddings[anchors], embeddings[positives], embeddings[negatives], args.margin)
    images = LabelledSet(held_out.paths, embeddings, held_out.identities, held_out.cameras)
    figures = evaluate_single_set(images)
    return {
        "loss": float(np.mean(losses)),
        "rank1": figures["rank1"],
        "mAP": figures["mAP"],
        "threshold": training_threshold(images),
    }


def show_validation(run, step, embeddings, held_out, seed) -> None:
    """Writes the held-out images to TensorBoard: as points of the projector, and ranked for a few queries.

    The queries are the same in every validation.
    """
    write_projector(run.folder / "val", embeddings, *held_out)
    queries, gallery = pick_queries(LabelledSet(held_out.paths, embeddings, held_out.identities, held_out.cameras))
    precisions = score_queries(queries, gallery).average_precision  # (Q,)
    rows = rank(queries, gallery, choose_queries("random", SHOWN_QUERIES, queries, precisions, seed), precisions)
    run.log_image("val", "val/ranked", step, ranked_grid(rows, queries, gallery, f"step {step}, held-out identities"))


def save_step(run, net, optimizer, step, embeddings, held_out, args) -> dict:
    """Validates the held-out embeddings (M, E), logs and saves the step, and returns the suggested checkpoint."""
    figures = validate(embeddings, held_out, args)
    run.log("val", step, figures)
    suggested = run.save(net, optimizer, step, figures, best_map)
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
        return inherit_options(args, point.about), point, None
    id_model = find_checkpoint(args.id_model, checkpoint.ID_PATTERN)
    id_options = checkpoint.read_shape(id_model)
    args = inherit_options(args, id_options)
    note_seen_identities(args, id_options)
    return args, None, id_model


def start_run(net, train, id_model, args) -> Run:
    """A new run: the convolutions of the ID model under a new embedding layer."""
    checkpoint.load_backbone(net, id_model)
    with dataset.decode_errors_named(train.paths):
        centre_embedding(net, train.paths, args)
    about = {**vars(args), "started_from": id_model}
    run = Run.new(args.models_dir, "reid", checkpoint.REID_PATTERN, about, args.keep)
    print(f"starting from the convolutions of {id_model}, with a new embedding layer")
    return run


def main(given):
    enable_memory_growth()
    tf.keras.utils.set_random_seed(given.seed)
    args, point, id_model = find_start(given)
    if point and point.step >= args.num_steps:
        print(f"{point.folder} has already run its {point.step} steps: increase num_steps to continue")
        return

    # Data: validation uses held-out identities, because the network must recognise people it was not trained on.
    train, held_out = split(args.data_dir, args.val_identities, args.split_seed)

    # Network and optimizer.
    net = resnet.build_embedding_net(args.image_size, args.width, args.embedding_size)
    schedule = build_schedule(args.learning_rate, args.warmup_steps, args.decay_start, args.num_steps)
    optimizer = tf.keras.optimizers.Adam(schedule)
    optimizer.build(net.trainable_variables)
    run = Run.resume(point, net, optimizer, vars(args), args.keep) if point else start_run(net, train, id_model, args)
    train_step = build_train_step(net, optimizer, args)
    embed = functools.partial(embed_paths, compile_embed(net), image_size=args.image_size)  # N paths -> (N, E)

    # Training: mine, train on k batches, mine again.
    mining = Mining(args.num_images, args.sample_num, args.batch_size, args.k, args.seed)
    augmentation = {name: getattr(args, name) for name in AUGMENTATIONS}
    batches = mined_batches(embed, train, mining, run.first_step + 1, args.image_size, augmentation)
    show_every = math.ceil(args.num_steps / args.save_every / SHOWN_VALIDATIONS)  # validations
    used = [*train.paths, *held_out.paths]
    with dataset.decode_errors_named(used), Steps(run.first_step, args.num_steps, 3 * args.batch_size) as steps:
        for step, (mined, images) in zip(steps, batches):  # images: (3 * T, H, W, 3) uint8
            losses, positive, negative = (values.numpy() for values in train_step(images))  # (T,) each
            steps.record_time(excluding=mined.seconds if step == mined.first_step else 0.0)
            loss = float(losses.mean())
            active = float((losses > 0).mean())
            check_finite(loss, step, run.folder)
            if step == mined.last_step:
                warn_of_collapse(mined.spread, active, step)
            steps.show(loss=loss, active=active, spread=mined.spread)
            if step % args.log_every == 0 or steps.is_last:
                figures = {"loss": loss, "learning_rate": schedule(step), "images_per_second": steps.images_per_second}
                figures.update(mined.figures())
                figures["mining/active_triplets"] = active
                figures["batch/positive_similarity"] = positive.mean()
                figures["batch/negative_similarity"] = negative.mean()
                figures["time/training_s"] = args.k * steps.seconds_per_step
                run.log("train", step, figures)
            if step % args.save_every == 0 or steps.is_last:
                embeddings = embed(held_out.paths)  # (M, E)
                if steps.is_last or (step // args.save_every - 1) % show_every == 0:
                    show_validation(run, step, embeddings, held_out, args.seed)
                    run.log_image("train", "mining/hardest_triplets", step, mined.hardest_image(train.paths))
                suggested = save_step(run, net, optimizer, step, embeddings, held_out, args)
    defaults = vars(parse_args([]))
    if steps.stopped:
        print(resume_advice(sys.argv[0], run.folder, vars(given), defaults))
        sys.exit(130)
    best = run.prefix(suggested["step"])
    print(run.table(suggested))
    print(f"next: bash test_reid.sh --model={best}{differing_options({'data_dir': args.data_dir}, defaults)}")
    print(f"  or to the device: scp {best}* USER@JETSON:")


if __name__ == "__main__":
    run_main(main, ARGS)
