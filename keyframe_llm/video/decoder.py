"""What every decoding library offers the pipeline, in seconds and upright pictures."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.data import Frames, VideoInfo

__all__ = ["DecodePlan", "Decoder", "Mode", "Samples", "Stretch"]

Mode = Literal["all", "reference", "key", "seek", "busy"]
Samples = Generator[tuple[float, NDArray[np.uint8]], None, None]
"""Times in seconds and pictures; decoding ends when it is closed."""


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """A part of a plan that can be carried out on its own."""

    mode: Mode
    wanted: NDArray[np.float64]
    """(N,) ascending seconds at which frames are wanted."""
    stride_seconds: float
    """Frames up to half of this away will do."""


@dataclass(frozen=True, slots=True)
class DecodePlan:
    """How frames at a stride are got out of one file most cheaply."""

    mode: Mode
    """Every frame; only those that others refer to; key frames only; or key frames, each found by a seek.
    Where a thin mode leaves a time open, frames are decoded in full there. `busy`: key frames, and frames at
    a stride in those groups between them in which most changes."""
    reason: str
    """One line a person can read."""
    stretches: tuple[Stretch, ...] = field(default=(), repr=False, compare=False)
    """The parts, in time order; none where the file can only be read from start to end."""


class Decoder(Protocol):
    """One open video. Times count from the first frame shown, in presentation order."""

    info: VideoInfo
    warnings: list[str]
    """What went wrong without ending the work: one line each, e.g. damage that cost frames."""

    def plan(
        self,
        stride_seconds: float,
        *,
        start_seconds: float = 0.0,
        end_seconds: float | None = None,
        busy_stride_seconds: float | None = None,
    ) -> DecodePlan:
        """Choose the cheapest decode for what `sample` would be asked for with the same arguments."""
        ...

    def sample(
        self,
        stride_seconds: float,
        *,
        short_side: int,
        start_seconds: float = 0.0,
        end_seconds: float | None = None,
        busy_stride_seconds: float | None = None,
    ) -> Samples:
        """Pass 1: yield `(seconds, (h, w, 3) RGB uint8)` about every `stride_seconds`, in time order.

        Pictures are upright, `short_side` pixels on their shorter side (never enlarged), and each carries its
        own true time. Frames lie within half a stride of start, start + stride, …; where the video has none
        there (a gap in variable frame rate), the frame on screen at that time stands in, once.
        With `busy_stride_seconds`, a video in which that would cost too much gives fewer frames: key frames,
        and frames at that stride in the parts between them in which most changes; `plan` says which it is.
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
