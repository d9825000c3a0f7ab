"""What a prompt of key frames costs before it is sent, and what the default sampling would cost instead.

The default sampling is two frames a second. Its limits are those of qwen-vl-utils 0.0.14, which Qwen's
README uses: 4–768 frames, an even number of them, each of 128–768 tokens' pixels, all together at most 90 %
of 128,000 tokens.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from keyframe_llm.data import Frames, VideoInfo
from keyframe_llm.errors import check_number
from keyframe_llm.jpeg import jpeg_within
from keyframe_llm.messages import MAX_IMAGE_BYTES, Layout, Messages, laid_out
from keyframe_llm.vlm.counting import TokenCounter

__all__ = [
    "DEFAULT_FPS",
    "PictureTokens",
    "PromptCost",
    "SamplingCost",
    "default_cost",
    "frames_at",
    "picture_tokens",
    "prompt_cost",
    "tokens_of_pictures",
    "tokens_of_video",
]

PictureTokens = Callable[[int, int, int], int]
"""The visual tokens of so many key frames, given their number, width and height in pixels."""

DEFAULT_FPS = 2.0
_FEWEST, _MOST = 4, 768
_LEAST_TOKENS, _MOST_TOKENS = 128, 768
_WHOLE_TOKENS = 128_000 * 0.9


@dataclass(frozen=True, slots=True)
class PromptCost:
    """What one prompt of key frames costs, known before the model is asked."""

    frames: int
    """How many key frames it shows."""
    pictures: tuple[tuple[int, int], ...]
    """(width, height) of each picture in it, in pixels; one picture holds all frames of a sheet."""
    picture_bytes: int
    """Their size as the JPEG files that a server would be sent, in bytes."""
    prompt_tokens: int | None
    """Tokens of the whole prompt; None where nothing on this machine counts for the model."""
    visual_tokens: int | None
    """Those of them that stand for pictures."""
    price: float | None
    """The prompt's price, in the currency of the price that was given; None without one."""
    default_sampling: SamplingCost | None
    """What the same prompt would cost with two frames a second; None where that is not known."""


@dataclass(frozen=True, slots=True)
class SamplingCost:
    """The prompt that the default sampling would make of the same question and video."""

    frames: int
    visual_tokens: int
    prompt_tokens: int
    """With the text of the key frames' prompt."""
    basis: str
    """How it was worked out."""


def prompt_cost(
    video: VideoInfo,
    frames: int,
    messages: Messages,
    counter: TokenCounter | None,
    *,
    price_per_million: float | None = None,
) -> PromptCost:
    """Work out what messages with so many key frames of a video cost.

    `counter` counts for the model (see `token_counter`); without one the tokens are not known.
    `price_per_million` is the price of a million prompt tokens. Raises `OptionsError` on one below 0.
    """
    if price_per_million is not None:
        price_per_million = check_number("price_per_million", price_per_million, 0)
    prompt, visual = (counter.count_tokens(messages) if counter else None) or (None, None)
    pictures = [part["image"] for part in messages[0]["content"] if part["type"] == "image"]
    usual = None
    if prompt is not None and visual is not None:
        counts = {"keyframes": frames, "prompt_tokens": prompt, "visual_tokens": visual}
        usual = default_cost(video, counter, **counts)
    price = None
    if prompt is not None and price_per_million is not None:
        price = prompt * price_per_million / 1e6
    return PromptCost(
        frames=frames,
        pictures=tuple(picture.size for picture in pictures),
        picture_bytes=sum(len(jpeg_within(picture, MAX_IMAGE_BYTES)) for picture in pictures),
        prompt_tokens=prompt,
        visual_tokens=visual,
        price=price,
        default_sampling=usual,
    )


def tokens_of_pictures(counter: TokenCounter | None, layout: Layout = "images") -> PictureTokens:
    """What key frames cost a model: by its counter, without one by Qwen2.5-VL's 28 × 28 pixels a token."""

    def tokens(count: int, width: int, height: int) -> int:
        single = 1 if layout == "images" else count  # pictures of one size cost the same
        frames = Frames(np.zeros((single, height, width, 3), np.uint8), np.arange(single, dtype=np.float64))
        messages = laid_out(frames, layout=layout)
        counted = counter.count_tokens(messages) if counter else None
        if counted is None:
            sides = [part["image"].size for part in messages[0]["content"] if part["type"] == "image"]
            return count // single * sum(picture_tokens(*size) for size in sides)
        return count // single * counted[1]

    return tokens


def picture_tokens(width: int, height: int) -> int:
    """The tokens of one picture in Qwen2.5-VL: 28 × 28 pixels each, from 4 to 16,384 of them."""
    rows, columns = _grid(height, width, 28, 4 * 28**2, 16_384 * 28**2)
    return rows * columns


def default_cost(
    video: VideoInfo, model: Any, *, keyframes: int, prompt_tokens: int, visual_tokens: int
) -> SamplingCost | None:
    """Work it out from what the key frames cost; None where the video's length is not known.

    A model that says its `video_grid` (Qwen's do) is counted by it; of any other, each frame is taken to
    cost what a key frame does.
    """
    if not video.duration_seconds:
        return None
    frames = frames_at(video.duration_seconds)
    grid = getattr(model, "video_grid", None)
    if grid is not None:
        visual = tokens_of_video(frames, video.height, video.width, *grid)
        basis = "2 frames a second within qwen-vl-utils' limits, fused two by two"
    else:
        visual = round(frames * visual_tokens / max(1, keyframes))
        basis = "2 frames a second, 4 to 768, each at a key frame's tokens"
    return SamplingCost(frames, visual, prompt_tokens - visual_tokens + visual, basis)


def frames_at(duration_seconds: float, fps: float = DEFAULT_FPS) -> int:
    """How many frames the default sampling takes of a video: an even number from 4 to 768."""
    wanted = min(max(duration_seconds * fps, _FEWEST), _MOST)
    return max(2, math.floor(wanted / 2) * 2)


def tokens_of_video(
    frames: int, height: int, width: int, side: int = 28, fused: int = 2, most_pixels: int | None = None
) -> int:
    """The tokens of so many frames; a token covers `side` × `side` pixels of `fused` frames.

    `most_pixels` bounds a frame further, where the model's own processor does.
    """
    area = side * side
    least = _LEAST_TOKENS * area
    most = max(min(_MOST_TOKENS * area, _WHOLE_TOKENS * area / frames * 2), int(least * 1.05))
    if most_pixels is not None:
        least, most = min(least, most_pixels), min(most, most_pixels)
    rows, columns = _grid(height, width, side, least, most)
    return math.ceil(frames / fused) * rows * columns


def _grid(height: int, width: int, side: int, least: float, most: float) -> tuple[int, int]:
    rows, columns = max(1, round(height / side)), max(1, round(width / side))
    if rows * columns * side * side > most:
        scale = math.sqrt(height * width / most)
        return max(1, math.floor(height / scale / side)), max(1, math.floor(width / scale / side))
    if rows * columns * side * side < least:
        scale = math.sqrt(least / (height * width))
        return math.ceil(height * scale / side), math.ceil(width * scale / side)
    return rows, columns
