"""Brings a person re-identification set into the layout that training and testing read, and checks it.

    python3 data/prepare.py ~/Market-1501-v15.09.15.zip --output data/Market-1501-v15.09.15
    python3 data/prepare.py ~/MSMT17_V1 --output data/MSMT17
    python3 data/prepare.py ~/people --kind own --output data/people           a folder of your own for each person
    python3 data/prepare.py --check data/people                                only looks for damage

SOURCE is a .zip, .tar, .tar.gz, ... or a folder of Market-1501, DukeMTMC-reID, MSMT17 or CUHK03-NP, or one with your
own pictures. Writes <output>/bounding_box_train, bounding_box_test and bounding_box_query as links, so that nothing
lies there twice, and prepared.json; for your own pictures also names.json, which says who has which number. Then all
counts are compared with the published ones, and every picture is read once.

Exit code: 0 all is well, 1 the layout is there but differs from the published set or has errors, 2 refused.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import signal
import sys
from pathlib import Path

# So that `python3 data/prepare.py` finds the packages data and utils.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from utils.errors import InputError, explained_imports, run_main
from utils.options import as_seed, fraction, make_parser

KINDS = ("auto", "market1501", "dukemtmc", "msmt17", "cuhk03", "own")
LINKS = ("auto", "hard", "symbolic", "copy")


def parse_args(argv=None) -> argparse.Namespace:
    parser = make_parser(__doc__)
    # fmt: off
    add = parser.add_argument
    add("source", nargs="?", metavar="SOURCE", help="the archive or folder to prepare; it is left as it is")
    add("--output", default=None, metavar="FOLDER", help="where the layout goes: a new folder, or the one made before")
    add("--check", default=None, metavar="FOLDER",
        help="makes nothing: looks for damage in a folder that has the layout")
    add("--kind", choices=KINDS, default="auto",
        help="which set SOURCE is; auto goes by the names in it. With --check: compare the counts with that set's")
    add("--boxes", choices=("detected", "labeled"), default=None,
        help="which half of CUHK03-NP, whose boxes a detector found or a person drew; detected where both are there")
    add("--link", choices=LINKS, default="auto",
        help="how pictures get into the layout: hard links, else symbolic ones (SOURCE must stay), else copies; "
             "auto takes the first that works")
    add("--skip_reading", action="store_true",
        help="don't read every picture at the end (some ten seconds for Market-1501): "
             "damaged and duplicate files stay unknown")
    add = parser.add_argument_group("your own pictures").add_argument
    add("--test_share", type=fraction, default=0.5, help="share of the people who are tested on and not trained on")
    add("--camera_pattern", default=None, metavar="REGEX",
        help="finds the camera in a file's name by its one group, such as '^([a-z]+)_' in front_0012.jpg; "
             "by default the number after c or cam, as in x_c2.jpg")
    add("--single_camera", action="store_true",
        help="all pictures are of one camera: each person's earlier and later half stand in for two; "
             "figures then mean less, which is printed")
    add("--seed", type=as_seed, default=0, help="of the split into train and test, and of which pictures are queries")
    # fmt: on
    return parser.parse_args(argv)


ARGS = parse_args() if __name__ == "__main__" else None  # before TensorFlow is imported: --help answers at once

with explained_imports():
    from data import layouts
    from data.custom_dataset import SINGLE_CAMERA, plan_own
    from data.report import MADE_BY, NAMES, UNPACKED, how_to_mend, next_command, read_note, verdict, with_original
    from utils import dataset, dataset_checks
    from utils.dataset_checks import count_noun
    from utils.progress import Progress
    from utils.unpack import require_space, unpack

UNPACKING = "unpacked"  # the folder


# ---- which pictures go where -----------------------------------------------------------------------------------------


def make_plan(source: Path, args) -> layouts.Plan:
    """What is in a folder, and where each of its pictures belongs."""
    root = None if args.kind == "own" else layouts.choose_root(source, args.boxes)
    if root is None:
        if args.kind not in ("own", "auto"):
            raise InputError(
                f"{source} holds no {args.kind}: neither bounding_box_train nor MSMT17's list_train.txt is in it: "
                "name the folder or archive of the whole set"
            )
        if not 0 < args.test_share < 1:
            raise InputError(f"--test_share {args.test_share} leaves nobody to train on or to test on: give 0.5")
        return plan_own(source, args.camera_pattern, args.test_share, args.single_camera, args.seed)
    kind = layouts.recognise(root) if args.kind == "auto" else args.kind
    if kind == "cuhk03":
        kind = layouts.which_boxes(root, args.boxes)
    if (root / "list_train.txt").is_file():
        return layouts.plan_lists(root)
    return layouts.plan_folders(kind, root)


def is_data_file(path) -> bool:
    """Whether a member of an archive is an image or a list; a Mac adds a hidden "._" file to each of its own."""
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
    return not hidden and path.suffix.lower() in (*dataset.SUFFIXES, ".txt")


def plan_unpacked(source: Path, unpacked: Path, args) -> layouts.Plan:
    """As make_plan; what it says names the archive instead of a folder that is soon gone."""
    try:
        plan = make_plan(unpacked, args)
    except InputError as error:
        raise InputError(str(error).replace(str(unpacked), str(source))) from None
    return plan._replace(problems=[problem.replace(str(unpacked), str(source)) for problem in plan.problems])


def describe(source: Path, args, plan) -> dict:
    """What decides about the layout: made again from the same, it would be the same."""
    if plan:  # a folder: the names in it
        rows = sorted(f"{split} {name} {path.relative_to(source)}" for split, path, name in plan.pictures)
        stamp = hashlib.sha256("\n".join(rows).encode(errors="surrogateescape")).hexdigest()[:16]
    else:
        stamp = f"{source.stat().st_size} bytes, {source.stat().st_mtime_ns}"
    options = {name: getattr(args, name) for name in ("kind", "boxes", "test_share", "camera_pattern")}
    return {
        "source": str(source.resolve()),
        "stamp": stamp,
        **options,
        "single_camera": args.single_camera,
        "seed": args.seed,
    }


# ---- the layout ------------------------------------------------------------------------------------------------------


def is_there(output: Path, wanted: dict) -> str | None:
    """The kind of the same layout made before, None if there is nothing; InputError if there is anything else."""
    if not os.path.lexists(output):
        return None
    if not output.is_dir():
        raise InputError(f"--output {output} is a file: name a folder")
    try:
        before = json.loads((output / MADE_BY).read_text())
        if all(before[name] == value for name, value in wanted.items()):
            return before["kind found"]
        reason = f"was made from {before['source']} with other files or options"
        remedy = "name a new folder, or remove this one first"
    except (OSError, ValueError, KeyError, TypeError):
        if not any(output.iterdir()):
            return None
        # Never to be removed on this script's word: they may be the user's own, or, in data/, the project's.
        reason = "holds files that this script did not make"
        free = (name for name in ("data/people", "data/people_2", f"{output}_new") if not os.path.lexists(name))
        remedy = f"name a new folder, such as {next(free, 'data/mine')}"
    raise InputError(f"--output {output} {reason}: {remedy}")


@contextlib.contextmanager
def made_beside(output: Path):
    """A new folder beside `output` that takes its name when the block is through, and is gone if anything stops it."""
    part = output.parent / f".{output.name}.{os.getpid()}.part"
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        part.mkdir()
    except OSError as error:
        raise InputError(f"--output {output} can't be made ({error.strerror}): name another place") from None
    try:
        yield part
        if output.is_dir():
            output.rmdir()  # empty, or it would have been refused
        part.rename(output)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def choose_link(link: str, plan, part: Path) -> tuple:
    """(function that puts a picture at a new path, what to call that); tries it with the first picture.

    InputError if that way doesn't work here.
    """
    ways = {
        "hard": (lambda path, target: os.link(path.resolve(), target), "hard links"),
        "symbolic": (lambda path, target: os.symlink(path.resolve(), target), "symbolic links: SOURCE must stay there"),
        "copy": (shutil.copyfile, "copies"),
    }
    first, trial = plan.pictures[0][1], part / "trial"
    for name in ways if link == "auto" else (link,):
        way, called = ways[name]
        try:
            way(first, trial)
            trial.unlink()
        except OSError as error:
            reason = error.strerror
            continue
        if name == "copy":
            require_space(part, sum(path.stat().st_size for _, path, _ in plan.pictures), plan.root)
        return way, called
    raise InputError(f"--link {link} doesn't work from {first} to {part.parent} ({reason}): give another, or auto")


def place(plan, part: Path, way) -> None:
    """Fills `part` with the pictures of a plan."""
    for split in dataset.FOLDERS:
        (part / dataset.FOLDERS[split][0]).mkdir()
    progress = Progress("placed", len(plan.pictures))
    for split, path, name in plan.pictures:
        try:
            way(path, part / dataset.FOLDERS[split][0] / name)
        except OSError as error:
            raise InputError(f"{path} can't be put into the layout ({error.strerror}): try --link copy") from None
        progress.add()


def write_about(part: Path, wanted: dict, plan, called: str) -> None:
    about = {**wanted, "kind found": plan.kind, "pictures are": called, "problems": plan.problems}
    (part / MADE_BY).write_text(json.dumps(about, indent=2) + "\n")
    if plan.names:
        (part / NAMES).write_text(json.dumps(plan.names, indent=1) + "\n")


def prepare(source: Path, output: Path, args) -> tuple:
    """Makes the layout, unless it is there: (kind of set, sentences on what is missing or wrong in the source)."""
    if source.is_file():
        wanted = describe(source, args, None)
        before = is_there(output, wanted)
        if before is None:
            with made_beside(output) as part:
                left_out = unpack(source, part / UNPACKING, is_data_file)
                plan = plan_unpacked(source, part / UNPACKING, args)
                require_pictures(plan, source)
                place(plan, part, os.rename)
                shutil.rmtree(part / UNPACKING)
                write_about(part, wanted, plan, UNPACKED)
            return report_made(plan._replace(left_out=left_out + plan.left_out), output, UNPACKED)
    else:
        plan = make_plan(source, args)
        require_pictures(plan, source)
        if plan.root.resolve() == output.resolve():
            print(f"{output} has the layout already: there is nothing to make")
            return plan.kind, plan.problems
        if source.resolve() in (output.resolve(), *output.resolve().parents):
            raise InputError(f"--output {output} lies inside {source}: name a place beside it")
        wanted = describe(source, args, plan)
        before = is_there(output, wanted)
        if before is None:
            with made_beside(output) as part:
                way, called = choose_link(args.link, plan, part)
                place(plan, part, way)
                write_about(part, wanted, plan, called)
            return report_made(plan, output, called)
    print(f"{output}: there already, made from the same; there is nothing to make")
    return before, json.loads((output / MADE_BY).read_text())["problems"]


def require_pictures(plan, source) -> None:
    if not plan.pictures:
        raise InputError(f"{source} holds no picture that could be used: {'; '.join(plan.problems) or 'it is empty'}")


def report_made(plan, output: Path, called: str) -> tuple:
    title = layouts.TITLES.get(plan.kind, "your own pictures")
    print(f"{output}: {title}, {len(plan.pictures):,} pictures, {called}")
    if plan.left_out:
        files = count_noun(plan.left_out, "file that is no picture", "files that are no pictures")
        print(f"note: {files} of the set {'was' if plan.left_out == 1 else 'were'} left out")
    return plan.kind, plan.problems


# ---- the checks ------------------------------------------------------------------------------------------------------


def check(data_dir: Path, kind: str, read: bool, problems=()) -> tuple:
    """Prints the counts, the differences from the published ones, all findings and a verdict.

    problems: sentences on differences that were found before. Returns how many of all these are serious, and how many
    people there are to train on.
    """
    about = read_note(data_dir, MADE_BY)  # {}: a folder that was not made here
    kind = about.get("kind found", kind) if kind == "auto" else kind
    kind = layouts.which_boxes(data_dir, None) if kind == "cuhk03" else kind
    found, missing = dataset_checks.open_folders(data_dir)
    counted = {split: layouts.count(data) for split, data in found.items()}
    differences = []
    if kind in layouts.PUBLISHED:
        rows, differences = layouts.compare(kind, counted)
        print(f"{layouts.TITLES[kind]}, compared with the published counts:", *rows, sep="\n")
    else:
        for split, counts in counted.items():
            fields = ", ".join(f"{value:,} {field}" for field, value in zip(counts._fields, counts))
            print(f"  {dataset.FOLDERS[split][0]}: {fields}")
    differences = [*problems, *differences]
    for difference in differences:
        print(f"difference: {difference}")
    if about.get("single_camera") and kind == "own":
        print(SINGLE_CAMERA)
    findings = dataset_checks.check_folders(found, missing, read)
    originals = read_note(data_dir, NAMES).get("pictures", {}) if about else {}
    dataset_checks.tell(findings, lambda example: with_original(example, originals))
    print(verdict(findings, len(differences), read))
    errors = sum(finding.error for finding in findings)
    if errors and how_to_mend(data_dir, about):
        print(how_to_mend(data_dir, about))
    return errors + len(differences), counted.get("train", layouts.NOTHING).identities


def main(args) -> None:
    if args.check:
        if args.source or args.output:
            raise InputError("--check looks at one folder and makes nothing: leave SOURCE and --output out")
        serious, _ = check(Path(args.check), args.kind, not args.skip_reading)
        sys.exit(1 if serious else 0)
    if args.source and not Path(args.source).expanduser().exists():
        raise InputError(f"there is no file or folder '{args.source}': name the archive or folder of the data set")
    if not (args.source and args.output):
        raise InputError("give SOURCE and --output, or --check FOLDER (--help tells more)")
    source, output = Path(args.source).expanduser(), Path(args.output).expanduser()
    kind, problems = prepare(source, output, args)
    serious, people = check(output, kind, not args.skip_reading, problems)
    if serious:
        named = count_noun(serious, "difference or error", "differences or errors")
        print(f"{output} is there, with {named} (above): don't train before you know why")
        sys.exit(1)
    print(f"next: {next_command(output, people)}")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: nothing half-made stays
    run_main(main, ARGS)
