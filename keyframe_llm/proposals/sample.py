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
from keyframe_llm.proposals.color_histogram import color_histogram
from keyframe_llm.proposals.thinning import Sample, Thinner
from keyframe_llm.video import Decoder

__all__ = [
    "HISTOGRAM_SIDE",
    "Samples",
    "Sampling",
    "as_sample",
    "joined",
    "most_samples",
    "sample_video",
    "sampling_of",
    "sharpness",
]

HISTOGRAM_SIDE = 90
"""Pixels on the shorter side of a picture whose colours are counted; more changes the histogram little."""
_FEWEST = 16  # a clip of a second or two is sampled this often, where it has the frames
_QUALITY = 92


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
    window, stride, wanted = sampling_of(decoder.info, options)
    began = time.perf_counter()
    plan = decoder.plan(stride, **wanted)
    thinner = Thinner(options.max_samples, evenly=plan.mode != "sparse")
    spent = 0.0
    side = max(picture_side or 0, HISTOGRAM_SIDE)
    with closing(decoder.sample(stride, short_side=side, **wanted)) as frames:
        for second, image in frames:
            decoded = time.perf_counter()
            if thinner.wants():
                sample = as_sample(
                    second, image, with_picture=picture_side is not None, with_sharpness=with_sharpness
                )
                thinner.keep(sample)
                if on_sample is not None:
                    on_sample(second, sample.picture)
            if window[1]:
                progress("decode", min(1.0, (second - window[0]) / (window[1] - window[0])))
            spent += time.perf_counter() - decoded
    progress("decode", 1.0)
    kept = thinner.kept
    if not kept:
        raise VideoError(
            f"{decoder.info.path}: no frame could be decoded; check the file with a video player"
        )
    return joined(
        kept,
        with_sharpness=with_sharpness,
        span_seconds=float((window[1] or kept[-1].second + stride) - window[0]),
        decode_seconds=time.perf_counter() - began - spent,
        plan=f"{plan.mode}: {plan.reason}",
    )


def joined(
    kept: Sequence[Sample], *, with_sharpness: bool, span_seconds: float, decode_seconds: float, plan: str
) -> Samples:
    """Samples, in time order, as arrays."""
    return Samples(
        seconds=np.array([one.second for one in kept]),
        histograms=np.concatenate([one.histogram for one in kept]),
        pictures=tuple(one.picture for one in kept if one.picture is not None),
        sharpness=np.array([one.sharpness for one in kept]) if with_sharpness else None,
        span_seconds=span_seconds,
        decode_seconds=decode_seconds,
        plan=plan,
    )


def as_sample(second: float, image: NDArray[np.uint8], *, with_picture: bool, with_sharpness: bool) -> Sample:
    """What is kept of a frame, (H, W, 3) RGB uint8."""
    picture = encode_jpeg(image, quality=_QUALITY, full_colour=True) if with_picture else None
    return Sample(second, _colours(image), picture, sharpness(image) if with_sharpness else 0.0)


def sharpness(image: NDArray[np.uint8]) -> float:
    """Variance of the Laplacian of a grey (H, W, 3) RGB uint8 picture; higher is sharper."""
    grey = np.asarray(image) @ np.array([0.299, 0.587, 0.114])
    sides = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return float((sides - 4 * grey[1:-1, 1:-1]).var())


def most_samples(info: VideoInfo, options: DecodeOptions) -> int | None:
    """How many samples a video gives at most; None where its length is not known."""
    start, end = _window(info, options)
    return None if end is None else int((end - start) / _stride((start, end), options)) + 1


class Sampling(NamedTuple):
    """How a video is sampled."""

    window: tuple[float, float | None]
    """From which second to which; None: to the end, which is not known."""
    stride_seconds: float
    arguments: dict[str, Any]
    """Of `Decoder.sample` and `Decoder.plan`, beside the stride."""


def sampling_of(info: VideoInfo, options: DecodeOptions) -> Sampling:
    """How the options have a video sampled; raises `OptionsError` where the window lies past its end."""
    window = _window(info, options)
    stride = _stride(window, options)
    sparse = None if options.exhaustive else min(stride, 1 / options.fps)
    arguments = {
        "start_seconds": window[0],
        "end_seconds": window[1],
        "sparse_stride_seconds": sparse,
    }
    return Sampling(window, stride, arguments)


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
