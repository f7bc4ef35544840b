"""A user's mistake ends a script with one sentence and exit code 2."""

import pytest

from utils.errors import InputError, explained_imports, first_line, run_main


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
