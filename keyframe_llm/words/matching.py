"""How well a query fits each cue: by its letters in any script, and by its meaning where a model is given.

Without a model, the words of the query are looked for in the cues as groups of 3–5 letters (TF-IDF weights of
scikit-learn), so that "deadlines" finds "deadline". What counts is the share of the query that a cue holds.
A text encoder also finds what is said in other words.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyframe_llm.arrays import unit_rows
from keyframe_llm.prompts import default_prompts
from keyframe_llm.words.cues import Cue

__all__ = ["TextEncoder", "asks_for_words", "content_words", "match_cues"]

Floats = NDArray[np.float64]

_LONGEST = 4_000
"""Characters of a cue or a query that are compared; a longer text is a page, not a line."""
_LETTERS = (3, 5)
_HELPING = frozenset({"did", "does", "doing"})  # which scikit-learn's list lacks
_SAME_SENTENCE = 1.0  # seconds between two cues that may hold one sentence
# Shares of a query that a cue holds, and how far its meaning stands out: what scores 0, and what scores 1.
# Over 22 planted sentences in six scripts among 30 lines of talk, 2 % of 132 captions of other footage reach
# a share of 0.36, and nine in ten questions about a planted sentence 0.61. By meaning (MiniLM), 5 % of the
# captions reach 3.1 standard deviations, and half of the paraphrased questions 4.3.
_SHARE = (0.25, 0.60)
_DEVIATIONS = (3.0, 5.0)
_MOST_WEIGHT = 6.0  # of a group: in many cues, a rare word of the query that none has would outweigh the rest
_LEAST_SPREAD = 0.02  # of cosines: an encoder that tells no texts apart must not stand out by rounding

# Scripts without spaces between words: Thai, Lao, Myanmar, Khmer, kana, Chinese characters.
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+")
_WORD = re.compile(r"\w+")
_ASKS = re.compile(
    r"\b(say(s|ing)?|said|mention(s|ed|ing)?|talk(s|ed|ing)?|tells?|told|telling|speak(s|ing)?|spoken?|hear(d)?"
    r"|explain(s|ed|ing)?|announce[sd]?|claims?|claimed|quote[sd]?|subtitles?|written|says|spell(s|ed)?"
    r"|error message|sagt|gesagt|erwähnt|erklärt|spricht|geschrieben|dice|dicen|dijo|menciona|habla|escrito"
    r"|dit|disent|mentionne|parle|écrit|disse|fala|говорит|сказал|сказала|говорят|написано)\b"
    r"|说|說|提到|写着|寫著|言[いっうわ]|話[しす]|書[いか]|말[하했]|قال|يقول|ذكر|מזכיר|אומר",
    re.IGNORECASE,
)
_ASKING = re.compile(  # question words that no space sets apart; those of English are scikit-learn's
    "为什么|為什麼|什么时候|什麼時候|什么|什麼|多少|怎么|怎麼|哪[里裡个個]?|[吗嗎谁誰]|いつ|どこ|どの|なぜ|何時|[何誰]|ですか|ますか"
)


class TextEncoder(Protocol):
    """Places texts in a space where their cosine says how alike their meaning is: a sentence encoder.

    The text side of an image-text encoder is a poor one: it was trained to compare texts with pictures.
    """

    def embed_texts(self, texts: Sequence[str], /) -> NDArray[np.floating]:
        """Embed N texts; return (N, D)."""
        ...


def match_cues(
    query: str | Sequence[str], cues: Sequence[Cue], text_encoder: TextEncoder | None = None
) -> Floats:
    """How well the query fits each of the n cues, (n,), 0–1; a query that is about none scores 0 for all.

    A query of several parts scores as the part that fits best. Cues that follow one another may hold one
    sentence: the better half then scores for both. With a `text_encoder` a cue has the better of its scores.
    """
    queries = [query] if isinstance(query, str) else list(query)
    if not cues or not queries:
        return np.zeros(len(cues))
    lexicon = _lexicon(tuple(cues))
    best = np.max([_share(lexicon, text[:_LONGEST]) for text in queries], axis=0)
    scores = _ramp(best, *_SHARE)
    if text_encoder is not None:
        scores = np.maximum(scores, _by_meaning(queries, cues, text_encoder))
    return scores


def asks_for_words(query: str | Sequence[str]) -> bool:
    """Whether a query asks for what is said or written, by a word for it in one of ten languages.

    It only decides how many frames words may take; what is said is found by any query that fits.
    """
    queries = [query] if isinstance(query, str) else query
    return any(_ASKS.search(text[:_LONGEST]) is not None for text in queries)


class _Lexicon(NamedTuple):
    """The letter groups of all cues."""

    groups: Callable[[str], list[str]]
    """A prepared text → its letter groups."""
    numbers: dict[str, int]
    """A letter group → its column."""
    weights: Floats
    """(V + 1,) squared inverse document frequencies; the last is that of a group no cue has."""
    held: Any
    """(n, V) sparse: 1 where the cue holds the group."""
    pairs: NDArray[np.intp]
    """(p,) cues that the next one follows at once."""


@lru_cache(maxsize=4)  # a second question about the same video counts nothing again
def _lexicon(cues: tuple[Cue, ...]) -> _Lexicon:
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=_LETTERS, lowercase=False, norm=None)
    # A letter of no script in front keeps the vocabulary from being empty; no query has it.
    held = vectorizer.fit_transform(["\x00\x00\x00", *(_prepared(cue.text) for cue in cues)])[1:]
    held.data[:] = 1.0
    weights = np.append(vectorizer.idf_, 1.0 + np.log(2.0 + len(cues)))
    pairs = [
        i
        for i, (one, other) in enumerate(pairwise(cues))
        if one.source == other.source and 0 <= other.start - one.end + 1e-6 <= _SAME_SENTENCE
    ]
    return _Lexicon(
        vectorizer.build_analyzer(),
        vectorizer.vocabulary_,
        np.minimum(weights, _MOST_WEIGHT) ** 2,
        held.tocsr(),
        np.array(pairs, np.intp),
    )


def _share(lexicon: _Lexicon, query: str) -> Floats:
    """(n,) the share of the query's letter groups that each cue holds, rare groups weighing more."""
    groups = set(lexicon.groups(" ".join(content_words(query))))
    columns = np.array([lexicon.numbers.get(group, -1) for group in groups], np.intp)
    whole, known = lexicon.weights[columns].sum(), columns[columns >= 0]
    if not len(known):
        return np.zeros(lexicon.held.shape[0])
    held = lexicon.held[:, known]
    shares = np.asarray(held @ lexicon.weights[known]) / whole
    first, second = lexicon.pairs, lexicon.pairs + 1
    both = np.asarray(held[first].maximum(held[second]) @ lexicon.weights[known]) / whole
    better = np.where(shares[first] >= shares[second], first, second)
    np.maximum.at(shares, better, both)
    return np.asarray(shares, np.float64)


