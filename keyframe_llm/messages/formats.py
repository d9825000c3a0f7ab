"""Chat messages in the formats people use: Hugging Face, OpenAI chat and responses, Anthropic, vLLM's videos.

Hugging Face's is the one everything here is made in; `to_format` turns it into another. Pictures travel as
JPEG inside the message, no larger than `max_image_bytes`.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from keyframe_llm.errors import OptionsError
from keyframe_llm.jpeg import jpeg_data_url, jpeg_within, jpegs_of_one_size

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["MAX_IMAGE_BYTES", "Format", "Messages", "frame_runs", "is_frame", "to_format"]

Messages = list[dict[str, Any]]
Format = Literal["hf", "openai", "openai-video", "openai-responses", "anthropic"]

MAX_IMAGE_BYTES = 1_000_000
"""A picture's JPEG by default; Anthropic takes 5 MB, and some servers' proxies 10 MB for a whole request."""


def to_format(messages: Messages, format: Format, *, max_image_bytes: int = MAX_IMAGE_BYTES) -> Messages:
    """Messages of Hugging Face's chat format in another one; parts that are in it already stay as they are.

    A picture is a PIL image, a path, a `file://`, `data:` or `http(s)://` URL; web addresses are passed on,
    all others become a JPEG of at most `max_image_bytes`. `openai-video` is for vLLM: there, frames of
    `frame_messages` are one video, each twice, because Qwen's models fuse frames two by two; its times travel
    in a field of the request (see `video_fields`). Raises `OptionsError` on an unknown format, a
    picture that cannot be read, a part the format has no word for (a video: see `rewrite_messages`), and on
    a system message for Anthropic, which takes that text as an argument of its own.
    """
    if format not in get_args(Format):
        raise OptionsError(f"format is {format!r}; choose one of {', '.join(get_args(Format))}")
    if format == "hf":
        return messages
    return [_message(message, format, max_image_bytes) for message in messages]


def _message(message: dict[str, Any], format: Format, limit: int) -> dict[str, Any]:
    content = message["content"]
    if format == "anthropic" and message["role"] == "system":
        raise OptionsError(
            "Anthropic's messages have no system role; take the message out and pass its text as `system`"
        )
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    if format == "openai-video":
        content = [shown for run in frame_runs(parts) for shown in _shown(run, limit)]
        return {**message, "content": content}
    parts = [_plain(part) for part in parts]
    if format == "openai-responses" and message["role"] == "assistant":
        # An earlier answer goes in as plain text: its parts would need the ids of a real answer.
        texts = [part["text"] for part in parts if part.get("type") in ("text", "output_text")]
        if len(texts) == len(parts):
            return {**message, "content": "\n".join(texts)}
    return {**message, "content": [_part(part, format, limit) for part in parts]}


def frame_runs(parts: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The parts of a message in order; the times and images of one `frame_messages` together."""
    runs: list[list[dict[str, Any]]] = []
    for part in parts:
        if runs and _follows(part, runs[-1][-1]):
            runs[-1].append(part)
        else:
            runs.append([part])
    return runs


def is_frame(part: dict[str, Any]) -> bool:
    """Whether a part is the time or the image of a frame that `frame_messages` made."""
    return isinstance(part.get("frame"), dict)


def _follows(part: dict[str, Any], last: dict[str, Any]) -> bool:
    """Whether a part is of the frame of the last one, which was its time, or of the frame after it."""
    if not (is_frame(part) and is_frame(last)):
        return False
    step = 1 if last["type"] == "image" else 0
    return bool(part["frame"]["number"] == last["frame"]["number"] + step)


def _shown(run: list[dict[str, Any]], limit: int) -> list[dict[str, Any]]:
    """The frames of a run as one video of JPEGs, each twice; any other part as it is for `openai`."""
    if not is_frame(run[0]):
        return [_part(part, "openai", limit) for part in run]
    images = [_image(part) for part in run if part["type"] == "image"]
    encoded = [base64.b64encode(data).decode() for data in jpegs_of_one_size(images, limit)]
    data = ",".join(frame for frame in encoded for _ in range(2))
    return [{"type": "video_url", "video_url": {"url": f"data:video/jpeg;base64,{data}"}}]


def _plain(part: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in part.items() if key != "frame"}


def _part(part: dict[str, Any], format: Format, limit: int) -> dict[str, Any]:
    kind = part.get("type")
    if kind == "text":
        return {"type": "input_text", "text": part["text"]} if format == "openai-responses" else part
    if kind == "image" and "source" not in part:
        return _picture(_address(part, limit), format)
    if kind == "image_url" and format != "openai":
        address = part["image_url"]
        return _picture(address["url"] if isinstance(address, dict) else address, format)
    if kind in ("video", "video_url"):
        raise OptionsError(
            "a message still holds a video; call keyframe_llm.conversation.rewrite_messages first"
        )
    return part


def _address(part: dict[str, Any], limit: int) -> str:
    """An `http` or `data:` URL of a Hugging Face image part."""
    source = _source(part)
    if isinstance(source, str) and source.startswith(("http://", "https://", "data:")):
        return source
    return jpeg_data_url(jpeg_within(_image(part), limit))


def _source(part: dict[str, Any]) -> Any:
    return next((part[key] for key in ("image", "url", "path", "base64") if key in part), None)


def _image(part: dict[str, Any]) -> Image.Image:
    """The picture of a Hugging Face image part that holds one, or its path."""
    from PIL import Image, UnidentifiedImageError

    image = _source(part)
    if isinstance(image, (str, Path)):
        name = str(image).removeprefix("file://")
        try:
            with Image.open(name) as opened:
                image = opened.convert("RGB")
        except (OSError, UnidentifiedImageError) as error:
            raise OptionsError(f"the picture {name!r} cannot be read ({error}); check its path") from error
    if not isinstance(image, Image.Image):
        raise OptionsError(f"an image part holds {type(image).__name__}; give a PIL image, a path or a URL")
    return image


def _picture(address: str, format: Format) -> dict[str, Any]:
    if format == "openai":
        return {"type": "image_url", "image_url": {"url": address}}
    if format == "openai-responses":
        return {"type": "input_image", "image_url": address, "detail": "auto"}
    if not address.startswith("data:"):
        return {"type": "image", "source": {"type": "url", "url": address}}
    head, _, data = address.partition(",")
    media = head.removeprefix("data:").partition(";")[0]
    return {"type": "image", "source": {"type": "base64", "media_type": media, "data": data}}
