"""Videos with subtitles and sound whose times are known."""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.stream import Disposition

from support.videos import picture

__all__ = ["RATE", "bursts", "film", "srt"]

RATE = 16_000
Lines = Sequence[tuple[float, float, str]]


def srt(lines: Lines) -> str:
    """Cues (start, end, text) as the content of an .srt file."""
    return "".join(
        f"{number}\n{_clock(start)} --> {_clock(end)}\n{text}\n\n"
        for number, (start, end, text) in enumerate(lines, 1)
    )


def _clock(seconds: float) -> str:
    milliseconds = round(seconds * 1000)
    return f"{milliseconds // 3_600_000:02d}:{milliseconds // 60_000 % 60:02d}:" + (
        f"{milliseconds // 1000 % 60:02d},{milliseconds % 1000:03d}"
    )


def bursts(starts: Sequence[float], seconds: float, length: float = 1.0) -> np.ndarray:
    """(n,) samples: a tone of `length` seconds from each start on, silence between."""
    times = np.arange(round(seconds * RATE)) / RATE
    on = np.any([(start <= times) & (times < start + length) for start in starts], axis=0)
    return (0.3 * on * np.sin(2 * np.pi * 440 * times)).astype(np.float32)


def film(
    path: Path,
    seconds: float,
    *,
    subtitles: Sequence[tuple[Lines, str, bool]] = (),
    sound: np.ndarray | None = None,
    sound_start: float = 0.0,
    first_frame: float = 0.0,
    gap: tuple[float, float] | None = None,
) -> Path:
    """A video of one numbered picture a second, with subtitle streams (lines, language, whether default).

    `sound` are samples that begin at `sound_start`, on the clock on which the first picture has the time
    `first_frame`; those between the seconds of `gap` are left out.
    """
    with av.open(str(path), "w") as out:
        video: Any = out.add_stream("libx264", rate=1)
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        video.codec_context.time_base = Fraction(1, 1000)
        audio = None if sound is None else out.add_stream("aac", rate=RATE, layout="mono")
        packets: list[Any] = []
        texts = [_stream(out, path, lines, language, default) for lines, language, default in subtitles]
        for number in range(round(seconds)):
            frame = av.VideoFrame.from_ndarray(picture(number), format="rgb24")
            frame.pts, frame.time_base = round((number + first_frame) * 1000), Fraction(1, 1000)
            packets += video.encode(frame)
        packets += video.encode(None)
        if sound is not None:
            packets += _sound(audio, sound, sound_start, gap)
        packets += [packet for found in texts for packet in found]
        for packet in sorted(packets, key=lambda p: (p.dts or 0) * p.time_base):
            out.mux(packet)
    return path


def _stream(out: Any, path: Path, lines: Lines, language: str, default: bool) -> list[Any]:
    """Add a subtitle stream; its packets."""
    source = av.open(io.BytesIO(srt(lines).encode()), format="srt")
    stream = out.add_stream_from_template(source.streams.subtitles[0])
    stream.metadata["language"] = language
    stream.disposition = Disposition.default if default else Disposition(0)
    packets = []
    for packet in source.demux():
        if packet.dts is not None:
            packet.stream = stream
            packets.append(packet)
    return packets


def _sound(audio: Any, sound: np.ndarray, start: float, gap: tuple[float, float] | None) -> list[Any]:
    packets = []
    for at in range(0, len(sound), 1024):
        second = at / RATE
        if gap is not None and gap[0] <= second < gap[1]:
            continue
        frame = av.AudioFrame.from_ndarray(sound[None, at : at + 1024], format="fltp", layout="mono")
        frame.sample_rate, frame.time_base = RATE, Fraction(1, RATE)
        frame.pts = at + round(start * RATE)
        packets += audio.encode(frame)
    return packets + audio.encode(None)
