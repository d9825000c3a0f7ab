"""Text-to-video retrieval: a video is the mean of its key frames' embeddings, ranked by their similarity."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.arrays import unit_rows
from keyframe_llm.evaluation.dense import EmbeddedText, Picks
from keyframe_llm.evaluation.metrics import ranks
from keyframe_llm.evaluation.results import Table
from keyframe_llm.evaluation.selectors import choose
from keyframe_llm.index import VideoIndex

__all__ = ["pooled", "rank_videos"]


def pooled(index: VideoIndex, picks: Picks) -> NDArray[np.float64]:
    """(D,) the unit-length mean of the picked frames' embeddings."""
    return np.asarray(unit_rows(index.unit_embeddings[picks].mean(axis=0)))


def rank_videos(
    table: Table,
    row: tuple[str, int],
    indexes: Sequence[VideoIndex],
    queries: Sequence[EmbeddedText],
    owner: NDArray[np.intp],
    guides: Sequence[Sequence[EmbeddedText | None]],
    samples: Sequence[str],
) -> None:
    """Rank all videos for every text, and record whether the right one comes first.

    `row` is a selector and its budget. `owner` (T,) is the video of every text. `guides` holds for each video
    the texts that choose its frames: one for all queries, or one for each of them.
    """
    name, budget = row
    wanted = unit_rows(np.stack([query.whole for query in queries]))
    likeness = np.empty((len(queries), len(indexes)))
    shown: list[list[Picks]] = []
    for v, index in enumerate(indexes):
        found = [choose(name, index, text, k=budget, seed=v) for text in guides[v]]
        frames = np.stack([pooled(index, picks) for picks in found])
        likeness[:, v] = (wanted * frames).sum(axis=1)
        shown.append(found if len(found) == len(queries) else found * len(queries))
    places = ranks(likeness, owner[:, None] == np.arange(len(indexes)))
    for q, place in enumerate(places):
        v = int(owner[q])
        times = indexes[v].seconds[shown[v][q]]
        table.row(name, budget).add(samples[q], str(v), place == 1, times)
