"""The training and testing scripts on drawn images for a few steps: most in this process, some as a user runs them."""

import contextlib
import io
import itertools
import json
import os
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.util import event_pb2

import test_reid
import train_id
import train_reid
from tests.helpers import ROOT, refusal, run
from utils import checkpoint, resnet
from utils.errors import InputError
from utils.training.split import split_for_triplets

SMALL = (
    "--image_size=64x32",
    "--width=0.125",
    "--pretrained=none",
    "--batch_size=12",
    "--val_identities=2",
    "--warmup_steps=2",
)
TRIPLETS = ("--batch_size=4", "--k=4", "--num_images=30", "--warmup_steps=2", "--embedding_size=64")


def run_here(script, *options) -> str:
    """Runs a script's main in this process and returns what it printed."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        script.main(script.parse_args([str(option) for option in options]))
    return printed.getvalue()


def press_ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture(scope="module")
def trained(tiny_set, tmp_path_factory):
    """models/ after a few steps of both trainings, and what the two printed."""
    models = tmp_path_factory.mktemp("trained") / "models"
    common = (f"--models_dir={models}", f"--data_dir={tiny_set}", "--log_every=2")
    of_id = run_here(train_id, *common, *SMALL, "--num_steps=7", "--save_every=3", "--keep=2")
    start = f"--id_model={models}/id/m0"
    of_reid = run_here(train_reid, *common, *TRIPLETS, start, "--num_steps=9", "--save_every=5")
    return models, of_id, of_reid


def scalars(folder):
    """{tag: {step: value}} of a TensorBoard run."""
    found = {}
    for path in sorted(Path(folder).glob("events*")):
        for record in tf.data.TFRecordDataset(str(path)):
            event = event_pb2.Event.FromString(record.numpy())
            for value in event.summary.value:
                if value.metadata.plugin_data.plugin_name == "scalars":
                    found.setdefault(value.tag, {})[event.step] = float(tf.make_ndarray(value.tensor))
                else:
                    found.setdefault(value.tag, {})[event.step] = value.metadata.plugin_data.plugin_name
    return found


def test_train_id_writes_checkpoints_args_curves_and_a_suggestion(trained):
    models, printed, _ = trained
    folder = models / "id" / "m0"
    suggested = checkpoint.read_validation(folder)["suggested"]
    assert set(checkpoint.steps_in(folder, checkpoint.ID_PATTERN)) == {6, 7} | {suggested["step"]}
    assert suggested["checkpoint"] == f"model.ckpt-{suggested['step']}" and suggested["checkpoint"] in printed
    args = json.loads((folder / "args.json").read_text())
    assert args["image_size"] == [64, 32] and args["started_from"] == "random weights" and args["num_classes"] == 6
    assert "starting from random weights" in printed
    train = scalars(folder / "train")
    val = scalars(folder / "val")
    assert set(train) == {"loss", "accuracy", "learning_rate", "images_per_second", "options"}
    assert sorted(train["loss"]) == [2, 4, 6, 7]
    assert sorted(val["loss"]) == sorted(val["accuracy"]) == sorted(val["rank1"]) == sorted(val["mAP"]) == [3, 6, 7]


def test_trainings_end_with_a_table_and_the_next_command(trained, tiny_set):
    models, of_id, of_reid = trained
    for kind, printed, pattern, command in (
        ("id", of_id, checkpoint.ID_PATTERN, "bash train_reid.sh --id_model="),
        ("reid", of_reid, checkpoint.REID_PATTERN, "bash test_reid.sh --model="),
    ):
        folder = models / kind / "m0"
        suggested = checkpoint.read_validation(folder)["suggested"]
        table = printed[printed.index(f"checkpoints in {folder}:") :].splitlines()
        saved = checkpoint.steps_in(folder, pattern)
        steps = {int(line.split()[0]): line for line in table[2 : 2 + len(saved)]}
        assert sorted(steps) == saved and table[1].split()[-2:] == ["rank-1", "mAP"]
        assert [step for step, line in steps.items() if "<- suggested" in line] == [suggested["step"]]
        assert f"next: {command}{folder / suggested['checkpoint']} --data_dir={tiny_set}" == table[2 + len(saved)]


def test_train_reid_starts_from_the_suggested_step_and_logs_its_mining(trained):
    models, _, printed = trained
    folder = models / "reid" / "m0"
    suggested = checkpoint.read_validation(models / "id" / "m0")["suggested"]["checkpoint"]
    args = json.loads((folder / "args.json").read_text())
    assert args["started_from"].endswith(suggested)
    assert f"starting from the convolutions of {args['started_from']}" in printed
    # Inherited from the ID model:
    assert args["image_size"] == [64, 32] and args["width"] == 0.125 and args["val_identities"] == 2
    assert checkpoint.steps_in(folder, checkpoint.REID_PATTERN) == [0, 5, 9]
    train = scalars(folder / "train")
    val = scalars(folder / "val")
    similarities = {f"{of}/{sign}_similarity" for of in ("mining", "batch") for sign in ("positive", "negative")}
    mining = {"mining/embedding_spread", "mining/active_triplets", "mining/hardest_triplets", "time/mining_s"}
    others = {"loss", "id_loss", "learning_rate", "images_per_second", "time/training_s", "options"}
    assert set(train) == similarities | mining | others
    assert train["mining/hardest_triplets"] == {5: "images", 9: "images"}
    assert val["val/ranked"] == {0: "images", 5: "images", 9: "images"}
    assert sorted(val["loss"]) == sorted(val["rank1"]) == sorted(val["threshold"]) == [0, 5, 9]
    assert (folder / "val" / "projector_config.pbtxt").is_file()
    beside = json.loads((folder / "reid_model-9.ckpt.json").read_text())
    assert beside["step"] == 9 and -1 <= beside["validation"]["threshold"] <= 1


def test_both_trainings_hold_out_the_same_identities(trained, tiny_set):
    args = train_reid.parse_args([f"--id_model={trained[0]}/id/m0", "--seed=7"])
    args, point, _ = train_reid.find_start(args)
    data = train_id.split(tiny_set, args.val_identities, 1, seed=0)
    train, held_out = split_for_triplets(tiny_set, args.val_identities, args.split_seed)
    seen = {Path(path).name[:4] for path in [*data.paths, *data.val_paths]}
    validated_on = {Path(path).name[:4] for path in held_out.paths}
    assert point is None and len(validated_on) == 2 and not seen & validated_on
    assert sorted(data.held_out.paths) == sorted(held_out.paths)
    assert sorted(train.paths) == sorted([*data.paths, *data.val_paths])


def as_earlier_version(folder):
    """Renames the options in a run's files to what they were called before."""
    old = {"random_erasing": "erase", "color_jitter": "jitter", "pad": "pad_crop"}
    for path in [folder / "args.json", *folder.glob("*.ckpt*.json")]:
        args = json.loads(path.read_text())
        path.write_text(json.dumps({old.get(name, name): value for name, value in args.items()}))


