"""The PyAV backend, the default: FFmpeg's libraries in one wheel, every common format."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import pairwise
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.data import Frames, VideoInfo
from keyframe_llm.errors import VideoError
from keyframe_llm.memory import trim_memory
from keyframe_llm.video.byte_source import ByteSource, Place
from keyframe_llm.video.decoder import DecodePlan, Samples
from keyframe_llm.video.geometry import Geometry, has_alpha
from keyframe_llm.video.hardware import check_hardware
from keyframe_llm.video.parallel import Window
from keyframe_llm.video.pixel_formats import claims_transparency, means_transparency, needs_first_palette
from keyframe_llm.video.plan import choose_plan
from keyframe_llm.video.pyav_sampling import sample_plan
from keyframe_llm.video.reader import FrameReader, Skip, TimedFrame
from keyframe_llm.video.sampling import ON_SCREEN_TOLERANCE_SECONDS, check_stride, check_times, shrink
from keyframe_llm.video.seek import FrameCursor
from keyframe_llm.video.source import av_errors, check_path, unreferenced_are_marked
from keyframe_llm.video.survey import FileSurvey, packet_times, survey_video

__all__ = ["PyAVDecoder"]

_FPS_TOLERANCE = 0.05
_LARGE_PIXELS = 4_000_000
_SAME = 1e-6
# Seeks may cost this many times the packets of the file, and a few; then it is read forwards.
_BUDGET, _BUDGET_PACKETS = 2, 500


class PyAVDecoder:
    """A `Decoder` on PyAV. Raises `VideoError` where no frame of the file can be shown.

    `max_pixels` bounds every decoded picture, and also the upright one with square pixels. `hardware` is the
    kind of device that decodes; `VideoError` where there is none.
    """

    def __init__(
        self,
        place: Place | os.PathLike[str],
        max_pixels: int | None = None,
        *,
        hardware: str | None = None,
    ) -> None:
        self._place = place if isinstance(place, ByteSource) else check_path(place)
        self._path = self._place.name if isinstance(self._place, ByteSource) else self._place
        if hardware is not None:
            check_hardware(hardware)
        self.warnings: list[str] = []
        self._surveyed: FileSurvey | None = None
        self._cut_off = False
        self._sampled: set[int] = set()  # milliseconds
        self._quick: FrameCursor | None = None
        self._quick_reader: FrameReader | None = None
        self._reader = FrameReader(self._place, max_pixels=max_pixels, hardware=hardware)
        try:
            self._begin(max_pixels)
        except BaseException:
            self.close()
            raise

    def _begin(self, max_pixels: int | None) -> None:
        self._exact = FrameCursor(self._reader, jump=True)
        first = self._exact.around(0.0)[0]
        if first is None:
            raise VideoError(f"{self._path}: no frame can be decoded; the file is damaged, make it again")
        stream = self._reader.stream
        self._reader.sequential |= self._reader.timeline.counted or needs_first_palette(first.frame, stream)
        alpha = means_transparency(self._reader.container, stream)
        self.geometry = Geometry.of(first.frame, stream.sample_aspect_ratio, transparency=alpha)
        if claims_transparency(stream) and not has_alpha(first.frame):
            self.warnings.append(f"{self._path} has transparent parts that this FFmpeg cannot decode")
        width, height = self.geometry.upright
        if max_pixels is not None and width * height > max_pixels:
            raise VideoError(
                f"{self._path} is shown in pictures of {width * height:,} pixels, and at most "
                f"{max_pixels:,} are allowed; use a smaller copy"
            )
        self.info = VideoInfo(
            path=self._path,
            duration_seconds=self._reader.stated_seconds,
            average_fps=self._reader.stated.average_fps,
            width=width,
            height=height,
            codec=stream.codec_context.codec.canonical_name,
        )
        if not self._reader.traits.lists_frames:  # then the file may state a wrong length, or have two clocks
            self._survey()

    def plan(
        self,
        stride_seconds: float,
        *,
        start_seconds: float = 0.0,
        end_seconds: float | None = None,
        sparse_stride_seconds: float | None = None,
    ) -> DecodePlan:
        """See `Decoder.plan`."""
        end = math.inf if end_seconds is None else end_seconds
        return choose_plan(self._survey().survey, stride_seconds, start_seconds, end, sparse_stride_seconds)

    def sample(
        self,
        stride_seconds: float,
        *,
        short_side: int,
        start_seconds: float = 0.0,
        end_seconds: float | None = None,
        sparse_stride_seconds: float | None = None,
    ) -> Samples:
        """See `Decoder.sample`."""
        check_stride(stride_seconds, short_side, start_seconds, end_seconds)
        return self._sample(stride_seconds, short_side, start_seconds, end_seconds, sparse_stride_seconds)

    def decode_at(self, seconds: Sequence[float], *, short_side: int | None = None) -> Frames:
        """See `Decoder.decode_at`."""
        times = [float(s) for s in seconds]
        check_times(times, short_side)
        self._exact.wanted = np.array(times) + ON_SCREEN_TOLERANCE_SECONDS
        width, height = shrink(*self.geometry.upright, short_side)
        images = np.empty((len(times), height, width, 3), np.uint8)
        found: list[float] = []
        for time, later in pairwise([*times, math.inf]):
            timed = self._sampled_frame(time) or self._exact.around(time + ON_SCREEN_TOLERANCE_SECONDS)[0]
            if timed is None:
                raise VideoError(
                    f"{self._path}: no frame can be decoded at {time:.3f} s; the file is damaged"
                )
            self._release_before(later, timed.seconds)
            if not found or timed.seconds > found[-1]:
                with av_errors(self._path):
                    images[len(found)] = self.geometry.picture(timed.frame, short_side)
                found.append(timed.seconds)
        self._note_damage(self._reader)
        self._close_quick()
        return Frames(images[: len(found)], np.array(found, dtype=np.float64))

    @property
    def container_format(self) -> str:
        """FFmpeg's name of the container."""
        return self._reader.container.format.name

    @property
    def decoded_packets(self) -> int:
        """How many packets were decoded so far."""
        return self._reader.work.packets

    def frame_times(self) -> NDArray[np.float64]:
        """(N,) times of all frames shown, ascending, read from the packets."""
        with self._another() as reader:
            return packet_times(reader)

    def close(self) -> None:
        """Free the file."""
        self._close_quick()
        self._reader.close()

    def __enter__(self) -> PyAVDecoder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _another(self, skip: Skip = "DEFAULT", threads: int = 0) -> FrameReader:
        first = self._reader
        reader = FrameReader(self._place, skip, first.max_pixels, hardware=first.hardware, threads=threads)
        reader.read_like(first)
        return reader

    def _survey(self) -> FileSurvey:
        """Survey the file, once; its readers then know where key frames are, and how the clock goes."""
        if self._surveyed is not None:
            return self._surveyed
        with self._another() as reader:
            found = survey_video(reader, self._reader.stated_seconds)
        self._surveyed = found
        self._reader.key_seconds = found.key_seconds
        self._reader.work.budget = _BUDGET * found.survey.frames + _BUDGET_PACKETS
        self._reader.sequential |= found.key_seconds is None
        if not self._reader.traits.lists_frames:
            length = found.survey.duration_seconds
            self.info = replace(
                self.info,
                duration_seconds=length if math.isfinite(length) else self.info.duration_seconds,
                average_fps=_plausible_fps(self.info.average_fps, found.average_fps),
            )
        self.warnings += [f"{self._path} {line}" for line in found.unseen]
        if found.clock_rules is not None:
            self._reader.clock_rules = found.clock_rules
            self._release()
            self.warnings.append(f"{self._path} {_clock_line(found.clock_breaks)}")
        return found

    def _sampled_frame(self, time: float) -> TimedFrame | None:
        """The frame of a sampled time, decoded without those that no frame refers to; None: not found so."""
        if round(time * 1000) not in self._sampled:
            return None
        if self._quick is None:
            self._quick_reader = self._another("NONREF")
            self._quick = FrameCursor(self._quick_reader, jump=True, wanted=self._exact.wanted)
        timed = self._quick.around(time + ON_SCREEN_TOLERANCE_SECONDS)[0]
        begins = timed is not None and abs(timed.seconds - time) <= ON_SCREEN_TOLERANCE_SECONDS + _SAME
        return timed if begins else None

    def _close_quick(self) -> None:
        if self._quick_reader is not None:
            self._quick_reader.close()
        self._quick = self._quick_reader = None  # the pictures go when nothing refers to the decoder

    def _release_before(self, later: float, seconds: float) -> None:
        """Where pictures are large and the next is in another group, free those that the decoder holds."""
        keys = self._reader.key_seconds
        if not self._is_large or keys is None or self._reader.sequential:
            return
        if later == math.inf or (self._reader.key_before(later) or 0.0) > seconds:
            self._close_quick()
            self._release()

    @property
    def _is_large(self) -> bool:
        return self.info.width * self.info.height > _LARGE_PIXELS

    def _release(self) -> None:
        """Give back the memory of the pictures that the exact reader holds; it starts anew."""
        self._reader.restart()
        self._exact = FrameCursor(self._reader, jump=True, wanted=self._exact.wanted)
        if self._is_large:
            trim_memory()

    def _sample(
        self, stride: float, short_side: int, start: float, end_seconds: float | None, sparse: float | None
    ) -> Samples:
        plan = self.plan(stride, start_seconds=start, end_seconds=end_seconds, sparse_stride_seconds=sparse)
        duration = self._survey().survey.duration_seconds
        if start >= duration:
            raise VideoError(f"{self._path} ends at {duration:.3f} s, before start_seconds {start:g}")
        window = Window(start, math.inf if end_seconds is None else end_seconds, duration, short_side)
        if self._is_large:
            self._release()
        readers, given = [self._reader], list[float]()
        with ExitStack() as stack:

            def open_reader(skip: Skip, threads: int = 0) -> FrameReader:
                readers.append(stack.enter_context(self._another(skip, threads)))
                return readers[-1]

            with av_errors(self._path):
                for second, picture in sample_plan(
                    plan, stride, window, self.geometry, self._exact, open_reader
                ):
                    given.append(second)
                    yield second, picture
            if plan.mode != "all" and not any(reader.damage() for reader in readers):
                self._note_sampled(given)
            shared = len(plan.segments) > 1
            unseen = max(stride, duration - float(plan.segments[-1].wanted[-1])) if shared else stride
            self._note_end(readers, window, unseen)
        if self._is_large:
            readers.clear()
            self._release()

    def _note_sampled(self, seconds: Sequence[float]) -> None:
        """Which times need no full decode; only where the unreferenced frames are known for certain."""
        timeline = self._reader.timeline
        has_unreferenced = self._survey().survey.anchor_gap_seconds is not None
        dated = not timeline.dated_by_decoding and not timeline.counted
        if has_unreferenced and dated and unreferenced_are_marked(self._reader.stream):
            self._sampled = {round(second * 1000) for second in seconds}

    def _note_damage(self, reader: FrameReader) -> None:
        if not self._cut_off:
            self.warnings += [line for line in reader.damage() if line not in self.warnings]

    def _note_end(self, readers: Sequence[FrameReader], window: Window, unseen: float) -> None:
        """After sampling: note damage and, where the end was reached, the true length or a missing end.

        `unseen` is how many seconds at the end a plan may leave out on purpose.
        """
        if window.end >= window.duration:
            self._check_end(
                max(reader.timeline.reached for reader in readers),
                max(unseen, *(reader.timeline.longest_gap for reader in readers)),
            )
        for reader in readers:
            self._note_damage(reader)

    def _check_end(self, reached: float, longest_gap: float) -> None:
        end = reached + (1 / self.info.average_fps if self.info.average_fps else 0.0)
        # A file with several clocks states the end of one of them.
        stated = None if self._reader.clock_rules else self._reader.stated_picture_seconds
        # The last picture may stay on screen for long, but hardly for much longer than any before it.
        if not self._cut_off and stated is not None and stated - end > max(1.0, 2 * longest_gap):
            self._cut_off = True
            self.warnings.append(f"{self._path} is cut off: only {end:.1f} s of {stated:.1f} s can be read")
            self.info = replace(self.info, duration_seconds=end)
        elif self.info.duration_seconds is None or self.info.duration_seconds < reached:
            self.info = replace(self.info, duration_seconds=end)


def _plausible_fps(stated: float | None, counted: float | None) -> float | None:
    """The stated rate where counting about confirms it, as it is not rounded; else what was counted."""
    if stated is None or counted is None:
        return counted or stated
    return stated if abs(stated - counted) <= _FPS_TOLERANCE * counted else counted


def _clock_line(breaks: Sequence[float]) -> str:
    if not breaks:
        return "has some impossible timestamps; those frames are dated by the frame rate"
    more = f", and {len(breaks) - 1} times more" if len(breaks) > 1 else ""
    return (
        f"has timestamps that start again or jump at {breaks[0]:.3f} s{more}; from there, the seconds given "
        "here go on without a break"
    )
