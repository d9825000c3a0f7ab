"""Where things stand on the chat page, wide and narrow, in a real browser."""

from __future__ import annotations

from typing import Any

import pytest

from support.chat import IN_BROWSER, answered, ask, wait_until_said

pytestmark = IN_BROWSER

LONG = "What is at https://example.org/" + "alongaddresswithnoplacetobreak" * 8 + "?"
THREE_FRAMES = """() => {
  const frames = [...document.querySelectorAll('#kf-chat .kf-frame')];
  const boxes = frames.map((frame) => frame.getBoundingClientRect());
  return boxes.length == 3 && boxes.map((box) => [box.x, box.y, box.width]);
}"""
"""Left, top and width of an answer's frames, at one moment: the page draws them anew while it streams."""
LOG = "document.querySelector('#kf-chat [role=log]')"


def sized(page: Any, width: int) -> Any:
    page.set_viewport_size({"width": width, "height": 900})
    return page


@pytest.mark.parametrize("width", [1280, 390])
def test_a_word_of_any_length_stays_on_the_page(walk: Any, width: int) -> None:
    page = sized(walk, width)
    ask(page, LONG, 1)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    send = page.locator("#kf-question .submit-button").bounding_box()
    assert send["x"] + send["width"] <= width
    assert len(page.inner_text("#kf-keyframes h3")) < 90


@pytest.mark.parametrize("width", [1280, 390])
def test_the_frames_of_an_answer_stand_in_one_row_from_the_first_word_on(walk: Any, width: int) -> None:
    page = sized(walk, width)
    page.fill("#kf-question textarea", "Talk forever")
    page.press("#kf-question textarea", "Enter")
    wait_until_said(page, "word1")
    early = page.wait_for_function(THREE_FRAMES).json_value()
    wait_until_said(page, "word30")
    late = page.wait_for_function(THREE_FRAMES).json_value()
    page.keyboard.press("Escape")
    answered(page, 1)
    assert len({top for _, top, _ in early}) == 1
    assert [(left, wide) for left, _, wide in early] == [(left, wide) for left, _, wide in late]


def test_who_scrolls_up_during_an_answer_is_left_there(walk: Any) -> None:
    page = sized(walk, 390)
    page.fill("#kf-question textarea", "Talk forever")
    page.press("#kf-question textarea", "Enter")
    wait_until_said(page, "word30")
    page.wait_for_function(f"{LOG}.scrollTop > 20")
    up = page.evaluate(f"{LOG}.scrollTop -= 15")  # a finger moves a little at a time
    wait_until_said(page, "word50")
    assert page.evaluate(f"{LOG}.scrollTop") == pytest.approx(up, abs=1)
    page.evaluate(f"{LOG}.scrollTop = {LOG}.scrollHeight")
    wait_until_said(page, "word80")
    page.wait_for_function(f"{LOG}.scrollHeight - {LOG}.scrollTop - {LOG}.clientHeight < 40")
    page.keyboard.press("Escape")
    answered(page, 1)


def test_on_a_phone_the_question_box_is_always_in_reach_and_progress_above_the_frames(walk: Any) -> None:
    page = sized(walk, 390)
    box = page.locator("#kf-question").bounding_box()
    assert box["y"] > 0 and box["y"] + box["height"] <= 900
    page.evaluate("window.scrollTo(0, 600)")
    box = page.locator("#kf-question").bounding_box()
    assert box["y"] > 0 and box["y"] + box["height"] <= 900
    page.evaluate("window.scrollTo(0, 0)")
    ask(page, "Is it bright?", 1)
    log = page.locator("#kf-chat").bounding_box()
    assert log["y"] < 450  # the answer has come into view
    page.evaluate("document.querySelector('#kf-status').innerHTML = '<div class=\"kf-stages\">x</div>'")
    status, frames = (page.locator(f"#kf-{name}").bounding_box() for name in ("status", "keyframes"))
    assert status["y"] < frames["y"]
    page.evaluate("document.querySelector('#kf-status').innerHTML = ''")
