"""What every decoding library offers the pipeline, in seconds and upright pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.data import Frames, VideoInfo

__all__ = ["DecodePlan", "Decoder"]


@dataclass(frozen=True, slots=True)
class DecodePlan:
    """How frames at a stride are got out of one file most cheaply."""

    mode: Literal["all", "reference", "key", "seek"]
    """Every frame; only those that others refer to, without loop filter; key frames only; or key frames, each
    found by a seek. Where a thin mode leaves a time open, frames are decoded in full there."""
    reason: str
    """One line a person can read."""


class Decoder(Protocol):
    """One open video. Times count from the first frame shown, in presentation order."""

    info: VideoInfo
    warnings: list[str]
    """What went wrong without ending the work: one line each, e.g. damage that cost frames."""

    def plan(self, stride_seconds: float) -> DecodePlan:
        """Choose the cheapest decode whose frames lie within half a stride of the wanted times."""
        ...

    def sample(
        self,
        stride_seconds: float,
        *,
        short_side: int,
        start_seconds: float = 0.0,
        end_seconds: float | None = None,
    ) -> Iterator[tuple[float, NDArray[np.uint8]]]:
        """Pass 1: yield `(seconds, (h, w, 3) RGB uint8)` about every `stride_seconds`, in time order.

        Pictures are upright, `short_side` pixels on their shorter side (never enlarged), and each carries its
        own true time. Frames lie within half a stride of start, start + stride, …; where the video has none
        there (a gap in variable frame rate), the frame on screen at that time stands in, once.
        Memory is constant. At least one frame is yielded, or `VideoError` is raised.
        """
        ...

    def decode_at(self, seconds: Sequence[float]) -> Frames:
        """Pass 2: the frames on screen at these ascending times, exact, upright, full size.

        A time beyond the end shows the last frame; times that show the same frame give it once. Times from
        `sample`, also rounded to a millisecond, give those very frames. Raises `OptionsError` on times that
        are negative or not ascending, `VideoError` where nothing can be decoded.
        """
        ...

    def close(self) -> None:
        """Free the file."""
        ...

    def __enter__(self) -> Decoder: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
