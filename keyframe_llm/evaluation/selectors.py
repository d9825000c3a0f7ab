"""Every selector side by side: the same footage and text in, at most k frames out.

`SELECTORS[name](footage, text, k, seed)` returns indices in any order; `choose` checks what goes in and puts
what comes out in time order. The KeyScore rows are those of the paper's Table 2, by its exact method.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from keyframe_llm.data import Proposals
from keyframe_llm.errors import OptionsError
from keyframe_llm.evaluation import blind, guided
from keyframe_llm.evaluation.footage import Footage, Picks, Told
from keyframe_llm.options import SelectOptions, Task
from keyframe_llm.proposals.densify import with_more_frames
from keyframe_llm.proposals.stacfp import stacfp, usual_k_max
from keyframe_llm.scoring.choose import select
from keyframe_llm.scoring.keyscore import appearance_score, keyscore

__all__ = ["BLIND", "DRAWN", "KEYSCORE_WEIGHTS", "SELECTORS", "Footage", "Selector", "choose", "proposals"]

Selector = Callable[[Footage, ArrayLike | None, int, int], Picks]
"""(footage, text embedding (D,) or None, k ≤ N, seed) → at most k different indices into the footage."""

_KEPT = 256  # videos whose proposals are remembered: retrieval comes back to each for every row
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


@lru_cache(maxsize=_KEPT)
def proposals(footage: Footage, seed: int = 0) -> Proposals:
    """STACFP's proposals with its defaults, made once for all texts and rows."""
    return stacfp(footage.histograms, footage.seconds, seed=seed)


def _keyscore_row(parts: str) -> Selector:
    weights = KEYSCORE_WEIGHTS[parts]

    def row(footage: Footage, text: ArrayLike | None, k: int, seed: int) -> Picks:
        # T asks for no text: with a zero one the other parts are flat, and weigh nothing.
        query = np.zeros(footage.embeddings.shape[1]) if parts == "T" else footage.query(text)
        found = proposals(footage, seed)
        scores = keyscore(footage.embeddings[found.indices], query, weights=weights)
        best = select(
            scores, found.seconds, max_frames=k, duration_seconds=None, threshold=0.0, min_gap_seconds=0.0
        )
        return found.indices[best]

    row.__doc__ = f"The paper's KeyScore({parts}): the k best of STACFP's single representatives, no gap."
    return row


@lru_cache(maxsize=_KEPT)
def _more_proposals(footage: Footage, seed: int) -> Proposals:
    options = SelectOptions()
    k_max = min(options.max_images, usual_k_max(footage.seconds))
    found = stacfp(footage.histograms, footage.seconds, k_max=k_max, seed=seed)
    return with_more_frames(found, footage.histograms, options.max_images)


def shipped(footage: Footage, text: ArrayLike | None, k: int, seed: int) -> Picks:
    """What this package does with a caption, by its defaults; it looks only at frames it would embed."""
    return _shipped(footage, text, k, seed, "retrieval")


def shipped_for_questions(footage: Footage, text: ArrayLike | None, k: int, seed: int) -> Picks:
    """What this package does with a question: as with a caption, but a moment must stand out more."""
    return _shipped(footage, text, k, seed, "question")


def _shipped(footage: Footage, text: ArrayLike | None, k: int, seed: int, task: Task) -> Picks:
    guides = text.parts if isinstance(text, Told) else footage.query(text)
    found, options = _more_proposals(footage, seed), SelectOptions()
    rows = footage.embeddings[found.indices]
    scores = keyscore(rows, guides, weights=options.weights, pooling=options.pooling, plain=footage.plain)
    length = _span(footage)
    best = select(scores, found.seconds, max_frames=k, duration_seconds=length, task=task, features=rows)
    return found.indices[best]


def shipped_without_text(footage: Footage, text: ArrayLike | None, k: int, seed: int) -> Picks:
    """What this package does with no text, by its defaults: the frames that cover the video best."""
    found = proposals(footage, seed)
    rows, sizes = footage.histograms[found.indices], np.bincount(found.labels)
    scores = appearance_score(rows, sizes)
    best = select(
        scores,
        found.seconds,
        max_frames=k,
        duration_seconds=_span(footage),
        task="summary",
        features=rows,
        sizes=sizes,
    )
    return found.indices[best]


def _span(footage: Footage) -> float:
    """Length in seconds of what was sampled, the last frame included."""
    first, last = footage.seconds[[0, -1]]
    return float(last - first) * len(footage) / max(1, len(footage) - 1)


SELECTORS: Mapping[str, Selector] = {
    "keyframe-llm": shipped,
    "keyframe-llm question": shipped_for_questions,
    "keyframe-llm no text": shipped_without_text,
    "uniform": blind.uniform,
    "uniform-centres": blind.uniform_centres,
    "random": blind.by_chance,
    "scfp": blind.colour_clusters,
    "katna": blind.katna,
    "stacfp": blind.spacetime_clusters,
    "histogram-difference": blind.histogram_difference,
    "vsumm": blind.vsumm,
    "top-k": guided.top_k,
    "top-k-gap": guided.top_k_with_gap,
    "mmr": guided.mmr,
    "aks": guided.aks,
    "bolt": guided.bolt,
    "mdp3": guided.mdp3,
    "q-frame": guided.q_frame,
    "focus": guided.focus,
    **{f"keyscore {parts}": _keyscore_row(parts) for parts in KEYSCORE_WEIGHTS},
}

BLIND = frozenset(
    {"uniform", "uniform-centres", "random", "scfp", "katna", "stacfp", "histogram-difference", "vsumm"}
    | {"keyscore T", "keyframe-llm no text"}
)
"""The rows that ask for no text: their frames are the same for every caption, so nothing can leak."""

DRAWN = frozenset({"random", "q-frame", "focus"})
"""The rows that draw lots: report them as the mean of ten seeds or more."""


def choose(name: str, footage: Footage, text: ArrayLike | None = None, *, k: int, seed: int = 0) -> Picks:
    """Select at most k frames by name: indices into the footage, ascending, at least one.

    Raises `OptionsError` on an unknown name, a k below 1, or no text where the selector is guided by one.
    """
    if name not in SELECTORS:
        raise OptionsError(f"selector is {name!r}; choose one of {', '.join(SELECTORS)}")
    if k < 1:
        raise OptionsError(f"k is {k!r}; give a whole number from 1")
    return np.sort(SELECTORS[name](footage, text, min(k, len(footage)), seed)).astype(np.intp)
