"""What tells one index from another, in memory and on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from weakref import ref

from keyframe_llm.options import SelectOptions
from keyframe_llm.scoring.selectors import needs_sharpness, propose_options
from keyframe_llm.video import VideoInput, VideoSource, as_source
from keyframe_llm.words.tracks import files_beside

__all__ = ["made_of", "subtitle_files", "video_key"]


def video_key(video: VideoInput, options: SelectOptions) -> tuple[Any, ...]:
    """What tells one index from another: the video as it is now, and the options of its stages."""
    source = as_source(video)
    if not isinstance(source, str):
        return (source.name, source.digest() or ref(source), *made_of(options))
    path = Path(source).resolve()
    stat = path.stat() if path.exists() else None
    seen = (stat.st_mtime_ns, stat.st_size) if stat else ()
    return (str(path), *seen, *made_of(options))


def subtitle_files(source: VideoSource) -> tuple[tuple[int, ...], ...]:
    """The subtitle files beside a video as they are now: one may be written after the video was read."""
    beside = files_beside(source) if isinstance(source, str) else []
    found = [path.stat() for path in beside if path.exists()]
    return tuple((each.st_ino, each.st_size, each.st_mtime_ns) for each in found)


def made_of(options: SelectOptions) -> tuple[Any, ...]:
    """The very objects that the stages of an index are given."""
    return options.decode, propose_options(options), needs_sharpness(options.choose.method)
