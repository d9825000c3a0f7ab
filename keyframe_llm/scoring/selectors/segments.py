"""Published selectors that divide a video into segments before they choose frames: WFS-SB and DIG."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyframe_llm.arrays import min_max
from keyframe_llm.scoring.selectors.wavelets import coarse_detail, levels

if TYPE_CHECKING:
    from keyframe_llm.index import VideoIndex

__all__ = ["dig", "wfs_sb"]

Array = NDArray[np.float64]
Picks = NDArray[np.intp]
Span = tuple[int, int]
"""(first frame, first frame after it)"""

_NEIGHBOURS = 2  # boundaries that DIG adds on both sides of a segment


def wfs_sb(index: VideoIndex, text: ArrayLike | None, k: int, seed: int) -> Picks:
    """WFS-SB: segments between slow changes of the similarity, for each a budget by importance, MMR inside.

    A boundary is a peak of the coarsest wavelet detail. Similarities are spread over 0–1. With no boundary,
    half of the frames are uniform and half are the best ones.
    """
    scores, rows = min_max(index.similarity(text), flat=0.0), index.unit_embeddings
    peaks = _peaks(np.abs(coarse_detail(scores, levels(len(scores)))))
    if len(peaks) == 0:
        return _half_uniform(scores, k)
    edges = [0, *peaks.tolist(), len(scores)]
    segments = _important(list(pairwise(edges)), scores)
    kept: list[int] = []
    for (start, end), count in zip(segments, _shares(segments, scores, k), strict=True):
        if count:
            first = start + int(np.argmax(scores[start:end]))
            kept += _by_relevance_and_novelty([first], range(start, end), scores, rows, count)
    return np.array(_by_relevance_and_novelty(kept, range(len(scores)), scores, rows, k), np.intp)


def dig(index: VideoIndex, text: ArrayLike | None, k: int, seed: int) -> Picks:
    """DIG's refinement: the segments whose middle frame is rewarded most, widened by two on both sides.

    A boundary is a peak of the change from one frame to the next; the frames lie at equal steps inside the
    refined segments. As published a Video-LLM rewards the middle frames, and a question about the whole video
    gets uniform frames; here the reward is the similarity with the text, spread over 0–1.
    """
    from scipy.signal import find_peaks

    rows, scores = index.unit_embeddings, index.similarity(text)
    change = 1 - (rows[:-1] * rows[1:]).sum(axis=1)
    peaks, _ = find_peaks(change, prominence=0.1)
    edges = [0, *peaks.tolist(), len(scores) - 1]
    middles = [(start + end) // 2 for start, end in pairwise(edges)]
    spans = _refined(min_max(scores[middles], flat=0.0), edges)
    inside = np.concatenate([np.arange(start, end + 1) for start, end in spans])
    return np.unique(inside[np.linspace(0, len(inside) - 1, k).astype(np.intp)])


def _peaks(detail: Array) -> Picks:
    from scipy.signal import find_peaks

    peaks, _ = find_peaks(
        detail,
        height=detail.mean() + 0.5 * detail.std(),
        prominence=0.05 * float(np.ptp(detail)),
        distance=max(5, int(0.02 * len(detail))),
    )
    return np.asarray(peaks, np.intp)


def _half_uniform(scores: Array, k: int) -> Picks:
    uniform = np.linspace(0, len(scores) - 1, k // 2).astype(np.intp)
    best = [i for i in np.argsort(-scores, kind="stable") if i not in uniform]
    return np.concatenate([uniform, np.array(best[: k - len(uniform)], np.intp)])


def _importance(segment: Span, scores: Array) -> float:
    inside, everything = scores[slice(*segment)], float(scores.var()) + 1e-8
    parts = (len(inside) / len(scores), inside.mean(), inside.max(), inside.var() / everything)
    return float(np.dot((0.4, 0.2, 0.3, 0.1), parts))


def _important(segments: Sequence[Span], scores: Array) -> list[Span]:
    """The segments without those far less important than the mean; up to three all stay."""
    values = np.array([_importance(segment, scores) for segment in segments])
    least = max(0.05, float(values.mean() - 1.2 * values.std())) if len(segments) > 3 else -np.inf
    kept = [segment for segment, value in zip(segments, values, strict=True) if value >= least]
    return kept or list(segments)


def _shares(segments: Sequence[Span], scores: Array, k: int) -> list[int]:
    """How many of k frames each segment gets: a softmax of importance, by largest remainders."""
    weights = np.exp([_importance(segment, scores) for segment in segments])
    wanted = k * weights / weights.sum()
    counts = np.floor(wanted).astype(int)
    counts[np.argsort(counts - wanted, kind="stable")[: k - counts.sum()]] += 1
    return [int(count) for count in counts]


def _by_relevance_and_novelty(
    kept: Sequence[int], among: range, scores: Array, rows: Array, count: int
) -> list[int]:
    """`kept` and frames of `among`, up to `count`: next the most of (2 s − 1) / 2 − max cos(f, kept) / 2."""
    chosen = list(dict.fromkeys(kept))
    free = np.zeros(len(scores), bool)
    free[among.start : among.stop] = True
    while len(chosen) < count:
        free[chosen] = False
        if not free.any():
            break
        worth = (2 * scores - 1) / 2 - (rows @ rows[chosen].T).max(axis=1) / 2
        chosen.append(int(np.argmax(np.where(free, np.round(worth, 9), -np.inf))))
    return chosen


def _refined(rewards: Array, edges: Sequence[int]) -> list[Span]:
    """The refined segments (first frame, last frame), merged; the whole video where no reward stands out."""
    wanted = np.flatnonzero(rewards > 0)
    if len(wanted) == 0:
        return [(edges[0], edges[-1])]
    if len(wanted) > 1:
        wanted = wanted[_survivors(rewards[wanted])]
    # As published the last boundary is never reached by widening: the highest index is that of a segment.
    spans = [
        (edges[max(0, i - _NEIGHBOURS)], edges[min(len(rewards) - 1, i + _NEIGHBOURS)])
        for i in wanted.tolist()
    ]
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], end)
        else:
            merged.append((start, end))
    return merged or [(edges[0], edges[-1])]


def _survivors(rewards: Array) -> NDArray[np.bool_]:
    """Which rewards pass the stricter of two rules: the mean taken off repeatedly, or above half the best."""
    above_means = rewards.copy()
    while True:
        zeros = int((above_means == 0).sum())
        above_means = np.maximum(above_means - above_means.mean(), 0)
        if int((above_means == 0).sum()) == zeros:
            break
    above_half = rewards > rewards.max() / 2
    left = above_means > 0
    return np.asarray(left if left.sum() <= above_half.sum() else above_half)
