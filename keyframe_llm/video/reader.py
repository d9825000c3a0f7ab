"""Reads the frames of one stream in the order they are shown, from the start or from any time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Literal, NamedTuple

import av
import av.error
from av.packet import Packet
from av.video.frame import VideoFrame

from keyframe_llm.errors import VideoError
from keyframe_llm.video.fork import Forkable
from keyframe_llm.video.source import open_container, picture_bound, video_stream

__all__ = ["FrameReader", "Skip", "TimedFrame"]

Skip = Literal["DEFAULT", "NONREF", "NONKEY"]
_SEQUENTIAL_FORMATS = ("gif", "apng")
# A seek in these formats guesses a byte position, and may give the first frames there wrong times.
_LOOSE_FORMATS = ("mpeg", "mpegts")
_LOOSE_SEEK_SECONDS = 1.0


class TimedFrame(NamedTuple):
    """A decoded frame and its time."""

    seconds: float
    frame: VideoFrame


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
        context = self.stream.codec_context
        context.thread_count = self._threads  # 0: as many as there are cores
        # The loop filter stays on. Without it colours drift between key frames as much as at a cut (histogram
        # distances of 0.1–0.6 on real clips).
        context.skip_frame = self.skip
        context.options = picture_bound(self.max_pixels)
        base = self.stream.time_base
        if base is None:
            raise VideoError(f"{self.path} has no time base; convert it to MP4")
        self._base = base
        # AVI has no presentation times, and FFmpeg guesses wrong ones for reordered frames: count frames.
        reorders = context.codec.canonical_name in ("h264", "hevc")
        self.counts = reorders and self.container.format.name == "avi"
        # Frames that depend on all earlier ones, or get their time by counting, are read from the start.
        self.sequential = self.container.format.name in _SEQUENTIAL_FORMATS
        self._last: int | None = None
        self._untouched = True
        self._jumped = False

    def close(self) -> None:
        """Free the file."""
        if not self.inherited:
            self.container.close()

    def native_objects(self) -> list[Any]:
        """See `Forkable`."""
        return [self.container]

    def check_process(self) -> None:
        """Raise `VideoError` in a process that was forked since the file was opened."""
        if self.inherited:
            raise VideoError(f"{self.path} was opened before this process was forked; open it again here")

    def __enter__(self) -> FrameReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def finds_loosely(self) -> bool:
        """Whether a seek in this format may end at another time than the wanted one."""
        return self.container.format.name in _LOOSE_FORMATS

    def seconds(self, timestamp: int) -> float:
        """Seconds since the first frame shown."""
        ticks = timestamp - (self.origin or 0)
        return ticks * self._base.numerator / self._base.denominator

    def timestamp(self, seconds: float) -> int:
        """The timestamp nearest to these seconds since the first frame shown."""
        return (self.origin or 0) + round(seconds * self._base.denominator / self._base.numerator)

    def stated_seconds(self, *, guess: bool = False) -> float | None:
        """Seconds from the first frame shown to the end, as the file states it for its pictures.

        With `guess`, the length of the whole file is taken where the pictures have none; sound may be longer.
        """
        stream, container = self.stream, self.container
        tag = stream.metadata.get("DURATION")  # Matroska: 00:00:13.013000000, the time of the end
        if stream.duration:
            end = ((stream.start_time or 0) + stream.duration) * float(self._base)
        elif tag is not None and _clock_seconds(tag) is not None:
            end = _clock_seconds(tag) or 0.0
        elif container.duration and (guess or len(container.streams) == 1):
            end = (container.duration + (container.start_time or 0)) / av.time_base
        else:
            return None
        length = end - (self.origin or 0) * float(self._base)
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
        back = _LOOSE_SEEK_SECONDS if self.finds_loosely else 0.0
        while seconds - back > 0 and not self.sequential:
            frames = self._after_seek(seconds - back)
            first = next(frames, None)
            if first is not None and first.seconds <= seconds:
                yield first
                yield from frames
                return
            # The index is wrong or missing, or the frame is shown before its key frame: seek further back.
            back = max(1.0, back * 4)
        if not self._untouched:
            self.restart()
        yield from self.timed_frames()

    def key_frame_at(self, seconds: float) -> TimedFrame | None:
        """The key frame at `seconds`, by one seek and one packet."""
        try:
            self.container.seek(self.timestamp(seconds), stream=self.stream)
            packet = next((p for p in self.container.demux(self.stream) if p.is_keyframe and p.size), None)
        except av.error.FFmpegError:
            return None
        self._last = None
        if packet is None:
            return None
        frames = [*self._decode(packet), *self._decode(Packet())]
        stamp = self._stamp(frames[0]) if frames else None
        return None if stamp is None else TimedFrame(self.seconds(stamp), frames[0])

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

    def _after_seek(self, seconds: float) -> Iterator[TimedFrame]:
        self._untouched = False
        self._jumped = True
        try:
            self.container.seek(self.timestamp(seconds), stream=self.stream)
        except av.error.FFmpegError:
            return
        self._last = None
        frames = self.timed_frames()
        for timed in frames:
            # A frame without its reference frames shows garbage: wait for one that needs none.
            if timed.frame.key_frame:
                yield timed
                yield from frames

    def _packets(self) -> Iterator[Packet[Any]]:
        """All packets to the end, but not an incomplete last one: it would spoil the frames before it."""
        self._untouched = False
        held: Packet[Any] | None = None
        try:
            for packet in self.container.demux(self.stream):
                if packet.size == 0:
                    continue  # a dropped frame in an AVI, or the end; the decoder would take both for the end
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
        try:
            # The decoder of the stream, because a packet made here belongs to no stream.
            frames = self.stream.codec_context.decode(packet if packet.size else None)
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
        stamp = frame.pts
        self.sequential = self.sequential or stamp is None
        if self._last is not None and (stamp is None or (self.counts and not frame.key_frame)):
            stamp = self._last + self._tick()
        elif stamp is None:
            stamp = self.origin or 0
        if self._last is not None and stamp <= self._last:
            self.backward_frames += self.skip == "DEFAULT" and not self._jumped
            return None
        if self._last is not None:
            self.longest_gap = max(self.longest_gap, self.seconds(stamp) - self.seconds(self._last))
        self._last = stamp
        if self.origin is None:
            self.origin = stamp
        self.reached = max(self.reached, self.seconds(stamp))
        return stamp

    def _tick(self) -> int:
        rate = self.stream.guessed_rate or self.stream.average_rate or 25
        return max(1, round(1 / (rate * self._base)))


def _clock_seconds(text: str) -> float | None:
    """Seconds of `hours:minutes:seconds`; None where it is not that."""
    match = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d*)?)", text.strip())
    return None if match is None else int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3])
