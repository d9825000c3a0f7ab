"""Which way of decoding costs least and still puts a frame within half a stride of every wanted time.

Costs are counted in frames of ordinary decoding. Their constants were measured with x264 and x265 footage on
two cores. A wrong guess costs time, never correctness: `sampling.py` fills what a thin decode leaves open.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.video.decoder import DecodePlan

__all__ = ["Survey", "choose_plan"]

_KEY_FRAME = 3.0  # a key frame holds about this much more than other frames
_REFERENCE = 0.55  # share of the work left without unreferenced frames and loop filter
_WORTHWHILE = 0.9  # a thin decode that saves less only adds seeks
_DEMUX = 0.03  # reading a packet without decoding it
_SEEK = 4.0  # finding another place in the file, and filling the decoder anew


@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """What can be found out about a video without decoding it."""

    frames: int
    """How many it has, or about that."""
    duration_seconds: float
    """From the first frame to the end; infinity where nothing says."""
    key_seconds: NDArray[np.float64] | None
    """(K,) times of the key frames, ascending; None where neither index nor packets told."""
    anchor_gap_seconds: float | None
    """The longest distance between frames that none overtakes (all but B-frames); None: no B-frames."""


def choose_plan(
    survey: Survey, stride_seconds: float, start_seconds: float, end_seconds: float
) -> DecodePlan:
    """The cheapest of the four modes for frames every `stride_seconds` within the window."""
    end = min(end_seconds, survey.duration_seconds)
    share = _share(survey, start_seconds, end)
    frames = max(1.0, survey.frames * share)
    options = [(frames, DecodePlan("all", f"every frame: about {frames:.0f} of them, none to spare"))]
    gap = survey.anchor_gap_seconds
    thins = gap is not None and gap <= stride_seconds
    if thins:
        reason = f"no unreferenced frames: the others lie at most {gap:.2f} s apart"
        options.append((frames * _REFERENCE, DecodePlan("reference", reason)))
    if survey.key_seconds is not None and np.isfinite(end):
        options += _key_options(survey.key_seconds, frames, stride_seconds, start_seconds, end, thins)
    cost, plan = min(options, key=lambda option: option[0])
    if cost > frames * _WORTHWHILE:
        cost, plan = options[0]
    saved = f"; about {cost / frames:.0%} of the work of decoding all" if plan.mode != "all" else ""
    return DecodePlan(plan.mode, f"{plan.reason}{saved}")


def _share(survey: Survey, start: float, end: float) -> float:
    if not np.isfinite(survey.duration_seconds) or survey.duration_seconds <= 0:
        return 1.0
    return min(1.0, max(0.0, (end - start) / survey.duration_seconds))


def _key_options(
    keys: NDArray[np.float64], frames: float, stride: float, start: float, end: float, thins: bool
) -> list[tuple[float, DecodePlan]]:
    inside = keys[(keys >= start - stride) & (keys <= end + stride)]
    if len(inside) == 0 or end <= start:
        return []
    wanted = np.arange(start, end, stride)
    nearest = np.abs(wanted[:, None] - inside[_neighbours(inside, wanted)]).argmin(axis=1)
    chosen = _neighbours(inside, wanted)[np.arange(len(wanted)), nearest]
    far = np.abs(wanted - inside[chosen]) > stride / 2
    fill = _fill_cost(keys, wanted[far], frames / (end - start)) * (_REFERENCE if thins else 1.0)
    unit = frames / (frames + (_KEY_FRAME - 1) * len(inside))  # so that all frames together cost `frames`
    used = len(np.unique(chosen[~far]))
    step = float(np.diff(inside).max()) if len(inside) > 1 else end - start
    closeness = f"{len(inside)} key frames, at most {step:.1f} s apart"
    if far.any():
        closeness += f"; {int(far.sum())} of {len(wanted)} times need frames between them"
    return [
        (
            len(inside) * _KEY_FRAME * unit + frames * _DEMUX + fill,
            DecodePlan("key", f"key frames only: {closeness}"),
        ),
        (used * (_KEY_FRAME * unit + _SEEK) + fill, DecodePlan("seek", f"a seek to {used} of {closeness}")),
    ]


def _neighbours(keys: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.intp]:
    """(N, 2) indices of the key frames before and after each wanted time."""
    after = np.searchsorted(keys, wanted)
    return np.stack([after - 1, after], axis=1).clip(0, len(keys) - 1)


def _fill_cost(keys: NDArray[np.float64], times: NDArray[np.float64], fps: float) -> float:
    """Frames decoded to reach these times from the key frames before them, going on where they share one."""
    if len(times) == 0:
        return 0.0
    at = np.searchsorted(keys, times, side="right") - 1
    starts = np.where(at >= 0, keys[at.clip(0)], 0.0)
    groups, first = np.unique(starts, return_index=True)
    last = np.append(first[1:], len(times)) - 1
    return float(((times[last] - groups) * fps).sum() + _SEEK * len(groups))
