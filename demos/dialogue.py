"""What is said to the Video-LLM in a conversation, and what looks for the frames of a follow-up."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Protocol

from keyframe_llm.data import Frames
from keyframe_llm.messages.prompts import frame_messages, prompt

__all__ = ["Said", "conversation", "guiding_text"]

_REMEMBERED_TURNS = 3
_LEANING = re.compile(
    r"\b(he|she|it|they|him|her|them|his|its|their|there|this|that|these|those|one|then|else)\b|"
    r"^(and|but|or|so|why|how come|what about|how about|really)\b",
    re.IGNORECASE,
)


class Said(Protocol):
    """A question and its answer."""

    question: str
    answer: str


def conversation(frames: Frames, earlier: Sequence[Said], question: str) -> list[dict[str, Any]]:
    """The frames chosen for this question, what was said before, and the question.

    Frames stand in the first turn, as in the conversations Video-LLMs are trained on, and only those of the
    question at hand: earlier answers keep in words what earlier frames showed.
    """
    said = earlier[-_REMEMBERED_TURNS:]
    opening = said[0].question if said else question
    messages = frame_messages(frames, prompt("question", question=opening))
    asked = [*(turn.question for turn in said), question]
    for turn, following in zip(said, asked[1:], strict=True):
        messages.append({"role": "assistant", "content": [{"type": "text", "text": turn.answer}]})
        messages.append({"role": "user", "content": [{"type": "text", "text": following}]})
    return messages


def guiding_text(question: str, earlier: Sequence[Said]) -> str:
    """The text that looks for the frames: a follow-up that leans on what was said takes it along.

    "Where is she?" finds nothing by itself; after "What is the woman doing?" it does.
    """
    if not earlier or not _LEANING.search(question):
        return question
    return f"{guiding_text(earlier[-1].question, earlier[:-1])} {question}"
