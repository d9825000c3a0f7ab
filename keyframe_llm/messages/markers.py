"""A model's own markers in a text are data: they neither break the prompt nor steer it.

`<|image_pad|>`, `<|im_start|>` and their like stand for pictures and turns once a prompt is tokenized. In a
question or a caption they are plain words: a space inside takes their power and leaves them readable.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from keyframe_llm.messages.formats import Messages

__all__ = ["without_markers"]

_COMMON = r"<\|[^<>|\s]{1,40}\|>"
"""The form of most models' markers, for those behind a server whose tokenizer is not known here."""


def without_markers(messages: Messages, markers: Iterable[str] = ()) -> Messages:
    """The same conversation with every marker in its texts split by a space.

    `markers` are those of the model's tokenizer, beside the common form `<|name|>`.
    """
    known = sorted({marker for marker in markers if len(marker) > 2}, key=len, reverse=True)
    pattern = re.compile("|".join([*map(re.escape, known), _COMMON]))
    return [_message(message, pattern) for message in messages]


def _message(message: dict[str, Any], pattern: re.Pattern[str]) -> dict[str, Any]:
    content = message["content"]
    if isinstance(content, str):
        return {**message, "content": _split(content, pattern)}
    return {**message, "content": [_part(part, pattern) for part in content]}


def _part(part: Any, pattern: re.Pattern[str]) -> Any:
    if not isinstance(part, dict) or not isinstance(part.get("text"), str):
        return part
    text = _split(part["text"], pattern)
    return part if text == part["text"] else {**part, "text": text}


def _split(text: str, pattern: re.Pattern[str]) -> str:
    """Splitting one marker may leave another, so it is done until none is left."""
    while (split := pattern.sub(lambda found: f"{found[0][0]} {found[0][1:]}", text)) != text:
        text = split
    return text
