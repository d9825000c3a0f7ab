"""The coarsest detail of a curve: its slow changes, by Daubechies wavelets (db4)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["coarse_detail", "levels"]

Array = NDArray[np.float64]

# The low-pass filter of db4, eight taps; the other three filters follow from it.
_LOW = np.array(
    [
        -0.010597401785069032,
        0.0328830116668852,
        0.030841381835560764,
        -0.18703481171909309,
        -0.027983769416859854,
        0.6308807679298589,
        0.7148465705529157,
        0.2303778133088965,
    ]
)
_HIGH = _LOW[::-1] * np.where(np.arange(8) % 2, 1.0, -1.0)
_TAPS = len(_LOW)


def levels(count: int, offset: int = 3) -> int:
    """How many levels a curve of `count` points is split into: ⌊log₂ count⌋ − offset, at least 1.

    There are no more than keep the coarsest coefficients longer than the filter.
    """
    most = int(math.log2(max(1.0, count / (_TAPS - 1))))
    return max(1, min(int(math.log2(max(1, count))) - offset, most))


def coarse_detail(curve: Array, level: int) -> Array:
    """(N,) the part of a curve that the detail coefficients of the coarsest of `level` levels describe.

    The curve is mirrored at both ends. The same as `waverec` of these coefficients alone in PyWavelets.
    """
    lengths, rest = [], curve
    for _ in range(level):
        lengths.append(len(rest))
        rest, detail = _filtered(rest, _LOW), _filtered(rest, _HIGH)
    rest = _joined(detail, _HIGH)[: lengths.pop()]
    while lengths:
        rest = _joined(rest, _LOW)[: lengths.pop()]
    return rest


def _filtered(curve: Array, taps: Array) -> Array:
    """Every second value of the mirrored curve's convolution with a filter."""
    mirrored = np.pad(curve, _TAPS - 1, mode="symmetric")
    return np.convolve(mirrored, taps, mode="valid")[1::2]


def _joined(coefficients: Array, taps: Array) -> Array:
    """The curve that coefficients of one level describe."""
    spread = np.zeros(2 * len(coefficients) - 1)
    spread[::2] = coefficients
    return np.convolve(spread, taps[::-1], mode="full")[_TAPS - 2 : 2 * len(coefficients)]
