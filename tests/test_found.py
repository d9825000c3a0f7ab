"""Whether a video shows what a text asks for at all: the score, its words, and where they stand."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from keyframe_llm import KeyframeLLM, Selection, select_keyframes
from keyframe_llm.cartoon.world.video import write_clip
from keyframe_llm.cli import main
from keyframe_llm.demos.videos import demo_clips, demo_video
from keyframe_llm.index import Store
from keyframe_llm.prompts import default_prompts
from keyframe_llm.scoring.found import Found, found_in
from support.encoders import KnownColours

WALK = demo_video("one_walk.mp4")


def rows(count: int, size: int = 64, seed: int = 0) -> NDArray[np.float64]:
    """Random directions: hardly any is like another."""
    return np.random.default_rng(seed).normal(size=(count, size))


NEUTRAL = rows(40, seed=1)


def test_the_words_are_those_of_the_score() -> None:
    words = [Found(score).word for score in (0.0, 0.29, 0.3, 0.69, 0.7, 1.0)]
    assert words == ["probably not there"] * 2 + ["maybe"] * 2 + ["yes"] * 2
    assert str(Found(0.9)) == "yes"


def test_a_text_that_one_frame_shows_is_found_and_another_is_not() -> None:
    frames = rows(50)
    absent = -frames.mean(axis=0)
    shown, other = found_in(frames, frames[7:8], NEUTRAL), found_in(frames, [absent], NEUTRAL)
    assert shown is not None and shown.word == "yes" and shown.score > 0.95
    assert other is not None and other.word == "probably not there"
    half = found_in(frames, [frames[7], absent], NEUTRAL)
    assert half is not None and other.score < half.score < shown.score


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (0.1, 0.0), (1.0, 3.0), (0.2, 2.0)])
def test_the_score_does_not_depend_on_how_wide_the_cosines_of_an_encoder_are(
    scale: float, shift: float
) -> None:
    """An encoder whose texts all have one direction in common has cosines within a narrow range."""
    common = np.eye(64)[0]
    frames = rows(50)
    texts = [shift * common + scale * row for row in (frames[7], *NEUTRAL)]
    found = found_in(frames, texts[:1], texts[1:])
    assert found is not None and found.word == "yes"


def test_what_is_said_counts_too_and_alone_where_a_text_asks_for_it() -> None:
    frames = rows(50)
    absent = -frames.mean(axis=0, keepdims=True)
    said = found_in(frames, absent, NEUTRAL, words=[0.1, 0.9])
    assert said is not None and said == Found(0.9)
    silent = found_in(frames, frames[7:8], NEUTRAL, words=[0.0, 0.1], asks_for_words=True)
    assert silent is not None and silent.word == "probably not there"


@pytest.mark.parametrize(
    ("frames", "parts", "neutral"),
    [
        (rows(5), np.zeros((1, 64)), NEUTRAL),  # no word of the text is known
        (rows(5), rows(1), np.zeros((40, 64))),  # none of the neutral texts
        (rows(5), rows(1), NEUTRAL[:7]),
        (np.ones((5, 64)), np.ones((1, 64)), np.ones((40, 64))),  # no text is told from another
        (np.zeros((5, 64)), rows(1), NEUTRAL),
    ],
)
def test_nothing_is_said_where_nothing_is_known(frames: Any, parts: Any, neutral: Any) -> None:
    assert found_in(frames, parts, neutral) is None
    assert found_in(frames, parts, neutral, words=[0.4]) == Found(0.4)


@pytest.fixture(scope="module")
def minute(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled minute drawn small: a robot is shown for two seconds of it."""
    path = tmp_path_factory.mktemp("minute") / "minute.mp4"
    write_clip(demo_clips()["hidden_event.mp4"], path, width=160, height=120, fps=4)
    return path


@pytest.fixture(scope="module")
def llm() -> KeyframeLLM:
    return KeyframeLLM("cartoon", cache=False)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ({"question": "What is the robot in purple doing?"}, "yes"),
        ({"caption": "a woman in yellow plays the guitar"}, "yes"),
        ({"caption": "a sailing boat on a lake"}, "probably not there"),
        ({"question": "Who wins the horse race?"}, "probably not there"),
        ({"caption": "a man in white climbs a ladder in the desert"}, "probably not there"),
    ],
)
def test_a_video_says_what_is_in_it_and_what_is_not(
    text: dict[str, str], word: str, llm: KeyframeLLM, minute: Path
) -> None:
    found = llm.select(minute, **text).found
    assert found is not None and found.word == word


@pytest.mark.parametrize(
    "select",
    [
        lambda llm: llm.select(WALK),
        lambda llm: llm.select(WALK, generate_caption=True),
        lambda llm: llm.select(WALK, caption="a man", method="top-k"),
        lambda llm: llm.select(WALK, question="What happens in this video?"),
    ],
    ids=["no text", "the model's own caption", "another method", "a text about nothing"],
)
def test_it_is_left_out_where_there_is_nothing_to_judge(
    select: Callable[[KeyframeLLM], Selection], llm: KeyframeLLM
) -> None:
    selection = select(llm)
    assert selection.found is None and "found" not in selection.to_dict()


class Counting(KnownColours):
    """Counts the neutral texts that it embeds."""

    neutral = 0

    def embed_texts(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        self.neutral += len(set(texts) & set(default_prompts().lines("neutral")))
        return super().embed_texts(texts)


def test_neutral_texts_are_embedded_once_for_an_encoder_and_not_without_a_text(
    flags: Path, tmp_path: Path
) -> None:
    store, many = Store(tmp_path), len(default_prompts().lines("neutral"))
    for all_of_them in (many, 0):
        encoder = Counting()
        llm = KeyframeLLM("cartoon", encoder, cache=store)
        llm.select(flags)
        assert encoder.neutral == 0
        for caption in ("red", "blue"):
            llm.select(flags, caption=caption)
        assert encoder.neutral == all_of_them


def test_commands_print_it_for_people_and_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    select = ["select", str(WALK), "--caption", "a sailing boat", "--encoder", "cartoon", "--quiet"]
    assert main([*select, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["found"] == "probably not there" and 0 <= printed["found_score"] < 0.3
    ask = ["ask", str(WALK), "Where is the robot in red?", "--model", "cartoon", "--quiet"]
    assert main(ask) == 0
    assert "\nfound: probably not there (0." in capsys.readouterr().out
    found = select_keyframes(WALK, caption="a man in green walks", encoder="cartoon", cache=False).found
    assert found is not None and found.word == "yes"


def test_tools_say_it_to_agents() -> None:
    pytest.importorskip("pydantic", reason="pydantic is not installed (the `agents` extra)")
    from keyframe_llm.tools import Toolbox

    with Toolbox("cartoon", roots=[WALK.parent]) as tools:
        shown = {"video": WALK.name, "include_images": False}
        absent = tools.call_tool("select_keyframes", {**shown, "query": "a sailing boat"})
        assert absent["found"] == "probably not there" and absent["found_score"] < 0.3
        whole = tools.call_tool("select_keyframes", shown)
        assert whole["found"] is None and whole["found_score"] is None
        answer = tools.call_tool("ask_video", {**shown, "question": "Where is the man in green?"})
        assert (answer["answer"], answer["found"]) == ("in the desert", "yes")
