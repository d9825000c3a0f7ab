"""Every way to choose key frames: the default, the paper's, published ones by name, one's own function."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from numbers import Integral
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyframe_llm.data import Proposals, Scores
from keyframe_llm.errors import OptionsError, shortened
from keyframe_llm.options import Candidates, ProposeOptions, SelectOptions
from keyframe_llm.proposals.propose import seconds_shown
from keyframe_llm.proposals.spacing import gap_of
from keyframe_llm.scoring.choose import checked_unseen
from keyframe_llm.scoring.cover import cover, share_scores
from keyframe_llm.scoring.keyscore import keyscore
from keyframe_llm.scoring.queries import Query
from keyframe_llm.scoring.selectors import logic, query_agnostic, query_aware, segments, spread
from keyframe_llm.scoring.selectors.moments import Chosen, by_moments, by_paper
from keyframe_llm.scoring.selectors.ordered import Beside

if TYPE_CHECKING:
    from keyframe_llm.index import VideoIndex

__all__ = [
    "PUBLISHED",
    "QUERY_AGNOSTIC",
    "QUERY_AWARE",
    "STOCHASTIC",
    "Beside",
    "Choice",
    "Selector",
    "choose_frames",
    "chooses_proposals",
    "heeds_order",
    "method_name",
    "needs_sharpness",
    "propose_options",
    "selector_names",
    "splits_texts",
    "uses_baseline",
    "uses_text",
]

Selector = Callable[["VideoIndex", "NDArray[np.floating] | None", int], ArrayLike]
"""One's own selector: (index, texts (P, D) or None, budget k) → at most k indices into `index.candidates`."""

Published = Callable[["VideoIndex", "ArrayLike | None", int, int], "NDArray[np.intp]"]
"""A published one: (index, text (D,) or None, k, seed) → at most k indices into `index.candidates`.

Those of `_BY_PARTS` get the texts' parts, (P, D).
"""


class Choice(NamedTuple):
    """What a selector chose, and from what."""

    candidates: Proposals
    """The K frames there were to choose from."""
    chosen: NDArray[np.intp]
    """(k,) indices into `candidates`, ascending."""
    scores: Scores
    """What chose: KeyScores, similarities to the text, or shares of the video."""
    beside: tuple[Beside, ...] = ()
    """Those that are shown for their place in time, where the text states one."""


_KEYSCORE: Mapping[str, Callable[[VideoIndex, Query, SelectOptions], Chosen]] = {
    "moments": by_moments,
    "paper": by_paper,
}
QUERY_AGNOSTIC: Mapping[str, Published] = {
    "uniform": query_agnostic.uniform,
    "uniform-centres": query_agnostic.uniform_centres,
    "random": query_agnostic.random_frames,
    "scfp": query_agnostic.colour_clusters,
    "katna": query_agnostic.katna,
    "stacfp": query_agnostic.spacetime_clusters,
    "histogram-difference": query_agnostic.histogram_difference,
    "vsumm": query_agnostic.vsumm,
}
"""Published selectors that see no text."""
QUERY_AWARE: Mapping[str, Published] = {
    "top-k": query_aware.top_k,
    "top-k-gap": query_aware.top_k_with_gap,
    "mmr": query_aware.mmr,
    "aks": query_aware.aks,
    "bolt": query_aware.bolt,
    "mdp3": query_aware.mdp3,
    "q-frame": query_aware.q_frame,
    "focus": query_aware.focus,
    "wfs-sb": segments.wfs_sb,
    "dig": segments.dig,
    "tass": spread.tass,
    "adard-key": spread.adard_key,
    "himu-seq": logic.himu_seq,
    "himu-right-after": logic.himu_right_after,
    "toolmerge-or": logic.toolmerge_or,
    "toolmerge-and": logic.toolmerge_and,
}
"""Published selectors guided by the similarity of frames and text."""
PUBLISHED: Mapping[str, Published] = {**QUERY_AGNOSTIC, **QUERY_AWARE}
"""Both kinds by name."""
_BY_PARTS = frozenset({"himu-seq", "himu-right-after", "toolmerge-or", "toolmerge-and"})
STOCHASTIC = frozenset({"random", "q-frame", "focus"})
"""Those that draw at random: report them as the mean of ten seeds or more."""


@dataclass(frozen=True, slots=True)
class _Traits:
    """What a method asks of the stages before it."""

    candidates: Candidates
    uses_text: bool = True


def selector_names() -> tuple[str, ...]:
    """The names that `method` takes."""
    return (*_KEYSCORE, *QUERY_AGNOSTIC, *QUERY_AWARE)


def method_name(method: str | Callable[..., Any]) -> str:
    """What a method is called: its name, or that of the function."""
    return method if isinstance(method, str) else getattr(method, "__name__", type(method).__name__)


def uses_text(method: str | Callable[..., Any]) -> bool:
    """Whether a text moves the choice; where it does not, no encoder is needed."""
    return _traits(method).uses_text


def splits_texts(method: str | Callable[..., Any]) -> bool:
    """Whether the parts of a text score by themselves."""
    return isinstance(method, str) and (method == "moments" or method in _BY_PARTS)


def uses_baseline(method: str | Callable[..., Any]) -> bool:
    """Whether a text is compared with the text baseline; where it is not, none is computed."""
    return method == "moments"


