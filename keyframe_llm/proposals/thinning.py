"""Which samples are kept where there are too many: evenly spread ones, or those that differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.arrays import one_thread
from keyframe_llm.proposals.color_histogram import spacetime

__all__ = ["Sample", "Thinner"]

_GAMMA_TIME = 5.0  # STACFP's own default
_ROWS = 128


class Sample(NamedTuple):
    """One sampled frame."""

    second: float
    histogram: NDArray[np.float32]
    picture: bytes | None
    sharpness: float


class Thinner:
    """Keeps at most `limit` samples of a stream of unknown length: evenly spread, or those that differ."""

    def __init__(self, limit: int, *, evenly: bool = True) -> None:
        self.limit, self.evenly, self.every, self.seen = limit, evenly, 1, 0
        self.kept: list[Sample] = []

    def wants(self) -> bool:
        """Whether the next frame is kept."""
        self.seen += 1
        return (self.seen - 1) % self.every == 0

    def keep(self, sample: Sample) -> None:
        """Keep a frame; where there are too many by now, others go."""
        if len(self.kept) == self.limit:
            self._drop(range(1, self.limit, 2) if self.evenly else self._repeats())
            self.every *= 2 if self.evenly else 1
            if (self.seen - 1) % self.every:
                return
        self.kept.append(sample)

    def _drop(self, indices: Sequence[int]) -> None:
        for i in sorted(indices, reverse=True):
            del self.kept[i]

    @one_thread()
    def _repeats(self) -> list[int]:
        """Up to a quarter of the samples: those most like another one that stays, no two neighbours.

        Likeness is distance in STACFP's space of colour and time. So a picture that returns for hours is kept
        less often, and one that is shown for a single second stays.
        """
        away, nearest = _nearest(
            np.concatenate([one.histogram for one in self.kept]), np.array([one.second for one in self.kept])
        )
        dropped: set[int] = set()
        for i in np.argsort(away, kind="stable").tolist():
            if len(dropped) >= max(1, self.limit // 4):
                break
            if not dropped & {i - 1, i + 1, int(nearest[i])} and 0 < i < self.limit - 1:
                dropped.add(i)
        return list(dropped)


def _nearest(
    histograms: NDArray[np.float32], seconds: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """How far each sample is from the one most like it, and which that is; the earlier of equals."""
    space = spacetime(histograms, seconds, _GAMMA_TIME).astype(np.float32)
    square = np.einsum("ij,ij->i", space, space)
    least, nearest = np.empty(len(space), np.float32), np.empty(len(space), np.intp)
    for first in range(0, len(space), _ROWS):  # a few rows at a time, for a whole matrix takes 16 MB
        rows = slice(first, first + _ROWS)
        away = square - 2 * (space[rows] @ space.T)
        np.fill_diagonal(away[:, first:], np.inf)
        nearest[rows] = away.argmin(axis=1)
        least[rows] = away.min(axis=1) + square[rows]
    return least, nearest