def test_train_reid_stopped_inside_a_round_and_resumed_equals_an_uninterrupted_run(
    trained, tiny_set, tmp_path, monkeypatch
):
    models = trained[0]
    options = [f"--models_dir={tmp_path}", f"--data_dir={tiny_set}", "--log_every=2", "--num_steps=9", *TRIPLETS]
    build_train_step = train_reid.build_train_step

    def build_interrupted(*arguments):
        train_step = build_train_step(*arguments)
        steps = itertools.count(1)

        def interrupted(images, labels):
            if next(steps) == 6:  # the second of the second round of four steps
                press_ctrl_c()
            return train_step(images, labels)

        return interrupted

    monkeypatch.setattr(train_reid, "build_train_step", build_interrupted)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), pytest.raises(SystemExit) as stop:
        train_reid.main(train_reid.parse_args([*options, f"--id_model={models}/id/m0"]))
    assert stop.value.code == 130
    _, command, hint = printed.getvalue().splitlines()[-3:]
    words = shlex.split(command)
    assert "--restore=True" in words and "restore=True and id=0 in the launcher" in hint
    # What is inherited from the ID model is not in the command.
    assert not [word for word in words if word.startswith(("--image_size", "--width", "--val_identities", "--split"))]
    monkeypatch.undo()
    folder = tmp_path / "reid" / "m0"
    assert checkpoint.steps_in(folder, checkpoint.REID_PATTERN) == [0, 6]
    assert "resumed at step 6" in run_here(train_reid, *words[words.index("--restore=True") :])
    resumed = checkpoint.read_weights(folder / "reid_model-9.ckpt")
    uninterrupted = checkpoint.read_weights(models / "reid" / "m0" / "reid_model-9.ckpt")
    for name, values in uninterrupted.items():
        np.testing.assert_array_equal(resumed[name], values, err_msg=name)


