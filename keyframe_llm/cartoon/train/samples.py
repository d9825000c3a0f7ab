"""Endless samples of the drawn world: views for the Video-LLM, pairs for the encoder."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from keyframe_llm.cartoon.world.drawing import draw_frame
from keyframe_llm.cartoon.world.language import (
    movement_is_clear,
    text_about,
)
from keyframe_llm.cartoon.world.questions import order_question
from keyframe_llm.cartoon.world.scenes import (
    ACTIONS,
    COLOURS,
    PLACES,
    SUBJECTS,
    THINGS,
    Clip,
    Scene,
    SceneFrame,
    random_clip,
    random_frames,
    random_scene,
)

__all__ = [
    "Pairs",
    "absent_scene",
    "filmed",
    "pairs",
    "random_view",
    "same_size",
    "view_structure",
]

_TWO_PEOPLE = 0.12
"""Share of texts that ask about two people: they fit the frames of either."""
_SIZES = ((192, 144), (256, 192), (320, 240))


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """N frames, N texts, and which frame fits which text."""

    images: list[NDArray[np.uint8]]
    texts: list[str]
    fits: NDArray[np.bool_]
    """(N texts, N frames)"""


def filmed(rng: np.random.Generator, shot: SceneFrame) -> NDArray[np.uint8]:
    """Draw a shot the way it comes out of a compressed video: some size, some loss."""
    width, height = _SIZES[int(rng.integers(len(_SIZES)))]
    frame = draw_frame(shot, width=width, height=height)
    if rng.random() < 0.5:
        return frame
    packed = io.BytesIO()
    Image.fromarray(frame).save(packed, "JPEG", quality=int(rng.integers(35, 90)))
    return np.asarray(Image.open(packed))


def view_structure(rng: np.random.Generator, *, alone: float = 0.45) -> tuple[Clip, list[SceneFrame]]:
    """Make a clip and a few shots of it, whether or not they show plainly who moves.

    `alone` is the share of clips that have a single scene.
    """
    many = rng.random()
    scenes = 1 if many < alone else 2 if many < alone + 0.2 else int(rng.integers(3, 7))
    count = int(rng.choice([1, 2, 3, 4], p=[0.1, 0.2, 0.6, 0.1]))
    length = rng.uniform(2, 8) * scenes * (rng.integers(1, 30) if rng.random() < 0.2 else 1)
    clip = random_clip(rng, scenes=scenes, seconds=float(length))
    return clip, random_frames(rng, clip, count)


def random_view(rng: np.random.Generator, *, alone: float = 0.45) -> tuple[Clip, list[SceneFrame]]:
    """Make a clip and the few frames of it that are shown: one scene or several, one to four frames."""
    while True:
        clip, shots = view_structure(rng, alone=alone)
        if movement_is_clear(shots):
            return clip, shots


def absent_scene(rng: np.random.Generator, shots: Sequence[SceneFrame]) -> Scene | None:
    """Somebody no frame shows, often with the colour or the shape of somebody shown."""
    stranger = random_scene(rng)
    shown = shots[0].scene
    likeness = rng.random()
    if likeness < 0.25:
        stranger = replace(stranger, subject=shown.subject)
    elif likeness < 0.5:
        stranger = replace(stranger, colour=shown.colour)
    people = {(shot.scene.subject, shot.scene.colour) for shot in shots}
    return None if (stranger.subject, stranger.colour) in people else stranger


def same_size(frames: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Stack frames, all brought to the size of the first: (N, H, W, 3)."""
    height, width = frames[0].shape[:2]
    return np.stack([np.asarray(Image.fromarray(frame).resize((width, height))) for frame in frames])


_TRAITS: dict[str, Sequence[str]] = {
    "subject": SUBJECTS,
    "colour": COLOURS,
    "place": PLACES,
    "action": ACTIONS,
    "thing": THINGS,
}


def _alike(rng: np.random.Generator, count: int) -> list[Scene]:
    """Scenes that differ in one trait alone: the negatives that teach the most."""
    base = random_scene(rng)
    trait = str(rng.choice(list(_TRAITS)))
    values = rng.permutation(np.array(_TRAITS[trait]))[:count]
    scenes = []
    for value in values:
        change: dict[str, Any] = {trait: str(value)}
        layout, direction = int(rng.integers(2**31)), int(rng.choice([-1, 1]))
        scenes.append(replace(base, layout=layout, direction=direction, **change))
    return scenes


def _told(
    rng: np.random.Generator, scene: Scene, scenes: Sequence[Scene], whole: float
) -> tuple[str, list[frozenset[tuple[str, str]]]]:
    """A text that fits the scene, and what a frame must show for it to fit: all of any one set of traits."""
    other = scenes[int(rng.integers(len(scenes)))]
    people = [frozenset({("subject", s.subject), ("colour", s.colour)}) for s in (scene, other)]
    if people[0] != people[1] and rng.random() < _TWO_PEOPLE:
        return order_question(rng, scene, other).text, people
    text, traits = text_about(rng, scene, complete=bool(rng.random() < whole))
    return text, [traits]


def _shows(scene: Scene, traits: frozenset[tuple[str, str]]) -> bool:
    return all(getattr(scene, name) == value for name, value in traits)


def pairs(rng: np.random.Generator, count: int, *, whole: float = 0.4) -> Pairs:
    """Make `count` frames and texts; a share of the texts names everything that can be seen."""
    scenes: list[Scene] = []
    while len(scenes) < count:
        scenes += _alike(rng, 4) if rng.random() < 0.7 else [random_scene(rng)]
    scenes = scenes[:count]
    told = [_told(rng, scene, scenes, whole) for scene in scenes]
    fits = np.array(
        [
            [
                any(all(getattr(scene, name) == value for name, value in one) for one in fitting)
                for scene in scenes
            ]
            for _, fitting in told
        ]
    )
    images = [filmed(rng, SceneFrame(scene, float(rng.uniform(0, 4)))) for scene in scenes]
    return Pairs(images, [text for text, _ in told], fits)
