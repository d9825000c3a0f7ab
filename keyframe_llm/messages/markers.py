"""The markers of a model in the texts of a conversation: data, split as `keyframe_llm.markers` says."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from keyframe_llm.markers import marker_pattern, split_markers
from keyframe_llm.messages.formats import Messages

__all__ = ["without_markers"]


def without_markers(messages: Messages, markers: Iterable[str] = ()) -> Messages:
    """The same conversation with every marker in its texts split by a space.

    `markers` are those of the model's tokenizer, beside the common form `<|name|>`.
    """
    pattern = marker_pattern(markers)
    return [_message(message, pattern) for message in messages]


def _message(message: dict[str, Any], pattern: re.Pattern[str]) -> dict[str, Any]:
    content = message["content"]
    if isinstance(content, str):
        return {**message, "content": split_markers(content, pattern)}
    return {**message, "content": [_part(part, pattern) for part in content]}


def _part(part: Any, pattern: re.Pattern[str]) -> Any:
    if not isinstance(part, dict) or not isinstance(part.get("text"), str):
        return part
    text = split_markers(part["text"], pattern)
    return part if text == part["text"] else {**part, "text": text}
