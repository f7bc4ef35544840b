"""What the user of demo.py sees of it and says to it: the picture of all cameras, the window, the page, names."""

from __future__ import annotations

import time

import numpy as np

from utils.errors import InputError
from utils.live import window
from utils.live.draw import draw_caption, draw_people, draw_rate, greyed, side_by_side
from utils.live.gallery import best_crop, delete_saved, save_people

SILENT = 1.0  # seconds without a picture from which on a camera is shown as silent


class View:
    """Draws what a Chain saw, shows it in the window and on the page, and does what the user wants of the people."""

    def __init__(self, cameras, chain, show_window: bool, page=None, save_gallery=None):
        """show_window: whether there is one; page: a Page or None; save_gallery: folder for crops, or None."""
        self.cameras, self.chain, self.identities = cameras, chain, chain.identities
        self.show_window, self.page, self.save_gallery = show_window, page, save_gallery
        self.keys = window.Keys()
        self._last = [np.zeros((camera.height, camera.width, 3), np.uint8) for camera in cameras]

    @property
    def shown(self) -> bool:
        return self.show_window or self.page is not None

    def draw(self, frames, seen, rate: float) -> np.ndarray:
        """All cameras side by side; the last picture of a silent one is grey, an ended one is dark.

        frames: (H, W, 3) uint8 BGR or None of each camera; seen: a Seen or None; rate: frames a second.
        """
        names = {person.number: person.name for person in self.identities.people if person.name}
        drawn = []
        for index, (camera, frame, some) in enumerate(zip(self.cameras, frames, seen)):
            if frame is not None:
                self._last[index] = frame = frame.copy()
                draw_people(frame, some.boxes, some.numbers, some.similarities, names, self.keys.picked)
            elif camera.ended:
                frame = np.zeros_like(self._last[index])
                draw_caption(frame, f"{camera.name} has ended")
            else:
                frame = self._last[index]
                if camera.silent_for > SILENT:
                    frame = greyed(frame)
                    draw_caption(frame, f"{camera.name} silent for {camera.silent_for:.0f} s")
            drawn.append(frame)
        picture = side_by_side(drawn)
        draw_rate(picture, rate)
        return picture

    def show(self, picture: np.ndarray, seen) -> bool:
        """Window and page, and what the user wants of them; False once the user asked to stop."""
        numbers = {int(number) for some in seen if some is not None for number in some.numbers if number}
        commands = []
        if self.page is not None:
            self.page.show(picture.copy() if self.show_window else picture, self.describe(seen, numbers))
            commands += self.page.commands()
        if self.show_window:
            if self.keys.caption:
                draw_caption(picture, self.keys.caption)
            key = window.show(picture)
            command = ("quit",) if key is None else self.keys.press(key, numbers) if key != window.NO_KEY else None
            commands += [command] if command else []
        for command in commands:
            self.obey(*command)
        return ("quit",) not in commands

    def describe(self, seen, numbers) -> list:
        """Everybody known, as utils.live.page.page.Page wants it."""
        now, similarity = time.monotonic(), {}
        for some in seen:
            if some is not None:
                similarity.update(zip(some.numbers.tolist(), some.similarities.tolist()))
        return [
            {
                "number": person.number,
                "name": person.name,
                "camera": person.camera or "",
                "similarity": similarity.get(person.number),
                "present": person.number in numbers,
                "seconds_ago": 0.0 if person.seen is None else now - person.seen,
                "crop": best_crop(person),
            }
            for person in self.identities.people
        ]

    def obey(self, what: str, number: int = 0, name: str = "") -> None:
        """("name", number, name) or ("forget", number), as window and page give them: the name is a clean one."""
        person = self.identities.find(number)
        if what == "quit" or person is None:  # the person may be forgotten meanwhile
            return
        if what == "forget":
            self._forget(person)
        else:
            self._name(person, name)

    def _name(self, person, name: str) -> None:
        known, label = self.identities.called(name), person.label
        if known not in (None, person) and self.chain.together(known.number, person.number):
            print(f"{label} is not {name}, who is in the same picture", flush=True)
            return
        self.identities.name(person.number, name)
        print(f"{label} is {name}", flush=True)
        if self.save_gallery:
            try:
                save_people(self.save_gallery, self.identities.people)
            except InputError as error:  # a full disk, say: the demo and its recording go on
                print(f"note: {error}", flush=True)

    def _forget(self, person) -> None:
        self.identities.forget(person.number)
        removed = delete_saved(self.save_gallery, person.name) if self.save_gallery and person.name else 0
        print(f"forgot {person.label}" + (f" and {removed} saved pictures" if removed else ""), flush=True)
