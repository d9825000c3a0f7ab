"""A decoder of frames that are there already."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import TracebackType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from keyframe_llm.data import Frames, VideoInfo
from keyframe_llm.errors import OptionsError
from keyframe_llm.video.decoder import DecodePlan, Samples
from keyframe_llm.video.frame_list import FrameList
from keyframe_llm.video.pictures import fitted
from keyframe_llm.video.sampling import (
    ON_SCREEN_TOLERANCE_SECONDS,
    check_stride,
    check_times,
    sample_times,
    shrink,
)

__all__ = ["FrameListDecoder"]


class _Ref(NamedTuple):
    """A frame: its time, and its place in the list."""

    seconds: float
    place: int


class FrameListDecoder:
    """A `Decoder` of a `FrameList`. A picture is loaded only when it is wanted."""

    def __init__(self, frames: FrameList, max_pixels: int | None = None) -> None:
        self._frames, self._max_pixels = frames, max_pixels
        self.warnings: list[str] = []
        height, width, _ = frames.picture(0, max_pixels).shape
        steps = np.diff(frames.seconds)
        step = 1 / frames.fps if frames.fps else float(np.median(steps)) if len(steps) else None
        self.info = VideoInfo(
            path=frames.name,
            duration_seconds=None if step is None else float(frames.seconds[-1]) + step,
            average_fps=frames.fps or (float(1 / steps.mean()) if len(steps) else None),
            width=width,
            height=height,
            codec="frames",
        )

    def plan(
        self,
        stride_seconds: float,
        *,
        start_seconds: float = 0.0,
        end_seconds: float | None = None,
        sparse_stride_seconds: float | None = None,
    ) -> DecodePlan:
        """The wanted frames alone: they are there already."""
        return DecodePlan("all", f"{len(self._frames)} frames were given")

    def sample(
        self,
        stride_seconds: float,
        *,
        short_side: int,
        start_seconds: float = 0.0,
        end_seconds: float | None = None,
        sparse_stride_seconds: float | None = None,
    ) -> Samples:
        """See `Decoder.sample`; always at the stride."""
        check_stride(stride_seconds, short_side, start_seconds, end_seconds)
        last = float(self._frames.seconds[-1])
        if start_seconds > last:
            raise OptionsError(
                f"{self.info.path} ends at {last:.3f} s, before start_seconds {start_seconds:g}"
            )
        end = math.inf if end_seconds is None else end_seconds
        return self._sample(stride_seconds, short_side, start_seconds, end)

    def decode_at(self, seconds: Sequence[float], *, short_side: int | None = None) -> Frames:
        """See `Decoder.decode_at`; a time before the first frame gives the first one."""
        times = [float(second) for second in seconds]
        check_times(times, short_side)
        pairs = [self.around(time + ON_SCREEN_TOLERANCE_SECONDS) for time in times]
        shown = sorted({ref for before, after in pairs if (ref := before or after) is not None})
        width, height = shrink(self.info.width, self.info.height, short_side)
        images = np.empty((len(shown), height, width, 3), np.uint8)
        for row, ref in zip(images, shown, strict=True):
            row[:] = self._picture(ref, short_side)
        return Frames(images, np.array([ref.seconds for ref in shown], dtype=np.float64))

    def around(self, seconds: float) -> tuple[_Ref | None, _Ref | None]:
        """The last frame at or before `seconds`, and the first after it; None where there is none."""
        at = int(np.searchsorted(self._frames.seconds, seconds, side="right"))
        return self._ref(at - 1), self._ref(at)

    def close(self) -> None:
        """Nothing is held open."""

    def __enter__(self) -> FrameListDecoder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _sample(self, stride: float, short_side: int, start: float, end: float) -> Samples:
        stated = self.info.duration_seconds
        duration = math.inf if stated is None else stated
        for ref in sample_times([self], stride, start, end, duration):
            yield ref.seconds, self._picture(ref, short_side)

    def _ref(self, index: int) -> _Ref | None:
        known = 0 <= index < len(self._frames)
        return _Ref(float(self._frames.seconds[index]), index) if known else None

    def _picture(self, ref: _Ref, short_side: int | None) -> NDArray[np.uint8]:
        picture = self._frames.picture(ref.place, self._max_pixels)
        picture = fitted(picture, self.info.width, self.info.height)
        size = shrink(self.info.width, self.info.height, short_side)
        if size == (self.info.width, self.info.height):
            return picture
        return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR))
