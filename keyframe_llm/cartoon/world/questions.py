"""Questions about the drawn world, each with the one answer that the frames shown support."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from keyframe_llm.cartoon.world.language import (
    ACTION_PHRASES,
    DIRECTION_PHRASES,
    PLACE_PHRASES,
    action_phrase,
    person_phrase,
    shown_direction,
    split_by_scene,
)
from keyframe_llm.cartoon.world.scenes import MOVING, Scene, SceneFrame

__all__ = [
    "NOT_SHOWN",
    "Question",
    "event_question",
    "order_question",
    "questions",
    "shows_answer",
    "way_question",
]

NOT_SHOWN = "it is not shown"
"""The answer to a question about somebody in no frame."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question, its one right answer, and the scene that shows the answer (None where nothing shows it)."""

    text: str
    answer: str
    scene: Scene | None
    other: Scene | None = None
    """The second scene, of a question about two."""


def questions(
    rng: np.random.Generator, frames: Sequence[SceneFrame], *, absent: Scene | None = None
) -> list[Question]:
    """Every question that the frames answer with certainty, in random order.

    With `absent`, a scene whose person is in no frame, one question has the answer `NOT_SHOWN`.
    """
    found: list[Question] = []
    groups = split_by_scene(frames)
    scenes = [group[0].scene for group in groups]
    all_different = len({(scene.subject, scene.colour) for scene in scenes}) == len(scenes)
    for group in groups:
        found += _about_person(group) if all_different else []
        found += _about_traits(group, scenes)
    for one, other in combinations(scenes, 2) if all_different else []:
        found.append(order_question(rng, one, other))
    if absent is not None:
        found.append(Question(_person_question(rng, absent), NOT_SHOWN, None))
    return [found[i] for i in rng.permutation(len(found))]


def _about_person(group: Sequence[SceneFrame]) -> list[Question]:
    """Questions about one scene that name its person."""
    scene = group[0].scene
    the = person_phrase(scene, "the")
    pairs = [
        (f"what does {the} do?", action_phrase(group)),
        (f"what is {the} doing?", action_phrase(group)),
        (f"where is {the}?", PLACE_PHRASES[scene.place]),
        (f"what is next to {the}?", f"a {scene.thing}" if scene.thing else "nothing"),
        # The times before the frames are written with one decimal, too.
        (f"when is {the} seen?", f"at {group[0].second:.1f} seconds"),
    ]
    found = [Question(text, answer, scene) for text, answer in pairs]
    return [*found, way_question(scene)] if shown_direction(group) else found


def _about_traits(group: Sequence[SceneFrame], scenes: Sequence[Scene]) -> list[Question]:
    """Questions about one scene that name a trait no other of the `scenes` has."""
    scene = group[0].scene
    pairs: list[tuple[str, str]] = []
    if [s.subject for s in scenes].count(scene.subject) == 1:
        pairs.append((f"what colour does the {scene.subject} wear?", scene.colour))
        pairs.append((f"what color does the {scene.subject} wear?", scene.colour))
        pairs.append((f"what does the {scene.subject} do?", action_phrase(group)))
    if [s.place for s in scenes].count(scene.place) == 1:
        pairs.append((f"who is {PLACE_PHRASES[scene.place]}?", person_phrase(scene, "a")))
    if [s.action for s in scenes].count(scene.action) == 1:
        pairs.append((f"who {ACTION_PHRASES[scene.action]}?", person_phrase(scene, "a")))
    if scene.thing and [s.thing for s in scenes].count(scene.thing) == 1:
        pairs.append((f"who is next to the {scene.thing}?", person_phrase(scene, "a")))
    return [Question(text, answer, scene) for text, answer in pairs]


def _person_question(rng: np.random.Generator, scene: Scene) -> str:
    the = person_phrase(scene, "the")
    forms = (
        f"what does {the} do?",
        f"what is {the} doing?",
        f"where is {the}?",
        f"what is next to {the}?",
        f"when is {the} seen?",
    )
    return forms[int(rng.integers(len(forms)))]


def event_question(rng: np.random.Generator, scene: Scene) -> Question:
    """A question that names the person of a scene, and that one frame of the scene answers."""
    the = person_phrase(scene, "the")
    pairs = [
        (f"where is {the}?", PLACE_PHRASES[scene.place]),
        (f"what is next to {the}?", f"a {scene.thing}" if scene.thing else "nothing"),
    ]
    if scene.action not in MOVING:
        pairs.append((f"what does {the} do?", ACTION_PHRASES[scene.action]))
        pairs.append((f"what is {the} doing?", ACTION_PHRASES[scene.action]))
    text, answer = pairs[int(rng.integers(len(pairs)))]
    return Question(text, answer, scene)


def way_question(scene: Scene) -> Question:
    """Ask for the direction of somebody who moves: two frames apart in time are needed to answer."""
    answer = DIRECTION_PHRASES.get((scene.action, scene.direction), "nowhere")
    return Question(f"which way does {person_phrase(scene, 'the')} go?", answer, scene)


def order_question(rng: np.random.Generator, first: Scene, second: Scene) -> Question:
    """Ask which of two people is seen first: a frame of each is needed to answer."""
    named = [person_phrase(scene, "the") for scene in (first, second)]
    one, other = named if rng.random() < 0.5 else named[::-1]
    return Question(f"who is seen first, {one} or {other}?", named[0], first, second)


def shows_answer(question: Question, frames: Sequence[SceneFrame]) -> bool:
    """Whether these frames are enough to answer a question."""
    groups = {group[0].scene: group for group in split_by_scene(frames)}
    if question.scene not in groups or (question.other or question.scene) not in groups:
        return False
    return question != way_question(question.scene) or shown_direction(groups[question.scene]) is not None
