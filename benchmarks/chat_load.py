"""Load of the chat page: many people at once, with a server as the model, each in a browser tab of their own.

    python benchmarks/chat_load.py --people 1 4 16

The model is a real server on this machine that speaks as OpenAI's do and answers everybody at once: nothing
for a while, as during prefill, then a word every few hundredths of a second. The encoder is the embedded one.
Each person asks one question after another. Measured in the tabs: the time from asking to the first word, how
much of it the server did not take, and the answers of all people in a minute.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from statistics import median
from threading import Thread
from typing import Any

from measuring import machine, table

_WORDS = 40
_FIRST_SECONDS, _WORD_SECONDS = 3.0, 0.04
_PATIENCE = 600_000
_SECONDS_TO_END = 120
_ASK = """async ([person, rounds]) => {
  const until = async (found) => { while (!found()) await new Promise((done) => setTimeout(done, 10)); };
  const text = () => document.querySelector('#kf-chat').innerText;
  window.asked = [];
  for (let round = 0; round < rounds; round++) {
    const name = `Q${person}x${round}`, box = document.querySelector('#kf-question textarea');
    box.value = `What happens here? ${name}`;
    box.dispatchEvent(new Event('input', { bubbles: true }));
    await until(() => document.querySelector('#kf-question .submit-button'));
    await new Promise((done) => setTimeout(done, 100));
    const began = Date.now();
    document.querySelector('#kf-question .submit-button').click();
    await until(() => text().includes(`${name}: word0`));
    const first = Date.now();
    await until(() => document.querySelectorAll('#kf-chat .kf-facts').length > round);
    window.asked.push([name, began / 1000, first / 1000, Date.now() / 1000]);
  }
  window.finished = true;
}"""


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


def measure(browser: Any, address: str, server: _Server, people: int, rounds: int) -> list[str]:
    """A row of the table: people, first words, the page's part of them, answers a minute."""
    server.first_words.clear()
    contexts = [browser.new_context(viewport={"width": 800, "height": 700}) for _ in range(people)]
    pages = [context.new_page() for context in contexts]
    for page in pages:
        page.set_default_timeout(_PATIENCE)
        page.goto(address)
        page.locator("#kf-examples button").nth(2).click()
    for page in pages:
        page.wait_for_selector("#kf-question textarea:not([disabled])")
    for person, page in enumerate(pages):
        page.evaluate(f"(given) => {{ ({_ASK})(given); }}", [person, rounds])
    for page in pages:
        page.wait_for_function("window.finished")
    asked = [row for page in pages for row in page.evaluate("window.asked")]
    for context in contexts:
        context.close()
    firsts = [first - began for _, began, first, _ in asked]
    late = [first - server.first_words[name] for name, _, first, _ in asked]
    spent = max(row[3] for row in asked) - min(row[1] for row in asked)
    numbers = (median(firsts), max(firsts), median(late), max(late))
    return [str(people), *(f"{number:.2f} s" for number in numbers), f"{60 * len(asked) / spent:.0f}"]


def main() -> None:
    """Print the table."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, nargs="+", default=[1, 4, 10, 16])
    parser.add_argument("--rounds", type=int, default=3, help="questions of each person")
    args = parser.parse_args()
    server = _Server()
    Thread(target=server.serve_forever, daemon=True).start()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    model = f"http://127.0.0.1:{server.server_port}/v1#slow"
    print(machine(), f"first word of the server after {_FIRST_SECONDS:g} s")
    with page_address(model) as address, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        measure(browser, address, server, 1, 1)  # so that nobody waits for what is loaded once
        rows = []
        for people in args.people:
            rows.append(measure(browser, address, server, people, args.rounds))
            print(*rows[-1], sep=", ", flush=True)
    head = ["people", "first word", "slowest", "after the server's", "slowest", "answers a minute"]
    print(table(head, rows))


if __name__ == "__main__":
    main()
