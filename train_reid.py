"""Retrains an ID model with triplet loss and offline batch-hard mining, so that pictures of one person lie close and
others apart.

    bash train_reid.sh                                           with the values at its top
    python3 train_reid.py --id_model=models/id/m1                from the step that train_id suggests
    python3 train_reid.py --id_model=models/id/m1/model.ckpt-1500
    python3 train_reid.py --restore=True --id=0                  goes on with models/reid/m0

Reads <data_dir>/bounding_box_train. Writes models/reid/m<N>/: reid_model-<step>.ckpt, args.json, validation.json and
the TensorBoard runs train and val. Image size and width are those of the ID model.
"""

import math
import time
from pathlib import Path

from utils.errors import InputError, explained_imports, run_main
from utils.options import (
    VAL_IDENTITIES,
    add_augmentation_options,
    add_run_options,
    augmentation,
    make_parser,
    non_negative_float,
    non_negative_int,
    positive_float,
    positive_int,
)


def parse_args(argv=None):
    parser = make_parser(__doc__)
    add_run_options(
        parser, "reid", 25000, 200, "25000 is what In Defense of the Triplet Loss (Hermans et al. 2017) trains"
    )
    # fmt: off
    add = parser.add_argument_group("data").add_argument
    add("--data_dir", default="data/Market-1501-v15.09.15", help="folder that holds bounding_box_train")
    add("--val_identities", type=non_negative_int, default=None,
        help="identities held out for validation, 2 or more; by default those that the ID model left out "
             f"(its own val_identities), or {VAL_IDENTITIES} where it left out none and so has seen them all")
    add_augmentation_options(parser)
    add = parser.add_argument_group("network").add_argument
    add("--id_model", default="models/id/m0",
        help="where the convolutions come from: a run folder (its suggested step) or a checkpoint such as "
             "models/id/m1/model.ckpt-1500")
    add("--embedding_size", type=positive_int, default=2048,
        help="numbers of an embedding; fewer make matching faster and a little less exact")
    add = parser.add_argument_group("triplets").add_argument
    add("--margin", type=positive_float, default=0.1,
        help="how much more similar the positive must be than the negative; "
             "up (0.3) when most triplets have no loss, down when the embeddings collapse")
    add("--num_images", type=positive_int, default=5000,
        help="N, images embedded for each mining: more gives harder triplets and takes longer "
             "(5000: the setting of 'Re-ID done right' re-makes)")
    add("--k", type=positive_int, default=16,
        help="batches between two minings: less keeps triplets hard for the current network, more saves time")
    add("--sample_num", type=positive_int, default=30,
        help="the pair is drawn from this many hardest positives and negatives; "
             "up when wrong labels or a collapse spoil training, 1 is the very hardest")
    add("--batch_size", type=positive_int, default=24,
        help="triplets a step, three pictures each; 24 are the 72 pictures of Hermans et al. 2017")
    add = parser.add_argument_group("optimisation").add_argument
    add("--learning_rate", type=positive_float, default=1e-4,
        help="highest rate of Adam; down when the loss sits at the margin. "
             "Hermans et al. use 3e-4 from ImageNet; an ID model is nearer to its goal")
    add("--warmup_steps", type=non_negative_int, default=500,
        help="steps over which the rate rises from 0: the new layer settles first")
    add("--decay_start", type=non_negative_int, default=15000,
        help="step from which the rate falls along a cosine to 0 at num_steps (Hermans et al.: 15000)")
    add("--weight_decay", type=non_negative_float, default=0.0,
        help="factor on half the squared kernels, added to the loss (Hermans et al.: none)")
    # fmt: on
    return parser.parse_args(argv)


ARGS = parse_args() if __name__ == "__main__" else None  # before TensorFlow is imported: --help answers at once

with explained_imports():
    import numpy as np
    import tensorflow as tf

    from utils import checkpoint, dataset, dataset_checks, resnet
    from utils.evaluation.embed import ask_within, embed_paths, embedder, evaluate_within
    from utils.evaluation.ranked import Pictures, average_precisions, choose_queries, rank, ranked_grid
    from utils.image_grid import triplet_grid
    from utils.losses import triplet_loss, weight_decay
    from utils.metrics import strict_threshold
    from utils.mining import draw_pool, mine_triplets
    from utils.training.projector import write_projector
    from utils.training.run import Run, Steps, build_schedule, check_finite, suggest_map

