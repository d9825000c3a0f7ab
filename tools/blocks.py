"""A tool's result as content blocks: the JSON first, then the time and the picture of each key frame."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from keyframe_llm.tools.pictures import Pictures

__all__ = ["JPEG_TYPE", "ImageBlock", "TextBlock", "picture_names", "result_blocks", "result_text"]

JPEG_TYPE = "image/jpeg"


@dataclass(frozen=True, slots=True)
class TextBlock:
    """A piece of text: the result as JSON, or the time of the picture that follows."""

    text: str


@dataclass(frozen=True, slots=True)
class ImageBlock:
    """A picture as a JPEG file."""

    jpeg: bytes

    @property
    def base64(self) -> str:
        """The JPEG file in base64."""
        return base64.b64encode(self.jpeg).decode("ascii")


def result_text(result: Mapping[str, Any]) -> str:
    """A result as JSON."""
    return json.dumps(result, ensure_ascii=False)


def result_blocks(result: Mapping[str, Any], pictures: Pictures) -> Iterator[TextBlock | ImageBlock]:
    """Yield the blocks of a result; `pictures` holds the images it refers to.

    Raises `ToolError` where a picture is not kept any more.
    """
    yield TextBlock(result_text(result))
    for label, name in picture_names(result):
        yield TextBlock(label)
        yield ImageBlock(pictures.read(name))


def picture_names(result: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The pictures that a result refers to, each with a label: the time of its frame, or what it is."""
    for frame in [*result.get("keyframes", []), *result.get("frames", [])]:
        if frame["image"] is not None:
            yield f"[{frame['seconds']:.1f}s]", frame["image"]
    for match in result.get("matches", []):
        if match["image"] is not None:
            yield f"[{match['video']}, {match['time']}]", match["image"]
    if "image" in result:
        yield "[contact sheet]", result["image"]
