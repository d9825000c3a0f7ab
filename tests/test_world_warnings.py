"""The embedded models say so, once, wherever they are used on footage that they were not made for."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from keyframe_llm import KeyframeLLM, Selection, index_video, select_keyframes
from keyframe_llm.cartoon import OUTSIDE_WORLD
from keyframe_llm.cli import main
from keyframe_llm.demos.videos import demo_video
from support.encoders import ColourEncoder

LABELS = ["walk", "wave"]
WAYS: dict[str, Callable[[KeyframeLLM, Path | bytes], Selection]] = {
    "select": lambda llm, video: llm.select(video, caption="a man walks"),
    "select with a caption of its own": lambda llm, video: llm.select(video, generate_caption=True),
    "ask": lambda llm, video: llm.ask(video, "What is he doing?").selection,
    "stream": lambda llm, video: llm.stream(video, "What is he doing?")[0],
    "ask_many": lambda llm, video: llm.ask_many(video, ["What is he doing?"])[0].selection,
    "caption": lambda llm, video: llm.caption(video).selection,
    "classify by model": lambda llm, video: llm.classify(video, LABELS).selection,
    "classify by encoder": lambda llm, video: llm.classify(video, LABELS, by="encoder").selection,
    "index": lambda llm, video: llm.index(video).select(question="What is he doing?"),
    "select_keyframes": lambda llm, video: select_keyframes(video, caption="a man", encoder="cartoon"),
    "index_video": lambda llm, video: index_video(video, encoder="cartoon").select(caption="a man"),
}


@pytest.fixture(scope="module")
def llm() -> KeyframeLLM:
    return KeyframeLLM("cartoon", cache=False)


@pytest.mark.parametrize("way", WAYS)
def test_footage_that_is_not_drawn_is_warned_of_exactly_once(way: str, llm: KeyframeLLM, flags: Path) -> None:
    assert WAYS[way](llm, flags).warnings.count(OUTSIDE_WORLD) == 1


@pytest.mark.parametrize("way", WAYS)
def test_drawn_clips_are_never_warned_of_as_files_and_as_bytes(way: str, llm: KeyframeLLM) -> None:
    clip = demo_video("one_walk.mp4")
    for video in (clip, clip.read_bytes()):
        assert OUTSIDE_WORLD not in WAYS[way](llm, video).warnings


def test_the_embedded_model_warns_beside_another_encoder(flags: Path) -> None:
    """And the encoder's own selection, which no embedded model has touched, does not."""
    llm = KeyframeLLM("cartoon", ColourEncoder(), cache=False)
    assert llm.ask(flags, "Is it red?").selection.warnings == (OUTSIDE_WORLD,)
    assert llm.select(flags, question="Is it red?").warnings == ()
    assert llm.classify(flags, ["red", "blue"], by="encoder", caption="red").selection.warnings == ()


def test_without_a_text_no_model_is_used_and_nothing_is_warned_of(llm: KeyframeLLM, flags: Path) -> None:
    assert llm.select(flags).warnings == ()
    assert select_keyframes(flags, encoder="cartoon").warnings == ()


@pytest.mark.parametrize(
    "arguments",
    [
        ["select", "--caption", "a man", "--encoder", "cartoon"],
        ["classify", "--labels", "walk,wave", "--by", "encoder", "--encoder", "cartoon"],
        ["ask", "What is he doing?", "--model", "cartoon"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_the_command_prints_the_warning_once(
    arguments: list[str], flags: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, *rest = arguments
    command = [name, str(flags), *rest]
    assert main([*command, "--quiet"]) == 0
    shown = capsys.readouterr()
    assert (shown.out + shown.err).count(OUTSIDE_WORLD) == 1
    assert main([*command, "--json", "--quiet"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert found["warnings"].count(OUTSIDE_WORLD) == 1
