"""Words on the chat page: what the model is told of them, and the transcript, in a real browser."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from test_chat import SETTINGS, Colours, Listener, texts

from keyframe_llm.demos import render
from keyframe_llm.demos.models import Models
from keyframe_llm.demos.session import Session
from keyframe_llm.options import WordOptions
from support.chat import IN_BROWSER, LINES, QUESTION, ask, player_seconds, ready, upload
from support.words import film

pytestmark = IN_BROWSER


def session_about(video: Path, folder: Path, **words: Any) -> SimpleNamespace:
    """A session about a copy of the video in a folder of its own."""
    copy = folder / video.name
    copy.write_bytes(video.read_bytes())
    model = Listener()
    session = Session(Models([model], [Colours()], words=WordOptions(**words)))
    session.open(copy)
    return SimpleNamespace(session=session, model=model)


def in_page(session: Session, name: str) -> str:
    """The value of a `data-` attribute that the page reads from the key frames."""
    found = re.search(f"data-{name}=(\"[^\"]*\"|'[^']*')", render.keyframes(session))
    return "" if found is None else found[1][1:-1]


def test_the_model_is_told_the_words_and_the_page_which_they_were(talked: Path, tmp_path: Path) -> None:
    talk = session_about(talked, tmp_path)
    talk.session.watch(SETTINGS)
    cues = json.loads(Path(in_page(talk.session, "words").partition("file=")[2]).read_text())
    assert [cue[:4] for cue in cues[:2]] == [
        [0.0, 0.9, LINES[0][2], "subtitle"],
        [1.0, 1.9, LINES[1][2], "subtitle"],
    ]
    assert len(cues) == 58 and in_page(talk.session, "lines") == ""
    talk.session.ask(QUESTION, SETTINGS)
    lines = json.loads(in_page(talk.session, "lines"))
    assert lines["fits"] == [20] and 20 in lines["told"] and len(lines["told"]) < 40
    prompt = texts(talk.model.conversations[-1][0])[-1]
    assert all(json.dumps(cues[i][2], ensure_ascii=False) in prompt for i in lines["told"])
    assert prompt.count(" s, subtitle: ") == len(lines["told"]) and prompt.endswith(QUESTION)
    drawn = str(render.messages(talk.session))
    assert 'class="kf-line" data-second="20.000"' in drawn and "deadline for the report is Friday" in drawn


def test_uniform_frames_come_with_the_words_around_them_too(talked: Path, tmp_path: Path) -> None:
    talk = session_about(talked, tmp_path)
    talk.session.ask(QUESTION, SETTINGS.__class__("Listener", "Colours", compare=True))
    uniform = texts(talk.model.conversations[-1][0])[-1]
    assert "subtitle" in uniform and "deadline for the report is" not in uniform


def test_speech_that_takes_long_comes_after_the_first_frames(talked: Path, tmp_path: Path) -> None:
    shown: list[tuple[bool, int]] = []

    class Ear:
        def transcribe(self, samples: Any, rate: int) -> list[tuple[float, float, str]]:
            shown.append((session.overview is not None, len(session.words)))
            return [(1.0, 2.0, "Spoken words")]

    from support.words import bursts

    spoken = film(tmp_path / "spoken.mp4", 8, sound=bursts([2.0], 8.0))
    (tmp_path / "copy").mkdir()
    talk = session_about(spoken, tmp_path / "copy", listen=Ear())
    session = talk.session
    session.watch(SETTINGS)
    assert shown == [(True, 0)] and [cue.source for cue in session.words] == ["speech"]
    assert "was started with --listen" not in in_page(session, "none")


def test_a_video_without_words_says_so(tmp_path: Path) -> None:
    talk = session_about(film(tmp_path / "mute.mp4", 4), _new(tmp_path / "copy"))
    talk.session.watch(SETTINGS)
    assert in_page(talk.session, "words") == ""
    assert "has no subtitles" in in_page(talk.session, "none")


def _new(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_the_transcript_follows_is_searched_and_clicked_and_marks_the_lines_of_an_answer(
    visit: Any,
    talked: Path,
) -> None:
    page = visit()
    upload(page, talked)
    ready(page)
    ask(page, QUESTION, 1)
    page.locator("#kf-chat .kf-line").click()
    assert player_seconds(page) == pytest.approx(20.0, abs=0.05)
    page.get_by_role("tab", name="Transcript").click()
    fits = page.locator(".kf-fits")
    fits.wait_for()
    assert fits.inner_text().split("\n") == ["20.0 s", LINES[20][2], "fits the question"]
    assert page.locator(".kf-cue[aria-current]").inner_text() == fits.inner_text()
    assert page.locator(".kf-told").count() > 3
    page.evaluate("document.querySelector('#kf-player video').currentTime = 50.5")
    page.wait_for_function(
        "document.querySelector('.kf-cue[aria-current]')?.innerText.includes('Remark 50 ')"
    )
    row, lines = (page.locator(where).bounding_box() for where in (".kf-cue[aria-current]", ".kf-lines"))
    assert lines["y"] <= row["y"] and row["y"] + row["height"] <= lines["y"] + lines["height"]
    page.locator(".kf-lines").hover()
    page.mouse.wheel(0, -3000)
    page.wait_for_function("!document.querySelector('.kf-follow').checked")
    page.evaluate("document.querySelector('#kf-player video').currentTime = 39.5")
    page.wait_for_function(
        "document.querySelector('.kf-cue[aria-current]')?.innerText.includes('Remark 39 ')"
    )
    assert page.evaluate("document.querySelector('.kf-lines').scrollTop") == 0
    search = page.get_by_role("searchbox", name="Search the words")
    search.fill("CAFE noir")
    page.wait_for_function("document.querySelector('.kf-count').innerText == '1 of 58 lines'")
    assert page.locator(".kf-cue mark").all_inner_texts() == ["Café", "noir"]
    assert "<noir>" in page.inner_text(".kf-cue") and page.locator(".kf-cue img").count() == 0
    search.fill("星期五")
    page.locator(".kf-cue").click()
    assert player_seconds(page) == pytest.approx(31.0, abs=0.05)
    search.fill("")
    page.wait_for_function("document.querySelector('.kf-cue[aria-current]')?.innerText.includes('中午')")
    hebrew = page.locator(".kf-cue span", has_text="שלום")
    assert hebrew.evaluate("line => getComputedStyle(line).direction") == "rtl"
    page.locator(".kf-only").click()
    page.wait_for_function("document.querySelectorAll('.kf-cue:not(.kf-told, .kf-fits)').length == 0")
    page.locator(".kf-lines").focus()
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    assert player_seconds(page) > 30


def test_a_long_transcript_keeps_the_page_small(visit: Any, tmp_path: Path) -> None:
    many = [(k * 0.009, k * 0.009 + 0.008, f"{k:x} remark {k * 7919 % 6007} of many") for k in range(6500)]
    long = film(tmp_path / "long.mkv", 60, subtitles=[(many, "eng", True)])
    page = visit(390)
    upload(page, long)
    ready(page)
    page.get_by_role("tab", name="Transcript").click()
    page.wait_for_selector(".kf-cue")
    page.wait_for_function("/^6,\\d\\d\\d lines$/.test(document.querySelector('.kf-count').innerText)")
    page.evaluate("document.querySelector('#kf-player video').currentTime = 40")
    page.wait_for_function("document.querySelector('.kf-cue[aria-current]')")
    row, lines = (
        page.locator(where).first.bounding_box() for where in (".kf-cue[aria-current]", ".kf-lines")
    )
    assert lines["y"] <= row["y"] <= lines["y"] + lines["height"]
    assert page.locator(".kf-cue").count() < 700
    assert page.evaluate("document.querySelectorAll('*').length") < 6000
    page.get_by_role("searchbox").fill("remark 4242 ")
    page.wait_for_function("document.querySelectorAll('.kf-cue').length == 1")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
