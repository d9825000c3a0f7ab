"""Cursors: find frames by time, and decide when a seek is cheaper than decoding on."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.video.reader import FrameReader, TimedFrame
from keyframe_llm.video.source import av_errors

__all__ = ["FrameCursor", "KeyFrameCursor"]

# Without an index of key frames, decoding on over less than this is cheaper than a seek.
_LONG_WAY_SECONDS = 8.0
_SAME = 1e-6


class FrameCursor:
    """Finds the frames around a time: decodes on or, with `jump`, seeks where that is cheaper."""

    def __init__(self, reader: FrameReader, *, jump: bool, wanted: NDArray[np.float64] | None = None) -> None:
        self._reader = reader
        self._jump = jump
        self.wanted = wanted
        """(N,) all times, ascending, that are asked for before a later key frame; None: unknown. What follows
        the last of them in its group is not decoded."""
        self._until = math.inf
        self._frames: Iterator[TimedFrame] | None = None
        self._now: TimedFrame | None = None
        self._next: TimedFrame | None = None

    @property
    def key_seconds(self) -> NDArray[np.float64] | None:
        """(K,) ascending times of the key frames, where they are known."""
        return self._reader.key_seconds

    @property
    def exhausted(self) -> bool:
        """Whether seeks in this file have cost more than they may."""
        return self._reader.work.exhausted

    def around(self, seconds: float) -> tuple[TimedFrame | None, TimedFrame | None]:
        """The last frame at or before `seconds`, and the first after it; None where there is none."""
        self._reader.check_process()
        with av_errors(self._reader.path):
            if self._frames is None or self._behind(seconds) or self._far_ahead(seconds):
                self._begin(seconds, self._last_wanted(seconds))
            self._decode_to(seconds)
            if self._next is None and self._until < math.inf:
                # The decoder gave nothing later than the bound: without one it does.
                self._begin(seconds, math.inf)
                self._decode_to(seconds)
        return self._now, self._next

    def _begin(self, seconds: float, until: float) -> None:
        self._until, self._frames = until, self._reader.frames_from(seconds, until)
        self._now, self._next = None, next(self._frames, None)

    def _decode_to(self, seconds: float) -> None:
        assert self._frames is not None
        while self._next is not None and self._next.seconds <= seconds:
            self._now, self._next = self._next, next(self._frames, None)

    def _last_wanted(self, seconds: float) -> float:
        """The last wanted time before the next key frame; infinite where either is unknown."""
        keys = self._reader.key_seconds
        if self.wanted is None or keys is None or self._reader.sequential:
            return math.inf
        after = int(np.searchsorted(keys, seconds + _SAME, side="right"))
        if after == len(keys):
            return math.inf
        at = int(np.searchsorted(self.wanted, keys[after] - _SAME)) - 1
        return max(seconds, float(self.wanted[at])) if at >= 0 else seconds

    def _behind(self, seconds: float) -> bool:
        return self._now is not None and seconds < self._now.seconds

    def _far_ahead(self, seconds: float) -> bool:
        if seconds > self._until:
            return True
        if not self._jump or self._reader.sequential:
            return False
        if self._next is None or seconds <= self._next.seconds:
            return False
        key = self._key_before(seconds)
        if key is None:
            return seconds - self._next.seconds > _LONG_WAY_SECONDS
        return key > self._next.seconds

    def _key_before(self, seconds: float) -> float | None:
        """The time of the last key frame at or before `seconds`; None where none is known."""
        if self._reader.key_seconds is not None:
            return self._reader.key_before(seconds)
        entries = getattr(self._reader.stream, "index_entries", None)  # PyAV 16 and later
        if not entries or len(entries) < 2:
            return None
        found = entries.search_timestamp(self._reader.timeline.timestamp(seconds))
        return None if found < 0 else self._reader.timeline.seconds(entries[found].timestamp)


class KeyFrameCursor:
    """Finds key frames one by one, each with a seek; for sparse samples, as little of the file is read."""

    def __init__(self, reader: FrameReader, key_seconds: NDArray[np.float64], within_seconds: float) -> None:
        self._reader = reader
        self._keys = key_seconds
        self._within = within_seconds
        self._at = -1
        self._frame: TimedFrame | None = None

    def around(self, seconds: float) -> tuple[TimedFrame | None, TimedFrame | None]:
        """The nearest key frame, before or after `seconds`; nothing where it is farther than allowed."""
        self._reader.check_process()
        nearest = int(np.abs(self._keys - seconds).argmin())
        if abs(self._keys[nearest] - seconds) > self._within:
            return None, None
        if nearest != self._at:
            self._at = nearest
            with av_errors(self._reader.path):
                self._frame = self._reader.key_frame_at(float(self._keys[nearest]))
        frame = self._frame
        return (frame, None) if frame is None or frame.seconds <= seconds else (None, frame)
