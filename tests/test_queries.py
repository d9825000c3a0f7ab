"""Texts about several things: taken apart, and each part finds frames of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from keyframe_llm import select_keyframes
from keyframe_llm.cartoon.world.language import caption
from keyframe_llm.cartoon.world.scenes import SceneFrame, random_clip
from keyframe_llm.cartoon.world.video import write_clip
from keyframe_llm.scoring.queries import caption_parts, names_something, question_parts


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a dog eats", ["a dog eats"]),
        ("A man cooks. He feeds the dog!", ["A man cooks.", "He feeds the dog!"]),
        ("a man waves, then a robot kicks a ball", ["a man waves", "a robot kicks a ball"]),
        ("the dog runs and then it jumps", ["the dog runs", "it jumps"]),
        ("he runs; she reads a book", ["he runs", "she reads a book"]),
        ("Dr. Smith walks in.", ["Dr. Smith walks in."]),
        ("a 3.5 kg cat authenticates itself", ["a 3.5 kg cat authenticates itself"]),
        ("一个人走路。 然后他跳舞。", ["一个人走路。", "然后他跳舞。"]),
        ("then", ["then"]),
        ("  a cat.  ", ["a cat."]),
    ],
)
def test_sentences_and_what_comes_then_are_parts(text: str, parts: list[str]) -> None:
    assert caption_parts(text) == parts


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("What is it eating?", ["What is it eating?"]),
        ("Who comes first, the man or the dog?", ["Who comes first, the man", "the dog?"]),
        ("A man comes in. What does he hold?", ["A man comes in.", "What does he hold?"]),
        ("Is it day or night?", ["Is it day or night?"]),
        (
            "Is it a cat, a dog, a man or a bird? Or a fish?",
            ["Is it a cat, a dog, a man", "a bird?", "Or a fish?"],
        ),
        ("A. a cat B. a dog C. a bird D. a fish", ["A. a cat B. a dog C. a bird D. a fish"]),
    ],
)
def test_what_a_question_lets_one_choose_from_are_parts(text: str, parts: list[str]) -> None:
    assert question_parts(text) == parts


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("What happens in the video?", False),
        ("Describe this clip in one short sentence.", False),
        ("Who is it, and where?", False),
        ("???", False),
        ("Who walks?", True),
        ("How many people are there?", True),
        ("视频里有什么？", True),  # only English is known
    ],
)
def test_a_text_of_general_words_names_nothing(text: str, names: bool) -> None:
    assert names_something([text]) is names
    assert names_something([text, "a dog"])


def test_a_text_of_nothing_but_space_between_its_words_is_taken_apart_at_once() -> None:
    text = "a man waves" + " " * 300_000 + "then he sits down"
    assert caption_parts(text) == ["a man waves", "he sits down"]


def test_a_whole_page_stays_in_one_piece() -> None:
    page = "The dog runs. " * 40
    assert caption_parts(page) == [page.strip()]


def test_every_scene_that_a_caption_describes_gets_a_frame(tmp_path: Path) -> None:
    clip = random_clip(np.random.default_rng(4), scenes=9, seconds=60)
    write_clip(clip, tmp_path / "clip.mp4", fps=6)
    described = [clip.scenes[i] for i in (1, 4, 7)]
    text = ", then ".join(caption([SceneFrame(scene, scene.start)]) for scene in described)
    selection = select_keyframes(tmp_path / "clip.mp4", caption=text, encoder="cartoon")
    assert [clip.frame_at(float(second)).scene for second in selection.seconds] == described
    assert selection.caption == text
