"""The messages of quick_run.sh, with a fake Python instead of minutes of work."""

import shutil

import pytest

from tests.helpers import ROOT, run

FAKE_PYTHON = """#!/usr/bin/env bash
echo "running $*"
case $1 in
  train_*) echo "note: 445 of 700 identities were seen by one camera only" ;;
  pipeline.py) mkdir -p models/quick_run/frozen/obj models/quick_run/frozen/reid ;;
esac
"""


def quick_run(place, detector=True):
    (place / ".venv/bin").mkdir(parents=True)
    (place / "models/downloads").mkdir(parents=True)
    if detector:
        (place / "models/downloads/detector/saved_model").mkdir(parents=True)
        (place / "models/downloads/vtest.avi").touch()
    shutil.copy(ROOT / "quick_run.sh", place)
    (place / "setup.sh").write_text("exit 0\n")
    (place / ".venv/bin/python").write_text(FAKE_PYTHON)
    (place / ".venv/bin/python").chmod(0o755)
    done = run("bash", place / "quick_run.sh")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_expected_notes_are_announced(tmp_path):
    printed = quick_run(tmp_path)
    notes = [number for number, line in enumerate(printed) if line.startswith("note: ")]
    assert len(notes) == 2 and all("on purpose (single_camera_share=0.65)" in printed[number - 2] for number in notes)


@pytest.mark.parametrize("detector", [True, False])
def test_last_lines_are_commands_to_paste(tmp_path, detector):
    printed = quick_run(tmp_path, detector)
    following = printed[printed.index("next:") + 1 :]
    frozen = "--detector models/quick_run/frozen/obj --reid models/quick_run/frozen/reid"
    demo = f"  .venv/bin/python demo.py {frozen} --source models/downloads/vtest.avi --output people.mp4"
    freeze = f"  .venv/bin/python pipeline.py {'obj ' if detector else ''}models/quick_run/reid/m0"
    test = "  bash test_reid.sh --model=models/quick_run/reid/m0 --data_dir=data/quick_run"
    assert following[::2] == [*([demo] if detector else []), test, freeze]
    assert all(line.startswith("      ") for line in following[1::2])
