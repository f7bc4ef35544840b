"""One exception for a user's mistakes, and scripts that end with one sentence instead of a traceback."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import sys
import threading

# What ends a script as Ctrl-C does: kill, and a terminal that is closed.
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))
# Packages of Debian and Ubuntu that hold libraries which OpenCV needs, by the first part of the library's name.
PACKAGES = {"libGL": "libgl1", "libgthread-2": "libglib2.0-0", "libglib-2": "libglib2.0-0", "libSM": "libsm6"}


class InputError(Exception):
    """A user's mistake. The message is one sentence that names the file or option and the remedy."""


def first_line(error, length: int = 200) -> str:
    """The first line of an error, cut to `length` characters; the name of its type if it has no message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:length]


def run_main(main, args) -> None:
    """Runs `main(args)`. An InputError becomes one line on stderr and exit code 2, Ctrl-C becomes exit code 130.

    SIGTERM, a terminal that is closed and a reader of the output that ends (`| head`) all act as Ctrl-C does. Memory
    that runs out is one sentence. stdout is flushed first, because it is buffered in a pipe and stderr is not.
    """
    _interrupts.clear()
    for number in STOP_SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup ignores SIGHUP, and that stays
            signal.signal(number, interrupt)
    sys.stdout = Output(sys.stdout)
    sys.stderr = Output(sys.stderr)
    try:
        main(args)
        sys.stdout.flush()
    except InputError as error:
        _end(f"error: {error}", 2)
    except KeyboardInterrupt:
        _end("\nstopped", 130)
    except Exception as error:
        if _interrupts:  # a library has made an error of its own of it
            _end("\nstopped", 130)
        sentence = out_of_memory(error, args)
        if not sentence:
            raise
        _end(f"error: {sentence}", 2)


_interrupts = []  # the signals that interrupt() was called for


def interrupt(number=signal.SIGINT, *_) -> None:
    """Raises KeyboardInterrupt: the handler of signals that end a script. run_main knows that it was called."""
    _interrupts.append(number)
    raise KeyboardInterrupt


def _stop_at_once(*_) -> None:
    """Ends the process while there is nothing to complete: half-imported libraries may not survive an orderly end."""
    os.write(2, b"\nstopped\n")
    os._exit(130)


def _report(kind, error, traceback) -> None:
    """As Python reports an exception that nothing catches, but Ctrl-C before run_main is "stopped"."""
    if issubclass(kind, KeyboardInterrupt):
        _stop_at_once()
    sys.__excepthook__(kind, error, traceback)


sys.excepthook = _report


def _end(line: str, code: int) -> None:
    sys.stdout.flush()
    if not sys.stdout.is_closed:
        print(line, file=sys.stderr)
    sys.exit(code)


class Output:
    """A text stream whose reader may end: the process then stops as by Ctrl-C, so that a loop completes its files.

    After a closed terminal, which sends a signal of its own, lines go nowhere. Characters that the stream cannot show
    are escaped.
    """

    def __init__(self, stream):
        self._stream = stream
        self.is_closed = False
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with self._watched():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._watched():
            self._stream.flush()

    @contextlib.contextmanager
    def _watched(self):
        try:
            yield
        except OSError as error:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
            if isinstance(error, BrokenPipeError) and not self.is_closed:
                self.is_closed = True
                os.kill(os.getpid(), signal.SIGINT)


def out_of_memory(error: Exception, args=None) -> str:
    """One sentence about memory that ran out, "" for any other error; args: the options, which name the remedy."""
    if not isinstance(error, MemoryError) and type(error).__name__ != "ResourceExhaustedError":
        return ""
    size = getattr(args, "batch_size", None)
    remedy = "use a smaller model or image, or a machine with more memory"
    if size is not None:
        remedy = (
            f"lower --batch_size (now {size}), and --learning_rate by the same factor; the checkpoints so far are safe"
        )
    elif hasattr(args, "workspace"):
        remedy = "lower --workspace or --batch"
    return f"memory ran out ({first_line(error, 120)}): {remedy}"


@contextlib.contextmanager
def explained_imports():
    """Ends the script with one sentence if an import in the block fails for a known reason, or after Ctrl-C.

    Ctrl-C raises nothing there: libraries try imports, and take a KeyboardInterrupt for one that fails.
    """
    before = signal.getsignal(signal.SIGINT)
    is_usual = before is signal.default_int_handler and threading.current_thread() is threading.main_thread()
    if is_usual:
        signal.signal(signal.SIGINT, _stop_at_once)
    try:
        yield
    except (ImportError, AttributeError) as error:
        print(f"error: {import_advice(error)}", file=sys.stderr)
        sys.exit(2)
    finally:
        if is_usual:
            signal.signal(signal.SIGINT, before)


def import_advice(error: Exception) -> str:
    """The error in one line with a remedy; raises the error itself if it is not a known one."""
    line = first_line(error)
    missing = re.match(r"(lib[\w.+-]+\.so[\d.]*): cannot open shared object file", line)
    if missing:
        packages = PACKAGES.get(missing.group(1).split(".")[0], f"the package that has {missing.group(1)}")
        return f"{line}: install {packages} (on Debian and Ubuntu: sudo apt install ...)"
    if "_ARRAY_API" in line or "numpy.core.multiarray failed to import" in line or "compiled using NumPy 1" in line:
        python = shlex.quote(sys.executable)
        return (
            f'{line}: a package was built for NumPy 1 and finds NumPy 2: {python} -m pip install "numpy<2", or a '
            "newer opencv-python"
        )
    if not isinstance(error, ImportError):
        raise error
    library = re.match(r"(\S*libgomp\S*\.so\S*?):? cannot allocate memory in static TLS block", line)
    if library:
        return f"{line}: start it as LD_PRELOAD={library.group(1)} python3 ..."
    if getattr(error, "name", None) in ("cv2", "numpy", "tensorflow"):
        return f"{line}: run bash setup.sh, and start the scripts with .venv/bin/python (on a Jetson with python3)"
    raise error
