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
    """Every frame; no B-frames and no loop filter; key frames only; or a seek before each sample."""
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

        Pictures are upright, `short_side` pixels on their shorter side (never enlarged), and each carries its own true time.
        Memory is constant. At least one frame is yielded, or `VideoError` is raised.
        """
        ...

    def decode_at(self, seconds: Sequence[float]) -> Frames:
        """Pass 2: the frames shown at these ascending times, exact, upright, full size."""
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
