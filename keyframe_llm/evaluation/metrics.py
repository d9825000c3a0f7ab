"""What the tables count: retrieval, classes, moments, answers.

Ties never help: where a wrong candidate scores as high as the right one, the right one comes last.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyframe_llm.errors import OptionsError
from keyframe_llm.scoring.choose import average_selected_frames, frame_reduction_rate

__all__ = [
    "Retrieval",
    "accuracy",
    "average_selected_frames",
    "chosen_option",
    "frame_reduction_rate",
    "frame_windows",
    "hit_at_k",
    "macro_f1",
    "mean_reciprocal_rank",
    "moment_precision",
    "question_accuracy",
    "ranks",
    "recall_at",
    "retrieval",
    "temporal_iou",
    "top_k_accuracy",
]

Floats = NDArray[np.float64]
Ranks = NDArray[np.intp]
Moments = Sequence[tuple[float, float]]
"""(start, end) in seconds, each end not before its start; they may overlap."""


@dataclass(frozen=True, slots=True, eq=False)
class Retrieval:
    """The rank, from 1, of the right answer to every query."""

    text_to_video: Ranks
    """(T,) for every text, the rank of its video."""
    video_to_text: Ranks
    """(V,) for every video that has a text, the rank of its best text."""

    def figures(self) -> dict[str, float]:
        """R@1, R@5, R@10 and MRR, 0–1, both ways: `t2v_r1` … `t2v_mrr`, `v2t_r1` … `v2t_mrr`."""
        table: dict[str, float] = {}
        for way, found in (("t2v", self.text_to_video), ("v2t", self.video_to_text)):
            table.update({f"{way}_r{k}": recall_at(found, k) for k in (1, 5, 10)})
            table[f"{way}_mrr"] = mean_reciprocal_rank(found)
        return table


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


def retrieval(similarity: ArrayLike, video_of_text: ArrayLike) -> Retrieval:
    """Rank both ways: `similarity` (T, V) of every text with every video, `video_of_text` (T,) 0 … V-1.

    A video with several texts is found by each of them, and finds any of them. Videos without a text are
    only distractors. Raises `OptionsError` on shapes or numbers that do not match.
    """
    scores, owner = np.asarray(similarity, np.float64), np.asarray(video_of_text)
    if scores.ndim != 2 or owner.shape != scores.shape[:1] or not np.issubdtype(owner.dtype, np.integer):
        raise OptionsError(f"video_of_text is {owner.shape} {owner.dtype}; give a whole number for each text")
    if len(owner) == 0 or owner.min() < 0 or owner.max() >= scores.shape[1]:
        raise OptionsError(f"video_of_text must lie in 0 … {scores.shape[1] - 1}, one for each text")
    right = owner[:, None] == np.arange(scores.shape[1])
    asked = right.any(axis=0)
    return Retrieval(ranks(scores, right), ranks(scores.T[asked], right.T[asked]))


def recall_at(found: ArrayLike, k: int) -> float:
    """Return R@k: the share of ranks (N,) that are at most k."""
    return float(np.mean(_some("ranks", found) <= k))


def mean_reciprocal_rank(found: ArrayLike) -> float:
    """Return MRR: the mean of 1 / rank over ranks (N,), each from 1."""
    return float(np.mean(1.0 / _some("ranks", found)))


def accuracy(truth: Sequence[Any], predicted: Sequence[Any]) -> float:
    """Return the share of labels that are the true ones; `OptionsError` where the lengths differ."""
    _same_length(truth, predicted)
    return float(np.mean([t == p for t, p in zip(truth, predicted, strict=True)]))


def macro_f1(truth: Sequence[Any], predicted: Sequence[Any]) -> float:
    """Return the plain mean of the F1 of every class that occurs in `truth` or `predicted`."""
    from sklearn.metrics import f1_score

    _same_length(truth, predicted)
    return float(f1_score(list(truth), list(predicted), average="macro", zero_division=0.0))


def top_k_accuracy(truth: ArrayLike, scores: ArrayLike, k: int = 5) -> float:
    """Return the share of samples whose class `truth` (N,) is among the k best of `scores` (N, C)."""
    classes, table = np.asarray(truth), np.asarray(scores, np.float64)
    if table.ndim != 2 or classes.shape != table.shape[:1] or classes.min() < 0:
        raise OptionsError(f"truth is {classes.shape}, scores {table.shape}; give class numbers and (N, C)")
    return recall_at(ranks(table, classes[:, None] == np.arange(table.shape[1])), k)


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


def moment_precision(seconds: ArrayLike, moments: Moments) -> float:
    """Return the share of frames that lie inside a moment: what of the budget was not wasted; 0 for none."""
    inside = _inside(seconds, moments)
    return float(inside.mean()) if len(inside) else 0.0


def temporal_iou(predicted: Moments, truth: Moments) -> float:
    """Return seconds in both over seconds in either, 0–1; overlaps count once, nothing at all is 0."""
    ours, theirs = _union(predicted), _union(truth)
    both = sum(max(0.0, min(b, d) - max(a, c)) for a, b in ours for c, d in theirs)
    either = sum(b - a for a, b in [*ours, *theirs]) - both
    return both / either if either > 0 else 0.0


def frame_windows(
    seconds: ArrayLike, width_seconds: float, duration_seconds: float
) -> list[tuple[float, float]]:
    """Return what frames stand for: `width_seconds` around each, cut to 0 … `duration_seconds`.

    A moment is then predicted by its key frames: `temporal_iou(frame_windows(…), moments)`.
    """
    if not (width_seconds > 0 and duration_seconds > 0):
        raise OptionsError(f"width is {width_seconds!r}, duration {duration_seconds!r}; give numbers above 0")
    half = width_seconds / 2
    return [
        (float(max(0.0, t - half)), float(min(duration_seconds, t + half)))
        for t in np.asarray(seconds, np.float64)
    ]


def chosen_option(reply: str, options: Sequence[str]) -> int | None:
    """Which option a reply means: its text, its letter (`B`, `(b)`, `B. red`, `the answer is B`), or neither.

    A reply that names several options, or none, chooses nothing (None).
    """
    plain, said = [_plain(option) for option in options], _plain(reply)
    if said and said in plain:
        return plain.index(said)
    letter = re.fullmatch(r"\W*([A-Za-z])\W*", reply) or re.match(r"\W*([A-Z])\s*[.):]", reply)
    letter = letter or re.search(r"[Aa]nswer(?: is|:)\s*\(?([A-Z])\b", reply)
    if letter and ord(letter[1].upper()) - ord("A") < len(options):
        return ord(letter[1].upper()) - ord("A")
    named = [option for option in plain if option and f" {option} " in f" {said} "]
    longest = max(named, key=len, default="")
    return plain.index(longest) if longest and all(option in longest for option in named) else None


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


def _union(moments: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    merged: list[tuple[float, float]] = []
    for start, end in sorted(moments):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _some(name: str, values: ArrayLike) -> Floats:
    numbers = np.asarray(values, np.float64)
    if numbers.ndim != 1 or len(numbers) == 0 or numbers.min() < 1:
        raise OptionsError(f"{name} are {values!r}; give at least one whole number from 1")
    return numbers


def _same_length(first: Sequence[Any], second: Sequence[Any]) -> None:
    if len(first) != len(second) or len(first) == 0:
        raise OptionsError(
            f"there are {len(first)} and {len(second)} values; give as many of both, at least 1"
        )
