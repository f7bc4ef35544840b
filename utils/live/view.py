"""What the demo shows: the image of all cameras, in a window and on the page, and what the user requests there."""

from __future__ import annotations

import heapq
import math
import time

import numpy as np

from utils.live import window
from utils.live.draw import dimmed, draw_caption, draw_fps, draw_people, draw_places, side_by_side
from utils.live.identities import Request

MAX_LISTED = 500  # people on the page: those with a name, then those seen last
SILENT_SECONDS = 1.0  # without a frame, after which a camera is shown as silent


class View:
    """Draws the results of a Recogniser, shows them, and collects the requests of the user."""

    def __init__(self, cameras, identities, show_window: bool, page=None, counts=None):
        """cameras: of the Camera class; page: a Page (utils/live/page), counts: Counts (utils/live/counts), or None."""
        self.cameras = cameras
        self.identities = identities
        self.show_window = show_window
        self.page = page
        self.counts = counts
        self.keys = window.Keys()
        self._newest = [np.zeros((camera.height, camera.width, 3), np.uint8) for camera in cameras]

    @property
    def is_shown(self) -> bool:
        """Whether there is a window or a page."""
        return self.show_window or self.page is not None

    def draw(self, frames, results, fps: float) -> np.ndarray:
        """Draws all cameras side by side -> (H, W, 3) uint8 BGR.

        frames: (H, W, 3) uint8 BGR per camera, None if there is no new one; results: a FrameResult per camera, or None.
        The last frame of a silent camera is dimmed; a camera that has ended is black.
        """
        names = {person.person_id: person.name for person in self.identities.people if person.name}
        images = []
        for index, (camera, frame, result) in enumerate(zip(self.cameras, frames, results)):
            if frame is not None:
                image = frame.copy()
                draw_people(image, result.boxes, result.person_ids, result.similarities, names, self.keys.selected)
                if self.counts is not None:
                    draw_places(image, *self.counts.of_camera(index))
                self._newest[index] = image
            else:
                image = self._without_frame(camera, self._newest[index])
            images.append(image)
        image = side_by_side(images)
        draw_fps(image, fps)
        return image

    def _without_frame(self, camera, newest: np.ndarray) -> np.ndarray:
        """The image of a camera that has no new frame; newest: the last one drawn."""
        if camera.ended:
            image = np.zeros_like(newest)
            draw_caption(image, f"{camera.name} has ended")
            return image
        if camera.silent_for <= SILENT_SECONDS:
            return newest
        image = dimmed(newest)
        draw_caption(image, f"{camera.name} silent for {camera.silent_for:.0f} s")
        return image

    def show(self, image: np.ndarray, results) -> list:
        """Shows the image of `draw` in the window and on the page; returns the Requests made there meanwhile."""
        person_ids = set()
        for result in results:
            if result is not None:
                person_ids.update(int(person_id) for person_id in result.person_ids if person_id)
        requests = []
        if self.page is not None:
            shown = image.copy() if self.show_window else image  # the window's caption is not for the page
            places = [] if self.counts is None else self.counts.describe()
            self.page.show(shown, self._describe_people(results, person_ids), places)
            requests += self.page.requests()
        if self.show_window:
            requests += self._show_window(image, person_ids)
        return requests

    def _show_window(self, image: np.ndarray, person_ids: set) -> list:
        if self.keys.caption:
            draw_caption(image, self.keys.caption)
        key = window.show(image)
        if key is None:
            return [Request("quit")]
        request = self.keys.press(key, person_ids) if key != window.NO_KEY else None
        return [] if request is None else [request]

    def _describe_people(self, results, person_ids: set) -> list:
        """The people known, as Page.show takes them; MAX_LISTED at most, as a store may hold many."""
        now = time.monotonic()
        people = self.identities.people
        if len(people) > MAX_LISTED:
            people = heapq.nlargest(MAX_LISTED, people, key=_prominence)
        similarities = {}
        for result in results:
            if result is not None:
                similarities.update(zip(result.person_ids.tolist(), result.similarities.tolist()))
        return [
            {
                "person_id": person.person_id,
                "name": person.name,
                "camera": person.camera or "",
                "similarity": similarities.get(person.person_id),
                "present": person.person_id in person_ids,
                "seconds_ago": 0.0 if person.last_seen is None else now - person.last_seen,
                "crop": person.best_crop,
            }
            for person in people
        ]


def _prominence(person) -> tuple:
    return person.name is not None, -math.inf if person.last_seen is None else person.last_seen
