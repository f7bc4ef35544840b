"""A run's folder: numbering, rotation, suggestion, and how it is resumed."""

import json
import shlex
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

import train_id
import train_reid
from tests.helpers import ROOT
from tests.helpers import run as call
from utils import checkpoint, device
from utils.device import compute_device
from utils.errors import InputError
from utils.training import hardware
from utils.training import run as module
from utils.training.hardware import prepare
from utils.training.run import Run, best_map, check_unchanged, find_resume_point, first_plateau, resume_advice

OPTIONS = {"seed": 0, "num_steps": 9}


class TinyNet(tf.keras.Sequential):
    def __init__(self):
        super().__init__([tf.keras.layers.Input((2,)), tf.keras.layers.Dense(1, name="logits")])


def new_run(models_dir, keep=2, **facts):
    return Run.new(models_dir, "id", checkpoint.ID_PATTERN, {**OPTIONS, **facts}, keep)


def resume_point(models_dir, **options):
    return find_resume_point(models_dir, "id", checkpoint.ID_PATTERN, 0, {**OPTIONS, **options}, ["seed"])


def built_optimizer(net):
    optimizer = tf.keras.optimizers.Adam(0.1)
    optimizer.build(net.trainable_variables)
    return optimizer


def train_once(net, optimizer):
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(net(tf.ones((1, 2))) ** 2)
    optimizer.apply_gradients(zip(tape.gradient(loss, net.trainable_variables), net.trainable_variables))


def test_new_takes_the_next_number_and_writes_args(tmp_path):
    (tmp_path / "id" / "m4").mkdir(parents=True)
    (tmp_path / "id" / "mine").mkdir()
    runs = [new_run(tmp_path, started_from="random weights") for _ in range(2)]
    assert [run.folder.name for run in runs] == ["m5", "m6"]
    args = checkpoint.read_args(runs[0].prefix(1))
    assert args["num_steps"] == 9 and args["started_from"] == "random weights"
    assert args["tensorflow"] == tf.__version__ and args["git"]


def test_a_run_has_one_process_at_a_time(tmp_path):
    """Another process that trains in a folder is told from one that has ended, or was killed."""
    (tmp_path / "id" / "m0").mkdir(parents=True)
    for name in ("model.ckpt-3.index", "training_state-3.index"):
        (tmp_path / "id" / "m0" / name).touch()
    script = "import sys; from utils.files import lock_folder; lock_folder(sys.argv[1]); print(1, flush=True); input()"
    command = [sys.executable, "-c", script, str(tmp_path / "id" / "m0")]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.stdout.readline()
    with pytest.raises(InputError, match="id/m0 is being written by another process: wait for its end, or stop it"):
        resume_point(tmp_path)
    assert new_run(tmp_path).folder.name == "m1"
    process.kill()
    process.communicate()
    assert resume_point(tmp_path).step == 3
    assert "is being written" in call(*command).stderr  # by this process now
    assert sorted(path.name for path in (tmp_path / "id" / "m0").iterdir()) == [
        "model.ckpt-3.index",
        "training_state-3.index",
    ]


def test_a_run_says_what_it_runs_on(tmp_path, monkeypatch, capsys):
    prepare(0, "float32", False)
    assert capsys.readouterr().out.splitlines()[0].startswith("training on: ")
    run_here = new_run(tmp_path)
    assert checkpoint.read_args(run_here.prefix(1))["device"] == compute_device()
    monkeypatch.setattr(device, "gpu_name", lambda: "NVIDIA Orin")
    assert compute_device() == "GPU NVIDIA Orin"
    monkeypatch.setattr(device, "gpu_name", lambda: None)
    monkeypatch.setattr(hardware, "has_nvidia_gpu", lambda: True)
    prepare(0, "float32", False)
    printed = capsys.readouterr().out
    assert "training on: CPU, " in printed and "(TensorFlow sees no GPU)\nnote: there is an NVIDIA GPU" in printed


def test_new_names_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "id").write_text("a file")
    with pytest.raises(InputError, match="id cannot hold a new run .*name another models_dir"):
        new_run(tmp_path)


