"""The words around key frames as a text for the prompt: quoted, bounded, and named as data."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from keyframe_llm.errors import as_one_line
from keyframe_llm.prompts import Prompts, default_prompts
from keyframe_llm.words import Cue

__all__ = ["quoted_words", "told_cues", "with_words"]

NEAR_SECONDS = 5.0
"""Words are told where they begin or end this close to a key frame."""
_MOST_LETTERS = 1600  # about 400 tokens of English, less than one picture costs
_LONGEST_CUE = 300
_SAID = {"subtitle": "subtitle", "speech": "said", "screen": "written"}


def with_words(
    text: str,
    cues: Sequence[Cue],
    seconds: ArrayLike,
    *,
    matched: Iterable[int] = (),
    prompts: Prompts | None = None,
) -> str:
    """A prompt with the words around the key frames in front of it; as it is where there are none."""
    words = quoted_words(cues, seconds, matched=matched, prompts=prompts)
    return text if words is None else f"{words}\n\n{text}"


def quoted_words(
    cues: Sequence[Cue],
    seconds: ArrayLike,
    *,
    matched: Iterable[int] = (),
    prompts: Prompts | None = None,
) -> str | None:
    """What is said and written within 5 s of the key frames at `seconds` (k,), a line a cue, in time order.

    `matched` are indices of cues that a question fits: they come first where the text would get too long (at
    most 1,600 letters). Each cue is one JSON string of at most 300 letters, so that nothing in it ends the
    quotation. None where nothing is near.
    """
    kept = _told(cues, seconds, matched)
    if not kept:
        return None
    lines = "\n".join(kept[i] for i in sorted(kept))
    return (prompts or default_prompts()).text("words", lines=lines)


def told_cues(cues: Sequence[Cue], seconds: ArrayLike, *, matched: Iterable[int] = ()) -> list[int]:
    """The indices of the cues that `quoted_words` puts into the prompt, ascending."""
    return sorted(_told(cues, seconds, matched))


def _told(cues: Sequence[Cue], seconds: ArrayLike, matched: Iterable[int]) -> dict[int, str]:
    """The lines that are told, by the index of their cue."""
    times, first = np.asarray(seconds, np.float64), set(matched)
    away = {i: _away(cue, times) for i, cue in enumerate(cues)} if len(times) else {}
    near = [i for i in away if away[i] <= NEAR_SECONDS or i in first]
    kept: dict[int, str] = {}
    room = _MOST_LETTERS
    for i in sorted(near, key=lambda i: (i not in first, away[i], i)):
        line = _line(cues[i])
        if len(line) <= room:
            kept[i] = line
            room -= len(line)
    return kept


def _away(cue: Cue, times: np.ndarray) -> float:
    return float(np.maximum(np.maximum(cue.start - times, times - cue.end), 0.0).min())


def _line(cue: Cue) -> str:
    text = as_one_line(" ".join(cue.text.split()))
    short = text if len(text) <= _LONGEST_CUE else f"{text[:_LONGEST_CUE]}…"
    return f"{cue.start:.1f}–{cue.end:.1f} s, {_SAID[cue.source]}: {json.dumps(short, ensure_ascii=False)}"
