"""The length and the frame rate of a video as its file states them."""

from __future__ import annotations

import re
from dataclasses import dataclass

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from keyframe_llm.video.container import ContainerTraits

__all__ = ["Stated", "read_stated"]


@dataclass(frozen=True, slots=True)
class Stated:
    """What a file says of its length, in seconds from the first frame shown; None: it does not say."""

    end_of_pictures: float | None
    """When its pictures end, on the clock of its own timestamps."""
    end_of_everything: float | None
    """When its pictures or, where that is not stated, all that is in it ends; sound may be longer."""
    average_fps: float | None
    """Frames per second on average."""
    starts_at_zero: bool
    """Whether the clock begins with 0 whatever time the first frame has, as in an AVI."""

    def pictures(self, first_seconds: float) -> float | None:
        """The length of the pictures, given the time of the first frame on the clock of the file."""
        return self._length(self.end_of_pictures, first_seconds)

    def everything(self, first_seconds: float) -> float | None:
        """The length of the whole file, given the time of the first frame on the clock of the file."""
        return self._length(self.end_of_everything, first_seconds)

    def _length(self, end: float | None, first_seconds: float) -> float | None:
        length = 0.0 if end is None else end - (0.0 if self.starts_at_zero else first_seconds)
        return length if length > 0 else None


def read_stated(container: InputContainer, stream: VideoStream, traits: ContainerTraits) -> Stated:
    """Read it before any packet is read: later, FFmpeg derives a start time that changes the end."""
    tag = stream.metadata.get("DURATION")  # Matroska: 00:00:13.013000000, the time of the end
    end = None if tag is None else _clock_seconds(tag)
    base = float(stream.time_base or 0)
    whole = container.duration / av.time_base if container.duration else None
    if end is None and stream.duration:
        end = stream.duration * base
        if traits.lists_frames:  # others state an end, or a length: the earlier of the two is never too late
            end += (stream.start_time or 0) * base
    if end is None and len(container.streams) == 1:
        end = whole
    everything = whole if end is None else end
    avi = traits.decoding_times and traits.lists_frames
    fps = _places_fps(stream, everything) if avi else stream.average_rate
    return Stated(end, everything, float(fps) if fps else None, starts_at_zero=avi)


def _places_fps(stream: VideoStream, end: float | None) -> float | None:
    """The frame rate of an AVI, whose stated rate is that of places for frames: some may be empty."""
    frames = len(getattr(stream, "index_entries", ()))  # PyAV 16 and later
    if frames > 1 and end:
        return frames / end
    rate = stream.guessed_rate or stream.average_rate
    return float(rate) if rate else None


def _clock_seconds(text: str) -> float | None:
    """Seconds of `hours:minutes:seconds`; None where it is not that."""
    match = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d*)?)", text.strip())
    return None if match is None else int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3])
