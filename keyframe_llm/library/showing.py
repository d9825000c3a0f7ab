"""Showing what a search found: frames of files that are still what was indexed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from keyframe_llm.data import Frames
from keyframe_llm.errors import VideoError
from keyframe_llm.index.store import file_digest
from keyframe_llm.library.catalogue import Catalogue
from keyframe_llm.options import DecodeOptions
from keyframe_llm.video import open_video

__all__ = ["current_file", "frames_at"]

_SHORT_SIDE = 720
"""Frames of several videos are shown at most so many pixels on their shorter side."""


def current_file(catalogue: Catalogue, path: str) -> str:
    """The file at `path`, or another one that holds the same video, with the content that was indexed.

    A file whose size or time is another than when it was indexed is read and compared. Raises `VideoError`
    where no such file is left: its times would be those of another video.
    """
    video = catalogue.video_at(path)
    if video is not None:
        for each in dict.fromkeys([path, *catalogue.files_of(video)]):
            if _unchanged(catalogue, each, video):
                return each
    raise VideoError(f"{path!r} is gone or was changed since it was indexed; index its folder again")


def frames_at(path: str, seconds: Sequence[float], decode: DecodeOptions) -> Frames:
    """The frames of a video at ascending times, upright, with their true times. Raises `VideoError`."""
    with open_video(path, decode.backend, decode.max_picture_pixels, decode.hardware) as decoder:
        return decoder.decode_at(seconds, short_side=_SHORT_SIDE)


def _unchanged(catalogue: Catalogue, path: str, video: int) -> bool:
    state = catalogue.file_state(path)
    try:
        stat = Path(path).stat()
        if state is None or stat.st_size != state.bytes:
            return False
        return stat.st_mtime_ns == state.modified_ns or file_digest(Path(path)) == catalogue.digest_of(video)
    except OSError:
        return False
