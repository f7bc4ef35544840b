"""Brings a person re-identification data set into the layout that training and testing read, and checks it.

    python3 data/prepare.py ~/Market-1501-v15.09.15.zip --output data/Market-1501-v15.09.15
    python3 data/prepare.py ~/MSMT17_V1 --output data/MSMT17
    python3 data/prepare.py ~/people --kind own --output data/people           your own, one folder per person
    python3 data/prepare.py --check data/people                                only looks for damage

SOURCE is an archive (.zip, .tar, .tar.gz, ...) or a folder of Market-1501, DukeMTMC-reID, MSMT17 or CUHK03-NP, or a
folder of your own images. Writes <output>/bounding_box_train, bounding_box_test and bounding_box_query as links, which
take no space, and prepared.json. For your own images names.json holds the number of each person. Then all counts are
compared with the published ones, and every image is read once.

Exit code: 0 all is well, 1 the layout differs from the published set or has errors, 2 refused.
"""

from __future__ import annotations

import argparse
import errno
import hashlib
import os
import shutil
import sys
from pathlib import Path

# So that `python3 data/prepare.py` finds the packages data and utils.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from utils.errors import InputError, explained_imports, run_main
from utils.options import as_seed, fraction, make_parser

KINDS = ("auto", "market1501", "dukemtmc", "msmt17", "cuhk03", "own")
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
LINKS = ("auto", "hard", "symbolic", "copy")


def parse_args(argv=None) -> argparse.Namespace:
    parser = make_parser(__doc__)
    # fmt: off
    add = parser.add_argument
    add("source", nargs="?", metavar="SOURCE", help="archive or folder to prepare; it is never changed")
    add("--output", default=None, metavar="FOLDER",
        help="where the layout goes: a new folder, or one that was made from the same SOURCE")
    add("--check", default=None, metavar="FOLDER", help="only look for damage in a folder that has the layout")
    add("--kind", choices=KINDS, default="auto",
        help="which data set it is; auto recognises a published one by its file names, and takes any other as own. "
             "With --check: compare the counts with that set's")
    add("--boxes", choices=("detected", "labeled"), default=None,
        help="which half of CUHK03-NP: detected or hand-labeled boxes; the default is detected if both are there")
    add("--link", choices=LINKS, default="auto",
        help="how images get into the layout: hard links, symbolic links (SOURCE must stay where it is) or copies; "
             "auto takes the first that works")
    add("--count_from_zero", action="store_true",
        help="people are counted from 0: 1 is added to each number, because 0 means nobody (a distractor)")
    add("--skip_reading", action="store_true",
        help="do not read every image at the end (about ten seconds for Market-1501): "
             "damaged and duplicate files are not found")
    add = parser.add_argument_group("your own images").add_argument
    add("--test_share", type=fraction, default=0.5, help="share of the people who are in test and not in training")
    add("--camera_pattern", type=str, default=None, metavar="REGEX",
        help="regular expression with one group that captures the camera, such as '^([a-z]+)_' for front_0012.jpg; "
             "by default the number after c or cam, as in x_c2.jpg")
    add("--single_camera", action="store_true",
        help="all images are by one camera: the earlier and the later half of each person stand in for two cameras, "
             "and a note explains what the figures then mean")
    add("--first_folder", choices=("auto", "person", "camera"), default="auto",
        help="meaning of the first of two folder levels, PERSON/CAMERA/IMAGE or CAMERA/PERSON/IMAGE; auto decides by "
             "the names, and stops with an error if they are ambiguous")
    add("--seed", type=as_seed, default=0, help="seed of the split, and of the choice of queries")
    # fmt: on
    return parser.parse_args(argv)


ARGS = parse_args() if __name__ == "__main__" else None  # before TensorFlow is imported: --help answers at once

