"""What tests of the chat page share: a model and an encoder of the caller's own, and what a person does."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from support.packages import needs

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
# Gradio leaves event loops and sockets of its server to the garbage collector; nothing here can close them.
IN_BROWSER = [
    needs("gradio", "the `demo` extra"),
    needs("playwright", "the `dev` extra"),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed (apt-get install chromium)"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:gradio.*"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

QUIET = [
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-quic",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--mute-audio",
    "--js-flags=--max-lazy",  # each page is open for seconds: what it never calls is not compiled
]
PATIENCE = 120_000.0  # milliseconds; only ever waited for where something is wrong, or the machine is busy


class Brightness:
    """An encoder of the caller's own: a picture and a text are what they have of bright and dark."""

    def embed_images(self, images: Sequence[NDArray[np.uint8]], /) -> NDArray[np.float32]:
        return np.array([[np.mean(i), 255 - np.mean(i)] for i in images], np.float32)

    def embed_texts(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        return np.array([[0.2, 1.0] if "dark" in text else [1.0, 0.2] for text in texts], np.float32)


class Talker:
    """A Video-LLM of the caller's own that says how much it was told, or talks until it is stopped."""

    hushed = 0
    """How often answers without an end were ended from outside, as they are after each test."""

    def __init__(self) -> None:
        self.takes = 0

    def generate(self, messages: list[dict[str, Any]], *, max_new_tokens: int = 128) -> str:
        first = messages[0]["content"][0]["text"].strip("[]s")
        return f"I was told {len(messages)} messages; the first frame is at {first} seconds."

    def stream(self, messages: list[dict[str, Any]], *, max_new_tokens: int = 128) -> Iterator[str]:
        self.takes += 1
        yield f"Take {self.takes}. "
        if "forever" not in messages[-1]["content"][-1]["text"]:
            yield from re.findall(r"\S+\s*", self.generate(messages))
            return
        hushed = Talker.hushed
        for word in range(100_000):
            Event().wait(0.05)
            if Talker.hushed != hushed:
                return
            yield f"word{word} "

    def generate_batch(self, conversations: Sequence[Any], *, max_new_tokens: int = 128) -> list[str]:
        return [self.generate(messages) for messages in conversations]

    def label_log_likelihoods(
        self, messages: Any, labels: Sequence[str], *, normalise: str = "mean"
    ) -> NDArray[np.float64]:
        return np.array([0.0 if label == "walk" else -2.0 for label in labels])

    def count_tokens(self, messages: Any) -> tuple[int, int]:
        return 100, 27


HOSTILE = "<img src=http://127.0.0.1:9/cue.png onerror=alert(1)>"
LINES = [(float(k), k + 0.9, f"Remark {k} on topic {7 * k % 13} & more") for k in range(58)]
LINES[20] = (20.0, 20.9, "The deadline for the report is Friday at noon.")
LINES[30] = (30.0, 30.9, "שלום עולם, זהו קו בעברית")
LINES[31] = (31.0, 31.9, "截止日期是星期五中午。")
LINES[40] = (40.0, 40.9, f"Café &lt;noir&gt; {HOSTILE.replace('<', '&lt;')}")
QUESTION = "When is the deadline for the report?"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


def upload(page: Any, path: Path) -> None:
    page.set_input_files("#kf-upload input[type=file]", str(path))


def ready(page: Any) -> None:
    """Wait until the video was looked at and questions can be asked."""
    page.wait_for_selector("#kf-question textarea:not([disabled])")
    page.wait_for_selector("#kf-keyframes .kf-frame")


def ask(page: Any, question: str, answers: int) -> None:
    page.fill("#kf-question textarea", question)
    page.press("#kf-question textarea", "Enter")
    answered(page, answers)


def answered(page: Any, answers: int) -> None:
    """Wait until so many answers stand there, and the last is finished."""
    page.wait_for_function(f"document.querySelectorAll('#kf-chat .kf-facts').length == {answers}")
    page.wait_for_selector("#kf-question .submit-button")


def player_seconds(page: Any) -> float:
    page.wait_for_function("!document.querySelector('#kf-player video').seeking")
    return float(page.evaluate("document.querySelector('#kf-player video').currentTime"))


def said(page: Any) -> str:
    return str(page.inner_text("#kf-chat"))


def wait_until_said(page: Any, text: str) -> None:
    page.wait_for_function("text => document.querySelector('#kf-chat')?.innerText.includes(text)", arg=text)


def violations(page: Any) -> list[str]:
    """What axe finds wrong, a line for each element."""
    if not page.evaluate("'axe' in window"):
        page.evaluate((resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8"))
    wrong = "axe.run(document, { runOnly: rules, resultTypes: ['violations'] })"  # and not all that is right
    found = page.evaluate(f"async rules => (await {wrong}).violations", RULES)
    return [
        f"{rule['id']}: {node['html'][:120]}: {node['failureSummary']}"
        for rule in found
        for node in rule["nodes"]
    ]


def cleared(page: Any) -> None:
    """Take the page back to where `walk` gives it, after an answer or none, about a part or the whole."""
    page.get_by_role("tab", name="Chat").click()
    if page.locator(".kf-whole").count():
        page.locator(".kf-whole").click()
        page.wait_for_selector("details.kf-part")
        ready(page)
    page.fill("#kf-question textarea", "")
    if page.locator('#kf-chat [aria-label="Clear"]').count():
        page.locator('#kf-chat [aria-label="Clear"]').click()
        answered(page, 0)
    page.evaluate("window.scrollTo(0, 0); document.querySelector('#kf-player video').currentTime = 0")
