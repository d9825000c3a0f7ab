"""Ways to ask on the chat page: about a part of the video, without a browser and in a real one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_chat import SETTINGS, Colours, Listener

from keyframe_llm import OptionsError
from keyframe_llm.demos.models import Models
from keyframe_llm.demos.session import Session, Settings
from keyframe_llm.demos.sessions import Sessions
from keyframe_llm.demos.shelf import MOST_VIDEOS
from keyframe_llm.demos.span import checked_part
from keyframe_llm.demos.videos import demo_video
from support.chat import IN_BROWSER, answered, ask, player_seconds, ready, said, violations, wait_until_said
from support.file_server import serving as file_serving
from support.words import srt

pytestmark = IN_BROWSER

# A part of the video -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "part"),
    [((3, 9.5), (3.0, 9.5)), (("0:10", "1:05.5"), (10.0, 60.0)), (("2 s", "00:00:07"), (2.0, 7.0))],
)
def test_a_part_is_given_in_seconds_or_as_a_player_shows_them_and_ends_with_the_video(
    given: Any, part: Any
) -> None:
    assert checked_part(*given, 60.0) == part


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ((9, 3), "shorter than 0.5 s"),
        ((70, 80), "from 1:10.0 to 1:00.0"),
        (("x", "3"), "start of the part is 'x'"),
        ((float("nan"), 3), "start of the part is nan"),
        (({"a": 1}, 3), "start of the part is"),
    ],
)
def test_a_part_that_is_none_is_a_mistake_that_names_its_times(given: Any, says: str) -> None:
    with pytest.raises(OptionsError, match=says):
        checked_part(*given, 60.0)


def test_questions_frames_and_labels_are_about_the_part() -> None:
    session = Session(Models([Listener()], [Colours()]))
    session.open(demo_video("three_scenes.mp4"))
    session.watch(SETTINGS)
    session.ask_about((12.0, 17.0), SETTINGS)
    session.ask("Who is there?", Settings("Listener", "Colours", compare=True))
    session.classify(["walk", "run"], SETTINGS)
    turn, before = session.turns[0], session.overview
    shown = [before.seconds, turn.selection.seconds, turn.uniform.seconds]
    shown.append(session.classified.selection.seconds)
    assert all(12.0 <= second <= 17.0 for seconds in shown for second in seconds)
    list(session.work(lambda: session.ask_about((70.0, 80.0), SETTINGS)))  # where there is no frame
    assert session.part == (12.0, 17.0) and session.overview is before and session.trouble
    session.ask_about(None, SETTINGS)
    assert any(second < 12.0 for second in session.overview.seconds)
    session.ask("Who is there?", SETTINGS)
    assert (turn.part, session.turns[1].part) == ((12.0, 17.0), None)


def test_a_part_is_dragged_over_the_curves_or_typed_and_cleared_with_a_click(scenes: Any) -> None:
    page = scenes
    box = page.locator(".kf-plot").bounding_box()
    left, top = box["x"], box["y"] + 60
    page.mouse.move(left + 0.5 * box["width"], top)
    page.mouse.down()
    page.mouse.move(left + 0.6 * box["width"], top, steps=3)
    page.mouse.move(left + 0.75 * box["width"], top, steps=3)
    page.mouse.up()
    page.wait_for_selector(".kf-part[data-start]")
    ready(page)
    part = page.locator(".kf-part").evaluate("part => [+part.dataset.start, +part.dataset.end]")
    assert part == pytest.approx([9.0, 13.5], abs=0.2)
    assert page.evaluate("document.querySelector('#kf-player video').currentTime") == 0  # a drag is no click
    assert "Ask about" in page.get_attribute("#kf-question textarea", "placeholder")
    ask(page, "Is it bright?", 1)
    seconds = page.locator("#kf-chat .kf-frame").evaluate_all("all => all.map(one => +one.dataset.second)")
    assert all(part[0] <= second <= part[1] for second in seconds)
    page.reload()
    wait_until_said(page, "Is it bright?")
    shade, plot = (page.locator(where).bounding_box() for where in (".kf-range", ".kf-plot"))
    assert (shade["x"] - plot["x"]) / plot["width"] == pytest.approx(0.5, abs=0.02)
    ready(page)
    page.locator(".kf-whole").click()
    page.wait_for_selector("details.kf-part")
    ready(page)
    assert page.locator(".kf-range").count() == 0
    page.locator(".kf-part summary").click()
    page.fill(".kf-part input[name=from]", "0:05")
    page.fill(".kf-part input[name=to]", "a while")
    page.locator(".kf-apply").click()
    page.wait_for_selector(".kf-trouble:has-text('a while')")
    page.wait_for_selector("[data-testid=toast-body]:has-text('a while')")  # wherever one has scrolled to
    page.fill(".kf-part input[name=to]", "7.5")
    page.keyboard.press("Enter")
    page.wait_for_selector(".kf-part b:has-text('5.0 s – 7.5 s')")


def test_where_a_servers_answer_names_no_label_the_encoder_judges_and_the_page_says_so() -> None:
    class Server(Listener):
        concurrent = True

    session = Session(Models([Server()], [Colours()]))
    session.open(demo_video("one_walk.mp4"))
    session.classify(["walk", "run"], Settings("Server", "Colours"))
    assert session.classified.by == "encoder" and set(session.classified.probabilities) == {"walk", "run"}
    assert "names none of the 2 labels; the encoder judged instead" in session.warnings[-1]


# Several videos ------------------------------------------------------------------------------------------


def test_videos_stand_side_by_side_each_with_its_files_and_their_number_is_bounded(tmp_path: Path) -> None:
    sessions = Sessions(Models([Listener()], [Colours()]), tmp_path / "page")
    sessions.folder.mkdir()
    library = tmp_path / "library" / "walk.mp4"
    library.parent.mkdir()
    library.write_bytes(demo_video("one_walk.mp4").read_bytes())
    library.with_suffix(".en.srt").write_text(srt([(1.0, 2.0, "He walks past a tent.")]))
    first = sessions.add_video("ann", library, ("Who is there?",))
    first.settings = SETTINGS
    first.ask("Who is it?", SETTINGS)
    assert [cue.text for cue in first.turns[0].selection.words] == ["He walks past a tent."]
    second = sessions.add_video("ann", demo_video("three_scenes.mp4"))
    shelf = sessions.shelf("ann")
    assert sessions.session("ann") is second and second is not first and second.settings is SETTINGS
    assert shelf.names() == [("walk.mp4", first.name), ("three_scenes.mp4", second.name)]
    assert shelf.choose(first.name) is first and first.turns and shelf.choose("none such") is first
    for _ in range(MOST_VIDEOS - 2):
        sessions.add_video("ann", library)
    with pytest.raises(OptionsError, match="8 videos are open"):
        sessions.add_video("ann", library)
    assert shelf.begin().video is None and len(shelf.files) == MOST_VIDEOS  # going back always works
    with pytest.raises(OptionsError, match=r"8 videos are open.* put it away"):
        sessions.add_video("ann", library)
    shelf.choose(first.name)
    sessions.remove_files("ann")
    assert library.exists() and not first.video.exists() and second.video.exists()
    sessions.end("ann")
    assert not second.video.exists() and library.exists() and library.with_suffix(".en.srt").exists()


DROP = """async () => {
  const bytes = await (await fetch(document.querySelector('#kf-player video').src)).blob();
  const dropped = new DataTransfer();
  for (const name of ['dropped.mp4', 'other.mp4'])
    dropped.items.add(new File([bytes], name, { type: 'video/mp4' }));
  for (const name of ['dragenter', 'dragover', 'drop'])
    document.querySelector('#kf-chat').dispatchEvent(
      new DragEvent(name, { bubbles: true, cancelable: true, dataTransfer: dropped }));
}"""


def test_videos_are_switched_without_loss_and_dropped_anywhere(visit: Any) -> None:
    page = visit()
    page.locator("#kf-examples button").nth(2).click()
    ready(page)
    ask(page, "Is it bright?", 1)
    page.locator("#kf-another").click()
    page.locator("#kf-examples button").nth(1).click()
    ready(page)
    page.fill("#kf-question textarea", "Talk forever")
    page.press("#kf-question textarea", "Enter")
    wait_until_said(page, "word3")
    videos = page.locator("#kf-videos label")
    videos.nth(0).click()
    wait_until_said(page, "Is it bright?")
    ready(page)
    page.wait_for_selector("#kf-player:has-text('one_walk.mp4')")
    page.wait_for_function("!document.querySelector('#kf-chat').innerText.includes('word3')")
    page.evaluate(DROP)
    page.wait_for_selector("#kf-videos label:has-text('other.mp4')")
    page.wait_for_selector("#kf-videos label:has-text('dropped.mp4')")
    videos.nth(1).click()
    wait_until_said(page, "word30")  # which went on meanwhile
    page.locator("#kf-question .stop-button").click()
    wait_until_said(page, "— stopped")
    answered(page, 1)
    page.locator("#kf-away").click()
    page.wait_for_function("document.querySelectorAll('#kf-videos label').length == 3")
    page.reload()
    page.wait_for_selector("#kf-videos label")
    assert sorted(videos.all_inner_texts()) == ["dropped.mp4", "one_walk.mp4", "other.mp4"]
    ready(page)
    unread = videos.nth(1).inner_text()
    videos.nth(1).click()  # which was out of view before it could be read
    page.wait_for_selector(f"#kf-player:has-text('{unread}')")
    ready(page)
    videos.nth(0).click()
    wait_until_said(page, "Is it bright?")


def test_an_address_is_fetched_where_the_operator_allows_it(visit: Any) -> None:
    page, field = visit(), "#kf-address textarea, #kf-address input"
    with file_serving({"clip.mp4": demo_video("one_walk.mp4").read_bytes()}) as server:
        for given in ("file:///etc/passwd", "x"):
            page.fill(field, given)
            page.keyboard.press("Enter")
            page.wait_for_selector(f".kf-trouble:has-text(\"is '{given}'; give one\")")
        page.fill(field, server.url("clip.mp4"))
        page.keyboard.press("Enter")
        page.wait_for_selector("#kf-player:has-text('clip.mp4')")
        ready(page)
    folder = Path(os.environ["GRADIO_TEMP_DIR"])
    assert len(list(folder.rglob("clip.mp4"))) == 2  # as it came, and as the session has it
    page.locator("#kf-away").click()
    page.wait_for_selector("#kf-address")
    assert list(folder.rglob("clip.mp4")) == []


# Other words, other parameters, keys ---------------------------------------------------------------------


class Parrot(Listener):
    """Says what it was asked for."""

    def stream(
        self, messages: list[dict[str, Any]], *, max_new_tokens: int = 128, temperature: float = 0.0
    ) -> Iterator[str]:
        self.conversations.append(messages)
        yield f"temperature {temperature}, {max_new_tokens} tokens"


def test_the_models_parameters_reach_it_and_a_model_that_has_none_says_so() -> None:
    model = Parrot()
    session = Session(Models([model], [Colours()]))
    session.open(demo_video("one_walk.mp4"))
    session.ask("Who?", Settings("Parrot", "Colours", system=" Be brief. ", temperature=0.7, longest=64))
    session.ask("Who?", Settings("Parrot", "Colours"))
    assert [turn.answer for turn in session.turns] == [
        "temperature 0.7, 64 tokens",
        "temperature 0.0, 512 tokens",
    ]
    told, plain = model.conversations
    assert told[0] == {"role": "system", "content": [{"type": "text", "text": "Be brief."}]}
    assert [message["role"] for message in plain] == ["user", "assistant", "user"]
    plainer = Session(Models([Listener()], [Colours()]))
    plainer.open(demo_video("one_walk.mp4"))
    plainer.ask("Who?", Settings("Listener", "Colours", temperature=0.7))
    assert plainer.turns[0].state == "failed" and "temperature 0 alone" in plainer.turns[0].trouble
    for wrong in ({"temperature": 3.0}, {"longest": 0}, {"system": "x" * 3000}):
        with pytest.raises(OptionsError, match=r"temperature|longest|system"):
            Settings("m", "e", **wrong).options()


def test_an_edited_question_takes_the_place_of_the_old_one_and_of_what_followed() -> None:
    model = Listener()
    session = Session(Models([model], [Colours()]))
    session.open(demo_video("one_walk.mp4"))
    for question in ("Who is it?", "Where is it?", "And then?"):
        session.ask(question, SETTINGS)
    session.ask("Where is the man?", SETTINGS, in_place_of=session.turns[1].name)
    assert [turn.question for turn in session.turns] == ["Who is it?", "Where is the man?"]
    assert len(model.conversations[-1]) == 3
    with pytest.raises(OptionsError, match="empty"):
        session.ask(" ", SETTINGS, in_place_of=session.turns[0].name)
    session.ask("Why?", SETTINGS, in_place_of="gone")
    assert len(session.turns) == 3


def test_questions_are_edited_and_keys_do_what_their_sheet_says(scenes: Any) -> None:
    page = scenes
    ask(page, "Is it bright?", 1)
    ask(page, "And is it dark then?", 2)
    page.locator("[data-edit]").first.click()
    page.wait_for_selector(".kf-editing")
    assert page.input_value("#kf-question textarea") == "Is it bright?"
    page.keyboard.press("Escape")
    assert page.input_value("#kf-question textarea") == "" and page.locator(".kf-editing").count() == 0
    page.keyboard.press("ArrowUp")
    assert page.input_value("#kf-question textarea") == "And is it dark then?"
    ask(page, "Is it <b>really</b> dark?", 2)
    page.wait_for_function("!document.querySelector('#kf-chat').innerText.includes('dark then')")
    assert "Is it <b>really</b> dark?" in said(page)
    page.locator("h1").click()
    page.keyboard.press("?")
    page.wait_for_selector(".kf-sheet[open]")
    assert page.get_by_label("Single keys do something").is_checked() and violations(page) == []
    page.keyboard.press("Escape")
    assert page.locator(".kf-sheet[open]").count() == 0
    frames = page.locator("#kf-keyframes .kf-frame").evaluate_all(
        "all => all.map(one => +one.dataset.second)"
    )
    ahead = [second for second in frames if second > 0.05]
    page.keyboard.press("n")
    assert player_seconds(page) == pytest.approx(ahead[0], abs=0.05)
    page.evaluate("document.querySelector('#kf-player video').currentTime = 6")
    page.keyboard.press("[")
    page.keyboard.press("l")
    assert player_seconds(page) == pytest.approx(11.0, abs=0.05)
    page.keyboard.press("]")
    page.wait_for_selector(".kf-part b:has-text('6.0 s – 11.0 s')")
    ready(page)
    page.locator("h1").click()
    page.keyboard.press("t")
    page.wait_for_function("document.activeElement.matches('#kf-transcript input')")
    page.keyboard.type("k?")
    assert page.locator(".kf-sheet[open]").count() == 0
