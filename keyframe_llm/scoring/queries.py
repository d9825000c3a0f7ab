"""The texts that guide a selection. One that tells or asks of several things is taken apart.

One embedding of "a man cooks. He feeds the dog." lies between both and fits best what comes close to either;
the frames chosen by it often show one of the two and never the other. So does that of "who comes first, the
man or the dog?", which needs a frame of each.
"""

from __future__ import annotations

import re

from keyframe_llm.errors import OptionsError
from keyframe_llm.options import SelectOptions

__all__ = ["asked_parts", "given_text", "guiding_texts", "told_parts"]

_MOST_TOLD, _MOST_ASKED = 16, 3
_SENTENCES = r"(?<=[.!?])\s+|(?<=[。！？])"
_TOLD = re.compile(rf"{_SENTENCES}|[,;]?\s+(?:and\s+)?then\b,?\s+|;\s+", re.IGNORECASE)
_ASKED = re.compile(rf"{_SENTENCES}|,?\s+or\s+", re.IGNORECASE)


def given_text(name: str, value: str | None) -> str | None:
    """The text without the space around it; raises `OptionsError` on an empty one."""
    if value is not None and not value.strip():
        raise OptionsError(f"the {name} is empty; give a text or leave it out")
    return value.strip() if value else None


def guiding_texts(caption: str | None, question: str | None, options: SelectOptions) -> list[str]:
    """Return the texts that score the frames, in parts where they have some; none where no text is given."""
    told = [] if caption is None or options.guide == "question" else [caption]
    asked = [] if question is None or options.guide == "caption" else [question]
    if options.method == "moments":
        told = [part for text in told for part in told_parts(text)]
        asked = [part for text in asked for part in asked_parts(text)]
    texts = [*told, *asked]
    if not texts and (caption or question):
        raise OptionsError(
            f"guide is {options.guide!r} but there is no {options.guide}; give one or use 'auto'"
        )
    return texts


def told_parts(caption: str) -> list[str]:
    """The sentences of a caption, and what it joins by "then" or a semicolon; most captions stay whole.

    A single word goes with its neighbour. A text of more than 16 parts stays in one piece.
    """
    return _parts(_TOLD, caption, _MOST_TOLD)


def asked_parts(question: str) -> list[str]:
    """The sentences of a question, and what it joins by "or"; most questions stay whole.

    A single word goes with its neighbour. One of more than three parts, a list to choose from, stays whole.
    """
    return _parts(_ASKED, question, _MOST_ASKED)


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
