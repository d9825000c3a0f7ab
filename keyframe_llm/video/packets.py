"""The packets of a stream as a table: times, key flags and sizes, without decoding."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import av.error
import numpy as np
from av.packet import Packet
from numpy.typing import NDArray

from keyframe_llm.video.clock import Clock
from keyframe_llm.video.costs import Times
from keyframe_llm.video.reader import FrameReader
from keyframe_llm.video.source import demux

__all__ = ["Rows", "group_bytes", "packet_rows", "readable_packets", "shown_packets", "with_times"]

Rows = NDArray[np.void]
"""(N,) packets in file order, with the fields of `_ROW`."""
_ROW = np.dtype(
    [
        ("seconds", np.float64),  # the time of display; NaN: unknown
        ("key", bool),
        ("delay", np.float64),  # seconds from decoding to display
        ("size", np.float64),  # bytes
        ("end", np.int64),  # where in the file it ends; -1: unknown
    ]
)


def readable_packets(reader: FrameReader, stream: Any) -> Iterator[Packet[Any]]:
    """The packets of one stream, or of all where it is None, to the end of the file or the first damage."""
    try:
        yield from (packet for packet in demux(reader.container, stream) if packet.size)
    except av.error.FFmpegError:
        return


def shown_packets(reader: FrameReader, clock: Clock | None = None) -> Iterator[Packet[Any]]:
    """The packets of the frames that are shown, with the timestamps that the clock corrects."""
    for packet in readable_packets(reader, reader.stream):
        if clock is not None:
            clock.correct(packet)
        if not packet.is_discard:
            yield packet


def packet_rows(packets: Iterator[Packet[Any]], reader: FrameReader) -> Rows:
    """The table of these packets of a reader's stream."""
    return np.fromiter((_row(packet, reader) for packet in packets), _ROW)


def _row(packet: Packet[Any], reader: FrameReader) -> tuple[float, bool, float, int, int]:
    pts, dts, seconds = packet.pts, packet.dts, reader.timeline.seconds
    stamp = dts if reader.traits.decoding_times or pts is None else pts
    delay = 0.0 if pts is None or dts is None else seconds(pts) - seconds(dts)
    end = -1 if packet.pos is None else packet.pos + packet.size
    return (math.nan if stamp is None else seconds(stamp)), packet.is_keyframe, delay, packet.size, end


def with_times(rows: Any, reader: FrameReader) -> Rows:
    """The rows with known times: counted by the frame rate if there are none, else from the first frame."""
    known: Rows = rows[np.isfinite(rows["seconds"])]
    timeline = reader.timeline
    if len(known) == 0:
        known = rows.copy()
        step = timeline.seconds((timeline.origin or 0) + timeline.ticks_per_frame)
        known["seconds"] = np.arange(len(rows)) * step
    elif reader.traits.decoding_times:
        known["seconds"] -= known["seconds"].min()
    return known


def group_bytes(rows: Rows) -> Times:
    """(K, 2) bytes of each key frame, and of the frames from it to the next."""
    at = np.flatnonzero(rows["key"])
    if len(at) == 0:
        return np.empty((0, 2))
    return np.column_stack([rows["size"][at], np.add.reduceat(rows["size"], at) - rows["size"][at]])
