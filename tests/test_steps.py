"""The step loop: stopping in good order, progress lines by a clock that the test moves, and the closing table."""

import os
import signal
import time

import pytest

from utils import progress
from utils.errors import InputError
from utils.training import steps as module
from utils.training.steps import Steps, check_finite, step_table


def press_ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)


def test_steps_continue_after_the_first_and_end_at_the_last():
    seen = []
    with Steps(5, 8, 8) as steps:
        for step in steps:
            steps.record_time()
            seen.append((step, steps.is_last))
    assert seen == [(6, False), (7, False), (8, True)] and not steps.stopped
    with Steps(8, 8, 8) as steps:
        assert list(steps) == []


def test_ctrl_c_during_training_ends_the_run_with_this_step(capsys):
    done = []
    handler = signal.getsignal(signal.SIGINT)
    with Steps(0, 100, 8) as steps:
        for step in steps:
            if step == 3:
                press_ctrl_c()
            steps.record_time()
            done.append(step)
            if steps.is_last:
                done.append("saved")
    assert done == [1, 2, 3, "saved"] and steps.stopped
    assert "finishing this step" in capsys.readouterr().out
    assert signal.getsignal(signal.SIGINT) is handler


@pytest.mark.parametrize("reader", ["every property", "nothing", "only show"])
def test_ctrl_c_is_never_lost_whatever_the_body_reads(monkeypatch, reader):
    """Steps slower than the progress line: each step prints one, which must not swallow the request."""
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    done = []
    with Steps(0, 12, 8) as steps:
        for step in steps:
            now[0] += 60
            if reader != "nothing":
                steps.record_time()
                steps.show(loss=0.0)
            if step == 3:
                press_ctrl_c()  # behind the decision of this step
            if reader == "every property":
                done.append((step, steps.is_last, steps.is_last))
            else:
                done.append(step)
    if reader == "every property":
        assert done == [(1, False, False), (2, False, False), (3, False, False), (4, True, True)]
    else:
        assert done == ([1, 2, 3] if reader == "nothing" else [1, 2, 3, 4])


def test_ctrl_c_twice_stops_at_once():
    done = []
    with pytest.raises(KeyboardInterrupt):
        with Steps(0, 100, 8) as steps:
            for step in steps:
                done.append(step)
                press_ctrl_c()
                press_ctrl_c()
                time.sleep(1)  # a signal may be delivered a moment later
                done.append("too late")
    assert done == [1]


def test_ctrl_c_in_the_last_step_is_no_stop():
    with Steps(0, 2, 8) as steps:
        for step in steps:
            steps.record_time()
            if step == 2:
                press_ctrl_c()
    assert not steps.stopped


def test_is_last_before_record_time_is_a_mistake_of_the_caller():
    with Steps(0, 2, 8) as steps:
        for _ in steps:
            with pytest.raises(RuntimeError, match="record_time"):
                _ = steps.is_last
            steps.record_time()


def test_show_prints_rate_and_time_left_now_and_then(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(progress.sys.stdout, "isatty", lambda: False, raising=False)
    with Steps(0, 21, 10) as steps:
        for step in steps:
            now[0] += 30 if step == 1 else 4  # compilation; then 2 s of mining and 2 s of training
            steps.record_time(excluding=2)
            steps.show(loss=step / 10)
            if step == 7:
                assert steps.seconds_per_step == pytest.approx(2) and steps.images_per_second == pytest.approx(5)
            if step == 8:
                break
    # One line in ten seconds; 13 steps of 4 s are left after step 8, mining included.
    assert capsys.readouterr().out.splitlines() == [
        "step 1/21  loss 0.100",
        "step 4/21  loss 0.400  5 images/s  1:08 left",
        "step 7/21  loss 0.700  5 images/s  0:56 left",
    ]


def test_check_finite_refuses_a_loss_that_is_no_number():
    check_finite(1.0, 7, "models/id/m0")
    for loss in (float("nan"), float("inf")):
        with pytest.raises(InputError, match=f"loss of step 7 is {loss}: lower learning_rate.*models/id/m0"):
            check_finite(loss, 7, "models/id/m0")


def test_step_table_marks_the_suggested_step_and_leaves_empty_columns_out():
    history = [
        {"step": 5, "loss": 9.0},
        {"step": 50, "loss": 1.25, "rank1": 8.0, "mAP": 5.04},
        {"step": 100, "loss": 0.5, "rank1": 100.0, "mAP": 70.06, "threshold": 0.5},
    ]
    lines = step_table(history, [50, 100], {"step": 50, "why": "highest validation mAP, 5.0 %"}).splitlines()
    assert [line.split() for line in lines] == [
        "step validation loss rank-1 mAP".split(),
        "50 1.2500 8.0 % 5.0 % <- suggested: highest validation mAP, 5.0 %".split(),
        "100 0.5000 100.0 % 70.1 %".split(),
    ]
    assert len({line[:38].rstrip()[-1] for line in lines[1:]}) == 1  # the columns are aligned
    of_id = step_table([{"step": 1, "loss": 2.0, "accuracy": 0.5}], [1], {"step": 1, "why": "x"})
    assert of_id.split() == "step validation loss accuracy 1 2.0000 0.500 <- suggested: x".split()
    mixed = step_table(history, [5, 100], {"step": 100, "why": "x"})
    assert mixed.splitlines()[1].split() == "5 9.0000 - -".split()
