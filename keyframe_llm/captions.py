"""A caption that tells of several things, taken apart: each should find its own frames.

One embedding of "a man cooks. He feeds the dog." lies between both and fits best what comes close to either;
the frames chosen by it often show one of the two and never the other.
"""

from __future__ import annotations

import re

__all__ = ["told_parts"]

_MOST_PARTS = 16
_BETWEEN = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])|[,;]?\s+(?:and\s+)?then\b,?\s+|;\s+", re.IGNORECASE)


def told_parts(caption: str) -> list[str]:
    """The sentences of a caption, and what it joins by "then" or a semicolon; most captions stay whole.

    A single word goes with its neighbour. A text of more than 16 parts stays in one piece.
    """
    parts: list[str] = []
    for text in filter(None, map(str.strip, _BETWEEN.split(caption))):
        if parts and (_is_word(text) or _is_word(parts[-1])):
            parts[-1] = f"{parts[-1]} {text}"
        else:
            parts.append(text)
    return parts if 0 < len(parts) <= _MOST_PARTS else [caption.strip()]


def _is_word(text: str) -> bool:
    return text.isascii() and len(text.split()) < 2  # other scripts may write a sentence without a space
