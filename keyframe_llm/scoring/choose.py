"""From scores to the two or three frames that matter: adaptive threshold, budget, minimum gap.

The paper leaves the threshold open ("task-dependent adaptive thresholding"). Here it lies a share of the way
from the mean of the scores to the best one, so it follows their distribution: where one frame stands out it
alone passes; where many are as good the budget decides.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyframe_llm.arrays import unit_rows
from keyframe_llm.data import Scores
from keyframe_llm.errors import OptionsError, check_number, check_whole
from keyframe_llm.options import Task
from keyframe_llm.proposals.spacing import SAME_SECONDS, default_gap, unseen

__all__ = [
    "adaptive_threshold",
    "checked_features",
    "checked_unseen",
    "look_alike",
    "moment_of",
    "phases",
    "same_colours",
    "select",
    "steps_of",
]

# How far from the mean score (0) to the best one (1) a frame must reach. On joined real clips with a weak
# encoder and a budget of 3, moments found at 0, 0.1, 0.2 and 0.35: 0.69, 0.68, 0.68 and 0.67, frames used
# 3.0, 2.9, 2.7 and 2.4. The budget is the user's; only what plainly stands apart is left out of it.
STRICTNESS: dict[Task, float] = {
    "retrieval": 0.1,  # two or three frames that match the caption
    "classification": 0.05,  # an action has phases: a little more of it
    "summary": 0.0,  # whatever is at least average; the budget does the rest
    "question": 0.4,  # what comes second must be nearly as good; a moment of its own needs more frames
}
_SHARE_OF_PHASES = 3  # of a question's budget, every third frame is another one of the moments found
# Two of the frames of a video count as alike from this cosine on, once their mean is taken away.
LOOK_ALIKE = 0.5
# Of those alike, two frames are a repeat from this cosine of their colour histograms on. On joined clips
# hit@3 differs by at most 0.02 between 0.5 and 0.9.
SAME_COLOURS = 0.7


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
    histograms: ArrayLike | None = None,
    exclude_seconds: Sequence[float] = (),
) -> NDArray[np.intp]:
    """Choose key frames among K candidates; return their indices (k,), ascending, 1 ≤ k ≤ `max_frames`.

    `scores` is a KeyScore or its (K,) total, `seconds` the (K,) ascending times. The best frame is always
    kept. Then, best first, every frame that scores at least `threshold` (0–1; None: `adaptive_threshold`)
    and lies at least `min_gap_seconds` (None: `default_gap(duration_seconds)`) from all kept ones, up to the
    budget.

    With `features`, (K, D) embeddings, a repeat of a kept frame waits until no other frame is left: one that
    looks like it (cosine of at least `LOOK_ALIKE` once the mean is taken away) and, with `histograms` (K, d),
    has its colours (cosine of at least `SAME_COLOURS`). So a second moment of the same place does not fill
    the budget before other moments had their turn. Another place that shows the same thing is no repeat:
    to an encoder two dogs look alike, and the one that the text means may come second.

    What other moments leave of the budget, and with `task="question"` a third of it, goes to the moments
    kept, the best first: to the frames around each that look like it, those farthest in time from the kept
    ones first, for an action takes more than one frame to see. These may lie nearer than the default gap and
    score less than the adaptive threshold; a given gap and a given threshold hold for them too.

    `exclude_seconds` are times of frames already seen: no frame nearer to them than the gap is chosen.

    Raises `OptionsError` on shapes that do not match, values out of range, or nothing left to choose.
    """
    total, times = _checked(scores, seconds)
    max_frames = check_whole("max_frames", max_frames, 1)
    gap = default_gap(duration_seconds) if min_gap_seconds is None else min_gap_seconds
    gap = check_number("min_gap_seconds", gap, 0)
    allowed = checked_unseen(times, exclude_seconds, gap)
    alike = None if features is None else look_alike(features, times)
    repeats = alike
    if alike is not None and histograms is not None:
        repeats = alike & same_colours(histograms, times)
    if threshold is None:
        floor = adaptive_threshold(total[allowed], task)
    else:
        floor = check_number("threshold", threshold, 0)
    ranked = steps_of(total)
    chosen: list[int] = []
    moments = max_frames - (max_frames // _SHARE_OF_PHASES if task == "question" and alike is not None else 0)
    while len(chosen) < moments and allowed.any():
        fresh = allowed if repeats is None else allowed & ~repeats[chosen].any(axis=0)
        best = int(np.argmax(np.where(fresh if fresh.any() else allowed, ranked, -np.inf)))
        chosen.append(best)
        # The first frame stands even where no score reaches the threshold, which holds for all others.
        allowed &= (np.abs(times - times[best]) >= gap) & (total >= floor)
        allowed[best] = False
    if alike is not None:
        apart = SAME_SECONDS if min_gap_seconds is None else max(gap, SAME_SECONDS)
        usable = unseen(times, exclude_seconds, gap) & (threshold is None or total >= floor)
        chosen += phases(alike, times, usable, chosen, max_frames - len(chosen), apart)
    return np.array(sorted(chosen), dtype=np.intp)


def phases(
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
        inside = moment_of(alike[moment], moment)
        while len(more) < count:
            shown = np.array([*kept, *more])
            away = np.abs(times[:, None] - times[shown])
            free = inside & usable & (away.min(axis=1) >= apart)
            if not free.any():
                break
            away = away[:, inside[shown]].min(axis=1)
            more.append(int(np.argmax(np.where(free, away, -1.0))))
    return more


def moment_of(alike: NDArray[np.bool_], frame: int) -> NDArray[np.bool_]:
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
    # Slightly below, or rounding of the mean would throw out frames that are all alike.
    return mean + STRICTNESS[task] * (best - mean) - 1e-9


def steps_of(total: NDArray[np.float64]) -> NDArray[np.float64]:
    """(K,) the scores in steps of a millionth of the highest: what differs by less was rounded differently.

    Of two frames that are the same, the earlier one is chosen, on every processor.
    """
    highest = float(np.abs(total).max())
    return np.round(total / highest * 1e6) if highest > 0 else total


def checked_unseen(
    times: NDArray[np.float64], exclude_seconds: Sequence[float], gap: float
) -> NDArray[np.bool_]:
    """As `unseen`; raises `OptionsError` where none is left to be chosen."""
    fresh = unseen(times, exclude_seconds, gap)
    if not fresh.any():
        raise OptionsError(
            f"all {len(times)} candidate frames lie near exclude_seconds {list(exclude_seconds)}; "
            "exclude fewer, or sample a narrower or another window (start_seconds, end_seconds)"
        )
    return fresh


def look_alike(features: ArrayLike, times: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(K, K): whether two frames look the same."""
    rows = unit_rows(checked_features(features, len(times)))
    rows = unit_rows(rows - rows.mean(axis=0))
    return np.asarray(rows @ rows.T >= LOOK_ALIKE)


def same_colours(histograms: ArrayLike, times: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(K, K): whether two frames have the same colours."""
    rows = unit_rows(checked_features(histograms, len(times), "histograms"))
    return np.asarray(rows @ rows.T >= SAME_COLOURS)


def checked_features(features: ArrayLike, count: int, name: str = "features") -> NDArray[np.float64]:
    """(K, D) finite numbers, K being `count`; raises `OptionsError` on anything else."""
    rows = np.asarray(features, np.float64)
    if rows.ndim != 2 or len(rows) != count or not np.all(np.isfinite(rows)):
        raise OptionsError(f"{name} are {rows.shape}; give ({count}, D) finite numbers")
    return rows


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