with explained_imports():
    from data import layouts
    from data.custom_dataset import SINGLE_CAMERA, Reading, plan_custom
    from data.report import (
        NAMES,
        PREPARED,
        UNPACKED,
        format_example,
        format_remedy,
        format_summary,
        next_command,
        read_note,
    )
    from data.trees import describe_matlab
    from utils import dataset, dataset_checks
    from utils.dataset_checks import count_noun
    from utils.files import atomic_folder, real_path, write_json
    from utils.folders import is_foreign
    from utils.progress import Progress
    from utils.unpack import require_space, unpack


# ---- which images go where -------------------------------------------------------------------------------------------


def make_plan(source: Path, args) -> layouts.Plan:
    """The plan for a folder: its data set, and the place of each image in the layout."""
    root = None if args.kind == "own" else layouts.choose_root(source, args.boxes)
    if root is None:
        if args.kind not in ("own", "auto"):
            raise InputError(
                f"{source} holds no {args.kind}: neither bounding_box_train nor MSMT17's list_train.txt is in it: "
                "name the folder or archive of the whole set"
            )
        if not 0 < args.test_share < 1:
            raise InputError(f"--test_share {args.test_share} leaves training or test empty: give 0.5")
        reading = Reading(args.camera_pattern, args.first_folder, args.count_from_zero)
        return plan_custom(source, reading, args.test_share, args.single_camera, args.seed)
    kind = layouts.recognise(root) if args.kind == "auto" else args.kind
    if kind == "cuhk03":
        kind = layouts.which_boxes(root, args.boxes)
    if (root / "list_train.txt").is_file():
        return layouts.plan_lists(root)
    return layouts.plan_folders(kind, root, args.count_from_zero)


def plan_unpacked(archive: Path, unpacked: Path, args) -> layouts.Plan:
    """As make_plan, but messages name the archive instead of the temporary folder."""

    def renamed(sentences):
        return [sentence.replace(str(unpacked), str(archive)) for sentence in sentences]

    try:
        plan = make_plan(unpacked, args)
    except InputError as error:
        raise InputError(*renamed([str(error)])) from None
    return plan._replace(problems=renamed(plan.problems), notes=renamed(plan.notes))


def is_data_file(path) -> bool:
    """Whether a member of an archive is an image or a list, and not of another program."""
    return not any(map(is_foreign, path.parts)) and path.suffix.lower() in (*dataset.SUFFIXES, ".txt")


def describe_source(source: Path, args, plan) -> dict:
    """Everything that decides the layout; plan: None for an archive."""
    if plan:
        rows = sorted(f"{split} {name} {path.relative_to(source)}" for split, path, name in plan.images)
        stamp = hashlib.sha256("\n".join(rows).encode(errors="surrogateescape")).hexdigest()[:16]
    else:
        stamp = f"{source.stat().st_size} bytes, {source.stat().st_mtime_ns}"
    options = ("kind", "boxes", "test_share", "camera_pattern", "single_camera", "seed")
    about = {"source": str(real_path(source)), "stamp": stamp, **{name: getattr(args, name) for name in options}}
    if args.first_folder != "auto" or args.count_from_zero:  # layouts of earlier versions lack these
        about.update(first_folder=args.first_folder, count_from_zero=args.count_from_zero)
    return about


# ---- the layout ------------------------------------------------------------------------------------------------------


def find_prepared(output: Path, wanted: dict) -> dict | None:
    """The prepared.json of `output` if it was made from the same source and options, None if there is nothing yet.

    InputError if there is anything else.
    """
    if not os.path.lexists(output):
        return None
    if not output.is_dir():
        raise InputError(f"--output {output} is a file: name a folder")
    if not any(output.iterdir()):
        return None
    prepared = read_note(output, PREPARED)
    if "source" not in prepared or "detected_kind" not in prepared:
        free = (name for name in ("data/people", "data/people_2", f"{output}_new") if not os.path.lexists(name))
        raise InputError(
            f"--output {output} holds files that this script did not make: "
            f"name a new folder, such as {next(free, 'data/mine')}"
        )
    if any(prepared.get(name) != value for name, value in wanted.items()):
        raise InputError(
            f"--output {output} was made from {prepared['source']} with other files or options: "
            "name a new folder, or remove this one first"
        )
    return prepared


