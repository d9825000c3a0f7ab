"""Coarse to fine: few candidates cover a video for every text, more are embedded where a text fits.

Beside the frames that cover a video, a text seldom needs more than the neighbours of its best ones. So the
pictures of the other candidates are kept as JPEG, a reserve, and embedded when a text comes near them, each
at most once. Which ones a text asks for depends on the index and the text alone, so the same text has
the same key frames whatever was asked before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.data import Proposals
from keyframe_llm.errors import OptionsError
from keyframe_llm.jpeg import decode_jpeg
from keyframe_llm.options import SelectOptions
from keyframe_llm.proposals.densify import covering
from keyframe_llm.scoring.queries import Query
from keyframe_llm.scoring.selectors import choose_frames

if TYPE_CHECKING:
    from keyframe_llm.index.embedder import Embedder
    from keyframe_llm.index.video_index import VideoIndex

__all__ = ["Reserve", "closer", "with_reserve"]

Rows = NDArray[Any]


class Reserve:
    """Frames that may become candidates: their times, pictures, and the embeddings that there are of them."""

    def __init__(
        self, seconds: NDArray[np.float64], pictures: Sequence[bytes] = (), rows: Rows | None = None
    ) -> None:
        """`seconds` (R,) ascending, `pictures` R as JPEG, `rows` (R, D), NaN where there is none."""
        self.seconds = seconds
        self.pictures = tuple(pictures)
        known = () if rows is None else np.flatnonzero(np.isfinite(rows).all(axis=1)).tolist()
        self._rows: dict[int, Rows] = {} if rows is None else {i: rows[i] for i in known}
        self._kept = len(self._rows)
        self._lock = Lock()

    def samples(self, seconds: NDArray[np.float64]) -> NDArray[np.intp]:
        """(R,) where these frames stand among the samples at these (N,) seconds."""
        return np.searchsorted(seconds, self.seconds)

    def __len__(self) -> int:
        return len(self.seconds)

    def rows(self, which: Sequence[int], embedder: Embedder | None) -> Rows:
        """(k, D) the embeddings of these frames; the encoder is asked for those that there are none of."""
        with self._lock:
            new = [i for i in which if i not in self._rows]
            if new and embedder is None:
                raise OptionsError("this index has no encoder; make it with index_video(video, encoder=…)")
            if new and embedder is not None:
                rows = embedder.images([decode_jpeg(self.pictures[i]) for i in new])
                self._rows |= dict(zip(new, rows, strict=True))
            return np.stack([self._rows[i] for i in which])

    def new_rows(self) -> Rows | None:
        """(R, D) as given to a new reserve; None where no frame was embedded since the last call."""
        with self._lock:
            if len(self._rows) == self._kept:
                return None
            self._kept = len(self._rows)
            rows = np.full((len(self), len(next(iter(self._rows.values())))), np.nan, np.float32)
            for i, row in self._rows.items():
                rows[i] = row
            return rows


def with_reserve(index: VideoIndex, max_images: int) -> VideoIndex:
    """The same index with the candidates that cover the video; the others are its reserve."""
    found = index.candidates
    cover = covering(found, index.proposals.indices, index.histograms, max_images)
    others = np.setdiff1d(np.arange(len(found)), cover)
    if not len(others):
        return index
    pictures, rows = index.pictures, index.embeddings
    reserve = Reserve(
        found.seconds[others],
        [pictures[i] for i in others] if pictures else (),
        None if rows is None else rows[others],
    )
    return replace(index.only(cover), reserve=reserve)


def closer(
    index: VideoIndex, query: Query, options: SelectOptions, *, gap_seconds: float | None = None
) -> VideoIndex:
    """The same index with more candidates beside those that the text would choose, until these stay.

    The nearest frames of the reserve before and after each frame that would be chosen are embedded, then the
    text chooses again. It ends where none is left beside the chosen ones: no frame near them can win.
    """
    while index.reserve is not None:
        choice = choose_frames(index, query, options, gap_seconds=gap_seconds)
        beside = _beside(
            index.reserve.seconds, index.candidates.seconds, choice.candidates.seconds[choice.chosen]
        )
        if not beside:
            break
        index = _with_reserved(index, index.reserve, beside)
    return index


def _beside(
    reserve: NDArray[np.float64], known: NDArray[np.float64], chosen: NDArray[np.float64]
) -> list[int]:
    """The frames of the reserve with neither a candidate nor another of it between them and a chosen one."""
    wanted: set[int] = set()
    for second in chosen:
        place = int(np.searchsorted(reserve, second))
        for i in (place - 1, place):
            if 0 <= i < len(reserve) and not np.any((known - second) * (known - reserve[i]) < 0):
                wanted.add(i)
    return [i for i in sorted(wanted) if not np.any(known == reserve[i])]


def _with_reserved(index: VideoIndex, reserve: Reserve, which: Sequence[int]) -> VideoIndex:
    rows = reserve.rows(which, index.embedder)
    samples = reserve.samples(index.seconds)[list(which)]
    indices = np.concatenate([index.candidates.indices, samples])
    order = np.argsort(indices)
    labels = np.abs(index.seconds[:, None] - index.seconds[indices[order]]).argmin(axis=1)
    return replace(
        index,
        candidates=Proposals(index.seconds, labels, indices[order], index.candidates.silhouettes),
        embeddings=np.concatenate([index.embedded(), rows])[order],
    )