def test_resume_restores_weights_optimizer_and_step(tmp_path, capsys):
    net = TinyNet()
    optimizer = built_optimizer(net)
    run = new_run(tmp_path, started_from="random weights")
    for _ in range(3):
        train_once(net, optimizer)
    run.save(net, optimizer, 3, {"loss": 1.0}, first_plateau)

    other = TinyNet()
    fresh = built_optimizer(other)
    resumed = Run.resume(resume_point(tmp_path), other, fresh, {**OPTIONS, "num_steps": 20}, keep=2)
    assert resumed.folder == run.folder and resumed.first_step == 3
    np.testing.assert_array_equal(other.get_weights()[0], net.get_weights()[0])
    assert int(fresh.iterations) == 3
    for network, state in ((net, optimizer), (other, fresh)):
        train_once(network, state)  # equal only if Adam's moments were restored as well
    np.testing.assert_array_equal(other.get_weights()[0], net.get_weights()[0])
    args = json.loads((run.folder / "args.json").read_text())
    assert args["started_from"] == "random weights" and args["num_steps"] == 20
    assert "step" not in args and "validation" not in args
    resumed.save(other, fresh, 4, {"loss": 0.5}, first_plateau)
    assert [row["step"] for row in checkpoint.read_validation(run.folder)["history"]] == [3, 4]


def test_find_resume_point_refuses_what_cannot_be_resumed(tmp_path):
    with pytest.raises(InputError, match="no run .*m0 to resume .existing runs: none"):
        resume_point(tmp_path)
    run = new_run(tmp_path)
    with pytest.raises(InputError, match="no checkpoint to resume from"):
        resume_point(tmp_path)
    net = TinyNet()
    run.save(net, built_optimizer(net), 1, {"loss": 1.0}, first_plateau)
    with pytest.raises(InputError, match="trained with --seed=0: give the same values"):
        resume_point(tmp_path, seed=5)
    assert resume_point(tmp_path, seed=None).step == 1


def test_a_run_that_was_killed_while_it_saved(tmp_path):
    """Between checkpoint and validation.json: the row comes from the checkpoint; what was half-written is removed."""
    net = TinyNet()
    run = new_run(tmp_path)
    run.save(net, built_optimizer(net), 1, {"loss": 2.0}, first_plateau)
    before = (run.folder / "validation.json").read_text()
    run.save(net, built_optimizer(net), 2, {"loss": 1.0, "rank1": 40.0}, first_plateau)
    (run.folder / "validation.json").write_text(before)
    (run.folder / "half-written-7-model.ckpt-3.index").touch()
    history = [{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0, "rank1": 40.0}]
    for _ in range(2):
        point = resume_point(tmp_path)
        assert point.step == 2 and point.history == history
    assert not list(run.folder.glob("*half-written*"))


def test_find_resume_point_notes_what_has_changed(tmp_path, capsys):
    net = TinyNet()
    new_run(tmp_path).save(net, built_optimizer(net), 1, {"loss": 1.0}, first_plateau)
    capsys.readouterr()
    resume_point(tmp_path, restore=True, id=0)
    assert capsys.readouterr().out == ""
    resume_point(tmp_path, num_steps=20, keep=3)
    assert capsys.readouterr().out == "options that differ from before: keep: None -> 3; num_steps: 9 -> 20\n"


def test_save_keeps_the_newest_and_the_suggested(tmp_path):
    net = TinyNet()
    run = new_run(tmp_path)
    optimizer = built_optimizer(net)
    for step, loss in ((1, 5.0), (2, 1.0), (3, 1.2), (4, 1.3), (5, 1.4)):
        suggested = run.save(net, optimizer, step, {"loss": loss}, first_plateau)
    assert suggested["step"] == 2
    assert checkpoint.steps_in(run.folder, checkpoint.ID_PATTERN) == [2, 4, 5]
    assert checkpoint.steps_in(run.folder, checkpoint.STATE_PATTERN) == [5]
    stored = checkpoint.read_validation(run.folder)
    assert stored["suggested"]["checkpoint"] == "model.ckpt-2"
    assert [row["step"] for row in stored["history"]] == [1, 2, 3, 4, 5]
    assert run.table(suggested).startswith(f"checkpoints in {run.folder}:\nstep  validation loss\n   2")