def choose_link(link: str, plan, folder: Path) -> tuple:
    """(function that puts an image at a new path, its name for messages), after a trial with the first image.

    InputError if no allowed way works.
    """
    ways = {
        "hard": (lambda path, target: os.link(path.resolve(), target), "hard links"),
        "symbolic": (lambda path, target: os.symlink(path.resolve(), target), "symbolic links: SOURCE must stay there"),
        "copy": (shutil.copyfile, "copies"),
    }
    first = plan.images[0][1]
    trial = folder / "trial"
    for name in ways if link == "auto" else (link,):
        place, placed_as = ways[name]
        try:
            place(first, trial)
            trial.unlink()
        except OSError as error:
            if error.errno in NO_ROOM:
                raise  # the folder's WriteError names the place
            reason = error.strerror
            continue
        if name == "copy":
            require_space(folder, sum(path.stat().st_size for _, path, _ in plan.images), plan.root)
        return place, placed_as
    raise InputError(f"--link {link} does not work from {first} to {folder.parent} ({reason}): give another, or auto")


def place_images(plan, folder: Path, place) -> None:
    """Fills `folder` with the images of a plan; place: a function of (path, new path)."""
    for names in dataset.FOLDERS.values():
        (folder / names[0]).mkdir()
    progress = Progress("placed", len(plan.images))
    for split, path, name in plan.images:
        try:
            place(path, folder / dataset.FOLDERS[split][0] / name)
        except OSError as error:
            if error.errno in NO_ROOM:
                raise  # the folder's WriteError names the place
            raise InputError(f"{path} cannot be put into the layout ({error.strerror}): use --link copy") from None
        progress.add()


def write_notes(folder: Path, wanted: dict, plan, placed_as: str) -> None:
    """Writes prepared.json, and names.json if the plan has names."""
    prepared = {**wanted, "detected_kind": plan.kind, "placed_as": placed_as, "problems": plan.problems}
    write_json(folder / PREPARED, prepared)
    if plan.names:
        write_json(folder / NAMES, plan.names)


def prepare(source: Path, output: Path, args) -> tuple:
    """Makes the layout unless it is there already: (kind of set, sentences about what is missing or wrong)."""
    if source.is_file():
        wanted = describe_source(source, args, None)
        prepared = find_prepared(output, wanted)
        if prepared is None:
            return prepare_archive(source, output, args, wanted)
    else:
        plan = make_plan(source, args)
        require_images(plan, source)
        if real_path(plan.root) == real_path(output):
            print(f"{output} has the layout already: there is nothing to make")
            return plan.kind, plan.problems
        if real_path(source) in (real_path(output), *real_path(output).parents):
            raise InputError(f"--output {output} lies inside {source}: name a folder beside it")
        wanted = describe_source(source, args, plan)
        prepared = find_prepared(output, wanted)
        if prepared is None:
            with atomic_folder(output) as folder:
                place, placed_as = choose_link(args.link, plan, folder)
                place_images(plan, folder, place)
                write_notes(folder, wanted, plan, placed_as)
            return report_made(plan, output, placed_as)
    print(f"{output}: there already, made from the same source; there is nothing to make")
    return prepared["detected_kind"], prepared["problems"]


def prepare_archive(archive: Path, output: Path, args, wanted: dict) -> tuple:
    """As prepare, for an archive."""
    with atomic_folder(output) as folder:
        unpacked = folder / "unpacked"
        left_out = unpack(archive, unpacked, is_data_file)
        plan = plan_unpacked(archive, unpacked, args)
        plan = plan._replace(left_out=left_out + plan.left_out)
        require_images(plan, archive)
        place_images(plan, folder, os.rename)
        shutil.rmtree(unpacked)
        write_notes(folder, wanted, plan, UNPACKED)
    return report_made(plan, output, UNPACKED)


