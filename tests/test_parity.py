"""The same question gives the same frames by Python, the command line, the tools and the chat page."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from keyframe_llm import KeyframeLLM, Selection, index_video, select_keyframes
from keyframe_llm.cartoon.world.asking import not_understood
from keyframe_llm.cli import main
from keyframe_llm.demos.videos import DEMO_QUESTION, demo_video

VIDEO = demo_video()
QUESTIONS = [DEMO_QUESTION, "Who is at the beach?"]
LABELS = ["walk", "wave", "kick ball"]


@pytest.fixture(scope="module")
def llm() -> KeyframeLLM:
    return KeyframeLLM("cartoon", cache=False)


def frames(found: Selection | dict[str, Any]) -> list[tuple[float, float]]:
    """(seconds, score) of the key frames."""
    keyframes = (found.to_dict() if isinstance(found, Selection) else found)["keyframes"]
    return [(round(frame["seconds"], 2), round(frame["score"], 3)) for frame in keyframes]


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    capsys.readouterr()
    assert main([*arguments, "--json", "--quiet"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def by_tool(name: str, **arguments: Any) -> dict[str, Any]:
    pytest.importorskip("pydantic", reason="pydantic is not installed (the `agents` extra)")
    from keyframe_llm.tools import Toolbox

    with Toolbox("cartoon", roots=[VIDEO.parent]) as tools:
        return tools.call_tool(name, {"video": VIDEO.name, **arguments})


@pytest.fixture
def page(tmp_path: Path) -> Any:
    """The chat page's endpoints for programs, as the page itself makes them."""
    pytest.importorskip("gradio", reason="gradio is not installed (the `demo` extra)")
    from keyframe_llm.demos.api import Endpoints
    from keyframe_llm.demos.models import Models
    from keyframe_llm.demos.sessions import Sessions

    return Endpoints(Sessions(Models(["cartoon"]), tmp_path))


@pytest.fixture
def upload(tmp_path: Path) -> Callable[[], str]:
    """Makes a copy of the video, for the page removes what it was given."""
    return lambda: str(shutil.copy2(VIDEO, tmp_path / VIDEO.name))


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_chooses_the_same_frames_everywhere(
    question: str, llm: KeyframeLLM, capsys: pytest.CaptureFixture[str]
) -> None:
    selection = select_keyframes(VIDEO, question=question, encoder="cartoon")
    wanted, found = frames(selection), selection.found
    assert 1 <= len(wanted) <= 3 and found is not None and found.word == "yes"
    assert frames(llm.select(VIDEO, question=question)) == wanted
    assert frames(index_video(VIDEO, encoder="cartoon").select(question=question)) == wanted
    command = ("select", str(VIDEO), "--question", question, "--encoder", "cartoon")
    for result in (printed(capsys, *command), by_tool("select_keyframes", query=question)):
        assert frames(result) == wanted
        assert (result["found"], round(result["found_score"], 2)) == ("yes", round(found.score, 2))


def test_a_question_has_the_same_answer_everywhere(
    llm: KeyframeLLM, capsys: pytest.CaptureFixture[str], page: Any, upload: Callable[[], str]
) -> None:
    wanted = llm.ask(VIDEO, DEMO_QUESTION)
    selection, pieces = llm.stream(VIDEO, DEMO_QUESTION)
    assert ("".join(pieces).strip(), frames(selection)) == (wanted.text, frames(wanted.selection))
    (many,) = llm.ask_many(VIDEO, [DEMO_QUESTION])
    assert (many.text, frames(many.selection)) == (wanted.text, frames(wanted.selection))
    by_command = printed(capsys, "ask", str(VIDEO), DEMO_QUESTION, "--model", "cartoon")
    assert (by_command["answer"], frames(by_command)) == (wanted.text, frames(wanted.selection))
    found = by_tool("ask_video", question=DEMO_QUESTION)
    assert (found["answer"], frames(found)) == (wanted.text, frames(wanted.selection))
    answer, _, details = page.ask(upload(), DEMO_QUESTION)
    assert (answer, frames(details)) == (wanted.text, frames(wanted.selection))


def test_what_the_embedded_model_was_not_taught_it_says_everywhere(
    llm: KeyframeLLM, capsys: pytest.CaptureFixture[str], page: Any, tmp_path: Path
) -> None:
    walk = demo_video("one_walk.mp4")
    wanted = not_understood("xyzzy?")
    assert llm.ask(walk, "xyzzy?").text == wanted
    assert "".join(llm.stream(walk, "xyzzy?")[1]) == wanted
    assert printed(capsys, "ask", str(walk), "xyzzy?", "--model", "cartoon")["answer"] == wanted
    assert by_tool("ask_video", video=walk.name, question="xyzzy?")["answer"] == wanted
    assert page.ask(str(shutil.copy2(walk, tmp_path / walk.name)), "xyzzy?")[0] == wanted


def test_a_caption_chooses_the_same_frames_everywhere(
    llm: KeyframeLLM, capsys: pytest.CaptureFixture[str], page: Any, upload: Callable[[], str]
) -> None:
    wanted = frames(llm.select(VIDEO, caption="a man walks"))
    command = ("select", str(VIDEO), "--caption", "a man walks", "--encoder", "cartoon")
    assert frames(printed(capsys, *command)) == wanted
    assert frames(by_tool("select_keyframes", query="a man walks")) == wanted
    _, details = page.select(upload(), caption="a man walks")
    assert frames(details) == wanted


def test_labels_are_judged_alike_everywhere(
    llm: KeyframeLLM, capsys: pytest.CaptureFixture[str], page: Any, upload: Callable[[], str]
) -> None:
    wanted = llm.classify(VIDEO, LABELS)
    command = ("classify", str(VIDEO), "--labels", ",".join(LABELS), "--model", "cartoon")
    by_command = printed(capsys, *command)
    assert (by_command["label"], frames(by_command)) == (wanted.label, frames(wanted.selection))
    found = by_tool("classify_video", labels=LABELS)
    assert (found["label"], frames(found)) == (wanted.label, frames(wanted.selection))
    label, _, details = page.classify(upload(), ",".join(LABELS))
    assert (label, frames(details)) == (wanted.label, frames(wanted.selection))


@pytest.mark.parametrize("options", [{"max_frames": 1}, {"method": "paper"}, {"method": "aks"}, {"fps": 1.0}])
def test_options_mean_the_same_in_python_and_on_the_command_line(
    options: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    command = ("select", str(VIDEO), "--caption", "a man walks", "--encoder", "cartoon", *flags)
    found = select_keyframes(VIDEO, caption="a man walks", encoder="cartoon", **options)
    by_command = printed(capsys, *command)
    assert frames(by_command) == frames(found)
    assert by_command["method"] == found.method


def test_without_a_text_the_same_frames_stand_for_the_video(
    capsys: pytest.CaptureFixture[str], page: Any, upload: Callable[[], str]
) -> None:
    wanted = frames(select_keyframes(VIDEO))
    assert frames(page.select(upload())[1]) == wanted
    assert frames(printed(capsys, "select", str(VIDEO))) == wanted
    assert frames(by_tool("select_keyframes")) == wanted


def test_what_is_saved_is_what_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    by_command = printed(capsys, "select", str(VIDEO), "--out", str(tmp_path / "out"))
    saved = json.loads((tmp_path / "out" / "selection.json").read_text(encoding="utf-8"))
    assert frames(saved) == frames(by_command) and saved["proposals"] == by_command["proposals"]