def _by_meaning(queries: Sequence[str], cues: Sequence[Cue], encoder: TextEncoder) -> Floats:
    """(n,) how far each cue stands out from neutral texts and the other cues, for the best query."""
    neutral = _rows(_Same(encoder), default_prompts().lines("neutral"))
    rows = _rows(_Same(encoder), tuple(cue.text[:_LONGEST] for cue in cues))
    wanted = unit_rows(_finite(encoder.embed_texts([text[:_LONGEST] for text in queries])))
    fits, others = wanted @ rows.T, wanted @ neutral.T
    every = np.concatenate([fits, others], axis=1)
    spread = np.maximum(every.std(axis=1, keepdims=True), _LEAST_SPREAD)
    return _ramp(((fits - np.median(every, axis=1, keepdims=True)) / spread).max(axis=0), *_DEVIATIONS)


class _Same:
    """An encoder as a key: the same object is the same key, whatever it says of equality itself."""

    def __init__(self, encoder: TextEncoder) -> None:
        self.encoder = encoder

    def __hash__(self) -> int:
        return id(self.encoder)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.encoder is other.encoder


@lru_cache(maxsize=4)
def _rows(same: _Same, texts: tuple[str, ...]) -> Floats:
    return np.asarray(unit_rows(_finite(same.encoder.embed_texts(list(texts)))))


def _finite(rows: ArrayLike) -> Floats:
    return np.nan_to_num(np.asarray(rows, np.float64))


def _ramp(values: ArrayLike, low: float, high: float) -> Floats:
    return np.asarray(np.clip((np.asarray(values, np.float64) - low) / (high - low), 0.0, 1.0))


def content_words(query: str) -> list[str]:
    """The words of a query but those that any question has, and those that ask for words.

    In lower case; of scripts without spaces, overlapping pairs of letters. None where it has no others.
    """
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    words = _prepared(_ASKING.sub(" ", _ASKS.sub(" ", query))).split()
    return [word for word in words if word not in ENGLISH_STOP_WORDS | _HELPING]


def _prepared(text: str) -> str:
    """Words in lower case; scripts without spaces as overlapping pairs of letters."""
    folded = unicodedata.normalize("NFKC", text[:_LONGEST]).casefold()
    return " ".join(_WORD.findall(_UNSPACED.sub(_pairs, folded)))


def _pairs(found: re.Match[str]) -> str:
    run = found[0]
    return f" {' '.join(run[i : i + 2] for i in range(max(1, len(run) - 1)))} "
