"""Where a picture changes: a cheap pass over the video that says which frames are worth reading, and where.

A line of code that appears moves no colour histogram, so the frames that are candidates for a question miss
it. At 480 pixels it changes a row of small tiles. As long as no tile changes, one reading holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.data import Progress
from keyframe_llm.video import Decoder

__all__ = ["Still", "Tiles", "stills"]

STRIDE_SECONDS = 0.8
"""Frames lie within half a stride of their times, so nothing that lasts 1.6 s is missed."""
_SIDE = 480  # pixels: text of 20 px in 720 rows is 13 px high
_TILE = (8, 16)  # rows and columns: two lines of text rarely share one
_STEP = 28  # of 255: what a pixel must change by; light grey text on white does, compression mostly does not
_INK = 40  # of 255, between neighbouring pixels: the edge of a letter
_SHARE = 0.04  # of a tile's pixels

Tiles = NDArray[np.bool_]


class Still(NamedTuple):
    """A span of time in which the picture stays as it is."""

    start: float
    """Seconds of its first sample."""
    end: float
    """Seconds of the first sample that differs, or the end of what was looked at."""
    second: float
    """A sample in the middle, to be read."""
    samples: int
    """How many samples look like this."""
    shape: tuple[int, int]
    """(R, C): how many tiles there are."""
    bits: NDArray[np.uint8]
    """(4, ⌈R·C / 8⌉): the tiles below, packed, for an hour has thousands of spans."""

    @property
    def changed(self) -> Tiles:
        """(R, C): which tiles differ from the span before; all of them in the first."""
        return self._tiles(0)

    @property
    def edged(self) -> Tiles:
        """(R, C): which tiles have edges, as text has."""
        return self._tiles(1)

    @property
    def inked(self) -> Tiles:
        """(R, C): which changed tiles have edges that were not there before."""
        return self._tiles(2)

    @property
    def faded(self) -> Tiles:
        """(R, C): which changed tiles have lost edges."""
        return self._tiles(3)

    def _tiles(self, kind: int) -> Tiles:
        rows, columns = self.shape
        unpacked = np.unpackbits(self.bits[kind], count=rows * columns)
        return unpacked.reshape(self.shape).astype(np.bool_)


def stills(
    decoder: Decoder, *, start_seconds: float, end_seconds: float | None, progress: Progress
) -> Iterator[Still]:
    """Split a video into the spans in which nothing changes, in time order. Memory is constant."""
    times: list[float] = []
    shown: NDArray[np.int16] | None = None
    before: NDArray[np.int16] | None = None
    changed: Tiles = np.zeros((0, 0), np.bool_)
    length = decoder.info.duration_seconds
    sampled = decoder.sample(
        STRIDE_SECONDS, short_side=_SIDE, start_seconds=start_seconds, end_seconds=end_seconds
    )
    with closing(sampled) as frames:
        for second, image in frames:
            grey = image[:, :, 1].astype(np.int16)
            differs = _differing(shown, grey)
            if shown is None or differs is None or _is_change(differs):
                if shown is not None:
                    yield _still(times, second, changed, shown, before)
                times, before, shown = [], shown, grey
                changed = np.ones_like(_tiles(grey > 0), np.bool_) if differs is None else differs
            times.append(second)
            if length:
                progress("screen", min(1.0, second / (end_seconds or length)) / 2)
    if shown is not None:
        end = max(times[-1] + STRIDE_SECONDS / 2, end_seconds or length or 0.0)
        yield _still(times, min(end, times[-1] + STRIDE_SECONDS), changed, shown, before)


def _still(
    times: list[float],
    end: float,
    changed: Tiles,
    shown: NDArray[np.int16],
    before: NDArray[np.int16] | None,
) -> Still:
    edges = _edges(shown)
    edged = np.asarray(_tiles(edges) >= _SHARE)
    inked, faded = edged, np.zeros_like(edged)
    if before is not None and before.shape == shown.shape:
        from scipy.ndimage import maximum_filter  # takes half a second

        old = _edges(before)
        # A pixel's wobble by compression is no new edge, and no lost one.
        inked = np.asarray(_tiles(edges & ~maximum_filter(old, size=3)) >= _SHARE)
        faded = np.asarray(_tiles(old & ~maximum_filter(edges, size=3)) >= _SHARE)
    middle = times[len(times) // 2]
    kinds = np.stack([changed, edged, changed & inked, changed & faded]).reshape(4, -1)
    rows, columns = edged.shape
    return Still(times[0], end, middle, len(times), (rows, columns), np.packbits(kinds, axis=1))


def _edges(grey: NDArray[np.int16]) -> Tiles:
    edges = np.zeros(grey.shape, np.bool_)
    edges[:, 1:] = np.abs(np.diff(grey, axis=1)) > _INK
    return edges


def _differing(before: NDArray[np.int16] | None, grey: NDArray[np.int16]) -> Tiles | None:
    """Which tiles differ; None where there is nothing to compare with."""
    if before is None or before.shape != grey.shape:
        return None
    return np.asarray(_tiles(np.abs(grey - before) > _STEP) >= _SHARE)


def _is_change(differs: Tiles) -> bool:
    """Whether two tiles side by side differ: a blinking cursor is one tile wide, two letters are more."""
    if differs.shape[1] < 2:
        return bool(differs.any())
    return bool((differs[:, 1:] & differs[:, :-1]).any())


def _tiles(pixels: Tiles) -> NDArray[np.float64]:
    """(R, C) the share of set pixels in each tile; those at the right and lower edge may be smaller."""
    rows, columns = (np.arange(0, size, step) for size, step in zip(pixels.shape, _TILE, strict=True))
    sums = np.add.reduceat(np.add.reduceat(pixels.astype(np.float64), rows, axis=0), columns, axis=1)
    heights, widths = (
        np.diff(np.append(at, size)) for at, size in zip((rows, columns), pixels.shape, strict=True)
    )
    return np.asarray(sums / (heights[:, None] * widths))
