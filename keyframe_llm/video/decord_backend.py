"""The decord backend, for users who already work with decord.

Limits of decord 0.6.0, the last release (2021):

- Wheels exist for x86-64 Linux and Windows only.
- Its FFmpeg is old: no AV1, no GIF.
- It ignores edit lists. When a file is opened, decord's frame times are compared with those of the packets; a
  file whose times differ is refused.
- It finds the wrong frames in MPEG program and transport streams and in WMV, so those are refused. Its seeks
  can be one frame off in HEVC with open groups of pictures; this cannot be detected when a file is opened.
- It does not mirror pictures, so mirrored files are refused.
- It always decodes every frame from the last key frame, at full cost.
- On damaged files a call may never return (decord#363, #269, #157). So every call runs on its own thread and
  is abandoned after `ANSWER_SECONDS`.

A refusal is a `VideoError` that names `backend="pyav"`, which has none of these limits.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.data import Frames
from keyframe_llm.errors import VideoError
from keyframe_llm.video.deadline import within
from keyframe_llm.video.decoder import DecodePlan, Samples
from keyframe_llm.video.pyav_backend import PyAVDecoder
from keyframe_llm.video.sampling import (
    ON_SCREEN_TOLERANCE_SECONDS,
    check_stride,
    check_times,
    sample_times,
    shrink,
)
from keyframe_llm.video.survey import shown_length

__all__ = ["ANSWER_SECONDS", "DecordDecoder"]

ANSWER_SECONDS = 120.0
"""How long one call into decord may take. Opening reads the whole file, so it is long."""
_ADVICE = 'use backend="pyav"'
_UNSAFE_FORMATS = ("mpeg", "mpegts", "asf")

T = TypeVar("T")


class _FrameRef(NamedTuple):
    """A frame that is not decoded yet: its time, and its place in decord's order."""

    seconds: float
    place: int


class DecordDecoder:
    """A `Decoder` on decord. Raises `VideoError` where decord is missing or would show the file wrongly."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._decord = _import_decord()
        self.warnings: list[str] = []
        with PyAVDecoder(path) as probe:
            self.info = probe.info
            if probe.geometry.mirrored:
                raise VideoError(f"{self.info.path}: decord cannot mirror pictures; {_ADVICE}")
            if probe.container_format in _UNSAFE_FORMATS:
                raise VideoError(f"{self.info.path}: decord finds the wrong frames in this format; {_ADVICE}")
            self._times = probe.frame_times()
            self._duration = max(self.info.duration_seconds or 0.0, shown_length(self._times))
        self._full: Any = self._open(self.info.width, self.info.height)
        self._check_times()

    def plan(
        self,
        stride_seconds: float,
        *,
        start_seconds: float = 0.0,
        end_seconds: float | None = None,
        sparse_stride_seconds: float | None = None,
    ) -> DecodePlan:
        """Every frame, always: decord cannot skip frames."""
        return DecodePlan("all", f"every frame: about {len(self._times)} of them, as decord skips none")

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
        return self._sample(stride_seconds, short_side, start_seconds, end_seconds)

    def decode_at(self, seconds: Sequence[float], *, short_side: int | None = None) -> Frames:
        """See `Decoder.decode_at`."""
        times = [float(s) for s in seconds]
        check_times(times, short_side)
        refs = [self.around(time + ON_SCREEN_TOLERANCE_SECONDS)[0] for time in times]
        shown = sorted({ref for ref in refs if ref is not None})
        width, height = shrink(self.info.width, self.info.height, short_side)
        full = (width, height) == (self.info.width, self.info.height)
        reader = self._full if full or not shown else self._open(width, height)
        images = np.empty((len(shown), height, width, 3), np.uint8)
        for row, ref in zip(images, shown, strict=True):
            row[:] = self._picture(reader, ref)
        return Frames(images, np.array([ref.seconds for ref in shown], dtype=np.float64))

    def around(self, seconds: float) -> tuple[_FrameRef | None, _FrameRef | None]:
        """The last frame at or before `seconds`, and the first after it; None where there is none."""
        at = int(np.searchsorted(self._times, seconds, side="right"))
        return self._ref(at - 1), self._ref(at)

    def close(self) -> None:
        """Free the file."""
        self._full = None

    def __enter__(self) -> DecordDecoder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _sample(self, stride: float, short_side: int, start: float, end: float | None) -> Samples:
        duration = self._duration
        if start >= duration:
            raise VideoError(f"{self.info.path} ends at {duration:.3f} s, before start_seconds {start:g}")
        small = self._open(*shrink(self.info.width, self.info.height, short_side))
        refs = sample_times([self], stride, start, math.inf if end is None else end, duration)
        for given, ref in enumerate(refs):
            try:
                picture = self._picture(small, ref)
            except VideoError as error:
                if not given:
                    raise
                self.warnings.append(str(error))
                return
            yield ref.seconds, picture

    def _ref(self, index: int) -> _FrameRef | None:
        return _FrameRef(float(self._times[index]), index) if 0 <= index < len(self._times) else None

    def _open(self, width: int, height: int) -> Any:
        reader = self._decord.VideoReader
        return self._call(lambda: reader(self.info.path, width=width, height=height), "opened")

    def _picture(self, reader: Any, ref: _FrameRef) -> NDArray[np.uint8]:
        picture: NDArray[np.uint8] = self._call(
            lambda: reader[ref.place].asnumpy(), f"decoded at {ref.seconds:.3f} s"
        )
        height, width, channels = picture.shape
        if channels == 3:
            return picture
        # decord takes the padding of narrow rows for additional channels.
        return picture.reshape(height, -1)[:, : 3 * width].reshape(height, width, 3)

    def _call(self, call: Callable[[], T], what: str) -> T:
        try:
            return within(ANSWER_SECONDS, call, "decord")
        except self._decord.DECORDError as error:
            raise VideoError(f"{self.info.path} could not be {what} by decord; {_ADVICE}") from error
        except TimeoutError as error:
            raise VideoError(
                f"{self.info.path} was not {what} by decord within {ANSWER_SECONDS:g} s; {_ADVICE}"
            ) from error

    def _check_times(self) -> None:
        """Compare decord's frame times with those of the packets. Raises `VideoError` where they differ."""
        count = len(self._full)
        if count == len(self._times):
            stamps = self._call(lambda: self._full.get_frame_timestamp(np.arange(count)), "timed")[:, 0]
            # decord counts in 32-bit floats
            slack = 1e-3 + 1e-6 * float(self._times[-1])
            if np.abs(stamps - stamps[0] - self._times).max() <= slack:
                return
        raise VideoError(
            f"{self.info.path}: decord would show other frames than a player "
            f"(an edit list or a broken index); {_ADVICE}"
        )


def _import_decord() -> Any:
    try:
        import decord
    except ImportError as error:
        raise VideoError(
            'backend "decord" is not installed; pip install decord (x86-64 Linux and Windows only), '
            f"or {_ADVICE}"
        ) from error
    decord.logging.set_level(decord.logging.QUIET)
    return decord
