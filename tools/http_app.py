"""The MCP server as an app for HTTP: who may connect, and how many may."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from contextlib import suppress
from typing import Any

from starlette.requests import ClientDisconnect

from keyframe_llm.errors import OptionsError
from keyframe_llm.tools.connections import Connections

__all__ = ["http_app"]

_MOST_BODY_BYTES = 1 << 18  # the longest arguments the schemas allow are far shorter
_MOST_SESSIONS = 512
_IDLE_SECONDS = 600.0
_LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")

_Scope = MutableMapping[str, Any]
_App = Callable[[_Scope, Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]]


def http_app(
    server: Any,
    host: str,
    *,
    token: str | None = None,
    public_names: Sequence[str] = (),
    connections: Connections | None = None,
) -> _App:
    """The server as an ASGI app, at `/mcp`, for a socket bound to `host`.

    A request must name this machine, or one of `public_names`, in its Host header, and in Origin if it has
    that header: a web page cannot reach the server through a name of its own. With a `token`, a request must
    carry it. `connections` are told which of them carry a request that was let in. Raises `OptionsError` if
    other machines could connect without a token.
    """
    from mcp.server.transport_security import TransportSecuritySettings
    from starlette.applications import Starlette
    from starlette.routing import Route

    from keyframe_llm.tools.events import SessionManager

    names = _names(host, token, public_names)
    manager = SessionManager(
        server,
        max_request_body_size=_MOST_BODY_BYTES,
        max_sessions=_MOST_SESSIONS,
        session_idle_timeout=_IDLE_SECONDS,
        security_settings=TransportSecuritySettings(
            enable_dns_rebinding_protection=True,
            allowed_hosts=names,
            allowed_origins=[f"{scheme}://{name}" for scheme in ("http", "https") for name in names],
        ),
    )
    entrance = _Entrance(manager.handle_request, token, connections or Connections())
    return Starlette(routes=[Route("/mcp", endpoint=entrance)], lifespan=lambda _: manager.run())


class _Entrance:
    """Passes on the requests that carry the token."""

    def __init__(self, app: _App, token: str | None, connections: Connections) -> None:
        self._app, self._connections = app, connections
        self._token = None if token is None else token.encode()

    async def __call__(self, scope: _Scope, receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
        if self._token is not None and not _has_token(scope, self._token):
            headers = [(b"www-authenticate", b"Bearer"), (b"content-length", b"0"), (b"connection", b"close")]
            await send({"type": "http.response.start", "status": 401, "headers": headers})
            await send({"type": "http.response.body", "body": b""})
            return
        self._connections.admit(scope.get("client"))
        # Names of machines are the same in capitals; the SDK compares them letter by letter.
        headers = [
            (name, value.lower() if name in (b"host", b"origin") else value)
            for name, value in scope["headers"]
        ]
        # A client that leaves in the middle of its request is no fault.
        with suppress(ClientDisconnect):
            await self._app({**scope, "headers": headers}, receive, send)


def _names(host: str, token: str | None, public_names: Sequence[str]) -> list[str]:
    """The names that the server may be called by, each with and without a port."""
    loopback = _is_loopback(host)
    if not loopback and not token:
        raise OptionsError(f"--host {host} is reached from other machines; give --token-file, or 127.0.0.1")
    if host in ("0.0.0.0", "::") and not public_names:
        raise OptionsError(f"--host {host} has no name of its own; say with --public-name how it is called")
    own = _LOOPBACK_NAMES if loopback else (host,)
    return [pattern for name in (*own, *public_names) for pattern in (name.lower(), f"{name.lower()}:*")]


def _has_token(scope: _Scope, token: bytes) -> bool:
    headers = [value for name, value in scope["headers"] if name == b"authorization"]
    kind, _, given = (headers[0] if len(headers) == 1 else b"").partition(b" ")
    return kind.lower() == b"bearer" and hmac.compare_digest(given.strip(), token)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
