"""`keyframe-llm mcp`: the MCP server over stdio, or over HTTP on the loopback address."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import sys
import threading
from dataclasses import fields
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from keyframe_llm.errors import OptionsError
from keyframe_llm.tools.text import printable, printable_lines

if TYPE_CHECKING:
    from keyframe_llm.tools.functions import Toolbox

__all__ = ["PrintableFormatter", "run"]

_SHORTEST_TOKEN = 16
_SECONDS_TO_END = 5
_INTERRUPTED = 130
_BACKLOG = 2048


def run(args: argparse.Namespace) -> None:
    """Serve until the client disconnects. Raises `OptionsError` for a missing SDK or a wrong option."""
    try:
        from keyframe_llm.tools.mcp_server import mcp_server
    except ModuleNotFoundError as error:
        raise OptionsError(f"{error.name} is missing; run `pip install 'keyframe-llm[agents]'`") from error
    token = _token(args) if args.http else None
    toolbox = _toolbox(args)
    server = mcp_server(toolbox)
    _log_to_stderr()
    with _Ending(toolbox) as ending:
        if args.http:
            _serve_http(server, args, token, ending)
        else:
            _serve_stdio(server)


def _toolbox(args: argparse.Namespace) -> Toolbox:
    from keyframe_llm.tools.functions import Toolbox
    from keyframe_llm.tools.limits import Limits
    from keyframe_llm.tools.pictures import MemoryPictures

    names = {field.name for field in fields(Limits)}
    limits = {name: value for name, value in vars(args).items() if name in names and value is not None}
    given = {name: getattr(args, name) for name in ("model", "layout", "frames_as") if getattr(args, name)}
    return Toolbox(
        **given,
        encoder=args.encoder,
        roots=args.root or ["."],
        url_hosts=args.url_host or (),
        limits=Limits(**limits),
        pictures=MemoryPictures(),
        save_folder=getattr(args, "save_folder", None),
        library=args.library,
        device=args.device,
        prompts=args.prompts,
    )


def _serve_stdio(server: Any) -> None:
    import anyio
    from mcp.server.stdio import stdio_server

    async def serve() -> None:
        async with stdio_server() as (reader, writer):
            await server.run(reader, writer, server.create_initialization_options())

    anyio.run(serve)


def _serve_http(server: Any, args: argparse.Namespace, token: str | None, ending: _Ending) -> None:
    import uvicorn

    from keyframe_llm.tools.connections import Connections, protocol_of
    from keyframe_llm.tools.http_app import http_app

    connections = Connections()
    app = http_app(
        server, args.host, token=token, public_names=args.public_name or (), connections=connections
    )
    config = uvicorn.Config(
        app,
        http=protocol_of(connections),
        log_config=None,
        log_level="warning",
        limit_concurrency=connections.most + 1,
        timeout_graceful_shutdown=_SECONDS_TO_END,
    )

    class Server(uvicorn.Server):
        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            ending.on_signal(sig, frame)
            super().handle_exit(sig, frame)

    with _listening(args.host, args.port) as listener:
        host, port = listener.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        print(f"keyframe-llm: serving at http://{shown}:{port}/mcp", file=sys.stderr, flush=True)
        Server(config).run(sockets=[listener])


def _listening(host: str, port: int) -> socket.socket:
    """A socket that listens at an address. Raises `OptionsError` where that cannot be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            if os.name == "posix":
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(_BACKLOG)
        except OSError:
            listener.close()
            raise
    except (OSError, OverflowError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise OptionsError(f"--host {host} --port {port}: {why}; give another port or address") from error
    return listener


class _Ending:
    """Ends a server in an orderly way and soon, also on a signal: calls are stopped, temporary files deleted.

    A call that is inside a step of a model or of FFmpeg cannot be stopped; the process ends without it.
    """

    def __init__(self, toolbox: Toolbox) -> None:
        self._toolbox = toolbox
        self._status: int | None = None

    def __enter__(self) -> _Ending:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        if not self._toolbox.end(_SECONDS_TO_END) or self._status is not None:
            _exit(self._status or 0)

    def on_signal(self, number: int, _: FrameType | None) -> None:
        """End the process. In a thread of its own: this one may hold a lock that is needed for it."""
        self._status = _INTERRUPTED if number == signal.SIGINT else 0
        threading.Thread(target=self._end, daemon=True).start()

    def _end(self) -> None:
        self._toolbox.end(_SECONDS_TO_END)
        _exit(self._status or 0)


def _exit(status: int) -> None:
    """End the process without waiting for threads: one of them reads from stdin until its next line."""
    logging.shutdown()
    sys.stderr.flush()
    os._exit(status)


class PrintableFormatter(logging.Formatter):
    """Escapes what names of files, hosts and requests may hold, so that they cannot write on a terminal.

    A request whose session ended meanwhile is one line: the SDK logs it with a traceback.
    """

    def format(self, record: logging.LogRecord) -> str:  # the name in `logging`
        """The line or lines of a record."""
        if record.name.startswith("mcp.") and record.exc_info and _is_closed(record.exc_info[1]):
            more = {"exc_info": None, "exc_text": None, "levelname": "WARNING", "args": ()}
            line = {"msg": "a session ended before a request of it was answered"}
            record = logging.makeLogRecord({**vars(record), **more, **line})
        return super().format(record)

    def formatMessage(self, record: logging.LogRecord) -> str:  # the name in `logging`
        """The line of a record."""
        record.message = printable(record.message, None)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:
        """The lines of a traceback."""
        return printable_lines(super().formatException(ei))


def _is_closed(error: BaseException | None) -> bool:
    """Whether an error, or each one of a group, is that of a stream that was closed."""
    from anyio import BrokenResourceError, ClosedResourceError

    group: tuple[BaseException, ...] = getattr(error, "exceptions", ())
    return (
        all(map(_is_closed, group)) if group else isinstance(error, BrokenResourceError | ClosedResourceError)
    )


def _log_to_stderr() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(PrintableFormatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


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
