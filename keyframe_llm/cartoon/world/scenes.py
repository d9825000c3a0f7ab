"""The drawn world: who does what, in which colour, where and next to what, over time.

A clip is a sequence of scenes with hard cuts. In each scene one person does one thing. A single frame shows
everything except the direction in which somebody walks or climbs: that takes two frames apart in time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

__all__ = [
    "ACTIONS",
    "COLOURS",
    "MOVING",
    "PLACES",
    "SUBJECTS",
    "THINGS",
    "UNSEEN_SEED",
    "Clip",
    "Scene",
    "SceneFrame",
    "random_clip",
    "random_frames",
    "random_scene",
    "uniform_frames",
]

SUBJECTS = ("man", "woman", "child", "robot")
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "white", "black")
PLACES = ("park", "beach", "street", "mountains", "kitchen", "desert")
ACTIONS = (
    "wave",
    "sit",
    "lie",
    "read",
    "umbrella",
    "guitar",
    "kick",
    "lift",
    "kite",
    "walk",
    "climb",
)
MOVING = ("walk", "climb")
"""Actions with a direction, which no single frame shows."""
THINGS = ("dog", "cat", "car", "balloon", "tent", "snowman", "lamp", "barrel")

UNSEEN_SEED = 2**40
"""First part of the seed of every generator that draws clips for an evaluation.

The embedded models were trained with small seeds, so that they have not seen these clips."""

_EVENT_SECONDS = (1.6, 3.0)
_MOST_PEOPLE = 12


@dataclass(frozen=True, slots=True)
class Scene:
    """One person doing one thing, from `start` to `end` seconds of the clip."""

    subject: str
    colour: str
    place: str
    action: str
    thing: str | None
    """What stands next to the person; None for nothing."""
    direction: int
    """+1: to the right, or up; -1: to the left, or down; only a `MOVING` action shows it."""
    layout: int
    """Seed of everything that has no name: positions, shades, clouds."""
    start: float = 0.0
    end: float = 4.0

    def progress(self, second: float) -> float:
        """Share of the scene that has passed at a second of the clip, 0 … 1."""
        return min(1.0, max(0.0, (second - self.start) / (self.end - self.start)))

    def travel(self, second: float) -> float:
        """Position of a moving person on the path, -0.5 … 0.5, signed by the direction."""
        return self.direction * (self.progress(second) - 0.5)


@dataclass(frozen=True, slots=True)
class SceneFrame:
    """One frame of a clip: its scene, and the second of the clip."""

    scene: Scene
    second: float


@dataclass(frozen=True, slots=True)
class Clip:
    """Scenes that follow one another from second 0 without a gap."""

    scenes: tuple[Scene, ...]
    event: int | None = None
    """Index of the short scene among the others, where there is one."""

    @property
    def duration_seconds(self) -> float:
        """Length of the clip in seconds."""
        return self.scenes[-1].end

    def frame_at(self, second: float) -> SceneFrame:
        """The frame on screen at a second; after the end, one of the last scene."""
        for scene in self.scenes:
            if second < scene.end:
                return SceneFrame(scene, second)
        return SceneFrame(self.scenes[-1], second)


def _pick(rng: np.random.Generator, values: Sequence[str]) -> str:
    return values[int(rng.integers(len(values)))]


def random_scene(rng: np.random.Generator, *, start: float = 0.0, seconds: float = 4.0) -> Scene:
    """Draw every attribute at random, independently."""
    return Scene(
        subject=_pick(rng, SUBJECTS),
        colour=_pick(rng, COLOURS),
        place=_pick(rng, PLACES),
        action=_pick(rng, ACTIONS),
        thing=None if rng.random() < 0.25 else _pick(rng, THINGS),
        direction=1 if rng.random() < 0.5 else -1,
        layout=int(rng.integers(2**31)),
        start=start,
        end=start + seconds,
    )


def random_clip(rng: np.random.Generator, *, scenes: int, seconds: float, event: bool = False) -> Clip:
    """Make a clip of about `seconds` with this many scenes, each with another person.

    With `event`, one scene that is neither first nor last lasts 1.6–3 s. After 12 different people, the same
    scenes come back as distractors, but never the event.
    """
    lengths = rng.uniform(0.6, 1.4, scenes)
    lengths *= seconds / lengths.sum()
    event_index = int(rng.integers(1, scenes - 1)) if event else None
    if event_index is not None:
        lengths[event_index] = rng.uniform(*_EVENT_SECONDS)
    different: list[Scene] = []
    made: list[Scene] = []
    start = 0.0
    for i, length in enumerate(lengths):
        if i == event_index or len(different) < _MOST_PEOPLE:
            scene = _new_person(rng, different, start, float(length))
            different.append(scene)
        else:
            event_start = made[event_index].start if event_index is not None and event_index < i else None
            others = [s for s in different if s is not made[-1] and s.start != event_start]
            again = others[int(rng.integers(len(others)))]
            scene = replace(again, start=start, end=start + float(length))
        made.append(scene)
        start = scene.end
    return Clip(tuple(made), event_index)


def _new_person(rng: np.random.Generator, others: Sequence[Scene], start: float, seconds: float) -> Scene:
    """Draw a scene whose person (subject and colour) is in none of the others."""
    while True:
        scene = random_scene(rng, start=start, seconds=seconds)
        if all((scene.subject, scene.colour) != (o.subject, o.colour) for o in others):
            return scene


def uniform_frames(clip: Clip, count: int) -> list[SceneFrame]:
    """The frames at the middles of `count` equal parts of the clip."""
    return [clip.frame_at((i + 0.5) * clip.duration_seconds / count) for i in range(count)]


def random_frames(rng: np.random.Generator, clip: Clip, count: int) -> list[SceneFrame]:
    """`count` frames at random times, in order, at least 0.4 s apart where the clip is long enough."""
    gap = min(0.4, clip.duration_seconds / (2 * count))
    free = clip.duration_seconds - gap * (count - 1)
    times = np.sort(rng.uniform(0, free, count)) + gap * np.arange(count)
    return [clip.frame_at(float(t)) for t in times]