SHOWN_QUERIES = 5  # with their ranked answers in TensorBoard
SHOWN_TIMES = 20  # in a run: each takes about a megabyte


def inherit(args, run):
    """Takes image size, width and validation identities from the run that is continued, or from the ID model.

    Returns the ID checkpoint to start from, None for a run that is continued.
    """
    if args.restore:
        start, before = None, checkpoint.read_args(run.prefix(run.find_restored()))
    else:
        start = checkpoint.find_checkpoint(args.id_model, checkpoint.ID_PATTERN)
        before = checkpoint.read_shape(start)
    args.image_size, args.width = before["image_size"], before["width"]
    if args.val_identities is None:
        inherited = before.get("val_identities", 0)
        args.val_identities = inherited if inherited >= 2 else VAL_IDENTITIES
    another_set = Path(before.get("data_dir", args.data_dir)).resolve() != Path(args.data_dir).resolve()
    if not args.restore and (another_set or args.val_identities > before.get("val_identities", 0)):
        print(
            "note: the ID model held out fewer identities or those of another data set, so it may have seen some that "
            "validation is done on: those figures will look better than they are"
        )
    # The ID model held out identities by its own seed; another draw would validate on people it was trained on.
    args.split_seed = before.get("split_seed", before.get("seed", args.seed))
    run.args.update(vars(args))
    return start


def split(data_dir, val_identities, seed):
    """The pictures of bounding_box_train as two labelled sets: to train on, and of held-out identities.

    Either is (paths, identities, cameras), each (N,).
    """
    data = dataset.open_split(data_dir, "train")
    dataset.check_images(data.paths)
    dataset_checks.check_quickly(train=data)
    shown = data.people()
    paths, identities, cameras = np.array(data.paths)[shown], data.identities[shown], data.cameras[shown]  # (N,) each
    if val_identities < 2:
        raise InputError(
            f"val_identities={val_identities} is too few, for validation compares people with each other: "
            + dataset.fitting_val_identities(len(np.unique(identities)))
        )
    held_out = dataset.hold_out_identities(identities, val_identities, seed)
    kinds, counts = np.unique(identities[~held_out], return_counts=True)
    if counts.max() == 1:
        raise InputError(f"no identity in {data.folder} has two pictures, so no triplet can be made: add pictures")
    print(
        f"{data.folder}: {np.sum(~held_out)} pictures of {len(kinds)} identities to train on, "
        f"{held_out.sum()} of {val_identities} others to validate on"
    )
    if len(np.unique(identities[held_out])) == held_out.sum():
        raise InputError("no identity held out for validation has two pictures: raise val_identities, or add pictures")
    columns = (paths, identities, cameras)
    return tuple(column[~held_out] for column in columns), tuple(column[held_out] for column in columns)


def centre_embedding(net, paths, args):
    """Sets the bias of the new embedding layer so that the mean embedding of num_images pictures is zero.

    Pooled features are never negative, so all of them point much the same way: similarities would start close to 1,
    and the first steps would be spent on what everybody has in common.
    """
    pooled = tf.keras.Model(net.input, net.get_layer(resnet.POOL_LAYER).output)
    pool = draw_pool(len(paths), args.num_images, np.random.default_rng(args.seed))
    mean = embed_paths(embedder(pooled), paths[pool], args.image_size).mean(axis=0)  # (C,)
    layer = net.get_layer(resnet.EMBEDDING_LAYER)
    kernel, _ = layer.get_weights()  # (C, E)
    layer.set_weights([kernel, -mean @ kernel])


def build_train_step(net, optimizer, args):
    """One step of triplet loss on the embedding net, as a TensorFlow graph."""
    kernels = [weight for name, weight in checkpoint.named_weights(net).items() if name.endswith("/kernel")]

    @tf.function(reduce_retracing=True)
    def train_step(images):
        """(3 * T, H, W, 3) uint8: T anchors, then T positives, then T negatives -> loss, similarities, all (T,)."""
        with tf.GradientTape() as tape:
            embeddings = net(images, training=True)  # (3 * T, E)
            losses, positive, negative = triplet_loss(*tf.split(embeddings, 3), args.margin)
            total = tf.reduce_mean(losses) + args.weight_decay * weight_decay(kernels)
        optimizer.apply_gradients(zip(tape.gradient(total, net.trainable_variables), net.trainable_variables))
        return losses, positive, negative

    return train_step


