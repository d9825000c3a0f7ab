"""What the same question would cost with the model's default sampling: two frames a second.

The limits are those of qwen-vl-utils 0.0.14, which Qwen's README uses: 4–768 frames, an even number of them,
each of 128–768 tokens' pixels, all together at most 90 % of 128,000 tokens.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from keyframe_llm.data import VideoInfo

__all__ = ["DEFAULT_FPS", "SamplingCost", "default_cost", "frames_at", "tokens_of_video"]

DEFAULT_FPS = 2.0
_FEWEST, _MOST = 4, 768
_LEAST_TOKENS, _MOST_TOKENS = 128, 768
_WHOLE_TOKENS = 128_000 * 0.9


@dataclass(frozen=True, slots=True)
class SamplingCost:
    """The prompt that the default sampling would make of the same question and video."""

    frames: int
    visual_tokens: int
    prompt_tokens: int
    """With the text of the key frames' prompt."""
    basis: str
    """How it was worked out."""


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
