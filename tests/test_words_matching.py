"""Matching a query with cues: in any script, without a model or with one, and nothing where nothing fits."""

from __future__ import annotations

import numpy as np
import pytest

from keyframe_llm.words import Cue
from keyframe_llm.words.matching import asks_for_words, match_cues

TALK = (
    "Well, let us see what comes next.",
    "The deadline for the report is Friday at noon.",
    "Our profits rose by twelve percent last year.",
    "El vuelo a Madrid sale a las ocho.",
    "截止日期是星期五中午。",
    "سيغادر القطار من الرصيف التاسع.",
    "会議は三時に始まります。",
    "Встреча начнётся в десять утра.",
    "Thank you very much for coming.",
)
CUES = [Cue(10.0 * i, 10.0 * i + 3, text) for i, text in enumerate(TALK)]
UNRELATED = (
    "A white puppy lies in the grass and chews.",
    "where is the man in red?",
    "What colour is the car?",
    "what happens at the end?",
    "人们在海滩上踢足球",
)


class Topics:
    """An encoder that knows three topics: money, dates, and everything else."""

    WORDS = (("profits", "financial", "earnings"), ("deadline", "handed", "date"))

    def embed_texts(self, texts, /):
        """(N, 4): which topic a text is of, and a small part that depends on its length."""
        return np.array(
            [
                [
                    *(float(any(word in text for word in words)) for words in self.WORDS),
                    0.3,
                    len(text) % 7 / 40,
                ]
                for text in texts
            ]
        )


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("When does she mention the deadline?", 1),
        ("By how much did profits rise?", 2),
        ("¿A qué hora sale el vuelo a Madrid?", 3),
        ("截止日期是什么时候？", 4),
        ("من أي رصيف سيغادر القطار؟", 5),
        ("会議は何時に始まりますか？", 6),
        ("Когда начнётся встреча?", 7),
        ("deadlines of reports", 1),
    ],
)
def test_a_question_finds_what_is_said_in_its_own_script(query, found):
    match = match_cues(query, CUES)
    assert match.argmax() == found
    assert match[found] >= 0.5
    assert np.sort(match)[-2] < 0.3


@pytest.mark.parametrize("query", [*UNRELATED, "Who is there?", "…", "?", ""])
def test_a_query_about_nothing_that_is_said_matches_nothing(query):
    assert match_cues(query, CUES).max() < 0.1


def test_an_encoder_finds_other_words_and_adds_nothing_to_what_is_unrelated():
    question = "What does he tell about the financial results?"
    assert match_cues(question, CUES).max() < 0.5
    assert match_cues(question, CUES, Topics()).argmax() == 2
    assert match_cues(question, CUES, Topics())[2] == 1.0
    for query in UNRELATED:
        assert match_cues(query, CUES, Topics()).max() < 0.1


def test_an_encoder_that_tells_no_texts_apart_or_returns_nan_moves_nothing():
    class Same:
        def embed_texts(self, texts, /):
            return np.ones((len(texts), 3))

    class Nan(Same):
        def embed_texts(self, texts, /):
            return np.full((len(texts), 3), np.nan)

    for encoder in (Same(), Nan()):
        assert match_cues("a puppy", CUES, encoder).max() == 0


def test_the_parts_of_a_query_match_each_by_itself():
    match = match_cues(["When is the deadline?", "How far did profits rise?"], CUES)
    assert set(np.flatnonzero(match >= 0.5)) == {1, 2}


def test_a_sentence_that_runs_over_two_cues_is_found_as_one():
    question = "Is the deadline on Friday before noon?"
    halves = [Cue(0, 2, "So the deadline"), Cue(2, 4, "is next Friday."), Cue(9, 10, "Hello.")]
    apart = [halves[0], Cue(30, 32, "is next Friday."), Cue(40, 41, "Hello.")]
    assert match_cues(question, halves).max() > match_cues(question, apart).max()
    assert match_cues(question, halves)[2] == 0


def test_no_cues_and_no_queries_give_no_scores():
    assert match_cues("a man", []).shape == (0,)
    assert match_cues([], CUES).tolist() == [0.0] * len(CUES)


def test_cues_of_marks_alone_a_huge_cue_and_a_huge_query_are_compared_all_the_same():
    cues = [Cue(0, 1, "♪ ♪"), Cue(2, 3, "deadline " + "x" * 1_000_000), Cue(4, 5, "\u202e\u0000")]
    assert match_cues("When is the deadline?", cues).argmax() == 1
    assert match_cues("When is the deadline?", [Cue(0, 1, "…")]).tolist() == [0.0]
    assert match_cues("y" * 1_000_000, cues).max() == 0


def test_the_words_of_a_question_tell_whether_it_is_about_words():
    for query in ("When does she mention it?", "What is written on the door?", "他说了什么？", "¿Qué dice?"):
        assert asks_for_words(query), query
    for query in ("where is the man in red?", "Who reads a book?", "Which way does she go?"):
        assert not asks_for_words(query), query
