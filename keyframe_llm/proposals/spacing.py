"""How far apart key frames lie, and which frames count as seen already."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyframe_llm.options import ChooseOptions

__all__ = ["SAME_SECONDS", "default_gap", "gap_of", "unseen"]

# Neighbours must not fill the budget: an 8 s gap finds most moments in long videos; short videos get less.
LONGEST_GAP_SECONDS = 8.0
_GAPS_PER_VIDEO = 20
SAME_SECONDS = 0.051
"""A time rounded to a tenth still names its frame."""


def default_gap(duration_seconds: float | None) -> float:
    """Return the minimum gap for a video of this length: a twentieth of it, at most 8 s; 0 where unknown."""
    if duration_seconds is None or not math.isfinite(duration_seconds):
        return 0.0
    return min(LONGEST_GAP_SECONDS, max(0.0, duration_seconds) / _GAPS_PER_VIDEO)


def gap_of(options: ChooseOptions, duration_seconds: float | None) -> float:
    """The gap that was given, or the default one of this length."""
    given = options.min_gap_seconds
    return default_gap(duration_seconds) if given is None else given


def unseen(seconds: ArrayLike, exclude_seconds: Sequence[float], gap: float) -> NDArray[np.bool_]:
    """(K,) which frames lie at least `gap` from all those already seen, and are none of them."""
    times = np.asarray(seconds, np.float64).reshape(-1, 1)
    seen = np.asarray(exclude_seconds, np.float64).reshape(1, -1)
    return np.asarray(np.all(np.abs(times - seen) >= max(gap, SAME_SECONDS), axis=1))
