"""Videos that are no local files: bytes that several readers read at any place."""

from __future__ import annotations

import hashlib
import io
import os
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import IO, Any, BinaryIO, TypeVar

from keyframe_llm.errors import VideoError

__all__ = ["ByteSource", "Content", "FileObject", "Place", "file_errors", "open_bytes", "place_size"]

_BLOCK = 1 << 20

T = TypeVar("T")


class ByteSource(ABC):
    """The bytes of one video file. Several threads may read."""

    name: str
    """What messages and results call it, one line."""
    size: int
    """How many bytes there are."""
    _digest: str | None = None

    @abstractmethod
    def read_at(self, position: int, count: int) -> bytes:
        """At most `count` bytes from a position on, none from the end on. Raises `VideoError`."""

    @property
    def file_name(self) -> str:
        """The name of the file, whose ending may tell the format."""
        return "video"

    def open(self) -> BinaryIO:
        """A reader of its own, at the start."""
        return io.BufferedReader(_Reader(self), _BLOCK >> 4)

    def digest(self) -> str | None:
        """What tells this content from any other; None where that is not known."""
        if self._digest is None:
            digest, at = hashlib.blake2b(digest_size=16), 0
            while block := self.read_at(at, _BLOCK):
                digest.update(block)
                at += len(block)
            self._digest = digest.hexdigest()
        return self._digest


Place = str | ByteSource
"""Where the bytes of a video are: the path of a local file, or a source of bytes."""


def open_bytes(place: Place) -> BinaryIO:
    """A reader of the bytes at a place, at their start."""
    return Path(place).open("rb") if isinstance(place, str) else place.open()


def place_size(place: Place) -> int:
    """How many bytes there are at a place."""
    return Path(place).stat().st_size if isinstance(place, str) else place.size


class Content(ByteSource):
    """A video file that is in memory."""

    def __init__(self, content: bytes | bytearray | memoryview, name: str = "the bytes given") -> None:
        self._content = bytes(content)
        self.name, self.size = name, len(self._content)
        if not self.size:
            raise VideoError(f"{name} are empty (0 bytes); give the content of a video file")

    def read_at(self, position: int, count: int) -> bytes:
        """See `ByteSource`."""
        return self._content[position : position + count]


class FileObject(ByteSource):
    """A binary file object that can seek, read from its start. Its position stays as it is.

    One that is `owned` is closed with this object.
    """

    def __init__(self, file: IO[bytes], name: str | None = None, *, owned: bool = False) -> None:
        if owned:
            weakref.finalize(self, file.close)
        self._file, self._lock = file, Lock()
        given = getattr(file, "name", None)
        self._own_name = given if isinstance(given, str) else None
        self.name = name or self._own_name or "the file object given"
        self.size = self._call(lambda: self._file.seek(0, os.SEEK_END))
        if not self.size:
            raise VideoError(f"{self.name} is empty (0 bytes); give a file object with a video")

    @property
    def file_name(self) -> str:
        """See `ByteSource`."""
        return super().file_name if self._own_name is None else Path(self._own_name).name

    def read_at(self, position: int, count: int) -> bytes:
        """See `ByteSource`."""

        def read() -> bytes:
            self._file.seek(position)
            return self._file.read(count)

        return self._call(read)

    def _call(self, call: Callable[[], T]) -> T:
        with file_errors(self.name), self._lock:
            before = self._file.tell()
            try:
                return call()
            finally:
                self._file.seek(before)


@contextmanager
def file_errors(name: str) -> Iterator[None]:
    """Make a `VideoError` of what a file object raises that is closed or broken."""
    try:
        yield
    except (OSError, ValueError) as error:
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())
        raise VideoError(f"{name} cannot be read ({reason}); give an open file object") from error


class _Reader(io.RawIOBase):
    """One position in a source."""

    def __init__(self, source: ByteSource) -> None:
        self._source, self._position = source, 0
        self.name = source.file_name

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._source.read_at(self._position, len(buffer))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._source.size}[whence]
        self._position = max(0, start + offset)
        return self._position
