"""How alike two pictures of a video are: the structural similarity (SSIM) that LV-Haystack counts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.errors import OptionsError

__all__ = ["pairwise_ssim"]

Floats = NDArray[np.float64]
Pixels = NDArray[np.floating[Any]]
Image = NDArray[np.uint8]

_SIGMA_PIXELS, _RADIUS_PIXELS = 1.5, 5  # a Gaussian window of 11 × 11
_C1, _C2 = 0.01**2, 0.03**2  # (Wang et al. 2004), for values from 0 to 1


@dataclass(frozen=True, slots=True, eq=False)
class _Picture:
    """A picture with what every comparison needs of it: (H, W, 3) each."""

    values: Pixels
    mean: Pixels
    variance: Pixels


def pairwise_ssim(frames: Iterable[Image], others: Iterable[Image]) -> Floats:
    """SSIM of (H, W, 3) uint8 RGB pictures of one size: those of two lists, P and G → (P, G), at most 1.

    As LV-Haystack's evaluation (mll-lab-nu/TStar, `val_tstar_results.py`) computes it: the mean over all
    values, a Gaussian window of 11 × 11 with σ 1.5, zeros beyond the border. That evaluation gives (H, W, 3)
    arrays to a function for (3, H, W), so its window lies over columns and colours, each row by itself; the
    same is done here, for figures that can be compared. Raises `OptionsError` on pictures of different sizes.
    """
    frames, others = list(frames), list(others)
    sizes = {image.shape for image in (*frames, *others)}
    if len(sizes) > 1:
        raise OptionsError(f"the pictures have the shapes {sorted(sizes)}; give pictures of one size")
    values, columns = np.empty((len(frames), len(others))), [_prepared(image) for image in others]
    for row, image in enumerate(frames):  # one at a time: prepared, a picture takes 12 times its bytes
        one = _prepared(image)
        values[row] = [_ssim(one, other) for other in columns]
    return values


def _prepared(image: Image) -> _Picture:
    values = image.astype(np.float32) / 255
    mean = _blurred(values)
    return _Picture(values, mean, _blurred(values**2) - mean**2)


def _ssim(one: _Picture, other: _Picture) -> float:
    product = one.mean * other.mean
    shared = _blurred(one.values * other.values) - product
    numerator = (2 * product + _C1) * (2 * shared + _C2)
    denominator = (one.mean**2 + other.mean**2 + _C1) * (one.variance + other.variance + _C2)
    return float((numerator / denominator).mean())


def _blurred(values: Pixels) -> Pixels:
    from scipy.ndimage import gaussian_filter

    sigma = (0, _SIGMA_PIXELS, _SIGMA_PIXELS)
    return np.asarray(gaussian_filter(values, sigma, mode="constant", radius=_RADIUS_PIXELS), np.float32)
