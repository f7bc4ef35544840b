"""A user's mistake ends a script with one sentence and exit code 2."""

import os
import pty
import signal
import subprocess
import sys

import pytest

from tests.helpers import ROOT, wait_until
from utils.errors import InputError, explained_imports, first_line, out_of_memory, run_main


def test_explained_imports(capsys):
    library = "/usr/lib/aarch64-linux-gnu/libgomp.so.1"
    with pytest.raises(SystemExit) as ended, explained_imports():
        raise ImportError(f"{library}: cannot allocate memory in static TLS block")
    assert ended.value.code == 2
    assert capsys.readouterr().err.endswith(f"TLS block: start it as LD_PRELOAD={library} python3 ...\n")
    with pytest.raises(SystemExit), explained_imports():
        raise ModuleNotFoundError("No module named 'cv2'", name="cv2")
    assert "No module named 'cv2': run bash setup.sh" in capsys.readouterr().err
    with pytest.raises(ImportError, match="of our own"), explained_imports():
        raise ImportError("a mistake of our own")


@pytest.mark.parametrize(
    "error, code, line",
    [
        (InputError("no folder x: name another"), 2, "error: no folder x: name another"),
        (KeyboardInterrupt(), 130, "stopped"),
    ],
)
def test_run_main_ends_with_a_line_and_an_exit_code(capsys, error, code, line):
    def main(args):
        assert args == "args"
        raise error

    with pytest.raises(SystemExit) as ended:
        run_main(main, "args")
    assert ended.value.code == code
    assert capsys.readouterr().err.strip() == line


def test_first_line():
    assert first_line(ValueError("one\ntwo")) == "one"
    assert first_line(ValueError("")) == "ValueError"
    assert first_line(ValueError("x" * 300)) == "x" * 200


@pytest.mark.parametrize(
    "error, remedy",
    [
        (ImportError("libGL.so.1: cannot open shared object file: No such file"), "install libgl1 (on Debian"),
        (ImportError("libgthread-2.0.so.0: cannot open shared object file: No such file"), "install libglib2.0-0"),
        (ImportError("numpy.core.multiarray failed to import"), '-m pip install "numpy<2"'),
        (AttributeError("_ARRAY_API not found"), '-m pip install "numpy<2"'),
    ],
)
def test_imports_that_fail_for_a_known_reason_name_the_remedy(capsys, error, remedy):
    with pytest.raises(SystemExit) as ended, explained_imports():
        raise error
    assert ended.value.code == 2 and remedy in capsys.readouterr().err


def test_memory_that_runs_out_is_one_sentence(capsys):
    class ResourceExhaustedError(Exception):  # the name of TensorFlow's
        pass

    class Args:
        batch_size = 64

    error = ResourceExhaustedError("OOM when allocating tensor with shape[64,256,64,32]\nand a page more")

    def main(args):
        raise error

    with pytest.raises(SystemExit) as ended:
        run_main(main, Args)
    line = capsys.readouterr().err
    assert ended.value.code == 2 and line.count("\n") == 1
    assert "shape[64,256,64,32]): lower --batch_size (now 64), and --learning_rate by the same factor" in line
    assert out_of_memory(ValueError("x"), Args) == "" and "more memory" in out_of_memory(MemoryError(), None)


# A script that tidies up like ours: it prints for ever, and writes a file when it is stopped.
SCRIPT = """
import sys, time
from utils.errors import run_main
from utils.progress import StopRequest
def main(args):
    with StopRequest("finishing") as stop:
        while not stop.requested:
            print("a line", flush=True)
            time.sleep(0.01)
    open(sys.argv[1], "w").write("whole")
    print("saved")
run_main(main, None)
"""


def test_a_reader_that_ends_stops_a_script_as_ctrl_c_does(tmp_path):
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "file")]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(30) == 0 and process.stderr.read() == ""
    assert (tmp_path / "file").read_text() == "whole"


def test_a_closed_terminal_stops_a_script_as_ctrl_c_does(tmp_path):
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "file")]
    process = subprocess.Popen(command, cwd=ROOT, stdout=theirs, stderr=theirs, start_new_session=True)
    os.read(ours, 1)
    os.close(theirs)
    os.close(ours)  # from here on every line that is printed fails
    process.send_signal(signal.SIGHUP)
    assert process.wait(30) == 0 and (tmp_path / "file").read_text() == "whole"


def test_nohup_outlives_its_terminal_and_kill_is_ctrl_c(tmp_path):
    command = ["nohup", sys.executable, "-c", SCRIPT, str(tmp_path / "file")]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.readline()
    process.send_signal(signal.SIGHUP)
    assert process.stdout.readline() == "a line\n" and process.poll() is None
    process.terminate()
    assert wait_until(lambda: process.stdout.readline() == "saved\n")
    assert process.wait(30) == 0


def test_a_traceback_never_stands_for_ctrl_c_or_kill():
    """While a module is imported, and in a script that waits for no signal itself."""
    importing = "import time\nfrom utils.errors import explained_imports\n"
    importing += "with explained_imports():\n    print(1, flush=True)\n    time.sleep(60)"
    running = "import time\nfrom utils.errors import run_main\n"
    running += "def main(args):\n    print(1, flush=True)\n    time.sleep(60)\nrun_main(main, None)"
    for script, number in ((importing, signal.SIGINT), (running, signal.SIGTERM), (running, signal.SIGHUP)):
        process = subprocess.Popen(
            [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        process.stdout.readline()
        process.send_signal(number)
        _, printed = process.communicate(timeout=30)
        assert process.returncode == 130 and printed.strip() == "stopped"


@pytest.mark.parametrize(
    "script, module",
    [
        *[(script, "numpy") for script in ("train_id.py", "train_reid.py", "test_reid.py", "pipeline.py", "demo.py")],
        ("train_id.py", "utils.options"),  # before the imports that take long
        ("train_id.py", "tensorflow.python.framework.ops"),
    ],
)
def test_ctrl_c_while_a_script_starts(script, module):
    """Pressed when the script imports a certain module: a moment that no clock decides."""
    early = (
        "import os, runpy, signal, sys\nclass Finder:\n    @staticmethod\n    def find_spec(name, *_):\n"
        f"        if name == {module!r}:\n            os.kill(os.getpid(), signal.SIGINT)\n"
        f"sys.meta_path.insert(0, Finder)\nsys.argv = [{script!r}]\nsys.path.insert(0, '')\n"
        f"runpy.run_path({script!r}, run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", early], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 130, done.stderr
    assert done.stderr.strip().splitlines()[-1] == "stopped" and "Traceback" not in done.stderr


def test_ctrl_c_that_a_library_turns_into_its_own_error(capsys):
    """As C++ code does that calls Python; an error without Ctrl-C before it is raised as it is."""

    def main(press):
        try:
            if press:
                os.kill(os.getpid(), signal.SIGINT)
        except KeyboardInterrupt:
            raise SystemError("returned a result with an exception set") from None
        raise ValueError("a mistake of our own")

    with pytest.raises(SystemExit) as ended:
        run_main(main, True)
    assert ended.value.code == 130 and capsys.readouterr().err.strip() == "stopped"
    with pytest.raises(ValueError, match="of our own"):
        run_main(main, False)


def test_characters_that_the_terminal_cannot_show_are_escaped():
    script = "from utils.errors import run_main\nrun_main(lambda args: print('caf\\udce9', '\u674e'), None)"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and done.stdout == "caf\\udce9 \\u674e\n", done.stderr
