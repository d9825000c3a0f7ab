"""What the proposals compare: the colours of a picture, and colours with time beside them (Algorithm 1)."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyframe_llm.errors import OptionsError

__all__ = ["color_histogram", "spacetime"]

HUES, SATURATIONS, VALUES = 16, 4, 4


def color_histogram(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """HSV histograms, 16 × 4 × 4 = 256 bins, rows of length 1 (L2): (N, H, W, 3) RGB uint8 → (N, 256).

    One picture (H, W, 3) gives (1, 256). Bins are looked up by the upper 6 bits of each channel, 5 times as
    fast as converting every pixel. Raises `OptionsError` on any other shape or type.
    """
    pictures = np.asarray(images)
    if pictures.ndim == 3:
        pictures = pictures[None]
    if pictures.ndim != 4 or pictures.shape[3] != 3 or pictures.dtype != np.uint8 or 0 in pictures.shape[1:3]:
        raise OptionsError(f"images are {pictures.shape} {pictures.dtype}; give (N, H, W, 3) uint8 RGB")
    table = _bin_of_color()
    rows = np.empty((len(pictures), HUES * SATURATIONS * VALUES), np.float32)
    for row, picture in zip(rows, pictures, strict=True):
        level = (picture >> 2).astype(np.int32)
        color = (level[..., 0] << 12) | (level[..., 1] << 6) | level[..., 2]
        counts = np.bincount(table[color.ravel()], minlength=len(row))
        row[:] = counts / np.linalg.norm(counts)
    return rows


@cache
def _bin_of_color() -> NDArray[np.uint8]:
    from PIL import Image

    levels = np.arange(64, dtype=np.uint8) * 4 + 2
    colors = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1)
    hsv = np.asarray(Image.fromarray(colors.reshape(512, 512, 3)).convert("HSV"))
    hue, saturation, value = (hsv[..., i].ravel() for i in range(3))
    return np.asarray((hue >> 4 << 4) | (saturation >> 6 << 2) | (value >> 6), np.uint8)


def spacetime(histograms: ArrayLike, seconds: ArrayLike, gamma_time: float) -> NDArray[np.floating]:
    """STACFP's features [v; γ_time · t]: (N, d) histograms and (N,) ascending seconds → (N, d + 1).

    t runs from 0 at the first of these seconds to 1 at the last.
    """
    times = np.asarray(seconds, np.float64)
    span = float(times[-1] - times[0]) or 1.0
    return np.column_stack([np.asarray(histograms), gamma_time * (times - times[0]) / span])
