"""A text that tells or asks of several things, taken apart: each part should find frames of its own.

One embedding of "a man cooks. He feeds the dog." lies between both and fits best what comes close to either;
the frames chosen by it often show one of the two and never the other. So does that of "who comes first, the
man or the dog?", which needs a frame of each.
"""

from __future__ import annotations

import re

__all__ = ["asked_parts", "told_parts"]

_MOST_TOLD, _MOST_ASKED = 16, 3
_SENTENCES = r"(?<=[.!?])\s+|(?<=[。！？])"
_TOLD = re.compile(rf"{_SENTENCES}|[,;]?\s+(?:and\s+)?then\b,?\s+|;\s+", re.IGNORECASE)
_ASKED = re.compile(rf"{_SENTENCES}|,?\s+or\s+", re.IGNORECASE)


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


def _parts(between: re.Pattern[str], whole: str, most: int) -> list[str]:
    breaks = [match.span() for match in between.finditer(whole)]
    starts, ends = [0, *(end for _, end in breaks)], [*(start for start, _ in breaks), len(whole)]
    spans: list[tuple[int, int]] = []
    for start, end in zip(starts, ends, strict=True):
        if spans and (_is_word(whole[start:end]) or _is_word(whole[slice(*spans[-1])])):
            spans[-1] = spans[-1][0], end
        else:
            spans.append((start, end))
    parts = [whole[start:end].strip() for start, end in spans]
    return parts if len(parts) <= most else [whole.strip()]


def _is_word(text: str) -> bool:
    return text.isascii() and len(text.split()) < 2  # other scripts may write a sentence without a space