def test_suggestions_by_hand():
    figures = ((1, 5, 10), (2, 2, 40), (3, 1.05, 60), (4, 1, 60), (5, 1.5, 50))
    rows = [{"step": step, "loss": loss, "mAP": score} for step, loss, score in figures]
    every = [1, 2, 3, 4, 5]
    assert first_plateau(rows, every)[0]["step"] == 3  # from 5 to 1 it is 4; 1.05 is within 2 % of that
    assert first_plateau(rows, [2, 4, 5])[0]["step"] == 4  # 3 is deleted; the way still begins at the first row
    assert first_plateau(rows, [2, 5])[0]["step"] == 5  # none is flat: the lowest of those saved
    assert first_plateau(rows[:1], [1])[0]["step"] == 1
    assert best_map(rows, every)[0]["step"] == 4
    assert best_map(rows, [1, 5])[0]["step"] == 5


# ---- the command that resumes ----

# As train_id.sh passes its own values before those that were typed.
LAUNCHED = ["--restore=False", "--id=0", "--image_size=256x128", "--width=1.0", "--learning_rate=0.00035"]
TYPED = ["--data_dir=data/my set", "--image_size=64x32", "--image_size=96x48", "--width=0.25", "--val_identities=2"]


def resume_words(script, words, folder="models/id/m0"):
    """The command of resume_advice as a shell splits it."""
    given = vars(script.parse_args(words))
    lines = resume_advice("x.py", folder, given, vars(script.parse_args([]))).splitlines()
    assert lines[0] == "stopped and saved. To resume:" and "restore=True and id=" in lines[2]
    return shlex.split(lines[1])


def test_resume_advice_has_each_option_once_and_no_default():
    words = resume_words(train_id, [*LAUNCHED, *TYPED], folder="models/id/m3")
    assert words[1:4] == ["x.py", "--restore=True", "--id=3"]
    expected = ["--data_dir=data/my set", "--image_size=96x48", "--width=0.25", "--val_identities=2"]
    assert sorted(words[4:]) == sorted(expected)
    before, after = (vars(train_id.parse_args(options)) for options in ([*LAUNCHED, *TYPED], words[2:]))
    assert {**before, "restore": True, "id": 3} == after
    again = resume_words(train_id, [*words[2:], "--id=3"], folder="models/id/m3")
    assert again == words  # a resumed run can be stopped and resumed again


def test_resume_advice_leaves_out_the_launchers_own_values():
    assert resume_words(train_id, LAUNCHED)[2:] == ["--restore=True", "--id=0"]
    assert resume_words(train_reid, ["--random_erasing=0.5", "--flip=False"])[4:] == ["--flip=False"]


def test_interpreter_is_one_that_has_the_packages(tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin/python3"
    python.write_text("")
    python.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(sys, "executable", str(python))
    assert module.interpreter() == "python3"
    monkeypatch.setattr(sys, "executable", str(tmp_path / ".venv/bin/python"))
    monkeypatch.chdir(tmp_path)
    assert module.interpreter() == ".venv/bin/python"
    monkeypatch.chdir(tmp_path / "bin")
    assert module.interpreter() == str(tmp_path / ".venv/bin/python")


def point_of(about, tmp_path):
    return module.ResumePoint(tmp_path, checkpoint.ID_PATTERN, 1, about, [])


def test_check_unchanged_names_all_options_so_that_they_can_be_pasted(tmp_path):
    point = point_of(vars(train_id.parse_args(TYPED)), tmp_path)
    with pytest.raises(InputError) as error:
        check_unchanged(point, vars(train_id.parse_args(LAUNCHED)), train_id.FIXED_OPTIONS)
    options = "--image_size=96x48 --width=0.25 --val_identities=2"
    assert f"{tmp_path} was trained with {options}: give the same values" in str(error.value)
    same = train_id.parse_args([*LAUNCHED, *shlex.split(options)])
    check_unchanged(point, vars(same), train_id.FIXED_OPTIONS)


def test_check_unchanged_ignores_what_is_inherited_or_unknown(tmp_path):
    asked = {"val_identities": None, "seed": 3, "width": 0.5}
    point = point_of({"val_identities": 2, "width": 0.5}, tmp_path)
    check_unchanged(point, asked, ("val_identities", "seed", "width"))
