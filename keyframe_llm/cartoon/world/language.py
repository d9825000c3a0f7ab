"""What can be said of the drawn world: captions, questions and answers, always about the frames shown.

Nothing is claimed that the frames do not show: one frame of somebody walking is captioned "walks", two of
them apart in time "walks to the left".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, groupby

import numpy as np

from keyframe_llm.cartoon.world.scenes import (
    ACTIONS,
    COLOURS,
    MOVING,
    PLACES,
    SUBJECTS,
    THINGS,
    Scene,
    Shot,
)
from keyframe_llm.messages.prompts import prompt, time_label

__all__ = [
    "ACTION_LABELS",
    "CAPTION_REQUESTS",
    "Question",
    "caption",
    "clear_enough",
    "event_question",
    "naming_words",
    "order_question",
    "questions",
    "shows_answer",
    "text_about",
    "trait_words",
    "vocabulary",
    "way_question",
]

_IN_PLACE = {
    "park": "in the park",
    "beach": "on the beach",
    "street": "in the street",
    "mountains": "in the mountains",
    "kitchen": "in the kitchen",
    "desert": "in the desert",
}
_DOES = {
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
_WAYS = {("walk", 1): "to the right", ("walk", -1): "to the left", ("climb", 1): "up", ("climb", -1): "down"}
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
"""Action → the label zero-shot classification knows it by."""
NOT_SHOWN = "it is not shown"
CAPTION_REQUESTS = ("describe the video.", "what happens in the video?", "what happens?")
"""Other ways to ask for a caption than the one in the prompts."""

_CLEAR, _BLURRED = 0.3, 0.12  # share of the path between two frames: enough to see the way, too little


@dataclass(frozen=True, slots=True)
class Question:
    """A question, its one right answer, and the scene the answer lies in (None where nothing shows it)."""

    text: str
    answer: str
    scene: Scene | None
    other: Scene | None = None
    """The second scene it takes to answer, where one is not enough."""


def _moments(shots: Sequence[Shot]) -> list[list[Shot]]:
    """Split the frames shown into runs of one scene each."""
    return [list(run) for _, run in groupby(shots, key=lambda shot: (shot.scene.layout, shot.scene.start))]


def _moved(run: Sequence[Shot]) -> float:
    scene = run[0].scene
    return abs(scene.progress(run[-1].second) - scene.progress(run[0].second))


def clear_enough(shots: Sequence[Shot]) -> bool:
    """Whether every movement shown is either plain to see or not to be seen at all."""
    runs = [run for run in _moments(shots) if run[0].scene.action in MOVING]
    return all(not _BLURRED < _moved(run) < _CLEAR for run in runs)


def _way(run: Sequence[Shot]) -> str | None:
    scene = run[0].scene
    if scene.action not in MOVING or _moved(run) < _CLEAR:
        return None
    return _WAYS[scene.action, scene.direction]


def _does(run: Sequence[Shot]) -> str:
    way = _way(run)
    return _DOES[run[0].scene.action] + (f" {way}" if way else "")


def _who(scene: Scene, article: str) -> str:
    return f"{article} {scene.subject} in {scene.colour}"


def caption(shots: Sequence[Shot]) -> str:
    """Tell what the frames show, scene by scene; a lone scene with the thing beside the person."""
    runs = _moments(shots)
    told = [f"{_who(run[0].scene, 'a')} {_does(run)} {_IN_PLACE[run[0].scene.place]}" for run in runs]
    if len(runs) == 1 and runs[0][0].scene.thing:
        told[0] += f" next to a {runs[0][0].scene.thing}"
    return ", then ".join(told)


def questions(
    rng: np.random.Generator, shots: Sequence[Shot], *, absent: Scene | None = None
) -> list[Question]:
    """Ask all that can be asked of the frames shown, in random order; each answer is certain.

    With `absent`, a scene whose person no frame shows, one question has no answer in the frames.
    """
    asked: list[Question] = []
    runs = _moments(shots)
    scenes = [run[0].scene for run in runs]
    alone = len({(scene.subject, scene.colour) for scene in scenes}) == len(scenes)
    for run in runs:
        asked += _about_person(run) if alone else []
        asked += _about_traits(run, scenes)
    for one, other in combinations(scenes, 2) if alone else []:
        asked.append(order_question(rng, one, other))
    if absent is not None:
        asked.append(Question(_person_question(rng, absent), NOT_SHOWN, None))
    return [asked[i] for i in rng.permutation(len(asked))]


def _about_person(run: Sequence[Shot]) -> list[Question]:
    scene = run[0].scene
    who = _who(scene, "the")
    told = [
        (f"what does {who} do?", _does(run)),
        (f"what is {who} doing?", _does(run)),
        (f"where is {who}?", _IN_PLACE[scene.place]),
        (f"what is next to {who}?", f"a {scene.thing}" if scene.thing else "nothing"),
        (f"when is {who} seen?", f"at {time_label(run[0].second)[1:-2]} seconds"),
    ]
    asked = [Question(text, answer, scene) for text, answer in told]
    return [*asked, way_question(scene)] if _way(run) else asked


def _about_traits(run: Sequence[Shot], shown: Sequence[Scene]) -> list[Question]:
    scene = run[0].scene
    told: list[tuple[str, str]] = []
    if [s.subject for s in shown].count(scene.subject) == 1:
        told.append((f"what colour does the {scene.subject} wear?", scene.colour))
        told.append((f"what color does the {scene.subject} wear?", scene.colour))
        told.append((f"what does the {scene.subject} do?", _does(run)))
    if [s.place for s in shown].count(scene.place) == 1:
        told.append((f"who is {_IN_PLACE[scene.place]}?", _who(scene, "a")))
    if [s.action for s in shown].count(scene.action) == 1:
        told.append((f"who {_DOES[scene.action]}?", _who(scene, "a")))
    if scene.thing and [s.thing for s in shown].count(scene.thing) == 1:
        told.append((f"who is next to the {scene.thing}?", _who(scene, "a")))
    return [Question(text, answer, scene) for text, answer in told]


def _person_question(rng: np.random.Generator, scene: Scene) -> str:
    who = _who(scene, "the")
    forms = (
        f"what does {who} do?",
        f"what is {who} doing?",
        f"where is {who}?",
        f"what is next to {who}?",
        f"when is {who} seen?",
    )
    return forms[int(rng.integers(len(forms)))]


def event_question(rng: np.random.Generator, scene: Scene) -> Question:
    """Ask about a scene by its person, so that one glimpse of it is enough to answer."""
    who = _who(scene, "the")
    told = [
        (f"where is {who}?", _IN_PLACE[scene.place]),
        (f"what is next to {who}?", f"a {scene.thing}" if scene.thing else "nothing"),
    ]
    if scene.action not in MOVING:
        told.append((f"what does {who} do?", _DOES[scene.action]))
        told.append((f"what is {who} doing?", _DOES[scene.action]))
    text, answer = told[int(rng.integers(len(told)))]
    return Question(text, answer, scene)


def way_question(scene: Scene) -> Question:
    """Ask which way somebody who moves goes: two frames apart in time are needed to answer."""
    way = _WAYS.get((scene.action, scene.direction), "nowhere")
    return Question(f"which way does {_who(scene, 'the')} go?", way, scene)


def order_question(rng: np.random.Generator, first: Scene, second: Scene) -> Question:
    """Ask which of two people is seen first: a frame of each is needed to answer."""
    named = [_who(scene, "the") for scene in (first, second)]
    one, other = named if rng.random() < 0.5 else named[::-1]
    return Question(f"who is seen first, {one} or {other}?", named[0], first, second)


def shows_answer(question: Question, shots: Sequence[Shot]) -> bool:
    """Whether these frames are enough to answer a question."""
    runs = {run[0].scene: run for run in _moments(shots)}
    if question.scene not in runs or (question.other or question.scene) not in runs:
        return False
    return question != way_question(question.scene) or _way(runs[question.scene]) is not None


_Trait = tuple[str, str]


def text_about(
    rng: np.random.Generator, scene: Scene, *, whole: bool = False
) -> tuple[str, frozenset[_Trait]]:
    """A text that fits one frame of a scene, and the traits a frame must have for it to fit.

    `whole` names everything that can be seen; otherwise captions, fragments, labels and questions mix.
    """
    named_all = ("subject", "colour", "place", "action") + (("thing",) if scene.thing else ())
    traits = {name: str(getattr(scene, name)) for name in named_all}
    who, does, where = _who(scene, "a"), _DOES[scene.action], _IN_PLACE[scene.place]
    way = _WAYS.get((scene.action, scene.direction))
    if way and rng.random() < 0.4:
        does += f" {way}"
    beside = f" next to a {scene.thing}" if scene.thing else ""
    if whole or rng.random() < 0.4:
        return f"{who} {does} {where}{beside}", frozenset(traits.items())
    the = _who(scene, "the")
    forms: list[tuple[str, tuple[str, ...]]] = [
        (f"{who} {does} {where}", ("subject", "colour", "place", "action")),
        (f"{who} {does}", ("subject", "colour", "action")),
        (f"{who} {where}", ("subject", "colour", "place")),
        (who, ("subject", "colour")),
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
        (f"what does {the} do?", ("subject", "colour")),
        (f"what is {the} doing?", ("subject", "colour")),
        (f"where is {the}?", ("subject", "colour")),
        (f"what is next to {the}?", ("subject", "colour")),
        (f"when is {the} seen?", ("subject", "colour")),
        (f"which way does {the} go?", ("subject", "colour")),
        (f"what colour does the {scene.subject} wear?", ("subject",)),
        (f"what does the {scene.subject} do?", ("subject",)),
        (f"who is {where}?", ("place",)),
        (f"who {does}?", ("action",)),
    ]
    if scene.thing:
        forms += [(f"a {scene.thing}", ("thing",)), (f"who is next to the {scene.thing}?", ("thing",))]
    text, named = forms[int(rng.integers(len(forms)))]
    return text, frozenset((name, traits[name]) for name in named)


def trait_words() -> list[list[str]]:
    """One word for each person, colour, place, action and thing, in the world's order; last for no thing."""
    does = [_DOES[action].split()[0] for action in ACTIONS]
    return [[*SUBJECTS], [*COLOURS], [*PLACES], does, [*THINGS, "nothing"]]


def naming_words() -> set[str]:
    """The words of a question that tell whom or which scene it is about."""
    phrases = [*_IN_PLACE.values(), *_DOES.values(), *SUBJECTS, *COLOURS, *THINGS]
    return {word for phrase in phrases for word in phrase.split()} - {"a", "an", "the", "in", "on"}


def vocabulary() -> list[str]:
    """Every word of every sentence above, and what the prompts and times are made of."""
    prompts = [prompt("caption"), prompt("question", question=""), prompt("classify")]
    phrases = [
        *_IN_PLACE.values(),
        *_DOES.values(),
        *_WAYS.values(),
        *ACTION_LABELS.values(),
        *SUBJECTS,
        *COLOURS,
        *PLACES,
        *ACTIONS,
        *THINGS,
        *prompts,
        *CAPTION_REQUESTS,
        NOT_SHOWN,
        "what does doing the a an in do where is next to nothing when seen at seconds",
        "which way go colour color wear who or",
        "then next person video of , . ? [ ] : ! '",
        "yes no and with there how many people man men woman women first last before after",
        "0 1 2 3 4 5 6 7 8 9 s",
    ]
    return sorted({word for phrase in phrases for word in re.findall(r"[a-z]+|[^\sa-z]", phrase.lower())})
