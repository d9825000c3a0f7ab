"""Searching what is said in a library: which passages come first, in any script, and what is no match."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from keyframe_llm.cartoon.world.talk import Fact, random_talk
from keyframe_llm.evaluation.joined import subjects
from keyframe_llm.library.catalogue import Catalogue, FileState
from keyframe_llm.library.moments import Window
from keyframe_llm.library.word_search import by_words
from keyframe_llm.words import Cue


def filled(path: Path, talks: Sequence[Sequence[Cue]]) -> Catalogue:
    """A library of videos numbered from 1 in which these cues are said."""
    catalogue = Catalogue(path, create=True)
    rows = np.eye(1, 4).astype(np.float16)
    with catalogue.transaction():
        for i, cues in enumerate(talks):
            number = catalogue.add_video(str(i), 60.0, 60.0, np.zeros(1), rows, rows)
            catalogue.set_file(f"/v/{i}.mp4", number, FileState(0, 0))
            catalogue.add_cues(number, cues)
    return catalogue


def halves(cue: Cue) -> list[Cue]:
    """The cue as two that follow one another, each with one half of its words."""
    words, middle = cue.text.split(), (cue.start + cue.end) / 2
    first, second = " ".join(words[: len(words) // 2]), " ".join(words[len(words) // 2 :])
    return [Cue(cue.start, middle, first, cue.source), Cue(middle, cue.end, second, cue.source)]


def said(*lines: str, every: float = 4.0) -> list[Cue]:
    return [Cue(every * i, every * i + 2, text) for i, text in enumerate(lines)]


@pytest.mark.parametrize("cut", [False, True], ids=["whole", "cut in two"])
def test_planted_sentences_and_questions_about_them_find_their_moment(tmp_path: Path, cut: bool) -> None:
    talks = [random_talk(np.random.default_rng([5, v]), 60.0) for v in range(20)]
    cues = [[part for cue in talk.cues for part in (halves(cue) if cut else [cue])] for talk in talks]
    index = filled(tmp_path / "library.sqlite", cues).cues
    facts: list[tuple[int, Fact, Cue]] = [
        (v, *each) for v, talk in enumerate(talks, 1) for each in talk.facts
    ]
    asked = [(v, fact.sentence, cue) for v, fact, cue in facts]
    # "What is said about the zoo?" has many right answers.
    asked += [(v, fact.question, cue) for v, fact, cue in facts if "is said about" not in fact.question]
    times_asked, tried = Counter(text for _, text, _ in asked), 0
    for video, text, cue in asked:
        if times_asked[text] > 1:
            continue
        found = by_words(index, text, range(1, 21), Window())
        moment = found[next(iter(found))].moments[0]
        assert next(iter(found)) == video and moment.start < cue.end and moment.end > cue.start, text
        tried += 1
    assert tried > 70
    for subject in subjects():  # captions of other footage
        for caption in subject["captions"]:
            assert by_words(index, caption, range(1, 21), Window()) == {}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("When is the quarterly report due?", "The quarterly"),
        ("明日は雨が降りますか", "明日は雨が降ります"),
        ("今天天气怎么样？天气很好", "今天天气很好"),
        ("Wann ist die Prüfung in Mathematik?", "Die Prüfung in"),
        ("когда начинается экзамен", "Экзамен начинается в пять"),
        ("ฝนตกหนัก", "วันนี้ฝนตกหนักมาก"),
        ("회의는 언제 시작합니까", "회의는 세 시에 시작합니다"),
    ],
)
def test_words_are_found_in_any_script_and_over_neighbouring_cues(
    tmp_path: Path, query: str, found: str
) -> None:
    lines = (
        *("The quarterly", "report is due on Monday.", "Die Prüfung in", "Mathematik ist am Montag."),
        *(
            "明日は雨が降ります",
            "今天天气很好",
            "Экзамен начинается в пять",
            "วันนี้ฝนตกหนักมาก",
            "회의는 세 시에 시작합니다",
        ),
        *("We report on other things.", "Monday is the first day."),
    )
    index = filled(tmp_path / "library.sqlite", [said(*lines), said("Nothing of it.", "Hello.")]).cues
    ((video, words),) = by_words(index, query, [1, 2], Window()).items()
    assert video == 1 and words.moments[0].text.startswith(found)


def test_words_far_apart_or_of_another_video_are_no_passage(tmp_path: Path) -> None:
    far = said("A zeppelin.", "It lands.", every=60.0)
    index = filled(tmp_path / "library.sqlite", [far, said("A zeppelin."), said("It lands.")]).cues
    found = by_words(index, "the zeppelin lands at night", [1, 2, 3], Window())
    assert all(words.share < 0.6 and "lands" not in words.moments[0].text for words in found.values())
    assert by_words(index, "zeppelin", [3], Window()) == {}  # only in the videos that are looked at
    assert by_words(index, "zeppelin", [1], Window(30.0, 50.0)) == {}
    assert by_words(index, "lands", [1], Window(30.0))[1].moments[0].text == "It lands."
    assert by_words(index, '"NEAR(* OR: {', [1, 2, 3], Window()) == {}  # no expression of FTS5
