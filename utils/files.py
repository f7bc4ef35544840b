"""Files that are written whole or not at all, so that Ctrl-C or a full disk leaves the old one as it was."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

import numpy as np

from utils.errors import InputError


def write_json(path, content) -> None:
    """Writes a small JSON file whole or not at all."""
    write_whole(path, (json.dumps(content, indent=2, default=_plain) + "\n").encode())


def write_whole(path, content: bytes) -> None:
    """Writes a file whole or not at all: whoever reads meanwhile gets the old one or the new one."""
    path = Path(path)
    half_written = path.with_name(f"half-written-{os.getpid()}-{path.name}")
    try:
        if path.exists() and not path.is_file():  # /dev/stdout, a pipe: nothing to keep, and not to be replaced
            path.write_bytes(content)
            return
        half_written.write_bytes(content)
        os.replace(half_written, path)
    except OSError as error:
        raise InputError(f"{path} can't be written ({error.strerror}): make room, or name another place") from None
    finally:
        with contextlib.suppress(OSError):
            half_written.unlink()


def _plain(value):
    """numpy numbers and paths as JSON knows them."""
    return value.item() if isinstance(value, np.generic) else str(value)
