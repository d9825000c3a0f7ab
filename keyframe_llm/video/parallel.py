"""Parallel readers: several workers decode segments of one file; samples are yielded in time order.

FFmpeg's own threads divide single frames among cores, which leaves cores idle where frames are skipped.
Segments of several seconds keep all cores busy. Only the small pictures of the next few segments are kept in
memory.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, count, islice
from queue import SimpleQueue
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.video.costs import Times
from keyframe_llm.video.decoder import Mode, Samples, Segment
from keyframe_llm.video.geometry import Geometry
from keyframe_llm.video.reader import FrameReader, Skip, TimedFrame
from keyframe_llm.video.sampling import TimedSource, sample_times
from keyframe_llm.video.seek import FrameCursor, KeyFrameCursor

__all__ = ["EXTRA_SAMPLES", "DecodeWorker", "SegmentSamples", "Window", "decode_in_order"]

EXTRA_SAMPLES = 16
"""The last segment may give this many samples more than planned, if the file is longer than it seemed."""


class Window(NamedTuple):
    """The part of the video that is sampled, in seconds from its first frame, and the size of pictures."""

    start: float
    end: float
    duration: float
    short_side: int


class SegmentSamples(NamedTuple):
    """The samples of one segment."""

    pictures: list[tuple[float, NDArray[np.uint8]]]
    ended: bool
    """Whether the file ended before the wanted times did."""
    unfinished: bool
    """Whether the file goes on, but this segment and those after it are not decoded in parallel."""


class DecodeWorker:
    """Decodes segments of a file, one at a time. Opens each of its readers when it first needs it."""

    def __init__(self, open_reader: Callable[[Skip], FrameReader], geometry: Geometry, keys: Times) -> None:
        self._open_reader, self._geometry, self._keys = open_reader, geometry, keys
        self._readers: dict[str, FrameReader] = {}

    def decode(self, segment: Segment, window: Window, *, last: bool) -> SegmentSamples:
        """The samples of one segment; a few more of the last one, if the file goes on."""
        most = len(segment.wanted) + EXTRA_SAMPLES
        pictures = list(islice(self.stream(segment, window, last=last), most))
        ended = len(pictures) < len(segment.wanted) and self._at_end()
        return SegmentSamples(pictures, ended, unfinished=len(pictures) == most)

    def stream(self, segment: Segment, window: Window, *, last: bool) -> Samples:
        """Sample one segment; the last one is sampled to the end of the file, wherever that is."""
        wanted: Iterator[float] = iter(segment.wanted.tolist())
        if last and segment.mode != "seek":
            steps = count(1)
            wanted = chain(wanted, (segment.wanted[-1] + i * segment.stride_seconds for i in steps))
        sources = self._sources(segment.mode, segment.stride_seconds, segment.wanted)
        start, end, duration, side = window
        for timed in sample_times(sources, segment.stride_seconds, start, end, duration, wanted):
            yield timed.seconds, self._geometry.picture(timed.frame, side)

    def _sources(self, mode: Mode, stride: float, wanted: Times) -> list[TimedSource[TimedFrame]]:
        exact = _LazyCursor(lambda: FrameCursor(self._reader("DEFAULT", "DEFAULT"), jump=True))
        if mode == "all":
            return [FrameCursor(self._reader("DEFAULT", "DEFAULT"), jump=True, wanted=wanted)]
        if mode == "reference":
            return [FrameCursor(self._reader("NONREF", "NONREF"), jump=True, wanted=wanted), exact]
        between = _LazyCursor(
            lambda: FrameCursor(
                self._reader("between", "NONREF"), jump=True, wanted=self._between(wanted, stride)
            )
        )
        return [KeyFrameCursor(self._reader("NONREF", "NONREF"), self._keys, stride / 2), between, exact]

    def _between(self, wanted: Times, stride: float) -> Times:
        """Those of the wanted times that no key frame is near."""
        after = np.searchsorted(self._keys, wanted)
        around = self._keys[np.stack([after - 1, after]).clip(0, len(self._keys) - 1)]
        return np.asarray(wanted[np.abs(around - wanted).min(axis=0) > stride / 2])

    def _reader(self, use: str, skip: Skip) -> FrameReader:
        if use not in self._readers:
            self._readers[use] = self._open_reader(skip)
        return self._readers[use]

    def _at_end(self) -> bool:
        return any(reader.ended_by is not None for reader in self._readers.values())


class _LazyCursor:
    """A cursor that is opened at the first request."""

    def __init__(self, make: Callable[[], FrameCursor]) -> None:
        self._make = make
        self._made: FrameCursor | None = None

    def around(self, seconds: float) -> tuple[TimedFrame | None, TimedFrame | None]:
        self._made = self._made or self._make()
        return self._made.around(seconds)


def decode_in_order(
    workers: Sequence[DecodeWorker],
    segments: Sequence[Segment],
    decode: Callable[[DecodeWorker, Segment], SegmentSamples],
) -> Iterator[SegmentSamples]:
    """The samples of each segment, in time order. One thread at a time uses a worker."""
    idle: SimpleQueue[DecodeWorker] = SimpleQueue()
    for worker in workers:
        idle.put(worker)

    def run(segment: Segment) -> SegmentSamples:
        worker = idle.get()
        try:
            return decode(worker, segment)
        finally:
            idle.put(worker)

    pending: deque[Future[SegmentSamples]] = deque()
    with ThreadPoolExecutor(len(workers), thread_name_prefix="decode") as pool:
        try:
            for segment in segments:
                pending.append(pool.submit(run, segment))
                if len(pending) > len(workers) + 1:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
