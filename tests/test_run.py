"""The bookkeeping of a run: numbering, rotation, suggestion, schedule, stopping."""

import os
import signal
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from utils import checkpoint
from utils.errors import InputError
from utils.training.run import Run, Steps, WarmupCosine, build_schedule, check_finite, suggest_flat, suggest_map


class TinyNet(tf.keras.Sequential):
    def __init__(self):
        super().__init__([tf.keras.layers.Input((2,)), tf.keras.layers.Dense(1, name="logits")])


def new_run(models_dir, keep=2, **args):
    return Run(models_dir, "id", checkpoint.ID_PATTERN, {"id": 0, "seed": 0, "num_steps": 9, **args}, keep)


def built_optimizer(net):
    optimizer = tf.keras.optimizers.Adam(0.1)
    optimizer.build(net.trainable_variables)
    return optimizer


def train_once(net, optimizer):
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(net(tf.ones((1, 2))) ** 2)
    optimizer.apply_gradients(zip(tape.gradient(loss, net.trainable_variables), net.trainable_variables))


def test_new_runs_take_the_next_number_and_describe_themselves(tmp_path):
    (tmp_path / "id" / "m4").mkdir(parents=True)
    (tmp_path / "id" / "mine").mkdir()
    runs = [new_run(tmp_path) for _ in range(2)]
    for run in runs:
        run.start_new({"started_from": "random weights"})
    assert [run.folder.name for run in runs] == ["m5", "m6"]
    args = checkpoint.read_args(runs[0].prefix(1))
    assert args["num_steps"] == 9 and args["started_from"] == "random weights"
    assert args["tensorflow"] == tf.__version__ and args["git"]


def test_restoring_gives_weights_optimiser_and_step_back(tmp_path):
    net, run = TinyNet(), new_run(tmp_path)
    optimizer = built_optimizer(net)
    run.start_new({"started_from": "random weights"})
    for _ in range(3):
        train_once(net, optimizer)
    run.save(net, optimizer, 3, {"loss": 1.0}, suggest_flat)

    again, other = new_run(tmp_path), TinyNet()
    assert again.find_restored() == 3
    fresh = built_optimizer(other)
    again.restore(other, fresh)
    np.testing.assert_array_equal(other.get_weights()[0], net.get_weights()[0])
    assert int(fresh.iterations) == 3
    for network, state in ((net, optimizer), (other, fresh)):
        train_once(network, state)  # equal only if Adam's moments came back as well
    np.testing.assert_array_equal(other.get_weights()[0], net.get_weights()[0])
    assert checkpoint.read_args(run.prefix(3))["started_from"] == "random weights"


def test_what_can_not_be_restored_is_refused(tmp_path):
    with pytest.raises(InputError, match="no run .*m0 to restore .there is: none yet"):
        new_run(tmp_path).find_restored()
    run = new_run(tmp_path)
    run.start_new({})
    with pytest.raises(InputError, match="no checkpoint to go on from"):
        new_run(tmp_path).find_restored()
    net = TinyNet()
    run.save(net, built_optimizer(net), 1, {"loss": 1.0}, suggest_flat)
    with pytest.raises(InputError, match="trained with --seed=0: give exactly that again"):
        new_run(tmp_path, seed=5).find_restored()
    assert new_run(tmp_path, seed=None).find_restored() == 1


def test_rotation_keeps_the_newest_and_the_suggested(tmp_path):
    net, run = TinyNet(), new_run(tmp_path)
    optimizer = built_optimizer(net)
    run.start_new({})
    for step, loss in ((1, 5.0), (2, 1.0), (3, 1.2), (4, 1.3), (5, 1.4)):
        suggested = run.save(net, optimizer, step, {"loss": loss}, suggest_flat)
    assert suggested["step"] == 2
    assert checkpoint.steps_in(run.folder, checkpoint.ID_PATTERN) == [2, 4, 5]
    assert checkpoint.steps_in(run.folder, checkpoint.STATE_PATTERN) == [5]
    stored = checkpoint.read_validation(run.folder)
    assert stored["suggested"]["checkpoint"] == "model.ckpt-2"
    assert [row["step"] for row in stored["history"]] == [1, 2, 3, 4, 5]


def test_the_suggested_steps():
    table = ((1, 5, 10), (2, 2, 40), (3, 1.05, 60), (4, 1, 60), (5, 1.5, 50))
    rows = [{"step": step, "loss": loss, "mAP": score} for step, loss, score in table]
    every = [1, 2, 3, 4, 5]
    assert suggest_flat(rows, every)[0]["step"] == 3  # 5 -> 1 is 4 to go; 1.05 leaves less than 2 % of that
    assert suggest_flat(rows, [2, 4, 5])[0]["step"] == 4  # 3 is gone; the way is still measured from the first
    assert suggest_flat(rows, [2, 5])[0]["step"] == 5  # none is flat: the lowest there is
    assert suggest_map(rows, every)[0]["step"] == 4
    assert suggest_map(rows, [1, 5])[0]["step"] == 5
    assert suggest_flat(rows[:1], [1])[0]["step"] == 1


def test_the_schedule_rises_stays_and_falls():
    schedule = WarmupCosine(2.0, warmup_steps=10, decay_start=20, num_steps=40)
    rates = {0: 0.2, 4: 1.0, 9: 2.0, 15: 2.0, 20: 2.0, 30: 1.0, 40: 0.0}
    assert {step: round(float(schedule(step)), 4) for step in rates} == rates
    assert float(WarmupCosine(2.0, 0, 0, 10)(0)) == 2.0


def test_ctrl_c_ends_after_the_step_under_way(capsys):
    done, handler = [], signal.getsignal(signal.SIGINT)
    with Steps(0, 100, 8) as steps:
        for step in steps:
            done.append(step)
            if step == 3:
                os.kill(os.getpid(), signal.SIGINT)
            done.append(-step)
            if steps.ending:
                done.append("saved")
    assert done == [1, -1, 2, -2, 3, -3, "saved"] and steps.stopped
    assert "finishing this step" in capsys.readouterr().out
    assert signal.getsignal(signal.SIGINT) is handler


def test_ctrl_c_behind_the_last_check_costs_one_step_and_never_the_saving():
    done = []
    with Steps(0, 100, 8) as steps:
        for step in steps:
            if steps.ending:
                done.append("saved")
            if step == 3:
                os.kill(os.getpid(), signal.SIGINT)
            done.append(step)
    assert done == [1, 2, 3, "saved", 4]


def test_a_run_too_short_for_its_schedule_gets_one_in_proportion(capsys):
    args = SimpleNamespace(learning_rate=1.0, warmup_steps=2000, num_steps=60)
    schedule = build_schedule(args, decay_start=2000)
    assert float(schedule(9)) == 1.0 and float(schedule(36)) == 1.0 and float(schedule(60)) == 0.0
    assert "60 steps are too few" in capsys.readouterr().out
    args.num_steps = 9000
    assert float(build_schedule(args, decay_start=8000)(1999)) == 1.0 and capsys.readouterr().out == ""


def test_steps_go_on_from_where_they_were():
    with Steps(5, 8, 8) as steps:
        assert [(step, steps.ending) for step in steps] == [(6, False), (7, False), (8, True)]
    with Steps(8, 8, 8) as steps:
        assert list(steps) == []


def test_a_loss_that_is_no_number_ends_the_run(tmp_path):
    run = new_run(tmp_path)
    run.start_new({})
    check_finite(1.0, 7, run)
    with pytest.raises(InputError, match="loss of step 7 is nan: lower learning_rate"):
        check_finite(float("nan"), 7, run)