def test_ctrl_c_is_not_lost_where_every_step_prints_logs_and_saves(tiny_set, tmp_path, monkeypatch):
    made = []

    def build_train_step(*_):
        def train_step(images, labels):
            made.append(len(made) + 1)
            if len(made) == 3:
                press_ctrl_c()
            return 1.0, 0.5

        return train_step

    clock = itertools.count(step=20.0)  # steps slower than the progress line
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(train_id, "build_train_step", build_train_step)
    monkeypatch.setattr(train_id, "validate", lambda *_: {"loss": 1.0, "accuracy": 0.5})
    every = ("--num_steps=12", "--log_every=1", "--save_every=1", "--keep=9")
    options = [f"--models_dir={tmp_path}", f"--data_dir={tiny_set}", *SMALL, *every, "--val_identities=0"]
    with pytest.raises(SystemExit) as stop:
        train_id.main(train_id.parse_args(options))
    assert stop.value.code == 130 and made == [1, 2, 3]
    assert checkpoint.steps_in(tmp_path / "id" / "m0", checkpoint.ID_PATTERN) == [1, 2, 3]


def test_ctrl_c_through_the_launcher_saves_and_the_printed_command_resumes(tiny_set, tmp_path):
    """The run is given the option names of the version before, as if that version had written it."""
    place = f"--models_dir={tmp_path}"
    command = ["bash", "train_id.sh", place, f"--data_dir={tiny_set}", *SMALL, "--num_steps=9", "--num_steps=100000"]
    training = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    for line in training.stdout:
        if line.startswith("step "):
            training.send_signal(signal.SIGINT)
            break
    printed = training.stdout.read()
    assert training.wait(60) == 130 and "saved" in printed
    folder = tmp_path / "id" / "m0"
    (step,) = checkpoint.steps_in(folder, checkpoint.ID_PATTERN)
    resume = next(line.strip() for line in printed.splitlines() if " --restore=True --id=0 " in line)
    _, script, *words = shlex.split(resume)
    assert script == "train_id.py" and set(words[2:]) == {place, f"--data_dir={tiny_set}", *SMALL, "--num_steps=100000"}

    as_earlier_version(folder)
    words = [word.replace("=100000", f"={step + 2}") for word in words]
    printed = run_here(train_id, *words, "--log_every=1", "--keep=1")
    assert f"resumed at step {step}" in printed
    changed = next(line for line in printed.splitlines() if line.startswith("options that differ from before: "))
    assert f"num_steps: 100000 -> {step + 2}" in changed and "random_erasing" not in changed and "pad" not in changed
    assert sorted(scalars(folder / "train")["loss"])[-2:] == [step + 1, step + 2]
    state = checkpoint.read_weights(folder / f"training_state-{step + 2}")
    assert step + 2 in [value for value in state.values() if value.shape == ()]  # Adam's count of steps
    args = json.loads((folder / "args.json").read_text())
    assert args["random_erasing"] == 0.5 and "erase" not in args and args["started_from"] == "random weights"
    before = sorted(path.name for path in folder.iterdir())
    assert f"has already run its {step + 2} steps" in run_here(train_id, *words)
    assert sorted(path.name for path in folder.iterdir()) == before and not (tmp_path / "id" / "m1").exists()


