"""What an address leads to: a video file, or a page of a site whose video yt-dlp finds."""

from __future__ import annotations

from keyframe_llm.data import Progress
from keyframe_llm.video.byte_source import ByteSource
from keyframe_llm.video.remote import RemoteFile

__all__ = ["open_address"]


def open_address(address: str, progress: Progress | None = None) -> ByteSource:
    """The video behind an `http` or `https` address. Raises `VideoError`."""
    return RemoteFile(address, progress=progress)