def require_images(plan, source: Path) -> None:
    """InputError if the plan is empty."""
    if not plan.images:
        raise InputError(f"{source} holds no usable image: {'; '.join(plan.problems) or 'it is empty'}")


def report_made(plan, output: Path, placed_as: str) -> tuple:
    """Prints what was made: (kind of set, its problems)."""
    title = layouts.TITLES.get(plan.kind, "your own images")
    print(f"{output}: {title}, {len(plan.images):,} images, {placed_as}")
    if plan.left_out:
        files = count_noun(plan.left_out, "file that is not an image was", "files that are not images were")
        print(f"note: {files} left out")
    for note in plan.notes:
        print(f"note: {note}")
    return plan.kind, plan.problems


# ---- the checks ------------------------------------------------------------------------------------------------------


def check(data_dir: Path, kind: str, read: bool, problems=()) -> tuple:
    """Prints the counts, the differences from the published ones, all findings and a summary.

    kind: as the option. read: read every image. problems: sentences about differences that are already known. Returns
    (number of differences and errors, number of training identities).
    """
    prepared = read_note(data_dir, PREPARED)
    if kind == "auto":
        kind = prepared.get("detected_kind", kind)
    if kind == "cuhk03":
        kind = layouts.which_boxes(data_dir, None)
    found, missing = dataset_checks.open_folders(data_dir)
    counts = {split: layouts.count_images(data) for split, data in found.items()}
    differences = [*problems, *print_counts(kind, counts)]
    for difference in differences:
        print(f"difference: {difference}")
    if prepared.get("single_camera") and kind == "own":
        print(SINGLE_CAMERA)
    findings = dataset_checks.check_folders(found, missing, read)
    originals = read_note(data_dir, NAMES).get("images", {}) if prepared else {}
    dataset_checks.print_findings(findings, lambda example: format_example(example, originals))
    print(format_summary(findings, len(differences), read))
    errors = sum(finding.error for finding in findings)
    remedy = format_remedy(data_dir, prepared)
    if errors and remedy:
        print(remedy)
    return errors + len(differences), counts.get("train", layouts.NO_COUNTS).identities


def print_counts(kind: str, counts: dict) -> list:
    """Prints {split: Counts}; sentences about the differences from the published ones, if there are any."""
    if kind in layouts.PUBLISHED:
        rows, differences = layouts.compare_counts(kind, counts)
        print(f"{layouts.TITLES[kind]}, compared with the published counts:", *rows, sep="\n")
        return differences
    for split, row in counts.items():
        fields = ", ".join(f"{value:,} {field}" for field, value in zip(row._fields, row))
        print(f"  {dataset.FOLDERS[split][0]}: {fields}")
    return []


def main(args) -> None:
    if args.check:
        if args.source or args.output:
            raise InputError("--check looks at one folder and makes nothing: leave SOURCE and --output out")
        serious, _ = check(Path(args.check), args.kind, not args.skip_reading)
        sys.exit(1 if serious else 0)
    if args.source and not Path(args.source).exists():
        raise InputError(f"there is no file or folder '{args.source}': name the archive or folder of the data set")
    if not (args.source and args.output):
        raise InputError("give SOURCE and --output, or --check FOLDER (see --help)")
    source = Path(args.source)
    if source.is_file() and source.suffix.lower() == ".mat":
        raise InputError(describe_matlab(source))
    output = Path(args.output)
    kind, problems = prepare(source, output, args)
    serious, identities = check(output, kind, not args.skip_reading, problems)
    if serious:
        found = count_noun(serious, "difference or error", "differences or errors")
        print(f"{output} has {found} (above): find the reason before you train on it")
        sys.exit(1)
    print(f"next: {next_command(output, identities)}")


if __name__ == "__main__":
    run_main(main, ARGS)
