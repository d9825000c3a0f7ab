"""The texts that score the frames of a video. A text about several things is taken apart.

One embedding of "a man cooks. He feeds the dog." lies between both and fits best what comes close to either;
the frames chosen by it often show one of the two and never the other. So does that of "who comes first, the
man or the dog?", which needs a frame of each.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.arrays import unit_rows
from keyframe_llm.errors import OptionsError, shortened
from keyframe_llm.options import Guide, Task
from keyframe_llm.scoring.general_words import names_something
from keyframe_llm.scoring.order import Direction, Order, read_order

__all__ = [
    "OrderedRows",
    "Query",
    "caption_parts",
    "checked_text",
    "names_something",
    "query_kind",
    "query_order",
    "query_texts",
    "question_parts",
]

_MOST_CAPTION_PARTS, _MOST_QUESTION_PARTS = 16, 3
_SENTENCES = r"(?<=[.!?])\s+|(?<=[。！？])"
_CAPTION = re.compile(rf"{_SENTENCES}|[,;]?\s+(?:and\s+)?then\b,?\s+|;\s+", re.IGNORECASE)
_QUESTION = re.compile(rf"{_SENTENCES}|,?\s+or\s+", re.IGNORECASE)
_QUESTION_MARKS = ("?", "？", "؟", "⁇", "՞")


@dataclass(frozen=True, slots=True, eq=False)
class OrderedRows:
    """An `Order`, with the embeddings (D,) of its texts."""

    direction: Direction
    anchor: NDArray[np.floating] | None
    target: NDArray[np.floating] | None


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """What a video is searched for: the texts' embeddings and what they are compared with."""

    parts: NDArray[np.floating]
    """(P, D) one row a text, or a part of one; every part finds frames of its own."""
    baseline: NDArray[np.float64] | None = None
    """(D,) the text baseline that is taken off (see `text_baseline`); None takes nothing off."""
    task: Task = "retrieval"
    """Whose adaptive threshold holds."""
    neutral: NDArray[np.floating] | None = None
    """(M, D) the neutral texts, which say whether the parts are found at all (see `found_in`)."""
    order: OrderedRows | None = None
    """When it is shown; None where the text does not say."""

    @property
    def things(self) -> NDArray[np.floating]:
        """(T, D) what must be shown for the text to be found: its parts, or an order's anchor and target."""
        if self.order is None:
            return self.parts
        rows = [row for row in (self.order.anchor, self.order.target) if row is not None]
        return np.array(rows).reshape(len(rows), self.parts.shape[1])

    def ordered(self, order: Order | None) -> Query:
        """The query of a text with an order, whose texts are the last of the parts so far."""
        if order is None:
            return self
        count = len(self.parts) - len(order.texts)
        rows = iter(self.parts[count:])
        anchor, target = (None if text is None else next(rows) for text in (order.anchor, order.target))
        return replace(self, parts=self.parts[:count], order=OrderedRows(order.direction, anchor, target))

    @property
    def mean(self) -> NDArray[np.float64]:
        """(D,) the unit-length mean of the parts."""
        return np.asarray(unit_rows(unit_rows(self.parts).mean(axis=0)), np.float64)


def checked_text(name: str, value: str | None) -> str | None:
    """The text without the space around it; raises `OptionsError` on an empty one or none at all."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise OptionsError(f"the {name} is a {type(value).__name__}; give a text")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise OptionsError(f"the {name} is not valid Unicode ({shortened(value)}); give a text") from error
    if not value.strip():
        raise OptionsError(f"the {name} is empty; give a text or leave it out")
    return value.strip()


def query_kind(text: str) -> Literal["caption", "question"]:
    """What a text of unknown kind is: a question where it ends with a question mark, else a caption."""
    return "question" if text.rstrip(" \"'»”’)").endswith(_QUESTION_MARKS) else "caption"


def query_texts(
    caption: str | None, question: str | None, guide: Guide = "auto", *, split: bool = True
) -> list[str]:
    """The texts that score the frames, in parts where they have some; none where no text is given.

    `guide` "auto" takes the question, and the caption where there is none. Raises `OptionsError` where the
    guide that is wanted is missing.
    """
    wants_caption = guide in ("caption", "both") or (guide == "auto" and question is None)
    wants_question = guide in ("question", "both", "auto")
    texts: list[str] = []
    if caption is not None and wants_caption:
        texts += caption_parts(caption) if split else [caption]
    if question is not None and wants_question:
        texts += question_parts(question) if split else [question]
    if not texts and (caption or question):
        raise OptionsError(f"guide is {guide!r} but there is no {guide}; give one or use 'auto'")
    return texts


def query_order(caption: str | None, question: str | None, guide: Guide = "auto") -> Order | None:
    """When the text that scores the frames says that it is shown; None for two texts, or none."""
    if question is not None and (guide == "question" or guide == "auto"):
        return read_order(question, is_question=True)
    if caption is not None and (guide == "caption" or guide == "auto"):
        return read_order(caption, is_question=False)
    return None


def caption_parts(caption: str) -> list[str]:
    """The sentences of a caption, and what it joins by "then" or a semicolon; most captions stay whole.

    A single word goes with its neighbour. A text of more than 16 parts stays in one piece.
    """
    return _parts(_CAPTION, caption, _MOST_CAPTION_PARTS)


def question_parts(question: str) -> list[str]:
    """The sentences of a question, and what it joins by "or"; most questions stay whole.

    A single word goes with its neighbour. One of more than three parts, a list to choose from, stays whole.
    """
    return _parts(_QUESTION, question, _MOST_QUESTION_PARTS)


def _parts(between: re.Pattern[str], text: str, most: int) -> list[str]:
    whole = " ".join(text.split())  # long runs of spaces would cost the pattern their square
    breaks = [match.span() for match in between.finditer(whole)]
    starts, ends = [0, *(end for _, end in breaks)], [*(start for start, _ in breaks), len(whole)]
    spans: list[tuple[int, int]] = []
    for start, end in zip(starts, ends, strict=True):
        if spans and (_is_word(whole[start:end]) or _is_word(whole[slice(*spans[-1])])):
            spans[-1] = spans[-1][0], end
        else:
            spans.append((start, end))
    parts = [whole[start:end].strip() for start, end in spans]
    return parts if len(parts) <= most else [whole]


def _is_word(text: str) -> bool:
    return text.isascii() and len(text.split()) < 2  # other scripts may write a sentence without a space
