"""Chooses the cheapest way of decoding that gives the wanted frames.

An exact plan gives a frame within half a stride of every wanted time. For long videos, and only if the caller
agrees, a sparse plan (`sparse.py`) may be cheaper: it gives key frames, and more only where most changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.video.costs import (
    DEMUX_COST,
    KEY_FRAME_COST,
    REFERENCE_SHARE,
    SEEK_COST,
    SEGMENT_SECONDS,
    WORTHWHILE_SHARE,
    Survey,
    Times,
    reference_frames_suffice,
    window_share,
)
from keyframe_llm.video.decoder import DecodePlan, Mode, Segment
from keyframe_llm.video.sparse import plan_sparsely

__all__ = ["choose_plan"]

_MOST_WANTED = 2_000_000  # times; for more, no list of them is made, and the file is read from start to end


def choose_plan(
    survey: Survey,
    stride_seconds: float,
    start_seconds: float,
    end_seconds: float,
    sparse_stride_seconds: float | None = None,
) -> DecodePlan:
    """The cheapest plan for frames every `stride_seconds` between the two times.

    With `sparse_stride_seconds` the plan may be sparse, with that stride in the parts in which most changes.
    """
    end = min(end_seconds, survey.duration_seconds)
    if (end - start_seconds) / stride_seconds > _MOST_WANTED:
        survey = replace(survey, key_seconds=None)
    cost, plan = _plan_exactly(survey, stride_seconds, start_seconds, end)
    if sparse_stride_seconds is not None and _can_seek(survey, end):
        strides = (stride_seconds, sparse_stride_seconds)
        sparse = plan_sparsely(survey, strides, start_seconds, end)
        # An exact plan with a long stride is cheap but misses much: compare with the dense plan.
        dense_cost, _ = _plan_exactly(survey, min(strides), start_seconds, end)
        if sparse is not None and sparse[0] < dense_cost * WORTHWHILE_SHARE:
            cost, plan = sparse
    whole = max(1.0, survey.frames * window_share(survey, start_seconds, end))
    saved = f"; about {cost / whole:.0%} of the work of decoding all" if plan.mode != "all" else ""
    return replace(plan, reason=f"{plan.reason}{saved}")


def _plan_exactly(survey: Survey, stride: float, start: float, end: float) -> tuple[float, DecodePlan]:
    """The cheapest of the four exact modes: its cost and the plan."""
    frames = max(1.0, survey.frames * window_share(survey, start, end))
    options = [(frames, DecodePlan("all", f"every frame: about {frames:.0f} of them, none to spare"))]
    reference_only = reference_frames_suffice(survey, stride)
    if reference_only:
        reason = f"no unreferenced frames: the others lie at most {survey.anchor_gap_seconds:.2f} s apart"
        options.append((frames * REFERENCE_SHARE, DecodePlan("reference", reason)))
    keys = survey.key_seconds
    if keys is not None and np.isfinite(end):
        options += _key_frame_plans(survey, keys, frames, (stride, start, end))
    cost, plan = min(options, key=lambda option: option[0])
    if cost > frames * WORTHWHILE_SHARE:
        cost, plan = options[0]
    if keys is None or not _can_seek(survey, end):
        return cost, plan
    wanted = np.arange(start, max(end, start + stride / 2), stride)
    if plan.mode in ("all", "reference"):
        step = survey.duration_seconds / max(1, survey.frames)
        step = survey.anchor_gap_seconds or step if plan.mode == "reference" else step
        wanted = _ending_at_keys(wanted, keys, (stride - step) / 2)
    return cost, replace(plan, segments=tuple(_segments(plan.mode, wanted, keys, stride)))


def _can_seek(survey: Survey, end: float) -> bool:
    return survey.key_seconds is not None and survey.exact_seeks and bool(np.isfinite(end))


def _ending_at_keys(wanted: Times, keys: Times, within: float) -> Times:
    """The wanted times, but the last one before a key frame is that key frame's where it is so close.

    Then the frames between the two are not decoded. The only time between two key frames stays.
    """
    after = np.searchsorted(keys, wanted)
    to_key = np.append(keys, np.inf)[after] - wanted
    shared = np.append(False, after[1:] == after[:-1])
    return np.unique(np.where(shared & (to_key < within), wanted + to_key, wanted))


def _segments(mode: Mode, wanted: Times, keys: Times, stride: float) -> Iterator[Segment]:
    """Split the wanted times at key frames, so that no frame is decoded for two segments."""
    group = np.searchsorted(keys, wanted, side="right")
    first = 0
    for i in range(1, len(wanted)):
        if group[i] != group[i - 1] and wanted[i] - wanted[first] >= SEGMENT_SECONDS:
            yield Segment(mode, wanted[first:i], stride)
            first = i
    yield Segment(mode, wanted[first:], stride)


def _key_frame_plans(
    survey: Survey, keys: Times, frames: float, window: tuple[float, float, float]
) -> list[tuple[float, DecodePlan]]:
    """Plans that decode key frames, all or some of them, each with its cost.

    `frames` are those in the window: its stride, start and end in seconds.
    """
    stride, start, end = window
    inside = keys[(keys >= start - stride) & (keys <= end + stride)]
    if len(inside) == 0 or end <= start:
        return []
    wanted = np.arange(start, end, stride)
    nearest = np.abs(wanted[:, None] - inside[_neighbours(inside, wanted)]).argmin(axis=1)
    chosen = _neighbours(inside, wanted)[np.arange(len(wanted)), nearest]
    far = np.abs(wanted - inside[chosen]) > stride / 2
    fill = _fill_cost(keys, wanted[far], frames / (end - start))
    fill *= REFERENCE_SHARE if reference_frames_suffice(survey, stride) else 1.0
    unit = frames / (frames + (KEY_FRAME_COST - 1) * len(inside))  # so that all frames together cost `frames`
    used = len(np.unique(chosen[~far]))
    step = float(np.diff(inside).max()) if len(inside) > 1 else end - start
    closeness = f"{len(inside)} key frames, at most {step:.1f} s apart"
    if far.any():
        closeness += f"; {int(far.sum())} of {len(wanted)} times need frames between them"
    all_keys = DecodePlan("key", f"key frames only: {closeness}")
    plans = [(len(inside) * KEY_FRAME_COST * unit + frames * DEMUX_COST + fill, all_keys)]
    if survey.exact_seeks:
        some_keys = DecodePlan("seek", f"a seek to {used} of {closeness}")
        plans.append((used * (KEY_FRAME_COST * unit + SEEK_COST) + fill, some_keys))
    return plans


def _neighbours(keys: Times, wanted: Times) -> NDArray[np.intp]:
    """(N, 2) indices of the key frames before and after each wanted time."""
    after = np.searchsorted(keys, wanted)
    return np.stack([after - 1, after], axis=1).clip(0, len(keys) - 1)


def _fill_cost(keys: Times, times: Times, fps: float) -> float:
    """The frames decoded to reach these times from the key frames before them; neighbours share the way."""
    if len(times) == 0:
        return 0.0
    at = np.searchsorted(keys, times, side="right") - 1
    starts = np.where(at >= 0, keys[at.clip(0)], 0.0)
    groups, first = np.unique(starts, return_index=True)
    last = np.append(first[1:], len(times)) - 1
    return float(((times[last] - groups) * fps).sum() + SEEK_COST * len(groups))
