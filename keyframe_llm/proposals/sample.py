"""Pass 1: stream a video once; keep colour histograms and, where they are wanted, small pictures.

Memory is bounded by the number of samples, not by the length of the video. When there are too many samples,
every second one is dropped and the stride doubles. A sparse sampling drops those most like another one
instead.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.data import Progress, VideoInfo
from keyframe_llm.errors import OptionsError, VideoError
from keyframe_llm.jpeg import encode_jpeg
from keyframe_llm.options import DecodeOptions
from keyframe_llm.proposals.color_histogram import color_histogram, spacetime
from keyframe_llm.video import Decoder

__all__ = ["Samples", "most_samples", "planned_samples", "sample_video", "sharpness"]

HISTOGRAM_SIDE = 90
"""Pixels on the shorter side of a picture whose colours are counted; more changes the histogram little."""
_FEWEST = 16  # a clip of a second or two is sampled this often, where it has the frames
_QUALITY = 92
_GAMMA_TIME = 5.0  # STACFP's own default
_ROWS = 128


class Samples(NamedTuple):
    """What pass 1 hands on: N sampled frames, in time order."""

    seconds: NDArray[np.float64]
    """(N,) presentation times, ascending."""
    histograms: NDArray[np.float32]
    """(N, d) as `color_histogram` makes them."""
    pictures: tuple[bytes, ...]
    """N JPEG pictures, or none; a long video's would not fit in memory as arrays."""
    sharpness: NDArray[np.float64] | None
    """(N,) as `sharpness` measures it, where it was wanted."""
    span_seconds: float
    """How much of the video was sampled."""
    decode_seconds: float
    """Time spent on decoding."""
    plan: str
    """How the frames were decoded, and why."""

    def only(self, indices: NDArray[np.intp]) -> Samples:
        """These samples alone."""
        return self._replace(
            seconds=self.seconds[indices],
            histograms=self.histograms[indices],
            pictures=tuple(self.pictures[i] for i in indices) if self.pictures else (),
            sharpness=None if self.sharpness is None else self.sharpness[indices],
        )


def sample_video(
    decoder: Decoder,
    options: DecodeOptions,
    *,
    picture_side: int | None = None,
    with_sharpness: bool = False,
    progress: Progress,
    on_sample: Callable[[float, bytes | None], None] | None = None,
) -> Samples:
    """Sample a video about `options.fps` times a second.

    `picture_side` is the shorter side, in pixels, of the pictures to keep; None keeps none. `on_sample` gets
    each sample at once: its seconds and its JPEG picture. Raises `VideoError` where nothing can be decoded,
    `OptionsError` where the window lies past the end.
    """
    window, stride, wanted = _wanted(decoder.info, options)
    began = time.perf_counter()
    plan = decoder.plan(stride, **wanted)
    thinner = _Thinner(options.max_samples, evenly=plan.mode != "sparse")
    spent = 0.0
    side = max(picture_side or 0, HISTOGRAM_SIDE)
    with closing(decoder.sample(stride, short_side=side, **wanted)) as frames:
        for second, image in frames:
            decoded = time.perf_counter()
            if thinner.wants():
                picture = encode_jpeg(image, quality=_QUALITY, full_colour=True) if picture_side else None
                sharp = sharpness(image) if with_sharpness else 0.0
                thinner.keep(_Sample(second, _colours(image), picture, sharp))
                if on_sample is not None:
                    on_sample(second, picture)
            if window[1]:
                progress("decode", min(1.0, (second - window[0]) / (window[1] - window[0])))
            spent += time.perf_counter() - decoded
    progress("decode", 1.0)
    kept = thinner.kept
    if not kept:
        raise VideoError(
            f"{decoder.info.path}: no frame could be decoded; check the file with a video player"
        )
    return Samples(
        seconds=np.array([one.second for one in kept]),
        histograms=np.concatenate([one.histogram for one in kept]),
        pictures=tuple(one.picture for one in kept if one.picture is not None),
        sharpness=np.array([one.sharpness for one in kept]) if with_sharpness else None,
        span_seconds=float((window[1] or kept[-1].second + stride) - window[0]),
        decode_seconds=time.perf_counter() - began - spent,
        plan=f"{plan.mode}: {plan.reason}",
    )


def sharpness(image: NDArray[np.uint8]) -> float:
    """Variance of the Laplacian of a grey (H, W, 3) RGB uint8 picture; higher is sharper."""
    grey = np.asarray(image) @ np.array([0.299, 0.587, 0.114])
    sides = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return float((sides - 4 * grey[1:-1, 1:-1]).var())


