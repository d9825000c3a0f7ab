"""Tool calls of a model are answered in messages that its provider takes."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from keyframe_llm.demos.videos import demo_video

pytest.importorskip("pydantic", reason="pydantic is not installed (the `agents` extra)")

from keyframe_llm.errors import OptionsError
from keyframe_llm.tools import Toolbox

LOOK = {"video": "three_scenes.mp4", "start_seconds": 6.5, "end_seconds": 10.5, "max_frames": 2}
WRONG = {"video": "nope.mp4"}


@pytest.fixture(scope="module")
def toolbox() -> Iterator[Toolbox]:
    with Toolbox(roots=[demo_video().parent]) as made:
        yield made


def check_result(text: str, pictures: list[str], labels: list[str]) -> None:
    """The result, and a picture of each key frame under its time."""
    frames = json.loads(text)["keyframes"]
    assert len(pictures) == len(frames) > 0
    assert [f"[{frame['seconds']:.1f}s]" for frame in frames] == labels
    for picture in pictures:
        assert Image.open(io.BytesIO(base64.b64decode(picture))).size == (480, 360)


def of_url(url: str) -> str:
    assert url.startswith("data:image/jpeg;base64,")
    return url.partition(",")[2]


@pytest.mark.parametrize("objects", [False, True])
def test_chat_completions_take_pictures_after_all_results(toolbox: Toolbox, objects: bool) -> None:
    calls: list[Any] = [
        {
            "id": "a",
            "type": "function",
            "function": {"name": "select_keyframes", "arguments": json.dumps(args)},
        }
        for args in (LOOK, WRONG)
    ]
    if objects:
        calls = [SimpleNamespace(id=c["id"], function=SimpleNamespace(**c["function"])) for c in calls]
    found, missing, shown = toolbox.answer_calls(calls, "openai")
    assert (found["role"], found["tool_call_id"]) == ("tool", "a")
    assert missing["role"] == "tool" and "there is no video" in missing["content"]
    intro, *parts = shown["content"]
    assert shown["role"] == "user" and "select_keyframes" in intro["text"]
    pictures = [of_url(part["image_url"]["url"]) for part in parts[1::2]]
    check_result(found["content"], pictures, [part["text"] for part in parts[::2]])


def test_chat_completions_without_pictures_are_results_alone(toolbox: Toolbox) -> None:
    call = {
        "id": "a",
        "function": {"name": "select_keyframes", "arguments": {**LOOK, "include_images": False}},
    }
    (message,) = toolbox.answer_calls([call])
    assert message["role"] == "tool"


def test_the_responses_of_openai_hold_pictures_in_the_output(toolbox: Toolbox) -> None:
    items = [
        {"type": "message", "content": []},
        {"type": "function_call", "call_id": "a", "name": "select_keyframes", "arguments": json.dumps(LOOK)},
        {"type": "function_call", "call_id": "b", "name": "select_keyframes", "arguments": json.dumps(WRONG)},
    ]
    found, missing = toolbox.answer_calls(items, "openai-responses")
    assert (found["type"], found["call_id"]) == ("function_call_output", "a")
    text, *parts = found["output"]
    pictures = [of_url(part["image_url"]) for part in parts[1::2]]
    check_result(text["text"], pictures, [part["text"] for part in parts[::2]])
    assert missing["call_id"] == "b" and "there is no video" in missing["output"]


def test_anthropic_takes_all_results_in_one_message(toolbox: Toolbox) -> None:
    content = [
        {"type": "text", "text": "I look at the video."},
        {"type": "tool_use", "id": "a", "name": "select_keyframes", "input": LOOK},
        {"type": "tool_use", "id": "b", "name": "select_keyframes", "input": WRONG},
    ]
    (message,) = toolbox.answer_calls(content, "anthropic")
    found, missing = message["content"]
    assert message["role"] == "user" and (found["tool_use_id"], found["is_error"]) == ("a", False)
    text, *parts = found["content"]
    pictures = [part["source"]["data"] for part in parts[1::2]]
    check_result(text["text"], pictures, [part["text"] for part in parts[::2]])
    assert missing["is_error"] and "there is no video" in missing["content"][0]["text"]


def test_gemini_takes_pictures_after_all_results(toolbox: Toolbox) -> None:
    parts = [
        {"text": "I look at the video."},
        {"function_call": {"name": "select_keyframes", "args": LOOK}},
        {"functionCall": {"id": "b", "name": "select_keyframes", "args": WRONG}},
    ]
    results, shown = toolbox.answer_calls(parts, "gemini")
    found, missing = (part["function_response"] for part in results["parts"])
    _, *pictures = shown["parts"]
    data = [part["inline_data"]["data"] for part in pictures[1::2]]
    check_result(json.dumps(found["response"]), data, [part["text"] for part in pictures[::2]])
    assert missing["id"] == "b" and "there is no video" in missing["response"]["error"]
    named = [SimpleNamespace(name="select_keyframes", args={**LOOK, "include_images": False}, id=None)]
    assert len(toolbox.answer_calls(named, "gemini")) == 1


def test_an_unknown_tool_is_an_answer_too(toolbox: Toolbox) -> None:
    (message,) = toolbox.answer_calls([{"id": "a", "function": {"name": "juggle", "arguments": "{}"}}])
    assert "there is no tool 'juggle'" in message["content"]


def test_an_unknown_provider_is_refused(toolbox: Toolbox) -> None:
    with pytest.raises(OptionsError, match="provider is 'acme'; choose one of openai"):
        toolbox.answer_calls([], "acme")  # type: ignore[arg-type]  # a wrong name, on purpose


def test_the_messages_are_what_the_sdks_declare(toolbox: Toolbox) -> None:
    """The types of the providers' own packages, where they are installed, accept the messages."""
    from pydantic import TypeAdapter

    openai = pytest.importorskip("openai.types.chat", reason="openai is not installed (the `server` extra)")
    anthropic = pytest.importorskip("anthropic.types", reason="anthropic is not installed")
    chat = [{"id": "a", "function": {"name": "select_keyframes", "arguments": LOOK}}]
    for message in toolbox.answer_calls(chat, "openai"):
        TypeAdapter(openai.ChatCompletionMessageParam).validate_python(message)
    used = [{"type": "tool_use", "id": "a", "name": "select_keyframes", "input": LOOK}]
    for message in toolbox.answer_calls(used, "anthropic"):
        TypeAdapter(anthropic.MessageParam).validate_python(message)
    from openai.types.responses import ResponseInputItemParam

    item = {"type": "function_call", "call_id": "a", "name": "select_keyframes", "arguments": LOOK}
    for message in toolbox.answer_calls([item], "openai-responses"):
        TypeAdapter(ResponseInputItemParam).validate_python(message)
