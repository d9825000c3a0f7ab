"""Frames and clips as files, in the one folder that the operator allows."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from io import BufferedWriter
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import Any

from keyframe_llm.errors import OptionsError
from keyframe_llm.tools.limits import Limits, ToolError

__all__ = ["SaveFolder", "cut_clip"]

_LONGEST_STEM = 60
_MOST_OF_ONE_NAME = 1000
_SOUND_LEAD_SECONDS = 3.0
_MP4_CODECS = {"h264", "hevc", "av1", "mpeg4", "aac", "mp3", "ac3", "opus"}


class SaveFolder:
    """A folder for files that users keep. Raises `OptionsError` where it is no folder."""

    def __init__(self, folder: str | os.PathLike[str], limits: Limits) -> None:
        self._folder = Path(folder).resolve()
        if not self._folder.is_dir():
            raise OptionsError(f"save folder {os.fspath(folder)!r} is not a folder; give one that exists")
        self._most, self._saved, self._lock = limits.max_saved_bytes, 0, Lock()

    @property
    def room(self) -> int:
        """How many more bytes may be saved."""
        return self._most - self._saved

    def save(self, source: Path, video: str, what: str) -> Path:
        """Copy a file under a new name, after the video and what is in it; returns its path.

        Raises `ToolError` where the limit is reached or the file cannot be written.
        """
        size = source.stat().st_size
        with self._lock:
            _check_room(size, self.room)
            self._saved += size
        try:
            with source.open("rb") as data, self._new_file(f"{_stem(video)}_{what}", source.suffix) as file:
                shutil.copyfileobj(data, file)
                return Path(file.name)
        except OSError as error:
            raise ToolError(f"nothing can be saved here ({error.strerror}); tell the user") from error

    def _new_file(self, stem: str, suffix: str) -> BufferedWriter:
        """A file that was not there before, open to be written."""
        for number in range(1, _MOST_OF_ONE_NAME):
            with suppress(FileExistsError):
                return (self._folder / f"{stem}{f'_{number}' if number > 1 else ''}{suffix}").open("xb")
        return (self._folder / f"{stem}{suffix}").open("xb")


def cut_clip(source: str, target: Path, start: float, end: float, room: int) -> tuple[Path, float]:
    """Copy a part of a video, without decoding it, into a file named like `target` with a suffix of its own.

    The clip begins at the key frame at or before `start`. Returns its path, and the second at which it
    begins. Raises `VideoError`, and `ToolError` where it has more than `room` bytes.
    """
    import av

    from keyframe_llm.video.source import av_errors, open_container, video_stream

    with open_container(source) as container, av_errors(source):
        picture: Any = video_stream(container, source)
        streams = [picture, *container.streams.audio]
        plain = all(stream.codec_context.name in _MP4_CODECS for stream in streams)
        path = target.with_suffix(".mp4" if plain else ".mkv")
        zero = float(picture.start_time * picture.time_base) if picture.start_time else 0.0
        begin = _key_second(container, picture, start + zero)
        # Sound may lie in the file before the pictures of the same time.
        _seek(container, picture, begin - _SOUND_LEAD_SECONDS)
        with av.open(str(path), "w") as out:
            copies = {stream.index: out.add_stream_from_template(stream) for stream in streams}
            copied = 0
            for packet in _packets(container, streams, picture, begin, end + zero):
                copied += packet.size
                _check_room(copied, room)
                shift = round(begin / packet.time_base)
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                packet.stream = copies[packet.stream.index]
                out.mux(packet)
    return path, max(0.0, begin - zero)


def _check_room(size: int, room: int) -> None:
    if size > room:
        raise ToolError(
            f"this takes {size:,} bytes or more, and only {max(0, room):,} more may be saved; tell the user "
            "to allow more, or save less"
        )


def _seek(container: Any, picture: Any, second: float) -> None:
    container.seek(max(0, int(second / picture.time_base)), stream=picture)


def _key_second(container: Any, picture: Any, start: float) -> float:
    """The time of the key frame at or before `start`, on the clock of the file."""
    from keyframe_llm.video.source import demux

    _seek(container, picture, start)
    for packet in demux(container, picture):
        if packet.is_keyframe and packet.pts is not None:
            return float(packet.pts * packet.time_base)
    raise ToolError("there is nothing to save in this part of the video; give another window")


def _packets(container: Any, streams: list[Any], picture: Any, begin: float, end: float) -> Iterator[Any]:
    """The packets from one time to another, the pictures from their key frame on."""
    from keyframe_llm.video.source import demux

    begun = False
    for packet in demux(container, streams):
        if packet.dts is None or packet.pts is None:
            continue
        second = float(packet.pts * packet.time_base)
        if packet.stream is picture:
            begun = begun or (packet.is_keyframe and second >= begin)
        if float(packet.dts * packet.time_base) >= end:
            if packet.stream is picture:
                return
        elif second >= begin and (begun or packet.stream is not picture):
            yield packet


def _stem(video: str) -> str:
    """A plain name for the files of a video: ASCII letters, digits, dashes and dots inside."""
    name = PurePosixPath(video.partition("?")[0]).stem
    plain = re.sub(r"[^A-Za-z0-9.-]+", "_", name).strip("._-")
    return plain[:_LONGEST_STEM] or "video"
