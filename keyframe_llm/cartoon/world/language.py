"""Sentences about the drawn world: captions, and texts about single frames.

A caption states nothing that its frames do not show: one frame of somebody walking is captioned "walks", two
frames apart in time "walks to the left".
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np

from keyframe_llm.cartoon.world.scenes import (
    ACTIONS,
    COLOURS,
    MOVING,
    PLACES,
    SUBJECTS,
    THINGS,
    Scene,
    SceneFrame,
)

__all__ = [
    "ACTION_LABELS",
    "ACTION_PHRASES",
    "CAPTION_REQUESTS",
    "DIRECTION_PHRASES",
    "PLACE_PHRASES",
    "action_phrase",
    "caption",
    "movement_is_clear",
    "naming_words",
    "person_phrase",
    "shown_direction",
    "split_by_scene",
    "text_about",
    "trait_words",
]

PLACE_PHRASES = {
    "park": "in the park",
    "beach": "on the beach",
    "street": "in the street",
    "mountains": "in the mountains",
    "kitchen": "in the kitchen",
    "desert": "in the desert",
}
ACTION_PHRASES = {
    "wave": "waves",
    "sit": "sits on a chair",
    "lie": "lies on the ground",
    "read": "reads a book",
    "umbrella": "holds an umbrella",
    "guitar": "plays the guitar",
    "kick": "kicks a ball",
    "lift": "lifts a barbell",
    "kite": "flies a kite",
    "walk": "walks",
    "climb": "climbs a ladder",
}
DIRECTION_PHRASES = {
    ("walk", 1): "to the right",
    ("walk", -1): "to the left",
    ("climb", 1): "up",
    ("climb", -1): "down",
}
"""(action, direction) → how it is called"""
ACTION_LABELS: dict[str, str] = {
    "wave": "wave",
    "sit": "sit",
    "lie": "lie down",
    "read": "read",
    "umbrella": "hold an umbrella",
    "guitar": "play the guitar",
    "kick": "kick a ball",
    "lift": "lift weights",
    "kite": "fly a kite",
    "walk": "walk",
    "climb": "climb",
}
"""Action → its label in zero-shot classification."""
CAPTION_REQUESTS = ("describe the video.", "what happens in the video?", "what happens?")
"""Other ways to ask for a caption than the one in the prompts."""

_VISIBLE, _INVISIBLE = 0.3, 0.12
"""Shares of the path between two frames: at least so much shows the direction, at most so much hides it."""

Trait = tuple[str, str]
"""Name of an attribute of a scene, and its value."""


def split_by_scene(frames: Sequence[SceneFrame]) -> list[list[SceneFrame]]:
    """Split frames in time order into groups, one for each scene shown."""
    return [
        list(group) for _, group in groupby(frames, key=lambda frame: (frame.scene.layout, frame.scene.start))
    ]


def _moved(group: Sequence[SceneFrame]) -> float:
    """Share of the path between the first and the last frame of one scene."""
    scene = group[0].scene
    return abs(scene.progress(group[-1].second) - scene.progress(group[0].second))


def movement_is_clear(frames: Sequence[SceneFrame]) -> bool:
    """Whether the direction of every movement can either be seen well or not at all."""
    groups = [group for group in split_by_scene(frames) if group[0].scene.action in MOVING]
    return all(not _INVISIBLE < _moved(group) < _VISIBLE for group in groups)


def shown_direction(group: Sequence[SceneFrame]) -> str | None:
    """The direction that the frames of one scene show; None where they show none."""
    scene = group[0].scene
    if scene.action not in MOVING or _moved(group) < _VISIBLE:
        return None
    return DIRECTION_PHRASES[scene.action, scene.direction]


def action_phrase(group: Sequence[SceneFrame]) -> str:
    """What the person does, with the direction where the frames of the scene show one."""
    direction = shown_direction(group)
    return ACTION_PHRASES[group[0].scene.action] + (f" {direction}" if direction else "")


def person_phrase(scene: Scene, article: str) -> str:
    """The person of a scene: `a man in red`."""
    return f"{article} {scene.subject} in {scene.colour}"


def caption(frames: Sequence[SceneFrame]) -> str:
    """Describe the frames scene by scene; of a single scene also the thing next to the person."""
    groups = split_by_scene(frames)
    parts = [
        f"{person_phrase(group[0].scene, 'a')} {action_phrase(group)} {PLACE_PHRASES[group[0].scene.place]}"
        for group in groups
    ]
    if len(groups) == 1 and groups[0][0].scene.thing:
        parts[0] += f" next to a {groups[0][0].scene.thing}"
    return ", then ".join(parts)


def text_about(
    rng: np.random.Generator, scene: Scene, *, complete: bool = False
) -> tuple[str, frozenset[Trait]]:
    """A text that fits one frame of a scene, and the traits that a frame must have for the text to fit.

    With `complete`, it names everything visible; otherwise captions, fragments, labels and questions mix.
    """
    names = ("subject", "colour", "place", "action") + (("thing",) if scene.thing else ())
    traits = {name: str(getattr(scene, name)) for name in names}
    does = ACTION_PHRASES[scene.action]
    direction = DIRECTION_PHRASES.get((scene.action, scene.direction))
    if direction and rng.random() < 0.4:
        does += f" {direction}"
    if complete or rng.random() < 0.4:
        beside = f" next to a {scene.thing}" if scene.thing else ""
        text = f"{person_phrase(scene, 'a')} {does} {PLACE_PHRASES[scene.place]}{beside}"
        return text, frozenset(traits.items())
    forms = _partial_texts(scene, does)
    text, named = forms[int(rng.integers(len(forms)))]
    return text, frozenset((name, traits[name]) for name in named)


def _partial_texts(scene: Scene, does: str) -> list[tuple[str, tuple[str, ...]]]:
    """Texts that name some traits of a scene, each with the names of those traits."""
    a, the, where = person_phrase(scene, "a"), person_phrase(scene, "the"), PLACE_PHRASES[scene.place]
    beside = f" next to a {scene.thing}" if scene.thing else ""
    person = ("subject", "colour")
    texts: list[tuple[str, tuple[str, ...]]] = [
        (f"{a} {does} {where}", (*person, "place", "action")),
        (f"{a} {does}", (*person, "action")),
        (f"{a} {where}", (*person, "place")),
        (a, person),
        (f"a {scene.subject} {does}", ("subject", "action")),
        (f"a person in {scene.colour}", ("colour",)),
        (
            f"a {scene.subject} {where}{beside}",
            ("subject", "place", "thing") if beside else ("subject", "place"),
        ),
        (ACTION_LABELS[scene.action], ("action",)),
        (f"a person {does}", ("action",)),
        (f"a video of a person who {does}", ("action",)),
        (where, ("place",)),
        (f"what does {the} do?", person),
        (f"what is {the} doing?", person),
        (f"where is {the}?", person),
        (f"what is next to {the}?", person),
        (f"when is {the} seen?", person),
        (f"which way does {the} go?", person),
        (f"what colour does the {scene.subject} wear?", ("subject",)),
        (f"what does the {scene.subject} do?", ("subject",)),
        (f"who is {where}?", ("place",)),
        (f"who {does}?", ("action",)),
    ]
    if scene.thing:
        texts += [(f"a {scene.thing}", ("thing",)), (f"who is next to the {scene.thing}?", ("thing",))]
    return texts


def trait_words() -> list[list[str]]:
    """One word for each value of subject, colour, place, action and thing; the last thing is "nothing"."""
    actions = [ACTION_PHRASES[action].split()[0] for action in ACTIONS]
    return [[*SUBJECTS], [*COLOURS], [*PLACES], actions, [*THINGS, "nothing"]]


def naming_words() -> set[str]:
    """The words by which a question names the person or the scene that it is about."""
    phrases = [*PLACE_PHRASES.values(), *ACTION_PHRASES.values(), *SUBJECTS, *COLOURS, *THINGS]
    return {word for phrase in phrases for word in phrase.split()} - {"a", "an", "the", "in", "on"}
