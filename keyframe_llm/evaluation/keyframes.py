"""Key frames against a ground truth of key frames: the TVSum20 protocol of colour-histogram matching."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyframe_llm.arrays import unit_rows
from keyframe_llm.errors import OptionsError

__all__ = ["KeyframeMatch", "bgr_histogram", "match_keyframes"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class KeyframeMatch:
    """How many predicted key frames match one of the ground truth."""

    matched: int
    predicted: int
    truth: int

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 0 where nothing matched."""
        return 2 * self.matched / (self.predicted + self.truth) if self.matched else 0.0


def bgr_histogram(image: NDArray[np.uint8]) -> Floats:
    """TVSum20's histogram of an (H, W, 3) RGB uint8 picture at its own size: (512,), 0–1.

    8 × 8 × 8 bins over blue, green, red from 0 to 255, the upper bound left out as OpenCV's `calcHist` with
    `[0, 255]` does (a pixel with a channel at 255 is not counted), then min–max.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise OptionsError(f"image is {image.shape} {image.dtype}; give (H, W, 3) uint8 RGB")
    level = (np.arange(256) * 8 // 255).astype(np.uint16)[image]
    bins = level[..., 2] * 64 + level[..., 1] * 8 + level[..., 0]
    counts = np.bincount(bins[(level < 8).all(axis=2)], minlength=512).astype(np.float64)
    spread = counts.max() - counts.min()
    return np.asarray((counts - counts.min()) / spread if spread else np.zeros(512))


def match_keyframes(predicted: ArrayLike, truth: ArrayLike, *, threshold: float = 0.9) -> KeyframeMatch:
    """Match key frames by the TVSum20 protocol: (P, 512) and (G, 512) histograms → counts.

    While the greatest cosine of all is above `threshold`, that pair is matched and both frames are struck
    out. A benchmark's F1 is the mean of `.f1` over its videos.
    """
    ours, theirs = (_directions(rows) for rows in (predicted, truth))
    likeness = ours @ theirs.T
    matched = 0
    while likeness.size and likeness.max() > threshold:
        i, j = np.unravel_index(int(likeness.argmax()), likeness.shape)
        likeness[i, :] = likeness[:, j] = -np.inf
        matched += 1
    return KeyframeMatch(matched, len(ours), len(theirs))


def _directions(rows: ArrayLike) -> Floats:
    table = np.atleast_2d(np.asarray(rows, np.float64))
    if table.size == 0:
        return np.zeros((0, 512))
    return np.asarray(unit_rows(table))
