"""The length of a video as its file states it."""

from __future__ import annotations

import re
from dataclasses import dataclass

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from keyframe_llm.video.container import ContainerTraits

__all__ = ["StatedEnd", "stated_end"]


@dataclass(frozen=True, slots=True)
class StatedEnd:
    """When a file says that it ends, in seconds on its own clock; None: it does not say."""

    pictures: float | None
    """The end of the pictures."""
    everything: float | None
    """The end of the pictures or, where that is not stated, of the whole file; its sound may be longer."""


def stated_end(container: InputContainer, stream: VideoStream, traits: ContainerTraits) -> StatedEnd:
    """Read it before any packet is read: later, FFmpeg derives a start time that changes the end."""
    tag = stream.metadata.get("DURATION")  # Matroska: 00:00:13.013000000, the time of the end
    seconds = None if tag is None else _clock_seconds(tag)
    base = float(stream.time_base or 0)
    whole = container.duration / av.time_base if container.duration else None
    if seconds is None and stream.duration:
        seconds = stream.duration * base
        if traits.lists_frames:  # others state an end, or a length: the earlier of the two is never too late
            seconds += (stream.start_time or 0) * base
    if seconds is None and len(container.streams) == 1:
        seconds = whole
    return StatedEnd(seconds, whole if seconds is None else seconds)


def _clock_seconds(text: str) -> float | None:
    """Seconds of `hours:minutes:seconds`; None where it is not that."""
    match = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d*)?)", text.strip())
    return None if match is None else int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3])
