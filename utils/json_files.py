"""Reads the project's JSON files: each value is checked against a description, and damage is one sentence.

A description is {key: check}. A check takes a value and returns what is wrong with it, "" if nothing is. Keys that are
not described are left alone, since later and earlier versions have others.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Callable

from utils.errors import InputError, first_line

LARGEST = 2**26  # bytes; a validation.json of 100,000 validations has a third of that


def read_json(path, fields: dict, remedy: str, needed=(), wrong: str = "cannot be read") -> dict:
    """The JSON object in a file; InputError, which ends with `remedy`, if it is damaged.

    fields: the description. needed: the keys that must be there. wrong: what the sentence says of the file.
    FileNotFoundError if there is no file.
    """

    def refuse(reason):
        raise InputError(f"{path} {wrong} ({reason}): {remedy}") from None

    try:
        if os.path.getsize(path) > LARGEST:
            refuse(f"it is larger than {LARGEST // 2**20} MB")
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise
    except OSError as error:
        refuse(error.strerror)
    except (ValueError, RecursionError) as error:
        refuse(first_line(error))
    problem = mapping(fields, needed)(content)
    if problem:
        refuse(problem)
    return content


# ---- checks ----


def whole(lowest: int, highest: int = 2**31) -> Callable:
    """A whole number from lowest to highest."""

    def check(value):
        if isinstance(value, int) and not isinstance(value, bool) and lowest <= value <= highest:
            return ""
        return f"{_short(value)} is no whole number from {lowest} to {highest}"

    return check


def number(lowest: float, highest: float) -> Callable:
    """A finite number from lowest to highest."""

    def check(value):
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            if lowest <= value <= highest and math.isfinite(value):
                return ""
        return f"{_short(value)} is no number from {lowest:g} to {highest:g}"

    return check


def text(value) -> str:
    """Any text."""
    return "" if isinstance(value, str) else f"{_short(value)} is no text"


def one_of(*choices) -> Callable:
    """One of these values."""
    return lambda value: "" if value in choices and type(value) in map(type, choices) else f"{_short(value)} is unknown"


def optional(check: Callable) -> Callable:
    """null, or what the check accepts."""
    return lambda value: "" if value is None else check(value)


def several(check: Callable, lengths=range(10**9)) -> Callable:
    """A list whose items pass the check. lengths: how many it may have."""

    def check_all(value):
        if not isinstance(value, list) or len(value) not in lengths:
            return f"{_short(value)} is no such list"
        return next(filter(None, map(check, value)), "")

    return check_all


def one_or_several(check: Callable) -> Callable:
    """What the check accepts, or a list of it."""
    return lambda value: several(check)(value) if isinstance(value, list) else check(value)


def mapping(fields: dict, needed=()) -> Callable:
    """An object with these keys, each of which passes its check; those in `needed` must be there."""

    def check(value):
        if not isinstance(value, dict):
            return f"{_short(value)} is no object"
        missing = [key for key in needed if key not in value]
        if missing:
            return f"{missing[0]} is missing"
        for key, check_value in fields.items():
            problem = check_value(value[key]) if key in value else ""
            if problem:
                return f"{key}: {problem}"
        return ""

    return check


def each(check: Callable) -> Callable:
    """An object with any keys, whose values all pass the check."""
    return lambda value: mapping(dict.fromkeys(value, check))(value) if isinstance(value, dict) else mapping({})(value)


def _short(value) -> str:
    shown = json.dumps(value, default=str)
    return shown if len(shown) <= 40 else f"{shown[:40]}..."
