"""Refuses MP4 files whose tables promise far more samples than the file can hold.

FFmpeg makes room for all promised samples when it opens a file: three kilobytes can cost gigabytes of memory.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, NamedTuple

from keyframe_llm.errors import VideoError

__all__ = ["check_promises"]

_FIRST = (b"ftyp", b"moov", b"mdat", b"moof", b"styp", b"free", b"skip", b"wide", b"pnot", b"sidx", b"uuid")
_PARENTS = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf")
_RUNS = (b"stts", b"ctts")
_ALWAYS_ALLOWED_BYTES = 1_000_000
_BYTES_PER_PICTURE = 4  # at least: the size of its entry in the table of sizes
_PER_SAMPLE_FIELDS = 0x000F00  # flags of a `trun` that lists something for each sample
_MOST_DEPTH = 8


class _Box(NamedTuple):
    kind: bytes
    start: int
    """Where its content begins."""
    end: int


def check_promises(path: str) -> None:
    """Raise `VideoError` for an MP4 file that promises more samples than it has bytes for."""
    status = Path(path).stat()
    problem = _problem(path, status.st_size, status.st_mtime_ns)
    if problem is not None:
        raise VideoError(f"{path} {problem}")


@lru_cache(maxsize=64)
def _problem(path: str, size: int, _modified: int) -> str | None:
    with Path(path).open("rb") as file:
        if file.read(8)[4:] not in _FIRST:
            return None
        promised, least = 0, 1
        for box in _boxes(file, 0, size, _MOST_DEPTH):
            if box.kind == b"hdlr":
                least = 1 if _read(file, box.start + 8, 4) == b"soun" else _BYTES_PER_PICTURE
            promised += _promised_bytes(file, box, least)
    # The tables of sizes, of decoding times and of display times each count the same samples.
    if promised <= _ALWAYS_ALLOWED_BYTES + 3 * size:
        return None
    return (
        f"promises samples of {promised:,} bytes or more, but has {size:,} in all; it is damaged, or made to "
        "do harm"
    )


def _boxes(file: BinaryIO, start: int, end: int, depth: int) -> Iterator[_Box]:
    """All boxes in a range of bytes, those inside others after them."""
    while end - start >= 8 and depth:
        length, kind = struct.unpack(">I4s", _read(file, start, 8))
        content = start + 8
        if length == 1:
            length, content = int.from_bytes(_read(file, content, 8), "big"), content + 8
        if length == 0:
            length = end - start
        if length < content - start:
            return
        box = _Box(kind, content, min(end, start + length))
        yield box
        if kind in _PARENTS:
            yield from _boxes(file, box.start, box.end, depth - 1)
        start += length


def _promised_bytes(file: BinaryIO, box: _Box, least: int) -> int:
    """Bytes of the samples that a box promises without listing each; a sample has at least `least` bytes."""
    if box.kind == b"stsz":
        size, count = struct.unpack(">II", _read(file, box.start + 4, 8))
        return count * max(size, least) if size else 0
    if box.kind in _RUNS:
        count = min(int.from_bytes(_read(file, box.start + 4, 4), "big"), (box.end - box.start) // 8)
        runs = _read(file, box.start + 8, 8 * count)
        lengths: Iterator[tuple[int, int]] = struct.iter_unpack(">II", runs[: len(runs) // 8 * 8])
        return least * sum(length for length, _ in lengths)
    if box.kind == b"trun":
        flags, count = struct.unpack(">II", _read(file, box.start, 8))
        return 0 if flags & _PER_SAMPLE_FIELDS else count
    return 0


def _read(file: BinaryIO, at: int, length: int) -> bytes:
    """These bytes; a short header is filled up, so that it can be unpacked."""
    file.seek(at)
    data = file.read(length)
    return data.ljust(length, b"\0") if length <= 8 else data
