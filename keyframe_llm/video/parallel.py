"""Several readers of one file at once: each looks at a stretch, and what they see comes in time order.

FFmpeg's own threads share out single frames, which leaves cores idle where frames are skipped; stretches of
several seconds each keep them all busy. In memory wait only the small pictures of the next few stretches.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, count
from queue import SimpleQueue
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.video.decoder import Mode, Stretch
from keyframe_llm.video.geometry import Geometry
from keyframe_llm.video.reader import FrameReader, Shot, Skip
from keyframe_llm.video.sampling import TimedSource, sample_times
from keyframe_llm.video.seek import Cursor, KeySeeker

__all__ = ["Eye", "Seen", "Window", "cores", "in_order"]

_MOST_EYES = 8  # each holds a decoder with its reference frames


class Window(NamedTuple):
    """What of the video is wanted, in seconds from its first frame, and how large."""

    start: float
    end: float
    duration: float
    short_side: int


class Seen(NamedTuple):
    """What one stretch gave."""

    pictures: list[tuple[float, NDArray[np.uint8]]]
    ended: bool
    """Whether the file ended before the wanted times did."""


class Eye:
    """One of several that look at the same file; its readers are opened when they are first needed."""

    def __init__(
        self, open_reader: Callable[[Skip], FrameReader], geometry: Geometry, keys: NDArray[np.float64]
    ) -> None:
        self._open_reader, self._geometry, self._keys = open_reader, geometry, keys
        self._readers: dict[str, FrameReader] = {}

    @property
    def readers(self) -> list[FrameReader]:
        """Those in use."""
        return list(self._readers.values())

    def look(self, stretch: Stretch, window: Window, *, last: bool) -> Seen:
        """Frames at the wanted times; the last stretch goes on to the end, wherever that may be."""
        wanted: Iterator[float] = iter(stretch.wanted.tolist())
        if last and stretch.mode != "seek":
            onwards = count(1)
            wanted = chain(wanted, (stretch.wanted[-1] + i * stretch.stride_seconds for i in onwards))
        sources = self._sources(stretch.mode, stretch.stride_seconds)
        start, end, duration, side = window
        shots = sample_times(sources, stretch.stride_seconds, start, end, duration, wanted)
        pictures = [(shot.seconds, self._geometry.picture(shot.frame, side)) for shot in shots]
        return Seen(pictures, len(pictures) < len(stretch.wanted) and self._at_end())

    def close(self) -> None:
        """Free the file."""
        for reader in self._readers.values():
            reader.close()

    def _sources(self, mode: Mode, stride: float) -> list[TimedSource[Shot]]:
        exact = _Late(lambda: self._cursor("DEFAULT", jump=True))
        if mode == "all":
            return [self._cursor("DEFAULT", jump=False)]
        if mode == "reference":
            return [self._cursor("NONREF", jump=False), exact]
        between = _Late(lambda: Cursor(self._reader("between", "NONREF"), jump=True))
        return [KeySeeker(self._reader("NONREF", "NONREF"), self._keys, stride / 2), between, exact]

    def _cursor(self, skip: Skip, *, jump: bool) -> Cursor:
        return Cursor(self._reader(skip, skip), jump=jump)

    def _reader(self, use: str, skip: Skip) -> FrameReader:
        if use not in self._readers:
            self._readers[use] = self._open_reader(skip)
        return self._readers[use]

    def _at_end(self) -> bool:
        return any(reader.ended_by is not None for reader in self.readers)


class _Late:
    """A source that is opened when it is first asked."""

    def __init__(self, make: Callable[[], Cursor]) -> None:
        self._make = make
        self._made: Cursor | None = None

    def around(self, seconds: float) -> tuple[Shot | None, Shot | None]:
        self._made = self._made or self._make()
        return self._made.around(seconds)


def cores() -> int:
    """How many processors this process may use."""
    known = getattr(os, "sched_getaffinity", None)  # not on macOS and Windows
    return len(known(0)) if known else os.cpu_count() or 1


def in_order(
    eyes: Sequence[Eye], stretches: Sequence[Stretch], look: Callable[[Eye, Stretch], Seen]
) -> Iterator[Seen]:
    """What the eyes see, stretch by stretch in time order; each eye is used by one thread at a time."""
    idle: SimpleQueue[Eye] = SimpleQueue()
    for eye in eyes:
        idle.put(eye)

    def work(stretch: Stretch) -> Seen:
        eye = idle.get()
        try:
            return look(eye, stretch)
        finally:
            idle.put(eye)

    waiting: deque[Future[Seen]] = deque()
    with ThreadPoolExecutor(len(eyes), thread_name_prefix="decode") as pool:
        try:
            for stretch in stretches:
                waiting.append(pool.submit(work, stretch))
                if len(waiting) > len(eyes) + 1:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
