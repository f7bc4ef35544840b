"""The training and testing scripts as a user runs them: through their launchers, on drawn images, for a few steps."""

import json
import shlex
import shutil
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.util import event_pb2

import test_reid
import train_id
import train_reid
from benchmarks import quick_run_table
from tests.conftest import ROOT, refusal, run
from utils import checkpoint
from utils.device import origin
from utils.errors import InputError

SMALL = (
    "--image_size=64x32",
    "--width=0.125",
    "--pretrained=none",
    "--batch_size=12",
    "--val_identities=2",
    "--warmup_steps=2",
)
TRIPLETS = ("--batch_size=4", "--k=4", "--num_images=30", "--warmup_steps=2", "--embedding_size=64")


@pytest.fixture(scope="module")
def trained(tiny_set, tmp_path_factory):
    """models/ after train_id.sh and train_reid.sh of a few steps, and what the two printed."""
    models = tmp_path_factory.mktemp("trained") / "models"
    common = (f"--models_dir={models}", f"--data_dir={tiny_set}", "--log_every=2")
    id_run = run("bash", "train_id.sh", *common, *SMALL, "--num_steps=7", "--save_every=3", "--keep=2")
    assert id_run.returncode == 0, id_run.stdout + id_run.stderr
    start = f"--id_model={models}/id/m0"
    reid_run = run("bash", "train_reid.sh", *common, *TRIPLETS, start, "--num_steps=9", "--save_every=5")
    assert reid_run.returncode == 0, reid_run.stdout + reid_run.stderr
    return models, id_run.stdout, reid_run.stdout


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


def test_train_id_leaves_checkpoints_args_curves_and_a_suggestion(trained):
    models, printed, _ = trained
    folder = models / "id" / "m0"
    suggested = checkpoint.read_validation(folder)["suggested"]
    assert set(checkpoint.steps_in(folder, checkpoint.ID_PATTERN)) == {6, 7} | {suggested["step"]}
    assert suggested["checkpoint"] == f"model.ckpt-{suggested['step']}" and suggested["checkpoint"] in printed
    args = json.loads((folder / "args.json").read_text())
    assert args["image_size"] == [64, 32] and args["started_from"] == "random weights" and args["num_classes"] == 6
    assert "starting from random weights" in printed
    train, val = scalars(folder / "train"), scalars(folder / "val")
    assert {"loss", "accuracy", "learning_rate", "images_per_second", "options"} <= set(train)
    assert sorted(train["loss"]) == [2, 4, 6, 7]
    assert sorted(val["loss"]) == sorted(val["accuracy"]) == sorted(val["rank1"]) == sorted(val["mAP"]) == [3, 6, 7]


def test_trainings_end_with_their_checkpoints_and_the_line_to_run_next(trained, tiny_set):
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


def test_train_reid_starts_from_the_suggested_step_and_shows_its_health(trained):
    models, _, printed = trained
    folder = models / "reid" / "m0"
    suggested = checkpoint.read_validation(models / "id" / "m0")["suggested"]["checkpoint"]
    args = json.loads((folder / "args.json").read_text())
    assert args["started_from"].endswith(suggested)
    assert f"starting from the convolutions of {args['started_from']}" in printed
    # Inherited, not asked:
    assert args["image_size"] == [64, 32] and args["width"] == 0.125 and args["val_identities"] == 2
    assert checkpoint.steps_in(folder, checkpoint.REID_PATTERN) == [5, 9]
    train, val = scalars(folder / "train"), scalars(folder / "val")
    mining = {"active_triplets", "positive_similarity", "negative_similarity", "embedding_spread", "hardest_triplets"}
    assert {f"mining/{name}" for name in mining} <= set(train)
    assert {"loss", "learning_rate", "images_per_second", "time/mining_s", "time/training_s"} <= set(train)
    assert not any(" " in tag or ":" in tag for tag in {*train, *val})
    assert sorted(val["loss"]) == sorted(val["rank1"]) == [5, 9]
    assert "images" in train["mining/hardest_triplets"].values()
    assert val["val/ranked"] == {5: "images", 9: "images"} and (folder / "val" / "projector_config.pbtxt").is_file()
    beside = json.loads((folder / "reid_model-9.ckpt.json").read_text())
    assert beside["step"] == 9 and -1 <= beside["validation"]["threshold"] <= 1