def mine(embed, train_set, args, rng):
    """Steps 1 to 5 of the recipe: triplets as three (batch_size * k,) index arrays into the training set.

    With them come figures of what the pool looked like, and a picture of its hardest triplets, (H, W, 3) uint8 RGB.
    """
    paths, identities, _ = train_set
    pool = draw_pool(len(paths), args.num_images, rng)  # (N,)
    embeddings = embed_paths(embed, paths[pool], args.image_size)  # (N, E)
    try:
        triplets = mine_triplets(embeddings, identities[pool], args.batch_size * args.k, args.sample_num, rng)
    except ValueError as error:
        raise InputError(f"no triplet among {len(pool)} images drawn ({error}): raise num_images") from None
    anchors, positives, negatives = (embeddings[index] for index in triplets)  # (T, E) each
    positive = np.sum(anchors * positives, axis=1)  # (T,)
    negative = np.sum(anchors * negatives, axis=1)  # (T,)
    # 1 less the mean similarity of any two: 0 when all are the same.
    spread = 1 - float(np.sum(embeddings.mean(axis=0) ** 2))
    figures = {
        "mining/positive_similarity": positive.mean(),
        "mining/negative_similarity": negative.mean(),
        "embedding_spread": spread,
    }
    hardest = np.argsort(positive - negative)[:8]
    pictures = triplet_grid([paths[pool[index[hardest]]] for index in triplets], positive[hardest], negative[hardest])
    return [pool[index] for index in triplets], figures, pictures


def triplet_batches(paths, triplets, args, seed):
    """Mined triplets as k batches (3 * T, H, W, 3) uint8, T = batch_size: anchors, then positives, then negatives."""
    by_batch = np.stack(triplets).reshape(3, args.k, args.batch_size).transpose(1, 0, 2)  # (k, 3, T) indices into paths
    paths = paths[by_batch.ravel()]  # (k * 3 * T,)
    batches = dataset.training_batches(
        paths, np.zeros(len(paths)), args.image_size, 3 * args.batch_size, seed, augmentation(args), shuffle=False
    )
    return (images for images, _ in batches)


def warn_of_collapse(spread, active, step):
    """Says it in words when the embeddings shrink to one point: the loss then sits at the margin for ever."""
    if spread < 0.02 and active > 0.9:
        print(
            f"step {step}: the embeddings are collapsing (two pictures of anybody are {1 - spread:.3f} similar, "
            f"{100 * active:.0f} % of the triplets have loss): stop, "
            "and start again with a lower learning_rate, a larger sample_num or a smaller margin"
        )


def validate(embeddings, val_set, args) -> dict:
    """Figures of the held-out identities from their embeddings, (M, E).

    Loss of triplets mined among them, rank-1 and mAP with one query a camera, and the demo's first threshold.
    """
    paths, identities, cameras = val_set
    rng = np.random.default_rng(args.seed)
    anchors, positives, negatives = mine_triplets(embeddings, identities, len(paths), args.sample_num, rng)
    losses, _, _ = triplet_loss(embeddings[anchors], embeddings[positives], embeddings[negatives], args.margin)
    figures = evaluate_within(embeddings, identities, cameras)
    threshold = strict_threshold(embeddings, identities, cameras)
    return {"loss": float(np.mean(losses)), "rank1": figures["rank1"], "mAP": figures["mAP"], "threshold": threshold}


def show_validation(run, step, embeddings, val_set, args) -> None:
    """Into TensorBoard: the held-out pictures as points of the projector, and the ranked answers to a few of them.

    The same queries every time. About SHOWN_TIMES in a run, since the pictures of all validations would fill a disk.
    """
    paths, identities, cameras = val_set
    write_projector(run.folder / "val", embeddings, paths, identities, cameras)
    asking, cameras = ask_within(identities, cameras)
    gallery = Pictures(paths, embeddings, identities, cameras)
    queries = Pictures(*(column[asking] for column in gallery))
    precisions = average_precisions(queries, gallery)
    rows = rank(queries, gallery, choose_queries("random", SHOWN_QUERIES, queries, precisions, args.seed), precisions)
    picture = ranked_grid(rows, queries, gallery, f"step {step}, identities never trained on")
    run.show_picture(run.val_writer, "ranked answers", step, picture)


