"""Cues as text: SRT, WebVTT, or lines for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from keyframe_llm.words.cues import Cue

__all__ = ["FORMATS", "write_cues"]


def write_cues(cues: Sequence[Cue], form: str) -> str:
    """The cues in one of `FORMATS`, without a line end after the last."""
    return FORMATS[form](cues)


def _srt(cues: Sequence[Cue]) -> str:
    # An arrow in a text would be read as the times of the next cue.
    return "\n\n".join(
        f"{number}\n{_clock(cue.start, ',')} --> {_clock(cue.end, ',')}\n{cue.text.replace('-->', '->')}"
        for number, cue in enumerate(cues, 1)
    )


def _vtt(cues: Sequence[Cue]) -> str:
    blocks = [f"{_clock(cue.start, '.')} --> {_clock(cue.end, '.')}\n{_escaped(cue.text)}" for cue in cues]
    return "\n\n".join(["WEBVTT", *blocks])


def _text(cues: Sequence[Cue]) -> str:
    return "\n".join(f"{cue.start:9.2f}s  {cue.text}" for cue in cues)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _clock(seconds: float, mark: str) -> str:
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}{mark}{rest % 1000:03d}"


FORMATS: Mapping[str, Callable[[Sequence[Cue]], str]] = {
    "text": _text,
    "srt": _srt,
    "vtt": _vtt,
}
"""How cues are written, by the name of the format."""
