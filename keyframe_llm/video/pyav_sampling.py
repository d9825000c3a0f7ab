"""Carries out a plan with PyAV: from start to end with one reader, or segment by segment with several."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import chain, count
from typing import Protocol

import numpy as np

from keyframe_llm.video.cores import available_cores
from keyframe_llm.video.decoder import DecodePlan, Samples, Segment
from keyframe_llm.video.geometry import Geometry
from keyframe_llm.video.parallel import (
    EXTRA_SAMPLES,
    DecodeWorker,
    SegmentSamples,
    Window,
    decode_in_order,
)
from keyframe_llm.video.reader import FrameReader, Skip, TimedFrame
from keyframe_llm.video.sampling import TimedSource, sample_times, shrink
from keyframe_llm.video.seek import FrameCursor, KeyFrameCursor

__all__ = ["sample_plan"]

_MOST_WORKERS = 8
_MOST_DECODED_PIXELS = 16_000_000  # of one picture for each worker, whose decoders hold ten or more
_MOST_WAITING_BYTES = 256 << 20  # pictures of the segments that wait for their turn


class OpenReader(Protocol):
    """Opens another reader of the file, which is closed when the sampling ends."""

    def __call__(self, skip: Skip, threads: int = 0) -> FrameReader: ...


def sample_plan(
    plan: DecodePlan,
    stride: float,
    window: Window,
    geometry: Geometry,
    exact: FrameCursor,
    open_reader: OpenReader,
) -> Samples:
    """Yield what a plan gives: seconds and small pictures, in time order."""
    if len(plan.segments) < 2:
        sources = [*_sources(plan, stride, exact, open_reader), exact]
        for timed in sample_times(sources, stride, window.start, window.end, window.duration):
            yield timed.seconds, geometry.picture(timed.frame, window.short_side)
        return
    keys = exact.key_seconds
    assert keys is not None  # without them, there are no segments
    wanted = _worker_count(plan, geometry, window.short_side)
    threads = 1 if wanted > 1 else 0
    workers = [
        DecodeWorker(lambda skip: open_reader(skip, threads), geometry, keys) for _ in range(max(1, wanted))
    ]
    finished = [False]
    parts = _one_by_one if wanted < 2 else _in_parallel
    reached = -math.inf
    for second, picture in parts(plan, window, workers, exact, finished):
        if second > reached:
            reached = second
            yield second, picture
    if not finished[0]:
        yield from _rest(plan, window, geometry, exact, reached)


def _worker_count(plan: DecodePlan, geometry: Geometry, short_side: int) -> int:
    """As many workers as there are cores; fewer where their decoders or pictures would not fit in memory."""
    width, height = shrink(*geometry.upright, short_side)
    most = max(len(segment.wanted) for segment in plan.segments) + EXTRA_SAMPLES
    waiting = _MOST_WAITING_BYTES // (most * width * height * 3)
    decoding = _MOST_DECODED_PIXELS // (geometry.width * geometry.height)
    return min(available_cores(), _MOST_WORKERS, waiting - 2, decoding)


def _one_by_one(
    plan: DecodePlan, window: Window, workers: list[DecodeWorker], exact: FrameCursor, finished: list[bool]
) -> Samples:
    for segment in plan.segments:
        if exact.exhausted:
            return
        yield from workers[0].stream(segment, window, last=segment is plan.segments[-1])
    finished[0] = True


def _in_parallel(
    plan: DecodePlan, window: Window, workers: list[DecodeWorker], exact: FrameCursor, finished: list[bool]
) -> Samples:
    last = plan.segments[-1]

    def decode(worker: DecodeWorker, segment: Segment) -> SegmentSamples:
        if exact.exhausted:
            return SegmentSamples([], ended=False, unfinished=True)
        return worker.decode(segment, window, last=segment is last)

    for part in decode_in_order(workers, plan.segments, decode):
        yield from part.pictures
        if part.unfinished:
            return
        if part.ended:
            break
    finished[0] = True


def _rest(
    plan: DecodePlan, window: Window, geometry: Geometry, exact: FrameCursor, reached: float
) -> Samples:
    """The samples after a time, read forwards: seeks cost too much, or the file is longer than it seemed."""
    stride = plan.segments[-1].stride_seconds
    planned = np.concatenate([segment.wanted for segment in plan.segments])
    beyond = (max(float(planned[-1]), reached) + i * stride for i in count(1))
    wanted = chain(planned[planned > reached].tolist(), beyond)
    start, end, duration, side = window
    for timed in sample_times([exact], stride, start, end, duration, wanted):
        if timed.seconds > reached:
            yield timed.seconds, geometry.picture(timed.frame, side)


def _sources(
    plan: DecodePlan, stride: float, exact: FrameCursor, open_reader: OpenReader
) -> Iterator[TimedSource[TimedFrame]]:
    """The cheaper sources of frames, to be tried before the exact cursor."""
    if plan.mode == "all":
        yield FrameCursor(open_reader("DEFAULT"), jump=False)
        return
    if plan.mode == "reference":
        yield FrameCursor(open_reader("NONREF"), jump=False)
        return
    keys = open_reader("NONKEY")
    if plan.mode == "seek" and exact.key_seconds is not None:
        yield KeyFrameCursor(keys, exact.key_seconds, stride / 2)
    else:
        yield FrameCursor(keys, jump=False)
    yield FrameCursor(open_reader("NONREF"), jump=True)
