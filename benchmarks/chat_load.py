"""Load of the chat page: many people at once, with a server as the model.

    python benchmarks/chat_load.py --people 1 4 10 16

The model is a real server on this machine that speaks as OpenAI's do and answers everybody at once: nothing
for a while, as during prefill, then a word every few hundredths of a second. The encoder is the embedded one.
People send what their browsers would send and read what they would be sent, without drawing it: browsers run
on machines of their own. Each takes a bundled video and asks one question after another. Measured are the
time from asking to the first word, how much of it is not the server's, and the answers of all in a minute.
"""

from __future__ import annotations

import argparse
import json
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from statistics import median
from threading import Barrier, Thread
from typing import Any

import httpx
from measuring import machine, table

from keyframe_llm.demos.videos import EXAMPLES

_WORDS = 40
_FIRST_SECONDS, _WORD_SECONDS = 3.0, 0.04
_PATIENCE_SECONDS = 300.0
_SECONDS_TO_END = 120


class _Server(ThreadingHTTPServer):
    """Streams words to everybody at once, and remembers when it gave the first one to which question."""

    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.first_words: dict[str, float] = {}


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        self._begin("application/json")
        self.wfile.write(json.dumps({"object": "list", "data": [{"id": "slow", "object": "model"}]}).encode())

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        content = request["messages"][-1]["content"]
        parts = content if isinstance(content, list) else [{"text": content}]
        names = re.findall(r"Q\d+x\d+", " ".join(part.get("text", "") for part in parts))
        name = names[-1] if names else "caption"
        if not request.get("stream"):
            self._begin("application/json")
            choice = {"index": 0, "message": {"role": "assistant", "content": f"{name}: word0"}}
            self.wfile.write(json.dumps({"model": "slow", "choices": [choice]}).encode())
            return
        self._begin("text/event-stream")
        time.sleep(_FIRST_SECONDS)
        self.server.first_words[name] = time.time()
        for i in range(_WORDS):
            self._piece(f"{name}: word{i} " if i == 0 else f"word{i} ")
            time.sleep(_WORD_SECONDS)
        self._piece("", "stop")
        self.wfile.write(b"data: [DONE]\n\n")

    def _begin(self, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.end_headers()

    def _piece(self, text: str, finish: str | None = None) -> None:
        choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
        data = {"id": "1", "object": "chat.completion.chunk", "model": "slow", "choices": [choice]}
        self.wfile.write(f"data: {json.dumps(data)}\n\n".encode())
        self.wfile.flush()

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def page_address(model: str) -> Iterator[str]:
    """The address of `keyframe-llm chat` in a process of its own."""
    command = [sys.executable, "-m", "keyframe_llm.cli", "chat", "--model", model, "--encoder", "cartoon"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().split()[-1]
    finally:
        process.terminate()
        process.wait(_SECONDS_TO_END)


class Person:
    """One person's session with the page, over the requests that the page's script makes."""

    def __init__(self, address: str) -> None:
        self._web = httpx.Client(base_url=address, timeout=_PATIENCE_SECONDS)
        self._name = secrets.token_hex(8)
        self._config = self._web.get("/config").json()
        self.asked: list[tuple[str, float, float, float]] = []
        """Question, and the times of asking, of the first word and of the end."""

    def take_a_video(self) -> None:
        """Take a bundled video and wait until it was read."""
        title = EXAMPLES["one_walk.mp4"].title
        button = next(
            each["id"] for each in self._config["components"] if each["props"].get("value") == title
        )
        opening = self._event(lambda event: [button, "click"] in event["targets"])
        self._call(opening, None)
        self._call(self._event(lambda event: event["trigger_after"] == opening["id"]), None)

    def ask(self, name: str) -> None:
        """Ask a question and read the answer."""
        props = ((each["id"], each["props"].get("elem_id")) for each in self._config["components"])
        box = next(number for number, elem_id in props if elem_id == "kf-question")
        event = self._event(lambda event: [box, "submit"] in event["targets"])
        began = time.time()
        first = self._call(event, f"What happens here? {name}", f"{name}: word0")
        self.asked.append((name, began, first, time.time()))

    def _event(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        found: dict[str, Any] = next(filter(wanted, self._config["dependencies"]))
        return found

    def _call(self, event: dict[str, Any], text: str | None, awaited: str = "") -> float:
        """Have the server do an event, with `text` as the first input; when the awaited words came."""
        values = {each["id"]: each["props"].get("value") for each in self._config["components"]}
        data = [values[number] for number in event["inputs"]]
        if text is not None:
            data[0] = text
        body = {"data": data, "fn_index": event["id"], "session_hash": self._name, "trigger_id": None}
        self._web.post("/gradio_api/queue/join", json=body).raise_for_status()
        came = 0.0
        with self._web.stream("GET", f"/gradio_api/queue/data?session_hash={self._name}") as events:
            for line in events.iter_lines():
                if awaited and not came and awaited in line:
                    came = time.time()
                if '"process_completed"' in line:
                    if '"success":false' in line:
                        raise SystemExit(f"the page failed: {line[:300]}")
                    return came
        raise SystemExit("the page closed the connection")


def measure(address: str, server: _Server, people: int, rounds: int) -> list[str]:
    """A row of the table: people, first words, the page's part of them, answers a minute."""
    server.first_words.clear()

    def visit(number: int) -> Person:
        person = Person(address)
        person.take_a_video()
        ready.wait()
        for turn in range(rounds):
            person.ask(f"Q{number}x{turn}")
        return person

    ready = Barrier(people)
    with ThreadPoolExecutor(people) as pool:
        asked = [row for person in pool.map(visit, range(people)) for row in person.asked]
    firsts = [first - began for _, began, first, _ in asked]
    late = [first - server.first_words[name] for name, _, first, _ in asked]
    spent = max(row[3] for row in asked) - min(row[1] for row in asked)
    numbers = (median(firsts), max(firsts), median(late), max(late))
    return [str(people), *(f"{number:.2f} s" for number in numbers), f"{60 * len(asked) / spent:.0f}"]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, nargs="+", default=[1, 4, 10, 16])
    parser.add_argument("--rounds", type=int, default=3, help="questions of each person")
    args = parser.parse_args()
    server = _Server()
    Thread(target=server.serve_forever, daemon=True).start()
    print(machine(), f"first word of the server after {_FIRST_SECONDS:g} s")
    with page_address(f"http://127.0.0.1:{server.server_port}/v1#slow") as address:
        measure(address, server, 1, 1)  # so that nobody waits for what is loaded once
        rows = []
        for people in args.people:
            rows.append(measure(address, server, people, args.rounds))
            print(*rows[-1], sep=", ", flush=True)
    head = ["people", "first word", "slowest", "after the server's", "slowest", "answers a minute"]
    print(table(head, rows))


if __name__ == "__main__":
    main()
