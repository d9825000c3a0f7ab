"""Video-LLMs behind a server: what is sent, what comes back, and what is said when nothing does."""

from __future__ import annotations

import base64
import io
import json
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import numpy as np
import pytest
from PIL import Image

from keyframe_llm.data import Frames
from keyframe_llm.errors import ModelError, OptionsError
from keyframe_llm.messages.prompts import frame_messages
from keyframe_llm.vlm import load_vlm

pytest.importorskip("openai", reason="openai is not installed (the `server` extra)")

COLOURS = np.array([[200, 30, 30], [30, 200, 30]], np.uint8)
FRAMES = Frames(np.broadcast_to(COLOURS[:, None, None], (2, 48, 64, 3)).copy(), np.array([1.5, 20.0]))
MESSAGES = frame_messages(FRAMES, "What is he doing?")


class Server(ThreadingHTTPServer):
    """Speaks the OpenAI protocol, answers `<n> pictures`, and remembers what it was sent."""

    models = ("served",)
    breaks = ""
    """How a stream ends before its time: `short` of its announced length, or by a `clean` close."""
    failures: tuple[int, ...] = ()
    """Statuses that the next requests are answered with."""
    key = ""
    silent_seconds = 0.0

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[dict[str, Any]] = []
        self.url = f"http://127.0.0.1:{self.server_port}/v1"

    def handle_error(self, *_: Any) -> None:
        """Say nothing of a client that left."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        if self.server.key and self.headers["Authorization"] != f"Bearer {self.server.key}":
            return self._send(401, {"error": {"message": "no such key"}})
        listed = [
            {"id": name, "object": "model", "created": 0, "owned_by": "x"} for name in self.server.models
        ]
        self._send(200 if listed else 500, {"object": "list", "data": listed})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(asked)
        if self.server.failures:
            status, *rest = self.server.failures
            self.server.failures = tuple(rest)
            return self._send(status, {"error": {"message": f"planted {status}"}})
        time.sleep(self.server.silent_seconds)
        if asked["model"] != "served":
            return self._send(404, {"detail": f"no model {asked['model']}"})
        parts = [part["type"] for message in asked["messages"] for part in message["content"]]
        pictures = parts.count("image_url")
        if asked.get("stream"):
            return self._stream([str(pictures), " pictures", "\n"])
        usage = {"prompt_tokens": 10 + 7 * pictures, "completion_tokens": 1, "total_tokens": 0}
        message = {"role": "assistant", "content": f" {pictures} pictures\n"}
        self._send(200, self._completion(message=message) | {"usage": usage})

    def _completion(self, **choice: Any) -> dict[str, Any]:
        choices = [{"index": 0, "finish_reason": None, **choice}]
        return {"id": "1", "object": "chat.completion", "created": 0, "model": "served", "choices": choices}

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


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_times_and_pictures_reach_the_server_in_order(server: Server) -> None:
    assert load_vlm(f"{server.url}#served").generate(MESSAGES, max_new_tokens=9) == "2 pictures"
    (asked,) = server.asked
    assert (asked["model"], asked["max_tokens"], asked["temperature"]) == ("served", 9, 0)
    parts = asked["messages"][0]["content"]
    assert [part.get("text") for part in parts] == ["[1.5s]", None, "[20.0s]", None, "What is he doing?"]
    for part, image in zip([parts[1], parts[3]], FRAMES.images, strict=True):
        head, data = part["image_url"]["url"].split(",")
        assert head == "data:image/jpeg;base64"
        sent = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
        np.testing.assert_allclose(sent.astype(int), image, atol=3)


def test_streamed_pieces_join_to_the_answer(server: Server) -> None:
    vlm = load_vlm(f"{server.url}#served")
    pieces = list(vlm.stream(MESSAGES))
    assert len(pieces) == 3 and "".join(pieces).strip() == vlm.generate(MESSAGES)


def test_a_stream_may_be_left_early(server: Server) -> None:
    stream = load_vlm(f"{server.url}#served").stream(MESSAGES)
    assert next(stream) == "2"
    stream.close()


def test_a_batch_keeps_its_order(server: Server) -> None:
    one = frame_messages(Frames(FRAMES.images[:1], FRAMES.seconds[:1]), "What?")
    answers = load_vlm(server.url).generate_batch([MESSAGES, one, MESSAGES, one])
    assert answers == ["2 pictures", "1 pictures", "2 pictures", "1 pictures"]


def test_tokens_are_counted_by_the_server(server: Server) -> None:
    assert load_vlm(f"{server.url}#served").count_tokens(MESSAGES) == (24, 14)


def test_the_one_model_that_is_served_needs_no_name(server: Server) -> None:
    assert load_vlm(server.url).generate(MESSAGES) == "2 pictures"
    server.models = ("served", "other")
    with pytest.raises(ModelError, match=r"serves 2 models \(served, other\); name one"):
        load_vlm(server.url)


def test_a_server_that_does_not_list_its_models_will_do_when_one_is_named(server: Server) -> None:
    server.models = ()
    assert load_vlm(f"{server.url}#served").generate(MESSAGES) == "2 pictures"
    with pytest.raises(ModelError, match=r"failed \(500"):
        load_vlm(server.url)


def test_labels_are_not_scored_and_the_error_says_so(server: Server) -> None:
    with pytest.raises(ModelError, match=r"cannot score labels; give a local model or `--model cartoon`"):
        load_vlm(server.url).label_log_likelihoods(MESSAGES, ["walk"])


def one_line_with_ways_out(error: pytest.ExceptionInfo[ModelError]) -> None:
    message = str(error.value)
    assert "\n" not in message and "another URL" in message and "local folder" in message
    assert "--model cartoon" in message and error.value.__cause__ is not None


@pytest.mark.parametrize(
    ("status", "says", "tries"),
    [
        (400, r"refused \(400 .*planted 400", 1),
        (401, r"wants another key \(401 .*set OPENAI_API_KEY", 1),
        (403, r"wants another key \(403", 1),
        (404, r"no such model or address \(404 .*check `#name`, and that the URL ends in /v1", 1),
        (429, r"too busy \(429 .*tried 3 times\); wait", 3),
        (500, r"failed \(500 .*tried 3 times\); see its log", 3),
        (503, r"failed \(503 .*tried 3 times\)", 3),
    ],
)
def test_each_refusal_says_what_to_do_and_only_passing_ones_are_tried_again(
    server: Server, status: int, says: str, tries: int
) -> None:
    vlm = load_vlm(f"{server.url}#served")
    server.failures = (status,) * 5
    with pytest.raises(ModelError, match=says) as refused:
        vlm.generate(MESSAGES)
    one_line_with_ways_out(refused)
    assert len(server.asked) == tries
    server.failures = (status,) * 5
    with pytest.raises(ModelError, match=says):
        list(vlm.stream(MESSAGES))


def test_a_passing_trouble_is_got_over(server: Server) -> None:
    vlm = load_vlm(f"{server.url}#served")
    server.failures = (429, 503)
    assert vlm.generate(MESSAGES) == "2 pictures" and len(server.asked) == 3
    server.failures = (503,)
    assert "".join(vlm.stream(MESSAGES)).strip() == "2 pictures"
    server.failures = (503,)
    with pytest.raises(ModelError, match="tried 1 times"):
        load_vlm(f"{server.url}#served", retries=0).generate(MESSAGES)


def test_the_key_comes_from_the_environment(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.key = "open sesame"
    monkeypatch.setenv("OPENAI_API_KEY", "open sesame")
    assert load_vlm(server.url).generate(MESSAGES) == "2 pictures"
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(ModelError, match=r"wants another key \(401") as refused:
        load_vlm(f"{server.url}#served")
    assert "sesame" not in str(refused.value)


def test_a_server_that_says_nothing_is_left(server: Server) -> None:
    server.silent_seconds = 1.0
    vlm = load_vlm(f"{server.url}#served", timeout_seconds=0.1, retries=0)
    with pytest.raises(ModelError, match="took too long to answer") as late:
        vlm.generate(MESSAGES)
    one_line_with_ways_out(late)


@pytest.mark.parametrize("breaks", ["short", "clean"])
def test_a_server_that_dies_in_mid_stream_is_told_after_what_it_said(server: Server, breaks: str) -> None:
    server.breaks = breaks
    stream = load_vlm(server.url).stream(MESSAGES)
    assert [next(stream) for _ in range(3)] == ["2", " pictures", "\n"]
    with pytest.raises(ModelError, match="broke off in the middle of its answer") as broken:
        next(stream)
    assert "\n" not in str(broken.value)


def test_an_absent_server_is_told_in_one_line() -> None:
    with pytest.raises(ModelError, match=r"cannot be reached \(.*refused\); start it") as absent:
        load_vlm("http://127.0.0.1:9/v1#served")
    one_line_with_ways_out(absent)


@pytest.mark.parametrize(
    ("option", "value"), [("retries", -1), ("concurrency", 0), ("timeout_seconds", 0), ("retries", True)]
)
def test_a_number_out_of_range_is_told(option: str, value: Any) -> None:
    with pytest.raises(OptionsError, match=f"{option} is {value}"):
        load_vlm("http://127.0.0.1:9/v1#served", **{option: value})
