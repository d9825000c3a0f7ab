"""What the tables count: retrieval, classes, moments, answers.

Ties never help: where a wrong candidate scores as high as the right one, the right one comes last.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyframe_llm.errors import OptionsError

__all__ = ["chosen_option", "group_score", "hit_at_k", "macro_f1", "question_accuracy", "ranks"]

Floats = NDArray[np.float64]
Ranks = NDArray[np.intp]
Moments = Sequence[tuple[float, float]]
"""(start, end) in seconds, each end not before its start; they may overlap."""


def ranks(similarity: ArrayLike, relevant: ArrayLike) -> Ranks:
    """Rank, from 1, of the best relevant candidate of every query: (Q, C) and (Q, C) bool → (Q,).

    Any relevant candidate counts, and those that are relevant too do not stand in each other's way. Raises
    `OptionsError` on shapes that do not match, values that are not finite or a query with nothing relevant.
    """
    scores, right = np.asarray(similarity, np.float64), np.asarray(relevant, bool)
    if scores.ndim != 2 or scores.shape != right.shape or not np.all(np.isfinite(scores)):
        raise OptionsError(f"similarity is {scores.shape}, relevant {right.shape}; give two finite (Q, C)")
    if not np.all(right.any(axis=1)):
        raise OptionsError(
            f"query {int(np.argmin(right.any(axis=1)))} has no relevant candidate; leave it out"
        )
    best = np.where(right, scores, -np.inf).max(axis=1, keepdims=True)
    return np.asarray(((scores >= best) & ~right).sum(axis=1) + 1, np.intp)


def macro_f1(truth: Sequence[Any], predicted: Sequence[Any]) -> float:
    """Return the plain mean of the F1 of every class that occurs in `truth` or `predicted`."""
    from sklearn.metrics import f1_score

    _same_length(truth, predicted)
    return float(f1_score(list(truth), list(predicted), average="macro", zero_division=0.0))


def hit_at_k(picks: Sequence[ArrayLike], moments: Sequence[Moments], k: int) -> list[bool]:
    """Whether at least one of at most k frames lies inside a moment, for every sample; hit@k is the mean.

    `picks` holds the frames' times in seconds, in any order; ends count as inside. Raises `OptionsError` on
    more than k frames, so that a larger selection cannot pass for a smaller one.
    """
    _same_length(picks, moments)
    most = max(np.size(np.asarray(times)) for times in picks)
    if most > k:
        raise OptionsError(
            f"a selection has {most} frames; hit@{k} allows {k}, so select again with that budget"
        )
    return [bool(_inside(times, spans).any()) for times, spans in zip(picks, moments, strict=True)]


def chosen_option(reply: str, options: Sequence[str]) -> int | None:
    """Which option a reply means: its text, its letter (`B`, `(b)`, `B. red`, `the answer is B`), or neither.

    A reply that names several options, or none, chooses nothing (None).
    """
    words, answer = [_plain(option) for option in options], _plain(reply)
    if answer and answer in words:
        return words.index(answer)
    letter = re.fullmatch(r"\W*([A-Za-z])\W*", reply) or re.match(r"\W*([A-Z])\s*[.):]", reply)
    letter = letter or re.search(r"[Aa]nswer(?: is|:)\s*\(?([A-Z])\b", reply)
    if letter and ord(letter[1].upper()) - ord("A") < len(options):
        return ord(letter[1].upper()) - ord("A")
    named = [option for option in words if option and f" {option} " in f" {answer} "]
    longest = max(named, key=len, default="")
    return words.index(longest) if longest and all(option in longest for option in named) else None


def question_accuracy(
    replies: Sequence[str], answers: Sequence[str], options: Sequence[Sequence[str]] | None = None
) -> list[bool]:
    """Whether every reply is right; question accuracy is the mean.

    With `options` (one list a question, holding the answer) the option that the reply means must be the
    answer; where a list is empty, or there are none, the words must be the same but for case, articles and
    punctuation. Raises `OptionsError` where lengths differ or an answer is not among its options.
    """
    _same_length(replies, answers)
    choices = [()] * len(answers) if options is None else options
    _same_length(choices, answers)
    return [_right(*each) for each in zip(replies, answers, choices, strict=True)]


_LINKED: Mapping[str, tuple[float, ...]] = {
    "[1,2,3,4]": (0, 1 / 16, 4 / 16, 9 / 16, 1),
    "[1,[2,3],4]": (0, 1 / 12, 4 / 12, 7 / 12, 1),
    "[[1,2],3,4]": (0, 1 / 10, 2 / 10, 5 / 10, 1),
}
"""The score of a group of four dependent questions by how many steps of it are right from the first on."""


def group_score(right: Sequence[bool], structure: str) -> float:
    """Video-MME-v2's score of four questions on one video, 0–1.

    With the structure `relevance` it is (right answers / 4)². With a chain such as `[1,[2,3],4]` what counts
    is how far the answers are right from the first on; of two in brackets either is a step. Raises
    `OptionsError` on another number of questions or an unknown structure.
    """
    if len(right) != 4 or structure not in ("relevance", *_LINKED):
        raise OptionsError(
            f"a group has {len(right)} questions, structure {structure!r}; give four and a known one"
        )
    if structure == "relevance":
        return (sum(right) / 4) ** 2
    steps = next((i for i, ok in enumerate(right) if not ok), 4)
    if (structure == "[1,[2,3],4]" and steps == 1 and right[2]) or (
        structure == "[[1,2],3,4]" and steps == 0 and right[1]
    ):
        steps += 1
    return float(_LINKED[structure][steps])


def _right(reply: str, answer: str, options: Sequence[str]) -> bool:
    if not options:
        return _plain(reply) == _plain(answer)
    if answer not in options:
        raise OptionsError(f"the answer {answer!r} is not among its options {list(options)!r}; add it")
    chosen = chosen_option(reply, options)
    return chosen is not None and options[chosen] == answer


def _plain(text: str) -> str:
    """Lower case, words only, no articles."""
    words = re.sub(r"[^\w\s]", " ", text.casefold()).split()
    return " ".join(word for word in words if word not in ("a", "an", "the"))


def _inside(seconds: ArrayLike, moments: Moments) -> NDArray[np.bool_]:
    times = np.atleast_1d(np.asarray(seconds, np.float64))
    inside = np.zeros(len(times), bool)
    for start, end in moments:
        inside |= (times >= start) & (times <= end)
    return inside


def _same_length(first: Sequence[Any], second: Sequence[Any]) -> None:
    if len(first) != len(second) or len(first) == 0:
        raise OptionsError(
            f"there are {len(first)} and {len(second)} values; give as many of both, at least 1"
        )