def test_test_reid_prints_and_writes_the_figures(trained, tiny_set, tmp_path):
    model = trained[0] / "reid" / "m0" / "reid_model-5.ckpt"
    output = tmp_path / "figures.json"
    printed = run_here(test_reid, f"--model={model}", f"--data_dir={tiny_set}", f"--json={output}")
    figures = json.loads(output.read_text())
    assert "12 queries (0 without a match" in printed
    assert "gallery of 26 with 2 distractors, 1 junk ignored" in printed
    shown = {"rank-1 ": "rank1", "rank-5": "rank5", "rank-10": "rank10", "trapezoid": "mAP", "mAP (step)": "mAP_step"}
    for name, key in shown.items():
        line = next(line for line in printed.splitlines() if name in line)
        assert f"{figures[key]:.2f} %" in line


def test_test_reid_checks_the_place_for_the_figures_first(tmp_path, capsys):
    for place, reason in ((tmp_path / "new/figures.json", "no such folder"), (tmp_path, "is a folder: name a file")):
        with pytest.raises(SystemExit):
            test_reid.parse_args([f"--json={place}"])
        last = capsys.readouterr().err.splitlines()[-1]
        assert "--json" in last and str(place) in last and reason in last
    (tmp_path / "figures.json").write_text("precious")
    with pytest.raises(InputError, match="there is no nowhere/x.ckpt"):
        test_reid.main(test_reid.parse_args(["--model=nowhere/x.ckpt", f"--json={tmp_path}/figures.json"]))
    assert (tmp_path / "figures.json").read_text() == "precious"


def test_test_reid_measures_id_checkpoints_and_random_weights(trained, tiny_set, tmp_path):
    options = [f"--model={trained[0]}/id/m0", f"--data_dir={tiny_set}", f"--json={tmp_path}/f.json"]
    scores = []
    for extra, name in (([], f"{trained[0]}/id/m0/model.ckpt-"), (["--untrained"], "random weights in the shape of ")):
        run_here(test_reid, *options, *extra)
        figures = json.loads((tmp_path / "f.json").read_text())
        assert figures["model"].startswith(name) and figures["queries"] == 12
        scores.append(figures["mAP"])
    assert scores[0] != scores[1]


def test_initialise_copies_the_convolutions_of_a_checkpoint(trained):
    net = resnet.build_id_net(6, (64, 32), 0.125)
    head = net.get_layer(resnet.ID_LAYER).get_weights()[0]
    prefix = f"{trained[0]}/reid/m0/reid_model-9.ckpt"
    assert train_id.initialise(net, prefix) == f"the convolutions of {prefix}"
    stored = checkpoint.read_weights(prefix)
    ours = checkpoint.named_weights(net)
    kernels = [name for name in stored if name.endswith("_conv/kernel")]
    assert len(kernels) == 53
    for name in kernels:
        np.testing.assert_array_equal(ours[name], stored[name])
    np.testing.assert_array_equal(net.get_layer(resnet.ID_LAYER).get_weights()[0], head)


# ---- a user's mistakes ----


