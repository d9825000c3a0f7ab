"""Whether a video shows what a text asks for at all.

KeyScore always has a best frame near 1, whatever is asked. Here the best frame is compared with neutral texts
(`prompts/neutral.txt`): by how many of their standard deviations does it fit the text better than it fits
them? That number means the same with every encoder, however narrow its cosines are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyframe_llm.arrays import unit_rows

__all__ = ["Found", "FoundWord", "found_in"]

FoundWord = Literal["yes", "maybe", "probably not there"]

# A logistic curve, fitted on texts about what clips show and do not show, both kinds counting alike: drawn
# clips with the embedded encoder, and the first half of real clips with a weak one (`keyframe-llm eval --on
# found` reports the others). The deviations at which both are as likely, and the slope there.
_MIDDLE, _SLOPE = 2.2, 1.1
_YES, _NOT_THERE = 0.7, 0.3
_FEWEST_NEUTRAL = 8  # fewer do not tell how much texts differ
_LEAST_SPREAD = 1e-3  # of a frame's cosines: an encoder that tells no texts apart must not stand out


@dataclass(frozen=True, slots=True)
class Found:
    """How likely it is that a video shows, says or writes what a text asks for."""

    score: float
    """0–1; calibrated for texts of which half are about something that is not there."""

    @property
    def word(self) -> FoundWord:
        """The score in words: `yes` from 0.7 on, `probably not there` below 0.3, else `maybe`."""
        return "yes" if self.score >= _YES else "maybe" if self.score >= _NOT_THERE else "probably not there"

    def __str__(self) -> str:
        return self.word


def found_in(
    frames: ArrayLike,
    parts: ArrayLike,
    neutral: ArrayLike,
    *,
    words: ArrayLike | None = None,
    asks_for_words: bool = False,
) -> Found | None:
    """Whether frames (K, D) show a text of P parts (P, D), compared with neutral texts (M, D).

    `words` are how well the text fits each of n cues (n,), 0–1: the better of pictures and words counts. A
    text that `asks_for_words` is judged by them alone. Of several parts the mean counts: half of a text that
    is there is `maybe`. None where nothing can be said: the encoder knows no word of the text, or too few of
    the neutral texts, or tells no texts apart.
    """
    said = None if words is None else float(np.max(np.asarray(words, np.float64), initial=0.0))
    if said is not None and asks_for_words:
        return Found(said)
    deviations = _deviations(*(_known(rows) for rows in (frames, parts, neutral)))
    if deviations is None:
        return None if said is None else Found(said)
    shown = 1.0 / (1.0 + math.exp(-_SLOPE * (deviations - _MIDDLE)))
    return Found(max(shown, said or 0.0))


def _deviations(
    frames: NDArray[np.float64], parts: NDArray[np.float64], neutral: NDArray[np.float64]
) -> float | None:
    """How far the best frame stands out for each part, in standard deviations; the mean over the parts."""
    if not len(parts) or len(neutral) < _FEWEST_NEUTRAL or not len(frames):
        return None
    usual = frames @ neutral.T
    spread = usual.std(axis=1)
    telling = spread > _LEAST_SPREAD
    if not telling.any():
        return None
    # A frame whose cosines hardly differ would stand out by little: it is measured as most frames are.
    spread = np.maximum(spread, np.median(spread[telling]))[telling]
    above = (frames[telling] @ parts.T - usual[telling].mean(axis=1, keepdims=True)) / spread[:, None]
    return float(above.max(axis=0).mean())


def _known(rows: ArrayLike) -> NDArray[np.float64]:
    """The rows that are not all zero, at unit length."""
    values = np.asarray(rows, np.float64)
    return np.asarray(unit_rows(values[np.linalg.norm(values, axis=1) > 0]))
