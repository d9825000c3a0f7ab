"""The clock of a video: where its first frame lies among the timestamps of the file."""

from __future__ import annotations

from dataclasses import dataclass

import av

from keyframe_llm.errors import VideoError
from keyframe_llm.video.byte_source import Place
from keyframe_llm.video.reader import FrameReader

__all__ = ["VideoClock", "video_clock"]


@dataclass(frozen=True, slots=True)
class VideoClock:
    """How times of other streams and of other files become seconds since the first frame shown."""

    first_frame_seconds: float
    """The first frame's time by the file's own timestamps."""
    file_start_seconds: float
    """The time at which the first of all streams begins: what players show as 0, and subtitle files mean."""
    duration_seconds: float | None
    """No frame is shown after it, counted from the first one; None where the file does not say for sure."""

    @property
    def subtitle_file_delay(self) -> float:
        """What is added to the times of a subtitle file."""
        return self.file_start_seconds - self.first_frame_seconds


def video_clock(place: Place, max_pixels: int | None = None) -> VideoClock:
    """Decode the first frame to see its time. Raises `VideoError` where no frame can be shown."""
    with FrameReader(place, max_pixels=max_pixels, threads=1) as reader:
        start, length = reader.container.start_time, reader.container.duration
        if next(reader.timed_frames(), None) is None:
            raise VideoError(f"{reader.path}: no frame can be decoded; the file is damaged, make it again")
        first = (reader.timeline.origin or 0) * float(reader.stream.time_base or 0)
        file_start = first if start is None else start / av.time_base
        duration = reader.stated_seconds
        if reader.traits.clock_may_jump:  # timestamps may start again, and the length is made of them
            duration = None
        elif length and not reader.traits.lists_frames:  # what is stated may be a length, taken for an end
            duration = max(duration or 0.0, file_start + length / av.time_base - first)
        return VideoClock(first, file_start, duration)
