"""A server of files on this machine and in this process, with the faults that real ones have."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

__all__ = ["FileServer", "serving"]


class FileServer(ThreadingHTTPServer):
    """Serves what is in `files` under their names, and remembers the requests."""

    daemon_threads = True
    ranges = True
    """Whether it answers requests for a part of a file with that part."""
    tagged = True
    """Whether it says by an ETag which content it serves."""
    content_type = "video/mp4"
    """Of all files but those in `pages`."""
    pages: tuple[str, ...] = ()
    """The names of web pages."""
    status = 0
    """What every request is answered with; 0: with the file."""
    failures: tuple[int, ...] = ()
    """Statuses that the next requests are answered with."""
    cuts_after: int | None = None
    """The connection ends after so many bytes of each answer."""
    pause_seconds = 0.0
    """It waits so long before each piece of an answer."""
    pause_in_heads = False
    """Whether it waits so long before each letter of the head of an answer, too."""
    piece_bytes = 1 << 16
    states_length = True
    """Whether an answer says how long it is; otherwise it ends with the connection."""
    more_bytes = 0
    """How many bytes more than it sends it announces."""
    shifts = 0
    """An answer begins so many bytes after the place that was asked for."""
    shorter_by = 0
    """The file is said to be so many bytes shorter in all answers but the first."""
    redirects: dict[str, str]
    """Where a name leads to."""

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.redirects = dict(files), {}
        self.requests: list[tuple[str, str | None]] = []
        """The names that were asked for, each with the range."""
        self.headers: list[dict[str, str]] = []
        self.sent_bytes = 0

    def url(self, name: str) -> str:
        """The address of a file."""
        return f"http://127.0.0.1:{self.server_port}/{name}"

    def handle_error(self, *_: Any) -> None:
        """Say nothing of a client that left."""


class Handler(BaseHTTPRequestHandler):
    server: FileServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server, name = self.server, self.path.lstrip("/").partition("?")[0]
        asked = self.headers["Range"]
        server.requests.append((name, asked))
        server.headers.append(dict(self.headers.items()))
        status, *rest = server.failures or (server.status,)
        server.failures = tuple(rest) if server.failures else ()
        if name in server.redirects:
            return self._empty(302, Location=server.redirects[name])
        if status or name not in server.files:
            return self._empty(status or 404)
        content = server.files[name]
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", asked or "") if server.ranges else None
        if found is None:
            return self._send(200, content, {})
        first, last = int(found[1]), min(int(found[2] or len(content)), len(content) - 1)
        if first > last:
            return self._empty(416)
        whole = len(content) - (server.shorter_by if len(server.requests) > 1 else 0)
        first += server.shifts
        self._send(206, content[first : last + 1], {"Content-Range": f"bytes {first}-{last}/{whole}"})

    def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        server = self.server
        self.send_response(status)
        name = self.path.lstrip("/").partition("?")[0]
        self.send_header("Content-Type", "text/html" if name in server.pages else server.content_type)
        if server.states_length:
            self.send_header("Content-Length", str(len(content) + server.more_bytes))
        if server.tagged:
            self.send_header("ETag", f'"{hash(server.files[name])}"')
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()
        cut = content[: server.cuts_after]
        for start in range(0, len(cut), server.piece_bytes):
            time.sleep(server.pause_seconds)
            self.wfile.write(cut[start : start + server.piece_bytes])
            server.sent_bytes += len(cut[start : start + server.piece_bytes])
        self.close_connection = not server.states_length or len(cut) < len(content) or server.more_bytes > 0

    def _empty(self, status: int, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()

    def flush_headers(self) -> None:
        if self.server.pause_in_heads:
            for letter in b"".join(self._headers_buffer):
                time.sleep(self.server.pause_seconds)
                self.wfile.write(bytes([letter]))
            self._headers_buffer = []
        super().flush_headers()

    def log_message(self, *_: Any) -> None:
        """Keep quiet."""


@contextmanager
def serving(files: dict[str, bytes], **settings: Any) -> Iterator[FileServer]:
    """A running server of files by their names; `settings` are attributes of `FileServer`."""
    server = FileServer(files)
    for name, value in settings.items():
        setattr(server, name, value)
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