def most_samples(info: VideoInfo, options: DecodeOptions) -> int | None:
    """How many samples a video gives at most; None where its length is not known."""
    start, end = _window(info, options)
    return None if end is None else int((end - start) / _stride((start, end), options)) + 1


def planned_samples(decoder: Decoder, options: DecodeOptions) -> int:
    """About how many samples `sample_video` would give, by the plan that it would follow."""
    window, stride, wanted = _wanted(decoder.info, options)
    segments = decoder.plan(stride, **wanted).segments
    if segments:
        return min(options.max_samples, sum(len(segment.wanted) for segment in segments))
    return options.max_samples if window[1] is None else int((window[1] - window[0]) / stride)


def _wanted(
    info: VideoInfo, options: DecodeOptions
) -> tuple[tuple[float, float | None], float, dict[str, Any]]:
    """The window, the stride, and the arguments of `Decoder.sample` and `Decoder.plan` beside it."""
    window = _window(info, options)
    stride = _stride(window, options)
    sparse = None if options.exhaustive else min(stride, 1 / options.fps)
    return (
        window,
        stride,
        {
            "start_seconds": window[0],
            "end_seconds": window[1],
            "sparse_stride_seconds": sparse,
        },
    )


def _window(info: VideoInfo, options: DecodeOptions) -> tuple[float, float | None]:
    start, end = options.start_seconds or 0.0, options.end_seconds
    if info.duration_seconds is not None:
        if start >= info.duration_seconds:
            raise OptionsError(
                f"start_seconds is {start:g} but the video ends at {info.duration_seconds:.1f}; "
                "give an earlier start"
            )
        end = min(end, info.duration_seconds) if end is not None else info.duration_seconds
    return start, end


def _stride(window: tuple[float, float | None], options: DecodeOptions) -> float:
    stride = 1.0 / options.fps
    if window[1] is None:
        return stride
    span = window[1] - window[0]
    return max(min(stride, span / _FEWEST), span / options.max_samples, 1e-3)


def _colours(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    step = max(1, min(image.shape[:2]) // HISTOGRAM_SIDE)
    return color_histogram(image[::step, ::step])


class _Sample(NamedTuple):
    second: float
    histogram: NDArray[np.float32]
    picture: bytes | None
    sharpness: float


class _Thinner:
    """Keeps at most `limit` samples of a stream of unknown length: evenly spread, or those that differ."""

    def __init__(self, limit: int, *, evenly: bool = True) -> None:
        self.limit, self.evenly, self.every, self.seen = limit, evenly, 1, 0
        self.kept: list[_Sample] = []

    def wants(self) -> bool:
        """Whether the next frame is kept."""
        self.seen += 1
        return (self.seen - 1) % self.every == 0

    def keep(self, sample: _Sample) -> None:
        if len(self.kept) == self.limit:
            self._drop(range(1, self.limit, 2) if self.evenly else self._repeats())
            self.every *= 2 if self.evenly else 1
            if (self.seen - 1) % self.every:
                return
        self.kept.append(sample)

    def _drop(self, indices: Sequence[int]) -> None:
        for i in sorted(indices, reverse=True):
            del self.kept[i]

    def _repeats(self) -> list[int]:
        """Up to a quarter of the samples: those most like another one that stays, no two neighbours.

        Likeness is distance in STACFP's space of colour and time. So a picture that returns for hours is kept
        less often, and one that is shown for a single second stays.
        """
        away, nearest = _nearest(
            np.concatenate([one.histogram for one in self.kept]), np.array([one.second for one in self.kept])
        )
        dropped: set[int] = set()
        for i in np.argsort(away, kind="stable").tolist():
            if len(dropped) >= max(1, self.limit // 4):
                break
            if not dropped & {i - 1, i + 1, int(nearest[i])} and 0 < i < self.limit - 1:
                dropped.add(i)
        return list(dropped)


def _nearest(
    histograms: NDArray[np.float32], seconds: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """How far each sample is from the one most like it, and which that is; the earlier of equals."""
    space = spacetime(histograms, seconds, _GAMMA_TIME).astype(np.float32)
    square = np.einsum("ij,ij->i", space, space)
    least, nearest = np.empty(len(space), np.float32), np.empty(len(space), np.intp)
    for first in range(0, len(space), _ROWS):  # a few rows at a time, for a whole matrix takes 16 MB
        rows = slice(first, first + _ROWS)
        away = square - 2 * (space[rows] @ space.T)
        np.fill_diagonal(away[:, first:], np.inf)
        nearest[rows] = away.argmin(axis=1)
        least[rows] = away.min(axis=1) + square[rows]
    return least, nearest
