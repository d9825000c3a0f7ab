"""Videos behind `http://` and `https://` addresses, read in parts as they are needed.

A server that answers with parts of a file is asked for those that are read, each once: they are kept in a
temporary file, which all readers share. From a server that cannot, the whole file is copied there first.
"""

from __future__ import annotations

import re
import weakref
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import PurePosixPath
from threading import Condition

import httpx

from keyframe_llm.data import Progress
from keyframe_llm.errors import VideoError
from keyframe_llm.video.addresses import without_password
from keyframe_llm.video.byte_source import ByteSource, FileObject
from keyframe_llm.video.server import BrokenError, RemoteLimits, Server, parsed_address
from keyframe_llm.video.temporary import BlockCache, TooLargeError, temporary_copy

__all__ = ["RemoteFile"]

_BLOCK = 1 << 18
_MOST_BLOCKS_AT_ONCE = 32
_REMEMBERED_RUNS = 32


class RemoteFile(ByteSource):
    """A video file behind an address. Raises `VideoError` where the server has none, or does not answer.

    `headers` are sent with each request. `identity` tells the video from others where its address changes
    from day to day. `progress` hears of a file that is copied as a whole.
    """

    def __init__(
        self,
        address: str,
        limits: RemoteLimits | None = None,
        *,
        headers: dict[str, str] | None = None,
        name: str | None = None,
        identity: str | None = None,
        progress: Progress | None = None,
    ) -> None:
        self._limits = limits or RemoteLimits()
        self._address = self._source = parsed_address(address)
        """What was given, and where that leads to."""
        self.name = name or without_password(address)
        self._identity, self._progress = identity or str(self._address), progress
        self._server = Server(self.name, self._limits, headers or {})
        weakref.finalize(self, self._server.close)
        self._arrival = Condition()
        self._in_flight: set[int] = set()
        """The blocks that threads have asked for and that are not here yet."""
        self._failure: VideoError | None = None
        self._version: str | None = None
        """The ETag, or the time of the last change: what tells this content from a later one."""
        self._runs: dict[int, int] = {}
        """How many blocks were asked for at once, by the block that comes after them."""
        self._whole: FileObject | None = None
        """The whole file, where the server gives no parts of it."""
        self._begin()

    @property
    def file_name(self) -> str:
        """See `ByteSource`."""
        return PurePosixPath(self._address.path).name or super().file_name

    def read_at(self, position: int, count: int) -> bytes:
        """See `ByteSource`. After an error, every further call raises it again."""
        if self._failure is not None:
            raise self._failure
        if self._whole is not None:
            return self._whole.read_at(position, count)
        if position >= self.size:
            return b""
        block, offset = divmod(position, _BLOCK)
        try:
            data = self._cache.get(block) or self._fetch(block)
        except VideoError as error:
            self._failure = error
            raise
        return data[offset : offset + count]

    def digest(self) -> str | None:
        """The address with what the server says of the file's version; where it says nothing, None."""
        if self._whole is not None:
            return self._whole.digest()
        if self._version is None:
            return None
        return repr((self._identity, self.size, self._version))

    # The first answer --------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Ask for the first part: the answer tells whether the server gives parts."""
        for attempt in range(1, self._limits.attempts + 1):
            try:
                with self._server.answer(self._source, 0, _BLOCK) as response:
                    if response.status_code == HTTPStatus.PARTIAL_CONTENT:
                        self._begin_parts(response)
                    else:
                        self._copy(response)
                    return
            except BrokenError as error:
                self._server.wait(attempt, error)

    def _begin_parts(self, response: httpx.Response) -> None:
        first, _, size = _content_range(response)
        if first != 0 or not size:
            self._server.fail("answers with other bytes than it was asked for")
        self.size, self._source = size, response.url
        self._cache = BlockCache(_BLOCK, max(1, self._limits.kept_bytes // _BLOCK))
        self._version = response.headers.get("ETag") or response.headers.get("Last-Modified")
        for data in self._blocks(response, 0, min(_BLOCK, size)):
            self._cache.put(0, data)

    def _copy(self, response: httpx.Response) -> None:
        """Copy the whole file, as the server gives no parts of it."""
        stated = response.headers.get("Content-Length", "")
        size = int(stated) if stated.isdecimal() else None
        if size is not None and size > self._limits.most_bytes:
            raise TooLargeError(
                f"{self.name}: the server does not give parts of the file, and all its {size:,} bytes are "
                f"more than the {self._limits.most_bytes:,} that are copied; save it yourself, and give the "
                "path"
            )
        pieces = self._reported(response, size)
        copy = temporary_copy(pieces, self.name, self._limits.most_bytes)
        self._whole = FileObject(copy, self.name, owned=True)
        self.size = self._whole.size

    def _reported(self, response: httpx.Response, size: int | None) -> Iterator[bytes]:
        received = 0
        for piece in self._server.pieces(response):
            received += len(piece)
            if self._progress is not None:
                self._progress("download", min(1.0, received / size) if size else 0.0)
            yield piece

    # Parts -------------------------------------------------------------------------------------------

    def _fetch(self, block: int) -> bytes:
        """A block that is not kept: from another thread's answer that it is in, or from one of its own."""
        with self._arrival:
            while block in self._in_flight:
                self._arrival.wait()
            data = self._cache.get(block)
            if data is not None:
                return data
            end = self._end_of_request(block)
            self._in_flight.update(range(block, end))
        try:
            return self._fetch_blocks(block, end)
        finally:
            with self._arrival:
                self._in_flight.difference_update(range(block, end))
                self._arrival.notify_all()

    def _end_of_request(self, block: int) -> int:
        """Up to which block to ask: the further, the longer the file has been read on."""
        count = min(_MOST_BLOCKS_AT_ONCE, 2 * self._runs.pop(block, 0) or 1)
        last = -(-self.size // _BLOCK)
        ahead = range(block + 1, block + count)
        known = (b for b in ahead if b >= last or b in self._cache or b in self._in_flight)
        end = next(known, block + count)
        self._runs[end] = count
        while len(self._runs) > _REMEMBERED_RUNS:
            self._runs.pop(next(iter(self._runs)))
        return end

    def _fetch_blocks(self, block: int, end: int) -> bytes:
        """Keep blocks up to `end`; returns the first."""
        wanted: bytes | None = None
        at, attempt = block, 1
        while at < end:
            before = at
            try:
                for data in self._part(at, end):
                    self._cache.put(at, data)
                    wanted = data if wanted is None else wanted
                    with self._arrival:
                        self._in_flight.discard(at)
                        self._arrival.notify_all()
                    at += 1
            except BrokenError as error:
                attempt = 1 if at > before else attempt + 1
                if at == before:
                    self._server.wait(attempt - 1, error)
        assert wanted is not None
        return wanted

    def _part(self, block: int, end_block: int) -> Iterator[bytes]:
        """The blocks of one answer. Raises `BrokenError` where it ends early."""
        start, end = block * _BLOCK, min(end_block * _BLOCK, self.size)
        with self._server.answer(self._source, start, end) as response:
            version = response.headers.get("ETag") or response.headers.get("Last-Modified")
            if response.status_code != HTTPStatus.PARTIAL_CONTENT or version != self._version:
                self._server.fail("has another version of the file than before; start again")
            first, last, size = _content_range(response)
            if first != start or size != self.size or last >= end:
                self._server.fail("answers with other bytes than it was asked for")
            yield from self._blocks(response, start, end)

    def _blocks(self, response: httpx.Response, start: int, end: int) -> Iterator[bytes]:
        held = bytearray()
        for piece in self._server.pieces(response):
            held += piece
            while len(held) >= _BLOCK or (held and start + len(held) >= end):
                size = min(_BLOCK, end - start)
                if size <= 0:
                    self._server.fail("sends more bytes than it was asked for")
                yield bytes(held[:size])
                del held[:size]
                start += size
        if start < end:
            raise BrokenError("ended its answer early")


def _content_range(response: httpx.Response) -> tuple[int, int, int]:
    """The first and last byte of an answer and the size of the file; all -1 where it does not say so."""
    found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", response.headers.get("Content-Range", "").strip())
    return (int(found[1]), int(found[2]), int(found[3])) if found else (-1, -1, -1)
