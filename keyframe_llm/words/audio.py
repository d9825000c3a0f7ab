"""The sound of a video as samples for a recogniser, in pieces that end where it is quiet.

Each piece knows when it begins on the video's clock: by the timestamps of the file, so that a track that
starts late, or has gaps, keeps its times.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import av
import av.error
import numpy as np
from numpy.typing import NDArray

from keyframe_llm.errors import VideoError
from keyframe_llm.video.byte_source import Place
from keyframe_llm.video.clock import Clock, ClockRules
from keyframe_llm.video.container import container_traits
from keyframe_llm.video.source import demux, open_container
from keyframe_llm.words.clock import VideoClock
from keyframe_llm.words.languages import distance, known_tag

__all__ = ["RATE", "AudioReader", "Sound"]

RATE = 16_000
"""Samples per second, as recognisers of speech take them."""
PIECE_SECONDS = 120.0
"""No piece is longer; two minutes of samples are 8 MB."""
_CUT_SECONDS = 30.0  # the last part of a piece, in which it is cut at the quietest place
_QUIET_SECONDS = 0.3  # over which loudness is measured
_SILENCE = 1e-3  # root mean square of samples from -1 to 1: -60 dB
_MARGIN_SECONDS = 0.5  # of silence kept around sound
_GAP_SECONDS = 0.1  # a timestamp that is off by more begins a new run of samples
_SLACK_SECONDS, _LONGEST_GAP_SECONDS = 0.5, 300.0


class Sound(NamedTuple):
    """A run of samples without a gap."""

    start: float
    """Seconds on the video's clock; negative where sound begins before the first frame."""
    samples: NDArray[np.float32]
    """(n,) mono, -1 to 1, 16,000 a second."""

    @property
    def end(self) -> float:
        """Seconds on the video's clock."""
        return self.start + len(self.samples) / RATE


class AudioReader:
    """Reads the sound of one video, in bounded memory. Damaged packets are counted and left out."""

    def __init__(self, place: Place, clock: VideoClock, language: str | None = None) -> None:
        """The audio track of this language is read where there are several, else the default one."""
        self.path = place if isinstance(place, str) else place.name
        """What messages call the file."""
        self.damaged_packets = 0
        self.heard_seconds = 0.0
        """How much of the sound was decoded."""
        self._place, self._clock, self._language = place, clock, language

    def sounds(self) -> Iterator[Sound]:
        """Pieces with sound in them, at most two minutes long; what is silent is left out.

        Raises `VideoError` where the file has no audio track that can be decoded.
        """
        held: list[Sound] = []
        for sound in self._runs():
            if held and abs(sound.start - held[-1].end) > _GAP_SECONDS:
                yield from _audible(_joined(held))
                held = []
            held.append(sound)
            if held[-1].end - held[0].start >= PIECE_SECONDS:
                piece = _joined(held)
                at = _quietest(piece.samples)
                yield from _audible(Sound(piece.start, piece.samples[:at]))
                held = [Sound(piece.start + at / RATE, piece.samples[at:])]
        if held:
            yield from _audible(_joined(held))

    def _runs(self) -> Iterator[Sound]:
        """Short runs of samples, as they are decoded."""
        with open_container(self._place) as container:
            stream = self._stream(container)
            for other in container.streams:
                if other.index != stream.index and hasattr(other, "discard"):  # PyAV 16 and later
                    other.discard = type(other.discard).all
            clock = _jump_free(container, stream)
            resampler: Any = None
            form: tuple[Any, ...] = ()
            for frame in self._frames(container, stream, clock):
                if frame.sample_rate and form != (frame.format.name, frame.layout.name, frame.sample_rate):
                    yield from self._samples(resampler, None)
                    form = (frame.format.name, frame.layout.name, frame.sample_rate)
                    resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
                yield from self._samples(resampler, frame)
            yield from self._samples(resampler, None)

    def _samples(self, resampler: Any, frame: Any) -> Iterator[Sound]:
        if resampler is None:
            return
        try:
            frames = resampler.resample(frame)
        except (av.error.FFmpegError, ValueError):
            self.damaged_packets += 1
            return
        for each in frames:
            if each.time is None:
                self.damaged_packets += 1
                continue
            samples = np.nan_to_num(each.to_ndarray().reshape(-1).astype(np.float32, copy=False))
            self.heard_seconds += len(samples) / RATE
            yield Sound(each.time - self._clock.first_frame_seconds, np.clip(samples, -1.0, 1.0))

    def _frames(self, container: Any, stream: Any, clock: Clock | None) -> Iterator[Any]:
        try:
            for packet in demux(container, stream):
                if clock is not None and packet.size:
                    clock.correct(packet)
                try:
                    yield from packet.decode()
                except av.error.EOFError:
                    return
                except av.error.FFmpegError:
                    self.damaged_packets += 1
        except av.error.FFmpegError:
            self.damaged_packets += 1  # the file ends here; what came is kept

    def _stream(self, container: Any) -> Any:
        streams = list(container.streams.audio)
        if not streams:
            raise VideoError(f"{self.path} has no audio track, so nothing is heard in it; leave out listen")
        streams = [stream for stream in streams if stream.codec_context is not None]
        if not streams:
            raise VideoError(
                f"{self.path}: its audio codec is not one this FFmpeg can decode; convert the audio to AAC"
            )
        best = container.streams.best("audio")

        def rank(stream: Any) -> tuple[int, bool]:
            far = distance(self._language, known_tag(stream.language)) if self._language else 0
            return far, best is None or stream.index != best.index

        return min(streams, key=rank)


def _jump_free(container: Any, stream: Any) -> Clock | None:
    """What corrects the timestamps of a transmission that was interrupted, as is done for its pictures."""
    if not container_traits(container.format.name).clock_may_jump or not stream.time_base:
        return None
    ticks = 1 / float(stream.time_base)
    return Clock(
        ClockRules(
            step=max(1, round((stream.codec_context.frame_size or 1024) / (stream.rate or 48_000) * ticks)),
            slack=round(_SLACK_SECONDS * ticks),
            longest_gap=round(_LONGEST_GAP_SECONDS * ticks),
            decoding_times=False,
        )
    )


def _joined(sounds: list[Sound]) -> Sound:
    return Sound(sounds[0].start, np.concatenate([sound.samples for sound in sounds]))


def _quietest(samples: NDArray[np.float32]) -> int:
    """The middle of the quietest place in the last part, as an index of a sample."""
    first = len(samples) - int(_CUT_SECONDS * RATE)
    levels = _levels(samples[first:])
    return first + int((int(np.argmin(levels)) + 0.5) * _QUIET_SECONDS * RATE)


def _levels(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """The root mean square of each 0.3 s."""
    size = int(_QUIET_SECONDS * RATE)
    count = max(1, len(samples) // size)
    parts = samples[: count * size].reshape(count, -1)
    return np.asarray(np.sqrt(np.mean(np.square(parts), axis=1)), np.float32)


def _audible(sound: Sound) -> Iterator[Sound]:
    """The piece without the silence at its ends; nothing where all of it is silent."""
    if len(sound.samples) == 0:
        return
    loud = np.flatnonzero(_levels(sound.samples) > _SILENCE)
    if len(loud) == 0:
        return
    size, margin = int(_QUIET_SECONDS * RATE), int(_MARGIN_SECONDS * RATE)
    first, last = max(0, int(loud[0]) * size - margin), (int(loud[-1]) + 2) * size + margin
    yield Sound(sound.start + first / RATE, sound.samples[first:last])
