"""The text of a subtitle packet. FFmpeg gives every text format as a line of ASS."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import av.error

__all__ = ["event_text"]

_FIELDS_BEFORE_TEXT = 8


def event_text(packet: Any) -> Iterator[str]:
    """The texts that a packet shows, with markup; none for a gap, a picture or a damaged packet."""
    try:
        events = packet.decode()
    except av.error.FFmpegError:
        return
    for event in events:
        line = getattr(event, "ass", b"")
        fields = line.decode("utf-8", errors="replace").split(",", _FIELDS_BEFORE_TEXT)
        if len(fields) > _FIELDS_BEFORE_TEXT:
            yield fields[_FIELDS_BEFORE_TEXT]
