"""Answers to the tool calls of a model, as messages of OpenAI, Anthropic and Gemini.

Pictures go where each provider takes them: Anthropic and OpenAI's responses inside of the tool's result, chat
completions and Gemini in the message of the user that follows all results.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args

from keyframe_llm.errors import OptionsError
from keyframe_llm.tools.blocks import JPEG_TYPE, ImageBlock, TextBlock

__all__ = ["Answer", "Provider", "ToolCall", "answer_messages", "tool_calls"]

Provider = Literal["openai", "openai-responses", "anthropic", "gemini"]

Block = TextBlock | ImageBlock
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that a model made."""

    id: str | None
    name: str
    arguments: Mapping[str, Any] | str
    """An object, or JSON of one."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call came to: blocks of text and pictures, or the message of an error."""

    call: ToolCall
    blocks: Sequence[Block]
    is_error: bool = False

    @property
    def text(self) -> str:
        """The first block: the result as JSON, or the error."""
        return self.blocks[0].text if isinstance(self.blocks[0], TextBlock) else ""

    @property
    def pictures(self) -> Sequence[Block]:
        """The times and pictures that follow."""
        return self.blocks[1:]


def tool_calls(calls: Iterable[Any], provider: Provider) -> list[ToolCall]:
    """The calls in what a provider returned, as objects of its SDK or as plain dictionaries.

    `calls` are, for `openai`, `message.tool_calls`; for `openai-responses`, `response.output`; for
    `anthropic`, `message.content`; for `gemini`, `response.candidates[0].content.parts` or
    `response.function_calls`. What is no call is left out. Raises `OptionsError` for another provider.
    """
    read = _known(_READERS, provider)
    return [call for item in calls if (call := read(item)) is not None]


def answer_messages(answers: Sequence[Answer], provider: Provider) -> list[dict[str, Any]]:
    """The messages that answer all calls of one turn. Raises `OptionsError` for another provider."""
    return list(_known(_WRITERS, provider)(answers))


def _known(table: Mapping[str, T], provider: str) -> T:
    if provider not in table:
        raise OptionsError(f"provider is {provider!r}; choose one of {', '.join(get_args(Provider))}")
    return table[provider]


def _get(item: Any, name: str) -> Any:
    return item.get(name) if isinstance(item, Mapping) else getattr(item, name, None)


# Reading calls -------------------------------------------------------------------------------------------


def _openai_call(item: Any) -> ToolCall | None:
    function = _get(item, "function")
    return (
        None
        if function is None
        else ToolCall(_get(item, "id"), _get(function, "name"), _get(function, "arguments") or {})
    )


def _responses_call(item: Any) -> ToolCall | None:
    if _get(item, "type") != "function_call":
        return None
    return ToolCall(_get(item, "call_id"), _get(item, "name"), _get(item, "arguments") or {})


def _anthropic_call(item: Any) -> ToolCall | None:
    if _get(item, "type") != "tool_use":
        return None
    return ToolCall(_get(item, "id"), _get(item, "name"), _get(item, "input") or {})


def _gemini_call(item: Any) -> ToolCall | None:
    inner = _get(item, "function_call") or _get(item, "functionCall")
    call = inner if inner is not None else item
    name = _get(call, "name")
    return ToolCall(_get(call, "id"), name, _get(call, "args") or {}) if isinstance(name, str) else None


# Writing answers -----------------------------------------------------------------------------------------


def _openai(answers: Sequence[Answer]) -> Iterator[dict[str, Any]]:
    for answer in answers:
        yield {"role": "tool", "tool_call_id": answer.call.id, "content": answer.text}
    pictures = [_openai_part(block) for block in _labelled(answers)]
    if pictures:
        yield {"role": "user", "content": pictures}


def _openai_part(block: Block) -> dict[str, Any]:
    if isinstance(block, TextBlock):
        return {"type": "text", "text": block.text}
    return {"type": "image_url", "image_url": {"url": _data_url(block)}}


def _responses(answers: Sequence[Answer]) -> Iterator[dict[str, Any]]:
    for answer in answers:
        output: Any = [_responses_part(block) for block in answer.blocks]
        yield {
            "type": "function_call_output",
            "call_id": answer.call.id,
            "output": output if answer.pictures else answer.text,
        }


def _responses_part(block: Block) -> dict[str, Any]:
    if isinstance(block, TextBlock):
        return {"type": "input_text", "text": block.text}
    return {"type": "input_image", "image_url": _data_url(block)}


def _anthropic(answers: Sequence[Answer]) -> Iterator[dict[str, Any]]:
    yield {
        "role": "user",
        "content": [
            {
                "type": "tool_result",
                "tool_use_id": answer.call.id,
                "content": [_anthropic_part(block) for block in answer.blocks],
                "is_error": answer.is_error,
            }
            for answer in answers
        ],
    }


def _anthropic_part(block: Block) -> dict[str, Any]:
    if isinstance(block, TextBlock):
        return {"type": "text", "text": block.text}
    source = {"type": "base64", "media_type": JPEG_TYPE, "data": block.base64}
    return {"type": "image", "source": source}


def _gemini(answers: Sequence[Answer]) -> Iterator[dict[str, Any]]:
    yield {"role": "user", "parts": [{"function_response": _gemini_response(answer)} for answer in answers]}
    pictures = [_gemini_part(block) for block in _labelled(answers)]
    if pictures:
        yield {"role": "user", "parts": pictures}


def _gemini_response(answer: Answer) -> dict[str, Any]:
    response = {"error": answer.text} if answer.is_error else json.loads(answer.text)
    own_id = {} if answer.call.id is None else {"id": answer.call.id}
    return {**own_id, "name": answer.call.name, "response": response}


def _gemini_part(block: Block) -> dict[str, Any]:
    if isinstance(block, TextBlock):
        return {"text": block.text}
    return {"inline_data": {"mime_type": JPEG_TYPE, "data": block.base64}}


def _labelled(answers: Sequence[Answer]) -> Iterator[Block]:
    """The pictures of all answers, those of each after a line that says where they come from."""
    for answer in answers:
        if answer.pictures:
            yield TextBlock(f"Pictures of the result of {answer.call.name} (call {answer.call.id}):")
            yield from answer.pictures


def _data_url(block: ImageBlock) -> str:
    return f"data:{JPEG_TYPE};base64,{block.base64}"


_READERS: Mapping[str, Callable[[Any], ToolCall | None]] = {
    "openai": _openai_call,
    "openai-responses": _responses_call,
    "anthropic": _anthropic_call,
    "gemini": _gemini_call,
}
_WRITERS: Mapping[str, Callable[[Sequence[Answer]], Iterator[dict[str, Any]]]] = {
    "openai": _openai,
    "openai-responses": _responses,
    "anthropic": _anthropic,
    "gemini": _gemini,
}
