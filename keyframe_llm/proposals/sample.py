"""Pass 1: stream a video once; keep the colour histograms and, where asked, small pictures.

Memory is bounded by the number of samples, not by the length of the video: when there are too many, every
second one is dropped and the stride doubles; or, of a thin look, those most like another one.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.data import VideoInfo
from keyframe_llm.errors import OptionsError, VideoError
from keyframe_llm.options import SelectOptions
from keyframe_llm.proposals.stacfp import color_histogram
from keyframe_llm.video import Decoder

__all__ = ["Progress", "Sampled", "most_samples", "sample_video", "unpacked"]

Progress = Callable[[str, float], None]
"""Called with the stage's name and how much of it is done, 0–1."""

HISTOGRAM_SIDE = 90
"""Pixels on the shorter side of a picture whose colours are counted; more changes the histogram little."""
_FEWEST = 16  # a clip of a second or two is looked at this often, where it has the frames
_QUALITY = 92
_GAMMA_TIME = 5.0  # STACFP's own default
_ROWS = 128


@dataclass(frozen=True, slots=True, eq=False)
class Sampled:
    """N sampled frames: times, colours and, where they were asked for, small pictures."""

    seconds: NDArray[np.float64]
    """(N,) presentation times, ascending."""
    histograms: NDArray[np.float32]
    """(N, d) as `stacfp.color_histogram` makes them."""
    pictures: tuple[bytes, ...]
    """N JPEG pictures, or none; packed because a long video's would not fit in memory."""
    span_seconds: float
    """How much of the video was looked at."""
    decode_seconds: float
    """Time spent on decoding."""
    plan: str

    def images(self, indices: NDArray[np.intp]) -> list[NDArray[np.uint8]]:
        """Unpack the small pictures of these samples, each (h, w, 3) RGB uint8."""
        return [unpacked(self.pictures[i]) for i in indices]

    def only(self, indices: NDArray[np.intp]) -> Sampled:
        """These samples alone."""
        pictures = tuple(self.pictures[i] for i in indices) if self.pictures else ()
        return replace(
            self, seconds=self.seconds[indices], histograms=self.histograms[indices], pictures=pictures
        )


def sample_video(
    decoder: Decoder,
    options: SelectOptions,
    *,
    picture_side: int | None,
    progress: Progress,
    told: Callable[[float, bytes | None], None] | None = None,
) -> Sampled:
    """Look at the video about `options.fps` times a second; `picture_side` None keeps no pictures.

    `told` is given every sample at once: its seconds and its JPEG picture. Raises `VideoError` where nothing
    can be decoded, `OptionsError` where the window lies past the end.
    """
    window = _window(decoder.info, options)
    stride = _stride(window, options)
    look: dict[str, Any] = {
        "start_seconds": window[0],
        "end_seconds": window[1],
        "busy_stride_seconds": None if options.exhaustive else min(stride, 1 / options.fps),
    }
    began = time.perf_counter()
    plan = decoder.plan(stride, **look)
    thinner = _Thinner(options.max_samples, evenly=plan.mode != "busy")
    spent = 0.0
    with closing(decoder.sample(stride, short_side=max(picture_side or 0, HISTOGRAM_SIDE), **look)) as frames:
        for second, image in frames:
            decoded = time.perf_counter()
            if thinner.wants():
                picture = _packed(image) if picture_side else None
                thinner.keep(second, _colours(image), picture)
                if told is not None:
                    told(second, picture)
            if window[1]:
                progress("decode", min(1.0, (second - window[0]) / (window[1] - window[0])))
            spent += time.perf_counter() - decoded
    progress("decode", 1.0)
    if not thinner.seconds:
        raise VideoError(
            f"{decoder.info.path}: no frame could be decoded; check the file with a video player"
        )
    return Sampled(
        seconds=np.array(thinner.seconds),
        histograms=np.concatenate(thinner.histograms),
        pictures=tuple(p for p in thinner.pictures if p is not None),
        span_seconds=float((window[1] or thinner.seconds[-1] + stride) - window[0]),
        decode_seconds=time.perf_counter() - began - spent,
        plan=f"{plan.mode}: {plan.reason}",
    )


