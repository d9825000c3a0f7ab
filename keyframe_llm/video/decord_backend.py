"""The decord decoder, for those who have it in their stack already.

Limits, all of decord 0.6.0, the last release (2021):

- Wheels exist for x86-64 Linux and Windows only.
- Its FFmpeg is old: no AV1, no GIF.
- It ignores edit lists. Its frame times are compared with the packets' own when a file is opened, and a file
  it would show wrongly is refused.
- It finds the wrong frames in MPEG program and transport streams and in WMV, so those are refused. Its seeks
  can be one frame off in HEVC with open groups of pictures, which cannot be told beforehand.
- It does not mirror pictures; files that ask for it are refused.
- It always decodes every frame from the last key frame on, at full cost.
- On damaged files it may never come back (decord#363, #269, #157). Every call into it therefore runs on a
  thread of its own and is given up after `ANSWER_SECONDS`.

A refusal is a `VideoError` that names `backend="pyav"`, which has none of these limits.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.data import Frames
from keyframe_llm.errors import VideoError
from keyframe_llm.video.decoder import DecodePlan, Samples
from keyframe_llm.video.geometry import shrink
from keyframe_llm.video.pyav_backend import ON_SCREEN_TOLERANCE_SECONDS, PyAVDecoder
from keyframe_llm.video.sampling import check_stride, check_times, sample_times
from keyframe_llm.video.survey import shown_length

__all__ = ["ANSWER_SECONDS", "DecordDecoder"]

ANSWER_SECONDS = 120.0
"""How long one call into decord may take. Opening reads the whole file, so this is generous."""
_ADVICE = 'use backend="pyav"'
_UNSAFE_FORMATS = ("mpeg", "mpegts", "asf")

T = TypeVar("T")


class _Moment(NamedTuple):
    """A frame by its place in decord's order, not decoded yet."""

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
                raise VideoError(f"{self.info.path}: decord does not mirror as this file asks; {_ADVICE}")
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
        busy_stride_seconds: float | None = None,
    ) -> DecodePlan:
        """Every frame, always: decord can leave none out."""
        return DecodePlan("all", f"every frame: about {len(self._times)} of them, as decord skips none")

    def sample(
        self,
        stride_seconds: float,
        *,
        short_side: int,
        start_seconds: float = 0.0,
        end_seconds: float | None = None,
        busy_stride_seconds: float | None = None,
    ) -> Samples:
        """See `Decoder.sample`; always at the stride, as every frame is decoded anyway."""
        check_stride(stride_seconds, short_side, start_seconds, end_seconds)
        return self._sample(stride_seconds, short_side, start_seconds, end_seconds)

    def decode_at(self, seconds: Sequence[float]) -> Frames:
        """See `Decoder.decode_at`."""
        times = [float(s) for s in seconds]
        check_times(times)
        moments = [self.around(time + ON_SCREEN_TOLERANCE_SECONDS)[0] for time in times]
        shown = sorted({moment for moment in moments if moment is not None})
        size = (self.info.height, self.info.width, 3)
        images = np.empty((len(shown), *size), np.uint8)
        for row, moment in zip(images, shown, strict=True):
            row[:] = self._picture(self._full, moment)
        return Frames(images, np.array([moment.seconds for moment in shown], dtype=np.float64))

    def around(self, seconds: float) -> tuple[_Moment | None, _Moment | None]:
        """The last frame at or before `seconds`, and the first after it; None where there is none."""
        at = int(np.searchsorted(self._times, seconds, side="right"))
        return self._moment(at - 1), self._moment(at)

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
        moments = sample_times([self], stride, start, math.inf if end is None else end, duration)
        for given, moment in enumerate(moments):
            try:
                picture = self._picture(small, moment)
            except VideoError as error:
                if not given:
                    raise
                self.warnings.append(str(error))
                return
            yield moment.seconds, picture

    def _moment(self, index: int) -> _Moment | None:
        return _Moment(float(self._times[index]), index) if 0 <= index < len(self._times) else None

    def _open(self, width: int, height: int) -> Any:
        reader = self._decord.VideoReader
        return self._ask(lambda: reader(self.info.path, width=width, height=height), "opened")

    def _picture(self, reader: Any, moment: _Moment) -> NDArray[np.uint8]:
        picture: NDArray[np.uint8] = self._ask(
            lambda: reader[moment.place].asnumpy(), f"decoded at {moment.seconds:.3f} s"
        )
        height, width, channels = picture.shape
        if channels == 3:
            return picture
        # decord takes the padding of narrow rows for more channels.
        return picture.reshape(height, -1)[:, : 3 * width].reshape(height, width, 3)

    def _ask(self, call: Callable[[], T], what: str) -> T:
        try:
            return _within(ANSWER_SECONDS, call)
        except self._decord.DECORDError as error:
            raise VideoError(f"{self.info.path} could not be {what} by decord; {_ADVICE}") from error
        except TimeoutError as error:
            raise VideoError(
                f"{self.info.path} was not {what} by decord within {ANSWER_SECONDS:g} s; {_ADVICE}"
            ) from error

    def _check_times(self) -> None:
        """Compare decord's frame times with the packets': edit lists and broken indices make a difference."""
        count = len(self._full)
        if count == len(self._times):
            stamps = self._ask(lambda: self._full.get_frame_timestamp(np.arange(count)), "timed")[:, 0]
            # decord counts in 32-bit floats
            slack = 1e-3 + 1e-6 * float(self._times[-1])
            if np.abs(stamps - stamps[0] - self._times).max() <= slack:
                return
        raise VideoError(
            f"{self.info.path}: decord would show other frames than the file asks for "
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


def _within(seconds: float, call: Callable[[], T]) -> T:
    """The call's result; `TimeoutError` where it does not come back in time, the thread being left behind."""
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(call())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="decord", daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise TimeoutError
    return results[0]
