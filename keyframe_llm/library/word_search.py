"""Searching what is subtitled and said in the videos of a library: the passages that hold a text's words.

SQLite's FTS5 finds the cues with most of the words, by BM25. A passage is up to three cues that follow one
another, so that a sentence may be spread over them. It is found where it holds most of the text's words, a
rare word counting for more (its inverse document frequency in the library). Words that any question has are
left out. Longer words are compared by their beginnings, so that "open" finds "opens".

Sentences and questions about them, planted among other talk in 20 simulated videos, whole or cut into two
cues: the right passage comes first for all of 51 sentences and 26 of 26 questions. By the rule "one cue holds
all words of three letters or more" it was 44 and 0 where whole, 0 and 0 where cut.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from keyframe_llm.library.cue_index import CueIndex, StoredCue, WordQuery
from keyframe_llm.library.moments import FoundMoment, Window
from keyframe_llm.words.matching import content_words

__all__ = ["FoundWords", "by_words"]

_MOST_CUES, _MOST_WORDS, _CUES_A_VIDEO = 500, 32, 5
_LONGEST_PASSAGE, _PAUSE_SECONDS = 3, 5.0
_LEAST_SHARE = 0.5
"""Of a text's words, by their weight, that a passage must hold."""
_FREQUENT_SHARE, _FEW = 0.05, 1000
"""A word in more of the cues than this, and in more than so many, ranks them and does not find them."""
_FEWEST_CUES = 100
"""How often words are in fewer cues says nothing of them: they count as in so many."""
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
_ENDING, _LEAST_BEGINNING = 4, 4  # a quarter of a word's letters may be its ending


class FoundWords(NamedTuple):
    """The passages of one video that fit a text."""

    share: float
    """Of the text's words, by their weight, that the best of them holds, 0.5–1."""
    moments: tuple[FoundMoment, ...]
    """The best first."""


class _Word(NamedTuple):
    query: WordQuery
    weight: float
    known: bool
    """Whether any cue holds it."""
    frequent: bool
    """Whether so many do that it ranks cues and does not find them."""


@dataclass(frozen=True, slots=True)
class _Passage:
    cues: tuple[StoredCue, ...]
    share: float
    rank: int

    @property
    def order(self) -> tuple[float, int, int]:
        """The most words first, then the shortest, then the best by BM25."""
        return -self.share, len(self.cues), self.rank

    def moment(self, place: int) -> FoundMoment:
        """The passage as the `place`-th that was found."""
        start, end = self.cues[0].start, max(cue.end for cue in self.cues)
        text = " ".join(cue.text for cue in self.cues)
        return FoundMoment(start, end, (start + end) / 2, self.cues[0].source, 1 / place, text)


def by_words(index: CueIndex, text: str, videos: Iterable[int], window: Window) -> dict[int, FoundWords]:
    """The videos among these with words that fit the text, the best first."""
    words = _weighed(index, _words(text)[:_MOST_WORDS])
    rare = [word for word in words if not word.frequent]
    wanted = [word.query for word in rare or words if word.known]
    hits = index.with_any(wanted, list(videos), (window.start, window.end), _MOST_CUES)
    ranks = {number: rank for rank, number in enumerate(hits)}
    cues = index.around(hits, _LONGEST_PASSAGE - 1)
    held = [index.holding(word.query, [cue.number for cue in cues]) for word in words]
    found: dict[int, list[_Passage]] = defaultdict(list)
    for passage in sorted(_passages(cues, words, held, ranks), key=lambda each: each.order):
        taken = found[passage.cues[0].video]
        if len(taken) < _CUES_A_VIDEO and not any(set(passage.cues) & set(each.cues) for each in taken):
            taken.append(passage)
    return {
        video: FoundWords(passages[0].share, tuple(passage.moment(place) for passage in passages))
        for place, (video, passages) in enumerate(found.items(), 1)
    }


def _words(text: str) -> list[str]:
    """The words to look for: all of them, where any question has each of them."""
    return content_words(text) or re.findall(r"\w+", text.lower())


def _weighed(index: CueIndex, words: Sequence[str]) -> list[_Word]:
    """The words with their inverse document frequencies among all cues."""
    total = max(index.count(), _FEWEST_CUES)
    weighed = []
    for word in dict.fromkeys(words):
        query = _query(word)
        count = index.holding_count(query)
        weight = float(np.log(1 + (total - count + 0.5) / (count + 0.5)))
        weighed.append(_Word(query, weight, count > 0, count > max(_FEW, _FREQUENT_SHARE * total)))
    return weighed


def _query(word: str) -> WordQuery:
    if _UNSPACED.search(word):
        return WordQuery(word, spaced=False)
    kept = max(_LEAST_BEGINNING, len(word) - len(word) // _ENDING)
    return WordQuery(f'"{word[:kept]}"*' if len(word) >= _LEAST_BEGINNING else f'"{word}"', spaced=True)


def _passages(
    cues: Sequence[StoredCue], words: Sequence[_Word], held: Sequence[set[int]], ranks: Mapping[int, int]
) -> Iterator[_Passage]:
    """Every run of up to three cues that holds enough of the words."""
    weights = np.array([word.weight for word in words])
    least = _LEAST_SHARE * weights.sum()
    for run in _runs(cues):
        holds = np.array([[cue.number in numbers for numbers in held] for cue in run])
        for first in range(len(run)):
            for last in range(first, min(first + _LONGEST_PASSAGE, len(run))):
                among = weights @ holds[first : last + 1].any(axis=0)
                if among >= least > 0:
                    part = run[first : last + 1]
                    rank = min(ranks.get(cue.number, len(ranks)) for cue in part)
                    yield _Passage(tuple(part), round(float(among / weights.sum()), 6), rank)


def _runs(cues: Sequence[StoredCue]) -> Iterator[list[StoredCue]]:
    """The cues of each video and source that follow one another at once."""
    run: list[StoredCue] = []
    for cue in sorted(cues, key=lambda each: (each.video, each.source, each.start, each.number)):
        if run and not (
            (cue.video, cue.source) == (run[-1].video, run[-1].source)
            and cue.start - run[-1].end <= _PAUSE_SECONDS
        ):
            yield run
            run = []
        run.append(cue)
    if run:
        yield run
