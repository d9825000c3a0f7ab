"""The embedded Video-LLM as users meet it: asked in the words it was taught, and honest about all others.

It was taught a dozen questions, and has an answer to any text. So a question is read first. One of the drawn
world is asked word for word, with the person it means; the answer to one that names no person is checked by a
second question; to all others it says what it does not know. Other models never come here.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.cartoon.world.asking import (
    Asked,
    Person,
    is_caption_request,
    last_person,
    not_understood,
    read_question,
)
from keyframe_llm.cartoon.world.language import ACTION_PHRASES, DIRECTION_PHRASES
from keyframe_llm.cartoon.world.questions import NOT_SHOWN
from keyframe_llm.cartoon.world.scenes import COLOURS, MOVING, SUBJECTS
from keyframe_llm.messages import prompt
from keyframe_llm.vlm.protocol import Messages, Normalise

if TYPE_CHECKING:
    from keyframe_llm.vlm.embedded import EmbeddedVLM
    from keyframe_llm.vlm.transformers import TransformersVLM

__all__ = ["DrawnWorldVLM"]

_Steps = Generator[Messages, str, str]
"""Yields conversations, is sent the model's replies, returns the answer."""


class DrawnWorldVLM:
    """The embedded checkpoint as a Video-LLM for people: see `VLM` for its methods."""

    def __init__(self, model: TransformersVLM | EmbeddedVLM) -> None:
        self.model, self.name, self.warnings = model, model.name, model.warnings

    def generate(self, messages: Messages, *, max_new_tokens: int = 128) -> str:
        """Answer one conversation greedily."""
        return self.generate_batch([messages], max_new_tokens=max_new_tokens)[0]

    def stream(self, messages: Messages, *, max_new_tokens: int = 128) -> Iterator[str]:
        """Yield a caption piece by piece, an answer as one piece: it is checked before it is shown."""
        plain = _without_words(messages)
        if _question(plain) is None:
            yield from self.model.stream(plain, max_new_tokens=max_new_tokens)
        else:
            yield self.generate(messages, max_new_tokens=max_new_tokens)

    def generate_batch(
        self, conversations: Sequence[Messages], *, max_new_tokens: int = 128, temperature: float = 0.0
    ) -> list[str]:
        """Answer several conversations, in order; each round asks what all of them need next at once."""

        def ask(batch: list[Messages]) -> list[str]:
            return self.model.generate_batch(batch, max_new_tokens=max_new_tokens, temperature=temperature)

        return _together([_steps(messages) for messages in conversations], ask)

    def label_log_likelihoods(
        self, messages: Messages, labels: Sequence[str], *, normalise: Normalise = "mean"
    ) -> NDArray[np.float64]:
        """The checkpoint's own."""
        return self.model.label_log_likelihoods(messages, labels, normalise=normalise)

    def count_tokens(self, messages: Messages) -> tuple[int, int]:
        """Of the conversation as it is given."""
        return self.model.count_tokens(messages)

    @property
    def video_grid(self) -> tuple[int, int, int | None] | None:
        """The checkpoint's own."""
        return self.model.video_grid


def _together(all_steps: Sequence[_Steps], ask: Callable[[list[Messages]], list[str]]) -> list[str]:
    """Run several generators of steps side by side."""
    answers = [""] * len(all_steps)
    replies: dict[int, str | None] = dict.fromkeys(range(len(all_steps)))
    while replies:
        wanted: dict[int, Messages] = {}
        for i, reply in replies.items():
            try:
                wanted[i] = next(all_steps[i]) if reply is None else all_steps[i].send(reply)
            except StopIteration as end:
                answers[i] = end.value
        replies = dict(zip(wanted, ask(list(wanted.values())) if wanted else [], strict=True))
    return answers


def _steps(messages: Messages) -> _Steps:
    """What the model is asked, one conversation after the other, and the answer in the end."""
    messages = _without_words(messages)
    question = _question(messages)
    if question is None:
        return (yield messages)
    asked = read_question(question)
    if asked is None:
        return not_understood(question)
    earlier = [text for message in messages[:-1] for text in _texts(message)]
    people = []
    for person in asked.people:
        found = yield from _named(person, earlier, messages)
        if found is None:
            return NOT_SHOWN
        people.append(found)
    asked = replace(asked, people=tuple(people))
    answer = yield _conversation(messages, asked)
    right = yield from _is_right(asked, answer, messages)
    return answer if right else NOT_SHOWN


def _named(
    person: Person, earlier: Sequence[str], messages: Messages
) -> Generator[Messages, str, Person | None]:
    """The person with the colour: as the conversation named them last, else as the model sees them."""
    if person.colour is not None:
        return person
    known = last_person(earlier, person.subjects)
    if known is not None:
        return known
    for subject in person.subjects:
        colour = yield _conversation(messages, Asked("colour", (Person((subject,)),)))
        if colour in COLOURS:
            return Person((subject,), colour)
    return None


def _is_right(asked: Asked, answer: str, messages: Messages) -> Generator[Messages, str, bool]:
    """Whether the answer stands a second question, for those that the model answers whatever is shown."""
    if asked.kind in ("at", "does", "near"):
        person = last_person([answer], SUBJECTS)
        if person is None:
            return False
        by_person: dict[str, Asked] = {
            "at": Asked("where", (person,)),
            "does": Asked("do", (person,)),
            "near": Asked("beside", (person,)),
        }
        reply = yield _conversation(messages, by_person[asked.kind])
        return reply.removeprefix("a ").startswith(asked.value)
    if asked.kind == "way":
        does = yield _conversation(messages, Asked("do", asked.people))
        moves = does.startswith(tuple(ACTION_PHRASES[action] for action in MOVING))
        return moves and answer in DIRECTION_PHRASES.values()
    for person in asked.people if asked.kind in ("first", "colour") else ():
        if (yield _conversation(messages, Asked("where", (person,)))) == NOT_SHOWN:
            return False
    return True


def _without_words(messages: Messages) -> Messages:
    """The conversation without the words of the video before a request for a caption: it was taught none."""
    request, text = prompt("caption"), _texts(messages[-1])[-1:]
    if not text or text[0] == request or not text[0].endswith(f"\n\n{request}"):
        return messages
    content = messages[-1]["content"]
    shown = [] if isinstance(content, str) else content[:-1]
    return [*messages[:-1], {**messages[-1], "content": [*shown, {"type": "text", "text": request}]}]


def _question(messages: Messages) -> str | None:
    """The question that a conversation ends with; None where it asks for a caption or in other prompts."""
    text = "\n".join(_texts(messages[-1])[-1:])
    start = prompt("question", question="")
    asked = text.rpartition(start)[2] if start in text else text
    if is_caption_request(asked) or text in (prompt("caption"), prompt("classify")):
        return None
    if start in text or len(messages) > 1:
        return asked
    sentence = asked.replace("\n", ". ").rpartition(". ")[2]
    return sentence if sentence.rstrip().endswith("?") else None


def _conversation(messages: Messages, asked: Asked) -> Messages:
    """The pictures of a conversation and one question about them, as in training."""
    shown: list[Any] = []
    for message in messages:
        content = message["content"] if isinstance(message["content"], list) else []
        last = max((i for i, part in enumerate(content) if part.get("type") != "text"), default=-1)
        shown += content[: last + 1]
    text = {"type": "text", "text": prompt("question", question=asked.text)}
    return [{"role": "user", "content": [*shown, text]}]


def _texts(message: Any) -> list[str]:
    content = message["content"]
    if isinstance(content, str):
        return [content]
    return [part["text"] for part in content if part.get("type") == "text"]
