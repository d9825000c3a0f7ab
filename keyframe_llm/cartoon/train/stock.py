"""Frames drawn once, of which clips are composed for ever: other scenes together, at other times.

Drawing a frame costs a third of learning from it, so a stock of scenes is drawn before the lessons begin,
each at a few moments. Single frames of it teach to see, clips put together of them to look up.
The stock must be large: of 20,000 scenes the Video-LLM learnt the very frames, and knew others less well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from keyframe_llm.cartoon.train.samples import filmed, view_structure
from keyframe_llm.cartoon.world.language import movement_is_clear
from keyframe_llm.cartoon.world.scenes import (
    ACTIONS,
    COLOURS,
    MOVING,
    PLACES,
    SUBJECTS,
    THINGS,
    Scene,
    SceneFrame,
    random_scene,
)

__all__ = ["FRAME_SIZE", "GLIMPSES", "STRETCHES", "Stock", "compose", "draw_stock"]

FRAME_SIZE = (80, 60)
"""Width and height of a frame as the Video-LLM's processor would scale it."""
GLIMPSES = 4
"""Frames drawn of every scene."""
_WALKERS = 0.25
"""Share of scenes that must show a walker, beside those that chance makes: how far is hardest to see."""
_MOVING_RUNS = 0.4
"""Share of scenes shown twice or more with somebody who moves, beside those that chance makes."""
_LOOK_ALIKES = 0.4
"""Share of clips whose other people have the kind or the colour of the first: those a question could mean."""
STRETCHES = 5
"""Parts of the way that somebody who moves is told to be in."""


@dataclass(frozen=True, slots=True, eq=False)
class Stock:
    """N scenes that last from second 0 to 1, each drawn at `GLIMPSES` moments, in order."""

    scenes: Sequence[Scene]
    seconds: NDArray[np.float64]
    """(N, GLIMPSES), ascending in every row"""
    frames: NDArray[np.uint8]
    """(N · GLIMPSES, 60, 80, 3) RGB"""
    traits: NDArray[np.int64]
    """(N · GLIMPSES, 6) what each frame shows, as indices: who, colour, place, action, thing, stretch.

    Nothing beside the person counts as one thing more, one who does not move as on one stretch more."""


def draw_stock(
    rng: np.random.Generator, count: int, told: Callable[[int], None] = lambda drawn: None
) -> Stock:
    """Draw `count` random scenes; `told(drawn)` hears of every thousandth."""
    scenes, moments = [], np.sort(rng.uniform(0, 1, (count, GLIMPSES)))
    frames = np.empty((count * GLIMPSES, FRAME_SIZE[1], FRAME_SIZE[0], 3), np.uint8)
    traits = np.empty((count * GLIMPSES, 6), np.int64)
    for n in range(count):
        scene = random_scene(rng, seconds=1.0)
        if rng.random() < _WALKERS:
            scene = replace(scene, action="walk")
        scenes.append(scene)
        for i, second in enumerate(moments[n]):
            picture = Image.fromarray(filmed(rng, SceneFrame(scene, float(second))))
            frames[n * GLIMPSES + i] = np.asarray(picture.resize(FRAME_SIZE, Image.Resampling.BICUBIC))
            traits[n * GLIMPSES + i] = _traits(scene, float(second))
        if n % 1000 == 999:
            told(n + 1)
    return Stock(scenes, moments, frames, traits)


def _traits(scene: Scene, second: float) -> list[int]:
    thing = THINGS.index(scene.thing) if scene.thing else len(THINGS)
    way = min(int((scene.travel(second) + 0.5) * STRETCHES), STRETCHES - 1)
    return [
        SUBJECTS.index(scene.subject),
        COLOURS.index(scene.colour),
        PLACES.index(scene.place),
        ACTIONS.index(scene.action),
        thing,
        way if scene.action in MOVING else STRETCHES,
    ]


def compose(rng: np.random.Generator, stock: Stock, *, alone: float) -> tuple[list[SceneFrame], list[int]]:
    """Put drawn scenes in the places of a random clip: the shots, and which frame of the stock each is.

    `alone` is the share of clips that have a single scene.
    """
    while True:
        _, planned = view_structure(rng, alone=alone)
        runs = [list(run) for _, run in groupby(planned, key=lambda shot: shot.scene.start)]
        alike = rng.random() < _LOOK_ALIKES
        shots: list[SceneFrame] = []
        seen: list[int] = []
        cast: list[Scene] = []
        for run in runs:
            drawn = _cast(rng, stock.scenes, cast, alike, moves=len(run) > 1 and rng.random() < _MOVING_RUNS)
            start, end = run[0].scene.start, run[0].scene.end
            scene = replace(stock.scenes[drawn], start=start, end=end)
            cast.append(scene)
            chosen = np.sort(rng.permutation(GLIMPSES)[: len(run)])
            shots += [
                SceneFrame(scene, float(start + stock.seconds[drawn, i] * (end - start))) for i in chosen
            ]
            seen += [drawn * GLIMPSES + int(i) for i in chosen]
        if len(shots) == len(planned) and movement_is_clear(shots):
            return shots, seen


def _cast(
    rng: np.random.Generator, scenes: Sequence[Scene], cast: Sequence[Scene], alike: bool, *, moves: bool
) -> int:
    """A drawn scene whose person is in none of the others; `alike`: in kind or colour like the first."""
    while True:
        drawn = int(rng.integers(len(scenes)))
        scene = scenes[drawn]
        taken = any((scene.subject, scene.colour) == (other.subject, other.colour) for other in cast)
        fits = not (alike and cast) or scene.subject == cast[0].subject or scene.colour == cast[0].colour
        if fits and not taken and (scene.action in MOVING or not moves):
            return drawn
