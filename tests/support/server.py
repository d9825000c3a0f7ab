"""A server that speaks the OpenAI protocol, on this machine and in this process."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from types import MappingProxyType
from typing import Any

__all__ = ["Server", "running"]


class Server(ThreadingHTTPServer):
    """Speaks the OpenAI protocol, answers `<n> pictures`, and remembers what it was sent."""

    models = ("served",)
    owner = "x"
    """Who runs the models, by their list: vLLM says `vllm`."""
    weights: str | None = None
    """The weights that a name stands for, as vLLM lists them."""
    adapters: Mapping[str, str] = MappingProxyType({})
    """Adapters by their names, with the name of the model below each, as vLLM lists them."""
    trusts_requests = True
    """Whether a request may say how its video is read, as vLLM takes it: `--trust-request-mm-kwargs`."""
    breaks = ""
    """How a stream ends before its time: `short` of its announced length, or by a `clean` close."""
    failures: tuple[int, ...] = ()
    """Statuses that the next requests are answered with."""
    key = ""
    silent_seconds = 0.0
    waits_for_client = False
    """Whether a request gets no answer, and `client_left` is set once its connection is closed."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[dict[str, Any]] = []
        self.client_left = Event()
        self.url = f"http://127.0.0.1:{self.server_port}/v1"

    def handle_error(self, *_: Any) -> None:
        """Say nothing of a client that left."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        if self.server.key and self.headers["Authorization"] != f"Bearer {self.server.key}":
            return self._send(401, {"error": {"message": "no such key"}})
        card = {"object": "model", "created": 0, "owned_by": self.server.owner}
        if self.server.weights is not None:
            card["root"] = self.server.weights
        listed = [{"id": name, **card} for name in self.server.models]
        below = self.server.adapters.items()
        listed += [{"id": name, **card, "root": "/adapters/1", "parent": base} for name, base in below]
        self._send(200 if listed else 500, {"object": "list", "data": listed})

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append(request)
        if self.server.failures:
            status, *rest = self.server.failures
            self.server.failures = tuple(rest)
            return self._send(status, {"error": {"message": f"planted {status}"}})
        if self.server.waits_for_client:
            if not self.connection.recv(1):
                self.server.client_left.set()
            return
        time.sleep(self.server.silent_seconds)
        if request["model"] not in (*self.server.models, "served"):
            return self._send(404, {"detail": f"no model {request['model']}"})
        if "media_io_kwargs" in request and not self.server.trusts_requests:
            said = "Per-request media_io_kwargs are disabled by default"  # vLLM's words
            return self._send(400, {"error": {"message": said}})
        parts = [part["type"] for message in request["messages"] for part in message["content"]]
        pictures = parts.count("image_url")
        if request.get("stream"):
            return self._stream([str(pictures), " pictures", "\n"])
        usage = self._usage(pictures)
        message = {"role": "assistant", "content": f" {pictures} pictures\n"}
        self._send(200, self._completion(message=message) | {"usage": usage})

    def _completion(self, **choice: Any) -> dict[str, Any]:
        choices = [{"index": 0, "finish_reason": None, **choice}]
        return {"id": "1", "object": "chat.completion", "created": 0, "model": "served", "choices": choices}

    def _usage(self, pictures: int | str) -> dict[str, Any]:
        return {"prompt_tokens": 10 + 7 * int(pictures), "completion_tokens": 1, "total_tokens": 0}

    def _stream(self, pieces: list[str]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        if self.server.breaks == "short":
            self.send_header("Content-Length", "100000")
        self.end_headers()
        choices: list[dict[str, Any]] = [{"delta": {"content": piece}} for piece in pieces]
        if not self.server.breaks:
            choices.append({"delta": {}, "finish_reason": "stop"})
        for choice in choices:
            event = self._completion(**choice) | {"object": "chat.completion.chunk"}
            self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
        if not self.server.breaks:
            if self.server.requests[-1].get("stream_options"):
                event["choices"], event["usage"] = [], self._usage(pieces[0])
                self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
            self.wfile.write(b"data: [DONE]\n\n")

    def _send(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("retry-after-ms", "1")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def running() -> Iterator[Server]:
    """A server that answers until the block ends."""
    server = Server()
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
