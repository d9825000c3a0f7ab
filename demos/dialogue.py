"""The messages of a conversation, and the text that chooses the frames for a follow-up question."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Protocol

from keyframe_llm.data import Frames
from keyframe_llm.messages import Layout, Messages, laid_out, with_words
from keyframe_llm.prompts import Prompts, default_prompts
from keyframe_llm.words import Cue

__all__ = ["QuestionAnswer", "conversation", "query_text"]

_REMEMBERED_TURNS = 3
_REFERS_BACK = re.compile(
    r"\b(he|she|it|they|him|her|them|his|its|their|there|this|that|these|those|one|then|else)\b|"
    r"^(and|but|or|so|why|how come|what about|how about|really)\b",
    re.IGNORECASE,
)


class QuestionAnswer(Protocol):
    """A question and its answer."""

    question: str
    answer: str


def conversation(
    frames: Frames,
    earlier: Sequence[QuestionAnswer],
    question: str,
    prompts: Prompts | None = None,
    *,
    words: Sequence[Cue] = (),
    matched: Iterable[int] = (),
    system: str = "",
    layout: Layout = "images",
    duration_seconds: float | None = None,
) -> Messages:
    """The frames chosen for this question, the words around them, the last turns, and the question.

    The first message holds the frames, as in the conversations that Video-LLMs are trained on. Only frames
    chosen for the present question are sent: earlier answers say in words what earlier frames showed.
    `matched` are indices of the `words` that the question fits; `system` is a system prompt, if any. `layout`
    and `duration_seconds`, the whole video's, are as for `laid_out`.
    """
    prompts = prompts or default_prompts()
    turns = earlier[-_REMEMBERED_TURNS:]
    opening = turns[0].question if turns else question
    text = prompts.text("question", question=opening)
    text = with_words(text, words, frames.seconds, matched=matched, prompts=prompts)
    messages = laid_out(frames, text, layout=layout, prompts=prompts, duration_seconds=duration_seconds)
    questions = [*(turn.question for turn in turns), question]
    for turn, following in zip(turns, questions[1:], strict=True):
        messages.append({"role": "assistant", "content": [{"type": "text", "text": turn.answer}]})
        messages.append({"role": "user", "content": [{"type": "text", "text": following}]})
    if system.strip():
        messages.insert(0, {"role": "system", "content": [{"type": "text", "text": system.strip()}]})
    return messages


def query_text(question: str, earlier: Sequence[QuestionAnswer]) -> str:
    """The text that chooses the frames: a question that refers back is joined to the question before it.

    "Where is she?" finds nothing alone; after "What is the woman doing?" the joined text does.
    """
    if not earlier or not _REFERS_BACK.search(question):
        return question
    return f"{query_text(earlier[-1].question, earlier[:-1])} {question}"
