"""`keyframe-llm mcp`: the MCP server over stdio, or over HTTP on the loopback address."""

from __future__ import annotations

import argparse
import hmac
import ipaddress
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from keyframe_llm.errors import OptionsError

__all__ = ["http_app", "run"]

_MOST_BODY_BYTES = 1 << 18  # the longest arguments the schemas allow are far shorter
_MOST_CONNECTIONS = 512
_SHORTEST_TOKEN = 16

_Scope = MutableMapping[str, Any]
_App = Callable[[_Scope, Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]]


def run(args: argparse.Namespace) -> None:
    """Serve until the client disconnects. Raises `OptionsError` for a missing SDK or a wrong option."""
    try:
        import anyio
        from mcp.server.stdio import stdio_server

        from keyframe_llm.tools.functions import Toolbox
        from keyframe_llm.tools.limits import Limits
        from keyframe_llm.tools.mcp_server import mcp_server
        from keyframe_llm.tools.pictures import MemoryPictures
    except ModuleNotFoundError as error:
        raise OptionsError(f"{error.name} is missing; run `pip install 'keyframe-llm[agents]'`") from error
    names = {field.name for field in fields(Limits)}
    limits = {name: value for name, value in vars(args).items() if name in names and value is not None}
    model = {"model": args.model} if args.model else {}
    token = _token(args) if args.http else None
    toolbox = Toolbox(
        **model,
        encoder=args.encoder,
        roots=args.root or ["."],
        url_hosts=args.url_host or (),
        limits=Limits(**limits),
        pictures=MemoryPictures(),
        device=args.device,
    )
    server = mcp_server(toolbox)

    async def serve_stdio() -> None:
        async with stdio_server() as (reader, writer):
            await server.run(reader, writer, server.create_initialization_options())

    with toolbox:
        if args.http:
            import uvicorn

            app = http_app(server, args.host, token=token, public_names=args.public_name or ())
            uvicorn.run(
                app,
                host=args.host,
                port=args.port,
                log_level="warning",
                limit_concurrency=_MOST_CONNECTIONS,
                timeout_graceful_shutdown=5,
            )
        else:
            anyio.run(serve_stdio)


def http_app(server: Any, host: str, *, token: str | None = None, public_names: Sequence[str] = ()) -> _App:
    """The server as an ASGI app, at `/mcp`, for a socket bound to `host`.

    A request must name this machine, or one of `public_names`, in its Host header, and in Origin if it has
    that header: a web page cannot reach the server through a name of its own. With a `token`, a request must
    carry it. Raises `OptionsError` if other machines could connect without one.
    """
    from mcp.server.transport_security import TransportSecuritySettings

    if not _is_loopback(host) and not token:
        raise OptionsError(f"--host {host} is reached from other machines; give --token-file, or 127.0.0.1")
    if host in ("0.0.0.0", "::") and not public_names:
        raise OptionsError(f"--host {host} has no name of its own; say with --public-name how it is called")
    own = ("127.0.0.1", "localhost", "[::1]") if _is_loopback(host) else (host,)
    names = [pattern for name in (*own, *public_names) for pattern in (name, f"{name}:*")]
    app = server.streamable_http_app(
        max_request_body_size=_MOST_BODY_BYTES,
        transport_security=TransportSecuritySettings(
            enable_dns_rebinding_protection=True,
            allowed_hosts=names,
            allowed_origins=[f"{scheme}://{name}" for scheme in ("http", "https") for name in names],
        ),
    )
    return _TokenCheck(app, token) if token else app


class _TokenCheck:
    """Passes on the requests that carry the token."""

    def __init__(self, app: _App, token: str) -> None:
        self._app, self._token = app, token.encode()

    async def __call__(self, scope: _Scope, receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
        if scope["type"] == "http" and not self._has_token(scope):
            headers = [(b"www-authenticate", b"Bearer"), (b"content-length", b"0")]
            await send({"type": "http.response.start", "status": 401, "headers": headers})
            await send({"type": "http.response.body", "body": b""})
        else:
            await self._app(scope, receive, send)

    def _has_token(self, scope: _Scope) -> bool:
        headers = [value for name, value in scope["headers"] if name == b"authorization"]
        kind, _, token = (headers[0] if len(headers) == 1 else b"").partition(b" ")
        return kind.lower() == b"bearer" and hmac.compare_digest(token.strip(), self._token)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _token(args: argparse.Namespace) -> str | None:
    """The token in the file; on the command line it would be visible in the list of processes."""
    if args.token_file is None:
        return None
    try:
        token = Path(args.token_file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise OptionsError(f"--token-file {args.token_file}: {error}; give a readable file") from error
    if len(token) < _SHORTEST_TOKEN or not token.isascii() or any(letter.isspace() for letter in token):
        raise OptionsError(
            f"--token-file {args.token_file} holds no token of {_SHORTEST_TOKEN} or more ASCII letters; "
            "make one with `openssl rand -hex 32`"
        )
    return token
