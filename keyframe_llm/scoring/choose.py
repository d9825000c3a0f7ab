"""From scores to the two or three frames that matter: adaptive threshold per task, budget, minimum gap.

The paper leaves the threshold open ("task-dependent adaptive thresholding"). Here it lies a share of the way
from the mean of the scores to the best one, so it follows their distribution: where one moment stands out it
alone passes; where many are as good the budget decides.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyframe_llm.data import Scores
from keyframe_llm.errors import OptionsError
from keyframe_llm.options import Task

__all__ = [
    "SAME_SECONDS",
    "adaptive_threshold",
    "average_selected_frames",
    "default_gap",
    "frame_reduction_rate",
    "select",
    "unseen",
]

# How far from the mean score (0) to the best one (1) a frame must reach. On joined real clips with a weak
# encoder and a budget of 3, moments found at 0, 0.1, 0.2 and 0.35: 0.69, 0.68, 0.68 and 0.67, frames used
# 3.0, 2.9, 2.7 and 2.4. The budget is the user's; only what plainly stands apart is left out of it.
STRICTNESS: dict[Task, float] = {
    "retrieval": 0.1,  # two or three frames that match the caption
    "classification": 0.05,  # an action has phases: a little more of it
    "summary": 0.0,  # whatever is at least average; coverage and the budget do the rest
    "question": 0.4,  # what comes second must be nearly as good; a moment of its own needs more frames
}
# Neighbours must not fill the budget: an 8 s gap finds most moments in long videos; short videos get less.
LONGEST_GAP_SECONDS = 8.0
_GAPS_PER_VIDEO = 20
_SHARE_OF_PHASES = 3  # of a question's budget, every third frame is another one of the moments found
# Embeddings of all pictures share a direction that says nothing; what is left after taking it away has a
# cosine near 1 for one place seen twice and near 0 for two places, whichever the encoder.
LOOK_ALIKE = 0.5
SAME_SECONDS = 0.051  # a time rounded to a tenth still names its frame
# In a summary, look counts three times as much as time: a short shot of its own look comes before the far end
# of a long one, and an unbroken shot is still spread over its length.
_LOOK = 0.75


def select(
    scores: Scores | ArrayLike,
    seconds: ArrayLike,
    *,
    max_frames: int,
    duration_seconds: float | None,
    task: Task = "retrieval",
    threshold: float | None = None,
    min_gap_seconds: float | None = None,
    features: ArrayLike | None = None,
    sizes: ArrayLike | None = None,
    exclude_seconds: Sequence[float] = (),
) -> NDArray[np.intp]:
    """Choose key frames among K proposals; return their indices (k,), ascending, 1 ≤ k ≤ `max_frames`.

    `scores` is a KeyScore or its (K,) total, `seconds` the (K,) ascending times. The best frame is always
    kept. Then, best first, every frame that scores at least `threshold` (0–1; None: `adaptive_threshold`)
    and lies at least `min_gap_seconds` (None: `default_gap(duration_seconds)`) from all kept ones, up to the
    budget.

    With `features`, (K, D) histograms or embeddings, a frame that looks like a kept one (cosine of at least
    `LOOK_ALIKE` once the mean is taken away) waits until no other is left: a look that comes back, or a
    second moment of the same place, must not fill the budget before other moments had their turn. What other
    moments leave of the budget, and with `task="question"` a third of it, goes to the moments kept, the best
    first: to the frames around each that look like it, those farthest in time from the kept ones first, for
    what happens takes more than one frame to see. They may lie nearer than the default gap and score less
    than the adaptive threshold; a given gap and a given threshold hold for them too.

    With `task="summary"` and `features`, each choice is instead the frame that adds most coverage,
    Σ_j sizes_j · max over kept i of likeness(i, j), where likeness is three parts cosine and one part
    nearness in time: near copies never stand for a whole video. `sizes` (K,) is how many sampled frames each
    proposal stands for. `threshold` then holds only where it is given.

    `exclude_seconds` are times of frames already seen: what lies nearer to them than the gap is not chosen,
    and what they show counts as covered.

    Raises `OptionsError` on shapes that do not match, values out of range, or nothing left to choose.
    """
    total, times = _checked(scores, seconds)
    if isinstance(max_frames, bool) or not isinstance(max_frames, (int, np.integer)) or max_frames < 1:
        raise OptionsError(f"max_frames is {max_frames!r}; give a whole number from 1")
    covering = task == "summary" and features is not None
    gap = _above_zero(
        "min_gap_seconds", default_gap(duration_seconds) if min_gap_seconds is None else min_gap_seconds
    )
    added = _added_coverage(features, sizes, times) if covering and features is not None else None
    allowed = _unseen(times, exclude_seconds, gap)
    seen = np.flatnonzero(~allowed).tolist()
    alike = None if covering or features is None else _look_alike(features, times)
    floor = _floor(total[allowed], task, threshold, covering=covering)
    chosen: list[int] = []
    moments = max_frames - (max_frames // _SHARE_OF_PHASES if task == "question" and alike is not None else 0)
    while len(chosen) < moments:
        fresh = allowed if alike is None else allowed & ~alike[chosen].any(axis=0)
        worth = total if added is None else added([*seen, *chosen])
        worth = np.where(fresh if fresh.any() else allowed, worth, -np.inf)
        best = int(np.argmax(worth))
        if worth[best] == -np.inf:
            break
        chosen.append(best)
        # The first frame stands even where no score reaches the threshold, which holds for all others.
        allowed &= (np.abs(times - times[best]) >= gap) & (total >= floor)
        allowed[best] = False
    if alike is not None:
        apart = SAME_SECONDS if min_gap_seconds is None else max(gap, SAME_SECONDS)
        usable = unseen(times, exclude_seconds, gap) & (threshold is None or total >= floor)
        chosen += _phases(alike, times, usable, chosen, max_frames - len(chosen), apart)
    return np.array(sorted(chosen), dtype=np.intp)


def _phases(
    alike: NDArray[np.bool_],
    times: NDArray[np.float64],
    usable: NDArray[np.bool_],
    kept: Sequence[int],
    count: int,
    apart: float,
) -> list[int]:
    """Up to `count` more frames of the moments kept, each farthest from others of its moment."""
    more: list[int] = []
    for moment in kept:
        inside = _moment(alike[moment], moment)
        while len(more) < count:
            shown = np.array([*kept, *more])
            away = np.abs(times[:, None] - times[shown])
            free = inside & usable & (away.min(axis=1) >= apart)
            if not free.any():
                break
            away = away[:, inside[shown]].min(axis=1)
            more.append(int(np.argmax(np.where(free, away, -1.0))))
    return more


def _moment(alike: NDArray[np.bool_], frame: int) -> NDArray[np.bool_]:
    """(K,) the unbroken run of frames around one, itself included, that look like it."""
    breaks = np.flatnonzero(~alike)
    before, after = breaks[breaks < frame], breaks[breaks > frame]
    run = np.zeros(len(alike), np.bool_)
    run[before[-1] + 1 if len(before) else 0 : after[0] if len(after) else len(alike)] = True
    return run


def adaptive_threshold(total: ArrayLike, task: Task = "retrieval") -> float:
    """Return mean + λ · (best − mean) of the (K,) scores; λ is the task's `STRICTNESS`.

    Scores that are all alike give their own value, so every frame passes and the budget decides.
    """
    values = np.asarray(total, np.float64)
    if task not in STRICTNESS:
        raise OptionsError(f"task is {task!r}; choose one of {', '.join(STRICTNESS)}")
    mean, best = float(values.mean()), float(values.max())
    # A hair below, or rounding of the mean would throw out frames that are all alike.
    return mean + STRICTNESS[task] * (best - mean) - 1e-9


def default_gap(duration_seconds: float | None) -> float:
    """Return the minimum gap for a video of this length: a twentieth of it, at most 8 s; 0 where unknown."""
    if duration_seconds is None or not math.isfinite(duration_seconds):
        return 0.0
    return min(LONGEST_GAP_SECONDS, max(0.0, duration_seconds) / _GAPS_PER_VIDEO)


def average_selected_frames(counts: Iterable[int]) -> float:
    """Return ASF, the mean number of selected frames over videos.

    Raises `OptionsError` on no count at all or one below 0.
    """
    values = [float(count) for count in counts]
    if not values or min(values) < 0:
        raise OptionsError(f"counts are {values!r}; give the number of frames of at least one video")
    return sum(values) / len(values)


def frame_reduction_rate(selected: float, baseline: float) -> float:
    """Return FRR = 1 − selected / baseline: the share of frames saved (below 0 where more were taken).

    FRR-UFP takes 8 as the baseline, FRR-Avg the mean number of frames of the data set. Raises `OptionsError`
    on a baseline that is not above 0 or a negative count.
    """
    if not (math.isfinite(baseline) and baseline > 0):
        raise OptionsError(f"baseline is {baseline!r}; give a number of frames above 0")
    if not (math.isfinite(selected) and selected >= 0):
        raise OptionsError(f"selected is {selected!r}; give a number of frames from 0")
    return 1.0 - selected / baseline


def _added_coverage(
    features: ArrayLike, sizes: ArrayLike | None, times: NDArray[np.float64]
) -> Callable[[list[int]], NDArray[np.float64]]:
    """Return a function: kept frames → (K,) the coverage that each frame would add."""
    rows = _directions(features, times)
    share = np.ones(len(rows)) if sizes is None else np.asarray(sizes, np.float64)
    if share.shape != times.shape or not np.all(np.isfinite(share)) or np.any(share < 0):
        raise OptionsError(f"sizes are {sizes!r}; give {len(times)} numbers of frames")
    apart = np.abs(times[:, None] - times) / max(times[-1] - times[0], 1e-9)
    # Looks are compared on the video's own scale: a car on an empty road changes few of its colours.
    unlike = np.sqrt(np.maximum(2 - 2 * rows @ rows.T, 0.0))
    likeness = _LOOK * (1 - unlike / max(unlike.max(), 1e-9)) + (1 - _LOOK) * (1 - apart)

    def added(kept: list[int]) -> NDArray[np.float64]:
        covered = likeness[kept].max(axis=0) if kept else np.full(len(rows), -1.0)
        gain: NDArray[np.float64] = np.maximum(likeness - covered, 0.0) @ share
        return gain

    return added


def unseen(seconds: ArrayLike, exclude_seconds: Sequence[float], gap: float) -> NDArray[np.bool_]:
    """(K,) which frames lie at least `gap` from all those already seen, and are none of them."""
    times = np.asarray(seconds, np.float64).reshape(-1, 1)
    seen = np.asarray(exclude_seconds, np.float64).reshape(1, -1)
    return np.asarray(np.all(np.abs(times - seen) >= max(gap, SAME_SECONDS), axis=1))


def _unseen(times: NDArray[np.float64], exclude_seconds: Sequence[float], gap: float) -> NDArray[np.bool_]:
    """As `unseen`; raises `OptionsError` where none is left to be chosen."""
    fresh = unseen(times, exclude_seconds, gap)
    if not fresh.any():
        raise OptionsError(
            f"all {len(times)} proposed frames lie near exclude_seconds {list(exclude_seconds)}; "
            "exclude fewer, or look at a narrower or another window (start_seconds, end_seconds)"
        )
    return fresh


def _look_alike(features: ArrayLike, times: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(K, K): whether two frames look the same."""
    rows = _directions(features, times)
    rows = _directions(rows - rows.mean(axis=0), times)
    return np.asarray(rows @ rows.T >= LOOK_ALIKE)


