"""The chat page for the tests of this folder: one server, one browser, pages that several tests share."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from keyframe_llm.demos.models import Models
from support.chat import CHROMIUM, LINES, PATIENCE, QUIET, Brightness, Talker, cleared, ready
from support.words import film


@pytest.fixture(scope="package")
def address() -> Iterator[str]:
    from keyframe_llm.demos.chat import serving

    gc.collect()
    gc.freeze()  # the page searches for garbage often; what other tests have loaded is left out
    with serving(Models([Talker()], [Brightness()]), allow_addresses=True) as addresses:
        yield addresses[0]
    gc.unfreeze()
    gc.collect()


@pytest.fixture(scope="package")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, headless=True, args=QUIET)
        yield opened
        opened.close()


@pytest.fixture(scope="package")
def tabs(browser: Any) -> Any:
    """A browser context whose tabs find the page's scripts in its cache; each tab is a session of its own."""
    return browser.new_context(reduced_motion="reduce")


@pytest.fixture
def visit(browser: Any, tabs: Any, address: str) -> Iterator[Any]:
    """`visit(width)` opens the page in a new tab; whatever asks another machine fails the test.

    With `apart=True`, or options of a context, the tab is in a context of its own: another person's browser.
    """
    ends, asked = [], []

    def open_page(width: int = 1280, *, apart: bool = False, **options: Any) -> Any:
        own = browser.new_context(reduced_motion="reduce", **options) if apart or options else None
        page = (own or tabs).new_page()
        ends.append(own or page)
        page.set_viewport_size({"width": width, "height": 900})
        page.set_default_timeout(PATIENCE)
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        page.wait_for_selector("#kf-examples button")
        return page

    yield open_page
    for end in ends:
        end.close()
    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []


@pytest.fixture(scope="package")
def shared(browser: Any, address: str) -> Iterator[dict[int, Any]]:
    """The pages of `walk` and `scenes` by the number of the example, once they are open."""
    pages: dict[int, Any] = {}
    yield pages
    for page in pages.values():
        page.context.close()


@pytest.fixture
def walk(request: pytest.FixtureRequest, shared: dict[int, Any], browser: Any, address: str) -> Iterator[Any]:
    """A wide page about the bundled walk, without a question: one for all tests, until one of them fails."""
    yield from page_about(2, request, shared, browser, address)


@pytest.fixture
def scenes(
    request: pytest.FixtureRequest, shared: dict[int, Any], browser: Any, address: str
) -> Iterator[Any]:
    """Such a page about the bundled scenes."""
    yield from page_about(1, request, shared, browser, address)


def page_about(
    example: int, request: pytest.FixtureRequest, shared: dict[int, Any], browser: Any, address: str
) -> Iterator[Any]:
    """The shared page about a bundled clip, as it was at the start."""
    failed, asked = request.session.testsfailed, list[str]()
    if example not in shared:
        page = shared[example] = browser.new_context(reduced_motion="reduce").new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(address)
        page.locator("#kf-examples button").nth(example).click()
    page = shared[example]
    page.set_viewport_size({"width": 1280, "height": 900})
    ready(page)
    page.on("request", note := lambda request: asked.append(request.url))
    yield page
    page.remove_listener("request", note)
    if request.session.testsfailed > failed:
        shared.pop(example).context.close()
    else:
        cleared(page)
    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []


@pytest.fixture(autouse=True)
def hushed() -> Iterator[None]:
    """End the answers without an end that a test has left behind: all tests share the model."""
    yield
    Talker.hushed += 1


@pytest.fixture(scope="package")
def talked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A minute with a line of subtitles a second."""
    return film(tmp_path_factory.mktemp("talk") / "talk.mkv", 60, subtitles=[(LINES, "eng", True)])
