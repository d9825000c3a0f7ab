"""The rows of every table: each selector by name, on the same index and text, at most k frames out.

The rows of this package call its own stages. The KeyScore rows are those of the paper's Table 2, by its
method.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache

import numpy as np

from keyframe_llm.errors import OptionsError
from keyframe_llm.evaluation.dense import EmbeddedText, Picks
from keyframe_llm.index import VideoIndex
from keyframe_llm.index.reserve import closer, with_reserve
from keyframe_llm.options import ProposeOptions, SelectOptions, Task
from keyframe_llm.proposals.propose import candidates_of, propose
from keyframe_llm.scoring.queries import Query
from keyframe_llm.scoring.selectors import (
    PUBLISHED,
    QUERY_AGNOSTIC,
    QUERY_AWARE,
    STOCHASTIC,
    choose_frames,
    heeds_order,
    method_name,
    propose_options,
    splits_texts,
    uses_text,
)

__all__ = ["KEYSCORE_WEIGHTS", "ROWS", "STOCHASTIC", "TEXT_FREE", "choose", "describe", "proposed", "row_of"]

Row = Callable[[VideoIndex, EmbeddedText | None, int, int], Picks]
"""(dense index, text or None, k ≤ N, seed) → at most k different indices into the sampled frames."""

_REMEMBERED = 256  # videos whose proposals are remembered: retrieval comes back to each for every row
_THIRD = 1 / 3
KEYSCORE_WEIGHTS: Mapping[str, tuple[float, float, float]] = {
    "S": (1.0, 0.0, 0.0),
    "T": (0.0, 1.0, 0.0),
    "D": (0.0, 0.0, 1.0),
    "S+T": (0.5, 0.5, 0.0),
    "D+T": (0.0, 0.5, 0.5),
    "S+D": (0.5, 0.0, 0.5),
    "S+T+D": (_THIRD, _THIRD, _THIRD),
}
"""α, β, γ of Table 2's rows; the paper does not state them, so the parts of a row weigh the same."""


@lru_cache(maxsize=_REMEMBERED)
def proposed(index: VideoIndex, options: ProposeOptions) -> VideoIndex:
    """A dense index with the proposals and candidates that the package would have, their embeddings kept."""
    found = propose(index.histograms, index.seconds, options)
    candidates = candidates_of(found, index.histograms, options)
    rows = index.embedded()[candidates.indices]
    whole = replace(index, proposals=found, candidates=candidates, embeddings=rows)
    return with_reserve(whole, options) if options.candidates == "coarse" else whole


def row_of(options: SelectOptions, task: Task | None = "retrieval") -> Row:
    """A row that calls the package's own stages with these options; `task` None leaves the text out.

    Published selectors see every sampled frame, all others the candidates that the package would propose.
    """

    def row(index: VideoIndex, text: EmbeddedText | None, k: int, seed: int) -> Picks:
        wanted = options.replaced(max_frames=k, seed=seed)
        stage = propose_options(wanted)
        among = index if stage.candidates == "even" else proposed(index, stage)
        query = _query(text, wanted, task)
        if query is not None:
            among = closer(among, query, wanted)
        choice = choose_frames(among, query, wanted)
        return choice.candidates.indices[choice.chosen]

    return row


def _query(text: EmbeddedText | None, options: SelectOptions, task: Task | None) -> Query | None:
    method = options.choose.method
    if task is None or not uses_text(method):
        return None
    if text is None:
        raise OptionsError(f"{method_name(method)!r} is guided by a text; give its embedding")
    order = text.order if heeds_order(method) else None
    return Query(text.parts if splits_texts(method) else text.whole[None], text.baseline, task, order=order)


def _paper(parts: str) -> SelectOptions:
    return SelectOptions.paper(weights=KEYSCORE_WEIGHTS[parts], threshold=0.0)


def _temporal(index: VideoIndex, text: EmbeddedText | None, k: int, seed: int) -> Picks:
    """KeyScore(T) uses no text: with a zero one the other parts are flat, and have no weight."""
    zero = EmbeddedText.of(np.zeros(index.embedded().shape[1]))
    return row_of(_paper("T"))(index, zero, k, seed)


_DEFAULTS = SelectOptions()
ROWS: Mapping[str, Row] = {
    "keyframe-llm": row_of(_DEFAULTS),
    "keyframe-llm question": row_of(_DEFAULTS, "question"),
    "keyframe-llm no text": row_of(_DEFAULTS, None),
    **{name: row_of(SelectOptions(method=name)) for name in (*QUERY_AGNOSTIC, *QUERY_AWARE)},
    **{f"keyscore {parts}": row_of(_paper(parts)) for parts in KEYSCORE_WEIGHTS},
    "keyscore T": _temporal,
}
"""Every row by its name."""

TEXT_FREE = frozenset({*QUERY_AGNOSTIC, "keyscore T", "keyframe-llm no text"})
"""The rows that ask for no text: their frames are the same for every caption, so nothing can leak."""

_DESCRIPTIONS = {
    "keyframe-llm": "What this package does with a caption, by its defaults.",
    "keyframe-llm question": "What this package does with a question: a moment must stand out more.",
    "keyframe-llm no text": "What this package does with no text: the frames that cover the video best.",
}


def describe(name: str) -> str:
    """One line about a row."""
    if name not in ROWS:
        return "A selector of your own."
    if name in _DESCRIPTIONS:
        return _DESCRIPTIONS[name]
    if name.startswith("keyscore "):
        parts = name.removeprefix("keyscore ")
        return f"The paper's KeyScore({parts}): the k best of STACFP's single representatives, no gap."
    rule = PUBLISHED[name]
    return (rule.__doc__ or "").split("\n")[0]


def choose(name: str, index: VideoIndex, text: EmbeddedText | None = None, *, k: int, seed: int = 0) -> Picks:
    """Select at most k frames of a dense index by a row's name: indices into its frames, ascending.

    Raises `OptionsError` on an unknown name, a k below 1, or no text where the row is guided by one.
    """
    if name not in ROWS:
        raise OptionsError(f"selector is {name!r}; choose one of {', '.join(ROWS)}")
    if k < 1:
        raise OptionsError(f"k is {k!r}; give a whole number from 1")
    most = min(k, len(index.seconds))
    if name in TEXT_FREE:
        return _without_text(name, index, most, seed)
    return ROWS[name](index, text, most, seed)


@lru_cache(maxsize=_REMEMBERED)
def _without_text(name: str, index: VideoIndex, k: int, seed: int) -> Picks:
    """What a row that uses no text chooses: the same for every text, so it is chosen once."""
    return ROWS[name](index, None, k, seed)
