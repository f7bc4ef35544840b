"""A user's mistakes: one exception, and how a script ends with one sentence instead of a traceback."""

from __future__ import annotations

import contextlib
import re
import sys


class InputError(Exception):
    """A mistake of the user's: the message is one sentence that names the file or option and says what to do."""


def first_line(error, length: int = 200) -> str:
    """The first line of an error, cut to what fits into a sentence; its type where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:length]


def run_main(main, args) -> None:
    """Runs `main(args)`.

    An InputError becomes one line on stderr and exit code 2, Ctrl-C between two steps exit code 130.
    Either comes behind what was printed before: in a pipe stdout is buffered and stderr is not.
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
    """Around the imports of TensorFlow and OpenCV: what is known to go wrong there ends the script in a sentence."""
    try:
        yield
    except ImportError as error:
        print(f"error: {import_advice(error)}", file=sys.stderr)
        sys.exit(2)


def import_advice(error: ImportError) -> str:
    """The error in one line, with a remedy where it is one of the known ones."""
    words = first_line(error)
    library = re.match(r"(\S*libgomp\S*\.so\S*?):? cannot allocate memory in static TLS block", words)
    if library:
        return f"{words}: start it as LD_PRELOAD={library.group(1)} python3 ..."
    if getattr(error, "name", None) in ("cv2", "numpy", "tensorflow"):
        return f"{words}: run bash setup.sh, and the scripts with .venv/bin/python (on a Jetson with python3)"
    raise error
