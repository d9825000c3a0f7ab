"""The outline of a video, the means of a few groups of its candidates, and the search of all outlines.

A library of 10,000 videos holds a million candidates, and 160,000 rows of outlines: few enough to compare
each of them with a text. The videos that come first are then compared by all their candidates. How many means
are enough: of the ten best among 2,500 simulated videos of 3–20 scenes, a short list of 64 has 55 %, 86 %,
99 % and 100 % by 8, 12, 16 and 24 means (`benchmarks/library_search.py`, 192 numbers a vector, 100 topics).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.arrays import unit_rows

__all__ = ["OutlineSearch", "Outlines", "outline_of"]

_MOST_ROWS = 16
_ROUNDS = 3


def outline_of(embeddings: NDArray[np.float16]) -> NDArray[np.float16]:
    """(k, D) at most 16 unit rows for (K, D) of them: the means of groups that are alike.

    Spherical k-means from rows that lie far apart; the same rows give the same outline.
    """
    rows = embeddings.astype(np.float32)
    means = _far_apart(rows, min(_MOST_ROWS, len(rows)))
    for _ in range(_ROUNDS):
        group = np.argmax(rows @ means.T, axis=1)
        sums = [rows[group == k].sum(axis=0) if (group == k).any() else means[k] for k in range(len(means))]
        means = unit_rows(np.stack(sums))
    return np.asarray(means, np.float16)


def _far_apart(rows: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """The most typical row, then always the one farthest from all so far."""
    chosen = [int(np.argmax(rows @ rows.mean(axis=0)))]
    nearest = rows @ rows[chosen[0]]
    while len(chosen) < count:
        chosen.append(int(np.argmin(nearest)))
        nearest = np.maximum(nearest, rows @ rows[chosen[-1]])
    return rows[chosen]


class Outlines(Protocol):
    """The search of all outlines of a library."""

    @property
    def videos(self) -> NDArray[np.int64]:
        """(V,) the numbers of the videos."""

    def best(self, text: NDArray[np.floating], count: int, allowed: NDArray[np.bool_]) -> NDArray[np.int64]:
        """The `count` videos among those allowed, (V,) bool, whose outlines fit a text best, in order."""


class OutlineSearch:
    """All outlines of a library in memory, as float32: some 50 kB a video of 768 dimensions."""

    def __init__(self, outlines: Sequence[tuple[int, bytes]], size: int) -> None:
        """`outlines` are (video, float16 rows of `size` numbers as bytes)."""
        self.videos = np.array([video for video, _ in outlines], np.int64)
        counts = [len(rows) // (2 * size) for _, rows in outlines]
        self._starts = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.intp) if counts else counts
        whole = b"".join(rows for _, rows in outlines)
        self._rows = np.frombuffer(whole, np.float16).reshape(-1, size).astype(np.float32)

    def best(self, text: NDArray[np.floating], count: int, allowed: NDArray[np.bool_]) -> NDArray[np.int64]:
        """The `count` videos among those allowed, (V,) bool, whose outlines fit a text best, in order."""
        if not allowed.any():
            return self.videos[:0]
        fits = np.maximum.reduceat(self._rows @ np.asarray(text, np.float32), self._starts)
        fits = np.where(allowed, fits, -np.inf)
        most = min(count, int(allowed.sum()))
        top = np.argpartition(-fits, most - 1)[:most]
        return self.videos[top[np.argsort(-fits[top], kind="stable")]]