def test_both_trainings_hold_out_the_same_identities(trained, tiny_set):
    options = train_reid.parse_args([f"--id_model={trained[0]}/id/m0", f"--data_dir={tiny_set}", "--seed=7"])
    args, _, _ = train_reid.find_start(options)
    data = train_id.split(tiny_set, args.val_identities, 1, seed=0)
    _, held_out = train_reid.split(tiny_set, args.val_identities, args.split_seed)
    seen = {Path(path).name[:4] for path in [*data.paths, *data.val_paths]}
    held_out_names = {Path(path).name[:4] for path in held_out.paths}
    assert len(held_out_names) == 2 and not seen & held_out_names
    assert sorted(data.held_out.paths) == sorted(held_out.paths)


def test_restoring_goes_on_with_the_count_and_a_finished_run_is_left_alone(trained, tiny_set, tmp_path, capsys):
    models = tmp_path / "models"
    shutil.copytree(trained[0], models)
    common = (f"--models_dir={models}", f"--data_dir={tiny_set}", "--log_every=2", "--restore=True", "--id=0")
    train_id.main(train_id.parse_args([*common, *SMALL, "--num_steps=10", "--save_every=3"]))
    assert "resumed at step 7" in capsys.readouterr().out
    assert sorted(scalars(models / "id" / "m0" / "train")["loss"]) == [2, 4, 6, 7, 8, 10]
    state = tf.train.load_checkpoint(str(models / "id" / "m0" / "training_state-10"))
    optimizer = [state.get_tensor(key) for key in state.get_variable_to_shape_map() if "optimizer" in key]
    assert 10 in [value for value in optimizer if value.shape == ()]
    assert not (models / "id" / "m1").exists()
    train_reid.main(train_reid.parse_args([*common, *TRIPLETS, "--num_steps=11", "--save_every=5", "--id_model=gone"]))
    assert "resumed at step 9" in capsys.readouterr().out
    assert checkpoint.steps_in(models / "reid" / "m0", checkpoint.REID_PATTERN)[-2:] == [10, 11]
    finished = train_id.parse_args([*common, *SMALL, "--num_steps=10"])
    before = sorted(path.name for path in (models / "id" / "m0").iterdir())
    train_id.main(finished)
    assert sorted(path.name for path in (models / "id" / "m0").iterdir()) == before


def test_test_reid_prints_and_writes_the_figures(trained, tiny_set, tmp_path):
    model, output = trained[0] / "reid" / "m0" / "reid_model-5.ckpt", tmp_path / "figures.json"
    finished = run("bash", "test_reid.sh", f"--model={model}", f"--data_dir={tiny_set}", f"--json={output}")
    assert finished.returncode == 0, finished.stderr
    figures = json.loads(output.read_text())
    assert "12 queries (0 without a match" in finished.stdout
    assert "gallery of 26 with 2 distractors, 1 junk ignored" in finished.stdout
    shown = {"rank-1 ": "rank1", "rank-5": "rank5", "rank-10": "rank10", "trapezoid": "mAP", "mAP (step)": "mAP_step"}
    for name, key in shown.items():
        line = next(line for line in finished.stdout.splitlines() if name in line)
        assert f"{figures[key]:.2f} %" in line


def test_a_place_for_the_figures_is_checked_first_and_older_figures_survive_a_mistake(tmp_path, capsys):
    for place, reason in ((tmp_path / "new/figures.json", "no such folder"), (tmp_path, "is a folder: name a file")):
        with pytest.raises(SystemExit):
            test_reid.parse_args([f"--json={place}"])
        last = capsys.readouterr().err.splitlines()[-1]
        assert "--json" in last and str(place) in last and reason in last
    (tmp_path / "figures.json").write_text("precious")
    with pytest.raises(InputError, match="there is no nowhere/x.ckpt"):
        test_reid.main(test_reid.parse_args(["--model=nowhere/x.ckpt", f"--json={tmp_path}/figures.json"]))
    assert (tmp_path / "figures.json").read_text() == "precious"


def test_untrained_measures_other_weights_than_the_checkpoint(trained, tiny_set, tmp_path, capsys):
    options = [f"--model={trained[0]}/id/m0", f"--data_dir={tiny_set}", f"--json={tmp_path}/f.json"]
    figures = []
    for extra in ([], ["--untrained"]):
        test_reid.main(test_reid.parse_args([*options, *extra]))
        figures.append(json.loads((tmp_path / "f.json").read_text()))
    assert "random weights in the shape of" in capsys.readouterr().out
    assert figures[0]["mAP"] != figures[1]["mAP"] and figures[0]["queries"] == figures[1]["queries"] == 12