def bad_sets(tiny_set, tmp_path):
    """Data sets with one fault each, and the image that was cut short in the one called broken."""
    (tmp_path / "empty" / "bounding_box_train").mkdir(parents=True)
    named = tmp_path / "named" / "bounding_box_train"
    named.mkdir(parents=True)
    (named / "holiday.jpg").write_bytes(b"x")
    broken = tmp_path / "broken"
    shutil.copytree(tiny_set, broken)
    victim = sorted((broken / "bounding_box_train").iterdir())[3]
    victim.write_bytes(victim.read_bytes()[:100])
    image = sorted(Path(tiny_set, "bounding_box_train").iterdir())[0]
    for folder in ("query", "bounding_box_test"):
        one_camera = tmp_path / "one_camera" / folder
        one_camera.mkdir(parents=True)
        for number in (1, 2):
            shutil.copy(image, one_camera / f"000{number}_c1s1_00000{number}_00.jpg")
    return {name: f"--data_dir={tmp_path / name}" for name in ("empty", "named", "broken", "one_camera")}, victim


def mistakes(tiny_set, trained, tmp_path):
    """(script, options, what the sentence must say)"""
    bad, victim = bad_sets(tiny_set, tmp_path)
    good, nowhere = f"--data_dir={tiny_set}", "--data_dir=nowhere"
    models = trained[0]
    id_model, reid_model = f"--id_model={models}/id/m0", f"--model={models}/reid/m0"
    models_dir = f"--models_dir={tmp_path / 'models'}"
    new = (models_dir, *SMALL)
    other_width = ("--width=0.25", f"--pretrained={models}/reid/m0/reid_model-9.ckpt")
    other_size = (f"--models_dir={models}", *SMALL, "--image_size=96x32", "--restore=True")
    # fmt: off
    yield train_id, [*new, nowhere], "no folder nowhere/bounding_box_train.*set data_dir"
    yield train_id, [*new, bad["empty"]], "no .jpg or .png image in"
    yield train_id, [*new, bad["named"]], "holiday.jpg"
    yield train_id, [*new, bad["broken"]], f"{victim.name} cannot be decoded"
    yield train_id, [*new, good, "--val_identities=7"], "val_identities=7 leaves .* --val_identities=2 to 6"
    yield train_id, [*new, good, "--pretrained=models/none"], "there is no models/none: "
    yield train_id, [*new, good, "--pretrained=imagenet"], "width 1.0 only"
    yield train_id, [*new, good, *other_width], "does not fit: conv1_conv/kernel"
    yield train_id, [*new, good, "--restore=True", "--id=3"], "no run .*m3 to resume"
    yield train_id, [*other_size, good], "trained with --image_size=64x32:"
    yield train_reid, [models_dir, good, "--id_model=models/id/gone"], "there is no models/id/gone: "
    yield train_reid, [models_dir, good, f"--id_model={tmp_path / 'empty'}"], "no checkpoint model.ckpt-<step> in"
    yield train_reid, [models_dir, good, id_model, "--val_identities=1"], "is too few.* --val_identities=2 to 6"
    yield test_reid, [f"--model={models}/reid/m7", good], "there is no .*m7: name one that exists, such as .*m0"
    yield test_reid, [reid_model, nowhere], "no folder nowhere/bounding_box_query"
    yield test_reid, [reid_model, bad["one_camera"]], "no query has an image of its identity from another camera"
    yield test_reid, [reid_model, good, "--image_size=128x64"], "trained at 64x32"
    # fmt: on


def test_mistakes_get_one_sentence_and_leave_nothing_behind(tiny_set, trained, tmp_path):
    before = sorted(str(path) for path in trained[0].rglob("*"))
    for script, options, sentence in mistakes(tiny_set, trained, tmp_path):
        with pytest.raises(InputError, match=sentence) as error:
            script.main(script.parse_args(options))
        assert "\n" not in str(error.value)
    assert not list((tmp_path / "models").rglob("m*")), "a run folder was made for a run that never was"
    assert sorted(str(path) for path in trained[0].rglob("*")) == before


def test_a_mistake_is_one_line_and_an_exit_code():
    finished = run("bash", "train_reid.sh", "--id_model=nowhere/x.ckpt")
    assert refusal(finished).startswith("error: there is no nowhere/x.ckpt: ")
