"""Published selectors that combine the parts of a text by logic: HiMu's fuzzy operators, ToolMerge's ranks.

Both have a language model write the tree. Here the parts of the text, in their order, are the leaves of one
operator; with a single part all that differs from `top-k` is how frames are kept apart.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyframe_llm.arrays import min_max

if TYPE_CHECKING:
    from keyframe_llm.index import VideoIndex

__all__ = ["decayed", "himu_right_after", "himu_seq", "toolmerge_and", "toolmerge_or"]

Array = NDArray[np.float64]
Picks = NDArray[np.intp]

_STEEPNESS = 3.0
_SMOOTH_SECONDS = 0.5  # of what is seen; HiMu has 1.5 s for speech and 2 s for sound
_DECAY = 2.0  # a second, of RIGHT_AFTER
_LONGEST_DECAY = 500.0  # as an exponent: what is far away is still not nowhere
_MOST_GAP_SECONDS = 10.0


def himu_seq(index: VideoIndex, texts: ArrayLike | None, k: int, seed: int) -> Picks:
    """HiMu, SEQ: frames of a part that all parts before it came before, and all after it come after."""
    truths = _truths(index, texts)
    before = [_shifted(np.maximum.accumulate(truth)) for truth in truths]
    after = [_shifted(np.maximum.accumulate(truth[::-1]))[::-1] for truth in truths]
    curves = [
        truth * np.prod([*before[:i], *after[i + 1 :], np.ones_like(truth)], axis=0)
        for i, truth in enumerate(truths)
    ]
    return _peaks_and_best(np.max(curves, axis=0), k, _rate(index))


def himu_right_after(index: VideoIndex, texts: ArrayLike | None, k: int, seed: int) -> Picks:
    """HiMu, RIGHT_AFTER: frames of a part just after frames of the part before it, and those frames."""
    truths, times = _truths(index, texts), index.candidates.seconds
    if len(truths) == 1:
        return _peaks_and_best(truths[0], k, _rate(index))
    apart = times[:, None] - times
    decay = decayed(apart, _DECAY)
    pairs = list(pairwise(truths))
    curves = [effect * (decay @ cause) for cause, effect in pairs]
    curves += [cause * (decay.T @ effect) for cause, effect in pairs]
    return _peaks_and_best(np.max(curves, axis=0), k, _rate(index))


def decayed(seconds: Array, rate: float) -> Array:
    """What is left after these seconds, 1 at first; 0 where nothing has passed yet."""
    exponents = np.minimum(rate * np.maximum(seconds, 0.0), _LONGEST_DECAY)
    return np.where(seconds > 0, np.exp(-exponents), 0.0)


def toolmerge_or(index: VideoIndex, texts: ArrayLike | None, k: int, seed: int) -> Picks:
    """ToolMerge, OR: the best of a frame's percentile ranks for the parts, frames kept apart by a gap."""
    return _with_gap(index, np.max(_ranks(index, texts), axis=0), k)


def toolmerge_and(index: VideoIndex, texts: ArrayLike | None, k: int, seed: int) -> Picks:
    """ToolMerge, AND: the worst of a frame's percentile ranks for the parts, frames kept apart by a gap."""
    return _with_gap(index, np.min(_ranks(index, texts), axis=0), k)


def _similarities(index: VideoIndex, texts: ArrayLike | None) -> list[Array]:
    if texts is None:
        return [index.similarity(None)]  # says what is missing
    return [index.similarity(text) for text in np.atleast_2d(np.asarray(texts))]


def _truths(index: VideoIndex, texts: ArrayLike | None) -> list[Array]:
    """(K,) truth of each part: σ(3 (s − median) / MAD) over all parts, smoothed in time, spread over ½–1."""
    from scipy.ndimage import gaussian_filter1d
    from scipy.special import expit

    similarities = np.stack(_similarities(index, texts))
    away = similarities - np.median(similarities)
    truths = expit(_STEEPNESS * away / (np.median(np.abs(away)) + 1e-6))
    smooth = gaussian_filter1d(truths, _SMOOTH_SECONDS * _rate(index), axis=1, mode="nearest")
    return [(1 + min_max(truth, flat=0.5)) / 2 for truth in smooth]


def _rate(index: VideoIndex) -> float:
    """Candidates a second."""
    times = index.candidates.seconds
    return 1 / float(np.median(np.diff(times))) if len(times) > 1 else 1.0


def _shifted(curve: Array) -> Array:
    """The curve one frame later, 0 at first."""
    return np.concatenate([[0.0], curve[:-1]])


def _peaks_and_best(curve: Array, k: int, rate: float) -> Picks:
    """HiMu's choice (PASS): up to √k peaks, the best neighbours of each, then the best frames of all.

    Below 8 frames, as published, the best frames of all.
    """
    best = np.argsort(-np.round(curve, 9), kind="stable")
    if k < 8:
        return best[:k]
    root = math.sqrt(k)
    around = max(1, int(root / 2 * rate))
    chosen = _highest_peaks(curve, int(root), max(1, int(root * rate)), best)
    for peak in list(chosen):
        near = [i for i in best.tolist() if abs(i - peak) <= around and i not in chosen]
        chosen += near[: max(0, int(root / 2) - 1)]
    chosen += [i for i in best.tolist() if i not in chosen]
    return np.array(chosen[:k], np.intp)


def _highest_peaks(curve: Array, count: int, distance: int, best: Picks) -> list[int]:
    """Up to `count` peaks, the highest first; less and less prominent ones while there is none."""
    from scipy.signal import find_peaks

    prominence = max(1e-6, 0.01 * float(np.ptp(curve)))
    for _ in range(5):
        peaks, _ = find_peaks(curve, distance=distance, prominence=prominence)
        if len(peaks):
            return [int(i) for i in peaks[np.argsort(-curve[peaks], kind="stable")][:count]]
        prominence /= 2
    return [int(i) for i in best[:count]]


def _ranks(index: VideoIndex, texts: ArrayLike | None) -> list[Array]:
    """(K,) the percentile ranks of the frames for each part, 1 for the best; equal frames share one."""
    ranks = []
    for s in _similarities(index, texts):
        rounded = np.round(s, 9)
        below = np.searchsorted(np.sort(rounded), rounded, side="right") - 1
        ranks.append(below / max(1, len(s) - 1))
    return ranks


def _with_gap(index: VideoIndex, scores: Array, k: int) -> Picks:
    """The best k frames, each a gap from all kept ones: half of an equal share of the video, at most 10 s."""
    gap, times = min(index.span_seconds / (2 * k), _MOST_GAP_SECONDS), index.candidates.seconds
    kept: list[int] = []
    for i in np.argsort(-scores, kind="stable").tolist():
        if len(kept) < k and np.all(np.abs(times[kept] - times[i]) >= gap):
            kept.append(i)
    return np.array(kept, np.intp)
