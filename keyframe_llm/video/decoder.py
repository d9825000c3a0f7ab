"""The contract that every decoding backend fulfils: times in seconds, upright RGB pictures."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.data import Frames, VideoInfo

__all__ = ["DecodePlan", "Decoder", "Mode", "OpenDecoder", "Samples", "Segment"]

Mode = Literal["all", "reference", "key", "seek", "sparse"]
Samples = Generator[tuple[float, NDArray[np.uint8]], None, None]
"""Times in seconds and pictures. Closing the generator ends the decoding."""


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """A part of a video that can be decoded on its own."""

    mode: Mode
    wanted: NDArray[np.float64]
    """(N,) ascending seconds at which frames are wanted."""
    stride_seconds: float
    """A frame may lie up to half of this away from the wanted time."""


@dataclass(frozen=True, slots=True)
class DecodePlan:
    """The cheapest way to get the wanted frames out of one file."""

    mode: Mode
    """Which frames are decoded:

    - `all`: every frame;
    - `reference`: the frames that other frames refer to (no B-frames);
    - `key`: key frames only;
    - `seek`: key frames only, each found by a seek;
    - `sparse`: key frames, and the frames in between only where most changes.

    In the first four modes, a wanted time that has no frame nearby is decoded in full.
    """
    reason: str
    """Why this mode, in one line for people."""
    segments: tuple[Segment, ...] = field(default=(), repr=False, compare=False)
    """The parts, in time order. Empty where the file can only be read from start to end."""


class Decoder(Protocol):
    """One open video. Times count from the first frame shown, in presentation order."""

    info: VideoInfo
    warnings: list[str]
    """Faults of the file that did not end the work, one line each: e.g. damage that cost frames."""

    def plan(
        self,
        stride_seconds: float,
        *,
        start_seconds: float = 0.0,
        end_seconds: float | None = None,
        sparse_stride_seconds: float | None = None,
    ) -> DecodePlan:
        """The plan that `sample` follows when it is called with the same arguments."""
        ...

    def sample(
        self,
        stride_seconds: float,
        *,
        short_side: int,
        start_seconds: float = 0.0,
        end_seconds: float | None = None,
        sparse_stride_seconds: float | None = None,
    ) -> Samples:
        """Pass 1: yield `(seconds, (h, w, 3) RGB uint8)` about every `stride_seconds`, in time order.

        Pictures are upright, `short_side` pixels on their shorter side (never enlarged), and each carries its
        own true time. Frames lie within half a stride of start, start + stride, …. Where the video has none
        there (a gap in variable frame rate), the frame on screen at that time is taken, once.
        With `sparse_stride_seconds`, a video in which this costs too much gives fewer frames: key frames, and
        frames at that stride in the parts in which most changes. `plan` says which case it is.
        Memory is constant. At least one frame is yielded, or `VideoError` is raised.
        """
        ...

    def decode_at(self, seconds: Sequence[float], *, short_side: int | None = None) -> Frames:
        """Pass 2: the frames on screen at these ascending times, exact and upright.

        They have their full size or, with `short_side`, at most that many pixels on the shorter side: three
        frames of 8K take 300 MB in full size.
        A time beyond the end gives the last frame. Times that show the same frame give it once. Times from
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


OpenDecoder = Callable[[str], Decoder]
"""A backend of one's own: opens the file at a path. Raises `VideoError` where the file cannot be shown."""
