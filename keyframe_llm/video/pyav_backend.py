"""The PyAV backend, the default: FFmpeg's libraries in one wheel, every common format."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.data import Frames, VideoInfo
from keyframe_llm.errors import VideoError
from keyframe_llm.video.costs import Survey
from keyframe_llm.video.decoder import DecodePlan, Samples
from keyframe_llm.video.geometry import Geometry
from keyframe_llm.video.hardware import check_hardware
from keyframe_llm.video.parallel import DecodeWorker, Window, available_cores, decode_in_order
from keyframe_llm.video.plan import choose_plan
from keyframe_llm.video.reader import FrameReader, Skip, TimedFrame
from keyframe_llm.video.sampling import (
    ON_SCREEN_TOLERANCE_SECONDS,
    TimedSource,
    check_stride,
    check_times,
    sample_times,
)
from keyframe_llm.video.seek import FrameCursor, KeyFrameCursor
from keyframe_llm.video.source import check_path
from keyframe_llm.video.survey import packet_times, survey_video

__all__ = ["PyAVDecoder"]


class PyAVDecoder:
    """A `Decoder` on PyAV. Raises `VideoError` where no frame of the file can be shown.

    `max_pixels` bounds every decoded picture, and also the upright one with square pixels. `hardware` is the
    kind of device that decodes; `VideoError` where there is none.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        max_pixels: int | None = None,
        *,
        hardware: str | None = None,
    ) -> None:
        self._path = check_path(path)
        if hardware is not None:
            check_hardware(hardware)
        self.warnings: list[str] = []
        self._survey: Survey | None = None
        self._cut_off = False
        self._reader = FrameReader(self._path, max_pixels=max_pixels, hardware=hardware)
        self._exact = FrameCursor(self._reader, jump=True)
        first = self._exact.around(0.0)[0]
        if first is None:
            self.close()
            raise VideoError(f"{self._path}: no frame can be decoded; the file is damaged, make it again")
        stream = self._reader.stream
        self.geometry = Geometry.of(first.frame, stream.sample_aspect_ratio)
        width, height = self.geometry.upright
        if max_pixels is not None and width * height > max_pixels:
            self.close()
            raise VideoError(
                f"{self._path} is shown in pictures of {width * height:,} pixels, and at most "
                f"{max_pixels:,} are allowed; use a smaller copy"
            )
        rate = stream.average_rate
        self.info = VideoInfo(
            path=self._path,
            duration_seconds=self._reader.stated_seconds(guess=True),
            average_fps=float(rate) if rate else None,
            width=width,
            height=height,
            codec=stream.codec_context.codec.canonical_name,
        )

    def plan(
        self,
        stride_seconds: float,
        *,
        start_seconds: float = 0.0,
        end_seconds: float | None = None,
        sparse_stride_seconds: float | None = None,
    ) -> DecodePlan:
        """See `Decoder.plan`."""
        if self._survey is None:
            with self._another() as reader:
                self._survey = survey_video(reader, self.info.duration_seconds)
        end = math.inf if end_seconds is None else end_seconds
        sparse = None if self._reader.finds_loosely else sparse_stride_seconds
        return choose_plan(self._survey, stride_seconds, start_seconds, end, sparse)

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

    def decode_at(self, seconds: Sequence[float]) -> Frames:
        """See `Decoder.decode_at`."""
        times = [float(s) for s in seconds]
        check_times(times)
        pictures: list[tuple[float, NDArray[np.uint8]]] = []
        for time in times:
            timed = self._exact.around(time + ON_SCREEN_TOLERANCE_SECONDS)[0]
            if timed is None:
                raise VideoError(
                    f"{self._path}: no frame can be decoded at {time:.3f} s; the file is damaged"
                )
            if not pictures or timed.seconds > pictures[-1][0]:
                pictures.append((timed.seconds, self.geometry.picture(timed.frame)))
        self._note_damage(self._reader)
        width, height = self.geometry.upright
        images = np.stack([p for _, p in pictures]) if pictures else np.empty((0, height, width, 3), np.uint8)
        return Frames(images, np.array([s for s, _ in pictures], dtype=np.float64))

    @property
    def container_format(self) -> str:
        """FFmpeg's name of the container."""
        return self._reader.container.format.name

    def frame_times(self) -> NDArray[np.float64]:
        """(N,) times of all frames shown, ascending, read from the packets."""
        with self._another() as reader:
            return packet_times(reader)

    def close(self) -> None:
        """Free the file."""
        self._reader.close()

    def __enter__(self) -> PyAVDecoder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _another(self, skip: Skip = "DEFAULT", threads: int = 0) -> FrameReader:
        first = self._reader
        reader = FrameReader(self._path, skip, first.max_pixels, hardware=first.hardware, threads=threads)
        reader.origin = self._reader.origin
        return reader

    def _sample(
        self, stride: float, short_side: int, start: float, end_seconds: float | None, sparse: float | None
    ) -> Samples:
        plan = self.plan(stride, start_seconds=start, end_seconds=end_seconds, sparse_stride_seconds=sparse)
        assert self._survey is not None
        duration = self._survey.duration_seconds
        if start >= duration:
            raise VideoError(f"{self._path} ends at {duration:.3f} s, before start_seconds {start:g}")
        window = Window(start, math.inf if end_seconds is None else end_seconds, duration, short_side)
        shared = len(plan.segments) > 1 and not self._reader.finds_loosely
        readers: list[FrameReader] = [self._reader]
        with ExitStack() as stack:
            samples = self._sample_in_parallel if shared else self._sample_in_sequence
            yield from samples(plan, stride, window, readers, stack)
            unseen = max(stride, duration - float(plan.segments[-1].wanted[-1])) if shared else stride
            self._note_end(readers, window, unseen)

    def _sample_in_sequence(
        self, plan: DecodePlan, stride: float, window: Window, readers: list[FrameReader], stack: ExitStack
    ) -> Samples:
        """From start to end with one reader; FFmpeg divides its frames among the cores."""
        sources, used = self._sources(plan.mode, stride, stack)
        readers += used
        start, end, duration, short_side = window
        for timed in sample_times([*sources, self._exact], stride, start, end, duration):
            yield timed.seconds, self.geometry.picture(timed.frame, short_side)

    def _sample_in_parallel(
        self, plan: DecodePlan, stride: float, window: Window, readers: list[FrameReader], stack: ExitStack
    ) -> Samples:
        """Segment by segment, with one worker for each core."""
        assert self._survey is not None and self._survey.key_seconds is not None
        keys, last = self._survey.key_seconds, plan.segments[-1]
        workers = [
            DecodeWorker(lambda skip: self._another(skip, threads=1), self.geometry, keys)
            for _ in range(available_cores())
        ]
        for worker in workers:
            stack.callback(worker.close)
        reached = -math.inf
        for part in decode_in_order(
            workers,
            plan.segments,
            lambda worker, segment: worker.decode(segment, window, last=segment is last),
        ):
            for second, picture in part.pictures:
                if second > reached:
                    reached = second
                    yield second, picture
            if part.ended:
                break
        readers += [reader for worker in workers for reader in worker.readers]

    def _sources(
        self, mode: str, stride: float, stack: ExitStack
    ) -> tuple[list[TimedSource[TimedFrame]], list[FrameReader]]:
        """The cheaper sources of frames, to be tried before the exact cursor, and their readers."""
        if mode == "all":
            reader = stack.enter_context(self._another())
            return [FrameCursor(reader, jump=False)], [reader]
        reference = stack.enter_context(self._another("NONREF"))
        if mode == "reference":
            return [FrameCursor(reference, jump=False)], [reference]
        between = FrameCursor(reference, jump=True)
        key = stack.enter_context(self._another("NONKEY"))
        if mode == "key":
            return [FrameCursor(key, jump=False), between], [key, reference]
        assert self._survey is not None and self._survey.key_seconds is not None
        return [KeyFrameCursor(key, self._survey.key_seconds, stride / 2), between], [key, reference]

    def _note_damage(self, reader: FrameReader) -> None:
        if not self._cut_off:
            self.warnings += [line for line in reader.damage() if line not in self.warnings]

    def _note_end(self, readers: Sequence[FrameReader], window: Window, unseen: float) -> None:
        """After sampling: note damage and, where the end was reached, the true length or a missing end.

        `unseen` is how many seconds at the end a plan may leave out on purpose.
        """
        if window.end >= window.duration:
            self._check_end(
                max(reader.reached for reader in readers),
                max(unseen, *(reader.longest_gap for reader in readers)),
            )
        for reader in readers:
            self._note_damage(reader)

    def _check_end(self, reached: float, longest_gap: float) -> None:
        end = reached + (1 / self.info.average_fps if self.info.average_fps else 0.0)
        stated = self._reader.stated_seconds()
        # The last picture may stay on screen for long, but hardly for much longer than any before it.
        if not self._cut_off and stated is not None and stated - end > max(1.0, 2 * longest_gap):
            self._cut_off = True
            self.warnings.append(f"{self._path} is cut off: only {end:.1f} s of {stated:.1f} s can be read")
            self.info = replace(self.info, duration_seconds=end)
        elif self.info.duration_seconds is None or self.info.duration_seconds < reached:
            self.info = replace(self.info, duration_seconds=end)
