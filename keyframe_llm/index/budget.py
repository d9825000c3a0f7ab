"""A budget of visual tokens: how many key frames it holds, and how large they may be."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.cost import PictureTokens
from keyframe_llm.data import Frames
from keyframe_llm.errors import OptionsError

__all__ = ["affordable_size", "resized"]

_LEAST_PIXELS = 128 * 28 * 28
"""Several frames are made no smaller than this: the least that qwen-vl-utils gives a frame."""
_LEAST_SIDE = 28
_STEPS = 12


def affordable_size(
    count: int, width: int, height: int, budget: int, tokens: PictureTokens
) -> tuple[int, int] | None:
    """The largest (width, height), in pixels, at which so many frames cost at most `budget` visual tokens.

    Frames keep their shape and are never enlarged. None where several do not fit even when small. Raises
    `OptionsError` where not even one small frame fits.
    """
    if tokens(count, width, height) <= budget:
        return width, height
    low = _least_scale(count, width, height)
    smallest = tokens(count, *_scaled(width, height, low))
    if smallest > budget:
        if count > 1:
            return None
        raise OptionsError(
            f"token_budget is {budget}, but one small picture costs {smallest} tokens; give at least that"
        )
    high = 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        fits = tokens(count, *_scaled(width, height, middle)) <= budget
        low, high = (middle, high) if fits else (low, middle)
    return _scaled(width, height, low)


def resized(frames: Frames, size: tuple[int, int]) -> Frames:
    """The frames at that (width, height) in pixels."""
    from PIL import Image

    if frames.images.shape[1:3] == (size[1], size[0]):
        return frames
    smaller: list[NDArray[np.uint8]] = [
        np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS)) for image in frames.images
    ]
    return Frames(np.stack(smaller), frames.seconds)


def _least_scale(count: int, width: int, height: int) -> float:
    """How far frames may be scaled down: several to a readable size, one to the side of a patch."""
    if count > 1:
        return min(1.0, math.sqrt(_LEAST_PIXELS / (width * height)))
    return min(1.0, _LEAST_SIDE / min(width, height))


def _scaled(width: int, height: int, scale: float) -> tuple[int, int]:
    return max(1, round(width * scale)), max(1, round(height * scale))
