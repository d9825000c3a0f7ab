"""STACFP (Algorithm 1): propose frames by clustering colour and time together, k chosen by the silhouette.

The paper leaves four things open; each was decided by measurement on real clips joined end to end.

*The scale of colour.* Histograms have length 1 (L2), so two shots with nothing in common lie 1.41 apart.

*The range of k.* Time alone always prefers k = 2: a straight line splits best in two, whatever it shows. At
γ_time 15 and 20 that hides all structure. So k starts at √(seconds in which something changes), the law the
paper's own averages follow (6 proposals on 15 s, 11 on 58 s, half again as many as this floor), and ends at
`10 + seconds / 4`, because a constant k_max loses most of a long video.

*A static video.* The silhouette cannot say k = 1. A video is still where its histograms spread little and
neighbours differ as much as frames far apart: what is left is noise.

*Nothing lost.* A large γ_time, or scenes that come back, can leave a shot between two cuts without any
representative, and one centroid can stand for minutes of an unbroken shot. Such a shot, or such a segment of
10 s (a sixtieth of a long video) becomes a cluster of its own, longest first, as far as `k_max` allows.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from keyframe_llm.data import Proposals
from keyframe_llm.errors import OptionsError
from keyframe_llm.proposals.color_histogram import spacetime
from keyframe_llm.proposals.kmeans import best_clustering, representatives

__all__ = ["scfp", "shots", "stacfp", "ufp", "usual_k_max"]

Array = NDArray[np.floating]
Labels = NDArray[np.intp]

# More proposals than this would cost more to embed than the frames they save.
MOST_PROPOSALS = 400
# Camera noise of σ = 8 levels spreads a still picture's histogram by 0.04–0.05 (root mean square), and its
# neighbours differ as much as any two frames do (ratio 0.9–1.2); a person walking through gives 0.1–0.4.
_STILL_SPREAD, _STILL_RATIO = 0.05, 0.75
# Cuts between unlike shots measure 1.1–1.4; between samples of one shot 0.5 is passed only in fast motion,
# where the neighbouring steps are large too.
_CUT, _SURE_CUT, _CUT_OVER_MEDIAN = 0.5, 1.0, 3.0
# An unbroken shot in which something changes must be shown at least this often, long videos less often.
_SEGMENT_SECONDS, _SEGMENTS_PER_VIDEO = 10.0, 60
# A shorter shot counts as shown by a nearby representative of the same colours, so that two faces in dialogue
# do not ask for a proposal at every change.
_BRIEF_SECONDS, _NEARBY_SECONDS = 5.0, 10.0


def stacfp(
    histograms: ArrayLike,
    seconds: ArrayLike,
    *,
    gamma_time: float = 5.0,
    k_max: int | None = None,
    seed: int = 0,
) -> Proposals:
    """Propose frames by Algorithm 1: k-means over [v; γ_time · t], k by the silhouette, one frame a cluster.

    `histograms` is (N, d), rows of length 1 (see `color_histogram`); `seconds` (N,) ascending; t runs from 0
    to 1 over them. At most `k_max` proposals, following the video's length where None; a single one for a
    static video. The same seed gives the same proposals.

    Raises `OptionsError` on wrong shapes or values out of range.
    """
    rows, times = _checked(histograms, seconds, k_max)
    if not (math.isfinite(gamma_time) and gamma_time >= 0):
        raise OptionsError(f"gamma_time is {gamma_time!r}; give a number from 0")
    span = float(times[-1] - times[0])
    limit = _limit(k_max, span, len(times))
    found = shots(rows)
    moving = [not _still(rows[shot]) for shot in found]
    active = sum(_length(times, shot) for shot, moves in zip(found, moving, strict=True) if moves)
    x = spacetime(rows, times, gamma_time)
    labels, tried = _clustered(x, rows, max(2, math.ceil(math.sqrt(active))), limit, seed)
    if tried:
        labels = _show_all(x, rows, times, labels, _segments(rows, times, found, moving), limit)
    return _proposals(x, times, labels, tried)


def scfp(histograms: ArrayLike, seconds: ArrayLike, *, k_max: int | None = None, seed: int = 0) -> Proposals:
    """Propose frames by colour alone, the paper's baseline SCFP: as `stacfp`, without time."""
    rows, times = _checked(histograms, seconds, k_max)
    limit = _limit(k_max, float(times[-1] - times[0]), len(times))
    labels, tried = _clustered(rows, rows, 2, limit, seed)
    return _proposals(rows, times, labels, tried)


def ufp(seconds: ArrayLike, count: int = 8) -> Proposals:
    """Propose `count` frames at equal distances (fewer where fewer were sampled), the paper's baseline UFP.

    Each stands for the sampled frames nearest to it. Raises `OptionsError` on a count below 1.
    """
    times = np.asarray(seconds, np.float64)
    _, times = _checked(np.ones((len(times), 1)), times, None)
    if count < 1:
        raise OptionsError(f"count is {count!r}; give a whole number from 1")
    wanted = np.linspace(times[0], times[-1], min(count, len(times))) if count > 1 else times[[0, -1]].mean()
    indices = np.unique(np.abs(times[:, None] - np.atleast_1d(wanted)).argmin(axis=0))
    labels = np.abs(times[:, None] - times[indices]).argmin(axis=1)
    return Proposals(times, labels, indices)


