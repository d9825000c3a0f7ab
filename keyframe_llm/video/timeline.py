"""Gives every decoded frame its time, in the order of display."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import Any

from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from keyframe_llm.video.container import ContainerTraits

__all__ = ["Timeline"]

# An encoder that reorders pictures fills an AVI's first places with at most so many empty chunks.
_START_CHUNKS, _MOST_EMPTY_CHUNKS = 4, 3


class Timeline:
    """The times of one stream's frames, as they come out of a decoder. Timestamps are in ticks."""

    def __init__(self, base: Fraction, *, strict: bool) -> None:
        self._base = base
        self._strict = strict
        """Whether frames that run backwards are counted as damage."""
        self.origin: int | None = None
        """The timestamp that counts as 0.0 s: that of the first frame, unless it is set."""
        self.counted = False
        """Whether frames have no timestamps, and get theirs by counting from the start."""
        self.backward_frames = 0
        self.reached = 0.0
        """The latest time of a frame, in seconds."""
        self.longest_gap = 0.0
        """The longest time between neighbouring frames, in seconds."""
        self._last: int | None = None
        self._jumped = False

    def begin(self, stream: VideoStream, traits: ContainerTraits) -> None:
        """Date the frames of a newly opened stream, from its start."""
        self._stream, self._traits = stream, traits
        self._empty_start = _empty_start(getattr(stream, "index_entries", ()))
        self._last, self._jumped = None, False

    def jump(self) -> None:
        """Go on with frames from anywhere: a seek was made."""
        self._last, self._jumped = None, True

    @property
    def dated_by_decoding(self) -> bool:
        """Whether a frame's time is that of the packet whose decoding made it appear.

        The file keeps decoding times alone, and its pictures are reordered: the n-th picture shown has the
        n-th of these times. A decoder delays pictures by as much as the encoder did, so a picture appears
        when the packet with its time is decoded. No frame may be left out, then.
        """
        return self._traits.decoding_times and bool(self._stream.codec_context.has_b_frames)

    @property
    def ticks_per_frame(self) -> int:
        """Ticks from frame to frame, by the frame rate that the file states."""
        rate = self._stream.guessed_rate or self._stream.average_rate or 25
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

    def date(self, frame: VideoFrame) -> float | None:
        """The time of the next frame, in seconds; None where it is unknown or runs backwards."""
        stamp = self._stamp(frame)
        if stamp is None:
            return None
        if self._last is not None and stamp <= self._last:
            self.backward_frames += self._strict and not self._jumped
            return None
        if self._last is not None:
            self.longest_gap = max(self.longest_gap, self.seconds(stamp) - self.seconds(self._last))
        self._last = stamp
        self.origin = stamp if self.origin is None else self.origin
        self.reached = max(self.reached, self.seconds(stamp))
        return self.seconds(stamp)

    def _stamp(self, frame: VideoFrame) -> int | None:
        stamp = frame.dts if self._traits.decoding_times or frame.pts is None else frame.pts
        if stamp is not None:
            return stamp - self._delay_before(stamp)
        if self._last is not None:
            return self._last + self.ticks_per_frame
        if self._jumped:
            return None  # nothing tells where the seek has ended
        self.counted = True
        return self.origin or 0

    def _delay_before(self, stamp: int) -> int:
        """Ticks of the empty chunks that a reordering encoder wrote at the start of an AVI."""
        first, ticks = self._empty_start
        return ticks if self.dated_by_decoding and stamp >= first else 0


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
