"""What was sent over HTTP, kept for a while: a client whose connection broke asks for the rest.

The SDK names streams by the ids of requests, which sessions have in common. So each session has its own log,
which goes with it.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from itertools import count
from weakref import WeakSet

from mcp.server.streamable_http import EventCallback, EventMessage, EventStore
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp_types import JSONRPCMessage, jsonrpc_message_adapter

__all__ = ["EventLogs", "SessionEvents", "SessionManager"]

_MOST_BYTES = 64 << 20
_MOST_SESSION_BYTES = 2 << 20


@dataclass(frozen=True, slots=True)
class _Event:
    stream: str
    message: bytes | None
    """JSON of the message; None for an event that only marks the beginning of a stream."""

    @property
    def bytes(self) -> int:
        return len(self.message or b"")


class SessionEvents(EventStore):
    """The latest events of one session, as the SDK wants them."""

    def __init__(self, logs: EventLogs, session: int) -> None:
        self.bytes = 0
        self._logs, self._session = logs, session
        self._events: OrderedDict[int, _Event] = OrderedDict()

    @property
    def oldest(self) -> int:
        """The number of the oldest event."""
        return next(iter(self._events))

    @property
    def spare(self) -> bool:
        """Whether the oldest event is of another stream than the latest."""
        return self._events[self.oldest].stream != next(reversed(self._events.values())).stream

    def drop_oldest(self) -> None:
        """Forget the oldest event."""
        self.bytes -= self._events.popitem(last=False)[1].bytes

    async def store_event(self, stream_id: str, message: JSONRPCMessage | None) -> str:
        """Keep a message; returns the id of its event."""
        data = None
        if message is not None:
            data = message.model_dump_json(by_alias=True, exclude_unset=True).encode()
        event, number = _Event(stream_id, data), self._logs.next_number()
        self._events[number] = event
        self.bytes += event.bytes
        self._logs.make_room(self)
        return f"{self._session}-{number}"

    async def replay_events_after(self, last_event_id: str, send_callback: EventCallback) -> str | None:
        """Send what came after an event in its stream; returns the stream, None where it is not kept."""
        session, _, number = last_event_id.partition("-")
        last = int(number) if session == str(self._session) and number.isdecimal() else 0
        event = self._events.get(last)
        if event is None:
            return None
        for later, each in list(self._events.items()):
            if later > last and each.stream == event.stream and each.message is not None:
                message = jsonrpc_message_adapter.validate_json(each.message, by_name=False)
                await send_callback(EventMessage(message, f"{session}-{later}"))
        return event.stream


class EventLogs:
    """The logs of all sessions that there are: bounded for each, and for all together."""

    def __init__(self, most_bytes: int = _MOST_BYTES, most_session_bytes: int = _MOST_SESSION_BYTES) -> None:
        self._most_bytes, self._most_session_bytes = most_bytes, most_session_bytes
        self._logs: WeakSet[SessionEvents] = WeakSet()
        self._sessions, self._numbers = count(1), count(1)

    def new_session(self) -> SessionEvents:
        """The log of a new session."""
        log = SessionEvents(self, next(self._sessions))
        self._logs.add(log)
        return log

    def next_number(self) -> int:
        """The number of a new event."""
        return next(self._numbers)

    def make_room(self, log: SessionEvents) -> None:
        """Drop the oldest events of a log that is too large, and of all where they are together.

        Those of the latest stream of a session stay, unless all are too large together.
        """
        while log.bytes > self._most_session_bytes and log.spare:
            log.drop_oldest()
        while sum(each.bytes for each in self._logs) > self._most_bytes:
            min((each for each in self._logs if each.bytes), key=lambda each: each.oldest).drop_oldest()


class SessionManager(StreamableHTTPSessionManager):
    """Gives each session a log of its own."""

    _logs: EventLogs | None = None

    @property
    def event_store(self) -> EventStore:
        """The log of a session that is about to begin."""
        self._logs = self._logs or EventLogs()
        return self._logs.new_session()

    @event_store.setter
    def event_store(self, store: EventStore | None) -> None:
        """Ignore the store for all sessions that the base class sets."""