def heeds_order(method: str | Callable[..., Any]) -> bool:
    """Whether words of order in a text move the choice."""
    return method == "moments"


def needs_sharpness(method: str | Callable[..., Any]) -> bool:
    """Whether the sharpness of the samples has to be measured."""
    return method == "katna"


def propose_options(options: SelectOptions) -> ProposeOptions:
    """What the stage of proposals is given: its options, with the candidates that the method asks for."""
    propose = options.propose
    if propose.candidates is not None:
        return propose
    wanted = _traits(options.choose.method).candidates
    if wanted in ("coarse", "diverse") and propose.proposer != "stacfp":
        wanted = "representatives"
    return replace(propose, candidates=wanted)


def chooses_proposals(method: str | Callable[..., Any], *, has_text: bool) -> bool:
    """Whether a method chooses among an index's proposals: KeyScore's methods do where there is no text."""
    return not has_text and isinstance(method, str) and method in _KEYSCORE


def choose_frames(
    index: VideoIndex, query: Query | None, options: SelectOptions, *, gap_seconds: float | None = None
) -> Choice:
    """Choose among an index's candidates; with no text, or a method that uses none, `query` is None.

    With no text the methods of this package choose among `index.proposals` instead. `gap_seconds` takes the
    place of the options' gap. Raises `OptionsError` on a method that is unknown, that needs a text and has
    none, or on a function that returns anything but such indices.
    """
    method = options.choose.method
    traits = _traits(method)
    if isinstance(method, str) and method in _KEYSCORE:
        kept = options if gap_seconds is None else options.replaced(min_gap_seconds=gap_seconds)
        if query is not None:
            return Choice(index.candidates, *_KEYSCORE[method](index, query, kept))
        return _covering(index, kept)
    if query is None and method in QUERY_AWARE:
        raise OptionsError(
            f"method {method_name(method)!r} is guided by a text; give a caption or a question"
        )
    return _by_rule(index, query if traits.uses_text else None, options, gap_seconds)


def _traits(method: str | Callable[..., Any]) -> _Traits:
    if not isinstance(method, str):
        return _Traits("diverse")
    if method == "moments":
        return _Traits("coarse")
    if method == "paper":
        return _Traits("representatives")
    if method in QUERY_AGNOSTIC or method in QUERY_AWARE:
        return _Traits("even", method in QUERY_AWARE)
    raise OptionsError(
        f"method is {method!r}; choose one of {', '.join(selector_names())}, or give a function"
    )


def _covering(index: VideoIndex, options: SelectOptions) -> Choice:
    """With no text: the proposals that together stand for the whole video."""
    found, choose = index.proposals, options.choose
    chosen, scores = cover(
        found.seconds,
        index.histograms[found.indices],
        seconds_shown(found),
        max_frames=choose.max_frames,
        gap_seconds=gap_of(choose, index.span_seconds),
        least_share=choose.threshold,
        exclude_seconds=choose.exclude_seconds,
    )
    return Choice(found, chosen, scores)


def _by_rule(
    index: VideoIndex, query: Query | None, options: SelectOptions, gap_seconds: float | None
) -> Choice:
    """A published rule or one's own, among the candidates that were not excluded."""
    choose = options.choose
    for name in ("threshold", "min_gap_seconds"):
        if getattr(choose, name) is not None:
            raise OptionsError(
                f"method {method_name(choose.method)!r} has a rule of its own; leave out {name}"
            )
    gap = gap_of(choose, index.span_seconds) if gap_seconds is None else gap_seconds
    allowed = np.flatnonzero(checked_unseen(index.candidates.seconds, choose.exclude_seconds, gap))
    left = index if len(allowed) == len(index.candidates) else index.only(allowed)
    picks = allowed[_picks(left, query, options)]
    if query is not None:
        scores = keyscore(index.embedded(), query.mean, weights=(1.0, 0.0, 0.0))
        return Choice(index.candidates, picks, scores)
    found = index.candidates
    sizes, histograms = seconds_shown(found), index.candidate_histograms
    return Choice(found, picks, share_scores(picks.tolist(), found.seconds, histograms, sizes))


def _picks(index: VideoIndex, query: Query | None, options: SelectOptions) -> NDArray[np.intp]:
    method, k = options.choose.method, min(options.choose.max_frames, len(index.candidates))
    returned: Any
    if isinstance(method, str):
        rule = PUBLISHED[method]
        text = None if query is None else query.parts if method in _BY_PARTS else query.mean
        returned = rule(index, text, k, options.propose.seed)
    else:
        returned = method(index, None if query is None else query.parts, k)
    return _checked_picks(returned, method_name(method), k, len(index.candidates))


def _checked_picks(returned: Any, name: str, k: int, count: int) -> NDArray[np.intp]:
    """What a selector returned as (1 … k,) ascending indices, each once; raises `OptionsError` where not."""
    values = returned.tolist() if hasattr(returned, "tolist") else returned
    picks: list[Any] = list(values) if isinstance(values, Iterable) else []
    whole = all(isinstance(one, Integral) and not isinstance(one, bool) for one in picks)
    if not whole or not 0 < len(set(picks)) <= k or not all(0 <= one < count for one in picks):
        raise OptionsError(
            f"the selector {name!r} returned {shortened(values)}; return 1 to {k} indices from 0 to "
            f"{count - 1} into index.candidates"
        )
    return np.array(sorted(set(picks)), np.intp)
