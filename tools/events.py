"""What was sent over HTTP, kept for a while: a client whose connection broke asks for the rest.

The SDK names streams by the ids of requests, which sessions have in common. So each session has its own log.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from itertools import count

from mcp.server.streamable_http import EventCallback, EventMessage, EventStore
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp_types import JSONRPCMessage, jsonrpc_message_adapter

__all__ = ["EventLog", "SessionEvents", "SessionManager"]

_MOST_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class _Event:
    session: int
    stream: str
    message: bytes | None
    """JSON of the message; None for an event that only marks the beginning of a stream."""


class EventLog:
    """The latest events of all sessions, at most `most_bytes` of them."""

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._most_bytes, self._bytes = most_bytes, 0
        self._events: OrderedDict[str, _Event] = OrderedDict()
        self._sessions, self._numbers = count(1), count(1)

    def new_session(self) -> SessionEvents:
        """The log of a new session."""
        return SessionEvents(self, next(self._sessions))

    def add(self, event: _Event) -> str:
        """Keep an event; returns its id."""
        name = f"{event.session}-{next(self._numbers)}"
        self._events[name] = event
        self._bytes += len(event.message or b"")
        while self._bytes > self._most_bytes:
            self._bytes -= len(self._events.popitem(last=False)[1].message or b"")
        return name

    def after(self, session: int, name: str) -> tuple[str, list[tuple[str, bytes]]] | None:
        """The stream of an event of a session, and what came later in it; None if it is not kept."""
        event = self._events.get(name)
        if event is None or event.session != session:
            return None
        names = list(self._events)
        later = [(each, self._events[each]) for each in names[names.index(name) + 1 :]]
        same = [(each, e) for each, e in later if (e.session, e.stream) == (session, event.stream)]
        return event.stream, [(each, e.message) for each, e in same if e.message is not None]


class SessionEvents(EventStore):
    """The events of one session, as the SDK wants them."""

    def __init__(self, log: EventLog, session: int) -> None:
        self._log, self._session = log, session

    async def store_event(self, stream_id: str, message: JSONRPCMessage | None) -> str:
        """Keep a message; returns the id of its event."""
        data = None
        if message is not None:
            data = message.model_dump_json(by_alias=True, exclude_unset=True).encode()
        return self._log.add(_Event(self._session, stream_id, data))

    async def replay_events_after(self, last_event_id: str, send_callback: EventCallback) -> str | None:
        """Send what came after an event in its stream; returns the stream."""
        found = self._log.after(self._session, last_event_id)
        if found is None:
            return None
        stream, events = found
        for name, data in events:
            message = jsonrpc_message_adapter.validate_json(data, by_name=False)
            await send_callback(EventMessage(message, name))
        return stream


class SessionManager(StreamableHTTPSessionManager):
    """Gives each session a log of its own."""

    _log: EventLog | None = None

    @property
    def event_store(self) -> EventStore:
        """The log of a session that is about to begin."""
        self._log = self._log or EventLog()
        return self._log.new_session()

    @event_store.setter
    def event_store(self, store: EventStore | None) -> None:
        """Ignore the store for all sessions that the base class sets."""
