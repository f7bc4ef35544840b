"""Executes what the user requests in the window or on the page: naming and forgetting people."""

from __future__ import annotations

from pathlib import Path

from utils.errors import InputError
from utils.folders import list_images
from utils.live.gallery import delete_saved, save_people
from utils.live.identities import Request


def execute(request: Request, recogniser, save_gallery=None, gallery=None) -> str:
    """Names or forgets a person; returns a line that says what was done, "" if the person is no longer known.

    save_gallery: the folder of saved crops to keep up to date, None if none are saved. gallery: the folder of known
    people that the demo started with, or None.
    """
    person = recogniser.identities.find(request.person_id)
    if person is None:
        return ""
    if request.action == "forget":
        return _forget(person, recogniser.identities, save_gallery, gallery)
    return _name(person, request.name, recogniser, save_gallery)


def follow(identities, save_gallery=None) -> list:
    """Takes in what other demos changed since the last frame; returns lines that say whom they forgot."""
    lines = []
    for person in identities.store.sync():
        line = f"forgot {person.label}"
        note = ""
        if person.name and save_gallery:
            try:
                removed = delete_saved(save_gallery, person.name)
                line += f" and {removed} saved images" if removed else ""
            except InputError as error:
                note = f"\nnote: {error}"
        lines.append(f"{line}, as another demo was asked to{note}")
    return lines


def _name(person, name: str, recogniser, save_gallery) -> str:
    identities = recogniser.identities
    label = person.label
    other = identities.find_name(name)
    if other not in (None, person) and recogniser.seen_together(other.person_id, person.person_id):
        return f"{label} cannot be {name}: both are in the same image"
    identities.name(person.person_id, name)
    line = f"{label} is {name}"
    if save_gallery:
        try:
            save_people(save_gallery, identities.people)
        except InputError as error:  # such as a full disk: the demo and its recording continue
            line += f"\nnote: {error}"
    return line


def _forget(person, identities, save_gallery, gallery) -> str:
    identities.forget(person.person_id)
    line = f"forgot {person.label}"
    if not person.name:
        return line
    if save_gallery:
        try:
            removed = delete_saved(save_gallery, person.name)
        except InputError as error:
            return f"{line}\nnote: {error}"
        if removed:
            line += f" and {removed} saved images"
    for folder in sorted({Path(place) / person.name for place in (save_gallery, gallery) if place}):
        remaining = len(list_images(folder)) if folder.is_dir() else 0
        if remaining:
            line += f"\nnote: {folder} still holds {remaining} images; {person.name} is known by them at the next start"
    return line
