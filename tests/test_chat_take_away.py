"""What is taken away from the chat page, in a real browser: answers, frames, files, links to a moment."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from test_chat_browser import (  # noqa: F401  # `address`, `browser` and `visit` are fixtures
    address,
    ask,
    browser,
    player_seconds,
    pytestmark,
    ready,
    upload,
    visit,
    wait_until_said,
)

from keyframe_llm.demos.videos import demo_video
from keyframe_llm.video import open_video


def saved(page: Any, button: Any) -> tuple[str, bytes]:
    """The name and content of the file that a click on the button saves."""
    with page.expect_download() as download:
        button.click()
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


def copied(page: Any) -> str:
    page.wait_for_selector(".kf-toast:text('Copied')")
    return str(page.evaluate("navigator.clipboard.readText()"))


def test_answers_frames_files_and_moments_are_taken_away(visit: Any) -> None:  # noqa: F811
    page = visit(permissions=["clipboard-read", "clipboard-write"])
    page.locator("#kf-examples button").nth(2).click()
    ready(page)
    ask(page, "Is <it> bright?", 1)

    page.get_by_role("button", name="Copy answer").click()
    answer = copied(page)
    assert re.fullmatch(r"Take \d+. I was told 1 messages; the first frame is at [\d.]+ seconds\.", answer)

    cell = page.locator("#kf-chat .kf-cell").last
    second = float(cell.locator(".kf-frame").get_attribute("data-second"))
    name, data = saved(page, cell.get_by_role("button", name="in full size"))
    assert name == f"one_walk_{second:.3f}s.jpg"
    with open_video(demo_video("one_walk.mp4")) as decoder:
        frame = decoder.decode_at([second]).images[0]
    picture = np.asarray(Image.open(io.BytesIO(data)))
    assert picture.shape == frame.shape
    assert np.abs(picture.astype(float) - frame).mean() < 2

    name, data = saved(page, page.locator("#kf-keyframes").get_by_role("button", name="Contact sheet"))
    assert name.endswith("_contact_sheet.png") and Image.open(io.BytesIO(data)).width >= 640
    name, data = saved(page, page.locator("#kf-chat").get_by_role("button", name="selection.json"))
    details = json.loads(data)
    assert details["video"]["name"] == "one_walk.mp4" and "path" not in details["video"]
    assert f"one_walk_{second:.3f}s.jpg" in [keyframe["image"] for keyframe in details["keyframes"]]

    name, data = saved(page, page.get_by_role("button", name="Save the conversation"))
    html = data.decode("utf-8")
    assert name == "one_walk_conversation.html"
    assert "Is &lt;it&gt; bright?" in html and answer in html
    assert html.count('src="data:image/jpeg;base64,') == page.locator("#kf-chat .kf-frame").count()

    cell.locator(".kf-frame").click()
    player_seconds(page)
    page.get_by_role("button", name="Copy link to this moment").click()
    page.wait_for_function("navigator.clipboard.readText().then(text => text.includes('#t='))")
    link = copied(page)
    assert link.endswith("&video=one_walk.mp4")
    page.evaluate("document.querySelector('#kf-player video').currentTime = 0")
    other = page.context.new_page()  # another tab, which has no video
    other.goto(link)
    other.wait_for_selector(".kf-toast:text('Shown in the tab that has one_walk.mp4')")
    assert player_seconds(page) == pytest.approx(second, abs=0.05)
    page.evaluate("document.querySelector('#kf-player video').currentTime = 0")
    page.goto(link)  # in the tab itself
    page.wait_for_function("document.querySelector('#kf-player video').currentTime > 0")
    assert player_seconds(page) == pytest.approx(second, abs=0.05)
    page.reload()
    wait_until_said(page, "Is <it> bright?")
    page.wait_for_function("document.querySelector('#kf-player video').currentTime > 0")
    assert player_seconds(page) == pytest.approx(second, abs=0.05)


def test_what_is_gone_is_not_saved_and_no_other_file_is(visit: Any) -> None:  # noqa: F811
    page = visit()
    for what in ("frame video 0", "sheet ../../etc 0", "json nobody", "file /etc/passwd", ""):
        page.evaluate("what => window.kfSave(what)", what)
        page.get_by_text("not there any more").last.wait_for()
