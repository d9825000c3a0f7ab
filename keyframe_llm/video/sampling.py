"""Sampling for any backend: frames at a stride, sizes of pictures, checks of arguments."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Protocol, TypeVar

from keyframe_llm.errors import OptionsError

__all__ = [
    "ON_SCREEN_TOLERANCE_SECONDS",
    "Timed",
    "TimedSource",
    "check_stride",
    "check_times",
    "sample_times",
    "shrink",
]

ON_SCREEN_TOLERANCE_SECONDS = 0.0005
"""A time rounded to a millisecond still names its frame."""
_SAME = 1e-6


class Timed(Protocol):
    """Anything with a time."""

    @property
    def seconds(self) -> float:
        """Seconds since the first frame shown."""
        ...


T = TypeVar("T", bound=Timed)
T_co = TypeVar("T_co", bound=Timed, covariant=True)


class TimedSource(Protocol[T_co]):
    """Frames that are found by time."""

    def around(self, seconds: float) -> tuple[T_co | None, T_co | None]:
        """The last frame at or before `seconds`, and the first after it; None where there is none."""
        ...


def sample_times(
    sources: Sequence[TimedSource[T]],
    stride: float,
    start: float,
    end: float,
    duration: float,
    wanted_times: Iterable[float] | None = None,
) -> Iterator[T]:
    """Frames nearest to start, start + stride, …, strictly ascending and within the window.

    `wanted_times` (ascending) replace these times.

    Each source is tried in turn, cheapest first, until one has a frame within half a stride. The last source
    must know every frame. Where it has none either (variable frame rate), the frame on screen is taken, once.
    """
    last = -math.inf
    grid = _Grid(start, stride)
    for i, wanted in enumerate(grid if wanted_times is None else wanted_times):
        if wanted > end:
            return
        over = False
        for source in sources:
            before, after = source.around(wanted)
            past = before is None or before.seconds < duration
            if i > 0 and after is None and past and wanted >= duration - _SAME:
                return
            frame = _nearest((before, after), wanted, start, end)
            if frame is not None and abs(frame.seconds - wanted) <= stride / 2 + _SAME:
                break
        else:
            frame, over = before, after is None
            if after is not None:
                grid.skip_to(after.seconds)
        if frame is not None and frame.seconds > last:
            yield frame
            last = frame.seconds
        if over:
            return


class _Grid:
    """The times start, start + stride, …; those in a gap between frames can be skipped."""

    def __init__(self, start: float, stride: float) -> None:
        self._start, self._stride, self._next = start, stride, 0

    def __iter__(self) -> Iterator[float]:
        while True:
            yield self._start + self._next * self._stride
            self._next += 1

    def skip_to(self, seconds: float) -> None:
        """Leave out times that are more than a stride before the next frame, at `seconds`."""
        self._next = max(self._next, math.floor((seconds - self._start) / self._stride) - 2)


def _nearest(pair: tuple[T | None, T | None], wanted: float, start: float, end: float) -> T | None:
    within = [s for s in pair if s is not None and start - _SAME <= s.seconds <= end + _SAME]
    return min(within, key=lambda frame: abs(frame.seconds - wanted), default=None)


def shrink(width: int, height: int, short_side: int | None) -> tuple[int, int]:
    """The size with `short_side` pixels on the shorter side, never larger than before."""
    short = min(width, height)
    if short_side is None or short <= short_side:
        return width, height
    return max(1, round(width * short_side / short)), max(1, round(height * short_side / short))


def check_stride(stride: float, short_side: int, start: float, end: float | None) -> None:
    """Raise `OptionsError` on a stride, size or window out of range."""
    if not (math.isfinite(stride) and stride > 0):
        raise OptionsError(f"stride_seconds is {stride!r}; give a number above 0")
    _check_side(short_side)
    if not (math.isfinite(start) and start >= 0):
        raise OptionsError(f"start_seconds is {start!r}; give a number from 0 up")
    if end is not None and not end > start:
        raise OptionsError(f"end_seconds is {end!r}, not after start_seconds {start!r}; give a later end")


def check_times(seconds: list[float], short_side: int | None = None) -> None:
    """Raise `OptionsError` unless the times are finite, from 0 up and ascending, and the size is positive."""
    if short_side is not None:
        _check_side(short_side)
    for value in seconds:
        if not (math.isfinite(value) and value >= 0):
            raise OptionsError(f"seconds holds {value!r}; give times from 0 up, counted from the first frame")
    for one, two in pairwise(seconds):
        if two < one:
            raise OptionsError(f"seconds has {two!r} after {one!r}; give the times in ascending order")


def _check_side(short_side: int) -> None:
    if short_side < 1:
        raise OptionsError(f"short_side is {short_side!r}; give at least 1 pixel")
