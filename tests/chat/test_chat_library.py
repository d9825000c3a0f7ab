"""The chat page of a library, in a real browser: search, click a moment, talk about it, and back again."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from keyframe_llm.demos.models import Models
from keyframe_llm.demos.videos import demo_video
from keyframe_llm.library import Library
from support.chat import IN_BROWSER, Brightness, Talker, ask, player_seconds, ready, said, violations

pytestmark = IN_BROWSER

ODD = "<b>three & 'one'.mp4"
SEARCH = "#kf-search :is(input, textarea)"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    folder = tmp_path_factory.mktemp("library")
    shutil.copy(demo_video("one_walk.mp4"), folder / "walk.mp4")
    shutil.copy(demo_video("three_scenes.mp4"), folder / ODD)
    (folder / "walk.srt").write_text("1\n00:00:02,000 --> 00:00:04,000\nA <i>zeppelin</i>\nlands.\n\n")
    made = Library(folder / "library.sqlite", encoder=Brightness(), fps=1)
    assert [step.outcome.error for step in made.index([folder])] == ["", ""]
    return made


@pytest.fixture(scope="module")
def address(library: Library) -> Iterator[str]:
    from keyframe_llm.demos.chat import serving

    with serving(Models([Talker()], [Brightness()]), library=library) as addresses:
        yield addresses[0]
    gc.collect()


def search(page: Any, text: str) -> Any:
    page.fill(SEARCH, text)
    page.press(SEARCH, "Enter")
    page.wait_for_selector(".kf-moment")
    return page.locator(".kf-moment")


def test_a_search_leads_to_a_chat_about_a_moment_and_back_to_what_was_found(
    visit: Any,
    library: Library,
) -> None:
    page = visit(apart=True)
    cells = search(page, "dark zeppelin lands")
    assert "of 2 videos" in page.inner_text("#kf-found [role=status]") and violations(page) == []
    assert cells.first.locator(".kf-name").inner_text() == "walk.mp4"
    assert "zeppelin lands." in page.inner_text(".kf-moment q")
    assert ODD in page.inner_text("#kf-found") and page.locator("#kf-found b").count() == 0
    loaded = "[...document.querySelectorAll('.kf-moment img')].every((image) => image.naturalWidth > 50)"
    assert page.evaluate(loaded) and str(library.path.parent) not in page.content()
    count, second = cells.count(), float(cells.last.get_attribute("data-at"))
    cells.last.click()
    ready(page)
    assert ODD in page.inner_text("#kf-player")
    page.wait_for_function("document.querySelector('#kf-player video').readyState > 0")
    assert player_seconds(page) == pytest.approx(second, abs=0.05)
    ask(page, "Is it dark?", 1)
    assert "I was told 1 messages" in said(page) and violations(page) == []
    page.get_by_role("button", name="Back to the search").click()
    page.wait_for_selector(".kf-moment")
    assert cells.count() == count and page.input_value(SEARCH) == "dark zeppelin lands"
    cells.last.click()  # open already: its conversation is there, and no second one beside it
    page.wait_for_selector("#kf-chat .kf-facts")
    assert page.locator("#kf-videos input").count() <= 1
    page.get_by_role("button", name="Back to the search").click()
    page.wait_for_selector(".kf-moment")
    cells.first.click()
    page.wait_for_selector("#kf-player video[data-name='walk.mp4']")
    page.go_back()
    page.wait_for_selector("#kf-player video", state="detached")
    page.wait_for_selector(".kf-moment")
    page.go_forward()
    page.wait_for_selector("#kf-player video[data-name='walk.mp4']")
    page.go_back()
    page.wait_for_selector("#kf-player video", state="detached")
    page.wait_for_selector(".kf-moment")
    page.context.set_offline(True)  # the page is loaded again when the network is back
    page.fill(SEARCH, "bright")
    page.press(SEARCH, "Enter")
    page.get_by_text("Connection to the server was lost").wait_for()
    page.fill(SEARCH, "typed since")
    page.context.set_offline(False)
    page.get_by_text("Connection to the server was lost").wait_for(state="detached")
    page.wait_for_selector(".kf-moment")
    assert page.input_value(SEARCH) == "typed since"


def test_a_narrow_screen_and_a_video_that_is_gone(visit: Any, library: Library) -> None:
    page = visit(390, color_scheme="dark")
    cells = search(page, "bright")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390 and violations(page) == []
    moved = library.path.parent / "away.mp4"
    (library.path.parent / "walk.mp4").rename(moved)
    page.locator(".kf-moment[data-name='walk.mp4']").first.click()
    page.get_by_text("is gone or was changed since it was indexed").first.wait_for()
    assert page.locator("#kf-player video").count() == 0 and str(library.path.parent) not in page.content()
    page.fill(SEARCH, "dark")
    page.press(SEARCH, "Enter")
    page.wait_for_selector(".kf-gone")
    assert "walk.mp4" in page.inner_text(".kf-gone") and cells.count() > 0
    moved.rename(Path(moved).with_name("walk.mp4"))
