"""The chat page by keyboard and screen reader, in a real browser: names, focus, keys, axe's rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.chat import IN_BROWSER, QUESTION, answered, ask, ready, upload, violations, wait_until_said

pytestmark = IN_BROWSER

axe = pytest.importorskip("axe_playwright_python", reason="axe is not installed (the `dev` extra)")

REDRAWN = """dark => document.body.classList.contains('dark') == dark
  && document.getAnimations().every(one => !(one instanceof CSSTransition))"""
"""The page has the colours of the scheme, and none is on its way any more."""


def focused(page: Any) -> str:
    """The name of what has the focus."""
    question = "#kf-question textarea"
    if page.evaluate("box => document.activeElement.matches(box)", question):
        return "Question"
    return str(page.evaluate("(e => e.getAttribute('aria-label') || e.innerText)(document.activeElement)"))


def assert_accessible(page: Any) -> None:
    """Axe finds nothing wrong, wide and light or narrow and dark."""
    for width, scheme in ((1280, "light"), (390, "dark")):
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)
        page.wait_for_function(REDRAWN, arg=scheme == "dark")
        assert violations(page) == [], (width, scheme)


def test_axe_finds_nothing_wrong_in_any_state_of_the_page(
    visit: Any,
    talked: Path,
) -> None:
    page = visit()
    assert_accessible(page)
    upload(page, talked)
    ready(page)
    ask(page, QUESTION, 1)
    page.locator(".kf-part summary").click()
    assert_accessible(page)
    page.fill(".kf-part input[name=from]", "10")
    page.fill(".kf-part input[name=to]", "20")
    page.keyboard.press("Enter")
    page.wait_for_selector(".kf-whole")
    page.get_by_role("tab", name="Transcript").click()
    page.evaluate("document.querySelector('#kf-player video').currentTime = 20.5")
    page.wait_for_selector(".kf-cue[aria-current]")
    page.get_by_role("searchbox").fill("the")
    page.wait_for_selector(".kf-cue mark")
    assert_accessible(page)
    page.get_by_role("tab", name="Classify").click()
    page.locator("#kf-classify").click()
    page.wait_for_selector("#kf-result .kf-label")
    page.locator("#kf-classify").hover()
    assert_accessible(page)
    page.get_by_role("tab", name="Settings").click()
    page.wait_for_selector("#kf-compare")
    assert_accessible(page)


def test_the_controls_have_names(walk: Any) -> None:
    page = walk
    assert page.locator("#kf-player video").get_attribute("aria-label") == "Video one_walk.mp4"
    page.get_by_role("button", name="Send").wait_for()
    page.fill("#kf-question textarea", "Talk forever")
    page.press("#kf-question textarea", "Enter")
    page.get_by_role("button", name="Stop").wait_for()
    wait_until_said(page, "word1 ")  # stopped before the first word, an answer says so in other words
    page.keyboard.press("Escape")
    wait_until_said(page, "— stopped")
    answered(page, 1)
    page.get_by_role("button", name="Send").wait_for()


def test_a_keyboard_alone_is_enough_and_the_focus_stays_at_the_question(visit: Any) -> None:
    page = visit()
    page.keyboard.press("Tab")
    assert focused(page) == "Skip to the question"
    page.locator("#kf-examples button").nth(2).focus()
    page.keyboard.press("Enter")
    ready(page)
    page.wait_for_function("document.activeElement.closest('#kf-question')")
    page.keyboard.type("Talk forever")
    page.keyboard.press("Enter")
    wait_until_said(page, "word3")
    page.locator("#kf-question .stop-button").click()
    answered(page, 1)
    assert focused(page) == "Question"
    page.reload()
    wait_until_said(page, "— stopped")
    ready(page)
    page.locator("h1").click()
    page.keyboard.press("/")
    assert focused(page) == "Question" and page.input_value("#kf-question textarea") == ""
    page.keyboard.type("a/b")
    assert page.input_value("#kf-question textarea") == "a/b"


def test_what_has_the_focus_shows_it(walk: Any) -> None:
    page = walk
    page.locator("h1").click()
    page.keyboard.press("/")
    seen = 0
    for _ in range(30):
        style = page.evaluate(
            "(s => [s.outlineStyle, s.outlineWidth])(getComputedStyle(document.activeElement))"
        )
        tag = page.evaluate(
            "document.activeElement.closest('video, .kf-legend label') ? '' : document.activeElement.tagName"
        )
        if tag not in ("", "BODY"):
            seen += 1
            assert style[0] != "none" and style[1] != "0px", page.evaluate(
                "document.activeElement.outerHTML"
            )[:200]
        page.keyboard.press("Tab")
    assert seen > 5
