"""The chat page as it is really served, in a real browser: headless Chromium, driven by playwright."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from keyframe_llm.demos.models import Models
from keyframe_llm.demos.session import Settings
from keyframe_llm.demos.videos import demo_video
from support.chat import (
    IN_BROWSER,
    PATIENCE,
    Brightness,
    Talker,
    answered,
    ask,
    player_seconds,
    ready,
    said,
    upload,
    wait_until_said,
)

pytestmark = IN_BROWSER


@pytest.fixture(scope="module")
def real_video() -> Path:
    """A small real video where there are some, else a bundled drawn one."""
    data = os.environ.get("KEYFRAME_LLM_TEST_DATA")
    found = sorted(Path(data).glob("real/*.mp4"), key=lambda path: path.stat().st_size) if data else []
    return found[0] if found else demo_video("three_scenes.mp4")


def test_a_person_is_told_of_a_damaged_file_asks_twice_about_another_and_jumps_to_what_the_answer_rests_on(
    visit: Any, real_video: Path, tmp_path: Path
) -> None:
    damaged = tmp_path / "broken.mp4"
    damaged.write_bytes(b"\0\0\0\x18ftypmp42" + bytes(1000))
    page = visit()
    upload(page, damaged)
    page.wait_for_selector(".kf-trouble")
    told = page.inner_text(".kf-trouble")
    assert "broken.mp4" in told and "/" not in told and "Traceback" not in told
    page.wait_for_selector("[data-testid=toast-body]:has-text('broken.mp4')")
    assert "/broken.mp4" not in page.inner_text("body")
    page.wait_for_selector("#kf-examples button")
    upload(page, real_video)
    ready(page)
    assert page.locator(".kf-trouble").count() == 0
    assert real_video.name in page.inner_text("#kf-player")
    assert "I was told 1 messages" in page.input_value("#kf-caption textarea")
    ask(page, "Where is it bright?", 1)
    assert "I was told 1 messages" in said(page)
    ask(page, "And is it dark then?", 2)
    assert "I was told 3 messages" in said(page)
    assert "the video was not read again" in said(page) or "rests on" in said(page)
    frame = page.locator("#kf-chat .kf-frame").last
    assert frame.locator("img").evaluate("image => image.naturalWidth") > 50
    frame.click()
    assert player_seconds(page) == pytest.approx(float(frame.get_attribute("data-second")), abs=0.05)
    link = page.locator('#kf-chat a[href*="#t="]').last
    link.click()
    second = float(str(link.get_attribute("href")).split("#t=")[1])
    assert player_seconds(page) == pytest.approx(second, abs=0.05)


def test_the_curve_is_a_timeline_to_click_on(walk: Any) -> None:
    page = walk
    plot = page.locator(".kf-plot")
    box = plot.bounding_box()
    plot.click(position={"x": 0.5 * box["width"], "y": 0.9 * box["height"]})
    assert player_seconds(page) == pytest.approx(3.0, abs=0.1)
    page.wait_for_function("Math.abs(parseFloat(document.querySelector('.kf-playhead').style.left) - 50) < 2")
    pick = page.locator(".kf-pick").first
    pick.click()
    assert player_seconds(page) == pytest.approx(float(pick.get_attribute("data-second")), abs=0.05)
    assert page.locator(".kf-plot path.kf-semantic").is_visible()
    page.locator(".kf-legend .kf-semantic").click()
    assert not page.locator(".kf-plot path.kf-semantic").is_visible()
    page.locator(".kf-legend .kf-semantic").click()


def test_an_answer_is_stopped_retried_taken_back_and_cleared(walk: Any) -> None:
    page = walk
    page.fill("#kf-question textarea", "Talk forever")
    page.press("#kf-question textarea", "Enter")
    page.wait_for_function("document.querySelector('#kf-question textarea')?.value == ''")
    page.fill("#kf-question textarea", "Is it bright?")  # while the first words are awaited
    wait_until_said(page, "word3")
    assert page.input_value("#kf-question textarea") == "Is it bright?"
    page.press("#kf-question textarea", "Enter")
    page.get_by_text("Another task is not done").wait_for()
    page.wait_for_function("document.querySelector('#kf-question textarea')?.value == 'Is it bright?'")
    page.locator("#kf-question .stop-button").click()
    page.press("#kf-question textarea", "Enter")
    wait_until_said(page, "— stopped")
    answered(page, 2)
    take = re.findall(r"Take \d+", said(page))[-1]
    page.locator('#kf-chat [aria-label="Retry"]').last.click()
    page.wait_for_function("take => !document.querySelector('#kf-chat').innerText.includes(take)", arg=take)
    answered(page, 2)
    assert said(page).count("Is it bright?") == 1 and page.input_value("#kf-question textarea") == ""
    page.locator('#kf-chat [aria-label="Undo"]').last.click()
    page.wait_for_function("document.querySelector('#kf-question textarea')?.value == 'Is it bright?'")
    answered(page, 1)
    page.locator('#kf-chat [aria-label="Clear"]').click()
    answered(page, 0)
    page.press("#kf-question textarea", "Enter")
    answered(page, 1)
    assert "Talk forever" not in said(page)


def test_an_edited_caption_guides_the_frames_beside_the_player(walk: Any) -> None:
    page = walk
    ask(page, "Is it bright?", 1)
    page.fill("#kf-caption textarea", "a dark place")
    page.press("#kf-caption textarea", "Enter")
    page.wait_for_selector("#kf-keyframes small:text('by the caption')")
    page.wait_for_selector("#kf-question textarea:not([disabled])")
    assert page.input_value("#kf-caption textarea") == "a dark place"
    assert "Is it bright?" in said(page)


def test_labels_are_judged_in_a_tab_of_their_own(walk: Any) -> None:
    page = walk
    page.get_by_role("tab", name="Classify").click()
    page.locator("#kf-labels input").fill("juggle so many balls that this label takes a row of its own")
    page.locator("#kf-classify").click()  # without Enter: the button is not moved away
    page.wait_for_selector("#kf-result .kf-label")
    bars = page.locator("#kf-result .kf-label").all_inner_texts()
    assert bars[0].startswith("walk") and any(bar.startswith("juggle") for bar in bars)
    page.get_by_role("tab", name="Chat").click()
    ask(page, "Is it bright?", 1)


def test_uniform_sampling_stands_beside_it_when_asked_for(walk: Any) -> None:
    page = walk
    page.get_by_role("tab", name="Settings").click()
    page.locator("#kf-compare input").check()
    page.get_by_role("tab", name="Chat").click()
    ask(page, "Is it bright?", 1)
    wait_until_said(page, "uniform frames instead")
    assert page.locator("#kf-chat .kf-uniform .kf-frame").count() >= 1
    page.get_by_role("tab", name="Settings").click()
    page.locator("#kf-compare input").uncheck()


def test_two_browsers_do_not_see_each_other_and_uploads_go_with_them(visit: Any, tmp_path: Path) -> None:
    folder = Path(os.environ["GRADIO_TEMP_DIR"])
    shutil.copy(demo_video("one_walk.mp4"), tmp_path / "ann.mp4")
    shutil.copy(demo_video("one_walk.mp4"), tmp_path / "bob.mp4")
    ann, bob = visit(apart=True), visit(width=390, apart=True)
    upload(ann, tmp_path / "ann.mp4")
    upload(bob, tmp_path / "bob.mp4")
    ready(ann)
    ready(bob)
    ask(ann, "Is ann here?", 1)
    ask(bob, "Is bob here?", 1)
    assert "bob.mp4" in bob.inner_text("body") and "Is bob here?" in bob.inner_text("body")
    assert all(name not in ann.inner_text("body") for name in ("bob.mp4", "Is bob here?"))
    assert all(name not in bob.inner_text("body") for name in ("ann.mp4", "Is ann here?"))
    assert len(list(folder.rglob("ann.mp4"))) == 2  # as it came, and as hers
    ann.locator("#kf-away").click()
    ann.wait_for_selector("#kf-examples button")
    assert list(folder.rglob("ann.mp4")) == [] and list(folder.rglob("bob.mp4")) != []
    ask(bob, "Is bob still here?", 2)
    bob.locator("#kf-away").click()
    bob.wait_for_selector("#kf-examples button")
    assert list(folder.rglob("bob.mp4")) == []


def test_a_narrow_screen_needs_no_scrolling_sideways(walk: Any) -> None:
    page = walk
    page.set_viewport_size({"width": 390, "height": 900})
    ask(page, "Is it bright?", 1)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    player, chat = (page.locator(name).bounding_box() for name in ("#kf-player", "#kf-chat"))
    assert player["y"] < chat["y"] and chat["width"] > 300


def test_the_banner_of_the_embedded_models_fits_a_narrow_screen_too(browser: Any) -> None:
    from keyframe_llm.demos.chat import serving

    with serving(Models(["cartoon"], ["cartoon"])) as addresses:  # which nothing here makes load
        context = browser.new_context(viewport={"width": 390, "height": 844})
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(addresses[0])
        page.wait_for_selector("#kf-examples button")
        assert "embedded models are in use" in page.inner_text(".kf-banner")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        context.close()


# Nothing is lost -----------------------------------------------------------------------------------------


def test_a_reload_shows_the_same_video_conversation_and_settings(walk: Any) -> None:
    page = walk
    page.get_by_role("tab", name="Settings").click()
    page.locator("#kf-compare input").check()
    page.get_by_role("tab", name="Classify").click()
    page.locator("#kf-labels input").fill("stand on one's head")
    page.get_by_role("tab", name="Chat").click()
    ask(page, "Is it bright?", 1)
    page.reload()
    wait_until_said(page, "Is it bright?")
    ready(page)
    assert page.locator("#kf-chat .kf-uniform .kf-frame").count() >= 1
    assert "one_walk.mp4" in page.inner_text("#kf-player") and page.input_value("#kf-caption textarea")
    page.get_by_role("tab", name="Settings").click()
    assert page.locator("#kf-compare input").is_checked()
    page.get_by_role("tab", name="Classify").click()
    page.get_by_text("stand on one's head", exact=True).wait_for()
    page.get_by_role("tab", name="Chat").click()
    page.evaluate("dispatchEvent(new Event('focus'))")  # looked at again, and nothing has changed
    ask(page, "And is it dark then?", 2)
    assert "I was told 3 messages" in said(page)
    page.get_by_role("tab", name="Settings").click()
    page.locator("#kf-compare input").uncheck()


def test_two_tabs_of_one_session_have_a_video_each_in_view_and_lose_nothing_that_is_typed(visit: Any) -> None:
    one = visit(apart=True)
    one.locator("#kf-examples button").nth(2).click()
    ready(one)
    with one.context.expect_page() as opened:  # as the browser duplicates a tab
        one.evaluate("window.open(location.href)")
    other = opened.value
    other.set_default_timeout(PATIENCE)
    ready(other)
    other.locator("#kf-another").click()
    other.locator("#kf-examples button").nth(1).click()
    other.wait_for_selector("#kf-player:has-text('three_scenes.mp4')")
    ready(other)
    ask(one, "Is it bright?", 1)
    ask(other, "Is it dark?", 1)
    assert "one_walk.mp4" in one.inner_text("#kf-player") and "dark" not in said(one)
    assert "bright" not in said(other)
    with other.expect_event("load"):
        other.reload()
    wait_until_said(other, "Is it dark?")
    other.locator("#kf-videos label").nth(0).click()
    wait_until_said(other, "Is it bright?")
    ready(other)
    ask(other, "And now?", 2)
    one.fill("#kf-caption textarea", "a dark wood")
    one.locator(".kf-part summary").click()
    one.fill(".kf-part [name=to]", "2.5")
    with one.expect_event("load"):  # it is looked at again, and the other tab has asked about its video
        one.evaluate("dispatchEvent(new Event('focus'))")
    wait_until_said(one, "And now?")
    ready(one)
    one.wait_for_function("document.querySelector('#kf-caption textarea').value === 'a dark wood'")
    one.wait_for_function("document.activeElement.name === 'to' && document.activeElement.value === '2.5'")


def test_an_answer_that_is_being_written_goes_on_after_a_reload_and_can_be_stopped(walk: Any) -> None:
    page = walk
    page.fill("#kf-question textarea", "Talk forever")
    page.press("#kf-question textarea", "Enter")
    wait_until_said(page, "word3")
    page.reload()
    wait_until_said(page, "word12")
    page.locator("#kf-question .stop-button").click()
    wait_until_said(page, "— stopped")
    answered(page, 1)
    ask(page, "Is it bright?", 2)


def test_a_network_that_breaks_for_seconds_ends_no_session(visit: Any) -> None:
    page, lost = visit(apart=True), list[Any]()
    page.locator("#kf-examples button").nth(1).click()
    ready(page)
    page.locator("#kf-another").click()

    def broken(route: Any) -> None:
        if len(route.request.post_data_json["data"]) == len(Settings.__slots__) and not lost:
            lost.append(route.abort())
        else:
            route.continue_()

    page.route("**/queue/join*", broken)  # the video is given, and the request to read it is lost
    page.locator("#kf-examples button").nth(2).click()
    page.wait_for_selector("#kf-player:has-text('one_walk.mp4')")
    ready(page)
    ask(page, "Is it bright?", 1)
    page.context.set_offline(True)
    page.fill("#kf-question textarea", "And is it dark then?")
    page.press("#kf-question textarea", "Enter")
    page.get_by_text("Connection to the server was lost").wait_for()
    page.context.set_offline(False)
    page.wait_for_function("document.querySelector('#kf-question textarea')?.value == 'And is it dark then?'")
    wait_until_said(page, "Is it bright?")
    page.press("#kf-question textarea", "Enter")
    answered(page, 2)
    assert "I was told 3 messages" in said(page) and lost


def test_after_a_restart_of_the_server_the_conversation_is_still_there(browser: Any) -> None:
    from keyframe_llm.demos.chat import serving

    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    with serving(Models([Talker()], [Brightness()])) as addresses:
        page.goto(addresses[0])
        page.locator("#kf-examples button").nth(2).click()
        ready(page)
        ask(page, "Is it bright?", 1)
        page.locator("#kf-another").click()
        page.locator("#kf-examples button").nth(1).click()
        ready(page)
        ask(page, "Is it night?", 1)
        page.fill("#kf-question textarea", "And is it dark then?")
        port = int(addresses[0].rstrip("/").rsplit(":", 1)[1])
    with serving(Models([Talker()], [Brightness()]), port=port) as addresses:
        page.goto(addresses[0])
        page.wait_for_selector(".kf-trouble")
        assert "session has ended" in page.inner_text(".kf-trouble")
        wait_until_said(page, "Is it bright?")
        assert "I was told 1 messages" in said(page)
        assert re.search(r"About one_walk.mp4.*bright.*About three_scenes.mp4.*night", said(page), re.DOTALL)
        page.locator("#kf-examples button").nth(2).click()
        ready(page)
        page.wait_for_function("document.querySelector('#kf-question textarea')?.value.includes('dark then')")
        page.press("#kf-question textarea", "Enter")
        answered(page, 1)
        assert "Is it bright?" in said(page) and "I was told 3 messages" in said(page)
        page.locator("#kf-another").click()
        page.locator("#kf-examples button").nth(1).click()
        wait_until_said(page, "Is it night?")
        assert "Is it bright?" not in said(page)
        context.close()


# Answers are data ----------------------------------------------------------------------------------------

HOSTILE = (
    "![x](http://127.0.0.1:9/markdown.png) <img src=http://127.0.0.1:9/html.png> "
    "<iframe src=http://127.0.0.1:9/frame></iframe> [![y][1]](http://127.0.0.1:9/a)\n\n"
    "[1]: http://127.0.0.1:9/reference.png http://127.0.0.1:9/ `a[0] <\ud83d`\n\n<b>bold</b>"
)


class Hostile(Talker):
    """A Video-LLM whose answers want the browser to contact another machine."""

    def generate(self, messages: list[dict[str, Any]], *, max_new_tokens: int = 128) -> str:
        return HOSTILE


def test_neither_an_answer_nor_a_question_makes_the_browser_contact_another_machine(browser: Any) -> None:
    from keyframe_llm.demos.chat import serving

    with serving(Models([Hostile()], [Brightness()])) as addresses:
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        contacted: list[str] = []
        page.on("request", lambda request: contacted.append(request.url))
        page.goto(addresses[0])
        page.locator("#kf-examples button").nth(2).click()
        ready(page)
        ask(page, "Is <i>it</i> ![z](http://127.0.0.1:9/question.png)?", 1)
        wait_until_said(page, "<b>bold</b>")
        assert "<i>it</i>" in said(page) and "![x]" in said(page)
        assert page.inner_text("#kf-chat code") == "a[0] <\ufffd"
        assert page.locator("#kf-chat a:not([href^='#t='])").count() == 0
        assert [url for url in contacted if ":9/" in url] == []
        blocked = """new Promise(done => { const image = new Image(); image.onerror = () => done(true);
            image.onload = () => done(false); image.src = 'http://127.0.0.1:9/script.png'; })"""
        with page.expect_console_message(lambda message: "Content Security Policy" in message.text):
            assert page.evaluate(blocked)
        context.close()
