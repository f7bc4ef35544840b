"""Runs a module of this project in a process of its own, which may be killed or abort without ending the script.

The module prints its answer as a line of JSON behind ANSWER; libraries print other lines.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from utils.errors import first_line

TICK_SECONDS = 5  # between two progress lines
ANSWER = "answer: "


def run_child(module: str, arguments: list, seconds: float, desc=None, environment=None) -> dict:
    """The answer of the module, or {"error": why there is none} after at most `seconds`.

    desc: the name on a progress line, None for silence. environment: variables besides those of this process.
    """
    command = [sys.executable, "-m", module, *arguments]
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    root = Path(__file__).resolve().parents[2]
    try:
        child = subprocess.Popen(command, cwd=root, env={**os.environ, **(environment or {})}, **streams)
    except OSError as error:
        return {"error": first_line(error)}
    begun = time.monotonic()
    with child:
        try:
            while True:
                try:
                    out, errors = child.communicate(timeout=min(TICK_SECONDS, seconds))
                    break
                except subprocess.TimeoutExpired:
                    passed = time.monotonic() - begun
                    if passed >= seconds:
                        child.kill()
                        return {"error": f"it did not end within {seconds:g} s"}
                    if desc:
                        print(f"{desc}: {passed:.0f} s ... (minutes on small boards)", flush=True)
        except BaseException:  # such as Ctrl-C: the child must not stay behind
            child.kill()
            raise
    for line in out.splitlines():
        if line.startswith(ANSWER):
            return json.loads(line[len(ANSWER) :])
    return {"error": failure(child.returncode, errors)}


def answer(content: dict) -> None:
    """Prints the answer of a child."""
    print(ANSWER + json.dumps(content), flush=True)


def failure(returncode: int, errors: str) -> str:
    """Why a child ended without an answer."""
    line = (errors.strip().splitlines() or ["no message"])[-1][:200]
    if returncode == -9:
        return f"ended by signal 9: {line}; the usual cause is a lack of memory: add swap, or lower --workspace"
    if returncode < 0:
        return f"ended by signal {-returncode}: {line}"
    return f"exit code {returncode}: {line}"
