"""Order words in a text: which are read, which are not, and which frames they choose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keyframe_llm import VideoIndex
from keyframe_llm.cartoon.world.language import ACTION_PHRASES, person_phrase
from keyframe_llm.cartoon.world.scenes import random_clip
from keyframe_llm.cartoon.world.video import write_clip
from keyframe_llm.demos.views import frame_labels
from keyframe_llm.encoders import load_encoder
from keyframe_llm.evaluation.dense import dense_index, embed_question
from keyframe_llm.evaluation.drawn import drawn_clip
from keyframe_llm.evaluation.joined import subjects
from keyframe_llm.evaluation.ordered import order_questions
from keyframe_llm.evaluation.selectors import choose
from keyframe_llm.index import Indexer
from keyframe_llm.index.video_index import embedded_texts
from keyframe_llm.options import SelectOptions
from keyframe_llm.scoring.choose import select
from keyframe_llm.scoring.keyscore import keyscore
from keyframe_llm.scoring.order import Order, read_order
from keyframe_llm.scoring.queries import OrderedRows, Query, query_order, query_texts
from keyframe_llm.scoring.selectors import Choice, choose_frames


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
        ("Where did she sit before he came?", Order("before", "he came", "Where did she sit?")),
        ("What happens before the video ends?", Order("before", None, None)),
        ("What happens right after the start?", Order("after", None, None)),
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
        ("a man sits down, then a dog jumps", Order("after", "a man sits down", "a dog jumps")),
        ("First a man waves and then he reads.", Order("after", "a man waves", "he reads")),
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
        "What happens after 30s?",
        "What happens after 1:30 in the video?",
        "What happens after the video ends?",
        "What happened the day before the wedding?",
        "Does it rain day after day?",
        "Is the dog seen before or after the cat?",
        "How long after the goal does he fall?",
        "Who stands before the house?",
        "What is the man who sits before the computer doing?",
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
        "a man waves, then he reads, then he sits",
        "then a dog",
        "a dog that then jumps over a wall",
        "What happens if the dog runs and then jumps?",
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


EYE = np.eye(6)
PLACES = np.repeat([0, 1, 2, 3, 4], 4)
"""A video of five places, each of four frames, 2 s apart."""


def _index(rows: np.ndarray = EYE[PLACES]) -> VideoIndex:
    return dense_index(rows, 2.0 * np.arange(len(rows)), rows)


def _chosen(
    order: OrderedRows | None,
    index: VideoIndex | None = None,
    neutral: np.ndarray | None = None,
    **options: Any,
) -> Choice:
    query = Query(EYE[[2]], None, "question", neutral, order)
    return choose_frames(index or _index(), query, SelectOptions(**options))


def test_the_anchor_and_the_places_behind_it_are_shown() -> None:
    after, before = (OrderedRows(side, EYE[2], None) for side in ("after", "before"))
    assert PLACES[_chosen(after).chosen].tolist() == [2, 3, 4]
    assert PLACES[_chosen(before).chosen].tolist() == [0, 1, 2]
    assert PLACES[_chosen(after, max_frames=1).chosen].tolist() == [3]
    assert PLACES[_chosen(after, max_frames=2).chosen].tolist() == [2, 3]
    assert PLACES[_chosen(after, max_frames=5).chosen].tolist() == [2, 3, 3, 3, 4]
    choice = _chosen(after)
    assert [(one.anchor, one.direction) for one in choice.beside] == [(choice.chosen[0], "after")] * 2
    assert [one.frame for one in choice.beside] == choice.chosen[1:].tolist()


def test_a_target_counts_on_its_side_of_the_anchor_alone_and_the_near_one_first() -> None:
    places = np.array(
        [1, 0, 2, 1, 0, 3, 1, 4]
    )  # the target, 1, is seen three times, once before the anchor, 2
    index = _index(EYE[np.repeat(places, 4)])
    for side, near in (("after", 3), ("before", 0)):
        choice = _chosen(OrderedRows(side, EYE[2], EYE[1]), index, max_frames=2)
        assert sorted(choice.chosen // 4) == sorted([2, near])
    far = _chosen(OrderedRows("after", EYE[2], EYE[3]), index)
    assert set(far.chosen // 4) == {2, 3, 5}  # the anchor, what follows it, and the target


def test_the_start_and_the_end_are_anchors_too() -> None:
    assert PLACES[_chosen(OrderedRows("after", None, None)).chosen].tolist() == [0, 0, 1]
    assert PLACES[_chosen(OrderedRows("before", None, None)).chosen].tolist() == [3, 4, 4]
    rows = EYE[np.repeat([1, 0, 1, 2, 1, 3], 4)]
    for side, place in (("after", 0), ("before", 4)):
        assert place in _chosen(OrderedRows(side, None, EYE[1]), _index(rows)).chosen // 4


def test_behind_an_anchor_in_the_last_place_the_rest_of_it_is_shown() -> None:
    rows = EYE[PLACES] + 0.0
    rows[17, 5] = 1.0  # the anchor, the second frame of the last place
    choice = _chosen(OrderedRows("after", EYE[5], None), _index(rows))
    assert choice.chosen[0] == 17 and np.all(choice.chosen >= 17) and len(choice.chosen) == 3


def test_nothing_changes_where_the_anchor_is_not_there_or_no_frame_is_left_behind_it() -> None:
    plain = _chosen(None).chosen
    neutral = np.concatenate([EYE[:5], -EYE[:5], EYE[:5] + 0.5])
    assert _chosen(OrderedRows("after", EYE[5], None), neutral=neutral).chosen.tolist() == plain.tolist()
    assert _chosen(OrderedRows("before", None, EYE[5]), neutral=neutral).chosen.tolist() == plain.tolist()
    assert _chosen(OrderedRows("after", np.zeros(6), None)).chosen.tolist() == plain.tolist()
    rows = EYE[PLACES] + 0.0
    rows[-1, 5] = 1.0
    last = _chosen(OrderedRows("after", EYE[5], None), _index(rows))
    assert last.beside == () and last.chosen.tolist() == _chosen(None, _index(rows)).chosen.tolist()


def test_a_gap_a_threshold_and_frames_already_seen_hold_for_an_order_too() -> None:
    after = OrderedRows("after", EYE[2], None)
    assert np.all(np.diff(_chosen(after, max_frames=8, min_gap_seconds=6.0).chosen) >= 3)
    assert PLACES[_chosen(after, threshold=0.8).chosen].tolist() == [2, 3, 3]
    seen = [2.0 * i for i in (8, 9, 10, 11, 12, 13)]  # the anchor's place, and half of the next
    chosen = _chosen(after, exclude_seconds=seen, min_gap_seconds=1.0).chosen
    assert np.all(chosen >= 14) and {3, 4} == set(PLACES[chosen])


def test_texts_without_an_order_choose_what_they_always_chose() -> None:
    captions = [text for subject in subjects() for text in subject["captions"]]
    questions = ["What is it eating?", "Who comes first, the man or the dog?", "What happens?", "who waves?"]
    index, baseline = _index(np.random.default_rng(0).random((40, 6))), np.full(6, 0.1)
    for number, (caption, question) in enumerate(
        [*((text, None) for text in captions), *((None, text) for text in questions)]
    ):
        texts = query_texts(caption, question)
        assert embedded_texts(caption, question, SelectOptions()) == texts
        rows = np.random.default_rng(number).random((len(texts), 6))
        query = Query(rows, baseline, "retrieval").ordered(query_order(caption, question))
        choice, options = choose_frames(index, query, SelectOptions()), SelectOptions()
        scores = keyscore(index.embedded(), rows, weights=options.score.weights, baseline=baseline)
        chosen = select(
            scores,
            index.candidates.seconds,
            max_frames=options.choose.max_frames,
            duration_seconds=index.span_seconds,
            features=index.embedded(),
            histograms=index.candidate_histograms,
        )
        np.testing.assert_array_equal(choice.chosen, chosen)
        np.testing.assert_array_equal(choice.scores.total, scores.total)
        assert choice.beside == ()


def test_other_methods_and_two_guides_get_the_whole_text() -> None:
    question = "What happens after the dog jumps?"
    assert embedded_texts(None, question, SelectOptions(method="paper")) == [question]
    both = embedded_texts("a cat", question, SelectOptions(guide="both"))
    assert both == ["a cat", question]
    assert embedded_texts(None, question, SelectOptions()) == [question, "the dog jumps"]


class CountedTexts:
    """The encoder of the drawn world, which notes the texts that it is given."""

    def __init__(self) -> None:
        self.encoder, self.asked = load_encoder("cartoon"), []

    def embed_images(self, images: Any) -> Any:
        return self.encoder.embed_images(images)

    def embed_texts(self, texts: Any) -> Any:
        self.asked.append(list(texts))
        return self.encoder.embed_texts(texts)


def test_what_follows_in_a_video_is_shown_and_said(tmp_path: Path) -> None:
    clip = random_clip(np.random.default_rng(4), scenes=6, seconds=24)
    write_clip(clip, tmp_path / "clip.mp4", fps=2)
    encoder = CountedTexts()
    indexer, options = Indexer(encoder), SelectOptions()
    anchor = clip.scenes[2]
    text = f"what happens after {person_phrase(anchor, 'the')} {ACTION_PHRASES[anchor.action]}?"
    selection = indexer.select(str(tmp_path / "clip.mp4"), options, question=text)
    assert [clip.frame_at(float(second)).scene for second in selection.seconds] == list(clip.scenes[2:5])
    assert selection.found is not None and selection.found.word == "yes"
    follows = f"follows {selection.seconds[0]:.2f} s"
    assert selection.orders() == [None, follows, follows]
    assert [entry.get("order") for entry in selection.to_dict()["keyframes"]] == selection.orders()
    assert [short for short, _ in frame_labels(selection)[1:]] == [follows, follows]
    assert encoder.asked.count([text, text.removeprefix("what happens after ").rstrip("?")]) == 1
    ending = indexer.select(str(tmp_path / "clip.mp4"), options, question="What happens at the end?")
    assert clip.frame_at(float(ending.seconds[-1])).scene == clip.scenes[-1]
    assert ending.orders() == ["at the end"] * 3 and ending.found is None


def test_questions_about_drawn_clips_are_answered_on_the_side_that_they_name() -> None:
    for seed in range(40):
        clip, other = drawn_clip(seed)
        assert read_order(other.text, is_question=True) is None
        for question in order_questions(clip, seed):
            order = read_order(question.text, is_question=True)
            assert order is not None and order.direction in ("after", "before")
            named = [s for s in clip.scenes if f"{person_phrase(s, 'the')} " in (order.anchor or "")]
            assert len(named) == (order.anchor is not None)
            for scene in named:
                assert (question.answer.start > scene.start) == (order.direction == "after")
            if order.target is not None:
                assert question.answer.subject in order.target


def test_the_evaluation_asks_in_order_as_the_package_does() -> None:
    class Coloured:
        def embed_images(self, images: Any) -> Any:
            raise NotImplementedError

        def embed_texts(self, texts: Any) -> Any:
            return np.stack([EYE[2] if text == "the dog jumps" else EYE[1] for text in texts])

    text = embed_question(Coloured(), "What happens after the dog jumps?", None)
    assert text.parts.shape == (1, 6) and text.order is not None
    assert PLACES[choose("keyframe-llm question", _index(), text, k=3)].tolist() == [2, 3, 4]
    assert set(PLACES[choose("top-k", _index(), text, k=3)]) == {1}
