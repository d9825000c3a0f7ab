"""A model's own markers in a text are data: they neither break a prompt nor steer it.

`<|image_pad|>`, `<|im_start|>` and their like stand for pictures and turns once a text is tokenized. In a
question or a caption they are plain words: a space inside takes their power and leaves them readable.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

__all__ = ["marker_pattern", "markers_of", "split_markers"]

_COMMON = r"<\|[^<>|\s]{1,40}\|>"
"""The form of most models' markers, for those behind a server whose tokenizer is not known here."""


def marker_pattern(markers: Iterable[str] = ()) -> re.Pattern[str]:
    """What finds a marker in a text: one of `markers`, or the common form `<|name|>`."""
    known = sorted({marker for marker in markers if len(marker) > 2}, key=len, reverse=True)
    return re.compile("|".join([*map(re.escape, known), _COMMON]))


def split_markers(text: str, pattern: re.Pattern[str]) -> str:
    """The text with every marker split by a space.

    Splitting one marker may leave another, so it is done until none is left.
    """
    while (split := pattern.sub(lambda found: f"{found[0][0]} {found[0][1:]}", text)) != text:
        text = split
    return text


def markers_of(processor: Any) -> list[str]:
    """The words that stand for pictures, turns, thoughts and the like in a prompt of this model.

    `processor` is transformers' own, of a model that reads text and pictures.
    """
    tokenizer = processor.tokenizer
    added = getattr(tokenizer, "added_tokens_decoder", {}).values()
    single = [token.content for token in added if token.special or _looks_special(token.content)]
    placeholders = [getattr(processor, f"{kind}_token", None) for kind in ("image", "video", "audio")]
    return [*tokenizer.all_special_tokens, *single, *(str(one) for one in placeholders if one is not None)]


def _looks_special(token: str) -> bool:
    """`<think>` and `<tool_call>` are not called special by Qwen's tokenizers, and steer all the same."""
    return token.startswith("<") and token.endswith(">")