def _checked(
    histograms: ArrayLike, seconds: ArrayLike, k_max: int | None
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    rows, times = np.asarray(histograms, np.float32), np.asarray(seconds, np.float64)
    if rows.ndim != 2 or len(rows) == 0 or not np.all(np.isfinite(rows)):
        raise OptionsError(f"histograms are {rows.shape}; give (N, d) finite numbers, at least one row")
    if times.shape != (len(rows),) or np.any(np.diff(times) <= 0) or not np.all(np.isfinite(times)):
        raise OptionsError(
            f"seconds are {times.shape}; give ({len(rows)},) ascending times, one per histogram"
        )
    if k_max is not None and k_max < 1:
        raise OptionsError(f"k_max is {k_max!r}; give a whole number from 1")
    return rows, times


def _limit(k_max: int | None, span: float, n: int) -> int:
    """The most proposals: a clustering of fewer than two frames a cluster says nothing."""
    if k_max is None:
        k_max = _usual(span)
    return max(1, min(k_max, n if n < 4 else n // 2))


def usual_k_max(seconds: ArrayLike) -> int:
    """The most proposals of a video sampled at these (N,) times: 10 and one for every 4 s, up to 400."""
    times = np.asarray(seconds, np.float64)
    return _usual(float(times[-1] - times[0]))


def _usual(span: float) -> int:
    return min(math.ceil(10 + span / 4), MOST_PROPOSALS)


def _length(times: NDArray[np.float64], part: slice) -> float:
    inside = times[part]
    stride = (times[-1] - times[0]) / max(1, len(times) - 1)
    return float(inside[-1] - inside[0] + stride)


def _still(rows: NDArray[np.float32]) -> bool:
    """Whether these frames differ by noise alone (von Neumann's ratio of successive differences)."""
    if len(rows) < 2:
        return True
    around = ((rows - rows.mean(axis=0)) ** 2).sum(axis=1)
    variance = float(around.sum() / (len(rows) - 1))
    if variance < 1e-6:
        return True
    steps = float((np.diff(rows, axis=0) ** 2).sum(axis=1).mean())
    return variance < _STILL_SPREAD**2 and steps > _STILL_RATIO * 2 * variance


def shots(rows: NDArray[np.float32]) -> list[slice]:
    """What lies between two cuts. A cut is a large step that stands out from the eight steps around it.

    `rows` is (N, d), histograms of length 1; the slices are of them.
    """
    step = np.linalg.norm(np.diff(rows, axis=0), axis=1)
    around = sliding_window_view(np.pad(step, (4, 5), constant_values=np.nan), 9)[: len(step)]
    usual = np.nanmedian(around, axis=1)
    cut = step > np.minimum(_SURE_CUT, np.maximum(_CUT, _CUT_OVER_MEDIAN * usual))
    return [slice(int(a), int(b)) for a, b in pairwise([0, *(np.flatnonzero(cut) + 1), len(rows)])]


def _clustered(
    x: Array, rows: NDArray[np.float32], k_min: int, limit: int, seed: int
) -> tuple[Labels, dict[int, float]]:
    """Cluster what can be: a still video is one cluster, two or three frames that differ are one each."""
    if limit == 1 or _still(rows):
        return np.zeros(len(x), np.intp), {}
    if len(x) < 4:
        return np.minimum(np.arange(len(x)), limit - 1), {}
    return best_clustering(x, k_min, limit, seed)


def _segments(
    rows: NDArray[np.float32], times: NDArray[np.float64], found: list[slice], moving: list[bool]
) -> list[slice]:
    """What must be shown, longest first: the shots, long moving ones in equal parts."""
    longest = max(_SEGMENT_SECONDS, (times[-1] - times[0]) / _SEGMENTS_PER_VIDEO)
    segments: list[slice] = []
    for shot, moves in zip(found, moving, strict=True):
        count = math.ceil(_length(times, shot) / longest - 1e-6) if moves else 1
        if shot.stop - shot.start == 1:  # a flash, or only the middle of a dissolve?
            beside = rows[max(0, shot.start - 1) : shot.stop + 1]
            if np.linalg.norm(np.diff(beside, axis=0), axis=1).min() < _SURE_CUT:
                continue
        edges = np.linspace(times[shot.start], times[shot.stop - 1], count + 1)[1:-1]
        bounds = [shot.start, *(int(i) for i in np.searchsorted(times, edges)), shot.stop]
        segments += [slice(a, b) for a, b in pairwise(bounds) if b > a]
    return sorted(segments, key=lambda part: -_length(times, part))


def _show_all(
    x: Array,
    rows: NDArray[np.float32],
    times: NDArray[np.float64],
    labels: Labels,
    segments: list[slice],
    limit: int,
) -> Labels:
    """Give each segment that no representative shows a cluster of its own, up to `limit` clusters."""
    labels = labels.copy()
    for _ in segments:
        picks = representatives(x, labels)
        missed = [part for part in segments if not _shown(part, picks, rows, times)]
        free = limit - len(picks)
        if not missed or free <= 0:
            break
        # Taking frames away moves other centroids, which may take a representative from another segment:
        # hence the rounds.
        for part in missed[:free]:
            labels[part] = labels.max() + 1
    return labels


def _shown(part: slice, picks: Labels, rows: NDArray[np.float32], times: NDArray[np.float64]) -> bool:
    if np.any((picks >= part.start) & (picks < part.stop)):
        return True
    if _length(times, part) >= _BRIEF_SECONDS:
        return False
    away = np.maximum(times[part.start] - times[picks], times[picks] - times[part.stop - 1])
    near = rows[picks[away <= _NEARBY_SECONDS]]
    return bool(np.any(np.linalg.norm(near - rows[part].mean(axis=0), axis=1) < _CUT))


def _proposals(x: Array, times: NDArray[np.float64], labels: Labels, tried: dict[int, float]) -> Proposals:
    _, dense = np.unique(labels, return_inverse=True)
    picks = representatives(x, labels)
    order = np.argsort(picks)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return Proposals(times, rank[dense], picks[order], tried)
