"""Finds parts of a file that are not shown although they are there."""

from __future__ import annotations

from keyframe_llm.video.byte_source import place_size
from keyframe_llm.video.packets import readable_packets
from keyframe_llm.video.reader import FrameReader

__all__ = ["unseen_parts"]

_LEAST_BYTES = 16 << 10
_LEAST_SHARE = 0.1
_CLOSE_SECONDS = 1.0


def unseen_parts(reader: FrameReader, last_byte: int, end_seconds: float) -> list[str]:
    """One line for each: another track that follows the pictures of a reader's stream, or bytes never read.

    `last_byte` is where the last packet of the stream ends, and `end_seconds` when its last picture does.
    """
    lines = []
    later = _later_track(reader, end_seconds)
    if later is not None:
        lines.append(f"has another track of pictures, from {later:.1f} s on, which is not shown")
    size = place_size(reader.place)
    if reader.traits.ends_with_packets and _is_much(size - last_byte, size):
        reader.restart()
        packets = readable_packets(reader, None)
        ends = (packet.pos + packet.size for packet in packets if packet.pos is not None)
        last_byte = max(ends, default=last_byte)
        if _is_much(size - last_byte, size):
            lines.append(
                f"can be read only to byte {last_byte:,} of {size:,}; if recordings were joined to one file, "
                "only the first is shown"
            )
    return lines


def _is_much(unread: int, size: int) -> bool:
    return unread > max(_LEAST_BYTES, _LEAST_SHARE * size)


def _later_track(reader: FrameReader, end_seconds: float) -> float | None:
    """When another track of pictures begins after this one has ended, in seconds; None: there is none."""
    base, shown = reader.stream.time_base, reader.stream.index
    others = [s.index for s in reader.container.streams.video if s.index != shown]
    for index in others:
        reader.restart()
        stream = reader.container.streams[index]
        stamps = (packet.pts for packet in readable_packets(reader, stream))
        first = next((stamp for stamp in stamps if stamp is not None), None)
        if first is not None and stream.time_base and base:
            begin = reader.timeline.seconds(round(first * stream.time_base / base))
            if begin >= end_seconds - _CLOSE_SECONDS:
                return begin
    return None
