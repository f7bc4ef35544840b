"""The launchers and setup.sh as people call them: through a link, by sh, from elsewhere, with Windows' line ends."""

import shutil
import subprocess

import pytest

from tests.helpers import ROOT

LAUNCHERS = ("train_id.sh", "train_reid.sh", "test_reid.sh")


@pytest.fixture
def project(tmp_path):
    """A project with the launchers alone, whose Python prints where it is and what it is given."""
    place = tmp_path / "a project"
    (place / ".venv" / "bin").mkdir(parents=True)
    for name in (*LAUNCHERS, "setup.sh", "quick_run.sh", "requirements.txt"):
        shutil.copy(ROOT / name, place)
    python = place / ".venv" / "bin" / "python"
    python.write_text('#!/bin/sh\necho "$PWD: $*"\n')
    python.chmod(0o755)
    return place


def call(*command, cwd="/", **environment):
    return subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": "/usr/bin:/bin", **environment},
    )


@pytest.mark.parametrize("name", LAUNCHERS)
def test_a_launcher_finds_its_project(project, tmp_path, name):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "go").symlink_to(f"../a project/{name}")
    (tmp_path / "twice").symlink_to("elsewhere/go")
    for command in ([project / name], ["bash", tmp_path / "twice"], ["sh", project / name]):
        done = call(*command, "--k=3", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"{project}: {name[:-3]}.py --") and done.stdout.endswith(" --k=3\n")


@pytest.mark.parametrize("name", [*LAUNCHERS, "setup.sh", "quick_run.sh"])
def test_line_ends_of_windows_are_named(project, name):
    script = project / name
    script.write_bytes(script.read_bytes().replace(b"\n", b"\r\n"))
    done = call("bash", script)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == f"error: {script} has the line ends of Windows: dos2unix {script} removes them\n"


@pytest.mark.parametrize("name", ["setup.sh", "quick_run.sh"])
def test_help_is_shown_from_elsewhere(project, name):
    done = call("bash", project / name, "--help")
    assert done.returncode == 0 and f"bash {name}" in done.stdout


def test_a_step_of_setup_that_fails_ends_its_part(project, tmp_path):
    """Through a link: .venv is made in the project, and what pip could not install is not called installed."""
    (tmp_path / "setup").symlink_to(project / "setup.sh")
    shutil.rmtree(project / ".venv")
    fake = tmp_path / "bin" / "python3"
    fake.parent.mkdir()
    # A Python whose venv module works, and whose pip answers but installs nothing.
    fake.write_text(
        '#!/bin/sh\ncase "$*" in\n*"-m venv"*) mkdir -p .venv/bin && cp "$0" .venv/bin/python;;\n'
        '*"pip --version"*) ;;\n*"pip install"*) exit 1;;\nesac\n'
    )
    fake.chmod(0o755)
    done = call("bash", tmp_path / "setup", "python", PATH=f"{fake.parent}:/usr/bin:/bin", TEGRA_RELEASE="/none")
    assert done.returncode == 2 and "pip could not install requirements.txt" in done.stderr
    assert "installed requirements.txt into" not in done.stdout
    assert (project / ".venv").is_dir() and not (tmp_path / ".venv").exists()
    # A step in the middle that fails without a sentence of its own: the disk is full.
    fake.write_text(fake.read_text().replace('*"pip install"*) exit 1', '*"pip install"*) rm .venv/.requirements'))
    shutil.rmtree(project / ".venv")
    done = call("bash", tmp_path / "setup", "python", PATH=f"{fake.parent}:/usr/bin:/bin", TEGRA_RELEASE="/none")
    assert done.returncode == 2 and "installed requirements.txt into" not in done.stdout
