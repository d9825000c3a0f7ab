"""Reads the frames of one stream in the order they are shown, from the start or from any time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from types import TracebackType
from typing import Any, Literal, NamedTuple

import av.error
import numpy as np
from av.packet import Packet
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from keyframe_llm.errors import VideoError
from keyframe_llm.video.clock import Clock, ClockRules
from keyframe_llm.video.container import container_traits
from keyframe_llm.video.cores import available_cores
from keyframe_llm.video.fork import Forkable
from keyframe_llm.video.length import stated_end
from keyframe_llm.video.source import open_container, picture_bound, video_stream
from keyframe_llm.video.transparency import alpha_decoder

__all__ = ["FrameReader", "Skip", "TimedFrame", "Work"]

Skip = Literal["DEFAULT", "NONREF", "NONKEY"]
_LOOSE_SEEK_SECONDS = 1.0
_SAME = 1e-6
_MOST_THREAD_PIXELS = 80_000_000
# An encoder that reorders pictures fills an AVI's first places with at most so many empty chunks.
_START_CHUNKS, _MOST_EMPTY_CHUNKS = 4, 3
_MOST_ATTEMPTS = 4  # seeks for one time, each from further back, before the file is read from the start
# Pictures of these codecs bring their own palette; others have it in the packets before them.
_OWN_PALETTE = ("png", "apng", "gif", "bmp", "tiff", "targa", "pcx", "sgi", "xwd", "sunrast")


class TimedFrame(NamedTuple):
    """A decoded frame and its time."""

    seconds: float
    frame: VideoFrame


@dataclass(slots=True)
class Work:
    """What all readers of one file have done together."""

    packets: int = 0
    """How many packets were decoded."""
    budget: int | None = None
    """After so many, no more seeks are tried, and the file is read forwards; None: it is not known yet."""

    @property
    def exhausted(self) -> bool:
        """Whether the budget is spent."""
        return self.budget is not None and self.packets > self.budget


class FrameReader(Forkable):
    """One open file, read forwards. Damaged packets are counted and left out, as a player does."""

    def __init__(
        self,
        path: str,
        skip: Skip = "DEFAULT",
        max_pixels: int | None = None,
        *,
        hardware: str | None = None,
        threads: int = 0,
    ) -> None:
        self.path = path
        self.skip = skip
        self.max_pixels = max_pixels
        """Larger pictures are not decoded, wherever they are in the file; None: no limit."""
        self.hardware = hardware
        """The kind of device that decodes; None: the processor."""
        self._threads = threads
        self.origin: int | None = None
        """The timestamp that counts as 0.0 s: that of the first frame, unless it is set."""
        self.clock_rules: ClockRules | None = None
        """How to correct timestamps that start again; None: they need no correction."""
        self.sequential = False
        """Whether frames are found only by reading from the start."""
        self.key_seconds: NDArray[np.float64] | None = None
        """(K,) ascending times of the key frames to which a seek leads; None where unknown."""
        self.work = Work()
        """The work done on this file; readers of the same file share it."""
        self.damaged_packets = 0
        self.backward_frames = 0
        self.reached = 0.0
        """The latest time of a decoded frame, in seconds."""
        self.longest_gap = 0.0
        """The longest time between neighbouring frames, in seconds."""
        self.ended_by: str | None = None
        """The error that ended the reading; None at the end of the file."""
        self._open()
        super().__init__()

    def _open(self) -> None:
        self.container = open_container(self.path, self.max_pixels, self.hardware)
        self.stream = video_stream(self.container, self.path)
        self.stream.thread_type = "AUTO"
        context = self._decoder = alpha_decoder(self.stream) or self.stream.codec_context
        context.thread_count = self._threads or _thread_count(context.width * context.height)
        # The loop filter stays on. Without it colours drift between key frames as much as at a cut (histogram
        # distances of 0.1–0.6 on real clips).
        context.skip_frame = self.skip
        context.options = picture_bound(self.max_pixels)
        base = self.stream.time_base
        if base is None:
            raise VideoError(f"{self.path} has no time base; convert it to MP4")
        self._base = base
        self.traits = container_traits(self.container.format.name)
        self.sequential = self.sequential or self.traits.forwards_only
        self._stated = stated_end(self.container, self.stream, self.traits)
        self._clock = None if self.clock_rules is None else Clock(self.clock_rules)
        self._empty_start = _empty_start(getattr(self.stream, "index_entries", ()))
        self._last: int | None = None
        self._untouched = True
        self._jumped = False

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
    def dated_by_decoding(self) -> bool:
        """Whether a frame's time is that of the packet whose decoding made it appear.

        The file keeps decoding times alone, and its pictures are reordered: the n-th picture shown has the
        n-th of these times. A decoder delays pictures by as much as the encoder did, so a picture appears
        when the packet with its time is decoded. No frame may be left out, then.
        """
        return self.traits.decoding_times and bool(self.stream.codec_context.has_b_frames)

    @property
    def ticks_per_frame(self) -> int:
        """Ticks of the time base from frame to frame, by the frame rate that the file states."""
        rate = self.stream.guessed_rate or self.stream.average_rate or 25
        return max(1, round(1 / (rate * self._base)))

    def seconds(self, timestamp: int) -> float:
        """Seconds since the first frame shown."""
        ticks = timestamp - (self.origin or 0)
        return ticks * self._base.numerator / self._base.denominator

    def timestamp(self, seconds: float) -> int:
        """The timestamp nearest to these seconds since the first frame shown."""
        return (self.origin or 0) + self.ticks(seconds)

    def ticks(self, seconds: float) -> int:
        """Ticks of the time base in these seconds."""
        return round(seconds * self._base.denominator / self._base.numerator)

    def read_like(self, other: FrameReader) -> None:
        """Read the file as another reader does; to be called before anything is read."""
        self.origin, self.key_seconds, self.sequential = other.origin, other.key_seconds, other.sequential
        self.clock_rules, self.work = other.clock_rules, other.work
        self._clock = None if self.clock_rules is None else Clock(self.clock_rules)

    @property
    def stated_fps(self) -> float | None:
        """Frames per second on average, as the file states it; None: it does not say."""
        frames, end = len(getattr(self.stream, "index_entries", ())), self.stated_end
        if self.traits.decoding_times and self.traits.lists_frames and frames > 1 and end:
            return frames / end  # the stated rate is that of places for frames, and some may be empty
        return float(self.stream.average_rate) if self.stream.average_rate else None

    @property
    def stated_end(self) -> float | None:
        """When the file says that it ends, in seconds from the first frame shown; None: it does not say."""
        return self._from_origin(self._stated.everything)

    @property
    def stated_end_of_pictures(self) -> float | None:
        """The same for the pictures alone, where it is stated for them."""
        return self._from_origin(self._stated.pictures)

    def _from_origin(self, end: float | None) -> float | None:
        # In an AVI, the first frame may be dated by a later packet; its first packet always has the time 0.
        avi = self.traits.decoding_times and self.traits.lists_frames
        origin = 0 if avi else self.origin or 0
        length = 0.0 if end is None else end - origin * float(self._base)
        return length if length > 0 else None

    def timed_frames(self) -> Iterator[TimedFrame]:
        """Frames from the current position, strictly ascending in time."""
        for packet in self._packets():
            for frame in self._decode(packet):
                stamp = self._stamp(frame)
                if stamp is not None:
                    yield TimedFrame(self.seconds(stamp), frame)

    def frames_from(self, seconds: float) -> Iterator[TimedFrame]:
        """Frames from the last key frame at or before `seconds`, or from the first frame."""
        back = _LOOSE_SEEK_SECONDS if self.traits.loose_seeks else 0.0
        goal = self.key_before(seconds)
        for _ in range(_MOST_ATTEMPTS):
            if self.sequential or goal is None or goal - back <= 0:
                break
            if self.work.exhausted:
                self.sequential = True
                break
            frames = self._after_seek(goal - back, seconds)
            first = next(frames, None)
            if first is not None:
                yield first
                yield from frames
                return
            # The index is wrong or missing, or the frame is shown before its key frame: seek further back.
            back = max(1.0, back * 4)
        else:
            self.sequential = True  # no seek will do, so no more are tried
        if not self._untouched:
            self.restart()
        yield from self.timed_frames()

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
        stamp = None if frame is None else self._stamp(frame)
        return None if frame is None or stamp is None else TimedFrame(self.seconds(stamp), frame)

    def is_key_frame_at(self, seconds: float) -> bool:
        """Whether a seek to `seconds` leads to a frame that can be decoded on its own."""
        return self._decode_key(seconds) is not None

    def _decode_key(self, seconds: float) -> VideoFrame | None:
        try:
            self._seek(seconds)
            packet = next((p for p in self.container.demux(self.stream) if p.is_keyframe and p.size), None)
        except av.error.FFmpegError:
            return None
        frames = [] if packet is None else [*self._decode(packet), *self._decode(Packet())]
        return next((frame for frame in frames if frame.key_frame), None)

    def damage(self) -> list[str]:
        """One line for each kind of damage found so far."""
        lines = []
        if self.damaged_packets:
            bound = "" if self.max_pixels is None else f" or are of over {self.max_pixels:,} pixels"
            lines.append(f"{self.path} is damaged: packets that cannot be decoded{bound} are left out")
        if self.backward_frames:
            lines.append(f"{self.path} has timestamps that run backwards: those frames are left out")
        if self.ended_by is not None:
            lines.append(f"{self.path} is damaged or cut off: reading stopped early ({self.ended_by})")
        return lines

    def restart(self) -> None:
        """Go back to the start, by opening the file again: this works in formats that cannot seek, too."""
        self.close()
        self._open()

    def _after_seek(self, to_seconds: float, wanted_seconds: float) -> Iterator[TimedFrame]:
        """Frames from the first key frame after a seek; none where it comes later than `wanted_seconds`."""
        try:
            self._seek(to_seconds)
        except av.error.FFmpegError:
            return
        frames = self.timed_frames()
        for timed in frames:
            if timed.seconds > wanted_seconds:
                return
            # A frame without its reference frames shows garbage: wait for one that needs none.
            if timed.frame.key_frame:
                yield timed
                yield from frames

    def _seek(self, seconds: float) -> None:
        self._untouched, self._jumped, self._last = False, True, None
        self.container.seek(self.timestamp(seconds), stream=self.stream)
        if self._decoder is not self.stream.codec_context:  # which a seek empties by itself
            self._decoder.flush_buffers()

    def _packets(self) -> Iterator[Packet[Any]]:
        """All packets to the end, but not an incomplete last one: it would spoil the frames before it."""
        self._untouched = False
        held: Packet[Any] | None = None
        try:
            for packet in self.container.demux(self.stream):
                if packet.size == 0:
                    continue  # a dropped frame in an AVI, or the end; the decoder would take both for the end
                if self._clock is not None:
                    self._clock.correct(packet)
                if held is not None:
                    yield held
                held = packet
        except av.error.FFmpegError as error:
            self.ended_by = error.strerror
        if held is not None and held.is_corrupt:
            self.ended_by = self.ended_by or "the last packet is incomplete"
        elif held is not None:
            yield held
        yield Packet()  # an empty packet makes the decoder return the frames that it still holds

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

    def _stamp(self, frame: VideoFrame) -> int | None:
        """The timestamp of a frame, or one counted by the frame rate; None where time runs backwards."""
        stamp = frame.dts if self.traits.decoding_times or frame.pts is None else frame.pts
        if stamp is not None:
            stamp -= self._delay_before(stamp)
        elif self._last is not None:
            stamp = self._last + self.ticks_per_frame
        elif self._jumped:
            return None  # nothing tells where the seek has ended
        else:
            stamp = self.origin or 0
            self.sequential = True
        if self._last is not None and stamp <= self._last:
            self.backward_frames += self.skip == "DEFAULT" and not self._jumped
            return None
        if self._last is not None:
            self.longest_gap = max(self.longest_gap, self.seconds(stamp) - self.seconds(self._last))
        self._last = stamp
        if self.origin is None:
            self.origin = stamp
            self.sequential = self.sequential or self._needs_first_palette(frame)
        self.reached = max(self.reached, self.seconds(stamp))
        return stamp

    def _delay_before(self, stamp: int) -> int:
        """Ticks of the empty chunks that a reordering encoder wrote at the start of an AVI."""
        first, ticks = self._empty_start
        return ticks if self.dated_by_decoding and stamp >= first else 0

    def _needs_first_palette(self, frame: VideoFrame) -> bool:
        codec = self.stream.codec_context.codec.canonical_name
        return frame.format.name == "pal8" and codec not in _OWN_PALETTE


def _thread_count(pixels: int) -> int:
    """As many threads as there are cores, but fewer for large pictures: each thread holds one."""
    return max(1, min(available_cores(), _MOST_THREAD_PIXELS // max(1, pixels)))


def _empty_start(entries: Any) -> tuple[int, int]:
    """The first timestamp after a few empty chunks at the start of an index, and how many ticks they take."""
    stamps = [entries[i].timestamp for i in range(min(_START_CHUNKS, len(entries)))]
    steps = [after - before for before, after in pairwise(stamps)]
    if not steps or min(steps) < 1:
        return 0, 0
    empty = [step - min(steps) for step in steps]
    if not 0 < sum(empty) <= _MOST_EMPTY_CHUNKS * min(steps):
        return 0, 0
    return stamps[1 + next(i for i, ticks in enumerate(empty) if ticks)], sum(empty)
