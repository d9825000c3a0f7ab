"""Sparse plans for long videos: key frames, and more frames only where most changes.

A group is a key frame and the frames that follow it up to the next key frame.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.video.costs import (
    KEY_FRAME_COST,
    REFERENCE_SHARE,
    SEEK_COST,
    SEGMENT_SECONDS,
    Survey,
    Times,
    reference_frames_suffice,
)
from keyframe_llm.video.decoder import DecodePlan, Mode, Segment

__all__ = ["plan_sparsely", "space_out"]

# Decoding between key frames costs at most as much as decoding this much of the video in full. So the cost of
# a longer video grows only by its key frames.
_DETAIL_SECONDS = 100.0
# Of large pictures only so many pixels: 100 s of full HD at 30 frames a second. So 4K gets a quarter of that.
_DETAIL_PIXELS = 100 * 30 * 1920 * 1080
# Their other groups are decoded as far as the whole budget goes, but for the last second before the next key
# frame. Key frames alone, one every 5 s, lost a tenth of the moments of captions (joined real clips).
_END_UNSEEN_SECONDS = 1.0
_LONGEST_UNSEEN_SECONDS = 20.0  # longer groups are always decoded
_KEY_SHARE = 0.08  # key frames may cost this share of decoding everything before some are left out
_KEY_RUN_SEGMENTS = 8  # a segment of key frames alone may be this many times as long as others
_GOLDEN = (5**0.5 - 1) / 2
_SAME = 1e-6


def plan_sparsely(
    survey: Survey, strides: tuple[float, float], start: float, end: float
) -> tuple[float, DecodePlan] | None:
    """The cost of a sparse plan and the plan itself; None without key frames in the window.

    `strides`: seconds between key frames, at most, and between frames of a group that is decoded in detail.
    """
    if survey.key_seconds is None:
        return None
    keys, (stride, detail_stride) = survey.key_seconds, strides
    inside = slice(max(0, int(np.searchsorted(keys, start, "right")) - 1), int(np.searchsorted(keys, end)))
    begins = keys[inside]
    if len(begins) == 0 or survey.duration_seconds <= 0:
        return None
    ends = np.append(begins[1:], end)
    reference_only = reference_frames_suffice(survey, detail_stride)
    work = (ends - np.maximum(begins, start)) * (REFERENCE_SHARE if reference_only else 1.0)
    sizes = None if survey.group_bytes is None else survey.group_bytes[inside]
    rate = survey.frames / survey.duration_seconds
    budget = min(_DETAIL_SECONDS, _DETAIL_PIXELS / max(1.0, rate * survey.pixels))
    until = _detail_ends((begins, ends), _change(ends - begins, sizes), work, detail_stride, (budget, start))
    detailed = until > begins
    single = _single_keys(begins, detailed, start, (detail_stride, stride), rate * (end - start))
    if not single.any() and not detailed.any():
        return None
    shares = (until - begins) / (ends - begins)
    cost = rate * float((work * shares).sum()) + (KEY_FRAME_COST + SEEK_COST) * float(single.sum())
    mode: Mode = "reference" if reference_only else "all"
    segments = _segments(begins, until, single, (mode, detail_stride), start)
    reason = (
        f"{int(single.sum())} key frames, and every {detail_stride:.2f} s of the "
        f"{float((until - begins).sum()):.0f} s between them in which most changes"
    )
    return cost, DecodePlan("sparse", reason, tuple(segments))


def space_out(times: Times, spacing: float) -> NDArray[np.bool_]:
    """(K,) bool: the key frames to keep so that about `spacing` seconds lie between them.

    A key frame is kept if none was kept for that long. It is kept, too, if the next one is that far away,
    even right after another: a cut may follow directly on a key frame of the old scene.
    """
    kept = np.diff(times, append=np.inf) >= spacing - _SAME
    last = -np.inf
    for i, second in enumerate(times.tolist()):
        kept[i] |= second >= last + spacing - _SAME
        last = second if kept[i] else last
    return np.asarray(kept)


def _change(lengths: Times, sizes: Times | None) -> Times:
    """(K,) how much each group may show that its key frame does not, on any scale.

    Change costs bytes: a wholly new picture takes about as many as a key frame. Without sizes, the length of
    the group stands in.
    """
    if sizes is None:
        return lengths
    key, rest = sizes[:, 0], sizes[:, 1]
    return np.asarray(rest / np.maximum(key, np.median(key) / 4 + 1.0))


def _detail_ends(
    groups: tuple[Times, Times], change: Times, work: Times, stride: float, limits: tuple[float, float]
) -> Times:
    """(K,) up to which second each group is decoded in detail: its begin, its end, or a time between them.

    `limits`: seconds of decoding for whole groups, and when the window starts.
    """
    (begins, ends), (budget, start) = groups, limits
    detailed = _detailed_groups(change, work, ends - begins, stride, budget)
    left = _DETAIL_SECONDS - float(work[detailed].sum())
    until = np.where(detailed, ends, begins)
    if budget < _DETAIL_SECONDS:
        lengths = np.maximum(0.0, ends - begins - _END_UNSEEN_SECONDS) * (~detailed & (begins >= start))
        begun = _detailed_groups(change, work * lengths / (ends - begins), lengths, stride, left)
        until = np.where(begun, begins + lengths, until)
    return until


def _detailed_groups(
    change: Times, work: Times, lengths: Times, stride: float, budget: float
) -> NDArray[np.bool_]:
    """(K,) bool: the groups decoded in detail: all long ones, then those with most change.

    Beside the long ones, they take `budget` seconds of decoding at most.
    """
    detailed = lengths > _LONGEST_UNSEEN_SECONDS
    left = budget - float(work[detailed].sum())
    # Among equals, e.g. without sizes, golden-ratio steps spread the choice over the whole video.
    for i in np.lexsort((np.arange(len(change)) * _GOLDEN % 1, -change)):
        if not detailed[i] and lengths[i] > stride and work[i] <= left:
            detailed[i] = True
            left -= float(work[i])
    return detailed


def _single_keys(
    begins: Times, detailed: NDArray[np.bool_], start: float, spacings: tuple[float, float], frames: float
) -> NDArray[np.bool_]:
    """(K,) bool: the key frames shown alone, as densely as is affordable within these spacings."""
    finest, coarsest = spacings
    while True:
        single = space_out(begins, finest) & ~detailed & (begins >= start)
        if finest >= coarsest or single.sum() * (KEY_FRAME_COST + SEEK_COST) <= _KEY_SHARE * frames:
            return single
        finest = min(2 * finest, coarsest)


def _segments(
    begins: Times, until: Times, single: NDArray[np.bool_], detail: tuple[Mode, float], start: float
) -> Iterator[Segment]:
    """Segments in time order: runs of single key frames, and each group that is decoded in detail."""
    mode, stride = detail
    run: list[float] = []
    for i in range(len(begins)):
        detailed = until[i] > begins[i]
        if run and (detailed or begins[i] - run[0] >= _KEY_RUN_SEGMENTS * SEGMENT_SECONDS):
            yield Segment("seek", np.array(run), stride)
            run = []
        if detailed:
            first = max(float(begins[i]), start)
            yield Segment(mode, np.arange(first, until[i] - stride / 4, stride), stride)
        elif single[i]:
            run.append(float(begins[i]))
    if run:
        yield Segment("seek", np.array(run), stride)
