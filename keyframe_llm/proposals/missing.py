"""Pass 1 of a video some of whose frames were sampled before: only those that are missing are decoded."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.data import Progress, VideoInfo
from keyframe_llm.errors import VideoError
from keyframe_llm.options import DecodeOptions
from keyframe_llm.proposals.sample import HISTOGRAM_SIDE, Samples, as_sample, joined, sampling_of
from keyframe_llm.proposals.thinning import Sample, Thinner
from keyframe_llm.video import DecodePlan, Decoder

__all__ = ["Completed", "sample_missing"]

_SAME_SECONDS = 1e-3
_SLACK = 1e-6
_MOST_AT_ONCE = 16
_SEEK_SECONDS = 1.0
"""Decoding on over so much of a video costs about as much as going to another place in it."""

Times = NDArray[np.float64]


class Completed(NamedTuple):
    """Samples, and how many of them were decoded for it."""

    samples: Samples
    decoded: int


class _Run(NamedTuple):
    """Times that are wanted and that no known frame is near."""

    wanted: Times
    stride_seconds: float
    apart: bool
    """Whether each is that of a key frame, far from the others."""


def sample_missing(
    decoder: Decoder,
    options: DecodeOptions,
    known: Samples,
    *,
    picture_side: int,
    with_sharpness: bool,
    progress: Progress,
) -> Completed | None:
    """As `sample_video`, of a video of which some samples, with pictures of that size, are known.

    All known frames inside the window are taken. Frames are decoded where these are more than one and a half
    strides apart, at the times that a fresh reading would want there; in a short window, as many as it would
    have. None where no known frame can be taken, or not all others be decoded. Raises `OptionsError` where
    the window lies past the end.
    """
    window, stride, arguments = sampling_of(decoder.info, options)
    start, end = window
    if end is None or not len(known.seconds):
        return None
    began = time.perf_counter()
    inside = np.flatnonzero((known.seconds >= start) & (known.seconds <= end))
    if not len(inside):
        return None
    plan = decoder.plan(stride, **arguments)
    runs = _runs(plan, _Run(np.arange(start, end, stride), stride, False), known.seconds, decoder.info)
    if stride < 1 / options.fps:
        runs = [*runs, *_more(plan, runs, known.seconds[inside], end, decoder.info)]
    kept = [_known_sample(known, i) for i in inside.tolist()]
    total, side = sum(len(run.wanted) for run in runs), max(picture_side, HISTOGRAM_SIDE)
    new: list[Sample] = []
    try:
        for second, image in _decoded(decoder, runs, side, end):
            new.append(as_sample(second, image, with_picture=True, with_sharpness=with_sharpness))
            progress("decode", min(1.0, len(new) / total))
    except VideoError:
        return None
    if new:
        progress("decode", 1.0)
    samples = joined(
        _thinned(_merged(kept, new), options.max_samples, evenly=plan.mode != "sparse"),
        with_sharpness=with_sharpness,
        span_seconds=end - start,
        decode_seconds=time.perf_counter() - began,
        plan=f"{len(inside)} frames that were sampled before; the others: {plan.mode}: {plan.reason}",
    )
    return Completed(samples, len(new))


def _runs(plan: DecodePlan, grid: _Run, known: Times, info: VideoInfo) -> list[_Run]:
    """What a plan, or without segments the grid, wants beside the known frames."""
    parts = [
        _Run(each.wanted, each.stride_seconds, plan.mode == "sparse" and each.mode == "seek")
        for each in plan.segments
    ]
    frame_seconds = 1 / info.average_fps if info.average_fps else 0.0
    runs = [run for part in parts or [grid] for run in _missing(part, known, frame_seconds)]
    return runs if plan.segments else _in_one(runs)


def _more(plan: DecodePlan, runs: list[_Run], inside: Times, end: float, info: VideoInfo) -> list[_Run]:
    """As many times more as a fresh reading would have, of a window so short that it is sampled closely."""
    there = np.concatenate([inside, *(run.wanted for run in runs)])
    wanted = np.concatenate([*(each.wanted for each in plan.segments), [end]])
    away = np.abs(wanted[:, None] - there).min(axis=1)
    away[away <= (0.5 / info.average_fps if info.average_fps else 0.0) + _SLACK] = 0.0
    farthest = np.argsort(-away, kind="stable")[: max(0, len(wanted) - len(there))]
    times = np.sort(wanted[farthest[away[farthest] > 0]])
    return [_Run(times, 0.0, True)] if len(times) and plan.segments else []


def _missing(part: _Run, known: Times, frame_seconds: float) -> list[_Run]:
    """What is wanted of a part beside the known frames."""
    after = np.searchsorted(known, part.wanted)
    around = known[np.stack([after - 1, after], axis=1).clip(0, len(known) - 1)]
    away, gap = np.abs(around - part.wanted[:, None]).min(axis=1), around[:, 1] - around[:, 0]
    inner = (after > 0) & (after < len(known))
    allowed = np.where(inner, frame_seconds / 2, part.stride_seconds / 2)
    close = part.stride_seconds + max(part.stride_seconds / 2, frame_seconds)
    served = (away <= allowed + _SLACK) | (inner & (gap <= close + _SLACK))
    return [part._replace(wanted=times) for times in _split(part.wanted[~served], part) if len(times)]


def _in_one(runs: list[_Run]) -> list[_Run]:
    """One run for all of them, where a file can only be read from start to end."""
    if not runs:
        return []
    first, last, stride = runs[0].wanted[0], runs[-1].wanted[-1], runs[0].stride_seconds
    return [runs[0]._replace(wanted=np.arange(first, last + stride / 2, stride))]


def _split(missing: Times, part: _Run) -> list[Times]:
    """Split times where what lies between them need not be decoded."""
    if part.apart:
        return [missing]
    far = np.diff(missing) > max(_SEEK_SECONDS, part.stride_seconds) + _SLACK
    return np.split(missing, np.flatnonzero(far) + 1)


def _decoded(
    decoder: Decoder, runs: list[_Run], side: int, end: float
) -> Iterator[tuple[float, NDArray[np.uint8]]]:
    """The frames at the times of each run; some others between them too."""
    for run in runs:
        if run.apart:
            for i in range(0, len(run.wanted), _MOST_AT_ONCE):
                frames = decoder.decode_at(run.wanted[i : i + _MOST_AT_ONCE].tolist(), short_side=side)
                yield from zip(frames.seconds.tolist(), frames.images, strict=True)
            continue
        first, last, stride = float(run.wanted[0]), float(run.wanted[-1]), run.stride_seconds
        until = min(end, last + stride / 2)
        with closing(
            decoder.sample(stride, short_side=side, start_seconds=first, end_seconds=until)
        ) as frames_of_run:
            yield from frames_of_run


def _known_sample(known: Samples, i: int) -> Sample:
    sharp = 0.0 if known.sharpness is None else float(known.sharpness[i])
    return Sample(float(known.seconds[i]), known.histograms[i : i + 1], known.pictures[i], sharp)


def _merged(kept: list[Sample], new: list[Sample]) -> list[Sample]:
    """In time order; of frames at the same time the kept one."""
    there = np.array([one.second for one in kept])
    merged = list(kept)
    for sample in new:
        if np.abs(there - sample.second).min() > _SAME_SECONDS:
            merged.append(sample)
            there = np.append(there, sample.second)
    return sorted(merged, key=lambda one: one.second)


def _thinned(samples: list[Sample], most: int, *, evenly: bool) -> list[Sample]:
    thinner = Thinner(most, evenly=evenly)
    for sample in samples:
        if thinner.wants():
            thinner.keep(sample)
    return thinner.kept
