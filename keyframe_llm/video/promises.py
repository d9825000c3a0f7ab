"""Refuses MP4 files whose tables promise far more samples than the file can hold.

FFmpeg makes room for all promised samples when it opens a file: three kilobytes can cost gigabytes of memory.
"""

from __future__ import annotations

import re
import struct
import sys
import zlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, NamedTuple
from weakref import WeakKeyDictionary

from keyframe_llm.errors import VideoError
from keyframe_llm.video.byte_source import ByteSource, Place, open_bytes

__all__ = ["check_promises"]

# The boxes that FFmpeg looks into at the outermost level; it skips all others.
_HEADERS = frozenset(
    b"moov moof trak mdia minf stbl traf udta meta dinf edts mvex sinf tref wave stsd wide cmov".split()
    + b"stsz stts ctts trun".split()
)
_HIDING = (b"free", b"hoov")  # taken for a `moov` where it begins like one
_TABLES = re.compile(rb"hdlr|stsz|stts|ctts|trun")
_LARGEST_HEADER = 128_000_000
_MOST_BOXES = 2_000_000
_ALWAYS_ALLOWED_BYTES = 1_000_000
_BYTES_PER_PICTURE = 4  # at least: the size of its entry in the table of sizes
_PER_SAMPLE_FIELDS = 0x000F00  # flags of a `trun` that lists something for each sample
_HEADER_BYTES = 8
_checked: WeakKeyDictionary[ByteSource, str | None] = WeakKeyDictionary()


class _Box(NamedTuple):
    kind: bytes
    start: int
    """Where its content begins."""
    end: int


def check_promises(place: Place) -> None:
    """Raise `VideoError` for an MP4 file that promises more samples than it has bytes for."""
    if isinstance(place, str):
        status = Path(place).stat()
        name, problem = place, _problem_of_file(place, status.st_size, status.st_mtime_ns)
    else:
        if place not in _checked:
            _checked[place] = _problem(place, place.size)
        name, problem = place.name, _checked[place]
    if problem is not None:
        raise VideoError(f"{name} {problem}")


@lru_cache(maxsize=64)
def _problem_of_file(path: str, size: int, _modified: int) -> str | None:
    return _problem(path, size)


def _problem(place: Place, size: int) -> str | None:
    if size < _HEADER_BYTES:
        return None
    # Every file is taken for an MP4: FFmpeg recognises one by more than its first bytes.
    with open_bytes(place) as file:
        promised = 0
        for count, box in enumerate(_boxes(file, size)):
            if count == _MOST_BOXES:
                return f"is made of over {_MOST_BOXES:,} boxes; it is damaged, or made to do harm"
            if box.kind in _HEADERS or (box.kind in _HIDING and _begins_an_index(file, box)):
                # With its kind, as a table may stand outside any other box.
                header = box.kind + _read(file, box.start, box.end - box.start)
                promised += _promised_bytes(header) + _promised_bytes(_unpacked(header))
    # The tables of sizes, of decoding times and of display times each count the same samples.
    if promised <= _ALWAYS_ALLOWED_BYTES + 3 * size:
        return None
    return (
        f"promises samples of {promised:,} bytes or more, but has {size:,} in all; it is damaged, or made to "
        "do harm"
    )


def _boxes(file: BinaryIO, size: int) -> Iterator[_Box]:
    """The outermost boxes of a file, as long as they follow each other."""
    start = 0
    while size - start >= _HEADER_BYTES:
        length, kind = struct.unpack(">I4s", _read(file, start, 8).ljust(8, b"\0"))
        content = start + _HEADER_BYTES
        if length == 1:
            length, content = int.from_bytes(_read(file, content, 8), "big"), content + 8
        if length == 0:
            length = size - start
        if length < content - start:
            return
        yield _Box(kind, content, min(size, start + length))
        start += length


def _begins_an_index(file: BinaryIO, box: _Box) -> bool:
    return _read(file, box.start + 4, 4) in (b"mvhd", b"cmov")


def _promised_bytes(header: bytes) -> int:
    """Bytes of the samples that the tables within a header promise without listing each of them."""
    promised, least, unread = 0, 1, len(header)
    for found in _TABLES.finditer(header):
        kind, start = found.group(), found.end()
        if kind == b"hdlr":
            least = 1 if header[start + 8 : start + 12] == b"soun" else _BYTES_PER_PICTURE
        elif kind in (b"stts", b"ctts"):
            runs = _runs(header, start)
            promised += least * sum(length for length, _ in struct.iter_unpack(">II", runs))
            unread -= len(runs)
            if unread < 0:  # tables of a real file do not overlap
                return sys.maxsize
        else:
            promised += _sample_bytes(header, kind, start, least)
    return promised


def _runs(header: bytes, start: int) -> bytes:
    """The rows of a table of runs: how many samples have one length, and that length."""
    count = int.from_bytes(header[start + 4 : start + 8], "big")
    rows = header[start + 8 : start + 8 + 8 * count]
    return rows[: len(rows) // 8 * 8]


def _sample_bytes(header: bytes, kind: bytes, start: int, least: int) -> int:
    """Bytes of the samples that a table counts; a sample has at least `least` bytes."""
    flags, first, second = struct.unpack(">III", header[start : start + 12].ljust(12, b"\0"))
    if kind == b"stsz":
        return second * max(first, least) if first else 0
    return 0 if flags & _PER_SAMPLE_FIELDS else first


def _unpacked(header: bytes) -> bytes:
    """A compressed index within a header, as far as it can be read; empty where there is none."""
    at = header.find(b"cmvd")
    try:
        return b"" if at < 0 else zlib.decompressobj().decompress(header[at + 8 :], _LARGEST_HEADER)
    except zlib.error:
        return b""


def _read(file: BinaryIO, at: int, length: int) -> bytes:
    file.seek(at)
    return file.read(min(length, _LARGEST_HEADER))
