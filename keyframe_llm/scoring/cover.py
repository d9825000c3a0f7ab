"""Choosing with no text: the frames that together stand for the whole video."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyframe_llm.arrays import unit_rows
from keyframe_llm.data import Components, Scores
from keyframe_llm.errors import OptionsError, check_whole
from keyframe_llm.scoring.choose import checked_features, checked_unseen

__all__ = ["cover", "likeness", "share_scores"]

# Colour counts three times as much as time: a short shot of its own comes before the far end of a long one,
# and an unbroken shot is still spread over its length.
_COLOUR = 0.75


def cover(
    seconds: ArrayLike,
    histograms: ArrayLike,
    sizes: ArrayLike,
    *,
    max_frames: int,
    gap_seconds: float,
    least_share: float | None = None,
    exclude_seconds: Sequence[float] = (),
) -> tuple[NDArray[np.intp], Scores]:
    """Choose frames that cover a video among K proposals: (k,) indices, ascending, and what chose them.

    `seconds` (K,) ascending, `histograms` (K, d), `sizes` (K,) how much of the video each proposal stands
    for, in any unit. Each choice adds the most coverage, Σ_j sizes_j · max over kept i of likeness(i, j),
    where likeness is three parts colour and one part nearness in time. So near copies never stand for a whole
    video. Key frames lie at least `gap_seconds` apart.

    `exclude_seconds` are times of frames already seen: what they show counts as covered, and no frame nearer
    to them than the gap is chosen. `least_share` (0–1) drops key frames that stand for less of the video, the
    smallest first; one always stays. The scores' `total` are those shares.

    Raises `OptionsError` on shapes that do not match or nothing left to choose.
    """
    times = np.asarray(seconds, np.float64)
    share = np.asarray(sizes, np.float64)
    if share.shape != times.shape or not np.all(np.isfinite(share)) or np.any(share < 0) or not share.any():
        raise OptionsError(f"sizes are {sizes!r}; give {len(times)} numbers from 0, not all 0")
    near = likeness(checked_features(histograms, len(times)), times)
    allowed = checked_unseen(times, exclude_seconds, gap_seconds)
    seen = np.flatnonzero(~allowed).tolist()
    added = _added_coverage(near, share)
    chosen: list[int] = []
    while len(chosen) < check_whole("max_frames", max_frames, 1) and allowed.any():
        best = int(np.argmax(np.where(allowed, added([*seen, *chosen]), -np.inf)))
        chosen.append(best)
        allowed &= np.abs(times - times[best]) >= gap_seconds
        allowed[best] = False
    chosen.sort()
    shares = _shares(chosen, near[chosen], share)
    while least_share is not None and len(chosen) > 1 and shares[chosen].min() < least_share:
        del chosen[int(np.argmin(shares[chosen]))]
        shares = _shares(chosen, near[chosen], share)
    return np.array(chosen, np.intp), _share_scores(shares)


def share_scores(
    chosen: Sequence[int], seconds: ArrayLike, histograms: ArrayLike, sizes: ArrayLike
) -> Scores:
    """The scores of k frames that no score chose: the share of the video that each of them stands for.

    `seconds` (K,), `histograms` (K, d) and `sizes` (K,) are those of the candidates, `chosen` (k,) indices.
    """
    times = np.asarray(seconds, np.float64)
    near = likeness(checked_features(histograms, len(times)), times, chosen)
    return _share_scores(_shares(chosen, near, np.asarray(sizes, np.float64)))


def _shares(
    chosen: Sequence[int], near: NDArray[np.float64], sizes: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(K,) shares of the video, together 1; 0 for frames not chosen.

    A candidate is stood for by the key frame that it is most like; `near` (k, K) is how like. The earlier of
    equals counts.
    """
    nearest = np.asarray(chosen, np.intp)[near.argmax(axis=0)]
    return np.asarray(np.bincount(nearest, weights=sizes, minlength=len(sizes)) / sizes.sum())


def _share_scores(shares: NDArray[np.float64]) -> Scores:
    absent = Components(*(np.full(len(shares), np.nan) for _ in range(3)))
    return Scores(total=shares, normalised=absent, raw=absent, weights=(0.0, 0.0, 0.0))


def likeness(
    histograms: NDArray[np.float64], times: NDArray[np.float64], rows: Sequence[int] | None = None
) -> NDArray[np.float64]:
    """(M, K): how like M rows, all where None, are to K frames in colour and time; 1 for the same frame.

    Colours are compared on the video's own scale: a car on an empty road changes few of them.
    """
    few = slice(None) if rows is None else np.asarray(rows, np.intp)
    unit = unit_rows(histograms)
    apart = np.abs(times[few, None] - times) / max(times[-1] - times[0], 1e-9)
    unlike = np.sqrt(np.maximum(2 - 2 * unit[few] @ unit.T, 0.0))
    return np.asarray(_COLOUR * (1 - unlike / max(unlike.max(), 1e-9)) + (1 - _COLOUR) * (1 - apart))


def _added_coverage(
    near: NDArray[np.float64], sizes: NDArray[np.float64]
) -> Callable[[list[int]], NDArray[np.float64]]:
    """Return a function: kept frames → (K,) the coverage that each frame would add."""

    def added(kept: list[int]) -> NDArray[np.float64]:
        covered = near[kept].max(axis=0) if kept else np.full(len(sizes), -1.0)
        gain: NDArray[np.float64] = np.maximum(near - covered, 0.0) @ sizes
        return gain

    return added
