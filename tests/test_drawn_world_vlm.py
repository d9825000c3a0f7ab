"""What the embedded Video-LLM answers to people: right in its world, and honest outside of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from keyframe_llm import KeyframeLLM
from keyframe_llm.cartoon.world.asking import not_understood, read_question
from keyframe_llm.cartoon.world.questions import NOT_SHOWN, questions
from keyframe_llm.cartoon.world.scenes import random_clip, uniform_frames
from keyframe_llm.data import Frames
from keyframe_llm.demos.dialogue import conversation
from keyframe_llm.demos.models import Models
from keyframe_llm.demos.session import Session, Settings, Turn
from keyframe_llm.demos.videos import DEMO_QUESTION, DRAWN_QUESTIONS, EXAMPLES, demo_video
from keyframe_llm.messages import frame_messages, prompt
from keyframe_llm.vlm import load_vlm
from keyframe_llm.vlm.drawn_world import DrawnWorldVLM

RIGHT = {
    DEMO_QUESTION: "flies a kite",
    "Who is on the beach?": "a child in blue",
    "What does the woman in yellow do?": "plays the guitar",
    "What is the woman in orange doing?": "climbs a ladder up",
    "Who is in the desert?": "a man in green",
    "Who plays the guitar?": "a woman in yellow",
    "What does the man in green do?": "walks to the left",
    "Where is the man in green?": "in the desert",
    "Which way does the man in green go?": "to the left",
}
GENERAL = {  # where the man is, and what the woman does
    "hidden_event.mp4": ["in the park", "plays the guitar"],
    "three_scenes.mp4": ["in the desert", "climbs a ladder up"],  # as one of two women does
    "one_walk.mp4": ["in the desert", NOT_SHOWN],
}
FOLLOW_UPS = {
    "hidden_event.mp4": ("And where is she?", "in the kitchen"),  # after the woman in yellow
    "three_scenes.mp4": ("Which way does the man go?", "to the left"),
    "one_walk.mp4": ("And where is she?", NOT_SHOWN),
}
SETTINGS = Settings("cartoon", "cartoon")


@pytest.fixture(scope="module")
def models() -> Models:
    return Models(["cartoon"])


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_on_the_chat_page_is_answered_rightly_alone_and_after_every_other(
    name: str, models: Models
) -> None:
    session = Session(models)
    session.open(demo_video(name))

    def said(asked: Sequence[str]) -> list[str]:
        session.clear()
        for question in asked:
            session.ask(question, SETTINGS)
        return [turn.answer for turn in session.turns]

    general = said(DRAWN_QUESTIONS)
    assert ("walks" in general[0] or "kicks" in general[0]) and general[1:] == GENERAL[name]
    one, two, three = EXAMPLES[name].questions
    for alone in (two, three):
        assert said([alone]) == [RIGHT[alone]]
    further, right = FOLLOW_UPS[name]
    every_pair = [one, two, one, three, two, three]
    assert said([*every_pair, further]) == [*(RIGHT[question] for question in every_pair), right]


class Scripted:
    """Stands in for the checkpoint: remembers what it is asked, and answers by the question."""

    name, warnings, video_grid = "scripted", (), None

    def __init__(self, replies: dict[str, str]) -> None:
        self.replies, self.asked = replies, list[str]()

    def generate_batch(self, conversations: Sequence[Any], **_: Any) -> list[str]:
        texts = [conversation[-1]["content"][-1]["text"] for conversation in conversations]
        self.asked += [text.removeprefix(prompt("question", question="")) for text in texts]
        return [self.replies.get(text, "noise") for text in self.asked[-len(texts) :]]

    def stream(self, messages: Any, **_: Any) -> Iterator[str]:
        yield from ("a caption, ", "piece by piece")


FRAMES = Frames(np.zeros((1, 8, 8, 3), np.uint8), np.array([1.0]))


def ask(model: Scripted, question: str, *earlier: tuple[str, str]) -> str:
    turns = [Turn(*turn) for turn in earlier]
    return DrawnWorldVLM(model).generate(conversation(FRAMES, turns, question))  # type: ignore[arg-type]  # has what is called


@pytest.mark.parametrize(
    ("question", "says"),
    [
        ("xyzzy?", "and not the word “xyzzy”."),
        ("What is the weather like?", "and not the words “weather”, “like”."),
        ("Какая погода? \x1b[31m", "and not the words “какая”, “погода”, “31m”."),
        ("what colour is the car?", "and no question like this one; ask for example"),
        ("a b c d e f g", "“b”, “c”, “d”, “e”, “f” and others."),
        ("w" * 5000, f"and not the word “{'w' * 30}…”."),
        ("???", "and no question like this one"),
    ],
)
def test_what_the_world_does_not_have_is_said_to_be_unknown_and_no_model_is_asked(
    question: str, says: str
) -> None:
    model = Scripted({})
    answer = ask(model, question)
    assert answer.startswith("The embedded model knows only its drawn world, and ") and says in answer
    assert model.asked == [] and answer.count("\n") == 0 and answer == not_understood(question)


def test_who_is_meant_is_who_was_named_last_else_who_is_seen() -> None:
    replies = {"where is the woman in red?": "on the beach", "where is the child in blue?": "in the park"}
    model = Scripted({**replies, "what colour does the woman wear?": "red"})
    named = ("Where is the woman in red?", "on the beach"), ("Who is in the park?", "a child in blue")
    assert ask(model, "And where's she?", *named) == "in the park"
    assert ask(model, "Where is the woman?", *named) == "on the beach"
    assert "what colour does the woman wear?" not in model.asked
    assert ask(model, "Where is she?") == "on the beach"
    assert ask(model, "Where is the man?") == NOT_SHOWN  # of a man the model names no colour


@pytest.mark.parametrize(
    ("question", "replies", "right"),
    [
        ("Who is in the park?", {"where is the man in red?": "in the park"}, "a man in red"),
        ("Who is in the park?", {"where is the man in red?": "in the street"}, NOT_SHOWN),
        ("Who waves?", {"what does the man in red do?": "waves"}, "a man in red"),
        ("Who waves?", {"what does the man in red do?": "walks up"}, NOT_SHOWN),
        ("Who is next to the dog?", {"what is next to the man in red?": "a dog"}, "a man in red"),
        ("Who is next to the dog?", {"what is next to the man in red?": "nothing"}, NOT_SHOWN),
        ("Which way does the man in red go?", {"what does the man in red do?": "waves"}, NOT_SHOWN),
    ],
)
def test_an_answer_that_a_second_question_denies_is_not_given(
    question: str, replies: dict[str, str], right: str
) -> None:
    first = {question.lower(): "to the left" if "way" in question else "a man in red"}
    assert ask(Scripted(first | replies), question) == right


def test_a_caption_is_streamed_as_the_model_writes_it_and_an_answer_comes_checked_and_whole() -> None:
    model = DrawnWorldVLM(Scripted({"where is the man in red?": "in the park"}))  # type: ignore[arg-type]  # as above
    spoken = f"{prompt('words', lines='Look!')}\n\n{prompt('caption')}"
    for caption in (
        *(prompt("caption"), spoken),
        *("Describe the video.", prompt("question", question="What happens?")),
    ):
        assert list(model.stream(frame_messages(FRAMES, caption))) == ["a caption, ", "piece by piece"]
    asked = prompt("question", question="Where is the man in red?")
    assert list(model.stream(frame_messages(FRAMES, asked))) == ["in the park"]


def test_every_question_of_the_world_is_read_and_asked_as_it_was_taught() -> None:
    rng = np.random.default_rng(5)
    for seed in range(30):
        frames = uniform_frames(random_clip(np.random.default_rng(seed), scenes=3, seconds=12), 6)
        for question in questions(rng, frames):
            asked = read_question(question.text)
            assert asked is not None and asked.text == question.text.replace("color ", "colour ")


def test_only_the_embedded_checkpoint_is_asked_so(checkpoint: Any) -> None:
    assert isinstance(load_vlm("cartoon"), DrawnWorldVLM)
    other = load_vlm(str(checkpoint("qwen2_5_vl")), dtype="float32")
    assert not isinstance(other, DrawnWorldVLM)
    assert "embedded" not in other.generate(frame_messages(FRAMES, "xyzzy?"), max_new_tokens=4)


def test_several_questions_are_answered_as_one_by_one_whatever_each_needs() -> None:
    llm, video = KeyframeLLM("cartoon"), demo_video("one_walk.mp4")
    asked = ["Which way does the man go?", "xyzzy?", "Where is the man in green?", "Who is in the park?"]
    right = ["to the left", not_understood("xyzzy?"), "in the desert", NOT_SHOWN]
    assert [answer.text for answer in llm.ask_many(video, asked)] == right