def test_pretrained_takes_the_convolutions_of_a_checkpoint(trained, tiny_set, tmp_path, capsys):
    """One step with a learning rate of nearly nothing leaves the weights as they were."""
    source = f"{trained[0]}/reid/m0/reid_model-9.ckpt"
    options = [f"--models_dir={tmp_path}", f"--data_dir={tiny_set}", "--num_steps=1", *SMALL, f"--pretrained={source}"]
    train_id.main(train_id.parse_args([*options, "--learning_rate=1e-12"]))
    assert "starting from the convolutions of" in capsys.readouterr().out
    before = checkpoint.read_weights(source)
    after = checkpoint.read_weights(f"{tmp_path}/id/m0/model.ckpt-1")
    kernels = [name for name in before if name.endswith("_conv/kernel")]
    assert len(kernels) == 53
    for name in kernels:
        np.testing.assert_allclose(after[name], before[name], atol=1e-6)


def test_ctrl_c_saves_and_the_command_it_prints_goes_on(tiny_set, tmp_path):
    place = f"--models_dir={tmp_path}"
    command = ["bash", "train_id.sh", place, f"--data_dir={tiny_set}", *SMALL, "--num_steps=9", "--num_steps=100000"]
    training = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    for line in training.stdout:
        if line.startswith("step "):
            training.send_signal(signal.SIGINT)
            break
    printed = training.stdout.read()
    assert training.wait(60) == 130 and "saved" in printed
    (step,) = checkpoint.steps_in(tmp_path / "id" / "m0", checkpoint.ID_PATTERN)
    go_on = next(line.strip() for line in printed.splitlines() if " --restore=True --id=0 " in line)
    assert set(shlex.split(go_on)[4:]) == {place, f"--data_dir={tiny_set}", *SMALL, "--num_steps=100000"}
    more = run("bash", "-c", go_on.replace("=100000", f"={step + 2}"))
    assert more.returncode == 0 and f"resumed at step {step}" in more.stdout, more.stdout + more.stderr
    refused = refusal(run("bash", "train_id.sh", place, "--restore=True", "--id=0"))
    assert "trained with --image_size=64x32 --width=0.125 --val_identities=2: give" in refused


def test_the_closing_table_of_the_quick_run(tmp_path, capsys):
    for name, rank1 in (("untrained", 8.123), ("id", 50.0), ("reid", 75.0)):
        (tmp_path / f"{name}.json").write_text(json.dumps({"rank1": rank1, "rank5": 90.0, "mAP": 40.0, "rank10": 1.0}))
    arguments = ["--folder", str(tmp_path), "--json", str(tmp_path / "quick_run.json"), "--seconds", "61"]
    quick_run_table.main(quick_run_table.parse_args(arguments))
    assert json.loads((tmp_path / "quick_run.json").read_text())["demo"] is None
    (tmp_path / "frozen" / "reid").mkdir(parents=True)
    (tmp_path / "frozen" / "reid" / "manifest.json").write_text(
        json.dumps({"parity": {"min": 0.9, "mean": 1.0, "measure": ""}})
    )
    (tmp_path / "demo.json").write_text(json.dumps({"fps": 12.5, "video": "people.mp4", "identities": 4}))
    quick_run_table.main(quick_run_table.parse_args(arguments))
    assert json.loads((tmp_path / "quick_run.json").read_text()) == {
        "untrained": {"rank1": 8.123, "rank5": 90.0, "mAP": 40.0},
        "id": {"rank1": 50.0, "rank5": 90.0, "mAP": 40.0},
        "reid": {"rank1": 75.0, "rank5": 90.0, "mAP": 40.0},
        "parity": {"min": 0.9, "mean": 1.0},
        "demo": {"fps": 12.5, "video": "people.mp4"},
        "seconds": 61,
        **origin("bash quick_run.sh"),
    }
    assert "12.5 frames a second" in capsys.readouterr().out


# ---- a user's mistakes ----


def bad_sets(tiny_set, tmp_path):
    """Data sets with one fault each, and the picture that was cut short in the one called broken."""
    (tmp_path / "empty" / "bounding_box_train").mkdir(parents=True)
    named = tmp_path / "named" / "bounding_box_train"
    named.mkdir(parents=True)
    (named / "holiday.jpg").write_bytes(b"x")
    broken = tmp_path / "broken"
    shutil.copytree(tiny_set, broken)
    victim = sorted((broken / "bounding_box_train").iterdir())[3]
    victim.write_bytes(victim.read_bytes()[:100])
    picture = sorted(Path(tiny_set, "bounding_box_train").iterdir())[0]
    for folder in ("query", "bounding_box_test"):
        one_camera = tmp_path / "one_camera" / folder
        one_camera.mkdir(parents=True)
        for number in (1, 2):
            shutil.copy(picture, one_camera / f"000{number}_c1s1_00000{number}_00.jpg")
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
    finished = run("bash", "test_reid.sh", "--model=nowhere/x.ckpt")
    assert refusal(finished).startswith("error: there is no nowhere/x.ckpt: ")
