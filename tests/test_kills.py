"""kill -9 at a few random moments: what was whole stays whole, runs resume. benchmarks/kills.py does it more often.

The scripts run in processes that are forked from one that has imported them, which saves the imports of each.
"""

import importlib
import multiprocessing
import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf

from benchmarks.kill_victims import SMALL, TRIPLETS, Broken, Demo, Pipeline, Prepare, Training, draw_people
from benchmarks.kills import kill_once, run_last
from utils import checkpoint, resnet
from utils.errors import InputError
from utils.files import write_json

MODULES = {"data/prepare.py": "data.prepare"}


def run_forked(words, log):
    """Runs a script in this process, which is a fork. Steps of a training change nothing and take no time."""
    opened = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(opened, 1)
    os.dup2(opened, 2)
    sys.stdout.reconfigure(line_buffering=True)
    script = importlib.import_module(MODULES.get(words[0], words[0][: -len(".py")]))
    if words[0] == "train_id.py":
        script.build_train_step = lambda *_: lambda images, labels: (1.0, 0.5)
    if words[0] == "train_reid.py":
        figures = {"loss": 0.1, "mining/active_triplets": 1.0, "batch/negative_similarity": 0.5}
        script.build_train_step = lambda *_: lambda images, labels: figures
    sys.argv = list(words)
    script.run_main(script.main, script.parse_args(words[1:]))


class Forked:
    """A process with the methods of subprocess.Popen that benchmarks/kills.py uses."""

    def __init__(self, context, words, log):
        self._process = context.Process(target=run_forked, args=([str(word) for word in words], str(log)))
        self._process.start()

    def poll(self):
        return self._process.exitcode

    def kill(self):
        self._process.kill()

    def wait(self):
        self._process.join()
        return self._process.exitcode


@pytest.fixture(scope="module")
def start():
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["train_id", "train_reid", "pipeline", "demo", "data.prepare"])
    return lambda words, log: Forked(context, words, log)


@pytest.fixture(scope="module")
def id_model(tmp_path_factory):
    prefix = tmp_path_factory.mktemp("id") / "model.ckpt-1"
    about = {"image_size": [64, 32], "width": 0.125, "val_identities": 2}
    checkpoint.save_weights(resnet.build_id_net(6, (64, 32), 0.125), prefix, about)
    return prefix


def test_kills_at_random_moments(start, tiny_set, models, id_model, tmp_path):
    """The ID training is resumed to its end after its kill; what the other scripts wrote before stays."""
    prefix, frozen = models
    data = f"--data_dir={tiny_set}"
    draw_people(tmp_path / "people", 8, 12)
    shutil.copytree(frozen, tmp_path / "frozen" / "reid")
    victims = [
        Training("id", [data, *SMALL, "--val_identities=2"], tmp_path / "models"),
        Training("reid", [data, *TRIPLETS, f"--id_model={id_model}"], tmp_path / "models"),
        Pipeline([prefix, prefix], tmp_path / "frozen"),
        Demo(tmp_path / "demo", frozen),
        Prepare(tmp_path / "people", tmp_path / "prepared"),
    ]

    def kill(victim, seed):
        return kill_once(victim, np.random.default_rng(seed), tmp_path / f"{victim.name}.log", start)

    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(kill, victims, (1, 6, 2, 3, 4)))  # these seeds wait for one checkpoint of a training
    assert done[0] is not None and done[1] is not None  # the trainings have no end; the others may have ended before
    run_last(victims[0], tmp_path / "last.log", start)


# ---- what a kill could break is noticed ----


def a_run(folder, steps=(3, 6)):
    """A Training with checkpoints of these steps, and what it printed."""
    run = Training("id", [], folder)
    rows = []
    for step in steps:
        rows.append({"step": step, "loss": 1.0})
        for name in (checkpoint.ID_PATTERN, checkpoint.STATE_PATTERN):
            checkpoint.save_variables({"a/b": tf.Variable([1.0] * 1000)}, run.folder / name.format(step=step))
        write_json(run.folder / f"model.ckpt-{step}.json", {"step": step})
        suggested = {"step": step, "checkpoint": f"model.ckpt-{step}"}
        write_json(run.folder / "validation.json", {"suggested": suggested, "history": rows})
    with tf.summary.create_file_writer(str(run.folder / "train")).as_default():
        tf.summary.scalar("loss", 1.0, step=steps[-1] + 2)
    return run, "".join(f"step {step}: validation loss 1.0; saved x\n" for step in steps)


def test_damage_of_a_run_is_noticed(tmp_path):
    run, text = a_run(tmp_path)
    assert run.check(text) == {"lost": 2} and run.resumable() == 6
    data = run.folder / "model.ckpt-6.data-00000-of-00001"
    whole = data.read_bytes()
    data.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="cannot be read"):
        run.check(text)
    data.write_bytes(whole)
    (run.folder / "training_state-6.index").unlink()
    with pytest.raises(Broken, match="step 6 was saved, and is gone"):
        run.check(text)
    with pytest.raises(Broken, match="5 steps are lost"):
        run.check("")
    (run.folder / "model.ckpt-6.json").write_text('{"step": 5}')
    with pytest.raises(Broken, match="is not of step 6"):
        run.check("")


def test_damage_of_other_outputs_is_noticed(models, tmp_path):
    demo = Demo(tmp_path / "demo", models[1])
    demo.reset(None)
    assert demo.check("") == {"old": 1}
    out = tmp_path / "demo" / "out"
    (out / "tracks.txt").write_text("1,1,1,1,1,1,1,-1,-1,-1\n")
    with pytest.raises(Broken, match="the tracks are cut"):
        demo.check("")
    (out / "events.jsonl").write_text('{"event": "older"}\n{"event": "se')
    with pytest.raises(Broken, match="events are lost or cut"):
        demo.check("")
    prepare = Prepare(tmp_path, tmp_path / "prepared")
    prepare.words()
    (tmp_path / "prepared" / "set").mkdir()
    (tmp_path / "prepared" / "set" / "a.jpg").write_bytes(b"whole")
    assert prepare.check("") == {"old": 0}
    (tmp_path / "prepared" / "set" / "a.jpg").write_bytes(b"half")
    with pytest.raises(Broken, match="is not whole"):
        prepare.check("")
    pipeline = Pipeline([models[0], models[0]], tmp_path / "frozen")
    shutil.copytree(models[1], tmp_path / "frozen" / "reid")
    assert pipeline.check("") == {"old": 0}
    pipeline._expected = [-expected for expected in pipeline._expected]
    with pytest.raises(Broken, match="is of neither checkpoint"):
        pipeline.check("")
