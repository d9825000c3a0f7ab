"""Arithmetic on plain arrays that several stages share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["min_max", "unit_rows"]

_FLAT = 1e-6
"""Differences below this are rounding of float32 embeddings, not a ranking."""


def unit_rows(values: ArrayLike) -> NDArray[Any]:
    """Scale vectors, (D,) or (…, D), to length 1 (L2); a zero vector stays zero, so its cosines are 0.

    float32 stays float32; everything else becomes float64.
    """
    rows = np.asarray(values)
    rows = rows if rows.dtype == np.float32 else rows.astype(np.float64)
    length = np.linalg.norm(rows, axis=-1, keepdims=True)
    return np.asarray(np.divide(rows, length, out=np.zeros_like(rows), where=length > 0))


def min_max(values: ArrayLike, *, flat: float) -> NDArray[np.float64]:
    """Spread (K,) values over 0 … 1; all of them become `flat` where they differ by rounding alone."""
    numbers = np.asarray(values, np.float64)
    low, high = float(numbers.min()), float(numbers.max())
    if high - low < _FLAT:
        return np.full_like(numbers, flat)
    return np.asarray((numbers - low) / (high - low))
