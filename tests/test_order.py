"""Order words in a text: which are read, which are not, and which frames they choose."""

from __future__ import annotations

import pytest

from keyframe_llm.evaluation.joined import subjects
from keyframe_llm.scoring.order import Order, read_order


@pytest.mark.parametrize(
    ("question", "order"),
    [
        ("What happens after the dog jumps?", Order("after", "the dog jumps", None)),
        ("what is shown right after a man waves", Order("after", "a man waves", None)),
        ("What happens just before the car crashes?", Order("before", "the car crashes", None)),
        ("What happens following the explosion?", Order("after", "the explosion", None)),
        ("What happens prior to the goal? Answer in one word.", Order("before", "the goal", None)),
        ("What happens after the goal?\nA. rain\nB. a party after work", Order("after", "the goal", None)),
        (
            "What does the woman do after the dog jumps?",
            Order("after", "the dog jumps", "What does the woman do?"),
        ),
        (
            "After the dog jumps, what does the woman do?",
            Order("after", "the dog jumps", "what does the woman do?"),
        ),
        (
            "What does the man do before he sits down?",
            Order("before", "the man sits down", "What does the man do?"),
        ),
        (
            "What does the man in red do after sitting down?",
            Order("after", "the man in red sitting down", "What does the man in red do?"),
        ),
        ("Where does the dog go after it jumps?", Order("after", "the dog jumps", "Where does the dog go?")),
        ("What happens at the end of the video?", Order("before", None, None)),
        ("What happens first?", Order("after", None, None)),
        ("What does the man in blue do last?", Order("before", None, "What does the man in blue do?")),
        ("At the beginning, what does he hold?", Order("after", None, "what does he hold?")),
    ],
)
def test_a_question_of_order_has_an_anchor_and_a_side(question: str, order: Order) -> None:
    assert read_order(question, is_question=True) == order


@pytest.mark.parametrize(
    ("caption", "order"),
    [
        ("After jumping, the dog eats", Order("after", "jumping", "the dog eats")),
        (
            "a woman waves right after a man kicks a ball",
            Order("after", "a man kicks a ball", "a woman waves"),
        ),
        ("a man smiles after winning", Order("after", "winning", "a man smiles")),
    ],
)
def test_a_caption_has_an_order_where_its_word_can_mean_nothing_else(caption: str, order: Order) -> None:
    assert read_order(caption, is_question=False) == order


@pytest.mark.parametrize(
    "text",
    [
        "Who looks after the dog?",
        "What dog is named after a city?",
        "Why does the man run after the dog?",
        "Have you seen this man before?",
        "What is he after?",
        "What happens after that?",
        "What happens after 10 seconds?",
        "What happens after a few minutes?",
        "What happened the day before the wedding?",
        "Does it rain day after day?",
        "Is the dog seen before or after the cat?",
        "How long after the goal does he fall?",
        "Who stands before the house?",
        "What is before the house?",
        "What is the man following the dog doing?",
        'What does the sign "after the rain" say?',
        "What is at the end of the street?",
        "Who is on the first floor?",
        "Who came first?",
        "How long does the race last?",
        "Who is seen first, the man or the dog?",
        "What happens next?",
        "What happens then?",
        "a man runs after a dog",
        "a bride before the altar",
        "people clean up after the flood",
        "a puppy named After All",
        'a sign: "before sitting down"',
        "",
    ],
)
def test_other_uses_of_these_words_state_no_order(text: str) -> None:
    assert read_order(text, is_question=True) is None
    assert read_order(text, is_question=False) is None


def test_no_caption_of_the_joined_footage_states_an_order() -> None:
    captions = [text for subject in subjects() for text in (*subject["captions"], *subject.get("sealed", ()))]
    assert len(captions) > 50
    assert not [text for text in captions if read_order(text, is_question=False)]


def test_a_page_of_order_words_is_read_at_once() -> None:
    for text in (
        "what after " * 100_000,
        "after " * 100_000 + ",",
        "what does " + "a b, " * 90_000 + "after x",
    ):
        assert read_order(text, is_question=True) is None
