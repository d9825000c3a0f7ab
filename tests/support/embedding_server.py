"""A server of embeddings on this machine: a small CLIP behind `/v1/embeddings`, as vLLM serves them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any

from keyframe_llm.encoders import Encoder
from keyframe_llm.jpeg import decode_jpeg

__all__ = ["EmbeddingServer", "serving"]


class EmbeddingServer(ThreadingHTTPServer):
    """Embeds the one part of the one message it is sent, and remembers the requests."""

    answer: Any = None
    """What is sent in place of an embedding."""
    failures: tuple[int, ...] = ()
    """Statuses that the next requests are answered with."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.encoder, self.lock = encoder, Lock()
        self.requests: list[dict[str, Any]] = []
        self.url = f"http://127.0.0.1:{self.server_port}/v1"

    def embedded(self, part: dict[str, Any]) -> list[float]:
        """The embedding of a text or a picture, not of unit length."""
        with self.lock:
            if part["type"] == "text":
                row = self.encoder.embed_texts([part["text"]])[0]
            else:
                data = base64.b64decode(part["image_url"]["url"].partition(",")[2])
                row = self.encoder.embed_images([decode_jpeg(data)])[0]
        return [7.0 * float(value) for value in row]


class _Handler(BaseHTTPRequestHandler):
    server: EmbeddingServer

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append(request)
        if self.server.failures:
            status, *rest = self.server.failures
            self.server.failures = tuple(rest)
            return self._send(status, {"error": {"message": f"planted {status}"}})
        if self.path != "/v1/embeddings" or request["model"] != "clip":
            return self._send(404, {"error": {"message": f"no model {request['model']}"}})
        (message,) = request["messages"]
        (part,) = message["content"]
        row = self.server.answer if self.server.answer is not None else self.server.embedded(part)
        data = [{"object": "embedding", "index": 0, "embedding": row}]
        usage = {"prompt_tokens": 1, "total_tokens": 1}
        self._send(200, {"object": "list", "model": "clip", "data": data, "usage": usage})

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
def serving(encoder: Encoder) -> Iterator[EmbeddingServer]:
    """A server that embeds until the block ends."""
    server = EmbeddingServer(encoder)
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
