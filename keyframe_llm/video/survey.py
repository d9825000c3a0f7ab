"""Surveys a video for the planner: reads the container's index and some packets, decodes nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import av.error
import numpy as np
from av.packet import Packet
from numpy.typing import NDArray

from keyframe_llm.video.costs import Survey
from keyframe_llm.video.reader import FrameReader
from keyframe_llm.video.source import av_errors

__all__ = ["packet_times", "shown_length", "survey_video"]

_HEAD_PACKETS = 300
_SCAN_LIMIT_BYTES = 2 << 30
_WHOLE_INDEX = ("mov", "avi")  # formats whose index lists every frame, with true key flags
_CUE_INDEX = ("matroska", "webm")  # formats whose index lists key frames, read at the first seek


def survey_video(reader: FrameReader, duration_seconds: float | None) -> Survey:
    """Survey the file of an open, otherwise unused reader. Raises `VideoError`."""
    with av_errors(reader.path):
        head = _times(islice(_packets(reader), _HEAD_PACKETS), reader)
        keys, sizes, frames = _from_index(reader, head)
        if keys is not None and len(keys):
            length = shown_length(np.sort(_tail(reader, float(keys.max()))[:, 0]))
        elif Path(reader.path).stat().st_size <= _SCAN_LIMIT_BYTES:
            reader.restart()
            scan = _times(_packets(reader), reader)
            keys, sizes, frames = (
                scan[scan[:, 1] > 0, 0],
                _group_bytes(scan[:, 1], scan[:, 3]),
                len(scan) or None,
            )
            length = shown_length(np.sort(scan[:, 0]))
        else:
            length, sizes = 0.0, None
    if reader.counts:  # skipped frames would not be counted
        head = head[:0]
    if reader.sequential or (keys is not None and len(keys) == 0):
        keys = None  # nothing to seek to
    duration = max(duration_seconds or 0.0, length) or math.inf
    rate = float(reader.stream.average_rate or reader.stream.guessed_rate or 25)
    if frames is None:
        frames = round(duration * rate) if math.isfinite(duration) else 1
    if keys is None:
        return Survey(frames, duration, None, _anchor_gap(head))
    keys, order = np.unique(keys, return_index=True)
    return Survey(frames, duration, keys, _anchor_gap(head), None if sizes is None else sizes[order])


def shown_length(times: NDArray[np.float64]) -> float:
    """About the seconds from the first frame to the end of the last, from (N,) ascending times of frames."""
    if len(times) == 0:
        return 0.0
    return float(times[-1] + (np.median(np.diff(times)) if len(times) > 1 else 0.0))


def packet_times(reader: FrameReader) -> NDArray[np.float64]:
    """(N,) seconds of all packets shown, ascending, from an otherwise unused reader. Raises `VideoError`."""
    with av_errors(reader.path):
        return np.unique(_times(_packets(reader), reader)[:, 0])


def _packets(reader: FrameReader) -> Iterator[Packet[Any]]:
    try:
        yield from (p for p in reader.container.demux(reader.stream) if p.size and not p.is_discard)
    except av.error.FFmpegError:
        return  # a damaged end: the packets before it are all there are


def _times(packets: Iterator[Packet[Any]], reader: FrameReader) -> NDArray[np.float64]:
    """(N, 4) in decoding order: seconds, key flag, seconds from decoding to display, bytes."""
    rows = [
        (
            reader.seconds(p.pts),
            float(p.is_keyframe),
            reader.seconds(p.pts) - reader.seconds(p.dts or p.pts),
            p.size,
        )
        for p in packets
        if p.pts is not None
    ]
    return np.array(rows, dtype=np.float64).reshape(-1, 4)


def _group_bytes(keys: NDArray[Any], sizes: NDArray[np.float64]) -> NDArray[np.float64]:
    """(K, 2) bytes of each key frame, and of the frames from it to the next; from (N,) flags and bytes."""
    at = np.flatnonzero(keys)
    return (
        np.column_stack([sizes[at], np.add.reduceat(sizes, at) - sizes[at]]) if len(at) else np.empty((0, 2))
    )


def _anchor_gap(times: NDArray[np.float64]) -> float | None:
    """The longest step in seconds between frames other than B-frames; None without B-frames."""
    if len(times) == 0:
        return None
    leading = np.maximum.accumulate(times[:, 0])
    anchors = np.unique(leading)
    if len(anchors) == len(times) or len(anchors) < 2:
        return None
    return float(np.diff(anchors).max())


def _from_index(
    reader: FrameReader, head: NDArray[np.float64]
) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None, int | None]:
    """Key-frame times, bytes of groups and the number of frames; None for each that the index lacks."""
    formats = set(reader.container.format.name.split(","))
    if not formats & {*_WHOLE_INDEX, *_CUE_INDEX}:
        return None, None, None
    if formats & set(_CUE_INDEX):
        reader.container.seek(reader.timestamp(0), stream=reader.stream)
    entries = getattr(reader.stream, "index_entries", ())  # PyAV 16 and later
    if len(entries) < 2:
        return None, None, None
    # The index of MP4 and AVI holds decoding times; the first key frames tell the delay until display.
    whole = bool(formats & set(_WHOLE_INDEX))
    delays = head[head[:, 1] > 0, 2]
    delay = float(delays[0]) if whole and len(delays) else 0.0
    # Read one by one, because a list of all entries of an hour takes much memory.
    listed = ((e.timestamp, e.is_keyframe and not e.is_discard, e.size) for e in entries)
    rows = np.fromiter(
        listed, np.dtype([("stamp", np.int64), ("key", bool), ("size", np.float64)]), len(entries)
    )
    keys = np.array([reader.seconds(int(stamp)) + delay for stamp in rows["stamp"][rows["key"]]])
    return keys, _group_bytes(rows["key"], rows["size"]) if whole else None, len(rows) if whole else None


def _tail(reader: FrameReader, last_key: float) -> NDArray[np.float64]:
    """The packets from the last key frame on: where frames are reordered, the stated length is too short."""
    reader.container.seek(reader.timestamp(last_key), stream=reader.stream)
    return _times(_packets(reader), reader)