def most_samples(info: VideoInfo, options: SelectOptions) -> int | None:
    """How many samples a look at a stride gives at most; None where the video's length is not known."""
    start, end = _window(info, options)
    return None if end is None else int((end - start) / _stride((start, end), options)) + 1


def _window(info: VideoInfo, options: SelectOptions) -> tuple[float, float | None]:
    start, end = options.start_seconds or 0.0, options.end_seconds
    if info.duration_seconds is not None:
        if start >= info.duration_seconds:
            raise OptionsError(
                f"start_seconds is {start:g} but the video ends at {info.duration_seconds:.1f}; "
                "give an earlier start"
            )
        end = min(end, info.duration_seconds) if end is not None else info.duration_seconds
    return start, end


def _stride(window: tuple[float, float | None], options: SelectOptions) -> float:
    stride = 1.0 / options.fps
    if window[1] is None:
        return stride
    span = window[1] - window[0]
    return max(min(stride, span / _FEWEST), span / options.max_samples, 1e-3)


def _colours(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    step = max(1, min(image.shape[:2]) // HISTOGRAM_SIDE)
    return color_histogram(image[::step, ::step])


def _packed(image: NDArray[np.uint8]) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(image).save(out, "JPEG", quality=_QUALITY, subsampling=0)
    return out.getvalue()


def unpacked(picture: bytes) -> NDArray[np.uint8]:
    """The (h, w, 3) RGB uint8 of a JPEG picture."""
    from PIL import Image

    return np.array(Image.open(io.BytesIO(picture)))  # a copy, for torch warns of arrays it may not write to


class _Thinner:
    """Keeps at most `limit` samples of a stream of unknown length: evenly spread, or those that differ."""

    def __init__(self, limit: int, *, evenly: bool = True) -> None:
        self.limit, self.evenly, self.every, self.seen = limit, evenly, 1, 0
        self.seconds: list[float] = []
        self.histograms: list[NDArray[np.float32]] = []
        self.pictures: list[bytes | None] = []

    def wants(self) -> bool:
        """Whether the next frame is kept."""
        self.seen += 1
        return (self.seen - 1) % self.every == 0

    def keep(self, second: float, histogram: NDArray[np.float32], picture: bytes | None) -> None:
        if len(self.seconds) == self.limit:
            self._drop(range(1, self.limit, 2) if self.evenly else self._repeats())
            self.every *= 2 if self.evenly else 1
            if (self.seen - 1) % self.every:
                return
        self.seconds.append(second)
        self.histograms.append(histogram)
        self.pictures.append(picture)

    def _drop(self, indices: Sequence[int]) -> None:
        for i in sorted(indices, reverse=True):
            del self.seconds[i], self.histograms[i], self.pictures[i]

    def _repeats(self) -> list[int]:
        """Up to a quarter of the samples: those most like any other that stays, no two in a row.

        Like in STACFP's space of colour and time: a look that returns for hours is seen less often, one that
        is seen once for a second stays.
        """
        away, nearest = _nearest(np.concatenate(self.histograms), np.array(self.seconds))
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
    span = float(seconds[-1] - seconds[0]) or 1.0
    space = np.column_stack([histograms, _GAMMA_TIME * (seconds - seconds[0]) / span]).astype(np.float32)
    square = np.einsum("ij,ij->i", space, space)
    least, nearest = np.empty(len(space), np.float32), np.empty(len(space), np.intp)
    for first in range(0, len(space), _ROWS):  # a few rows at a time, for a whole matrix takes 16 MB
        rows = slice(first, first + _ROWS)
        away = square - 2 * (space[rows] @ space.T)
        np.fill_diagonal(away[:, first:], np.inf)
        nearest[rows] = away.argmin(axis=1)
        least[rows] = away.min(axis=1) + square[rows]
    return least, nearest
