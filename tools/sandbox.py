"""What an agent may open: files in the allowed folders, within limits of length and size.

The arguments of an agent are not trusted. Paths are resolved, with all symbolic links, before they are
compared with the allowed folders; a file's header is checked before anything is decoded; messages name files
by the part of their path below an allowed folder.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import islice
from pathlib import Path
from typing import Any

from keyframe_llm.errors import KeyframeError, OptionsError

__all__ = ["AllowedFile", "Limits", "Roots", "ToolError", "check_header"]

_SUFFIXES = {".avi", ".flv", ".gif", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ts", ".webm", ".wmv"}
_MOST_HINTS = 10
_MOST_ENTRIES = 2000


class ToolError(KeyframeError):
    """A call that is refused, or that failed in a way the agent can act on; its message is safe to show."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a call may cost. Raises `OptionsError` on a value that is not above 0."""

    max_duration_seconds: float = 4 * 3600.0
    """The longest video that is opened, by its header, or by its packets if the header states no length."""
    max_pixels: int = 4096 * 2304
    """The largest picture, width times height: as stored, anywhere in the file, and as displayed."""
    max_frames: int = 8
    """The most key frames of one call, 1–64."""
    image_side: int = 768
    """Key frames are returned at most this many pixels wide or high."""
    concurrent_calls: int = 2
    """Calls that run at once; models are used by one of them at a time."""
    waiting_calls: int = 128
    """Calls that may wait for their turn; more are refused."""
    timeout_seconds: float = 300.0
    """A call ends after this long, its waiting included."""
    max_download_bytes: int = 512 << 20
    """The most that is read from a URL."""
    download_seconds: float = 60.0
    """The longest a download may take."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value, whole = getattr(self, field.name), isinstance(field.default, int)
            kind = int if whole else (int, float)
            if not (isinstance(value, kind) and math.isfinite(value) and value > 0):
                what = "whole number" if whole else "number"
                raise OptionsError(f"{field.name} is {value!r}; give a {what} above 0")
        if self.max_frames > 64:
            raise OptionsError(f"max_frames is {self.max_frames}; give a whole number from 1 to 64")


@dataclass(frozen=True, slots=True)
class AllowedFile:
    """A file that may be opened."""

    path: Path
    """Resolved: it has no symbolic link in it."""
    name: str
    """Its name in results and messages."""


class Roots:
    """The folders whose files may be opened. Raises `OptionsError` for one that is no folder."""

    def __init__(self, folders: Sequence[str | os.PathLike[str]]) -> None:
        if not folders or isinstance(folders, str):
            raise OptionsError(f"roots are {folders!r}; give a list of at least one folder")
        self._folders: list[Path] = []
        for folder in folders:
            resolved = Path(folder).resolve()
            if not resolved.is_dir():
                raise OptionsError(f"root {os.fspath(folder)!r} is not a folder; give one that exists")
            self._folders.append(resolved)

    def find(self, video: str) -> AllowedFile:
        """Find the file an agent named, by a path that is absolute or relative to a root.

        Raises `ToolError`, with the same message, for a file that is missing and for one outside the roots:
        it does not tell which files exist outside.
        """
        if video.strip() and "\0" not in video:
            for candidate in self._candidates(video):
                found = self._inside(candidate)
                if found is not None:
                    return found
        names = ", ".join(self._nearby(video))
        hint = f"; videos there: {names}" if names else "; ask which folder holds the video"
        raise ToolError(f"there is no video {video!r} in the allowed folders{hint}")

    def relative_text(self, text: str) -> str:
        """The text with all paths below the roots made relative to them."""
        for root in self._folders:
            text = text.replace(f"{root}{os.sep}", "")
        return text

    def _candidates(self, video: str) -> list[Path]:
        path = Path(video)
        return [path] if path.is_absolute() else [root / path for root in self._folders]

    def _inside(self, candidate: Path) -> AllowedFile | None:
        try:
            path = candidate.resolve(strict=True)
        except (OSError, RuntimeError, ValueError):  # missing, a loop of links, a name no file can have
            return None
        for root in self._folders:
            if path.is_relative_to(root):
                return AllowedFile(path, path.relative_to(root).as_posix())
        return None

    def _nearby(self, video: str) -> list[str]:
        """Names of a few videos in the folder of the path, or at the top of the roots."""
        try:
            parents = [self._inside(c.parent) for c in self._candidates(video)] if "\0" not in video else []
        except ValueError:
            parents = []
        folders = [found.path for found in parents if found is not None] or self._folders
        names = sorted(name for folder in folders for name in self._videos(folder))
        return [*names[:_MOST_HINTS], *(["…"] if len(names) > _MOST_HINTS else [])]

    def _videos(self, folder: Path) -> Iterator[str]:
        if not folder.is_dir():
            return
        with os.scandir(folder) as entries:
            for entry in islice(entries, _MOST_ENTRIES):
                if Path(entry.name).suffix.lower() in _SUFFIXES and entry.is_file(follow_symlinks=False):
                    found = self._inside(folder / entry.name)
                    if found is not None:
                        yield found.name


def check_header(path: Path, limits: Limits, check: Callable[[], None] = lambda: None) -> str | None:
    """Check length and size before anything is decoded; returns the comment in the file's header.

    If the header states no length the packets are read, and `check` is called between them; it raises to
    stop. Raises `ToolError` for a video that is too long or too large, `VideoError` for a file that is no
    video.
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
            seconds.append(_measured_seconds(container, stream, limits.max_duration_seconds, check))
        if max(seconds) > limits.max_duration_seconds:
            raise ToolError(
                f"{name} is {max(seconds):,.0f} s long, and at most {limits.max_duration_seconds:,.0f} s are "
                "allowed; use a shorter cut of it"
            )
        comment: str | None = container.metadata.get("comment")
        return comment


def _measured_seconds(container: Any, stream: Any, enough: float, check: Callable[[], None]) -> float:
    """The length of a stream by its packets' times, or their number; reading ends beyond `enough`."""
    tick = 1 / float(stream.guessed_rate or stream.average_rate or 25)
    first: float | None = None
    length = 0.0
    for count, packet in enumerate(container.demux(stream)):
        check()
        timestamp = packet.pts if packet.pts is not None else packet.dts
        second = count * tick if timestamp is None else float(timestamp * stream.time_base)
        first = second if first is None else first
        length = max(length, second - first, 0.0 if timestamp is not None else (count + 1) * tick)
        if length > enough:
            break
    return length
