"""Reads the frames of one stream in the order they are shown, from the start or from any time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Literal, NamedTuple

import av.error
import numpy as np
from av.packet import Packet
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from keyframe_llm.errors import VideoError
from keyframe_llm.video.byte_source import Place
from keyframe_llm.video.clock import Clock, ClockRules
from keyframe_llm.video.container import container_traits
from keyframe_llm.video.cores import available_cores
from keyframe_llm.video.fork import Forkable
from keyframe_llm.video.length import read_stated
from keyframe_llm.video.pixel_formats import alpha_decoder
from keyframe_llm.video.source import demux, open_container, picture_bound, video_stream
from keyframe_llm.video.timeline import Timeline
from keyframe_llm.video.work import Work

__all__ = ["FrameReader", "Skip", "TimedFrame"]

Skip = Literal["DEFAULT", "NONREF", "NONKEY"]
_LOOSE_SEEK_SECONDS = 1.0
_SAME = 1e-6
_MOST_THREAD_PIXELS = 80_000_000  # each thread of a decoder holds a picture
_MOST_FRAME_PIXELS = 20_000_000  # where each thread decodes a picture of its own
_MOST_AV1_THREAD_PIXELS = 16_000_000  # of dav1d, several
_MOST_LATE_PACKETS = 32  # that a decoder may take before it gives a frame of an earlier time
_LATER_PACKETS = 2
_MOST_ATTEMPTS = 4  # seeks for one time, each from further back, before the file is read from the start


class TimedFrame(NamedTuple):
    """A decoded frame and its time."""

    seconds: float
    frame: VideoFrame


class FrameReader(Forkable):
    """One open file, read forwards. Damaged packets are counted and left out, as a player does."""

    def __init__(
        self,
        place: Place,
        skip: Skip = "DEFAULT",
        max_pixels: int | None = None,
        *,
        hardware: str | None = None,
        threads: int = 0,
    ) -> None:
        self.place = place
        self.path = place if isinstance(place, str) else place.name
        """What messages call the file."""
        self.skip = skip
        self.max_pixels = max_pixels
        """Larger pictures are not decoded, wherever they are in the file; None: no limit."""
        self.hardware = hardware
        """The kind of device that decodes; None: the processor."""
        self._threads = threads
        self.clock_rules: ClockRules | None = None
        """How to correct timestamps that start again; None: they need no correction."""
        self.sequential = False
        """Whether frames are found only by reading from the start."""
        self.key_seconds: NDArray[np.float64] | None = None
        """(K,) ascending times of the key frames to which a seek leads; None where unknown."""
        self.work = Work()
        """The work done on this file; readers of the same file share it."""
        self.damaged_packets = 0
        self.ended_by: str | None = None
        """The error that ended the reading; None at the end of the file."""
        self._open()
        super().__init__()

    def _open(self) -> None:
        self.container = open_container(self.place, self.max_pixels, self.hardware)
        self.stream = video_stream(self.container, self.path)
        context = self._decoder = alpha_decoder(self.stream) or self.stream.codec_context
        # Threads that share a picture hold no others.
        context.thread_type = "SLICE" if context.width * context.height > _MOST_FRAME_PIXELS else "AUTO"
        context.thread_count = self._threads or _thread_count(context)
        # The loop filter stays on. Without it colours drift between key frames as much as at a cut (histogram
        # distances of 0.1–0.6 on real clips).
        context.skip_frame = self.skip
        context.options = picture_bound(self.max_pixels)
        if self.stream.time_base is None:
            raise VideoError(f"{self.path} has no time base; convert it to MP4")
        self.traits = container_traits(self.container.format.name)
        self.sequential = self.sequential or self.traits.forwards_only
        self.stated = read_stated(self.container, self.stream, self.traits)
        self._clock = None if self.clock_rules is None else Clock(self.clock_rules)
        if not hasattr(self, "timeline"):
            self.timeline = Timeline(self.stream.time_base, strict=self.skip == "DEFAULT")
        self.timeline.begin(self.stream, self.traits)
        self._untouched = True

    def read_like(self, other: FrameReader) -> None:
        """Read the file as another reader does; to be called before anything is read."""
        self.timeline.origin = other.timeline.origin
        self.key_seconds, self.sequential = other.key_seconds, other.sequential
        self.clock_rules, self.work = other.clock_rules, other.work
        self._clock = None if self.clock_rules is None else Clock(self.clock_rules)

    def restart(self) -> None:
        """Go back to the start, by opening the file again: this works in formats that cannot seek, too."""
        self.close()
        self._open()

    def close(self) -> None:
        """Free the file."""
        if not self.inherited:
            self.container.close()

    def __enter__(self) -> FrameReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def native_objects(self) -> list[Any]:
        """See `Forkable`."""
        return [self.container, self._decoder]

    def check_process(self) -> None:
        """Raise `VideoError` in a process that was forked since the file was opened."""
        if self.inherited:
            raise VideoError(f"{self.path} was opened before this process was forked; open it again here")

    @property
    def stated_seconds(self) -> float | None:
        """The length of the file as it states it, from the first frame shown; None: it does not say."""
        return self.stated.everything(self._first_seconds)

    @property
    def stated_picture_seconds(self) -> float | None:
        """The same for the pictures alone, where it is stated for them."""
        return self.stated.pictures(self._first_seconds)

    @property
    def _first_seconds(self) -> float:
        return (self.timeline.origin or 0) * float(self.stream.time_base or 0)

    def timed_frames(self, until: float = math.inf) -> Iterator[TimedFrame]:
        """Frames from the current position, strictly ascending in time."""
        for packet in self._packets(until):
            yield from self._timed(packet)

    def _timed(self, packet: Packet[Any]) -> Iterator[TimedFrame]:
        for frame in self._decode(packet):
            seconds = self.timeline.date(frame)
            if seconds is not None:
                yield TimedFrame(seconds, frame)

    def frames_from(self, seconds: float, until: float = math.inf) -> Iterator[TimedFrame]:
        """Frames from the last key frame at or before `seconds`, or from the first frame.

        All those up to `until`, in seconds, are given, and a few after it.
        """
        back = _LOOSE_SEEK_SECONDS if self.traits.loose_seeks else 0.0
        goal = self.key_before(seconds)
        # Once seeks have cost more than reading the whole file, no more are tried.
        self.sequential = self.sequential or self.work.exhausted
        for _ in range(_MOST_ATTEMPTS):
            if self.sequential or goal is None or goal - back <= 0:
                break
            frames = self._after_seek(goal - back, seconds, until)
            first = next(frames, None)
            if first is not None:
                yield first
                yield from frames
                return
            # The index is wrong or missing, or the frame is shown before its key frame: seek further back.
            back = max(1.0, back * 4)
        else:
            self.sequential = True
        if not self._untouched:
            self.restart()
        yield from self.timed_frames(until)

    def key_before(self, seconds: float) -> float | None:
        """The time of the last key frame at or before `seconds`; where none is known, `seconds` itself."""
        keys = self.key_seconds
        if keys is None:
            return seconds
        at = int(np.searchsorted(keys, seconds + _SAME, side="right")) - 1
        return float(keys[at]) if at >= 0 else None

    def key_frame_at(self, seconds: float) -> TimedFrame | None:
        """The key frame at `seconds`, by one seek and one packet; None where there is none."""
        frame = self._decode_key(seconds)
        found = None if frame is None else self.timeline.date(frame)
        return None if frame is None or found is None else TimedFrame(found, frame)

    def is_key_frame_at(self, seconds: float) -> bool:
        """Whether a seek to `seconds` leads to a frame that can be decoded on its own."""
        return self._decode_key(seconds) is not None

    def damage(self) -> list[str]:
        """One line for each kind of damage found so far."""
        lines = []
        if self.damaged_packets:
            bound = "" if self.max_pixels is None else f" or are of over {self.max_pixels:,} pixels"
            lines.append(f"{self.path} is damaged: packets that cannot be decoded{bound} are left out")
        if self.timeline.backward_frames:
            lines.append(f"{self.path} has timestamps that run backwards: those frames are left out")
        if self.ended_by is not None:
            lines.append(f"{self.path} is damaged or cut off: reading stopped early ({self.ended_by})")
        return lines

    def _decode_key(self, seconds: float) -> VideoFrame | None:
        try:
            self._seek(seconds)
            packet = next((p for p in demux(self.container, self.stream) if p.is_keyframe and p.size), None)
        except av.error.FFmpegError:
            return None
        frames = [] if packet is None else [*self._decode(packet), *self._decode(Packet())]
        return next((frame for frame in frames if frame.key_frame), None)

    def _after_seek(self, to_seconds: float, wanted_seconds: float, until: float) -> Iterator[TimedFrame]:
        """Frames from the first key frame after a seek; none where it comes later than `wanted_seconds`."""
        try:
            self._seek(to_seconds)
        except av.error.FFmpegError:
            return
        late, found, packets = 0, False, self._packets(until)
        for packet in packets:
            for timed in self._timed(packet):
                if not found and timed.seconds > wanted_seconds + _SAME:
                    return
                # A frame without its reference frames shows garbage: wait for one that needs none.
                found = found or bool(timed.frame.key_frame)
                if found:
                    yield timed
            late += packet.pts is not None and self.timeline.seconds(packet.pts) > wanted_seconds
            if not found and late > _MOST_LATE_PACKETS:
                return

    def _seek(self, seconds: float) -> None:
        self._untouched = False
        self.timeline.jump()
        self.container.seek(self.timeline.timestamp(seconds), stream=self.stream)
        if self._decoder is not self.stream.codec_context:  # which a seek empties by itself
            self._decoder.flush_buffers()

    def _packets(self, until: float) -> Iterator[Packet[Any]]:
        """All packets to the end, but not an incomplete last one: it would spoil the frames before it.

        Fewer where `until` is finite: all those of frames up to that time, and two of later frames, so that
        one is given although the other may be left out.
        """
        self._untouched = False
        held: Packet[Any] | None = None
        later, stopped = 0, False
        try:
            for packet in demux(self.container, self.stream):
                if packet.size == 0:
                    continue  # a dropped frame in an AVI, or the end; the decoder would take both for the end
                if self._clock is not None:
                    self._clock.correct(packet)
                if held is not None:
                    yield held
                held, stopped = packet, later >= _LATER_PACKETS and self._is_after(packet.dts, until)
                if stopped:
                    # A frame is never shown before it is decoded: no more of those up to `until` come.
                    break
                later += self._is_after(packet.pts, until)
        except av.error.FFmpegError as error:
            self.ended_by = error.strerror
        if stopped:
            held = None
        if held is not None and held.is_corrupt:
            self.ended_by = self.ended_by or "the last packet is incomplete"
        elif held is not None:
            yield held
        yield Packet()  # an empty packet makes the decoder return the frames that it still holds

    def _is_after(self, stamp: int | None, seconds: float) -> bool:
        return stamp is not None and self.timeline.seconds(stamp) > seconds + _SAME

    def _decode(self, packet: Packet[Any]) -> list[VideoFrame]:
        self.work.packets += 1
        try:
            frames = self._decoder.decode(packet if packet.size else None)
        except av.error.EOFError:
            return []
        except av.error.FFmpegError:
            self.damaged_packets += 1
            return []
        most = self.max_pixels
        kept = [frame for frame in frames if most is None or frame.width * frame.height <= most]
        self.damaged_packets += len(kept) < len(frames)
        return kept


def _thread_count(context: Any) -> int:
    """About as many threads as there are cores, but fewer for large pictures."""
    cores, pixels = available_cores(), max(1, int(context.width) * int(context.height))
    most = _MOST_AV1_THREAD_PIXELS if context.name == "libdav1d" else _MOST_THREAD_PIXELS
    return max(1, min(cores + (cores > 1), most // pixels))
