"""Pictures of frames: how large they are, what they cost, parts of them, and many in one sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from keyframe_llm.data import Frames
from keyframe_llm.report.style import font
from keyframe_llm.tools.arguments import Detail
from keyframe_llm.tools.limits import Limits, ToolError
from keyframe_llm.tools.times import format_time

__all__ = [
    "cell_side",
    "cropped",
    "draw_sheet",
    "even_seconds",
    "fitted_size",
    "image_tokens",
    "picture_side",
    "sheet_side",
]

_LOW_SIDE = 256
_SHEET_SIDES: dict[Detail, int] = {"low": 512, "auto": 1024, "high": 1568}
_PIXELS_OF_TOKEN = 750
"""As Anthropic counts; a token of Qwen's models covers 784 pixels."""
_LEAST_LETTERS = 10


def picture_side(detail: Detail, limits: Limits) -> int:
    """The most pixels that a picture of one frame is wide or high."""
    sides: dict[Detail, int] = {
        "low": min(_LOW_SIDE, limits.image_side),
        "auto": limits.image_side,
        "high": max(limits.image_side, limits.high_image_side),
    }
    return sides[detail]


def sheet_side(detail: Detail, limits: Limits) -> int:
    """The most pixels that a contact sheet is wide or high."""
    return min(_SHEET_SIDES[detail], picture_side("high", limits))


def fitted_size(width: int, height: int, side: int) -> tuple[int, int]:
    """The size of a picture made smaller, its shape kept, to be at most `side` pixels wide and high."""
    scale = min(1.0, side / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def image_tokens(size: tuple[int, int]) -> int:
    """About how many tokens a picture of so many pixels, wide and high, costs."""
    return math.ceil(size[0] * size[1] / _PIXELS_OF_TOKEN)


def cropped(image: NDArray[np.uint8], box: Sequence[float] | None) -> NDArray[np.uint8]:
    """The part of an (H, W, 3) picture: left, top, right, bottom, as shares of width and height.

    Raises `ToolError` for a box that holds nothing.
    """
    if box is None:
        return image
    left, top, right, bottom = box
    if left >= right or top >= bottom:
        raise ToolError(
            f"box is {list(box)}; give left, top, right, bottom from 0 to 1, with left below right and top "
            "below bottom"
        )
    height, width = image.shape[:2]
    rows = slice(math.floor(top * height), math.ceil(bottom * height))
    return image[rows, math.floor(left * width) : math.ceil(right * width)]


def even_seconds(start: float, end: float, count: int) -> list[float]:
    """The middles of `count` equal parts of a window."""
    return [start + (i + 0.5) * (end - start) / count for i in range(count)]


def cell_side(count: int, side: int) -> int:
    """The most pixels that a frame of a contact sheet of `count` frames is wide or high."""
    return max(1, side // math.ceil(math.sqrt(count)))


def draw_sheet(frames: Frames, side: int) -> NDArray[np.uint8]:
    """Draw frames row by row into one (H, W, 3) picture at most `side` wide and high, each with its time."""
    columns = math.ceil(math.sqrt(len(frames)))
    height, width = frames.images.shape[1:3]
    width, height = fitted_size(width, height, cell_side(len(frames), side))
    sheet = Image.new("RGB", (columns * width, math.ceil(len(frames) / columns) * height), "white")
    for i, (image, second) in enumerate(zip(frames.images, frames.seconds, strict=True)):
        cell = Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS)
        _write(cell, format_time(round(float(second), 1)))
        sheet.paste(cell, (i % columns * width, i // columns * height))
    return np.asarray(sheet)


def _write(cell: Image.Image, text: str) -> None:
    """Write a text into the lower left corner, white on black."""
    letters = font(max(_LEAST_LETTERS, cell.height // 12), bold=True)
    draw = ImageDraw.Draw(cell)
    corner = (2, cell.height - 2)
    draw.rectangle(draw.textbbox(corner, text, letters, "ld"), fill="black")
    draw.text(corner, text, "white", letters, "ld")
