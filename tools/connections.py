"""HTTP connections within limits: those that send nothing make room for those whose requests were let in."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["Connections", "protocol_of"]

_MOST_CONNECTIONS = 512
_REQUEST_SECONDS = 20.0


class Connections:
    """The open connections of a server. All methods are called in the thread of its event loop.

    A connection is admitted while a request of it is answered that was let in. When there are too many, the
    oldest one that is not admitted is closed.
    """

    def __init__(self, most: int = _MOST_CONNECTIONS, request_seconds: float = _REQUEST_SECONDS) -> None:
        """`request_seconds` is how long a request may take to arrive, from the first byte to the last."""
        self.most, self.request_seconds = most, request_seconds
        self._waiting: dict[_Connection, None] = {}  # the oldest first
        self._admitted: dict[_Connection, None] = {}

    def add(self, connection: _Connection) -> None:
        """A connection was opened."""
        self._waiting[connection] = None
        oldest = next(iter(self._waiting))
        if len(self._waiting) + len(self._admitted) > self.most and oldest is not connection:
            oldest.transport.abort()
            self._waiting.pop(oldest)

    def admit(self, client: tuple[str, int] | None) -> None:
        """The request that came from this address was let in."""
        for connection in [each for each in self._waiting if each.client == client]:
            self._waiting.pop(connection)
            self._admitted[connection] = None

    def release(self, connection: _Connection) -> None:
        """The request was answered."""
        if connection in self._admitted:
            self._admitted.pop(connection)
            self._waiting[connection] = None

    def remove(self, connection: _Connection) -> None:
        """The connection is closed."""
        self._waiting.pop(connection, None)
        self._admitted.pop(connection, None)


class _Connection(H11Protocol):
    """One connection; it is closed when a request takes too long to arrive."""

    connections_of_server: ClassVar[Connections]
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See `asyncio.Protocol`."""
        super().connection_made(transport)
        self.connections_of_server.add(self)
        self._start_timer()

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.more_body:
            self._stop_timer()
        elif self._timer is None:
            self._start_timer()

    def on_response_complete(self) -> None:
        """Called by uvicorn when a request was answered."""
        super().on_response_complete()
        self.connections_of_server.release(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        super().connection_lost(exc)
        self._stop_timer()
        self.connections_of_server.remove(self)

    def _start_timer(self) -> None:
        seconds = self.connections_of_server.request_seconds
        self._timer = self.loop.call_later(seconds, self.transport.abort)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def protocol_of(connections: Connections) -> type[Any]:
    """The class for `http=` of uvicorn, whose connections are counted in `connections`."""
    return type("LimitedConnection", (_Connection,), {"connections_of_server": connections})
