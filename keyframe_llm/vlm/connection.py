"""A connection to a server that can be closed while its answer is awaited."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any

__all__ = ["Connection"]


class Connection:
    """The connection of one request, which another thread may close while the request waits for an answer."""

    def __init__(self) -> None:
        import httpx

        self._sockets: list[socket.socket] = []
        self._closed = False
        self.client = httpx.Client(event_hooks={"request": [self._trace_request]}, follow_redirects=True)

    def close(self) -> None:
        """Close the connection; a thread that waits on it gets an error at once."""
        self._closed = True
        for each in self._sockets:
            self._shut(each)

    def _trace_request(self, request: Any) -> None:
        request.extensions = {**request.extensions, "trace": self._trace}

    def _trace(self, event: str, info: dict[str, Any]) -> None:
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            opened = info["return_value"].get_extra_info("socket")
            self._sockets.append(opened)
            if self._closed:
                self._shut(opened)

    @staticmethod
    def _shut(opened: socket.socket) -> None:
        with suppress(OSError):  # closed already, or wrapped by TLS since
            opened.shutdown(socket.SHUT_RDWR)
