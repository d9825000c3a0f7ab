"""Videos behind `http://` and `https://` addresses, read in parts as they are needed.

A server that answers with parts of a file is asked for those that are read, each once: they are kept in a
temporary file, which all readers share. From a server that cannot, the whole file is copied there first.
"""

from __future__ import annotations

import re
import time
import weakref
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import PurePosixPath
from threading import Lock
from typing import NoReturn

import httpx

from keyframe_llm.data import Progress
from keyframe_llm.errors import VideoError
from keyframe_llm.version import __version__
from keyframe_llm.video.addresses import scheme_of, without_password
from keyframe_llm.video.byte_source import ByteSource, FileObject
from keyframe_llm.video.deadline import within
from keyframe_llm.video.temporary import MOST_BYTES, BlockCache, temporary_copy

__all__ = ["PageError", "RemoteFile", "RemoteLimits"]

_BLOCK = 1 << 18
_MOST_BLOCKS_AT_ONCE = 32
_REMEMBERED_RUNS = 32
_MOST_REDIRECTS = 10
_BUSY = (429, 500, 502, 503, 504)
_PAGES = ("text/html", "application/xhtml+xml")
_PLAYLISTS = ("mpegurl", "dash+xml", "vnd.ms-sstr+xml")


@dataclass(frozen=True, slots=True)
class RemoteLimits:
    """How long a server is waited for, and how much of its files is kept."""

    connect_seconds: float = 15.0
    answer_seconds: float = 120.0
    """The beginning of an answer must have arrived within this time, behind all redirects."""
    silent_seconds: float = 30.0
    """A server that sends nothing for so long is given up."""
    least_bytes: int = 1 << 16
    """A server must send so much within that time."""
    attempts: int = 3
    """How often a part is asked for, where the connection breaks or the server is busy."""
    retry_seconds: float = 1.0
    """How long to wait before the second attempt; twice as long before the third."""
    most_bytes: int = MOST_BYTES
    """The largest file that is copied as a whole."""
    kept_bytes: int = 1 << 30
    """How much of a file that is read in parts is kept on disk."""


class PageError(VideoError):
    """The address leads to a web page, which holds no video itself."""

    def __init__(self, name: str) -> None:
        self.name = name
        """What messages call the address."""
        super().__init__(f"{name} is a web page and not a video; give the address of a video file")


