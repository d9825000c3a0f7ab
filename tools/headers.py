"""What a file states about itself, checked before anything of it is decoded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from keyframe_llm.tools.limits import Limits, ToolError

__all__ = ["check_header", "stated_seconds"]


def check_header(path: Path, limits: Limits) -> None:
    """Check length and size before anything is decoded.

    If the header states no length the packets are read. Raises `ToolError` for a video that is too long or
    too large, `VideoError` for a file that is no video.
    """
    import av

    from keyframe_llm.video.source import av_errors, check_path, open_container, video_stream

    name = check_path(path)
    with open_container(name, limits.max_pixels) as container, av_errors(name):
        stream = video_stream(container, name)
        pixels = max(each.width * each.height for each in container.streams.video)
        if not stream.width * stream.height:
            raise ToolError(
                f"{name} states no size of its pictures, or they are of over {limits.max_pixels:,} pixels; "
                "use a smaller copy"
            )
        if pixels > limits.max_pixels:
            raise ToolError(
                f"{name} has pictures of {pixels:,} pixels, and at most {limits.max_pixels:,} are allowed; "
                "use a smaller copy"
            )
        seconds = [container.duration / av.time_base] if container.duration else []
        if stream.duration and stream.time_base:
            seconds.append(float(stream.duration * stream.time_base))
        if not seconds:
            seconds.append(_measured_seconds(container, stream, limits.max_duration_seconds))
        if max(seconds) > limits.max_duration_seconds:
            raise ToolError(
                f"{name} is {max(seconds):,.0f} s long, and at most {limits.max_duration_seconds:,.0f} s are "
                "allowed; use a shorter cut of it"
            )


def stated_seconds(path: Path, limits: Limits) -> float | None:
    """The length that a file's header states. Raises `VideoError` for a file that is no video."""
    import av

    from keyframe_llm.video.source import av_errors, check_path, open_container

    name = check_path(path)
    with open_container(name, limits.max_pixels) as container, av_errors(name):
        return container.duration / av.time_base if container.duration else None


def _measured_seconds(container: Any, stream: Any, enough: float) -> float:
    """The length of a stream by its packets' times, or their number; reading ends beyond `enough`."""
    from keyframe_llm.video.source import demux

    tick = 1 / float(stream.guessed_rate or stream.average_rate or 25)
    first: float | None = None
    length = 0.0
    for count, packet in enumerate(demux(container, stream)):
        timestamp = packet.pts if packet.pts is not None else packet.dts
        second = count * tick if timestamp is None else float(timestamp * stream.time_base)
        first = second if first is None else first
        length = max(length, second - first, 0.0 if timestamp is not None else (count + 1) * tick)
        if length > enough:
            break
    return length
