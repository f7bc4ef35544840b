"""One exception for a user's mistakes, and scripts that end with one sentence instead of a traceback."""

from __future__ import annotations

import contextlib
import re
import sys


class InputError(Exception):
    """A user's mistake. The message is one sentence that names the file or option and the remedy."""


def first_line(error, length: int = 200) -> str:
    """The first line of an error, cut to `length` characters; the name of its type if it has no message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:length]


def run_main(main, args) -> None:
    """Runs `main(args)`. An InputError becomes one line on stderr and exit code 2, Ctrl-C becomes exit code 130.

    stdout is flushed first, because it is buffered in a pipe and stderr is not.
    """
    try:
        main(args)
    except InputError as error:
        sys.stdout.flush()
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.stdout.flush()
        print("\nstopped", file=sys.stderr)
        sys.exit(130)


@contextlib.contextmanager
def explained_imports():
    """Ends the script with one sentence if an import in the block fails for a known reason."""
    try:
        yield
    except ImportError as error:
        print(f"error: {import_advice(error)}", file=sys.stderr)
        sys.exit(2)


def import_advice(error: ImportError) -> str:
    """The error in one line with a remedy; raises the error itself if it is not a known one."""
    line = first_line(error)
    library = re.match(r"(\S*libgomp\S*\.so\S*?):? cannot allocate memory in static TLS block", line)
    if library:
        return f"{line}: start it as LD_PRELOAD={library.group(1)} python3 ..."
    if getattr(error, "name", None) in ("cv2", "numpy", "tensorflow"):
        return f"{line}: run bash setup.sh, and start the scripts with .venv/bin/python (on a Jetson with python3)"
    raise error
