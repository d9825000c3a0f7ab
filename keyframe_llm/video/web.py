"""What an address leads to: a video file, or a page of a site, in which yt-dlp finds the file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keyframe_llm.data import Progress
from keyframe_llm.errors import VideoError
from keyframe_llm.video.addresses import scheme_of
from keyframe_llm.video.byte_source import ByteSource
from keyframe_llm.video.remote import RemoteFile
from keyframe_llm.video.server import PageError, RemoteLimits

__all__ = ["open_address"]

# One file that can be read in parts; sound is not needed.
_FORMAT = "bv*[protocol=https]/bv*[protocol=http]"
_PREFERRED = ["res:1080", "ext:mp4:m4a"]
_SECONDS = 20
_LONGEST_REASON = 300


def open_address(
    address: str, progress: Progress | None = None, limits: RemoteLimits | None = None
) -> ByteSource:
    """The video behind an `http` or `https` address. Raises `VideoError`.

    An address that leads to a web page needs yt-dlp, which the extra `web` brings.
    """
    try:
        return RemoteFile(address, limits, progress=progress)
    except PageError as error:
        name = error.name
    found = _found_in_page(address, name)
    identity = repr([found.get(key) for key in ("extractor_key", "id", "format_id")])
    headers = {str(key): str(value) for key, value in (found.get("http_headers") or {}).items()}
    return RemoteFile(found["url"], limits, headers=headers, name=name, identity=identity, progress=progress)


def _found_in_page(address: str, name: str) -> Mapping[str, Any]:
    """What yt-dlp tells of the first video of a page."""
    try:
        from yt_dlp import YoutubeDL
        from yt_dlp.utils import YoutubeDLError
    except ImportError as error:
        raise VideoError(
            f'{name} is a web page; to find the video in it, pip install "keyframe-llm[web]"'
        ) from error
    options = {
        "format": _FORMAT,
        "format_sort": _PREFERRED,
        "playlist_items": "1",
        "noplaylist": True,
        "socket_timeout": _SECONDS,
        "cachedir": False,
        "logger": _Silent(),
        "color": "never",
    }
    try:
        with YoutubeDL(options) as downloader:
            found: Any = downloader.extract_info(address, download=False)
    except YoutubeDLError as error:
        raise VideoError(f"{name}: yt-dlp finds no video file there ({_reason(error)})") from error
    while isinstance(found, dict) and "entries" in found:
        found = next(iter(found["entries"]), None)
    if not isinstance(found, dict) or scheme_of(str(found.get("url"))) not in ("http", "https"):
        raise VideoError(f"{name}: yt-dlp finds no video file there; give the address of a video file")
    if found.get("is_live"):
        raise VideoError(f"{name} is live; wait until it has ended, and give the address of the recording")
    return found


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split()).removeprefix("ERROR: ")
    printable = "".join(letter for letter in text if letter.isprintable())
    return printable[:_LONGEST_REASON]


class _Silent:
    """Takes what yt-dlp would print; its errors are raised as well."""

    def debug(self, message: str) -> None:
        """Print nothing."""

    warning = error = debug
