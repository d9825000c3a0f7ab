"""Key frames in every message format, and whole conversations with their videos replaced."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from keyframe_llm import OptionsError, VideoError, select_keyframes
from keyframe_llm.conversation import guiding_questions, rewrite_messages
from keyframe_llm.jpeg import jpeg_within
from keyframe_llm.messages.formats import to_format


@pytest.fixture
def encoder(videos: ModuleType) -> Any:
    return videos.ColourEncoder()


def decoded(data: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def pictures(parts: list[dict[str, Any]], format: str) -> list[np.ndarray]:
    """Read the pictures back from where each API has them."""
    found = []
    for part in parts:
        if format == "hf" and part["type"] == "image":
            found.append(np.asarray(part["image"]))
        elif format == "openai" and part["type"] == "image_url":
            found.append(decoded(part["image_url"]["url"].removeprefix("data:image/jpeg;base64,")))
        elif format == "openai-responses" and part["type"] == "input_image":
            found.append(decoded(part["image_url"].removeprefix("data:image/jpeg;base64,")))
        elif format == "anthropic" and part["type"] == "image":
            assert (part["source"]["type"], part["source"]["media_type"]) == ("base64", "image/jpeg")
            found.append(decoded(part["source"]["data"]))
    return found


FORMATS = ("hf", "openai", "openai-responses", "anthropic")


@pytest.mark.parametrize("format", FORMATS)
def test_times_and_pictures_can_be_read_back_from_every_format(
    format: Any, flags: Path, encoder: Any, videos: ModuleType
) -> None:
    found = select_keyframes(flags, question="Is the flag blue?", encoder=encoder)
    (message,) = found.to_messages(format=format)
    texts = [part["text"] for part in message["content"] if "text" in part["type"]]
    assert message["role"] == "user"
    assert texts == [*(f"[{second:.1f}s]" for second in found.seconds), "Is the flag blue?"]
    read = pictures(message["content"], format)
    assert [videos.flag_of(image) for image in read] == [videos.flag_at(s) for s in found.seconds]
    for image, frame in zip(read, found.frames.images, strict=True):
        assert image.shape == frame.shape and np.abs(image.astype(int) - frame).mean() < 8


def check_declared(kind: Any, values: list[Any]) -> None:
    """Each is of the declared type, with every key known: pydantic leaves out those that are not."""
    from pydantic import TypeAdapter

    for value in values:
        assert TypeAdapter(kind).validate_python(value) == value


def converted(flags: Path, format: Any) -> tuple[list[Any], list[Any]]:
    """A question with key frames and an answer: the messages without parts, and the parts of the first."""
    messages = select_keyframes(flags).to_messages("What?")
    web = {"type": "image", "url": "https://example.org/a.jpg"}
    talk = [
        {"role": "user", "content": [*messages[0]["content"], web]},
        {"role": "assistant", "content": "A flag."},
    ]
    question, answer = to_format(talk, format)
    assert len(question["content"]) == len(talk[0]["content"]) > 3
    return [{**question, "content": "?"}, {**answer, "content": "!"}], [*question["content"]]


def test_openais_client_declares_the_parts_as_they_are_made(flags: Path) -> None:
    pytest.importorskip("openai", reason="openai is not installed (the `server` extra)")
    from openai.types.chat import ChatCompletionContentPartParam, ChatCompletionMessageParam
    from openai.types.responses import EasyInputMessageParam, ResponseInputContentParam

    messages, parts = converted(flags, "openai")
    check_declared(ChatCompletionMessageParam, messages)
    check_declared(ChatCompletionContentPartParam, parts)
    messages, parts = converted(flags, "openai-responses")
    check_declared(EasyInputMessageParam, messages)
    check_declared(ResponseInputContentParam, parts)


def test_anthropics_client_declares_the_parts_as_they_are_made(flags: Path) -> None:
    pytest.importorskip("anthropic", reason="anthropic is not installed (the `dev` extra)")
    from anthropic.types import ImageBlockParam, MessageParam, TextBlockParam

    messages, parts = converted(flags, "anthropic")
    check_declared(MessageParam, messages)
    check_declared(TextBlockParam | ImageBlockParam, parts)


@pytest.mark.parametrize("limit", [200_000, 60_000, 5_000])
def test_a_picture_is_never_larger_than_its_bound_and_no_smaller_than_needed(limit: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (720, 1280, 3), dtype=np.uint8)
    data = jpeg_within(Image.fromarray(noise), limit)
    assert limit / 3 < len(data) <= limit
    size = Image.open(io.BytesIO(data)).size
    assert size[0] / size[1] == pytest.approx(16 / 9, rel=0.05)
    flat = Image.new("RGB", (1280, 720), "red")
    assert Image.open(io.BytesIO(jpeg_within(flat, 60_000))).size == (1280, 720)
    with pytest.raises(OptionsError, match="max_image_bytes is 10"):
        jpeg_within(flat, 10)


def test_pictures_of_other_kinds_are_carried_over(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8), "red").save(tmp_path / "red.png")
    parts = [
        {"type": "image", "image": f"file://{tmp_path / 'red.png'}"},
        {"type": "image", "url": "https://example.org/a.jpg"},
        {"type": "text", "text": "What?"},
    ]
    messages = [{"role": "user", "content": parts}, {"role": "assistant", "content": "A flag."}]
    chat, answer = to_format(messages, "openai")
    assert chat["content"][0]["image_url"]["url"].startswith("data:image/jpeg;base64,")
    assert chat["content"][1]["image_url"]["url"] == "https://example.org/a.jpg"
    assert answer["content"] == [{"type": "text", "text": "A flag."}]
    assert to_format(messages, "openai-responses")[1] == {"role": "assistant", "content": "A flag."}
    claude = to_format(messages, "anthropic")[0]["content"]
    assert claude[1]["source"] == {"type": "url", "url": "https://example.org/a.jpg"}
    assert to_format(to_format(messages, "openai"), "anthropic") == to_format(messages, "anthropic")
    assert to_format(messages, "hf") == messages


@pytest.mark.parametrize(
    ("message", "format", "says"),
    [
        ({"role": "user", "content": "x"}, "gemini", "format is 'gemini'"),
        ({"role": "system", "content": "x"}, "anthropic", "pass its text as `system`"),
        ({"role": "user", "content": [{"type": "video", "video": "v.mp4"}]}, "openai", "rewrite_messages"),
        ({"role": "user", "content": [{"type": "image", "image": "no.png"}]}, "openai", "'no.png' cannot be"),
        ({"role": "user", "content": [{"type": "image", "image": 3}]}, "openai", "holds int"),
    ],
)
def test_what_a_format_cannot_hold_is_an_error(message: Any, format: Any, says: str) -> None:
    with pytest.raises(OptionsError, match=says):
        to_format([message], format)


def test_every_video_of_a_conversation_is_replaced_and_nothing_else(
    flags: Path, encoder: Any, videos: ModuleType
) -> None:
    picture = Image.new("RGB", (8, 8))
    conversation = [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "image", "image": picture},
                {"type": "video", "video": str(flags), "max_frames": 1, "min_gap_seconds": 0.0},
                {"type": "text", "text": "Is there a blue flag?"},
            ],
        },
        {"role": "assistant", "content": [{"type": "text", "text": "Yes."}]},
        {
            "role": "user",
            "content": [
                {"type": "video_url", "video_url": {"url": flags.as_uri()}, "max_frames": 1},
                {"type": "text", "text": "And a green one?"},
            ],
        },
    ]
    rewritten = rewrite_messages(conversation, encoder=encoder)
    assert rewritten[0] is conversation[0] and rewritten[2] is conversation[2]
    assert conversation[1]["content"][1]["type"] == "video"  # the caller's own is left alone
    first, second = rewritten[1]["content"], rewritten[3]["content"]
    assert first[0]["image"] is picture and first[-1] == conversation[1]["content"][-1]
    assert [part["type"] for part in first] == ["image", "text", "image", "text"]
    assert 14.0 <= float(first[1]["text"][1:-2]) < 16.0
    assert videos.flag_of(np.asarray(first[2]["image"])) == "blue"
    assert [part["type"] for part in second] == ["text", "image_url", "text"]
    assert videos.flag_of(pictures(second, "openai")[0]) == "green"
    assert encoder.texts == ["Is there a blue flag?", "And a green one?"]
    for format in ("openai", "openai-responses"):
        parts = rewrite_messages(conversation, format=format, encoder=encoder)[1]["content"]
        assert len(pictures(parts, format)) == 2


def test_a_part_says_what_it_wants_of_its_video(flags: Path, encoder: Any) -> None:
    part = {
        "type": "video",
        "video": flags,
        "caption": "red",
        "question": "",
        "video_start": 4,
        "max_frames": 2,
    }
    messages = [{"role": "user", "content": [part | {"video_end": 9.0, "min_gap_seconds": 1.0}]}]
    content = rewrite_messages(messages, encoder=encoder, max_frames=5)[0]["content"]
    times = [float(p["text"][1:-2]) for p in content if p["type"] == "text"]
    assert encoder.texts == ["red"] and 1 <= len(times) <= 2
    assert all(4.0 <= second <= 9.0 for second in times)


def test_a_video_is_guided_by_the_last_question_before_the_next_video() -> None:
    def user(*parts: str) -> dict[str, Any]:
        kinds = [
            {"type": "video", "video": p} if p.endswith("mp4") else {"type": "text", "text": p} for p in parts
        ]
        return {"role": "user", "content": kinds}

    answer = {"role": "assistant", "content": "Yes."}
    assert guiding_questions([user("a.mp4", "one?"), answer, user("two?")]) == ["two?", "", ""]
    assert guiding_questions([user("a.mp4", "one?"), answer, user("b.mp4", "two?")]) == ["one?", "", "two?"]
    assert guiding_questions([user("a.mp4", "b.mp4", "Compare.", "Well?")]) == ["Compare.\nWell?"]
    assert guiding_questions([user("what?"), user("a.mp4")]) == ["", "what?"]
    assert guiding_questions([user("a.mp4"), answer]) == [None, ""]


def test_a_video_that_cannot_be_opened_is_an_error() -> None:
    for source, error, says in (
        ("rtsp://example.org/v", VideoError, "is an address of 'rtsp'"),
        (["a.png"], OptionsError, "nothing says when the frames of a list were shown; give sample_fps"),
    ):
        with pytest.raises(error, match=says):
            rewrite_messages([{"role": "user", "content": [{"type": "video", "video": source}]}])
