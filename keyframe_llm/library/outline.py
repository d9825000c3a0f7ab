"""The outline of a video, a few of its candidates that differ most, and the search of all outlines at once.

A library of 10,000 videos holds a million candidates, and some 80,000 rows of outlines: few enough to compare
every one of them with a text. The videos that come first are then compared by all their candidates.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["OutlineSearch", "outline_of"]

_MOST_ROWS = 8


def outline_of(embeddings: NDArray[np.float16]) -> NDArray[np.float16]:
    """(k, D) at most eight of the (K, D) unit rows: the most typical, then always the farthest from all."""
    rows = embeddings.astype(np.float32)
    chosen = [int(np.argmax(rows @ rows.mean(axis=0)))]
    nearest = rows @ rows[chosen[0]]
    while len(chosen) < min(_MOST_ROWS, len(rows)):
        chosen.append(int(np.argmin(nearest)))
        nearest = np.maximum(nearest, rows @ rows[chosen[-1]])
    return embeddings[sorted(set(chosen))]


class OutlineSearch:
    """All outlines of a library in memory, as float32: some 25 kB a video of 768 dimensions."""

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
