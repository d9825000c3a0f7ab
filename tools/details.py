"""What is known of a video without any model: what its file states, and when its look changes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from keyframe_llm.data import Proposals
from keyframe_llm.tools.limits import Limits
from keyframe_llm.tools.results import Chapter, Track, VideoDetails, VideoFacts
from keyframe_llm.tools.text import printable
from keyframe_llm.tools.times import format_time

__all__ = ["change_seconds", "stated_details"]

_LONGEST_TITLE = 200
_MOST_CHAPTERS = 100
_MOST_CHANGES = 50


def stated_details(path: Path, video: VideoFacts, limits: Limits) -> VideoDetails:
    """What the header of a file states; `video` is what is known of it already. Raises `VideoError`."""
    from keyframe_llm.video.source import av_errors, check_path, open_container, video_stream
    from keyframe_llm.words.tracks import embedded_tracks, tracks_beside

    name, beside = check_path(path), tracks_beside(path)
    with open_container(name, limits.max_pixels) as container, av_errors(name):
        stream = video_stream(container, name)
        rate = stream.average_rate
        return {
            "video": video,
            "size_bytes": path.stat().st_size,
            "codec": stream.codec_context.name,
            "average_fps": None if rate is None else round(float(rate), 3),
            "title": _text(container.metadata.get("title")),
            "sound": [_track(each) for each in container.streams.audio],
            "subtitles": [_track(each) for each in container.streams.subtitles],
            "subtitle_files": [str(track.file) for track in beside],
            "has_transcript": any(track.kind == "text" for track in [*embedded_tracks(container), *beside]),
            "chapters": _chapters(container),
            "change_seconds": None,
            "warnings": [],
        }


def change_seconds(proposals: Proposals) -> list[float]:
    """Seconds of the first sampled frames that look unlike those before them; at most 50, spread evenly."""
    first = np.flatnonzero(np.diff(proposals.labels)) + 1
    seconds = proposals.sampled_seconds[first]
    step = max(1, math.ceil(len(seconds) / _MOST_CHANGES))
    return [round(float(second), 3) for second in seconds[::step]]


def _track(stream: Any) -> Track:
    codec = getattr(stream.codec_context, "name", None) or "unknown"
    return {"codec": codec, "language": _text(stream.language), "title": _text(stream.metadata.get("title"))}


def _chapters(container: Any) -> list[Chapter]:
    chapters: Iterable[Any] = container.chapters() if hasattr(container, "chapters") else ()  # PyAV 15
    return [
        {
            "start_seconds": round(start, 3),
            "time": format_time(start),
            "title": _text(chapter["metadata"].get("title")),
        }
        for chapter in list(chapters)[:_MOST_CHAPTERS]
        if (start := max(0.0, float(chapter["start"] * chapter["time_base"]))) is not None
    ]


def _text(text: str | None) -> str | None:
    return printable(text, _LONGEST_TITLE) if text else None
