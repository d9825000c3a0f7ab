"""Finding frames by time: the places from which a reader is asked to go on, and when it is worth a seek."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.video.reader import FrameReader, Shot
from keyframe_llm.video.source import av_errors

__all__ = ["Cursor", "KeySeeker"]

# Where no index tells of a key frame in between, going on reading beats a seek over less than this.
_LONG_WAY_SECONDS = 8.0


class Cursor:
    """Finds the frames around a time, decoding on from where it is or seeking, whichever is less work."""

    def __init__(self, reader: FrameReader, *, jump: bool) -> None:
        self._reader = reader
        self._jump = jump
        self._shots: Iterator[Shot] | None = None
        self._now: Shot | None = None
        self._next: Shot | None = None

    def around(self, seconds: float) -> tuple[Shot | None, Shot | None]:
        """The last frame at or before `seconds`, and the first after it; None where there is none."""
        with av_errors(self._reader.path):
            if self._shots is None or self._behind(seconds) or self._far_ahead(seconds):
                self._shots = self._reader.shots_from(seconds)
                self._now, self._next = None, next(self._shots, None)
            while self._next is not None and self._next.seconds <= seconds:
                self._now, self._next = self._next, next(self._shots, None)
        return self._now, self._next

    def _behind(self, seconds: float) -> bool:
        return self._now is not None and seconds < self._now.seconds

    def _far_ahead(self, seconds: float) -> bool:
        if not self._jump or self._next is None or seconds <= self._next.seconds:
            return False
        key = self._key_before(seconds)
        if key is None:
            return seconds - self._next.seconds > _LONG_WAY_SECONDS
        return key > self._next.seconds

    def _key_before(self, seconds: float) -> float | None:
        """The time of the last key frame at or before `seconds`, as far as the container's index knows."""
        entries = getattr(self._reader.stream, "index_entries", None)  # PyAV 16 and later
        if not entries or len(entries) < 2:
            return None
        found = entries.search_timestamp(self._reader.timestamp(seconds))
        return None if found < 0 else self._reader.seconds(entries[found].timestamp)


class KeySeeker:
    """Key frames fetched one by one, each with a seek: a very thin sampling that reads little of the file."""

    def __init__(self, reader: FrameReader, key_seconds: NDArray[np.float64], within_seconds: float) -> None:
        self._reader = reader
        self._keys = key_seconds
        self._within = within_seconds
        self._at = -1
        self._shot: Shot | None = None

    def around(self, seconds: float) -> tuple[Shot | None, Shot | None]:
        """The nearest key frame, on the side where it lies; nothing where it is too far off to be of use."""
        nearest = int(np.abs(self._keys - seconds).argmin())
        if abs(self._keys[nearest] - seconds) > self._within:
            return None, None
        if nearest != self._at:
            self._at = nearest
            with av_errors(self._reader.path):
                self._shot = self._reader.key_shot(float(self._keys[nearest]))
        shot = self._shot
        return (shot, None) if shot is None or shot.seconds <= seconds else (None, shot)
