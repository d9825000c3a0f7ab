"""Requests for parts of a file, and what may go wrong with their answers, as one line each."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import NoReturn

import httpx

from keyframe_llm.errors import VideoError
from keyframe_llm.version import __version__
from keyframe_llm.video.addresses import scheme_of, without_password
from keyframe_llm.video.deadline import within
from keyframe_llm.video.temporary import MOST_BYTES

__all__ = ["BrokenError", "PageError", "RemoteLimits", "Server", "parsed_address"]

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


class BrokenError(Exception):
    """The connection ended early, or the server is busy: it may be asked again."""


class Server:
    """Asks for bytes behind addresses. `name` is what messages call the file; `headers` go with each request.

    Redirects are followed to `http` and `https` alone.
    """

    def __init__(self, name: str, limits: RemoteLimits, headers: dict[str, str]) -> None:
        self.name, self.limits = name, limits
        own = {"Accept": "*/*", "User-Agent": f"keyframe-llm/{__version__}"}
        self._client = httpx.Client(
            headers=own | headers | {"Accept-Encoding": "identity"},
            follow_redirects=True,
            max_redirects=_MOST_REDIRECTS,
            timeout=httpx.Timeout(limits.silent_seconds, connect=limits.connect_seconds),
            event_hooks={"response": [self._check_redirect]},
        )

    def close(self) -> None:
        """End all connections."""
        self._client.close()

    @contextmanager
    def answer(self, address: httpx.URL, start: int, end: int) -> Iterator[httpx.Response]:
        """The answer to a request for a range of bytes, which the server may have ignored."""
        asked = {"Range": f"bytes={start}-{end - 1}"}
        try:
            request = self._client.build_request("GET", address, headers=asked)
            response = within(
                self.limits.answer_seconds, lambda: self._client.send(request, stream=True), "request"
            )
            with closing(response):
                self._check(response)
                yield response
        except TimeoutError as error:
            self.fail(f"did not answer within {self.limits.answer_seconds:g} s", error)
        except httpx.TooManyRedirects:
            self.fail(f"leads from one address to the next more than {_MOST_REDIRECTS} times")
        except httpx.ConnectError as error:
            self.fail(f"cannot be reached ({_reason(error)})", error)
        except httpx.TimeoutException as error:
            seconds = self.limits.connect_seconds, self.limits.silent_seconds
            waited = seconds[not isinstance(error, httpx.ConnectTimeout)]
            self.fail(f"did not answer for {waited:g} s", error)
        except (httpx.RemoteProtocolError, httpx.NetworkError) as error:
            raise BrokenError("ended the connection early") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            self.fail(f"cannot be read ({_reason(error)})", error)

    def _check(self, response: httpx.Response) -> None:
        status = response.status_code
        if status in _BUSY:
            raise BrokenError(f"answers {_status(status)}")
        if status not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
            advice = "check the address" if status in (404, 410) else "see whether a browser shows it"
            self.fail(f"answers {_status(status)}; {advice}")
        kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind in _PAGES:
            raise PageError(self.name)
        if any(kind.endswith(each) for each in _PLAYLISTS):
            self.fail("has a playlist of many files there; give the address of one video file")
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            self.fail("compresses what it sends, though it was asked not to; save the file yourself")

    def pieces(self, response: httpx.Response) -> Iterator[bytes]:
        """What arrives, as it does. Raises `VideoError` where that is too slow."""
        began, received = time.monotonic(), 0
        for piece in response.iter_raw():
            yield piece
            received += len(piece)
            if time.monotonic() - began > self.limits.silent_seconds:
                if received < self.limits.least_bytes:
                    self.fail(f"sent only {received:,} bytes in {self.limits.silent_seconds:g} s")
                began, received = time.monotonic(), 0

    def wait(self, attempt: int, error: BrokenError) -> None:
        """Wait before the next attempt; raises `VideoError` where that was the last one."""
        if attempt >= self.limits.attempts:
            self.fail(f"{error}, {attempt} times", error)
        time.sleep(self.limits.retry_seconds * 2 ** (attempt - 1))

    def fail(self, what: str, error: Exception | None = None) -> NoReturn:
        """Raise `VideoError`: what the server does, and what a person may do."""
        advice = "" if ";" in what else "; try again later, or save the file yourself and give its path"
        raise VideoError(f"{self.name}: the server {what}{advice}") from error

    def _check_redirect(self, response: httpx.Response) -> None:
        target = response.headers.get("Location", "") if response.has_redirect_location else ""
        if (scheme_of(target) or "http") not in ("http", "https"):
            self.fail("leads to an address that is not http or https, which is not followed")


def parsed_address(address: str) -> httpx.URL:
    """The parts of an `http` or `https` address. Raises `VideoError`."""
    shown = without_password(address)
    try:
        parsed = httpx.URL(address)
    except (httpx.InvalidURL, ValueError) as error:
        raise VideoError(f"{shown!r} is no valid address; give one such as https://host/video.mp4") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise VideoError(f"{shown!r} names no server; give one such as https://host/video.mp4")
    return parsed


def _status(status: int) -> str:
    try:
        return f"{status} ({HTTPStatus(status).phrase})"
    except ValueError:
        return str(status)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
