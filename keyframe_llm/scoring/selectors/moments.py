"""The default selector: moments that stand out for a text, lie apart and differ in appearance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.data import Scores
from keyframe_llm.options import SelectOptions
from keyframe_llm.scoring.choose import select
from keyframe_llm.scoring.keyscore import keyscore
from keyframe_llm.scoring.queries import Query
from keyframe_llm.scoring.selectors.ordered import Beside, by_order

if TYPE_CHECKING:
    from keyframe_llm.index import VideoIndex

__all__ = ["Chosen", "by_moments", "by_paper"]


Chosen = tuple[NDArray[np.intp], Scores, tuple[Beside, ...]]
"""(k,) ascending indices of candidates, the scores of all, and which are shown for their place in time."""


def by_moments(index: VideoIndex, query: Query, options: SelectOptions) -> Chosen:
    """Every part of the query scores by itself, less the text baseline; repeats wait.

    A query that states an order, such as what happens after something, is answered by that order.
    """
    ordered = by_order(index, query, options)
    if ordered is not None:
        return ordered
    rows = index.embedded()
    weights, pooling = options.score.weights, options.score.pooling
    scores = keyscore(rows, query.parts, weights=weights, pooling=pooling, baseline=query.baseline)
    return _selected(index, query, options, scores, rows), scores, ()


def by_paper(index: VideoIndex, query: Query, options: SelectOptions) -> Chosen:
    """KeyScore as published: one text, every candidate by its score alone."""
    rows = index.embedded()
    scores = keyscore(rows, query.mean, weights=options.score.weights, pooling=options.score.pooling)
    return _selected(index, query, options, scores, None), scores, ()


def _selected(
    index: VideoIndex,
    query: Query,
    options: SelectOptions,
    scores: Scores,
    features: NDArray[np.floating] | None,
) -> NDArray[np.intp]:
    choose = options.choose
    return select(
        scores,
        index.candidates.seconds,
        max_frames=choose.max_frames,
        duration_seconds=index.span_seconds,
        task=query.task,
        threshold=choose.threshold,
        min_gap_seconds=choose.min_gap_seconds,
        features=features,
        histograms=None if features is None else index.candidate_histograms,
        exclude_seconds=choose.exclude_seconds,
    )
