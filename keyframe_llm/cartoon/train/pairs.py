"""Batches for the contrastive training of the encoder: pictures, texts, and which of them match."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.cartoon.train.samples import compressed_picture
from keyframe_llm.cartoon.world.language import Trait, text_about
from keyframe_llm.cartoon.world.questions import order_question
from keyframe_llm.cartoon.world.scenes import (
    ACTIONS,
    COLOURS,
    PLACES,
    SUBJECTS,
    THINGS,
    Scene,
    SceneFrame,
    random_scene,
)

__all__ = ["Pairs", "random_pairs"]

_HARD_NEGATIVES = 0.7
"""Share of draws that give several scenes which differ in one trait."""
_COMPLETE = 0.4
"""Share of texts that name everything visible, beside those that chance makes."""
_TWO_PEOPLE = 0.12
"""Share of texts that ask about two people; such a text matches the pictures of both."""
_TRAITS: dict[str, Sequence[str]] = {
    "subject": SUBJECTS,
    "colour": COLOURS,
    "place": PLACES,
    "action": ACTIONS,
    "thing": THINGS,
}


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """N pictures, N texts, and which text matches which picture."""

    pictures: list[NDArray[np.uint8]]
    texts: list[str]
    matches: NDArray[np.bool_]
    """(N texts, N pictures)"""


def random_pairs(rng: np.random.Generator, count: int) -> Pairs:
    """Draw `count` pictures and a text about each."""
    scenes: list[Scene] = []
    while len(scenes) < count:
        scenes += _differing_in_one_trait(rng, 4) if rng.random() < _HARD_NEGATIVES else [random_scene(rng)]
    scenes = scenes[:count]
    texts = [_random_text(rng, scene, scenes) for scene in scenes]
    matches = np.array([[_matches(scene, options) for scene in scenes] for _, options in texts])
    pictures = [compressed_picture(rng, SceneFrame(scene, float(rng.uniform(0, 4)))) for scene in scenes]
    return Pairs(pictures, [text for text, _ in texts], matches)


def _differing_in_one_trait(rng: np.random.Generator, count: int) -> list[Scene]:
    """Up to `count` scenes that differ in one trait: hard negatives for one another."""
    base = random_scene(rng)
    trait = str(rng.choice(list(_TRAITS)))
    values = rng.permutation(np.array(_TRAITS[trait]))[:count]
    scenes = []
    for value in values:
        change: dict[str, Any] = {trait: str(value)}
        layout, direction = int(rng.integers(2**31)), int(rng.choice([-1, 1]))
        scenes.append(replace(base, layout=layout, direction=direction, **change))
    return scenes


def _random_text(
    rng: np.random.Generator, scene: Scene, scenes: Sequence[Scene]
) -> tuple[str, list[frozenset[Trait]]]:
    """A text about the scene, and sets of traits: a picture with all traits of one set matches the text."""
    other = scenes[int(rng.integers(len(scenes)))]
    people = [frozenset({("subject", s.subject), ("colour", s.colour)}) for s in (scene, other)]
    if people[0] != people[1] and rng.random() < _TWO_PEOPLE:
        return order_question(rng, scene, other).text, people
    text, traits = text_about(rng, scene, complete=bool(rng.random() < _COMPLETE))
    return text, [traits]


def _matches(scene: Scene, options: Sequence[frozenset[Trait]]) -> bool:
    return any(all(getattr(scene, name) == value for name, value in traits) for traits in options)
