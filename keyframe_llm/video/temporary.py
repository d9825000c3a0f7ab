"""Bytes in temporary files that have no name: they are gone with this process, however that ends."""

from __future__ import annotations

import tempfile
import weakref
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import IO

from keyframe_llm.errors import VideoError

__all__ = ["MOST_BYTES", "BlockCache", "TooLargeError", "temporary_copy"]

MOST_BYTES = 8_000_000_000
"""How much of one video is copied to a temporary file."""


class TooLargeError(VideoError):
    """A file is larger than what is copied."""


def temporary_copy(pieces: Iterable[bytes], name: str, most_bytes: int = MOST_BYTES) -> IO[bytes]:
    """A file without a name that holds all pieces; whoever gets it closes it.

    Raises `TooLargeError` where they are more than `most_bytes`, `VideoError` where the disk is full.
    """
    file = _new_file()
    try:
        _write(pieces, file, name, most_bytes)
    except BaseException:
        file.close()
        raise
    return file


def _new_file() -> IO[bytes]:
    with _disk_errors():
        # Without a buffer, so that nothing is left to write when it is closed.
        return tempfile.TemporaryFile(buffering=0, prefix="keyframe-llm-")


def _write(pieces: Iterable[bytes], file: IO[bytes], name: str, most_bytes: int) -> None:
    written = 0
    for piece in pieces:
        written += len(piece)
        if written > most_bytes:
            raise TooLargeError(
                f"{name} has more than the {most_bytes:,} bytes that are copied to a temporary file; "
                "save it yourself, and give the path"
            )
        _write_all(file, piece)


class BlockCache:
    """Blocks of a file, at most `most` of them, on disk; those unused longest go first."""

    def __init__(self, block_bytes: int, most: int) -> None:
        self._block_bytes, self._most, self._lock = block_bytes, most, Lock()
        self._file = _new_file()
        weakref.finalize(self, self._file.close)
        self._slots: OrderedDict[int, tuple[int, int]] = OrderedDict()
        """For each block its place in the file, in blocks, and its length in bytes."""

    def __contains__(self, block: int) -> bool:
        with self._lock:
            return block in self._slots

    def get(self, block: int) -> bytes | None:
        """The bytes of a block; None where it is not kept."""
        with self._lock:
            if block not in self._slots:
                return None
            self._slots.move_to_end(block)
            slot, length = self._slots[block]
            self._file.seek(slot * self._block_bytes)
            return self._file.read(length)

    def put(self, block: int, data: bytes) -> None:
        """Keep a block. Raises `VideoError` where the disk is full."""
        with self._lock:
            known = self._slots.pop(block, None)
            full = known is None and len(self._slots) >= self._most
            slot = (known or self._slots.popitem(last=False)[1])[0] if known or full else len(self._slots)
            self._file.seek(slot * self._block_bytes)
            _write_all(self._file, data)
            self._slots[block] = (slot, len(data))


def _write_all(file: IO[bytes], data: bytes) -> None:
    rest = memoryview(data)
    with _disk_errors():
        while rest:
            rest = rest[file.write(rest) :]


@contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise VideoError(
            f"a temporary file in {_folder()} cannot be written ({error.strerror or error}); "
            "free some space, or name another folder in TMPDIR"
        ) from error


def _folder() -> str:
    try:
        return repr(tempfile.gettempdir())
    except OSError:  # none of the usual folders can be written
        return "the folder for temporary files"
