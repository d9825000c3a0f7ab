"""Which way of decoding costs least for the frames that are wanted.

Exact sampling puts a frame within half a stride of every wanted time. Where that costs more than a look over
a long video may cost, and the caller agrees, the look is thinner: key frames, and frames at a stride only in
those groups (a key frame and what follows it up to the next) in which most changes.

Costs are counted in frames of ordinary decoding. Their constants were measured with x264 and x265 footage on
two cores. A wrong guess costs time, never correctness: `sampling.py` fills what a thin decode leaves open.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.video.decoder import DecodePlan, Mode, Stretch

__all__ = ["Survey", "choose_plan"]

Times = NDArray[np.float64]

_KEY_FRAME = 3.0  # a key frame holds about this much more than other frames
_REFERENCE = 0.55  # share of the work left without unreferenced frames
_WORTHWHILE = 0.9  # a thin decode that saves less only adds seeks
_DEMUX = 0.03  # reading a packet without decoding it
_SEEK = 4.0  # finding another place in the file, and filling the decoder anew
# A look between key frames costs at most as much as decoding this much of the video in full, so that the cost
# of a longer video grows by its key frames alone.
_BUSY_SECONDS = 100.0
_BLIND_SECONDS = 20.0  # no longer stretch goes unseen, whatever it costs
_GOLDEN = (5**0.5 - 1) / 2
_KEY_SHARE = 0.08  # of the whole video's frames: what the key frames may cost before some are left out
# Cores share a video out in pieces of this length: long enough for the seeks not to matter, and short enough
# for little to wait in memory.
_PIECE_SECONDS = 10.0


@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """What can be found out about a video without decoding it."""

    frames: int
    """How many it has, or about that."""
    duration_seconds: float
    """From the first frame to the end; infinity where nothing says."""
    key_seconds: Times | None
    """(K,) times of the key frames, ascending; None where neither index nor packets told."""
    anchor_gap_seconds: float | None
    """The longest distance between frames that none overtakes (all but B-frames); None: no B-frames."""
    group_bytes: Times | None = None
    """(K, 2) bytes of each key frame, and of all frames from it to the next; None where nothing tells."""


def choose_plan(
    survey: Survey,
    stride_seconds: float,
    start_seconds: float,
    end_seconds: float,
    busy_stride_seconds: float | None = None,
) -> DecodePlan:
    """The cheapest plan for frames every `stride_seconds` within the window.

    With `busy_stride_seconds` it may be a thinner look: mode `busy`, and that stride where most changes.
    """
    end = min(end_seconds, survey.duration_seconds)
    cost, plan = _exact(survey, stride_seconds, start_seconds, end)
    if busy_stride_seconds is not None and survey.key_seconds is not None and np.isfinite(end):
        look = _busy(survey, survey.key_seconds, (stride_seconds, busy_stride_seconds), start_seconds, end)
        # A long stride is cheap and misses much: a thin look is weighed against what would miss nothing.
        dense = _exact(survey, min(stride_seconds, busy_stride_seconds), start_seconds, end)[0]
        if look is not None and look[0] < dense * _WORTHWHILE:
            cost, plan = look
    whole = max(1.0, survey.frames * _share(survey, start_seconds, end))
    saved = f"; about {cost / whole:.0%} of the work of decoding all" if plan.mode != "all" else ""
    return replace(plan, reason=f"{plan.reason}{saved}")


def _exact(survey: Survey, stride: float, start: float, end: float) -> tuple[float, DecodePlan]:
    """The cheapest of four modes that leave no wanted time without a frame, and what it costs."""
    frames = max(1.0, survey.frames * _share(survey, start, end))
    options = [(frames, DecodePlan("all", f"every frame: about {frames:.0f} of them, none to spare"))]
    thins = _thins(survey, stride)
    if thins:
        reason = f"no unreferenced frames: the others lie at most {survey.anchor_gap_seconds:.2f} s apart"
        options.append((frames * _REFERENCE, DecodePlan("reference", reason)))
    keys = survey.key_seconds
    if keys is not None and np.isfinite(end):
        options += _key_options(keys, frames, stride, start, end, thins)
    cost, plan = min(options, key=lambda option: option[0])
    if cost > frames * _WORTHWHILE:
        cost, plan = options[0]
    if keys is None or not np.isfinite(end):
        return cost, plan
    wanted = np.arange(start, max(end, start + stride / 2), stride)
    return cost, replace(plan, stretches=tuple(_pieces(plan.mode, wanted, keys, stride)))


def _thins(survey: Survey, stride: float) -> bool:
    return survey.anchor_gap_seconds is not None and survey.anchor_gap_seconds <= stride


def _pieces(mode: Mode, wanted: Times, keys: Times, stride: float) -> Iterator[Stretch]:
    """Split wanted times before key frames, so that what is decoded for one piece serves no other."""
    group = np.searchsorted(keys, wanted, side="right")
    first = 0
    for i in range(1, len(wanted)):
        if group[i] != group[i - 1] and wanted[i] - wanted[first] >= _PIECE_SECONDS:
            yield Stretch(mode, wanted[first:i], stride)
            first = i
    yield Stretch(mode, wanted[first:], stride)


def _busy(
    survey: Survey, keys: Times, strides: tuple[float, float], start: float, end: float
) -> tuple[float, DecodePlan] | None:
    """Key frames, and frames at the second stride in the groups that promise most; None without groups."""
    stride, busy_stride = strides
    inside = slice(max(0, int(np.searchsorted(keys, start, "right")) - 1), int(np.searchsorted(keys, end)))
    begins = keys[inside]
    if len(begins) == 0 or survey.duration_seconds <= 0:
        return None
    ends = np.append(begins[1:], end)
    thins = _thins(survey, busy_stride)
    work = (ends - np.maximum(begins, start)) * (_REFERENCE if thins else 1.0)
    sizes = None if survey.group_bytes is None else survey.group_bytes[inside]
    busy = _promising(_hidden(ends - begins, sizes), work, ends - begins, busy_stride)
    rate = survey.frames / survey.duration_seconds
    shown = _shown_keys(begins, busy, start, (busy_stride, stride), rate * (end - start))
    if not shown.any() and not busy.any():
        return None
    cost = rate * float(work[busy].sum()) + (_KEY_FRAME + _SEEK) * float(shown.sum())
    stretches = _looks(begins, ends, busy, shown, ("reference" if thins else "all", busy_stride), start)
    reason = (
        f"{int(shown.sum())} key frames, and every {busy_stride:.2f} s of the "
        f"{float((ends - begins)[busy].sum()):.0f} s between them in which most changes"
    )
    return cost, DecodePlan("busy", reason, tuple(stretches))


def _hidden(lengths: Times, sizes: Times | None) -> Times:
    """(K,) how much a group may show that its key frame does not, in pictures' worth; any unit will do.

    A change has to be paid for in bytes, and a wholly new picture costs about what a key frame does.
    """
    if sizes is None:
        return lengths
    key, rest = sizes[:, 0], sizes[:, 1]
    return np.asarray(rest / np.maximum(key, np.median(key) / 4 + 1.0))


def _promising(hidden: Times, work: Times, lengths: Times, stride: float) -> NDArray[np.bool_]:
    """(K,) the groups to look into: all long ones, then those that may hide most, as far as it goes."""
    busy = lengths > _BLIND_SECONDS
    left = _BUSY_SECONDS - float(work[busy].sum())
    # Among equals, e.g. where nothing tells sizes, golden steps spread the choice over the whole video.
    for i in np.lexsort((np.arange(len(hidden)) * _GOLDEN % 1, -hidden)):
        if not busy[i] and lengths[i] > stride and work[i] <= left:
            busy[i] = True
            left -= float(work[i])
    return busy


def _shown_keys(
    begins: Times, busy: NDArray[np.bool_], start: float, spacings: tuple[float, float], frames: float
) -> NDArray[np.bool_]:
    """(K,) the key frames shown on their own: as densely as is affordable, within these spacings."""
    finest, coarsest = spacings
    while True:
        shown = _spaced(begins, finest) & ~busy & (begins >= start)
        if finest >= coarsest or shown.sum() * (_KEY_FRAME + _SEEK) <= _KEY_SHARE * frames:
            return shown
        finest = min(2 * finest, coarsest)


def _spaced(times: Times, spacing: float) -> NDArray[np.bool_]:
    """(K,) which key frames to keep so that about `spacing` lies between them.

    One whose picture is replaced sooner than that is kept only where none was for as long; one that begins a
    longer group is, however near the one before: a cut may fall right behind a key frame of the old picture.
    """
    kept = np.diff(times, append=np.inf) >= spacing - 1e-6
    last = -np.inf
    for i, second in enumerate(times.tolist()):
        kept[i] |= second >= last + spacing - 1e-6
        last = second if kept[i] else last
    return np.asarray(kept)


def _looks(
    begins: Times,
    ends: Times,
    busy: NDArray[np.bool_],
    shown: NDArray[np.bool_],
    between: tuple[Mode, float],
    start: float,
) -> Iterator[Stretch]:
    """Stretches in time order: runs of key frames, and the busy groups one by one."""
    mode, stride = between
    run: list[float] = []
    for i in range(len(begins)):
        if run and (busy[i] or begins[i] - run[0] >= 8 * _PIECE_SECONDS):
            yield Stretch("seek", np.array(run), stride)
            run = []
        if busy[i]:
            first = max(float(begins[i]), start)
            yield Stretch(mode, np.arange(first, ends[i] - stride / 4, stride), stride)
        elif shown[i]:
            run.append(float(begins[i]))
    if run:
        yield Stretch("seek", np.array(run), stride)


def _share(survey: Survey, start: float, end: float) -> float:
    if not np.isfinite(survey.duration_seconds) or survey.duration_seconds <= 0:
        return 1.0
    return min(1.0, max(0.0, (end - start) / survey.duration_seconds))


def _key_options(
    keys: Times, frames: float, stride: float, start: float, end: float, thins: bool
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


def _neighbours(keys: Times, wanted: Times) -> NDArray[np.intp]:
    """(N, 2) indices of the key frames before and after each wanted time."""
    after = np.searchsorted(keys, wanted)
    return np.stack([after - 1, after], axis=1).clip(0, len(keys) - 1)


def _fill_cost(keys: Times, times: Times, fps: float) -> float:
    """Frames decoded to reach these times from the key frames before them, going on where they share one."""
    if len(times) == 0:
        return 0.0
    at = np.searchsorted(keys, times, side="right") - 1
    starts = np.where(at >= 0, keys[at.clip(0)], 0.0)
    groups, first = np.unique(starts, return_index=True)
    last = np.append(first[1:], len(times)) - 1
    return float(((times[last] - groups) * fps).sum() + _SEEK * len(groups))
