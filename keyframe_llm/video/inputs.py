"""What people may give as a video, and where its bytes or frames then are."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import IO, Any

from keyframe_llm.data import Progress
from keyframe_llm.errors import OptionsError, VideoError, shortened
from keyframe_llm.video.addresses import data_content, local_path, scheme_of, without_password
from keyframe_llm.video.byte_source import ByteSource, Content, FileObject, file_errors
from keyframe_llm.video.frame_list import FrameList
from keyframe_llm.video.temporary import temporary_copy

__all__ = ["VideoInput", "VideoSource", "as_source", "existing_source"]

VideoInput = str | bytes | bytearray | memoryview | os.PathLike[Any] | IO[bytes] | ByteSource | FrameList
"""What people may give as a video: see `as_source`."""

VideoSource = str | ByteSource | FrameList
"""A video that can be opened: the path of a local file, a source of bytes, or frames."""

_LONGEST_PATH = 4096
_PIECE = 1 << 20


def as_source(video: VideoInput, progress: Progress | None = None) -> VideoSource:
    """Where a video is, of whatever kind it was given.

    That is the path of a file as text, bytes or `PathLike`; an address of `http`, `https`, `file` or `data`;
    the content of a file as bytes; a binary file object; or a `FrameList`. Bytes are a path where they hold
    no zero byte, as every path and no video. `progress` hears of a file that is copied as a whole. Raises
    `VideoError`, and `OptionsError` for anything else.
    """
    if isinstance(video, (ByteSource, FrameList)):
        return video
    if isinstance(video, (bytearray, memoryview)):
        return Content(video)
    if isinstance(video, bytes):
        return Content(video) if len(video) > _LONGEST_PATH or b"\0" in video else _path(video)
    if isinstance(video, os.PathLike):
        return _path(video)
    if isinstance(video, str):
        return _named(video, progress)
    if hasattr(video, "read"):
        return _file_object(video)
    if isinstance(video, Sequence) or hasattr(video, "__array__"):
        raise OptionsError(
            f"the video is a {type(video).__name__}, and nothing says when its frames were shown; "
            "give FrameList(frames, fps=…) or FrameList(frames, seconds=…)"
        )
    raise OptionsError(
        f"the video is {shortened(video)}; give a path, an address, bytes, a file object or a FrameList"
    )


def existing_source(video: VideoInput) -> VideoSource:
    """As `as_source`; raises `VideoError` too where a path leads to no file that can be read."""
    source = as_source(video)
    if isinstance(source, str):
        from keyframe_llm.video.source import check_path  # loads FFmpeg

        return check_path(source)
    return source


def _path(path: str | bytes | os.PathLike[Any]) -> str:
    """The path as text that is never taken for an address."""
    text = os.fsdecode(path)
    return text if scheme_of(text) is None else f".{os.sep}{text}"


def _named(video: str, progress: Progress | None) -> VideoSource:
    scheme = scheme_of(video)
    if scheme is None:
        return video
    if scheme == "file":
        return _path(local_path(video))
    if scheme == "data":
        return Content(data_content(video), name="the data address")
    if scheme in ("http", "https"):
        from keyframe_llm.video.web import open_address  # loads httpx

        return open_address(video, progress)
    shown = shortened(without_password(video))
    raise VideoError(f"{shown} is an address of {scheme!r}; give one of http, https or file, or a local path")


def _file_object(file: IO[bytes]) -> FileObject:
    """The file object; where it cannot seek, a copy of what is left in it."""
    given = getattr(file, "name", None)
    name = given if isinstance(given, str) else "the file object given"
    with file_errors(name):
        text, seekable = isinstance(file.read(0), str), file.seekable()
    if text:
        raise OptionsError(f"the video is {shortened(file)}, which reads text; open it with mode 'rb'")
    if seekable:
        return FileObject(file)
    return FileObject(temporary_copy(_pieces(file, name), name), name, owned=True)


def _pieces(file: IO[bytes], name: str) -> Iterator[bytes]:
    with file_errors(name):
        while piece := file.read(_PIECE):
            yield piece