def _directions(features: ArrayLike, times: NDArray[np.float64]) -> NDArray[np.float64]:
    rows = np.asarray(features, np.float64)
    if rows.ndim != 2 or len(rows) != len(times) or not np.all(np.isfinite(rows)):
        raise OptionsError(f"features are {rows.shape}; give ({len(times)}, D) finite numbers")
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12))


def _floor(total: NDArray[np.float64], task: Task, threshold: float | None, *, covering: bool) -> float:
    if threshold is not None:
        return _above_zero("threshold", threshold)
    return -math.inf if covering else adaptive_threshold(total, task)


def _checked(
    scores: Scores | ArrayLike, seconds: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    total = np.asarray(scores.total if isinstance(scores, Scores) else scores, np.float64)
    times = np.asarray(seconds, np.float64)
    if total.ndim != 1 or len(total) == 0 or not np.all(np.isfinite(total)):
        raise OptionsError(f"scores are {total!r}; give (K,) finite numbers, at least one")
    if times.shape != total.shape or np.any(np.diff(times) <= 0):
        raise OptionsError(f"seconds are {times!r}; give {total.shape} ascending times, one per score")
    return total, times


def _above_zero(name: str, value: float) -> float:
    if not (math.isfinite(value) and value >= 0):
        raise OptionsError(f"{name} is {value!r}; give a number from 0")
    return float(value)
