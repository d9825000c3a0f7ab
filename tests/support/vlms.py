"""Video-LLMs of one's own: what a user writes, no more."""

from __future__ import annotations

from typing import Any

__all__ = ["Answers", "Counts", "pictures_in", "texts_in"]


def pictures_in(messages: Any) -> int:
    """How many pictures a conversation holds."""
    return sum(part["type"] == "image" for message in messages for part in message["content"])


def texts_in(messages: Any) -> list[str]:
    """The texts of a conversation, in order."""
    return [part["text"] for message in messages for part in message["content"] if part["type"] == "text"]


class Answers:
    """Answers every conversation with one text, and keeps the last text of each; it has `generate` alone."""

    def __init__(self, text: str) -> None:
        self.text, self.texts = text, list[str]()

    def generate(self, messages: Any) -> str:
        self.texts.append(texts_in(messages)[-1])
        return self.text


class Counts:
    """Answers how many pictures it was shown; it has `generate` alone."""

    def generate(self, messages: Any, max_new_tokens: int = 128) -> str:
        return f" {pictures_in(messages)} pictures\n"
