"""A base class for decoders of one's own: write one method, `read`, and the contract is fulfilled."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from types import TracebackType
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.data import Frames, VideoInfo
from keyframe_llm.errors import VideoError
from keyframe_llm.video.decoder import DecodePlan, Samples
from keyframe_llm.video.sampling import (
    ON_SCREEN_TOLERANCE_SECONDS,
    check_stride,
    check_times,
    sample_times,
    shrink,
)

__all__ = ["SimpleDecoder"]

Self = TypeVar("Self", bound="SimpleDecoder")


class _Picture(NamedTuple):
    """A full-size picture and its time."""

    seconds: float
    image: NDArray[np.uint8]


class SimpleDecoder(ABC):
    """A `Decoder` that reads its frames forwards. A subclass sets `info` and writes `read`."""

    info: VideoInfo

    def __init__(self) -> None:
        self.warnings: list[str] = []

    @abstractmethod
    def read(self, from_seconds: float) -> Iterable[tuple[float, NDArray[np.uint8]]]:
        """Yield `(seconds, (H, W, 3) RGB uint8)` of every frame, upright, in strictly ascending time.

        Begin with the frame on screen at `from_seconds`, or with an earlier one, at the latest with the first
        frame, whose time is 0.0.
        """

    def close(self) -> None:  # noqa: B027 - most subclasses have nothing to free
        """Free the file."""

    def plan(
        self,
        stride_seconds: float,
        *,
        start_seconds: float = 0.0,
        end_seconds: float | None = None,
        sparse_stride_seconds: float | None = None,
    ) -> DecodePlan:
        """Every frame, always."""
        return DecodePlan("all", "every frame, as this decoder skips none")

    def sample(
        self,
        stride_seconds: float,
        *,
        short_side: int,
        start_seconds: float = 0.0,
        end_seconds: float | None = None,
        sparse_stride_seconds: float | None = None,
    ) -> Samples:
        """See `Decoder.sample`; always at the stride, as every frame is decoded anyway."""
        check_stride(stride_seconds, short_side, start_seconds, end_seconds)
        end = math.inf if end_seconds is None else end_seconds
        return self._sample(stride_seconds, short_side, start_seconds, end)

    def decode_at(self, seconds: Sequence[float], *, short_side: int | None = None) -> Frames:
        """See `Decoder.decode_at`."""
        times = [float(second) for second in seconds]
        check_times(times, short_side)
        source = _Forwards(self, times[0] if times else 0.0)
        found = [source.around(time + ON_SCREEN_TOLERANCE_SECONDS)[0] for time in times]
        frames = {frame.seconds: _shrunk(frame.image, short_side) for frame in found if frame is not None}
        if times and not frames:
            raise VideoError(f"{self.info.path}: no frame can be decoded at {times[0]:.3f} s")
        width, height = shrink(self.info.width, self.info.height, short_side)
        empty = np.empty((0, height, width, 3), np.uint8)
        images = np.stack(list(frames.values())) if frames else empty
        return Frames(images, np.array(list(frames), dtype=np.float64))

    def _sample(self, stride: float, short_side: int, start: float, end: float) -> Samples:
        path, stated = self.info.path, self.info.duration_seconds
        duration = math.inf if stated is None else stated
        if start >= duration:
            raise VideoError(f"{path} ends at {duration:.3f} s, before start_seconds {start:g}")
        given = 0
        for frame in sample_times([_Forwards(self, start)], stride, start, end, duration):
            yield frame.seconds, _shrunk(frame.image, short_side)
            given += 1
        if not given:
            raise VideoError(f"{path}: no frame can be decoded from {start:g} s on")

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Forwards:
    """The frames of a decoder by ascending time; reads on only as far as a time demands."""

    def __init__(self, decoder: SimpleDecoder, from_seconds: float) -> None:
        read: Iterator[_Picture] = (_Picture(float(s), image) for s, image in decoder.read(from_seconds))
        self._frames = chain(read, [None])
        self._now: _Picture | None = None
        self._next: _Picture | None = next(self._frames)

    def around(self, seconds: float) -> tuple[_Picture | None, _Picture | None]:
        """The last frame at or before `seconds`, and the first after it; None where there is none."""
        while self._next is not None and self._next.seconds <= seconds:
            self._now, self._next = self._next, next(self._frames)
        return self._now, self._next


def _shrunk(image: NDArray[np.uint8], short_side: int | None) -> NDArray[np.uint8]:
    from PIL import Image

    height, width = image.shape[:2]
    size = shrink(width, height, short_side)
    if size == (width, height):
        return image
    return np.array(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
