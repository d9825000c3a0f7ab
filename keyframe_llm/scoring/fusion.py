"""Words beside pictures: frames that a query's words point to take a part of the budget, and never all of it.

KeyScore always has a best frame, whatever is asked; the match of a query with cues is 0 where nothing said or
written has to do with it. So the two are not added up. The frames that the pictures chose stay, but for the
worst of them, which make room for the seconds in which the words are said. A choice that is there already
costs nothing. It works after every selector.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyframe_llm.errors import OptionsError
from keyframe_llm.words import Cue

__all__ = ["CueMatch", "Fusion", "fuse", "missing_seconds", "word_evidence"]

Floats = NDArray[np.float64]

NEAR_SECONDS = 1.0
"""A frame this far before or after a cue still shows its moment: speech is timed to half a second."""
# A match that moves a frame: about two fifths of what the query says. Of 132 captions of other footage 2
# match as much; a sentence that a recogniser of speech garbled, or ran together with the next, often does.
_LEAST = 0.35
_CERTAIN = 0.8  # a match that takes the only frame there is
_OF_BEST = 0.75  # of the best match, that others need beside it
_ROWS = 512  # cues compared with the candidates at once
_SHARE_OF_WORDS = 3  # every third frame, where the query does not ask for words


@dataclass(frozen=True, slots=True)
class CueMatch:
    """A cue that a query fits, and the key frame that shows its moment."""

    cue: int
    """Index into the cues."""
    score: float
    """How well the query fits, 0–1."""
    candidate: int
    """Index of the key frame into the candidates."""


@dataclass(frozen=True, slots=True, eq=False)
class Fusion:
    """Key frames chosen by pictures and words together."""

    chosen: NDArray[np.intp]
    """(k,) indices into the candidates, ascending."""
    evidence: Floats
    """(K,) how well the query fits what is said and written at each candidate, 0–1."""
    matches: tuple[CueMatch, ...]
    """The cues that key frames were chosen for, or that they show anyway; best first."""


def fuse(
    chosen: ArrayLike,
    total: ArrayLike,
    seconds: ArrayLike,
    cues: Sequence[Cue],
    match: ArrayLike,
    *,
    max_frames: int,
    asks_for_words: bool = False,
    allowed: ArrayLike | None = None,
) -> Fusion:
    """Give matched cues their frames: among what pictures `chosen` (k,), the lowest `total` makes room.

    `total` (K,) and `seconds` (K,) ascending are the candidates', `match` (n,) 0–1 the cues' (`match_cues`).
    Cues that match less than 0.35, or clearly less than the best one, get no frame. Where the query
    `asks_for_words` all frames but one may be theirs, two thirds of three; else every third one. Of a cue's
    candidates, the one that the pictures like best is taken. `allowed` (K,) leaves out candidates.

    Raises `OptionsError` on shapes that do not match.
    """
    scores, times, fits = _checked(total, seconds, cues, match)
    free = np.ones(len(times), np.bool_) if allowed is None else np.asarray(allowed, np.bool_)
    kept = sorted({int(one) for one in np.asarray(chosen, np.intp)})
    matches: list[CueMatch] = []
    for i in _strong(fits, max_frames, asks_for_words):
        if len({each.candidate for each in matches}) >= _most(fits, max_frames, asks_for_words):
            break
        frame = _shown(cues[i], times, kept, matches)
        if frame is None:
            frame = _frame_of(cues[i], scores, times, free)
        if frame is not None:
            matches.append(CueMatch(i, float(fits[i]), frame))
    for_words = {each.candidate for each in matches}
    frames = _within_budget(for_words, set(kept) - for_words, scores, max_frames)
    return Fusion(frames, word_evidence(times, cues, fits), tuple(matches))


def missing_seconds(
    seconds: ArrayLike,
    cues: Sequence[Cue],
    match: ArrayLike,
    *,
    max_frames: int,
    asks_for_words: bool = False,
) -> list[float]:
    """Times, ascending, at which `fuse` would need a candidate and has none: the middles of matched cues.

    At most `max_frames`. A caller that decodes these frames and adds them gives every matched cue its frame.
    """
    _, times, fits = _checked(seconds, seconds, cues, match)
    most = _most(fits, max_frames, asks_for_words)
    found = [
        (cues[i].start + cues[i].end) / 2
        for i in _strong(fits, max_frames, asks_for_words)[:most]
        if not _near(cues[i], times).any()
    ]
    return sorted(set(found))


def word_evidence(seconds: ArrayLike, cues: Sequence[Cue], match: ArrayLike) -> Floats:
    """(K,) the greatest match of the cues at each time, 0–1; a second before and after them it falls to 0."""
    times, fits = np.asarray(seconds, np.float64), np.asarray(match, np.float64)
    evidence = np.zeros(len(times))
    fitting = np.flatnonzero(fits > 0)
    for first in range(0, len(fitting), _ROWS):
        rows = fitting[first : first + _ROWS]
        starts, ends = np.array([(cues[i].start, cues[i].end) for i in rows]).T[:, :, None]
        away = np.maximum(np.maximum(starts - times, times - ends), 0.0)
        near = fits[rows, None] * np.clip(1.0 - away / NEAR_SECONDS, 0.0, 1.0)
        evidence = np.maximum(evidence, near.max(axis=0))
    return evidence


def _strong(fits: Floats, max_frames: int, asks_for_words: bool) -> list[int]:
    """The cues that may move a frame, best first, the earlier of equals."""
    if not len(fits) or _most(fits, max_frames, asks_for_words) == 0:
        return []
    order = np.argsort(-fits, kind="stable")
    return [int(i) for i in order if fits[i] >= max(_LEAST, _OF_BEST * fits[order[0]])]


def _most(fits: Floats, max_frames: int, asks_for_words: bool) -> int:
    """How many frames words may have."""
    best = float(fits.max(initial=0.0))
    if best < _LEAST:
        return 0
    if max_frames == 1:
        return int(asks_for_words or best >= _CERTAIN)
    others = max(1, max_frames // _SHARE_OF_WORDS)
    return max_frames - others if asks_for_words else others


def _near(cue: Cue, times: Floats) -> NDArray[np.bool_]:
    return np.asarray((times >= cue.start - NEAR_SECONDS) & (times <= cue.end + NEAR_SECONDS))


def _shown(cue: Cue, times: Floats, kept: Sequence[int], matches: Sequence[CueMatch]) -> int | None:
    """A frame chosen already: for another cue nearby, or by pictures while the cue is heard or seen."""
    for_words = [each.candidate for each in matches if _near(cue, times[each.candidate])]
    return next((i for i in [*for_words, *kept] if i in for_words or cue.start <= times[i] <= cue.end), None)


def _frame_of(cue: Cue, scores: Floats, times: Floats, free: NDArray[np.bool_]) -> int | None:
    """The best candidate within the cue, else the one nearest to its middle within a second around it."""
    middle = (cue.start + cue.end) / 2
    inside = free & (times >= cue.start) & (times <= cue.end)
    around = free & _near(cue, times)
    if inside.any():
        best = np.flatnonzero(inside & (scores >= scores[inside].max() - 1e-9))
        return int(best[np.abs(times[best] - middle).argmin()])
    if around.any():
        return int(np.where(around, np.abs(times - middle), np.inf).argmin())
    return None


def _within_budget(words: set[int], pictures: set[int], scores: Floats, max_frames: int) -> NDArray[np.intp]:
    """The frames of words, and as many of the pictures' best as the budget has left."""
    best = sorted(pictures, key=lambda i: (-scores[i], i))[: max(0, max_frames - len(words))]
    return np.array(sorted({*words, *best}), np.intp)


def _checked(
    total: ArrayLike, seconds: ArrayLike, cues: Sequence[Cue], match: ArrayLike
) -> tuple[Floats, Floats, Floats]:
    scores, times, fits = (np.asarray(values, np.float64) for values in (total, seconds, match))
    if fits.shape != (len(cues),):
        raise OptionsError(f"match is {fits.shape} for {len(cues)} cues; give one number for each")
    if scores.ndim != 1 or scores.shape != times.shape:
        raise OptionsError(f"total is {scores.shape} and seconds {times.shape}; give (K,) of both")
    return scores, times, fits
