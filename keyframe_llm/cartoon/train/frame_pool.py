"""A pool of frames drawn once, from which random clips are composed in every training step.

Drawing a frame costs a third of a training step on it, so that a pool of scenes is drawn before training,
each at several seconds. Single frames of it train the vision tower, composed clips the language model. The
pool must be large: with 20,000 scenes, the Video-LLM memorised the frames and was worse on others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from keyframe_llm.cartoon.train.samples import compressed_picture, random_sample
from keyframe_llm.cartoon.world.language import movement_is_clear, split_by_scene
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

__all__ = ["FRAMES_PER_SCENE", "FRAME_SIZE", "PATH_BINS", "FramePool", "compose_clip", "draw_pool"]

FRAME_SIZE = (80, 60)
"""Width and height of a frame, those to which the Video-LLM's processor would resize it."""
FRAMES_PER_SCENE = 4
PATH_BINS = 5
"""Equal parts of the path of somebody who moves; the position is a trait of a frame."""
_WALKERS = 0.25
"""Share of scenes made to show a walker, beside those that chance makes: the position is hardest to see."""
_MOVING_GROUPS = 0.4
"""Share of scenes with several frames that are made to show movement, beside those that chance makes."""
_LOOK_ALIKES = 0.4
"""Share of clips in which every other person has the kind or the colour of the first: easily confused."""


@dataclass(frozen=True, slots=True, eq=False)
class FramePool:
    """N scenes from second 0 to second 1, each with `FRAMES_PER_SCENE` frames in time order."""

    scenes: Sequence[Scene]
    seconds: NDArray[np.float64]
    """(N, FRAMES_PER_SCENE), ascending in every row"""
    pictures: NDArray[np.uint8]
    """(N · FRAMES_PER_SCENE, 60, 80, 3) RGB"""
    traits: NDArray[np.int64]
    """(N · FRAMES_PER_SCENE, 6) indices of what each frame shows: subject, colour, place, action, thing, and
    part of the path. No thing is the last index of things, no movement the last index of parts."""


def draw_pool(
    rng: np.random.Generator, count: int, progress: Callable[[int], None] = lambda drawn: None
) -> FramePool:
    """Draw `count` random scenes; `progress(drawn)` is called after every thousandth."""
    scenes, seconds = [], np.sort(rng.uniform(0, 1, (count, FRAMES_PER_SCENE)))
    pictures = np.empty((count * FRAMES_PER_SCENE, FRAME_SIZE[1], FRAME_SIZE[0], 3), np.uint8)
    traits = np.empty((count * FRAMES_PER_SCENE, 6), np.int64)
    for n in range(count):
        scene = random_scene(rng, seconds=1.0)
        if rng.random() < _WALKERS:
            scene = replace(scene, action="walk")
        scenes.append(scene)
        for i, second in enumerate(seconds[n]):
            picture = Image.fromarray(compressed_picture(rng, SceneFrame(scene, float(second))))
            index = n * FRAMES_PER_SCENE + i
            pictures[index] = np.asarray(picture.resize(FRAME_SIZE, Image.Resampling.BICUBIC))
            traits[index] = _traits(scene, float(second))
        if n % 1000 == 999:
            progress(n + 1)
    return FramePool(scenes, seconds, pictures, traits)


def _traits(scene: Scene, second: float) -> list[int]:
    part = min(int((scene.travel(second) + 0.5) * PATH_BINS), PATH_BINS - 1)
    return [
        SUBJECTS.index(scene.subject),
        COLOURS.index(scene.colour),
        PLACES.index(scene.place),
        ACTIONS.index(scene.action),
        THINGS.index(scene.thing) if scene.thing else len(THINGS),
        part if scene.action in MOVING else PATH_BINS,
    ]


def compose_clip(
    rng: np.random.Generator, pool: FramePool, *, single_scene: float
) -> tuple[list[SceneFrame], list[int]]:
    """The frames of a random clip made of scenes of the pool, and their indices among its pictures.

    `single_scene` is the share of clips that have one scene only.
    """
    while True:
        planned = random_sample(rng, single_scene=single_scene)[1]
        alike = rng.random() < _LOOK_ALIKES
        frames: list[SceneFrame] = []
        indices: list[int] = []
        chosen: list[Scene] = []
        for group in split_by_scene(planned):
            moving = len(group) > 1 and rng.random() < _MOVING_GROUPS
            number = _pick_scene(rng, pool.scenes, chosen, alike=alike, moving=moving)
            start, end = group[0].scene.start, group[0].scene.end
            scene = replace(pool.scenes[number], start=start, end=end)
            chosen.append(scene)
            for i in np.sort(rng.permutation(FRAMES_PER_SCENE)[: len(group)]):
                frames.append(SceneFrame(scene, float(start + pool.seconds[number, i] * (end - start))))
                indices.append(number * FRAMES_PER_SCENE + int(i))
        if len(frames) == len(planned) and movement_is_clear(frames):
            return frames, indices


def _pick_scene(
    rng: np.random.Generator, scenes: Sequence[Scene], chosen: Sequence[Scene], *, alike: bool, moving: bool
) -> int:
    """Index of a scene whose person is in none of those `chosen`.

    `alike`: the person has the kind or the colour of the first one chosen. `moving`: the person moves.
    """
    while True:
        number = int(rng.integers(len(scenes)))
        scene = scenes[number]
        taken = any((scene.subject, scene.colour) == (other.subject, other.colour) for other in chosen)
        fits = (
            not (alike and chosen) or scene.subject == chosen[0].subject or scene.colour == chosen[0].colour
        )
        if fits and not taken and (scene.action in MOVING or not moving):
            return number
