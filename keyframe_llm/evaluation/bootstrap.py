"""How far chance could move a figure: percentile bootstrap intervals with fixed seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyframe_llm.errors import OptionsError

__all__ = ["Interval", "bootstrap"]


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and how far chance could move it."""

    value: float
    low: float
    high: float
    count: int
    """How many samples (or groups of samples) it was taken over."""
    level: float = 0.95
    """The share of resamplings that fall between `low` and `high`."""

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def bootstrap(
    *columns: ArrayLike,
    statistic: Callable[..., float] | None = None,
    groups: Sequence[Any] | None = None,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Return a figure with its percentile bootstrap interval; the same seed gives the same interval.

    `columns` are (N,) arrays, or (N, …), resampled together by rows; `statistic` maps them to the figure,
    None being the mean of a single one (give the difference of two rows of a table to compare them in
    pairs). Samples with the same `groups` value (questions on one video) are drawn together.

    Raises `OptionsError` on no rows, columns of different length or values out of range.
    """
    tables = [np.asarray(column) for column in columns]
    if not tables or len({len(table) for table in tables}) != 1 or len(tables[0]) == 0:
        raise OptionsError(f"columns have {[len(t) for t in tables]} rows; give the same number, at least 1")
    if not 0 < level < 1 or resamples < 1:
        raise OptionsError(f"level is {level!r}, resamples {resamples!r}; give 0–1 and a whole number from 1")
    figure = statistic or (lambda values: float(np.mean(values)))
    parts = None if groups is None else _members(groups, len(tables[0]))
    count = len(tables[0]) if parts is None else len(parts)
    value = float(figure(*tables))
    if count == 1:  # drawn again, it is the same
        return Interval(value, value, value, count, level)
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(resamples):
        chosen = rng.integers(count, size=count)
        rows = chosen if parts is None else np.concatenate([parts[i] for i in chosen])
        drawn.append(figure(*(table[rows] for table in tables)))
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high), count, level)


def _members(groups: Sequence[Any], count: int) -> list[NDArray[np.intp]]:
    if len(groups) != count:
        raise OptionsError(f"there are {len(groups)} groups for {count} rows; give one for each")
    members: dict[Any, list[int]] = {}
    for row, group in enumerate(groups):
        members.setdefault(group, []).append(row)
    return [np.array(rows, np.intp) for rows in members.values()]
