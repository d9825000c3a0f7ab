"""Order words as logic: a frame of the anchor, and frames right after it, or right before it.

HiMu's RIGHT_AFTER multiplies a frame's truth with that of the causes before it, which decays with the time
between. So does this rule; time counts from the end of the place that an anchor shows, and what is looked for
lies in the places behind it. Where only the anchor is named, those places themselves are what is looked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.arrays import unit_rows
from keyframe_llm.data import Scores
from keyframe_llm.options import SelectOptions
from keyframe_llm.proposals.spacing import SAME_SECONDS, gap_of
from keyframe_llm.scoring.choose import SAME_COLOURS, checked_unseen, phases, steps_of
from keyframe_llm.scoring.found import found_in
from keyframe_llm.scoring.keyscore import keyscore
from keyframe_llm.scoring.order import Direction
from keyframe_llm.scoring.queries import Query
from keyframe_llm.scoring.selectors.logic import decayed

if TYPE_CHECKING:
    from keyframe_llm.index import VideoIndex

__all__ = ["Beside", "by_order"]

Floats = NDArray[np.float64]

# Chosen on drawn clips and on real clips of the first half; docs/evaluation.md has others.
_NEW_LOOKS = 0.1  # neighbours show another place where their cosine, less the video's mean, is lower
_AN_ANCHOR = 0.85  # of the way from the mean score to the best: frames that may be the anchor of a target
_NO_TARGET, _A_TARGET = 0.4, 0.7  # of that way: where the truth of a target begins, and where it is full
_DECAY_SECONDS = 20.0  # HiMu's half a second holds for effects that follow at once
_DECAY_SHARE = 0.1  # of the video, from its start or end
_SOON_SECONDS = 8.0  # a place is shown by a frame of its first seconds


class Beside(NamedTuple):
    """A key frame that is shown for its place in time."""

    frame: int
    """Index into the candidates."""
    anchor: int | None
    """The frame that it follows or precedes; None: the start of the video (`after`), or its end."""
    direction: Direction


def by_order(
    index: VideoIndex, query: Query, options: SelectOptions
) -> tuple[NDArray[np.intp], Scores, tuple[Beside, ...]] | None:
    """Choose frames by the order that the query states: (k,) indices, ascending, scores, and why.

    With a budget above 1, one of them shows the anchor. A frame's score is how well it fits the anchor or, if
    more, how well it follows (precedes) it. None where the query states no order, where its anchor, or a
    target without one, is not found, and where no frame is left on that side.
    """
    order = query.order
    if order is None:
        return None
    anchor, target = (_scores(index, query, options, row) for row in (order.anchor, order.target))
    needed = (order.anchor, anchor) if order.anchor is not None else (order.target, target)
    if (needed[0] is None) != (needed[1] is None):
        return None
    line = _line(index, options, backwards=order.direction == "before")
    along = None if anchor is None else anchor.total[line.at]
    found = None if target is None else _targets(line, along, target.total[line.at])
    if found is None:
        found = _next_places(line, along, options.choose.max_frames)
    total = found.evidence if along is None else np.maximum(along, found.evidence)
    kept = _within_budget(line, found, total, options)
    beside = _beside(line, found, kept, order.direction)
    if not beside:
        return None
    scores = replace(
        anchor or target or keyscore(index.embedded(), query.mean),
        total=total[line.at],  # an order that is its own inverse
    )
    return np.sort(line.at[kept]), scores, beside


def _scores(
    index: VideoIndex, query: Query, options: SelectOptions, row: NDArray[np.floating] | None
) -> Scores | None:
    """KeyScores for one text; None where there is none, no word of it is known, or it is not found."""
    if row is None or not np.any(row):
        return None
    rows, score = index.embedded(), options.score
    if query.neutral is not None:
        found = found_in(rows, row[None], query.neutral)
        if found is not None and found.word == "probably not there":
            return None
    return keyscore(rows, row, weights=score.weights, pooling=score.pooling, baseline=query.baseline)


@dataclass(frozen=True, slots=True, eq=False)
class _Line:
    """The candidates in the direction of an order: as they are, or for "before" the last one first."""

    at: NDArray[np.intp]
    """(K,) which candidate each is."""
    times: Floats
    """(K,) ascending, seconds; backwards they are below 0."""
    place: NDArray[np.intp]
    """(K,) ascending, the number of the place that each shows."""
    allowed: NDArray[np.bool_]
    """(K,) which were not seen already."""

    def end(self, frame: int | None) -> float:
        """When the place that a frame shows ends; None: before all places."""
        if frame is None:
            return float(self.times[0]) - SAME_SECONDS
        return float(self.times[int(np.searchsorted(self.place, self.place[frame], "right")) - 1])

    def shown(self, place: int) -> int | None:
        """The frame that shows a place: the middle of its first seconds; None where all were seen."""
        frames = np.flatnonzero(self.place == place)
        start, end = self.times[frames[0]], min(self.times[frames[-1]], self.times[frames[0]] + _SOON_SECONDS)
        free = frames[self.allowed[frames]]
        return int(free[np.abs(self.times[free] - (start + end) / 2).argmin()]) if len(free) else None

    def following(self, anchors: Floats | None, sources: Sequence[int | None]) -> Floats:
        """(S, K) how well each frame follows each source: its score, which decays behind its place."""
        span = float(self.times[-1] - self.times[0])
        seconds = max(_DECAY_SHARE * span, SAME_SECONDS) if anchors is None else _DECAY_SECONDS
        strengths = [1.0 if anchors is None or source is None else anchors[source] for source in sources]
        away = [self.times - self.end(source) for source in sources]
        return np.array(strengths)[:, None] * decayed(np.array(away), 1 / seconds)


def _line(index: VideoIndex, options: SelectOptions, *, backwards: bool) -> _Line:
    times, choose = index.candidates.seconds, options.choose
    allowed = checked_unseen(times, choose.exclude_seconds, gap_of(choose, index.span_seconds))
    place, every = _places(index), np.arange(len(times))
    if not backwards:
        return _Line(every, times, place, allowed)
    return _Line(every[::-1], -times[::-1], place[-1] - place[::-1], allowed[::-1])


def _places(index: VideoIndex) -> NDArray[np.intp]:
    """(K,) the number of the place that each candidate shows: one more where colours or looks change."""
    colours = unit_rows(np.asarray(index.candidate_histograms, np.float64))
    looks = unit_rows(index.unit_embeddings - index.unit_embeddings.mean(axis=0))
    changes = (looks[1:] * looks[:-1]).sum(axis=1) < _NEW_LOOKS
    if colours.any():  # the candidates of a library's videos have none
        changes |= (colours[1:] * colours[:-1]).sum(axis=1) < SAME_COLOURS
    return np.concatenate([[0], np.cumsum(changes)]).astype(np.intp)


class _Found(NamedTuple):
    """Frames on one side of an anchor, along a line."""

    frames: list[int]
    """The best first; the anchor is not one of them."""
    anchor: int | None
    evidence: Floats
    """(K,) how well each follows an anchor, 0–1."""


def _next_places(line: _Line, anchors: Floats | None, max_frames: int) -> _Found:
    """A frame of each of the places behind the best anchor, the next ones first: half of the budget."""
    source = None if anchors is None else int(np.argmax(steps_of(anchors)))
    behind = np.unique(line.place[line.times > line.end(source)])[: (max_frames + 1) // 2]
    shown = [line.shown(place) for place in behind.tolist()]
    evidence = line.following(anchors, [source])[0]
    return _Found([frame for frame in shown if frame is not None], source, evidence)


def _targets(line: _Line, anchors: Floats | None, target: Floats) -> _Found | None:
    """RIGHT_AFTER: the frame with the best product of its truth, an anchor's and the decay between them.

    Behind it come the frame that fits the target best, however far, and the place next to the anchor. None
    where no frame of the target lies on that side.
    """
    sources: list[int | None] = [None]
    if anchors is not None:
        sources = list(np.flatnonzero(anchors >= _from_mean(anchors, _AN_ANCHOR, anchors.max())).tolist())
    following = line.following(anchors, sources)
    best = following.max(axis=0)
    if not (best > 0).any():
        return None
    lowest, full = (_from_mean(target, share, target[best > 0].max()) for share in (_NO_TARGET, _A_TARGET))
    evidence = best * np.clip((target - lowest) / max(full - lowest, 1e-9), 0.0, 1.0)
    if not (wanted := np.where(line.allowed, evidence, 0.0)).any():
        return None
    frame = int(np.argmax(steps_of(wanted)))
    source = sources[int(np.argmax(following[:, frame]))]
    behind = line.times > line.end(source)
    others = [line.shown(int(line.place[np.argmax(behind)]))]
    if source is not None:
        others.insert(0, int(np.argmax(steps_of(np.where(behind & line.allowed, target, 0.0)))))
    places = [one for one in others if one is not None and line.place[one] != line.place[frame]]
    return _Found([frame, *places], source, evidence)


def _from_mean(total: Floats, share: float, best: float) -> float:
    """The score a share of the way from the mean to the best one."""
    return float(total.mean() + share * (best - total.mean()))


def _beside(line: _Line, found: _Found, kept: list[int], direction: Direction) -> tuple[Beside, ...]:
    """Those of the frames kept that follow the anchor, in time order."""
    source = None if found.anchor is None else int(line.at[found.anchor])
    first = -1 if found.anchor is None else found.anchor
    return tuple(sorted(Beside(int(line.at[frame]), source, direction) for frame in kept if frame > first))


def _within_budget(line: _Line, found: _Found, total: Floats, options: SelectOptions) -> list[int]:
    """The first frame found, the anchor, the others, and with what is left more of their places."""
    choose, gap = options.choose, options.choose.min_gap_seconds
    apart = SAME_SECONDS if gap is None else max(gap, SAME_SECONDS)
    usable = line.allowed & (choose.threshold is None or total >= choose.threshold)
    usable &= np.arange(len(total)) >= (0 if found.anchor is None else found.anchor)
    anchor = [] if found.anchor is None else [found.anchor]
    kept: list[int] = []
    for frame in [*found.frames[:1], *anchor, *found.frames[1:]][: choose.max_frames]:
        near = np.abs(line.times[kept] - line.times[frame]) < apart
        if line.allowed[frame] and (not kept or usable[frame]) and not near.any():
            kept.append(frame)
    same = line.place[:, None] == line.place
    return kept + phases(same, line.times, usable, kept, choose.max_frames - len(kept), apart)