class _BrokenError(Exception):
    """The connection ended early, or the server is busy: it may be asked again."""


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
        self._address = self._source = _parsed(address)
        """What was given, and where that leads to."""
        self.name = name or without_password(address)
        self._identity, self._progress = identity or str(self._address), progress
        self._client = _client(self._limits, headers or {}, self.name)
        weakref.finalize(self, self._client.close)
        self._lock = Lock()
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
                with self._answer(0, _BLOCK) as response:
                    if response.status_code == HTTPStatus.PARTIAL_CONTENT:
                        self._begin_parts(response)
                    else:
                        self._copy(response)
                    return
            except _BrokenError as error:
                self._wait(attempt, error)

    def _begin_parts(self, response: httpx.Response) -> None:
        first, _, size = _content_range(response)
        if first != 0 or not size:
            self._fail("answers with other bytes than it was asked for")
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
            self._fail(
                f"does not give parts of the file, and all its {size:,} bytes are more than the "
                f"{self._limits.most_bytes:,} that are copied; save it yourself, and give the path"
            )
        pieces = self._reported(response, size)
        copy = temporary_copy(pieces, self.name, self._limits.most_bytes)
        self._whole = FileObject(copy, self.name, owned=True)
        self.size = self._whole.size

    def _reported(self, response: httpx.Response, size: int | None) -> Iterator[bytes]:
        received = 0
        for piece in self._pieces(response):
            received += len(piece)
            if self._progress is not None:
                self._progress("download", min(1.0, received / size) if size else 0.0)
            yield piece

    # Parts -------------------------------------------------------------------------------------------

    def _fetch(self, block: int) -> bytes:
        """A block from the server, and some that follow it: the more, the longer the file is read on."""
        with self._lock:
            count = min(_MOST_BLOCKS_AT_ONCE, 2 * self._runs.pop(block, 0) or 1)
        last = -(-self.size // _BLOCK)
        end = next(
            (b for b in range(block + 1, block + count) if b >= last or b in self._cache), block + count
        )
        wanted: bytes | None = None
        at, attempt = block, 1
        while at < end:
            before = at
            try:
                for data in self._part(at, end):
                    self._cache.put(at, data)
                    wanted = data if wanted is None else wanted
                    at += 1
            except _BrokenError as error:
                attempt = 1 if at > before else attempt + 1
                if at == before:
                    self._wait(attempt - 1, error)
        with self._lock:
            self._runs[end] = count
            while len(self._runs) > _REMEMBERED_RUNS:
                self._runs.pop(next(iter(self._runs)))
        assert wanted is not None
        return wanted

    def _part(self, block: int, end_block: int) -> Iterator[bytes]:
        """The blocks of one answer. Raises `_BrokenError` where it ends early."""
        start, end = block * _BLOCK, min(end_block * _BLOCK, self.size)
        with self._answer(start, end) as response:
            version = response.headers.get("ETag") or response.headers.get("Last-Modified")
            if response.status_code != HTTPStatus.PARTIAL_CONTENT or version != self._version:
                self._fail("has another version of the file than before; start again")
            first, last, size = _content_range(response)
            if first != start or size != self.size or last >= end:
                self._fail("answers with other bytes than it was asked for")
            yield from self._blocks(response, start, end)

    def _blocks(self, response: httpx.Response, start: int, end: int) -> Iterator[bytes]:
        held = bytearray()
        for piece in self._pieces(response):
            held += piece
            while len(held) >= _BLOCK or (held and start + len(held) >= end):
                size = min(_BLOCK, end - start)
                if size <= 0:
                    self._fail("sends more bytes than it was asked for")
                yield bytes(held[:size])
                del held[:size]
                start += size
        if start < end:
            raise _BrokenError("ended its answer early")

    # Requests ----------------------------------------------------------------------------------------

    @contextmanager
    def _answer(self, start: int, end: int) -> Iterator[httpx.Response]:
        """The answer to a request for a range of bytes, which the server may have ignored."""
        asked = {"Range": f"bytes={start}-{end - 1}"}
        try:
            request = self._client.build_request("GET", self._source, headers=asked)
            response = within(
                self._limits.answer_seconds, lambda: self._client.send(request, stream=True), "request"
            )
            with closing(response):
                self._check(response)
                yield response
        except TimeoutError as error:
            self._fail(f"did not answer within {self._limits.answer_seconds:g} s", error)
        except httpx.TooManyRedirects:
            self._fail(f"leads from one address to the next more than {_MOST_REDIRECTS} times")
        except httpx.ConnectError as error:
            self._fail(f"cannot be reached ({_reason(error)})", error)
        except httpx.TimeoutException as error:
            seconds = self._limits.connect_seconds, self._limits.silent_seconds
            waited = seconds[not isinstance(error, httpx.ConnectTimeout)]
            self._fail(f"did not answer for {waited:g} s", error)
        except (httpx.RemoteProtocolError, httpx.NetworkError) as error:
            raise _BrokenError("ended the connection early") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            self._fail(f"cannot be read ({_reason(error)})", error)

    def _check(self, response: httpx.Response) -> None:
        status = response.status_code
        if status in _BUSY:
            raise _BrokenError(f"answers {_status(status)}")
        if status not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
            advice = "check the address" if status in (404, 410) else "see whether a browser shows it"
            self._fail(f"answers {_status(status)}; {advice}")
        kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind in _PAGES:
            raise PageError(self.name)
        if any(kind.endswith(each) for each in _PLAYLISTS):
            self._fail("has a playlist of many files there; give the address of one video file")
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            self._fail("compresses what it sends, though it was asked not to; save the file yourself")

    def _pieces(self, response: httpx.Response) -> Iterator[bytes]:
        """What arrives, as it does. Raises `VideoError` where that is too slow."""
        began, received = time.monotonic(), 0
        for piece in response.iter_raw():
            yield piece
            received += len(piece)
            if time.monotonic() - began > self._limits.silent_seconds:
                if received < self._limits.least_bytes:
                    self._fail(f"sent only {received:,} bytes in {self._limits.silent_seconds:g} s")
                began, received = time.monotonic(), 0

    def _wait(self, attempt: int, error: _BrokenError) -> None:
        """Wait before the next attempt; raises `VideoError` where that was the last one."""
        if attempt >= self._limits.attempts:
            self._fail(f"{error}, {attempt} times", error)
        time.sleep(self._limits.retry_seconds * 2 ** (attempt - 1))

    def _fail(self, what: str, error: Exception | None = None) -> NoReturn:
        _fail(self.name, what, error)


def _fail(name: str, what: str, error: Exception | None = None) -> NoReturn:
    advice = "" if ";" in what else "; try again later, or save the file yourself and give its path"
    raise VideoError(f"{name}: the server {what}{advice}") from error


def _client(limits: RemoteLimits, headers: dict[str, str], name: str) -> httpx.Client:
    """A client that follows redirects to `http` and `https` alone.

    It outlives the remote file, which closes it, and so must not refer to it.
    """

    def check_redirect(response: httpx.Response) -> None:
        target = response.headers.get("Location", "") if response.has_redirect_location else ""
        if (scheme_of(target) or "http") not in ("http", "https"):
            _fail(name, "leads to an address that is not http or https, which is not followed")

    own = {"Accept": "*/*", "User-Agent": f"keyframe-llm/{__version__}"}
    return httpx.Client(
        headers=own | headers | {"Accept-Encoding": "identity"},
        follow_redirects=True,
        max_redirects=_MOST_REDIRECTS,
        timeout=httpx.Timeout(limits.silent_seconds, connect=limits.connect_seconds),
        event_hooks={"response": [check_redirect]},
    )


def _parsed(address: str) -> httpx.URL:
    shown = without_password(address)
    try:
        parsed = httpx.URL(address)
    except (httpx.InvalidURL, ValueError) as error:
        raise VideoError(f"{shown!r} is no valid address; give one such as https://host/video.mp4") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise VideoError(f"{shown!r} names no server; give one such as https://host/video.mp4")
    return parsed


def _content_range(response: httpx.Response) -> tuple[int, int, int]:
    """The first and last byte of an answer and the size of the file; all -1 where it does not say so."""
    found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", response.headers.get("Content-Range", "").strip())
    return (int(found[1]), int(found[2]), int(found[3])) if found else (-1, -1, -1)


def _status(status: int) -> str:
    try:
        return f"{status} ({HTTPStatus(status).phrase})"
    except ValueError:
        return str(status)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
