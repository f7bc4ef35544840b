"""A person as a hash in Redis: the fields, what is sent of a person, and how what several demos learned is combined."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from utils.live.identities import clean_name
from utils.live.people import Known

FIELDS = ("mean", "looks", "name", "camera", "seen", "until", "merged_into")


class Change(NamedTuple):
    """What is new about a person: the sum (E,) of `looks` embeddings, 0 if there are none; the name if it changed."""

    known: Known
    total: np.ndarray
    looks: int
    is_named: bool


def combine(stored: Known, change: Change) -> Known:
    """The person as the store has it, with what is new; as it is if the person is gone."""
    if stored.mean is None:
        return stored
    looks = stored.looks + change.looks
    own = change.known
    is_later = own.seen is not None and (stored.seen is None or own.seen >= stored.seen)
    return stored._replace(
        mean=((stored.mean * stored.looks + change.total) / looks).astype(np.float32),
        looks=looks,
        name=own.name if change.is_named else stored.name,
        camera=own.camera if is_later else stored.camera,
        seen=own.seen if is_later else stored.seen,
        until=max(own.until, stored.until),
    )


def encode(known: Known) -> dict:
    """The fields of a person's hash."""
    return {
        "mean": np.asarray(known.mean, "<f4").tobytes(),
        "looks": known.looks,
        "name": known.name or "",
        "camera": known.camera or "",
        "seen": "" if known.seen is None else repr(known.seen),
        "until": repr(known.until),
    }


def decode(person_id: int, values: list) -> Known:
    """A person from the values of FIELDS, each bytes or None; without a mean if the person is gone or damaged."""
    mean, looks, name, camera, seen, until, merged_into = values
    try:
        if merged_into is not None:
            return Known(person_id, merged_into=int(merged_into))
        if mean is None:
            return Known(person_id)
        vector = np.frombuffer(mean, "<f4").astype(np.float32)
        name = name.decode()
        known = Known(
            person_id,
            vector,
            int(looks),
            clean_name(name) if name else None,
            camera.decode() or None,
            float(seen) if seen else None,
            float(until),
        )
    except (ValueError, TypeError, AttributeError):
        return Known(person_id)
    times = [known.until] if known.seen is None else [known.until, known.seen]
    is_sound = known.looks > 0 and vector.size and np.isfinite(vector).all() and all(map(math.isfinite, times))
    return known if is_sound else Known(person_id)
