"""The drawn world: who, in which colour, does what, where and next to what, over time.

A clip is a run of scenes with hard cuts. In each scene one person does one thing. Most things can be told
from a single frame; which way somebody walks or climbs cannot: it takes two frames apart in time.
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
    "Clip",
    "Scene",
    "Shot",
    "random_clip",
    "random_scene",
    "random_shots",
    "spread_shots",
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
"""Actions with a direction that no single frame shows."""
THINGS = ("dog", "cat", "car", "balloon", "tent", "snowman", "lamp", "barrel")

_EVENT_SECONDS = (1.6, 3.0)
_TRAVEL = 0.55  # share of the picture's width a walk covers


@dataclass(frozen=True, slots=True)
class Scene:
    """One person doing one thing, from `start` to `end` seconds of the clip."""

    subject: str
    colour: str
    place: str
    action: str
    thing: str | None
    """What stands beside the person; None for nothing."""
    direction: int
    """+1: to the right, or up; -1: to the left, or down; only a `MOVING` action shows it."""
    layout: int
    """Seed of all that has no name: positions, shades, clouds."""
    start: float = 0.0
    end: float = 4.0

    def progress(self, second: float) -> float:
        """How far the scene has come at a second of the clip, 0 … 1."""
        return min(1.0, max(0.0, (second - self.start) / (self.end - self.start)))

    def travel(self, second: float) -> float:
        """Where a moving person is on the way, -0.5 … 0.5 of the path, signed by the direction."""
        return self.direction * (self.progress(second) - 0.5)


@dataclass(frozen=True, slots=True)
class Shot:
    """One frame: a scene at a second of its clip."""

    scene: Scene
    second: float


@dataclass(frozen=True, slots=True)
class Clip:
    """Scenes that follow one another from second 0 without a gap."""

    scenes: tuple[Scene, ...]
    event: int | None = None
    """Index of the short scene hidden among the others, where there is one."""

    @property
    def duration_seconds(self) -> float:
        """Length of the clip in seconds."""
        return self.scenes[-1].end

    def shot(self, second: float) -> Shot:
        """The frame on screen at a second."""
        for scene in self.scenes:
            if second < scene.end:
                return Shot(scene, second)
        return Shot(self.scenes[-1], second)


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


def _unlike(rng: np.random.Generator, others: Sequence[Scene], start: float, seconds: float) -> Scene:
    """Draw a scene whose person (subject and colour) is in none of the others."""
    while True:
        scene = random_scene(rng, start=start, seconds=seconds)
        if all((scene.subject, scene.colour) != (o.subject, o.colour) for o in others):
            return scene


def random_clip(rng: np.random.Generator, *, scenes: int, seconds: float, event: bool = False) -> Clip:
    """Make a clip of about `seconds` with this many scenes, each with a person of its own.

    With `event`, one scene that is neither first nor last lasts 1.6–3 s; in a clip of more than 12 scenes
    the other people come back again and again, as distractors do.
    """
    lengths = rng.uniform(0.6, 1.4, scenes)
    lengths *= seconds / lengths.sum()
    hidden = int(rng.integers(1, scenes - 1)) if event else None
    if hidden is not None:
        lengths[hidden] = rng.uniform(*_EVENT_SECONDS)
    cast: list[Scene] = []
    made: list[Scene] = []
    start = 0.0
    for i, length in enumerate(lengths):
        if i == hidden or len(cast) < 12:
            scene = _unlike(rng, cast, start, float(length))
            cast.append(scene)
        else:
            again = [
                s for s in cast if s is not made[-1] and (hidden is None or s.start != _start(made, hidden))
            ]
            back = again[int(rng.integers(len(again)))]
            scene = replace(back, start=start, end=start + float(length))
        made.append(scene)
        start = scene.end
    return Clip(tuple(made), hidden)


def _start(scenes: Sequence[Scene], index: int) -> float:
    return scenes[index].start if index < len(scenes) else -1.0


def spread_shots(clip: Clip, count: int) -> list[Shot]:
    """Take `count` shots at the middles of equal parts of the clip."""
    return [clip.shot((i + 0.5) * clip.duration_seconds / count) for i in range(count)]


def random_shots(rng: np.random.Generator, clip: Clip, count: int) -> list[Shot]:
    """Take `count` shots at random times, in order, at least 0.4 s apart where the clip is long enough."""
    gap = min(0.4, clip.duration_seconds / (2 * count))
    free = clip.duration_seconds - gap * (count - 1)
    times = np.sort(rng.uniform(0, free, count)) + gap * np.arange(count)
    return [clip.shot(float(t)) for t in times]