def main(args):
    tf.keras.utils.set_random_seed(args.seed)
    run = Run(args.models_dir, "reid", checkpoint.REID_PATTERN, vars(args), args.keep)
    start = inherit(args, run)
    if run.first_step >= args.num_steps:
        print(f"{run.folder} has made its {run.first_step} steps already: raise num_steps to go on")
        return

    # Data: some identities are kept apart, for what counts is how well people are told apart who were never trained on.
    train_set, val_set = split(args.data_dir, args.val_identities, args.split_seed)

    # Network: the convolutions of the ID model under a new embedding layer.
    net = resnet.build_embedding_net(args.image_size, args.width, args.embedding_size)
    schedule = build_schedule(args, args.decay_start)
    optimizer = tf.keras.optimizers.Adam(schedule)
    optimizer.build(net.trainable_variables)
    if args.restore:
        run.restore(net, optimizer)
    else:
        checkpoint.load_backbone(net, start)
        with dataset.naming_unreadable(train_set[0]):
            centre_embedding(net, train_set[0], args)
        run.start_new({"started_from": start})
        print(f"starting from the convolutions of {start}, with a new embedding layer")
    train_step, embed = build_train_step(net, optimizer, args), embedder(net)

    # Training: mine batch_size * k triplets, train on them once, mine again with what was learnt.
    show_every = math.ceil(args.num_steps / args.save_every / SHOWN_TIMES)  # validations
    used = [*train_set[0], *val_set[0]]
    with dataset.naming_unreadable(used), Steps(run.first_step, args.num_steps, 3 * args.batch_size) as steps:
        for step in steps:
            begun = time.monotonic()
            if (step - 1 - run.first_step) % args.k == 0:
                rng = np.random.default_rng([args.seed, step])
                triplets, mined, hardest = mine(embed, train_set, args, rng)
                batches = triplet_batches(train_set[0], triplets, args, int(rng.integers(2**31)))
                mining_seconds, training_seconds = time.monotonic() - begun, 0.0
                begun = time.monotonic()
            losses, positive, negative = (values.numpy() for values in train_step(next(batches)))  # (T,) each
            steps.took(time.monotonic() - begun)
            training_seconds += time.monotonic() - begun
            loss, active = float(losses.mean()), float((losses > 0).mean())
            check_finite(loss, step, run)
            if (step - run.first_step) % args.k == 0:
                warn_of_collapse(mined["embedding_spread"], active, step)
            steps.show(loss=loss, active=active, spread=mined["embedding_spread"])
            if step % args.log_every == 0 or steps.ending:
                figures = {
                    "loss": loss,
                    "active_triplets": active,
                    "positive_similarity": positive.mean(),
                    "negative_similarity": negative.mean(),
                    "learning_rate": schedule(step),
                    "images_per_second": steps.images_per_second,
                    **mined,
                    "seconds/mining": mining_seconds,
                    "seconds/training": training_seconds,
                }
                run.log(run.train_writer, step, figures)
            if step % args.save_every == 0 or steps.ending:
                embeddings = embed_paths(embed, val_set[0], args.image_size)  # (M, E)
                figures = validate(embeddings, val_set, args)
                if steps.ending or (step // args.save_every - 1) % show_every == 0:
                    show_validation(run, step, embeddings, val_set, args)
                run.log(run.val_writer, step, figures)
                run.show_picture(run.train_writer, "hardest triplets: anchor, positive, negative", step, hardest)
                suggested = run.save(net, optimizer, step, figures, suggest_map)
                print(
                    f"step {step}: validation loss {figures['loss']:.4f}, rank-1 {figures['rank1']:.1f} %, "
                    f"mAP {figures['mAP']:.1f} %; saved {run.prefix(step)}"
                )
    defaults = vars(parse_args([]))
    if steps.stopped:
        run.end_stopped(defaults)
    best = run.prefix(suggested["step"])
    run.print_end(suggested, f"bash test_reid.sh --model={best}", defaults)
    print(f"  or to the device: scp {best}* USER@JETSON:")


if __name__ == "__main__":
    run_main(main, ARGS)
