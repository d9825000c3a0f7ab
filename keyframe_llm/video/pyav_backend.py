"""The PyAV decoder: FFmpeg's libraries in one wheel, every common format, the default."""

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
from keyframe_llm.video.decoder import DecodePlan, Samples
from keyframe_llm.video.geometry import Geometry
from keyframe_llm.video.hardware import check_hardware
from keyframe_llm.video.parallel import Eye, Window, cores, in_order
from keyframe_llm.video.plan import Survey, choose_plan
from keyframe_llm.video.reader import FrameReader, Shot, Skip
from keyframe_llm.video.sampling import TimedSource, check_stride, check_times, sample_times
from keyframe_llm.video.seek import Cursor, KeySeeker
from keyframe_llm.video.source import check_path
from keyframe_llm.video.survey import packet_times, survey_video

__all__ = ["PyAVDecoder"]

ON_SCREEN_TOLERANCE_SECONDS = 0.0005
"""A time rounded to a millisecond still names its frame."""


class PyAVDecoder:
    """A `Decoder` on PyAV. Raises `VideoError` where no frame of the file can be shown.

    No picture of more than `max_pixels` is decoded, nor shown where its pixels are not square. `hardware` is
    the kind of device that decodes; `VideoError` where there is none.
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
        self._exact = Cursor(self._reader, jump=True)
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
        busy_stride_seconds: float | None = None,
    ) -> DecodePlan:
        """See `Decoder.plan`."""
        if self._survey is None:
            with self._another() as reader:
                self._survey = survey_video(reader, self.info.duration_seconds)
        end = math.inf if end_seconds is None else end_seconds
        busy = None if self._reader.finds_loosely else busy_stride_seconds
        return choose_plan(self._survey, stride_seconds, start_seconds, end, busy)

    def sample(
        self,
        stride_seconds: float,
        *,
        short_side: int,
        start_seconds: float = 0.0,
        end_seconds: float | None = None,
        busy_stride_seconds: float | None = None,
    ) -> Samples:
        """See `Decoder.sample`."""
        check_stride(stride_seconds, short_side, start_seconds, end_seconds)
        return self._sample(stride_seconds, short_side, start_seconds, end_seconds, busy_stride_seconds)

    def decode_at(self, seconds: Sequence[float]) -> Frames:
        """See `Decoder.decode_at`."""
        times = [float(s) for s in seconds]
        check_times(times)
        shots: list[tuple[float, NDArray[np.uint8]]] = []
        for time in times:
            shot = self._exact.around(time + ON_SCREEN_TOLERANCE_SECONDS)[0]
            if shot is None:
                raise VideoError(
                    f"{self._path}: no frame can be decoded at {time:.3f} s; the file is damaged"
                )
            if not shots or shot.seconds > shots[-1][0]:
                shots.append((shot.seconds, self.geometry.picture(shot.frame)))
        self._note_damage(self._reader)
        width, height = self.geometry.upright
        images = np.stack([p for _, p in shots]) if shots else np.empty((0, height, width, 3), np.uint8)
        return Frames(images, np.array([s for s, _ in shots], dtype=np.float64))

    @property
    def container_format(self) -> str:
        """FFmpeg's name of the container."""
        return self._reader.container.format.name

    def frame_times(self) -> NDArray[np.float64]:
        """(N,) times of every frame shown, ascending, from the packets alone."""
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
        self, stride: float, short_side: int, start: float, end_seconds: float | None, busy: float | None
    ) -> Samples:
        plan = self.plan(stride, start_seconds=start, end_seconds=end_seconds, busy_stride_seconds=busy)
        assert self._survey is not None
        duration = self._survey.duration_seconds
        if start >= duration:
            raise VideoError(f"{self._path} ends at {duration:.3f} s, before start_seconds {start:g}")
        window = Window(start, math.inf if end_seconds is None else end_seconds, duration, short_side)
        shared = len(plan.stretches) > 1 and not self._reader.finds_loosely
        readers: list[FrameReader] = [self._reader]
        with ExitStack() as stack:
            seen = self._shared if shared else self._alone
            yield from seen(plan, stride, window, readers, stack)
            unseen = max(stride, duration - float(plan.stretches[-1].wanted[-1])) if shared else stride
            self._note_end(readers, window, unseen)

    def _alone(
        self, plan: DecodePlan, stride: float, window: Window, readers: list[FrameReader], stack: ExitStack
    ) -> Samples:
        """From start to end with one reader, whose frames FFmpeg shares out to the cores."""
        sources, used = self._sources(plan.mode, stride, stack)
        readers += used
        start, end, duration, short_side = window
        for shot in sample_times([*sources, self._exact], stride, start, end, duration):
            yield shot.seconds, self.geometry.picture(shot.frame, short_side)

    def _shared(
        self, plan: DecodePlan, stride: float, window: Window, readers: list[FrameReader], stack: ExitStack
    ) -> Samples:
        """Stretch by stretch, each core with readers of its own."""
        assert self._survey is not None and self._survey.key_seconds is not None
        keys, last = self._survey.key_seconds, plan.stretches[-1]
        eyes = [Eye(lambda skip: self._another(skip, threads=1), self.geometry, keys) for _ in range(cores())]
        for eye in eyes:
            stack.callback(eye.close)
        reached = -math.inf
        for seen in in_order(eyes, plan.stretches, lambda eye, s: eye.look(s, window, last=s is last)):
            for second, picture in seen.pictures:
                if second > reached:
                    reached = second
                    yield second, picture
            if seen.ended:
                break
        readers += [reader for eye in eyes for reader in eye.readers]

    def _sources(
        self, mode: str, stride: float, stack: ExitStack
    ) -> tuple[list[TimedSource[Shot]], list[FrameReader]]:
        """What to ask for frames before the exact cursor, cheapest first."""
        if mode == "all":
            reader = stack.enter_context(self._another())
            return [Cursor(reader, jump=False)], [reader]
        reference = stack.enter_context(self._another("NONREF"))
        if mode == "reference":
            return [Cursor(reference, jump=False)], [reference]
        between = Cursor(reference, jump=True)
        key = stack.enter_context(self._another("NONKEY"))
        if mode == "key":
            return [Cursor(key, jump=False), between], [key, reference]
        assert self._survey is not None and self._survey.key_seconds is not None
        return [KeySeeker(key, self._survey.key_seconds, stride / 2), between], [key, reference]

    def _note_damage(self, reader: FrameReader) -> None:
        if not self._cut_off:
            self.warnings += [line for line in reader.damage() if line not in self.warnings]

    def _note_end(self, readers: Sequence[FrameReader], window: Window, unseen: float) -> None:
        """After a look: damage; and to the end, how long the video really is, and whether it is cut off.

        No more than `unseen` seconds at its end were left out on purpose.
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
        # A last picture may stay on screen for long, but hardly for much longer than all those before it.
        if not self._cut_off and stated is not None and stated - end > max(1.0, 2 * longest_gap):
            self._cut_off = True
            self.warnings.append(f"{self._path} is cut off: only {end:.1f} s of {stated:.1f} s can be read")
            self.info = replace(self.info, duration_seconds=end)
        elif self.info.duration_seconds is None or self.info.duration_seconds < reached:
            self.info = replace(self.info, duration_seconds=end)
