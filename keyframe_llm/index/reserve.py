"""Coarse to fine: few candidates cover a video for every text, more are embedded where a text fits.

The pictures of the candidates that do not cover a video are kept as JPEG, a reserve, and each is embedded
once, when a text asks for it. A text first has one more image embedded of each part of the video, then one
more of the half that it fits best, and of the best half of these, so that parts are compared by as many
images; each part of the text has its turn, so that none is lost beside one that fits everything; then the
frames beside those it would choose. Which ones depends on the index and the text alone, so the same text has
the same key frames whatever was asked before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.data import Proposals
from keyframe_llm.encoders.views import most_frames
from keyframe_llm.options import ProposeOptions, SelectOptions
from keyframe_llm.proposals.coarse import covering, likeness, step_of
from keyframe_llm.proposals.spacing import gap_of, unseen
from keyframe_llm.scoring.queries import Query
from keyframe_llm.scoring.selectors import choose_frames, propose_options

if TYPE_CHECKING:
    from keyframe_llm.index.video_index import VideoIndex

__all__ = ["Reserve", "closer", "with_all", "with_reserve"]

Rows = NDArray[Any]
_ROUND_SHARE = 0.6  # of the frames that may still be embedded for a text, a round of parts takes no more


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

    def rows(self, which: Sequence[int], embed: Callable[[Sequence[bytes]], Rows]) -> Rows:
        """(k, D) the embeddings of these frames; `embed` is given the pictures that there are none of."""
        with self._lock:
            new = [i for i in which if i not in self._rows]
            if new:
                rows = embed([self.pictures[i] for i in new])
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


def with_reserve(index: VideoIndex, stage: ProposeOptions) -> VideoIndex:
    """The same index with the candidates that cover the video; the others are its reserve."""
    found = index.candidates
    cover = covering(found, index.histograms, stage.max_images, most_frames(stage))
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


def with_all(index: VideoIndex) -> VideoIndex:
    """The same index with all of its reserve among the candidates, embedded where those are."""
    reserve = index.reserve
    if reserve is None:
        return index
    return replace(_with_reserved(index, reserve, range(len(reserve))), reserve=None)


def closer(
    index: VideoIndex, query: Query, options: SelectOptions, *, gap_seconds: float | None = None
) -> VideoIndex:
    """The same index with more candidates where the text fits; no image is embedded that was seen before.

    It ends where no frame is left beside those that would be chosen, as no frame near them can win, or where
    the encoder has seen `max_images` for this text; several views of a frame count as so many.
    """
    reserve, choose = index.reserve, options.choose
    if reserve is None:
        return index
    gap = gap_of(choose, index.span_seconds) if gap_seconds is None else gap_seconds
    left = unseen(reserve.seconds, choose.exclude_seconds, gap)
    left &= ~np.isin(reserve.seconds, index.candidates.seconds)  # the frame of a cue may be one of them
    if not unseen(index.candidates.seconds, choose.exclude_seconds, gap).any():
        return _with_reserved(index, reserve, np.flatnonzero(left).tolist())
    stage = propose_options(options)
    parts, most = _Parts(index, reserve, stage.max_images), most_frames(stage)
    texts = [replace(query, parts=part[None]) for part in query.parts]
    for count in (parts.count, parts.count // 2, parts.count // 4):
        totals = [choose_frames(index, text, options, gap_seconds=gap_seconds).scores.total for text in texts]
        few = min(count, int(_ROUND_SHARE * max(0, most - len(index.candidates))))
        new = parts.one_more(index.candidates.indices, np.array(totals), left, few)
        index = _with_reserved(index, reserve, new)
        left[new] = False
    while True:
        choice = choose_frames(index, query, options, gap_seconds=gap_seconds)
        beside = _beside(reserve.seconds, index.candidates.seconds, choice.candidates.seconds[choice.chosen])
        new = [i for i in beside if left[i]][: max(0, most - len(index.candidates))]
        if not new:
            return index
        index = _with_reserved(index, reserve, new)
        left[new] = False


class _Parts:
    """The parts of a video: one for each candidate that covers it, with the frames most like that one."""

    def __init__(self, index: VideoIndex, reserve: Reserve, max_images: int) -> None:
        self._frames, self._step = reserve.samples(index.seconds), step_of(index.seconds, max_images)
        self._colours, self._seconds = index.histograms[self._frames], reserve.seconds
        cover = index.candidates
        like = likeness(
            (self._colours, self._seconds), (index.candidate_histograms, cover.seconds), self._step
        )
        self._nearest = like.max(axis=1)
        self._part = np.zeros(len(index.seconds), np.intp)
        self._part[cover.indices] = np.arange(len(cover))
        self._part[self._frames] = like.argmax(axis=1)
        self.count = len(cover)

    def one_more(
        self, embedded: NDArray[np.intp], totals: NDArray[np.float64], left: NDArray[np.bool_], count: int
    ) -> list[int]:
        """In each of the `count` parts with the best frames, the frame of the reserve least like all before.

        `embedded` (K,) are the candidates as indices of samples, `totals` (P, K) their scores for each part
        of the text, whose best parts of the video come in turn; `left` (R,) which frames may be taken.
        """
        best = np.full((len(totals), self.count), -np.inf)
        for row, total in zip(best, totals, strict=True):
            np.maximum.at(row, self._part[embedded], total)
        turns = np.argsort(-np.round(best, 6), axis=1, kind="stable").T.ravel()
        new: list[int] = []
        for part in list(dict.fromkeys(turns.tolist()))[:count]:
            inside = np.flatnonzero(left & (self._part[self._frames] == part))
            if len(inside):
                new.append(int(inside[np.round(self._nearest[inside], 6).argmin()]))
        if new:
            added = self._colours[new], self._seconds[new]
            like = likeness((self._colours, self._seconds), added, self._step)
            self._nearest = np.maximum(self._nearest, like.max(axis=1))
        return sorted(new)


def _beside(
    reserve: NDArray[np.float64], known: NDArray[np.float64], chosen: NDArray[np.float64]
) -> list[int]:
    """The frames of the reserve with neither a candidate nor another of it between them and a chosen one."""
    wanted: set[int] = set()
    for second in chosen:
        for i in (int(np.searchsorted(reserve, second)) - 1, int(np.searchsorted(reserve, second, "right"))):
            if 0 <= i < len(reserve) and not np.any((known - second) * (known - reserve[i]) < 0):
                wanted.add(i)
    return [i for i in sorted(wanted) if not np.any(known == reserve[i])]


def _with_reserved(index: VideoIndex, reserve: Reserve, which: Sequence[int]) -> VideoIndex:
    if not len(which):
        return index
    indices = np.concatenate([index.candidates.indices, reserve.samples(index.seconds)[list(which)]])
    order = np.argsort(indices)
    labels = np.abs(index.seconds[:, None] - index.seconds[indices[order]]).argmin(axis=1)
    embeddings, pictures = index.embeddings, index.pictures
    if embeddings is not None:
        embeddings = np.concatenate([embeddings, reserve.rows(which, index.embed_pictures)])[order]
    elif pictures:
        both = [*pictures, *(reserve.pictures[i] for i in which)]
        pictures = tuple(both[i] for i in order)
    return replace(
        index,
        candidates=Proposals(index.seconds, labels, indices[order], index.candidates.silhouettes),
        embeddings=embeddings,
        pictures=pictures,
    )
